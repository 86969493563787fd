// SPDX-License-Identifier: Apache-2.0
//
// When to try again: exponential backoff with full jitter, and a retry budget per endpoint, so that a store in trouble
// is not hit with more than a fraction of its traffic again.
//
// Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ; the token bucket has the
// size of the standard one of the AWS SDKs (500 tokens, 5 for a retry, 1 back for a success), but an empty one delays
// instead of giving up.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "base/random.hpp"
#include "waybill/error.hpp"
#include "waybill/options.hpp"

namespace waybill::internal {

/// Whether an error speaks of the endpoint rather than of the item: such errors never use up an item's attempts while
/// nothing else succeeds either.
bool blames_endpoint(ErrorClass error_class) noexcept;

/// *Thread safety:* any thread.
class RetryPolicy {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RetryPolicy(const Options& options);

  /// How long to wait before the next try, after `failures` failures (from 1) of which the last was `error`. Draws on
  /// the retry budget.
  std::chrono::milliseconds delay(int failures, const Error& error);
  /// A transfer succeeded: gives back to the budget, and shows that the endpoints are alive.
  void succeeded();
  /// A transfer failed in a way that blames an endpoint.
  void endpoint_failed();

  /// Whether anything succeeded after `since`.
  bool succeeded_since(Clock::time_point since) const;
  /// Since when every transfer has failed for the endpoint's sake; max() if it has not.
  Clock::time_point failing_since() const;

 private:
  const int64_t base_ms_;
  const int64_t cap_ms_;
  mutable std::mutex mutex_;
  Random random_;                                   // guarded by mutex_
  double tokens_;                                   // guarded by mutex_
  Clock::time_point refilled_at_;                   // guarded by mutex_
  Clock::time_point last_success_ = Clock::time_point::min();  // guarded by mutex_
  Clock::time_point failing_since_ = Clock::time_point::max(); // guarded by mutex_
};

enum class Side { source, destination };

/// One policy for each endpoint of a run; where both sides are one endpoint, they share it.
class EndpointRetries {
 public:
  EndpointRetries(const Options& options, bool is_one_endpoint)
      : source_(options), destination_(options), is_one_endpoint_(is_one_endpoint) {}

  RetryPolicy& of(Side side) noexcept { return side == Side::source || is_one_endpoint_ ? source_ : destination_; }
  const RetryPolicy& of(Side side) const noexcept { return side == Side::source || is_one_endpoint_ ? source_ : destination_; }
  /// A whole transfer succeeded.
  void succeeded() {
    source_.succeeded();
    if (!is_one_endpoint_) destination_.succeeded();
  }
  RetryPolicy::Clock::time_point failing_since() const {
    return std::min(source_.failing_since(), of(Side::destination).failing_since());
  }

 private:
  RetryPolicy source_;
  RetryPolicy destination_;
  const bool is_one_endpoint_;
};

}  // namespace waybill::internal
