// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/request_log.hpp"

#include <utility>

#include "base/text.hpp"

namespace waybill::testing::fault {

std::string Record::header(std::string_view name) const {
  const std::string_view all = head;
  for (size_t at = all.find("\r\n"); at != std::string_view::npos; at = all.find("\r\n", at + 2)) {
    const std::string_view line = all.substr(at + 2, all.find("\r\n", at + 2) - at - 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !internal::equals_ignoring_case(line.substr(0, colon), name)) continue;
    return std::string(internal::trim(line.substr(colon + 1)));
  }
  return {};
}

void RequestLog::configure(size_t limit, bool keeps_heads) {
  const std::lock_guard lock(mutex_);
  limit_ = limit;
  keeps_heads_ = keeps_heads;
  while (records_.size() > limit_) records_.pop_front();
}

bool RequestLog::keeps_heads() const {
  const std::lock_guard lock(mutex_);
  return keeps_heads_ && limit_ > 0;
}

uint64_t RequestLog::add(Record record) {
  const std::lock_guard lock(mutex_);
  record.number = ++last_;
  Count& count = counts_[record.op];
  ++count.requests;
  count.bytes_in += record.bytes_in;
  ++count.statuses[record.status];
  if (limit_ > 0) {
    records_.push_back(std::move(record));
    if (records_.size() > limit_) records_.pop_front();
  }
  return last_;
}

void RequestLog::finish(uint64_t number, const std::string& op, Outcome outcome, uint64_t bytes_out) {
  const std::lock_guard lock(mutex_);
  // Cleared meanwhile: what began before does not count any more.
  if (const auto found = counts_.find(op); found != counts_.end()) found->second.bytes_out += bytes_out;
  if (records_.empty() || number < records_.front().number || number > records_.back().number) return;
  Record& record = records_[number - records_.front().number];
  record.outcome = outcome;
  record.bytes_out = bytes_out;
}

void RequestLog::clear() {
  const std::lock_guard lock(mutex_);
  records_.clear();
  counts_.clear();
}

std::vector<Record> RequestLog::records() const {
  const std::lock_guard lock(mutex_);
  return {records_.begin(), records_.end()};
}

std::map<std::string, Count> RequestLog::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::answered:
      return "answered";
    case Outcome::cut:
      return "cut";
    case Outcome::reset:
      return "reset";
    case Outcome::stalled:
      return "stalled";
    case Outcome::gone:
      return "gone";
  }
  return "";
}

}  // namespace waybill::testing::fault
