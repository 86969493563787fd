// SPDX-License-Identifier: Apache-2.0
//
// How the engine stops blocking calls: a CancelSource fires once (and can be armed again when nothing uses it), and
// every CallContext that hangs on it reports cancelled() and makes its descriptor readable.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/body_pool.hpp"
#include "waybill/context.hpp"

namespace waybill::internal {

/// *Thread safety:* any thread.
class CancelSource {
 public:
  CancelSource();
  ~CancelSource();
  CancelSource(const CancelSource&) = delete;
  CancelSource& operator=(const CancelSource&) = delete;

  void fire() noexcept;
  /// Only while no call runs under this source.
  void rearm() noexcept;
  bool fired() const noexcept { return fired_.load(std::memory_order_acquire); }
  int fd() const noexcept { return fd_; }
  /// False if it fired before `duration` was over.
  bool sleep(std::chrono::milliseconds duration) const;

 private:
  std::atomic<bool> fired_{false};
  int fd_ = -1;
};

/// What the calls of one run have in common.
struct RunScope {
  CancelSource& cancel;
  BodyPool& bodies;
  std::string migration;
  uint64_t epoch = 0;
  std::function<void(LogLevel, std::string_view)> log;
  std::function<void(std::string_view, uint64_t)> count;
};

/// The Context of a connector's call inside a run.
class CallContext final : public Context {
 public:
  explicit CallContext(const RunScope& scope, int attempt = 0) : scope_(scope), attempt_(attempt) {}

  bool cancelled() const noexcept override { return scope_.cancel.fired(); }
  int cancel_fd() const noexcept override { return scope_.cancel.fd(); }
  Clock::time_point deadline() const noexcept override { return Clock::time_point::max(); }
  bool sleep(std::chrono::milliseconds duration) override { return scope_.cancel.sleep(duration); }
  Ticket acquire(uint64_t bytes) override { return scope_.bodies.acquire(bytes, scope_.cancel); }
  int attempt() const noexcept override { return attempt_; }
  uint64_t epoch() const noexcept override { return scope_.epoch; }
  std::string_view migration() const noexcept override { return scope_.migration; }
  void log(LogLevel level, std::string_view text) override { scope_.log(level, text); }
  void count(std::string_view name, uint64_t amount) override { scope_.count(name, amount); }

 private:
  const RunScope& scope_;
  int attempt_;
};

}  // namespace waybill::internal
