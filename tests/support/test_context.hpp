// SPDX-License-Identifier: Apache-2.0
//
// A Context for tests: cancellable from any thread (an eventfd wakes whoever polls), with a deadline, and with
// everything that was logged and counted kept for the test to look at.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/error.hpp"

namespace waybill::testing {

/// *Thread safety:* every method from any thread; the setters before the context is used.
class TestContext final : public Context {
 public:
  TestContext() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~TestContext() override { ::close(fd_); }
  TestContext(const TestContext&) = delete;
  TestContext& operator=(const TestContext&) = delete;

  void cancel() {
    cancelled_ = true;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
  }
  void set_deadline(Clock::time_point deadline) { deadline_ = deadline; }
  void set_migration(std::string id) { migration_ = std::move(id); }
  void set_epoch(uint64_t epoch) { epoch_ = epoch; }
  void set_attempt(int attempt) { attempt_ = attempt; }

  uint64_t counter(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto found = counters_.find(name);
    return found == counters_.end() ? 0 : found->second;
  }
  std::vector<std::pair<LogLevel, std::string>> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  /// Bytes of the budget that are out on tickets now.
  uint64_t acquired() const { return acquired_; }

  bool cancelled() const noexcept override { return cancelled_ || Clock::now() >= deadline_; }
  int cancel_fd() const noexcept override { return fd_; }
  Clock::time_point deadline() const noexcept override { return deadline_; }
  bool sleep(std::chrono::milliseconds duration) override {
    const Clock::time_point end = std::min(Clock::now() + duration, deadline_);
    while (!cancelled()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      if (left.count() <= 0) return !cancelled();
      pollfd wait{fd_, POLLIN, 0};
      ::poll(&wait, 1, static_cast<int>(std::min<int64_t>(left.count(), 1000)));
    }
    return false;
  }
  Ticket acquire(uint64_t bytes) override {
    check();
    acquired_ += bytes;
    return {this, [](void* owner, uint64_t n) noexcept { static_cast<TestContext*>(owner)->acquired_ -= n; }, bytes};
  }
  int attempt() const noexcept override { return attempt_; }
  uint64_t epoch() const noexcept override { return epoch_; }
  std::string_view migration() const noexcept override { return migration_; }
  void log(LogLevel level, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(level, text);
  }
  void count(std::string_view name, uint64_t amount) override {
    const std::lock_guard lock(mutex_);
    counters_[std::string(name)] += amount;
  }

 private:
  const int fd_;
  std::atomic<bool> cancelled_{false};
  Clock::time_point deadline_ = Clock::time_point::max();
  std::string migration_ = "00000000c0ffee00";
  uint64_t epoch_ = 1;
  int attempt_ = 1;
  std::atomic<uint64_t> acquired_{0};
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> counters_;        // guarded by mutex_
  std::vector<std::pair<LogLevel, std::string>> lines_;          // guarded by mutex_
};

}  // namespace waybill::testing
