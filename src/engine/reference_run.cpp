// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_run.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/clock.hpp"
#include "base/fault_point.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

// Batches in hand at once: a catalog is one service, and answers a batch in one call.
constexpr int default_workers = 4;
constexpr size_t most_queued = 8;
// Of all batches that wait, however large the catalog's are.
constexpr size_t most_queued_references = 16'000;
// Where partitions are kept apart: so many references are sorted by theirs before they become batches.
constexpr size_t sorted_references = 8'000;
constexpr size_t most_read = 1000;
constexpr size_t events_page = 1000;
constexpr milliseconds rearm_step{50};
constexpr milliseconds settle_patience{60'000};

// What no other reference would be spared either.
bool is_refusal_of_all(const UpdateResult& result) {
  const ErrorClass what = result.error_class;
  return result.status == UpdateResult::Status::unknown && !result.retryable &&
         (what == ErrorClass::auth || what == ErrorClass::permission || what == ErrorClass::configuration);
}

// A partition's references in as few batches as can be, and a batch with as few partitions: it ends with one, unless it would
// be short of a quarter.
std::vector<std::vector<Switch>> cut_by_partition(std::vector<Switch> some, size_t most) {
  std::stable_sort(some.begin(), some.end(),
                   [](const Switch& a, const Switch& b) { return a.record.partition < b.record.partition; });
  std::vector<std::vector<Switch>> batches;
  for (size_t begin = 0; begin < some.size();) {
    size_t end = std::min(begin + most, some.size());
    const auto is_inside = [&](size_t i) { return i < some.size() && some[i - 1].record.partition == some[i].record.partition; };
    size_t boundary = end;
    while (boundary > begin + most * 3 / 4 && is_inside(boundary)) --boundary;
    if (!is_inside(boundary)) end = boundary;
    const auto from = some.begin() + static_cast<ptrdiff_t>(begin);
    batches.emplace_back(std::make_move_iterator(from), std::make_move_iterator(from + static_cast<ptrdiff_t>(end - begin)));
    begin = end;
  }
  return batches;
}

}  // namespace

ReferenceRun::ReferenceRun(RunSetup setup, std::shared_ptr<Catalog> catalog, Direction direction)
    : RunBase(std::move(setup)),
      catalog_(std::move(catalog)),
      can_(catalog_->capabilities()),
      direction_(direction),
      n_workers_(setup_.options.concurrency > 0 ? setup_.options.concurrency : default_workers) {}

void ReferenceRun::start_work() {
  ledger_->set_listing_complete();  // what the run owes was known before it began
  for (int i = 0; i < n_workers_; ++i) workers_.emplace_back("wb-switch", [this] { work(); });
  feeder_ = Thread("wb-references", [this] { feed(); });
}

// A lease that is late stops what is in a call; the step is begun again once the heart beats.
void ReferenceRun::unhurried(const std::function<void()>& step) {
  const auto set_reading = [this](bool is_reading) {
    std::scoped_lock lock(queue_mutex_);
    is_reading_ = is_reading;
  };
  for (;;) {
    try {
      set_reading(true);
      step();
      return set_reading(false);
    } catch (const Error& error) {
      set_reading(false);
      if (error.error_class() != ErrorClass::cancelled || is_stopping()) throw;
    }
    while (!is_stopping() && cancel_.fired()) std::this_thread::sleep_for(rearm_step);
  }
}

void ReferenceRun::feed() {
  const size_t room = std::clamp<size_t>(most_queued_references / can_.max_batch, 1, most_queued);
  try {
    unhurried([this] { resolve(); });
    while (!is_stopping()) {
      std::vector<Work> works = next_works();
      if (works.empty()) break;
      for (Work& work : works) {
        std::unique_lock lock(queue_mutex_);
        queue_changed_.wait(lock, [&] { return is_stopped_ || queue_.size() < room; });
        queue_.push_back(std::move(work));
        queue_changed_.notify_all();
      }
    }
    {
      std::unique_lock lock(queue_mutex_);
      queue_changed_.wait(lock, [this] { return is_stopped_ || (queue_.empty() && busy_ == 0); });
    }
    if (!is_stopping() && ledger_->settle(settle_patience)) unhurried([this] { close(); });
  } catch (...) {
    if (!is_stopping()) fail(std::current_exception());
  }
  std::scoped_lock lock(queue_mutex_);
  is_over_ = true;
  queue_changed_.notify_all();
}

