// SPDX-License-Identifier: Apache-2.0
//
// The HTTP/1.1 front: one thread, one epoll, every connection watched once and edge-triggered, so that an exchange
// costs three system calls (epoll_wait, recv, send). Delays and paces are timers; nothing here ever sleeps or waits.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>
#include <unordered_map>
#include <vector>

#include "support/fault_server/http.hpp"

namespace waybill::testing::fault {

using Clock = std::chrono::steady_clock;

class Connection;

/// *Thread safety:* start(), stop(), port(), post() from any thread; the rest belongs to the loop's thread.
class Loop {
 public:
  /// Listens on a free port of 127.0.0.1 (or on `port`). Throws std::system_error.
  explicit Loop(Handler& handler, uint16_t port = 0);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void start();
  /// Closes everything and joins the thread.
  void stop();
  uint16_t port() const noexcept { return port_; }
  uint64_t accepted() const noexcept { return accepted_; }

  /// Runs `work` on the loop's thread, after this call has returned.
  void post(std::function<void()> work);
  /// Resets every connection that is open, and refuses new ones for as long.
  void go_down(std::chrono::milliseconds time);

  // For connections.
  void wake_at(const Connection& connection, Clock::time_point time);
  void again(const Connection& connection);
  std::vector<char>& buffer() noexcept { return buffer_; }
  Handler& handler() noexcept { return handler_; }

 private:
  struct Timer {
    Clock::time_point time;
    uint64_t connection;
    bool operator>(const Timer& other) const { return time > other.time; }
  };

  void listen();
  void run();
  void accept_all();
  void take_posted();
  void fire_timers();
  void carry_on(uint64_t number);
  int wait_ms() const;

  Handler& handler_;
  uint16_t port_ = 0;
  int epoll_ = -1;
  int wake_ = -1;
  int listener_ = -1;
  std::atomic<uint64_t> accepted_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  // Of the thread.
  std::vector<char> buffer_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::vector<uint64_t> ready_;
};

}  // namespace waybill::testing::fault
