// SPDX-License-Identifier: Apache-2.0
//
// Whether new values answer to the people who will use them: each is asked for as CutoverOptions::probe_as says, never with
// our own credentials.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "engine/cancellation.hpp"
#include "engine/retry.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"

namespace waybill::internal {

/// What is to be asked for at a new value.
struct Probe {
  std::string value;
  std::optional<uint64_t> size;
};

class ValueProbes {
 public:
  /// `destination` is where the items were copied to: s3:// values in its bucket are asked for at its endpoint.
  /// Errors: configuration (`as` is none of the forms of CutoverOptions::probe_as).
  ValueProbes(std::string as, const Destination& destination, const RunScope& scope, RetryPolicy& retry);

  /// Asks for these, several at once. Errors: cancelled.
  void ask(std::span<const Probe> probes);

  int64_t asked() const noexcept { return asked_; }
  int64_t failed() const noexcept { return failed_; }
  /// One of those that failed, and why; "" where none did.
  std::string example() const;
  /// As whom they were asked for, in words.
  std::string whom() const;

 private:
  std::string trouble_with(const Probe& probe);
  std::optional<Item> look(const Probe& probe);
  std::shared_ptr<Source> source_of(const std::string& value);
  std::string store_url(const std::string& origin, std::string& whom) const;

  const std::string as_;
  const std::string destination_;
  const std::string endpoint_;
  const RunScope& scope_;
  RetryPolicy& retry_;
  std::atomic<int64_t> asked_{0};
  std::atomic<int64_t> failed_{0};
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Source>> origins_;  // guarded by mutex_
  std::set<std::string> whom_;                              // guarded by mutex_
  std::string example_;                                     // guarded by mutex_
};

}  // namespace waybill::internal