// The next batches; none at the end.
std::vector<ReferenceRun::Work> ReferenceRun::next_works() {
  std::vector<Work> works;
  const auto add = [&](std::vector<Switch> batch) { works.push_back(Work{.batch = std::move(batch)}); };
  if (!can_.locks_partitions) {
    if (std::vector<Switch> batch = next_batch(); !batch.empty()) add(std::move(batch));
    return works;
  }
  std::vector<Switch> some;
  while (some.size() < sorted_references && !is_stopping()) {
    std::vector<Switch> batch = next_batch();
    if (batch.empty()) break;
    std::move(batch.begin(), batch.end(), std::back_inserter(some));
  }
  for (std::vector<Switch>& batch : cut_by_partition(std::move(some), can_.max_batch)) {
    add(std::move(batch));
    for (const Switch& one : works.back().batch) works.back().partitions.insert(one.record.partition);
    works.back().partitions.erase("");
  }
  return works;
}

// The first of which nobody has a partition in hand.
std::deque<ReferenceRun::Work>::iterator ReferenceRun::next_free() {
  const auto is_held = [this](const std::string& partition) { return held_.contains(partition); };
  return std::find_if(queue_.begin(), queue_.end(),
                      [&](const Work& work) { return std::none_of(work.partitions.begin(), work.partitions.end(), is_held); });
}

// A switch that an earlier process or run left open ended somehow: reading tells. Those of this run count in its account; a
// rollback only has to know them.
void ReferenceRun::resolve() {
  const auto write = [this](std::vector<ReferenceChange> changes, std::vector<JournalRecord> journal) {
    return !is_stopping() && ledger_->references(std::move(changes), std::move(journal), true);
  };
  resolve_intended(*setup_.tracker, std::min<size_t>(can_.max_batch, most_read), direction_ == Direction::forwards, id(),
                   [this](std::span<const ReferenceId> ids) { return read(ids); }, write);
}

void ReferenceRun::work() {
  std::unique_lock lock(queue_mutex_);
  for (;;) {
    // Where the lease is late nothing is begun: calls would be refused.
    const auto may_begin = [this] { return !cancel_.fired() && next_free() != queue_.end(); };
    queue_changed_.wait_for(lock, rearm_step, [&] { return is_stopped_ || is_over_ || may_begin(); });
    if (is_stopped_ || is_over_) return;
    if (!may_begin()) continue;
    const auto next = next_free();
    Work work = std::move(*next);
    queue_.erase(next);
    ++busy_;
    held_.insert(work.partitions.begin(), work.partitions.end());
    queue_changed_.notify_all();
    lock.unlock();
    try {
      carry(work);
    } catch (...) {
      if (current_error().error_class() != ErrorClass::cancelled) fail(std::current_exception());
      // What may have been asked for is read by whoever goes on.
      if (is_stopping() && work.stage == Work::Stage::begun) put_back(work.batch);
    }
    lock.lock();
    for (const std::string& partition : work.partitions) held_.erase(partition);
    if (!work.batch.empty() && !is_stopping()) queue_.push_front(std::move(work));
    --busy_;
    queue_changed_.notify_all();
  }
}

void ReferenceRun::carry(Work& work) {
  if (work.stage == Work::Stage::found) intend(work);
  while (!work.batch.empty()) {
    if (work.stage == Work::Stage::begun) {
      const bool is_guarded = can_.conditional == Catalog::Conditional::exact;
      const Clock::time_point begun = is_guarded ? Clock::time_point() : look_first(work.batch);
      if (work.batch.empty()) return;
      if (is_stopping()) throw_stopped();
      work.stage = Work::Stage::asked;
      ask(work.batch);
      if (!is_guarded) note_window(begun, work.batch.size());
    }
    judge(work);
  }
}

// Forwards, the journal is on disk before anything is asked for; where it is not known to be, nothing is. Back, it is there
// already.
void ReferenceRun::intend(Work& work) {
  prepare(work.batch);
  if (work.batch.empty()) return;
  work.stage = Work::Stage::begun;
  if (direction_ == Direction::back) return;
  std::vector<ReferenceChange> changes;
  std::vector<JournalRecord> journal;
  for (const Switch& one : work.batch) {
    changes.push_back(ReferenceChange{one.record});
    journal.push_back(one.journal);
  }
  if (!ledger_->references(std::move(changes), std::move(journal), true)) {
    throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the journal could not be written any more");
  }
  WAYBILL_FAULT_POINT("journalled");
}

// Without a condition that the catalog keeps, ours is looked at right before.
ReferenceRun::Clock::time_point ReferenceRun::look_first(std::vector<Switch>& batch) {
  std::vector<ReferenceId> ids;
  ids.reserve(batch.size());
  for (const Switch& one : batch) ids.push_back(one.record.id);
  Clock::time_point begun;
  const std::vector<ReferenceValue> now = read(ids, &begun);
  std::vector<Switch> ended;
  std::vector<Switch> rest;
  for (size_t i = 0; i < batch.size(); ++i) {
    Switch& one = batch[i];
    one.stamp = now[i].stamp;
    const bool is_as_expected = !now[i].is_gone && now[i].value == value_before(one.journal, direction_);
    const bool is_as_wanted = !now[i].is_gone && now[i].value == value_after(one.journal, direction_);
    if (!is_as_expected && is_as_wanted) mark_done(one, direction_, now[i].value);
    else if (!is_as_expected) mark_changed(one, direction_, now[i]);
    (is_as_expected ? rest : ended).push_back(std::move(one));
  }
  batch = std::move(rest);
  write(ended, true);
  return begun;
}

