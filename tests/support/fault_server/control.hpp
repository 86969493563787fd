// SPDX-License-Identifier: Apache-2.0
//
// The control endpoints: POST /_control/<name> with a JSON body, answered with JSON; no rule touches them and the log
// does not hold them. Keys and contents in JSON are percent-encoded, because JSON holds no bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "support/fault_server/fault_server.hpp"
#include "support/fault_server/http.hpp"

namespace waybill::testing::fault {

inline constexpr std::string_view control_path = "/_control/";

/// Throws std::invalid_argument, which says what is wrong.
nlohmann::json run_control(FaultServer& server, const std::string& name, const nlohmann::json& argument);

class ControlExchange : public Exchange {
 public:
  ControlExchange(FaultServer& server, const Request& request) : server_(server), request_(request) {}

  Intake intake() const override { return {}; }
  std::optional<Answer> refusal() override { return std::nullopt; }
  void receive(std::string_view body) override { body_ += body; }
  Answer answer(Delivery& delivery) override;
  void ended(Outcome, uint64_t) override {}

 private:
  FaultServer& server_;
  const Request& request_;
  std::string body_;
};

}  // namespace waybill::testing::fault
