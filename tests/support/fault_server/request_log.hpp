// SPDX-License-Identifier: Apache-2.0
//
// What was asked and how it was answered: the fault server is the judge. Counts by operation are always kept, records
// up to a limit, after which the oldest go.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "support/fault_server/http.hpp"
#include "waybill/item.hpp"

namespace waybill::testing::fault {

struct Record {
  uint64_t number = 0;  ///< from 1, in the order in which requests were answered (or broke off)
  uint64_t connection = 0;
  std::string method;
  std::string op;
  std::string scope;
  std::string key;
  std::string query;  ///< as sent
  std::string head;   ///< as sent, where the log keeps heads
  uint64_t part = 0;
  int status = 0;          ///< 0: never answered
  uint64_t bytes_in = 0;   ///< of the request's body, without its chunks' framing
  uint64_t bytes_out = 0;  ///< of the answer's body, as far as it went
  Crc64 crc64 = 0;         ///< of the body received
  int64_t begun_us = 0;    ///< monotonic: when the head was in
  int64_t answered_us = 0;
  Outcome outcome = Outcome::answered;
  uint32_t rules = 0;  ///< how many fired

  /// The value of a header of the request, "" if there is none or heads are not kept.
  std::string header(std::string_view name) const;
};

struct Count {
  uint64_t requests = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  std::map<int, uint64_t> statuses;
};

/// *Thread safety:* any thread.
class RequestLog {
 public:
  /// Records that are kept (0: counts only), and whether with their heads.
  void configure(size_t limit, bool keeps_heads);
  bool keeps_heads() const;

  /// When the answer is known: gives the record's number.
  uint64_t add(Record record);
  /// When the exchange is over.
  void finish(uint64_t number, const std::string& op, Outcome outcome, uint64_t bytes_out);
  void clear();

  std::vector<Record> records() const;
  std::map<std::string, Count> counts() const;

 private:
  mutable std::mutex mutex_;
  size_t limit_ = 200'000;  // guarded by mutex_, as all below
  bool keeps_heads_ = true;
  uint64_t last_ = 0;
  std::deque<Record> records_;  // their numbers are consecutive
  std::map<std::string, Count> counts_;
};

const char* name_of(Outcome outcome);

}  // namespace waybill::testing::fault