void ReferenceRun::note_window(Clock::time_point begun, size_t updates) {
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count();
  const std::scoped_lock lock(window_mutex_);
  window_.add({updates, us, us, us * static_cast<int64_t>(updates)});
}

std::string ReferenceRun::window_text() {
  if (can_.conditional == Catalog::Conditional::exact) return {};
  UnguardedWindow all;
  // What earlier processes of this run have measured.
  for (uint64_t after = 0;;) {
    const std::vector<Event> events = setup_.tracker->events(after, events_page);
    for (const Event& event : events) {
      if (event.run != id() || event.kind != EventKind::audit) continue;
      if (const auto window = unguarded_window_from(event.data)) all.add(*window);
    }
    if (events.empty()) break;
    after = events.back().seq;
  }
  const std::scoped_lock lock(window_mutex_);
  all.add(window_);
  return all.text();
}

// The answers are kept for what they say of a failure; what was done is read.
void ReferenceRun::ask(std::vector<Switch>& batch) {
  std::vector<ReferenceUpdate> updates;
  updates.reserve(batch.size());
  for (const Switch& one : batch) {
    updates.push_back({one.record.id, value_before(one.journal, direction_), value_after(one.journal, direction_), one.stamp});
  }
  std::vector<UpdateResult> results;
  try {
    CallContext context(scope_, static_cast<int>(batch.front().tries) + 1);
    results = catalog_->update(updates, context);
    WAYBILL_FAULT_POINT("update_done");
    retries_.of(Side::destination).succeeded();
  } catch (...) {
    const Error error = current_error();
    if (blames_endpoint(error.error_class())) retries_.of(Side::destination).endpoint_failed();
    results.assign(batch.size(), {UpdateResult::Status::unknown, error.error_class(), error.message(), error.retryable()});
  }
  if (results.size() != batch.size()) {
    throw Error(ErrorCode::internal, ErrorClass::internal,
                "the catalog gave " + std::to_string(results.size()) + " answers to " + std::to_string(batch.size()) + " updates");
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    ++batch[i].tries;
    batch[i].result = std::move(results[i]);
  }
}

std::vector<ReferenceValue> ReferenceRun::read(const std::vector<Switch>& batch) {
  std::vector<ReferenceId> ids;
  ids.reserve(batch.size());
  for (const Switch& one : batch) ids.push_back(one.record.id);
  return read(ids);
}

std::vector<ReferenceValue> ReferenceRun::read(std::span<const ReferenceId> ids, Clock::time_point* begun) {
  return patiently(Side::destination, "reading back", [&](Context& context) {
    if (begun != nullptr) *begun = Clock::now();
    std::vector<ReferenceValue> values = catalog_->read(ids, context);
    if (values.size() == ids.size()) return values;
    throw Error(ErrorCode::internal, ErrorClass::internal,
                "the catalog gave " + std::to_string(values.size()) + " values for " + std::to_string(ids.size()) + " references");
  });
}

// What a field holds now decides; the answer only tells whether another try is worth it, and why not.
ReferenceRun::Verdict ReferenceRun::judge_one(Switch& one, const ReferenceValue& now) const {
  if (!now.is_gone && now.value == value_after(one.journal, direction_)) {
    mark_done(one, direction_, now.value);
    return Verdict::ended;
  }
  if (now.is_gone || now.value != value_before(one.journal, direction_)) {
    mark_changed(one, direction_, now);
    const bool is_said = one.result.status == UpdateResult::Status::updated;
    return is_said && !now.is_gone ? Verdict::differs : Verdict::ended;
  }
  if (is_worth_another(one)) return Verdict::again;
  if (is_refusal_of_all(one.result)) return Verdict::refused;
  mark_refused(one, direction_, one.result.error_class, one.result.message);
  return Verdict::ended;
}

