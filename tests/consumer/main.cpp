// SPDX-License-Identifier: Apache-2.0
//
// A host with nothing but the installed library: moves a small folder and looks at the report and at what arrived.
// Usage: consumer EMPTY_FOLDER. Exit code 0 if everything is as it should be.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "waybill/waybill.hpp"

namespace fs = std::filesystem;

namespace {

void write_file(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::cerr << "consumer: expected " << what << '\n';
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) try {
  expect(argc == 2, "one argument, an empty folder");
  expect(std::string(waybill::version()) == WAYBILL_VERSION, "the library's version to be that of its headers");

  const fs::path root = fs::absolute(argv[1]);
  write_file(root / "from/empty", "");
  write_file(root / "from/deep/er/hello", "hello");
  write_file(root / "from/big", std::string(100'000, 'b'));

  waybill::Migration migration((root / "from").string(), (root / "to").string(), (root / "ledger.db").string());
  const waybill::Report report = migration.run();
  expect(report.exit_code == 0, "exit code 0, got " + std::to_string(report.exit_code) + ": " + report.message);
  expect(report.snapshot.items.done == 3, "3 items done, got " + std::to_string(report.snapshot.items.done));
  expect(read_file(root / "to/deep/er/hello") == "hello", "the content of deep/er/hello");
  expect(fs::file_size(root / "to/empty") == 0, "an empty file");
  expect(fs::file_size(root / "to/big") == 100'000, "100,000 bytes in big");

  const waybill::Report verified = migration.verify();
  expect(verified.exit_code == 0, "verify to find nothing: " + verified.message);
  std::cout << "waybill " << waybill::version() << ": 3 items moved and verified\n";
  return 0;
} catch (const std::exception& error) {
  std::cerr << "consumer: " << error.what() << '\n';
  return 1;
}
