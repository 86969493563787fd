// SPDX-License-Identifier: Apache-2.0
//
// How the engine reaches code in Python. Its own threads never touch the interpreter: a call is handed to a thread of
// a pool here, which takes the GIL, and the engine's thread waits for it.
//
//   engine thread ── in_python(work) ─► pool thread: GIL, user code, result ─► engine thread
//                                   └─ cancelled? after a quarter of a second the call is given up, its result dropped
//
// So a store that hangs, or an interpreter that exits, holds up no run; user code has the stack that Python expects;
// and what a call may touch of the engine's (a buffer, a body, a context) is taken from it when it is given up.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "bindings.hpp"

namespace waybill::python {

/// A reference to a Python object that any thread may copy and drop, with or without the GIL.
class Ref {
 public:
  Ref() = default;
  /// With the GIL held.
  explicit Ref(py::object object);
  py::handle get() const { return object_.get(); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  std::shared_ptr<PyObject> object_;
};

/// A Context that outlives the call that it was given to: detached, it touches nothing of the engine's any more. Without
/// one to forward to, it is a host's own, which cancel() and its deadline end.
///
/// *Thread safety:* any thread.
class SharedContext final : public Context {
 public:
  SharedContext() = default;
  SharedContext(std::optional<double> timeout_seconds, std::string migration);
  ~SharedContext() override;

  void attach(Context& real);
  /// Waits for whoever is inside the real one; none of its methods blocks past cancellation.
  void detach();
  void cancel();
  /// Runs `use` while attached, and holds detach() back until it is done; false if the call was given up.
  bool while_attached(const std::function<void()>& use);

  bool cancelled() const noexcept override;
  int cancel_fd() const noexcept override;
  Clock::time_point deadline() const noexcept override;
  bool sleep(std::chrono::milliseconds duration) override;
  Ticket acquire(uint64_t bytes) override;
  int attempt() const noexcept override;
  uint64_t epoch() const noexcept override;
  std::string_view migration() const noexcept override;
  void log(LogLevel level, std::string_view text) override;
  void count(std::string_view name, uint64_t amount) override;

 private:
  mutable std::mutex mutex_;
  mutable int descriptor_ = -1;  // an eventfd, made when it is asked for
  Context* real_ = nullptr;
  bool is_cancelled_ = false;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::string migration_;  // what migration() gives out stays valid
};

/// A call on its way: what the pool runs, and how whoever waits is told.
struct Call {
  std::function<void()> work;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_done = false;      // guarded by mutex
  std::exception_ptr error;  // guarded by mutex
};

/// Hands `call` to a thread of the pool. Errors: cancelled (the interpreter is exiting).
void submit(const std::shared_ptr<Call>& call);
/// Waits for `call`, and gives it up when `context` is cancelled and it does not end. Errors: what it threw; cancelled.
void wait_for(Call& call, SharedContext& shared, Context& context);

/// From now on no call enters Python: those that would throw cancelled. For an interpreter that exits.
void close_calls();

/// The Error of waybill.failures.failure_fields. With the GIL held. Errors: of pybind11, where the fields are odd.
Error error_of(const py::dict& fields);
/// What user code threw, as an Error: one line, with where it came from. With the GIL held.
Error to_error(py::error_already_set& error);

/// Runs `work` in Python for the engine's thread that calls this. It is given the GIL, and must use nothing of the caller's
/// but through `shared`. Errors: what user code raised, as an Error; cancelled.
template <class Result>
Result in_python(const std::shared_ptr<SharedContext>& shared, Context& context, std::function<Result()> work) {
  const auto call = std::make_shared<Call>();
  const auto result = std::make_shared<std::optional<Result>>();
  call->work = [result, work = std::move(work)] { result->emplace(work()); };
  shared->attach(context);
  try {
    submit(call);
    wait_for(*call, *shared, context);
  } catch (...) {
    shared->detach();
    throw;
  }
  shared->detach();
  return std::move(**result);
}

/// Calls a method of a Python object. With the GIL held. Where the interpreter exits meanwhile, it never returns: a thread
/// that must not run any more cannot be unwound through C++.
py::object call_method(py::handle object, const char* name, std::initializer_list<py::handle> arguments);
py::object call_method(py::handle object, const char* name, const py::tuple& arguments);
/// The next of an iterator; null at its end. As call_method.
py::object next_of(py::handle iterator);

/// Runs `work` without the GIL, for functions that user code calls.
template <class Work>
auto released(Work&& work) -> decltype(work()) {
  struct Released {
    PyThreadState* state = PyEval_SaveThread();
    ~Released() noexcept(false) { PyEval_RestoreThread(state); }
  } const state;
  return work();
}

}  // namespace waybill::python