void ReferenceRun::judge(Work& work) {
  const std::vector<ReferenceValue> now = read(work.batch);
  WAYBILL_FAULT_POINT("read_back");
  std::vector<Switch> ended;
  std::vector<Switch> again;
  size_t n_said = 0;     // to be updated
  size_t n_differs = 0;  // of these, what reads as something else
  std::optional<UpdateResult> refusal;
  for (size_t i = 0; i < work.batch.size(); ++i) {
    Switch& one = work.batch[i];
    const Verdict verdict = judge_one(one, now[i]);
    n_said += one.result.status == UpdateResult::Status::updated ? 1 : 0;
    n_differs += verdict == Verdict::differs ? 1 : 0;
    if (verdict == Verdict::refused && !refusal) refusal = one.result;
    const bool is_over = verdict == Verdict::ended || verdict == Verdict::differs;
    (is_over ? ended : again).push_back(std::move(one));
  }
  write(ended, true);
  WAYBILL_FAULT_POINT("outcome");
  // Nothing was done of the rest.
  work.stage = Work::Stage::begun;
  work.batch = std::move(again);
  if (n_differs > 1 && n_differs == n_said) {
    throw Error(ErrorCode::data_loss, ErrorClass::conflict,
                "the catalog said that " + std::to_string(n_said) + " updates were made, and none of them reads as it was written: it changes "
                "values; see what it holds now with: waybill references --state conflict");
  }
  if (refusal) throw Error(ErrorCode::failed_precondition, refusal->error_class, "the catalog refuses updates: " + refusal->message);
  if (!work.batch.empty()) wait_for_another(work.batch.front());
}

void ReferenceRun::wait_for_another(const Switch& one) {
  Error error(ErrorCode::unavailable, one.result.error_class, one.result.message);
  const int failures = static_cast<int>(std::min<uint32_t>(one.tries, 16));
  if (cancel_.sleep(retries_.of(Side::destination).delay(failures, error.set_retryable()))) return;
  throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "an update was cancelled");
}

bool ReferenceRun::is_worth_another(const Switch& one) const {
  const ErrorClass what = one.result.error_class;
  if (what == ErrorClass::cancelled) return true;
  // What a catalog says of one record is not for all: it is not waited out.
  const bool is_outage = blames_endpoint(what) && one.result.status == UpdateResult::Status::unknown;
  if (one.tries >= static_cast<uint32_t>(setup_.options.max_attempts) && !is_outage) return false;
  switch (one.result.status) {
    case UpdateResult::Status::failed:
    case UpdateResult::Status::unknown:
      return one.result.retryable;
    case UpdateResult::Status::updated:   // and is not: a catalog that answers before it writes
    case UpdateResult::Status::conflict:  // somebody changed it and changed it back
      return true;
  }
  return false;
}

void ReferenceRun::put_back(std::vector<Switch>& batch) {
  for (Switch& one : batch) mark_put_back(one, direction_);
  write(batch, false);
  batch.clear();
}

void ReferenceRun::write(const std::vector<Switch>& changed, bool settles) {
  if (changed.empty()) return;
  std::vector<ReferenceChange> changes;
  std::vector<JournalRecord> journal;
  for (const Switch& one : changed) {
    ReferenceChange change;
    change.record = one.record;
    change.is_settled = settles;
    if (settles) {
      change.record.run = id();
      change.attempts = std::max<uint32_t>(one.tries, 1);
      change.attempts_failed = one.record.state == ReferenceState::failed ? change.attempts : change.attempts - 1;
    }
    changes.push_back(std::move(change));
    if (one.journal.generation == 0) continue;
    journal.push_back(one.journal);
    journal.back().at_ms = now_ms();
  }
  ledger_->references(std::move(changes), std::move(journal), false);
}

bool ReferenceRun::is_work_done() {
  {
    std::scoped_lock lock(queue_mutex_);
    if (!is_over_) return false;
  }
  return ledger_->is_drained();
}

void ReferenceRun::stop_work() {
  std::scoped_lock lock(queue_mutex_);
  is_stopped_ = true;
  queue_changed_.notify_all();
}

void ReferenceRun::join_work() {
  feeder_.join();
  workers_.clear();
  // However the run ends here: what a person accepted, and what it came to.
  if (window_.updates > 0) ledger_->event(EventKind::audit, LogLevel::info, window_.text(), to_json(window_));
}

int ReferenceRun::in_flight() const {
  std::scoped_lock lock(queue_mutex_);
  return busy_ + (is_reading_ ? 1 : 0);
}

void ReferenceRun::fill_live(LiveState& live) const { live.concurrency = n_workers_; }

bool ReferenceRun::has_differences(const Snapshot& snapshot) const {
  const ReferenceAccounts& references = snapshot.run_references;
  return references.conflict + references.failed + references.vanished > 0;
}

std::string ReferenceRun::progress_text(const Snapshot& snapshot) const {
  const ReferenceAccounts& references = snapshot.run_references;
  const bool is_forwards = direction_ == Direction::forwards;
  return std::to_string(is_forwards ? references.updated : references.restored) + " of " + std::to_string(references.total) +
         (is_forwards ? " references switched, " : " references restored, ") + std::to_string(references.conflict) + " in conflict, " +
         std::to_string(references.failed) + " failed";
}

}  // namespace waybill::internal
