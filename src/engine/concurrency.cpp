// SPDX-License-Identifier: Apache-2.0

#include "engine/concurrency.hpp"

#include <algorithm>

namespace waybill::internal {
namespace {

constexpr int first_limit = 16;
// One body counts like this many bytes, so that small and large objects share one measure of progress.
constexpr double body_weight_bytes = 64 << 10;
// Growth that pays: this much more moved than at the best smaller limit.
constexpr double worthwhile = 1.10;
// Several throttled answers of one moment are one event.
constexpr std::chrono::milliseconds decrease_pause{500};

}  // namespace

ConcurrencyController::ConcurrencyController(const Options& options)
    : adaptive_(options.concurrency == 0),
      max_(adaptive_ ? options.max_concurrency : options.concurrency),
      limit_(adaptive_ ? std::min(first_limit, options.max_concurrency) : options.concurrency),
      last_tick_(Clock::now()) {}

void ConcurrencyController::throttled() {
  std::scoped_lock lock(mutex_);
  const auto now = Clock::now();
  if (now - last_decrease_ < decrease_pause) return;
  last_decrease_ = now;
  if (!is_recovering_) before_throttling_ = limit();
  is_recovering_ = true;
  limit_.store(std::max(1, limit() / 2), std::memory_order_relaxed);
  doubling_ = false;
  best_score_ = 0;
}

void ConcurrencyController::tick(bool busy, Clock::time_point now) {
  std::scoped_lock lock(mutex_);
  const double seconds = std::chrono::duration<double>(now - last_tick_).count();
  if (seconds <= 0) return;
  last_tick_ = now;
  const double moved = static_cast<double>(bytes_.exchange(0)) + body_weight_bytes * static_cast<double>(bodies_.exchange(0));
  const double score = moved / seconds;
  // A fixed limit recovers from throttling only; an adaptive one grows while growth pays.
  const bool may_grow = adaptive_ ? busy : limit() < max_;
  if (!may_grow || now - last_decrease_ < decrease_pause * 2) return;
  const int current = limit();
  if (is_recovering_) {
    // Half of what was too much is reached again by doubling; from there on, as ever.
    limit_.store(std::min(max_, std::max(1, std::min(current * 2, before_throttling_ / 2))), std::memory_order_relaxed);
    is_recovering_ = limit() < before_throttling_ / 2;
    return;
  }
  if (doubling_ && adaptive_) {
    if (score > best_score_ * worthwhile) {
      best_score_ = score;
      limit_.store(std::min(max_, current * 2), std::memory_order_relaxed);
    } else {
      doubling_ = false;
      limit_.store(std::max(std::min(first_limit, max_), current * 3 / 4), std::memory_order_relaxed);
      best_score_ = std::max(best_score_, score);
    }
    return;
  }
  if (!adaptive_ || score > best_score_ * 1.02) {
    best_score_ = std::max(best_score_, score);
    limit_.store(std::min(max_, current + std::max(1, current / 16)), std::memory_order_relaxed);
  } else {
    best_score_ *= 0.99;  // forgets slowly, so that a store that got slower is explored again
  }
}

}  // namespace waybill::internal
