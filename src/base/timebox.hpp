// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "waybill/context.hpp"

namespace waybill::internal {

/// A Context that ends with another one, or after `limit`.
class Timebox final : public Context {
 public:
  Timebox(Context& outer, std::chrono::milliseconds limit)
      : outer_(outer), deadline_(std::min(outer.deadline(), Clock::now() + limit)) {}

  bool cancelled() const noexcept override { return outer_.cancelled() || Clock::now() >= deadline_; }
  int cancel_fd() const noexcept override { return outer_.cancel_fd(); }
  Clock::time_point deadline() const noexcept override { return deadline_; }
  bool sleep(std::chrono::milliseconds duration) override {
    const auto left = std::chrono::floor<std::chrono::milliseconds>(deadline_ - Clock::now());
    if (left >= duration) return outer_.sleep(duration) && !cancelled();
    if (left.count() > 0) outer_.sleep(left);
    return false;
  }
  Ticket acquire(uint64_t bytes) override { return outer_.acquire(bytes); }
  int attempt() const noexcept override { return outer_.attempt(); }
  uint64_t epoch() const noexcept override { return outer_.epoch(); }
  std::string_view migration() const noexcept override { return outer_.migration(); }
  void log(LogLevel level, std::string_view text) override { outer_.log(level, text); }
  void count(std::string_view name, uint64_t amount) override { outer_.count(name, amount); }

 private:
  Context& outer_;
  const Clock::time_point deadline_;
};

}  // namespace waybill::internal
