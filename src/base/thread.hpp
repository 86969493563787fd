// SPDX-License-Identifier: Apache-2.0
//
// A joining thread with a stack of our choice: std::thread would give each of up to 512 transfer threads the host's
// default of 8 MiB of address space.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <string>

namespace waybill::internal {

/// Joins when destroyed. Move-only. In a forked child, where the thread does not exist, joining does nothing.
class Thread {
 public:
  Thread() = default;
  /// `name` is at most 15 bytes, as shown by debuggers. All signals are blocked in the thread: they are the host's.
  /// Errors: resource_exhausted, retryable (no thread to be had).
  Thread(const char* name, std::function<void()> body);
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  ~Thread() { join(); }

  void join();
  bool joinable() const noexcept { return joinable_; }

 private:
  pthread_t id_{};
  bool joinable_ = false;
  pid_t process_ = 0;
};

}  // namespace waybill::internal
