// SPDX-License-Identifier: Apache-2.0
//
// S3 as a service of the fault server.
#pragma once

#include <functional>
#include <mutex>

#include "support/fault_server/s3_store.hpp"
#include "support/fault_server/service.hpp"

namespace waybill::testing::fault {

/// *Thread safety:* with_store() from any thread; begin() and its calls on the loop's.
class S3Service : public Service {
 public:
  std::unique_ptr<Call> begin(const Request& request) override;

  /// `work(store)` under the lock; what it returns.
  template <class Work>
  auto with_store(Work&& work) {
    const std::lock_guard lock(mutex_);
    return work(store_);
  }

 private:
  friend class S3Call;
  std::mutex mutex_;
  S3Store store_;              // guarded by mutex_
  uint64_t last_request_ = 0;  // of the loop's thread, as both below
  int64_t date_second_ = -1;
  std::string date_;
};

}  // namespace waybill::testing::fault
