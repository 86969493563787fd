// SPDX-License-Identifier: Apache-2.0

#include "engine/retry.hpp"

#include <algorithm>

namespace waybill::internal {
namespace {

constexpr double bucket_tokens = 500;
constexpr double retry_cost = 5;
// Without any success the bucket still refills slowly, so that a store that comes back is found.
constexpr double refill_per_second = 25;

}  // namespace

bool blames_endpoint(ErrorClass error_class) noexcept {
  return error_class == ErrorClass::network || error_class == ErrorClass::timeout || error_class == ErrorClass::server ||
         error_class == ErrorClass::throttled || error_class == ErrorClass::endpoint;
}

RetryPolicy::RetryPolicy(const Options& options)
    : base_ms_(options.retry_base_ms), cap_ms_(options.retry_cap_ms), tokens_(bucket_tokens), refilled_at_(Clock::now()) {}

std::chrono::milliseconds RetryPolicy::delay(int failures, const Error& error) {
  std::scoped_lock lock(mutex_);
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - refilled_at_).count();
  tokens_ = std::min(bucket_tokens, tokens_ + seconds * refill_per_second);
  refilled_at_ = now;

  const int exponent = std::clamp(failures - 1, 0, 30);
  const int64_t ceiling = std::min(cap_ms_, base_ms_ << exponent);
  auto wait = std::chrono::milliseconds(static_cast<int64_t>(random_.below(static_cast<uint64_t>(ceiling) + 1)));
  tokens_ -= retry_cost;
  if (tokens_ < 0) {
    const auto until_paid = static_cast<int64_t>(-tokens_ / refill_per_second * 1000);
    wait += std::chrono::milliseconds(std::min(until_paid, cap_ms_));
    tokens_ = std::max(tokens_, -bucket_tokens);
  }
  if (error.retry_after()) wait = std::max(wait, std::min(*error.retry_after(), std::chrono::milliseconds(300'000)));
  return wait;
}

void RetryPolicy::succeeded() {
  std::scoped_lock lock(mutex_);
  tokens_ = std::min(bucket_tokens, tokens_ + 1);
  last_success_ = Clock::now();
  failing_since_ = Clock::time_point::max();
}

void RetryPolicy::endpoint_failed() {
  std::scoped_lock lock(mutex_);
  if (failing_since_ == Clock::time_point::max()) failing_since_ = Clock::now();
}

bool RetryPolicy::succeeded_since(Clock::time_point since) const {
  std::scoped_lock lock(mutex_);
  return last_success_ > since;
}

RetryPolicy::Clock::time_point RetryPolicy::failing_since() const {
  std::scoped_lock lock(mutex_);
  return failing_since_;
}

}  // namespace waybill::internal
