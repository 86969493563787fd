// SPDX-License-Identifier: Apache-2.0
//
// How many transfers may run at once. Starts at 16, doubles while that moves more, then adds; throttling, which is told
// apart from slowness, halves it. When the store has calmed down, half of the former limit is reached by doubling. A
// transfer reads and writes in one call chain, so one controller serves both directions: the slower endpoint is the one
// that sets the pace.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>

#include "waybill/options.hpp"

namespace waybill::internal {

/// *Thread safety:* any thread; tick() from one.
class ConcurrencyController {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ConcurrencyController(const Options& options);

  int limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
  /// A body was moved.
  void moved(uint64_t bytes) noexcept {
    bodies_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  /// A store asked to slow down.
  void throttled();
  /// Adjusts the limit from what was moved since the last call; about every half second. `busy`: whether the limit
  /// was what held transfers back.
  void tick(bool busy, Clock::time_point now);

 private:
  const bool adaptive_;
  const int max_;
  std::atomic<int> limit_;
  std::atomic<uint64_t> bodies_{0};
  std::atomic<uint64_t> bytes_{0};
  std::mutex mutex_;
  bool doubling_ = true;               // guarded by mutex_
  bool is_recovering_ = false;         // from throttling; guarded by mutex_
  int before_throttling_ = 0;          // limit before the first of a series of decreases; guarded by mutex_
  double best_score_ = 0;              // guarded by mutex_
  Clock::time_point last_tick_;        // guarded by mutex_
  Clock::time_point last_decrease_{};  // guarded by mutex_
};

}  // namespace waybill::internal
