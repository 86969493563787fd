// SPDX-License-Identifier: Apache-2.0
//
// The run of tests/support/known_run.hpp at its whole size, 1,344,712 items: its accounts have to come out exactly.
// Usage: known_run [DIVIDED_BY]
#include "support/known_run.hpp"

#include <iostream>

#include "measure.hpp"

int main(int argc, char** argv) {
  using namespace waybill::testing;
  const uint64_t by = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  if (by == 0) {
    std::cerr << "usage: known_run [DIVIDED_BY]\n";
    return 2;
  }
  const KnownRun run = KnownRun::divided(by);
  const std::filesystem::path ledger = std::filesystem::temp_directory_path() / ("known-run-" + std::to_string(getpid()) + ".db");
  const auto begin = std::chrono::steady_clock::now();
  std::map<std::string, std::pair<double, double>> wrong;
  {
    waybill::Migration migration(std::make_shared<KnownSource>(run), std::make_shared<KnownDestination>(run),
                                 waybill::open_tracker(ledger.string()));
    const waybill::Report report = migration.run(KnownRun::options());
    wrong = differences(run, report.snapshot);
    if (report.exit_code != 3) wrong["exit code"] = {report.exit_code, 3};
    std::cout << waybill::to_json(report.snapshot) << '\n';
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(ledger.string() + suffix);
  std::cout << run.discovered << " items in " << seconds << " s\n";
  for (const auto& [name, numbers] : wrong)
    std::cout << "WRONG " << name << ": " << numbers.first << ", expected " << numbers.second << '\n';
  return wrong.empty() ? 0 : 1;
}
