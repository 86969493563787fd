// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/faulty_exchange.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace waybill::testing::fault {

namespace {

int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

FaultyExchange::FaultyExchange(const Request& request, std::unique_ptr<Call> call, Judge& judge)
    : request_(request),
      call_(std::move(call)),
      judge_(judge),
      rules_(judge.rules.match(call_->name())),
      begun_us_(monotonic_us()) {}

std::optional<Answer> FaultyExchange::refusal() {
  const bool is_spoken_for = std::any_of(rules_.begin(), rules_.end(), [](const RulePtr& rule) {
    return rule->action == Action::status || rule->action == Action::error_in_200;
  });
  std::optional<Answer> answer;
  if (!is_spoken_for) answer = call_->refusal();
  if (answer) log(answer->status);
  return answer;
}

// The answer before anything spoils it.
Answer FaultyExchange::outcome() {
  bool is_swapped = false;
  for (const RulePtr& rule : rules_) {
    if (rule->action == Action::swap) is_swapped = true;
    if (rule->action != Action::status && rule->action != Action::error_in_200) continue;
    if (rule->apply) call_->run(false);
    Answer answer = call_->failure(rule->action == Action::status ? rule->status : 200, rule->code);
    if (rule->body) answer.text = *rule->body;
    for (const auto& header : rule->headers) {
      std::erase_if(answer.headers, [&](const auto& known) { return known.first == header.first; });
      answer.headers.push_back(header);
    }
    return answer;
  }
  return call_->run(is_swapped);
}

Answer FaultyExchange::answer(Delivery& delivery) {
  Answer answer = outcome();
  spoil(rules_, call_->name(), answer);
  delivery.delay = std::chrono::microseconds(judge_.latency_us.load(std::memory_order_relaxed));
  deliver_by(rules_, call_->name(), delivery);
  log(answer.status);
  return answer;
}

void FaultyExchange::ended(Outcome outcome, uint64_t sent) {
  if (number_ == 0) log(0);
  judge_.log.finish(number_, call_->name().op, outcome, sent);
}

void FaultyExchange::log(int status) {
  Record record;
  const CallName& name = call_->name();
  record.connection = request_.connection;
  record.method = request_.method;
  record.op = name.op;
  record.scope = name.scope;
  record.key = name.key;
  record.query = request_.query;
  if (judge_.log.keeps_heads()) record.head = request_.head;
  record.part = name.part;
  record.status = status;
  record.bytes_in = call_->received_bytes();
  record.crc64 = call_->received_crc64();
  record.begun_us = begun_us_;
  record.answered_us = monotonic_us();
  record.rules = static_cast<uint32_t>(rules_.size());
  number_ = judge_.log.add(std::move(record));
}

}  // namespace waybill::testing::fault
