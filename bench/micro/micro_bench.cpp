// SPDX-License-Identifier: Apache-2.0
//
// What the engine does for each item, one thing at a time: sign a request, take a checksum, decide about a listed item,
// and commit what became of a thousand. Internals are reached as the tests reach them.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "aws/sigv4.hpp"
#include "base/hash.hpp"
#include "engine/decide.hpp"
#include "waybill/waybill.hpp"

namespace {

using namespace waybill;

// As for a PUT of an object: host, three attributes and a condition, everything cached that a client caches.
void sign_put(benchmark::State& state) {
  const aws::Signer signer("us-east-1", "s3");
  aws::Credentials credentials;
  credentials.access_key_id = "AKIDEXAMPLE";
  credentials.secret_access_key = aws::Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
  const std::string hash(64, 'a');
  std::vector<std::pair<std::string, std::string>> headers = {{"Host", "127.0.0.1:9000"},
                                                              {"x-amz-meta-mtime", "1729000000.123456789"},
                                                              {"x-amz-meta-mode", "100644"},
                                                              {"x-amz-meta-waybill-crc64nvme", "0123456789abcdef"},
                                                              {"If-None-Match", "*"}};
  const size_t plain = headers.size();
  for (auto _ : state) {
    headers.resize(plain);
    const aws::SigningInput input{"PUT", "/bucket/documents/2024/00000000001/attachment-original.bin", "", headers,
                                  hash};
    signer.sign(input, credentials, 1'729'000'000, headers);
    benchmark::DoNotOptimize(headers.data());
  }
}
BENCHMARK(sign_put)->Unit(benchmark::kMicrosecond);

void crc64nvme(benchmark::State& state) {
  const std::vector<std::byte> data(static_cast<size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) benchmark::DoNotOptimize(internal::crc64nvme(data));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc64nvme)->Arg(4 << 10)->Arg(1 << 20)->Unit(benchmark::kMicrosecond);

void sha256(benchmark::State& state) {
  const std::vector<std::byte> data(static_cast<size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) benchmark::DoNotOptimize(internal::sha256(data));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(sha256)->Arg(4 << 10)->Arg(1 << 20)->Unit(benchmark::kMicrosecond);

Item item_of(int64_t n) {
  char key[80];
  std::snprintf(key, sizeof key, "accounts/0001/documents/2024/%011lld/attachment-orig.bin", static_cast<long long>(n));
  Item item;
  item.id.key = key;
  item.stamp.size = 4096;
  item.stamp.etag = "620f0b67a91f7f74151bc5be745b7110";
  return item;
}

ItemRecord copied(const ItemRecord& pending) {
  ItemRecord record = pending;
  record.state = ItemState::copied;
  record.basis = Basis::written;
  record.digest.crc64nvme = 0x0123456789abcdef;
  Stored stored;
  stored.size = *record.stamp.size;
  stored.etag = record.stamp.etag;
  stored.digest = record.digest;
  record.stored = std::move(stored);
  record.copied_at_ms = 1'729'000'000'000;
  return record;
}

// A listed item that nobody knows (range 0), or that was copied and is unchanged on both sides (1).
void decide(benchmark::State& state) {
  const Item item = item_of(1);
  std::optional<ItemRecord> known;
  internal::AtDestination there{true, std::nullopt};
  const internal::DecideRules rules;
  if (state.range(0) == 1) {
    known = copied(internal::decide(item, std::nullopt, there, rules, 1).record);
    there.item = item;
  }
  for (auto _ : state) benchmark::DoNotOptimize(internal::decide(item, known, there, rules, 2));
}
BENCHMARK(decide)->ArgName("known")->Arg(0)->Arg(1)->Unit(benchmark::kNanosecond);

// One durable commit of a thousand outcomes (fsync included), rows in key order as they come from a listing. Every
// other commit makes rows, and is not counted.
void commit_1000_outcomes(benchmark::State& state) {
  std::string pattern = (std::filesystem::temp_directory_path() / "waybill-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return state.SkipWithError("no temporary folder");
  const std::filesystem::path folder = pattern;
  {
    const std::shared_ptr<Tracker> tracker = open_tracker((folder / "ledger.db").string());
    MigrationInfo info;
    info.fingerprint = "bench";
    tracker->bind(info);
    const uint64_t epoch = tracker->acquire(LeaseOptions{});
    Batch begin;
    begin.run = RunRecord{};
    begin.run->run = 1;
    begin.run->state = RunState::running;
    tracker->commit(epoch, begin);
    int64_t n = 0;
    for (auto _ : state) {
      state.PauseTiming();
      Batch listed;
      for (int i = 0; i < 1000; ++i) {
        listed.items.emplace_back();
        ItemRecord& record = listed.items.back().record;
        const Item item = item_of(n++);
        record.id = item.id;
        record.stamp = item.stamp;
        record.run = 1;
      }
      tracker->commit(epoch, listed);
      Batch outcomes;
      for (const ItemChange& change : listed.items) {
        outcomes.items.emplace_back();
        outcomes.items.back().record = copied(change.record);
        outcomes.items.back().attempts = 1;
      }
      state.ResumeTiming();
      tracker->commit(epoch, outcomes);
    }
    tracker->release(epoch);
    state.SetItemsProcessed(state.iterations() * 1000);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}
BENCHMARK(commit_1000_outcomes)->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("waybill", version());
  benchmark::AddCustomContext("compiler", "GCC " __VERSION__);
  benchmark::AddCustomContext("build type", WAYBILL_BENCH_BUILD_TYPE);
  benchmark::AddCustomContext("libraries", WAYBILL_BENCH_LIBRARIES);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
