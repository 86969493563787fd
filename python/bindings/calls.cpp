// SPDX-License-Identifier: Apache-2.0

#include "calls.hpp"

#include <cxxabi.h>
#include <pthread.h>
#include <pybind11/stl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

namespace waybill::python {
namespace {

using namespace std::chrono_literals;
using Clock = Context::Clock;

constexpr auto look_interval = 50ms;
constexpr auto grace = 250ms;       // for a call that notices its cancellation
constexpr auto idle_time = 10s;     // of a thread before it ends
constexpr auto sleep_slice = 50ms;  // how long detach() may have to wait for a sleep

Error cancelled_error(const char* why) { return Error(ErrorCode::cancelled, ErrorClass::cancelled, why); }

[[noreturn]] void hang() {
  for (;;) ::pause();
}

/// The threads that call Python. They begin on demand, and end when there was nothing to do for a while; nobody joins
/// them. Never destroyed, so that a thread that is left behind at exit finds what it waits for.
class Pool {
 public:
  void submit(const std::shared_ptr<Call>& call) {
    const std::lock_guard lock(mutex_);
    if (is_closed_) throw cancelled_error("the Python interpreter is exiting");
    if (idle_.empty()) return begin(call);
    Worker* const worker = idle_.back();
    idle_.pop_back();
    worker->call = call;
    worker->changed.notify_one();
  }

  void close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
  }
  bool is_closed() const {
    const std::lock_guard lock(mutex_);
    return is_closed_;
  }

 private:
  struct Worker {
    std::condition_variable changed;
    std::shared_ptr<Call> call;  // guarded by mutex_
  };

  // With mutex_ held. The signals of the process are its main thread's.
  void begin(const std::shared_ptr<Call>& call) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this, call] { serve(call); }).detach();
    } catch (const std::system_error& error) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw system_error(error.code().value(), "start of a thread for Python").set_retryable();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void serve(std::shared_ptr<Call> call) {
    pthread_setname_np(pthread_self(), "wb-python");
    if (is_closed()) return;
    const PyGILState_STATE state = PyGILState_Ensure();
    PyThreadState* saved = PyEval_SaveThread();
    Worker self;
    while (call) {
      if (is_closed()) {
        finish(*call, std::make_exception_ptr(cancelled_error("the Python interpreter is exiting")));
        return;  // the interpreter is left alone from now on
      }
      PyEval_RestoreThread(saved);
      std::exception_ptr error = run(*call);
      saved = PyEval_SaveThread();
      {
        const std::lock_guard lock(mutex_);
        idle_.push_back(&self);  // before the caller knows: its next call finds this thread
      }
      finish(*call, error);
      error = nullptr;
      call.reset();
      call = next_call(self);
    }
    if (is_closed()) return;
    PyEval_RestoreThread(saved);
    PyGILState_Release(state);
  }

  static std::exception_ptr run(Call& call) {
    std::exception_ptr error;
    try {
      call.work();
    } catch (py::error_already_set& raised) {
      error = std::make_exception_ptr(to_error(raised));
    } catch (const std::exception&) {
      error = std::current_exception();
    }
    call.work = nullptr;  // what it holds of Python's goes while the GIL is held
    return error;
  }

  static void finish(Call& call, const std::exception_ptr& error) {
    const std::lock_guard lock(call.mutex);
    call.error = error;
    call.is_done = true;
    call.changed.notify_all();
  }

  /// The next call for `self`; null when it has been idle for long enough.
  std::shared_ptr<Call> next_call(Worker& self) {
    std::unique_lock lock(mutex_);
    self.changed.wait_for(lock, idle_time, [&] { return self.call != nullptr; });
    if (!self.call) std::erase(idle_, &self);
    return std::exchange(self.call, nullptr);
  }

  mutable std::mutex mutex_;
  std::vector<Worker*> idle_;  // the last to come is the first to go; guarded by mutex_
  bool is_closed_ = false;     // guarded by mutex_
};

std::atomic<Pool*> the_pool{nullptr};
std::atomic<pid_t> pool_process{0};
std::mutex pool_mutex;

/// In a forked child the threads do not exist: it gets a pool of its own.
Pool& pool() {
  if (pool_process.load() != ::getpid()) {
    const std::lock_guard lock(pool_mutex);
    if (pool_process.load() != ::getpid()) {
      the_pool = new Pool;
      pool_process = ::getpid();
    }
  }
  return *the_pool.load();
}

/// Gives `object` up where it may be done: with the GIL, on a thread of the pool.
void drop(PyObject* object) noexcept {
  if (object == nullptr) return;
  if (Py_IsInitialized() != 0 && PyGILState_Check() != 0) {
    Py_DECREF(object);
    return;
  }
  try {
    const auto call = std::make_shared<Call>();
    call->work = [object] { Py_DECREF(object); };
    submit(call);
  } catch (const std::exception&) {
    // The interpreter exits, and takes everything with it.
  }
}

}  // namespace

Ref::Ref(py::object object) : object_(object.release().ptr(), drop) {}

SharedContext::SharedContext(std::optional<double> timeout_seconds) {
  if (timeout_seconds) {
    deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*timeout_seconds));
  }
}

SharedContext::~SharedContext() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void SharedContext::attach(Context& real) {
  const std::lock_guard lock(mutex_);
  real_ = &real;
  if (migration_.empty()) migration_ = real.migration();
}

