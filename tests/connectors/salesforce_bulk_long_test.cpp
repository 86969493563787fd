// SPDX-License-Identifier: Apache-2.0
//
// A million records, by either way: each once, and no more memory at the end than at the beginning.
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "connectors/salesforce_bulk_fixture.hpp"

#if defined(__SANITIZE_ADDRESS__)
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace waybill::salesforce {
namespace {

// Bytes that are allocated now.
size_t live_bytes() {
#if defined(__SANITIZE_ADDRESS__)
  return __sanitizer_get_current_allocated_bytes();
#else
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

// The next page is made and fetched by other threads of this process: once nothing changes any more.
size_t live_bytes_at_rest() {
  for (size_t before = live_bytes();;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    const size_t now = live_bytes();
    if (now == before) return now;
    before = now;
  }
}

class SalesforceMillion : public SalesforceJobs {
 protected:
  // The most that a reader and the server, which is in this process, held at the end of a page.
  void list(Reads reads, uint64_t most_calls, size_t most_bytes) {
    constexpr uint64_t count = 1'000'000;
    organization_.entries(count, 500);
    organization_.server.configure_log(0, false);
    const size_t before = live_bytes();
    const auto begin = std::chrono::steady_clock::now();
    const auto reader = read_records(*client_, selection(), reads, "");
    uint64_t n_records = 0;
    size_t early = 0;  // the most of the first part
    size_t most = 0;
    for (bool is_last = false; !is_last;) {
      const RecordPage page = reader->next(context_);
      is_last = page.is_last;
      for (const Record& record : page.records) ASSERT_EQ(record.at("Id"), TestOrganization::id(n_records++));
      const size_t now = live_bytes_at_rest();
      most = std::max(most, now - std::min(before, now));
      if (n_records <= count / 4) early = most;
    }
    EXPECT_EQ(n_records, count);
    EXPECT_LE(most, most_bytes);
    EXPECT_LE(most, early + (2 << 20)) << "it grows with the records";
    const uint64_t calls = organization_.usage().at("calls");
    EXPECT_LE(calls, most_calls);
    const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    std::cout << count << " records in " << taken.count() << " ms, " << calls << " calls, at most " << most / 1024
              << " KiB\n";
  }
};

// Twice 2 MiB of results, a page of 2,000 records, and the 4 bytes of a record that the server keeps of a job.
TEST_F(SalesforceMillion, IsListedByAJobInConstantMemory) { list(Reads::bulk, 60, 24 << 20); }

TEST_F(SalesforceMillion, IsListedByRestInConstantMemory) { list(Reads::rest, 501, 16 << 20); }

}  // namespace
}  // namespace waybill::salesforce
