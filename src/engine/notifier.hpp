// SPDX-License-Identifier: Apache-2.0
//
// Delivers a run's callbacks on one thread of its own, from what is in the ledger: progress is the snapshot at that
// moment, events are read by sequence, so nothing piles up in memory behind a slow callback.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "base/thread.hpp"
#include "waybill/progress.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// *Thread safety:* any thread; start() and finish() from one.
class Notifier {
 public:
  /// `threw` is called once, on the notifier's thread, with what left a callback; no callback runs after it.
  Notifier(Tracker& tracker, Callbacks callbacks, uint64_t run, uint64_t after_seq, std::function<Snapshot()> snapshot,
           std::function<void(std::exception_ptr)> threw);
  ~Notifier();

  void start();
  /// There is something new in the ledger.
  void notify();
  /// Delivers what is left, a last progress, then the last event, and stops.
  void finish();
  bool is_current_thread() const noexcept { return id_.load() == std::this_thread::get_id(); }

 private:
  void loop();
  void deliver(bool is_last);

  Tracker& tracker_;
  const Callbacks callbacks_;
  const uint64_t run_;
  uint64_t after_seq_;
  const std::function<Snapshot()> snapshot_;
  const std::function<void(std::exception_ptr)> threw_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_new_ = false;       // guarded by mutex_
  bool is_finishing_ = false; // guarded by mutex_
  std::atomic<std::thread::id> id_{};  ///< of the notifier's thread, once it runs
  Thread thread_;
};

}  // namespace waybill::internal