void SharedContext::detach() {
  const std::lock_guard lock(mutex_);
  real_ = nullptr;
}

void SharedContext::cancel() {
  const std::lock_guard lock(mutex_);
  is_cancelled_ = true;
  if (descriptor_ >= 0) eventfd_write(descriptor_, 1);
}

bool SharedContext::while_attached(const std::function<void()>& use) {
  const std::lock_guard lock(mutex_);
  if (real_ == nullptr) return false;
  use();
  return true;
}

bool SharedContext::cancelled() const noexcept {
  const std::lock_guard lock(mutex_);
  return is_cancelled_ || Clock::now() >= deadline_ || (real_ != nullptr && real_->cancelled());
}

int SharedContext::cancel_fd() const noexcept {
  const std::lock_guard lock(mutex_);
  if (descriptor_ < 0) {
    descriptor_ = eventfd(is_cancelled_ ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
  return descriptor_;
}

Context::Clock::time_point SharedContext::deadline() const noexcept {
  const std::lock_guard lock(mutex_);
  return real_ != nullptr ? std::min(deadline_, real_->deadline()) : deadline_;
}

bool SharedContext::sleep(std::chrono::milliseconds duration) {
  const auto end = Clock::now() + duration;
  for (;;) {
    if (cancelled()) return false;
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return true;
    std::this_thread::sleep_for(std::min<Clock::duration>(left, sleep_slice));
  }
}

Ticket SharedContext::acquire(uint64_t bytes) {
  return Ticket(
      this, [](void*, uint64_t) noexcept {}, bytes);
}

int SharedContext::attempt() const noexcept {
  const std::lock_guard lock(mutex_);
  return real_ != nullptr ? real_->attempt() : 0;
}

uint64_t SharedContext::epoch() const noexcept {
  const std::lock_guard lock(mutex_);
  return real_ != nullptr ? real_->epoch() : 0;
}

std::string_view SharedContext::migration() const noexcept { return migration_; }

void SharedContext::log(LogLevel level, std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (real_ != nullptr) real_->log(level, text);
}

void SharedContext::count(std::string_view name, uint64_t amount) {
  const std::lock_guard lock(mutex_);
  if (real_ != nullptr) real_->count(name, amount);
}

void submit(const std::shared_ptr<Call>& call) { pool().submit(call); }

void wait_for(Call& call, SharedContext& shared, Context& context) {
  std::unique_lock lock(call.mutex);
  bool was_cancelled = false;
  while (!call.changed.wait_for(lock, look_interval, [&] { return call.is_done; })) {
    if (!context.cancelled()) continue;
    was_cancelled = true;
    shared.cancel();
    if (!call.changed.wait_for(lock, grace, [&] { return call.is_done; })) {
      context.check();
      throw cancelled_error("given up: the call into Python did not return");
    }
    break;
  }
  if (!call.error) return;
  // Whatever it raised when it was stopped, it was stopped.
  if (was_cancelled || context.cancelled()) context.check();
  if (pool().is_closed()) throw cancelled_error("the Python interpreter is exiting");
  std::rethrow_exception(call.error);
}

void close_calls() { pool().close(); }

Error to_error(py::error_already_set& raised) {
  try {
    if (raised.trace()) PyException_SetTraceback(raised.value().ptr(), raised.trace().ptr());
    const py::dict fields = py::module_::import("waybill.failures").attr("failure_fields")(raised.value());
    const std::string code = fields["code"].cast<std::string>();
    ErrorCode number = ErrorCode::unknown;
    for (int i = 0; i <= static_cast<int>(ErrorCode::unauthenticated); ++i) {
      if (code == to_string(static_cast<ErrorCode>(i))) number = static_cast<ErrorCode>(i);
    }
    Error error(number, error_class_from(fields["error_class"].cast<std::string>()).value_or(ErrorClass::internal),
                fields["message"].cast<std::string>());
    error.set_retryable(fields["retryable"].cast<bool>()).set_http_status(fields["http_status"].cast<int>());
    error.set_provider_code(fields["provider_code"].cast<std::string>()).set_request_id(fields["request_id"].cast<std::string>());
    if (const auto wait = fields["retry_after"].cast<std::optional<double>>()) {
      error.set_retry_after(std::chrono::milliseconds(static_cast<int64_t>(*wait * 1000)));
    }
    return error;
  } catch (py::error_already_set& failure) {
    return Error(ErrorCode::internal, ErrorClass::internal, "an exception in Python that cannot be described");
  } catch (const std::exception&) {
    return Error(ErrorCode::internal, ErrorClass::internal, "an exception in Python with odd fields");
  }
}

py::object call_method(py::handle object, const char* name, std::initializer_list<py::handle> arguments) {
  const py::object method = object.attr(name);
  std::vector<PyObject*> words;
  words.reserve(arguments.size());
  for (const py::handle& argument : arguments) words.push_back(argument.ptr());
  PyObject* result = nullptr;
  try {
    result = PyObject_Vectorcall(method.ptr(), words.data(), words.size(), nullptr);
  } catch (abi::__forced_unwind&) {
    hang();
  }
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

py::object next_of(py::handle iterator) {
  PyObject* result = nullptr;
  try {
    result = PyIter_Next(iterator.ptr());
  } catch (abi::__forced_unwind&) {
    hang();
  }
  if (result == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

}  // namespace waybill::python
