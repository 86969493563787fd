// SPDX-License-Identifier: Apache-2.0
//
// What all Contexts share, and the one that belongs to no run.
#include "waybill/context.hpp"

#include <poll.h>

#include <array>
#include <thread>

#include "waybill/error.hpp"

namespace waybill {
namespace {

class BackgroundContext final : public Context {
 public:
  bool cancelled() const noexcept override { return false; }
  int cancel_fd() const noexcept override { return -1; }
  Clock::time_point deadline() const noexcept override { return Clock::time_point::max(); }
  bool sleep(std::chrono::milliseconds duration) override {
    std::this_thread::sleep_for(duration);
    return true;
  }
  Ticket acquire(uint64_t bytes) override {
    return Ticket(
        this, [](void*, uint64_t) noexcept {}, bytes);
  }
  int attempt() const noexcept override { return 0; }
  uint64_t epoch() const noexcept override { return 0; }
  std::string_view migration() const noexcept override { return {}; }
  void log(LogLevel, std::string_view) override {}
  void count(std::string_view, uint64_t) override {}
};

// A cancellation shows on the descriptor, a deadline does not.
bool cancellation_is_signalled(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return fd >= 0 && poll(&entry, 1, 0) == 1;
}

}  // namespace

const char* to_string(LogLevel level) noexcept {
  constexpr std::array words = {"debug", "info", "warning", "error"};
  const auto index = static_cast<size_t>(level);
  return index < words.size() ? words[index] : "error";
}

Context::~Context() = default;

void Context::check() const {
  if (!cancelled()) return;
  if (Clock::now() >= deadline() && !cancellation_is_signalled(cancel_fd())) {
    throw Error(ErrorCode::deadline_exceeded, ErrorClass::timeout, "the time for this call is over").set_retryable();
  }
  throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "cancelled");
}

Context& Context::background() {
  static BackgroundContext context;
  return context;
}

}  // namespace waybill
