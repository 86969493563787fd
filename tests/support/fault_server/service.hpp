// SPDX-License-Identifier: Apache-2.0
//
// A protocol behind the fault server: it takes a request for a call with a name, carries the call out, and gives
// failures its own form. Rules and log stand around it (faulty_exchange.hpp).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "support/fault_server/http.hpp"
#include "support/fault_server/rules.hpp"
#include "waybill/item.hpp"

namespace waybill::testing::fault {

/// One call of a protocol; belongs to the loop's thread.
class Call {
 public:
  virtual ~Call() = default;
  virtual const CallName& name() const = 0;
  virtual void receive(std::string_view body) = 0;
  /// A failure that is known before the body (who asks, where), for clients that wait with it.
  virtual std::optional<Answer> refusal() { return std::nullopt; }
  /// Carries the call out, once the body is in. `is_swapped`: what is read has become another revision meanwhile.
  virtual Answer run(bool is_swapped) = 0;
  /// A failure in the protocol's form.
  virtual Answer failure(int status, std::string_view code) = 0;
  /// Of the body, as far as it came.
  virtual uint64_t received_bytes() const = 0;
  virtual Crc64 received_crc64() const = 0;
};

class Service {
 public:
  virtual ~Service() = default;
  /// `request` lives longer than the call.
  virtual std::unique_ptr<Call> begin(const Request& request) = 0;
};

}  // namespace waybill::testing::fault
