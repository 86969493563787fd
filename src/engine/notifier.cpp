// SPDX-License-Identifier: Apache-2.0

#include "engine/notifier.hpp"

#include <chrono>
#include <optional>

namespace waybill::internal {
namespace {

// Progress comes at most this often.
constexpr std::chrono::milliseconds pace{100};
constexpr size_t page = 256;

}  // namespace

Notifier::Notifier(Tracker& tracker, Callbacks callbacks, uint64_t run, uint64_t after_seq, std::function<Snapshot()> snapshot,
                   std::function<void(std::exception_ptr)> threw)
    : tracker_(tracker),
      callbacks_(std::move(callbacks)),
      run_(run),
      after_seq_(after_seq),
      snapshot_(std::move(snapshot)),
      threw_(std::move(threw)) {}

Notifier::~Notifier() { finish(); }

void Notifier::start() {
  if (!callbacks_.on_event && !callbacks_.on_progress) return;
  thread_ = Thread("wb-notify", [this] { loop(); });
}

void Notifier::notify() {
  std::scoped_lock lock(mutex_);
  is_new_ = true;
  changed_.notify_one();
}

void Notifier::finish() {
  {
    std::scoped_lock lock(mutex_);
    is_finishing_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void Notifier::loop() {
  id_ = std::this_thread::get_id();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return is_new_ || is_finishing_; });
    const bool is_last = is_finishing_;
    is_new_ = false;
    lock.unlock();
    try {
      deliver(is_last);
    } catch (const Error& error) {
      // A ledger that cannot be read now is read at the next turn; anything else came out of a callback.
      if (error.error_class() != ErrorClass::tracker && error.error_class() != ErrorClass::locked) return threw_(std::current_exception());
    } catch (...) {
      return threw_(std::current_exception());
    }
    if (is_last) return;
    lock.lock();
    changed_.wait_for(lock, pace, [this] { return is_finishing_; });
  }
}

void Notifier::deliver(bool is_last) {
  std::optional<Event> held;  // the newest event, held back so that the last progress comes before the last event
  if (callbacks_.on_event) {
    for (;;) {
      const std::vector<Event> events = tracker_.events(after_seq_, page);
      for (const Event& event : events) {
        if (held) callbacks_.on_event(*held);
        held.reset();
        after_seq_ = event.seq;
        if (event.run == run_) held = event;
      }
      if (events.size() < page) break;
    }
    if (held && !is_last && held->kind == EventKind::run && is_ended(snapshot_().state)) {
      after_seq_ = held->seq - 1;  // it may be the end, which comes after the last progress
      return;
    }
    if (held && !is_last) {
      callbacks_.on_event(*held);
      held.reset();
    }
  }
  if (callbacks_.on_progress) callbacks_.on_progress(snapshot_());
  if (held) callbacks_.on_event(*held);
}

}  // namespace waybill::internal
