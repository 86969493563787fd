// SPDX-License-Identifier: Apache-2.0

#include "base/thread.hpp"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t stack_bytes = 4 << 20;  // sanitizers put red zones between variables
#else
constexpr size_t stack_bytes = 256 << 10;
#endif

void* run(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

Thread::Thread(const char* name, std::function<void()> body) {
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&id_, &attributes, run, argument.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (failed != 0) throw system_error(failed, std::string("start of thread ") + name).set_retryable();
  (void)argument.release();
  joinable_ = true;
  process_ = getpid();
  pthread_setname_np(id_, name);
}

Thread::Thread(Thread&& other) noexcept
    : id_(other.id_), joinable_(std::exchange(other.joinable_, false)), process_(other.process_) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (this != &other) {
    join();
    id_ = other.id_;
    joinable_ = std::exchange(other.joinable_, false);
    process_ = other.process_;
  }
  return *this;
}

void Thread::join() {
  if (!joinable_) return;
  joinable_ = false;
  if (process_ != getpid()) return;
  pthread_join(id_, nullptr);
}

}  // namespace waybill::internal
