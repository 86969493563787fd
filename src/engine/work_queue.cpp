// SPDX-License-Identifier: Apache-2.0

#include "engine/work_queue.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "engine/large_object.hpp"

namespace waybill::internal {
namespace {

// Items whose next try has to wait are held in memory: this many of them stop the claiming of more.
constexpr size_t most_waiting = 2048;
// Between two works of a run whose endpoints fail: doubled from the first to the last.
constexpr std::chrono::milliseconds first_probe_wait{250};
constexpr std::chrono::milliseconds longest_probe_wait{5000};

}  // namespace

WorkQueue::WorkQueue(ConcurrencyController& concurrency, std::function<void()> want_claim)
    : concurrency_(concurrency), want_claim_(std::move(want_claim)) {}

std::optional<Work> WorkQueue::next() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopped_) return std::nullopt;
    if (!held_ && room() > 0) {
      if (std::optional<Work> work = take()) {
        ++running_;
        if (probing_) {
          next_probe_ = Clock::now() + probe_wait_;
          probe_wait_ = std::min(probe_wait_ * 2, longest_probe_wait);
        }
        begin(*work);
        const bool low = runs_low();
        lock.unlock();
        if (low) want_claim_();
        return work;
      }
    }
    changed_.wait(lock);
  }
}

int WorkQueue::room() const {
  if (probing_ && Clock::now() < next_probe_) return 0;
  int limit = probing_ ? 1 : concurrency_.limit();
  if (is_on_trial_) limit = std::min(limit, static_cast<int>(trial_items - std::min(kept_back_, trial_items)));
  return limit - running_;
}

bool WorkQueue::runs_low() const {
  return fresh_.size() < static_cast<size_t>(concurrency_.limit()) && delayed_.size() + due_.size() < most_waiting;
}

std::optional<Work> WorkQueue::take() {
  while (!objects_.empty()) {
    const std::shared_ptr<LargeObject> object = objects_.front();
    if (const uint32_t part = object->next_part(); part != 0) return Work{nullptr, object, part, 0, 0, {}};
    objects_.pop_front();
  }
  if (!due_.empty()) {
    Work work = std::move(due_.front());
    due_.pop_front();
    return work;
  }
  if (!fresh_.empty()) {
    Work work{std::move(fresh_.front()), nullptr, 0, 0, 0, {}};
    fresh_.pop_front();
    return work;
  }
  return std::nullopt;
}

void WorkQueue::begin(Work& work) {
  if (work.item == nullptr || work.item->is_active) return;
  work.item->started_at_ms = now_ms();
  work.item->place = active_.insert(active_.end(), work.item);
  work.item->is_active = true;
}

void WorkQueue::done() {
  std::scoped_lock lock(mutex_);
  --running_;
  changed_.notify_one();
}

void WorkQueue::add(std::vector<Claimed> claimed) {
  std::scoped_lock lock(mutex_);
  if (stopped_) return;
  for (Claimed& one : claimed) fresh_.push_back(std::make_shared<ItemTask>(std::move(one)));
  // Each thread that takes work leaves the lock before the next one needs it, so waking them one by one costs least.
  for (size_t i = 0; i < std::min<size_t>(claimed.size(), static_cast<size_t>(concurrency_.limit())); ++i) changed_.notify_one();
}

void WorkQueue::add_object(std::shared_ptr<LargeObject> object) {
  std::scoped_lock lock(mutex_);
  if (stopped_) return;
  objects_.push_back(std::move(object));
  changed_.notify_all();
}

void WorkQueue::retry(Work work, std::chrono::milliseconds after) {
  std::scoped_lock lock(mutex_);
  if (stopped_) return;
  delayed_.push(Delayed{Clock::now() + after, std::move(work)});
}

void WorkQueue::leave(ItemTask& task) {
  std::scoped_lock lock(mutex_);
  if (!task.is_active) return;
  task.is_active = false;
  active_.erase(task.place);
}

bool WorkQueue::wants_claim() const {
  std::scoped_lock lock(mutex_);
  return !stopped_ && !held_ && runs_low();
}

void WorkQueue::hold(bool held) {
  std::scoped_lock lock(mutex_);
  held_ = held;
  changed_.notify_all();
}

void WorkQueue::probe(bool probing) {
  std::scoped_lock lock(mutex_);
  if (probing_ == probing) return;
  probing_ = probing;
  probe_wait_ = first_probe_wait;
  next_probe_ = {};
  // What waits does so for an outage that is over. How many go at once, the concurrency says.
  for (; !probing && !delayed_.empty(); delayed_.pop()) due_.push_back(delayed_.top().work);
  changed_.notify_all();
}

void WorkQueue::end_trial() {
  std::scoped_lock lock(mutex_);
  is_on_trial_ = false;
  changed_.notify_all();
}

void WorkQueue::keep_back(size_t count) {
  std::scoped_lock lock(mutex_);
  kept_back_ = count;
}

void WorkQueue::stop() {
  std::scoped_lock lock(mutex_);
  stopped_ = true;
  fresh_.clear();
  due_.clear();
  delayed_ = {};
  objects_.clear();
  changed_.notify_all();
}

void WorkQueue::tick() {
  std::scoped_lock lock(mutex_);
  const auto now = Clock::now();
  while (!delayed_.empty() && delayed_.top().at <= now) {
    due_.push_back(delayed_.top().work);
    delayed_.pop();
  }
  // Also covers a limit that was raised since.
  if (!due_.empty() || !fresh_.empty() || !objects_.empty()) changed_.notify_all();
}

bool WorkQueue::is_stopped() const {
  std::scoped_lock lock(mutex_);
  return stopped_;
}

int WorkQueue::running() const {
  std::scoped_lock lock(mutex_);
  return running_;
}

bool WorkQueue::is_idle() const {
  std::scoped_lock lock(mutex_);
  return running_ == 0 && fresh_.empty() && objects_.empty() && due_.empty() && delayed_.empty();
}

bool WorkQueue::is_busy() const {
  std::scoped_lock lock(mutex_);
  return running_ >= concurrency_.limit() && !(fresh_.empty() && objects_.empty() && due_.empty());
}

size_t WorkQueue::backlog() const {
  std::scoped_lock lock(mutex_);
  return fresh_.size() + due_.size() + objects_.size();
}

int64_t WorkQueue::in_progress() const {
  std::scoped_lock lock(mutex_);
  return static_cast<int64_t>(active_.size());
}

void WorkQueue::set_stamp(ItemTask& task, SourceStamp stamp) {
  std::scoped_lock lock(mutex_);
  task.record.stamp = std::move(stamp);
}

std::vector<InFlight> WorkQueue::in_flight(size_t at_most) const {
  std::scoped_lock lock(mutex_);
  std::vector<InFlight> result;
  for (const std::shared_ptr<ItemTask>& task : active_) {
    if (result.size() == at_most) break;
    InFlight entry;
    entry.partition = task->record.id.partition;
    entry.key = task->record.id.key;
    entry.bytes_done = task->bytes_done.load(std::memory_order_relaxed);
    entry.bytes_total = task->record.stamp.size;
    entry.attempt = static_cast<int>(task->attempts.load(std::memory_order_relaxed));
    entry.started_at_ms = task->started_at_ms;
    result.push_back(std::move(entry));
  }
  return result;
}

}  // namespace waybill::internal
