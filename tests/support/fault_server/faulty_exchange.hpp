// SPDX-License-Identifier: Apache-2.0
//
// A call of a service with rules before it and the log behind it.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "support/fault_server/request_log.hpp"
#include "support/fault_server/rules.hpp"
#include "support/fault_server/service.hpp"

namespace waybill::testing::fault {

/// What all exchanges share.
struct Judge {
  RuleSet rules;
  RequestLog log;
  std::atomic<int64_t> latency_us{0};  ///< of every answer
};

class FaultyExchange : public Exchange {
 public:
  FaultyExchange(const Request& request, std::unique_ptr<Call> call, Judge& judge);

  Intake intake() const override { return intake_of(rules_, call_->name()); }
  std::optional<Answer> refusal() override;
  void receive(std::string_view body) override { call_->receive(body); }
  Answer answer(Delivery& delivery) override;
  void ended(Outcome outcome, uint64_t sent) override;

 private:
  Answer outcome();
  void log(int status);

  const Request& request_;
  std::unique_ptr<Call> call_;
  Judge& judge_;
  std::vector<RulePtr> rules_;
  int64_t begun_us_;
  uint64_t number_ = 0;  // in the log
};

}  // namespace waybill::testing::fault
