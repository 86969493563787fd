// SPDX-License-Identifier: Apache-2.0

#include "calls.hpp"

#include <cxxabi.h>
#include <pthread.h>
#include <pybind11/stl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <thread>
#include <vector>

namespace waybill::python {
namespace {

using namespace std::chrono_literals;
using Clock = Context::Clock;

constexpr auto brisk = 200us;       // calls up to here are waited for by the next one
constexpr auto too_long = 1ms;      // for a call to wait for a thread
constexpr auto look_interval = 50ms;
constexpr auto grace = 250ms;       // for a call that notices its cancellation
constexpr auto idle_time = 10s;     // of a thread before it ends
constexpr auto sleep_slice = 50ms;  // how long detach() may have to wait for a sleep

Error cancelled_error(const char* why) { return Error(ErrorCode::cancelled, ErrorClass::cancelled, why); }

[[noreturn]] void hang() {
  for (;;) ::pause();
}

/// The threads that call Python. One that has the GIL runs what waits, call after call. While calls take long, one more
/// stands by for the GIL, and gets it where user code lets go of it; while they are short, one comes only for calls that
/// nobody has taken for a millisecond. So calls that only compute cost no switch of threads each, and calls that block hold
/// up nobody. Threads begin on demand and end when there was nothing to do for a while; nobody joins them. Never
/// destroyed, so that a thread that is left behind at exit finds what it waits for.
class Pool {
 public:
  void submit(const std::shared_ptr<Call>& call) {
    const std::lock_guard lock(mutex_);
    if (is_closed_) throw cancelled_error("the Python interpreter is exiting");
    waiting_.push_back(call);
    try {
      if (n_running_ == 0 || !is_brisk_) stand_by();
    } catch (...) {
      waiting_.pop_back();
      throw;
    }
  }

  /// `call` has waited for longer than it should.
  void hurry(const Call& call) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& one) { return one.get() == &call; });
    if (found != waiting_.end()) n_overdue_ = std::max<size_t>(n_overdue_, found - waiting_.begin() + 1);
    stand_by();
  }

  void close() {
    std::deque<std::shared_ptr<Call>> left;
    {
      const std::lock_guard lock(mutex_);
      is_closed_ = true;
      left.swap(waiting_);
    }
    // Not under the lock: what ends with a call that nobody waits for is closed, by user code.
    for (const auto& call : left) refuse(*call);
  }
  bool is_closed() const {
    const std::lock_guard lock(mutex_);
    return is_closed_;
  }

 private:
  struct Worker {
    std::condition_variable changed;
    bool is_wanted = false;  // guarded by mutex_
  };

  /// Sees to it that a thread comes for what waits. With mutex_ held.
  void stand_by() {
    if (has_standby_ || waiting_.empty()) return;
    if (idle_.empty()) {
      begin();
    } else {
      Worker* const worker = idle_.back();
      idle_.pop_back();
      worker->is_wanted = true;
      worker->changed.notify_one();
    }
    has_standby_ = true;
  }

  // With mutex_ held. The signals of the process are its main thread's.
  void begin() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::system_error& error) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw system_error(error.code().value(), "start of a thread for Python").set_retryable();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  // Once it is closed, the interpreter is left alone.
  void serve() {
    pthread_setname_np(pthread_self(), "wb-python");
    if (is_closed()) return;
    const PyGILState_STATE state = PyGILState_Ensure();
    Worker self;
    for (;;) {
      bool is_first = true;
      while (const std::shared_ptr<Call> call = take(std::exchange(is_first, false))) {
        const auto begun = Clock::now();
        const std::exception_ptr error = run(*call);
        ended(Clock::now() - begun);
        finish(*call, error);
      }
      PyThreadState* const saved = PyEval_SaveThread();
      const bool is_wanted = park(self);
      if (is_closed()) return;
      PyEval_RestoreThread(saved);
      if (!is_wanted) break;
    }
    PyGILState_Release(state);
  }

  std::shared_ptr<Call> take(bool was_standby) {
    const std::lock_guard lock(mutex_);
    if (was_standby) has_standby_ = false;
    if (waiting_.empty()) return nullptr;
    std::shared_ptr<Call> call = std::move(waiting_.front());
    waiting_.pop_front();
    ++n_running_;
    if (n_overdue_ > 0) --n_overdue_;
    try {
      if (!is_brisk_ || n_overdue_ > 0) stand_by();
    } catch (const std::exception&) {
      // This thread comes back for what waits.
    }
    return call;
  }

  void ended(Clock::duration taken) {
    const std::lock_guard lock(mutex_);
    --n_running_;
    is_brisk_ = taken < brisk;
  }

  /// Until it is wanted again; false where it has been idle for long enough.
  bool park(Worker& self) {
    std::unique_lock lock(mutex_);
    if (!waiting_.empty() && !has_standby_) return has_standby_ = true;
    idle_.push_back(&self);
    self.is_wanted = false;
    self.changed.wait_for(lock, idle_time, [&] { return self.is_wanted; });
    if (!self.is_wanted) std::erase(idle_, &self);
    return self.is_wanted;
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
    call.changed.notify_one();
  }
  static void refuse(Call& call) {
    finish(call, std::make_exception_ptr(cancelled_error("the Python interpreter is exiting")));
  }

  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<Call>> waiting_;  // guarded by mutex_
  size_t n_overdue_ = 0;                       // of them, from the front: they have waited too long; guarded by mutex_
  std::vector<Worker*> idle_;                  // the last to come is the first to go; guarded by mutex_
  bool has_standby_ = false;                   // a thread is on its way to the GIL; guarded by mutex_
  int n_running_ = 0;                          // calls under way; guarded by mutex_
  bool is_brisk_ = false;                      // the last call was short; guarded by mutex_
  bool is_closed_ = false;                     // guarded by mutex_
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

py::object call_with(py::handle object, const char* name, PyObject* const* arguments, size_t count) {
  const py::object method = object.attr(name);
  PyObject* result = nullptr;
  try {
    result = PyObject_Vectorcall(method.ptr(), arguments, count, nullptr);
  } catch (abi::__forced_unwind&) {
    hang();
  }
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

}  // namespace

Ref::Ref(py::object object) : object_(object.release().ptr(), drop) {}

SharedContext::SharedContext(std::optional<double> timeout_seconds, std::string migration) : migration_(std::move(migration)) {
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
  if (!call.changed.wait_for(lock, too_long, [&] { return call.is_done; })) {
    lock.unlock();
    pool().hurry(call);
    lock.lock();
  }
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

Error error_of(const py::dict& fields) {
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
}

Error to_error(py::error_already_set& raised) {
  try {
    if (raised.trace()) PyException_SetTraceback(raised.value().ptr(), raised.trace().ptr());
    return error_of(py::module_::import("waybill.failures").attr("failure_fields")(raised.value()));
  } catch (py::error_already_set& failure) {
    return Error(ErrorCode::internal, ErrorClass::internal, "an exception in Python that cannot be described");
  } catch (const std::exception&) {
    return Error(ErrorCode::internal, ErrorClass::internal, "an exception in Python with odd fields");
  }
}

py::object call_method(py::handle object, const char* name, std::initializer_list<py::handle> arguments) {
  std::vector<PyObject*> words;
  words.reserve(arguments.size());
  for (const py::handle& argument : arguments) words.push_back(argument.ptr());
  return call_with(object, name, words.data(), words.size());
}

py::object call_method(py::handle object, const char* name, const py::tuple& arguments) {
  return call_with(object, name, PySequence_Fast_ITEMS(arguments.ptr()), arguments.size());
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
