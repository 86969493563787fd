// SPDX-License-Identifier: Apache-2.0
//
// Salesforce as a service of the fault server: everything below /services/.
#pragma once

#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "support/fault_server/salesforce_store.hpp"
#include "support/fault_server/service.hpp"

namespace waybill::testing::fault {

inline constexpr std::string_view salesforce_path = "/services/";

/// *Thread safety:* with_store() and control() from any thread; begin() and its calls on the loop's.
class SalesforceService : public Service {
 public:
  std::unique_ptr<Call> begin(const Request& request) override;

  /// `work(store)` under the lock; what it returns.
  template <class Work>
  auto with_store(Work&& work) {
    const std::lock_guard lock(mutex_);
    return work(store_);
  }

  /// The control endpoints whose names begin with "salesforce". Throws std::invalid_argument.
  nlohmann::json control(const std::string& name, const nlohmann::json& argument);
  static bool has_control(const std::string& name) { return name.starts_with("salesforce"); }

 private:
  friend class SalesforceCall;
  std::mutex mutex_;
  SalesforceStore store_;  // guarded by mutex_
};

}  // namespace waybill::testing::fault
