// SPDX-License-Identifier: Apache-2.0
//
// A call that may take long: it works on a thread of its own that never touches Python, and Python waits for it in
// slices, so that Ctrl-C is seen. A Job that nobody waits for any more ends by itself, and takes what it made with it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "waybill/error.hpp"

namespace waybill::python {

template <class Result>
class Job {
 public:
  explicit Job(std::function<Result()> work) : state_(std::make_shared<State>()) {
    std::thread([state = state_, work = std::move(work)]() mutable {
      std::optional<Result> result;
      std::exception_ptr error;
      try {
        result.emplace(work());
      } catch (...) {
        error = std::current_exception();
      }
      work = nullptr;
      const std::lock_guard lock(state->mutex);
      state->result = std::move(result);
      state->error = error;
      state->is_done = true;
      state->changed.notify_all();
    }).detach();
  }

  bool wait(int64_t timeout_ms) const {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return state_->is_done; });
  }

  /// Once, after wait() was true.
  Result take() {
    const std::lock_guard lock(state_->mutex);
    if (state_->error) std::rethrow_exception(std::exchange(state_->error, nullptr));
    if (!state_->result) {
      throw Error(ErrorCode::failed_precondition, ErrorClass::internal, "the result is not there, or was taken");
    }
    Result result = std::move(*state_->result);
    state_->result.reset();
    return result;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_done = false;
    std::optional<Result> result;
    std::exception_ptr error;
  };
  std::shared_ptr<State> state_;
};

}  // namespace waybill::python
