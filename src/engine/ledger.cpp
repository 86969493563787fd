// SPDX-License-Identifier: Apache-2.0

#include "engine/ledger.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "base/clock.hpp"
#include "base/fault_point.hpp"
#include "base/text.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

// A commit begins early once this many are queued.
constexpr size_t early_commit = 1000;
// Rows and outcomes that may wait for the commit thread before producers do: what the next commit takes. More would be
// memory without use, as the one after it cannot begin sooner.
constexpr size_t most_waiting = early_commit;
constexpr milliseconds requests_interval{500};
constexpr milliseconds progress_event_interval{1000};

size_t count(const Batch& batch) { return batch.items.size() + batch.uploads.size() + batch.findings.size() + batch.references.size(); }

void move_into(Batch& from, Batch& to) {
  std::move(from.items.begin(), from.items.end(), std::back_inserter(to.items));
  std::move(from.uploads.begin(), from.uploads.end(), std::back_inserter(to.uploads));
  from = Batch{};
}

}  // namespace

Ledger::Ledger(Tracker& tracker, Destination* flushed, uint64_t epoch, const Options& options, RunRecord run,
               const RunScope& scope, Hooks hooks)
    : tracker_(tracker),
      flushed_(flushed),
      epoch_(epoch),
      options_(options),
      flush_scope_{flush_cancel_, scope.bodies, scope.migration, scope.epoch, scope.log, scope.count},
      hooks_(std::move(hooks)),
      run_(std::move(run)),
      last_beat_ms_(boot_time_ms()),
      active_since_(Clock::now()),
      active_before_(run_.active_seconds) {
  listing_is_committed_ = run_.listing_complete;
}

Ledger::~Ledger() { abandon(); }

void Ledger::start() {
  commit_thread_ = Thread("wb-ledger", [this] { run_commits(); });
  if (flushed_ != nullptr) flush_thread_ = Thread("wb-flush", [this] { run_flushes(); });
}

double Ledger::active_seconds(Clock::time_point now) const {
  return active_before_ + std::chrono::duration<double>(now - active_since_).count();
}

bool Ledger::has_work() const { return run_changed_ || !ready_.empty(); }

Batch Ledger::take_batch() {
  Batch batch = std::move(ready_);
  ready_ = Batch{};
  const auto now = Clock::now();
  if (!(batch.items.empty() && batch.references.empty()) && now - last_progress_event_ >= progress_event_interval) {
    last_progress_event_ = now;
    batch.events.push_back(Event{0, now_ms(), run_.run, EventKind::progress, LogLevel::debug, "", ""});
  }
  if (!run_.ended_at_ms) run_.active_seconds = active_seconds(now);
  batch.run = run_;
  batch.rates = std::exchange(rates_, {});
  run_changed_ = false;
  ++handed_in_;
  return batch;
}

void Ledger::run_commits() {
  std::unique_lock lock(mutex_);
  auto last_commit = Clock::now();
  const milliseconds interval(options_.commit_interval_ms);
  while (!is_broken_) {
    const auto now = Clock::now();
    const bool beat_due = boot_time_ms() - last_beat_ms_ >= options_.heartbeat_ms;
    const bool commit_due = has_work() && (is_urgent_ || now - last_commit >= interval || count(ready_) >= early_commit);
    if (commit_due || beat_due) {
      is_urgent_ = false;
      Batch batch = take_batch();
      lock.unlock();
      const bool is_committed = commit(std::move(batch));
      lock.lock();
      if (!is_committed) continue;
      last_commit = Clock::now();
      ++committed_;
      changed_.notify_all();
      continue;
    }
    if (is_stopping_) return;
    const bool claim_due = may_have_pending_ && hooks_.wants_claim();
    const bool requests_due = now - last_requests_ >= requests_interval;
    if (claim_due || requests_due) {
      lock.unlock();
      if (claim_due) claim();
      if (requests_due) serve_requests();
      lock.lock();
      continue;
    }
    work_.wait_until(lock, has_work() ? last_commit + interval : now + requests_interval);
  }
}

bool Ledger::commit(Batch batch) {
  const bool listing_was_complete = batch.run && batch.run->listing_complete;
  const bool has_rows = !batch.items.empty();
  size_t unflushed = 0;
  batch.live = hooks_.live();
  {
    std::scoped_lock lock(mutex_);
    unflushed = unflushed_.items.size() + flushing_.items.size();
  }
  // Items whose outcome waits for a flush are pending rows still; so they are in progress.
  batch.live->in_progress += static_cast<int64_t>(unflushed);

  const auto began = Clock::now();
  milliseconds wait{100};
  bool is_stuck = false;
  for (;;) {
    try {
      WAYBILL_FAULT_POINT("commit");
      tracker_.commit(epoch_, batch);
      WAYBILL_FAULT_POINT("commit");
      if (is_stuck) hooks_.tracker_stuck(false);
      {
        std::scoped_lock lock(mutex_);
        last_beat_ms_ = boot_time_ms();
        if (has_rows) may_have_pending_ = true;
        if (listing_was_complete) listing_is_committed_ = true;
      }
      hooks_.committed();
      return true;
    } catch (const Error& error) {
      const bool out_of_patience = Clock::now() - began >= milliseconds(options_.tracker_patience_ms);
      std::unique_lock lock(mutex_);
      if (!error.retryable() || out_of_patience || is_stopping_ || is_released_) {
        lock.unlock();
        fail(std::current_exception());
        return false;
      }
      lock.unlock();
      if (!is_stuck) hooks_.tracker_stuck(true);
      is_stuck = true;
      lock.lock();
      work_.wait_for(lock, wait, [this] { return is_stopping_ || is_released_; });
      wait = std::min(wait * 2, milliseconds(5000));
    } catch (...) {
      fail(std::current_exception());
      return false;
    }
  }
}

void Ledger::fail(std::exception_ptr error) {
  {
    std::scoped_lock lock(mutex_);
    is_broken_ = true;
    changed_.notify_all();
    flush_work_.notify_all();
  }
  hooks_.broken(std::move(error));
}

void Ledger::claim() {
  try {
    {
      std::scoped_lock lock(mutex_);
      may_have_pending_ = false;  // a commit with rows, or an answer with items, sets it again
      is_claiming_ = true;
    }
    const size_t limit = 1024;
    std::vector<Claimed> claimed = tracker_.claim(epoch_, limit);
    WAYBILL_FAULT_POINT("claim");
    {
      std::scoped_lock lock(mutex_);
      if (!claimed.empty()) may_have_pending_ = true;
      changed_.notify_all();
    }
    if (!claimed.empty()) hooks_.claimed(std::move(claimed));
    std::scoped_lock lock(mutex_);
    is_claiming_ = false;
  } catch (const Error& error) {
    if (!error.retryable()) return fail(std::current_exception());
    // The next commit meets the same tracker and waits for it with patience.
    std::unique_lock lock(mutex_);
    is_claiming_ = false;
    may_have_pending_ = true;
    run_changed_ = true;
    work_.wait_for(lock, milliseconds(200), [this] { return is_stopping_; });
  } catch (...) {
    fail(std::current_exception());
  }
}

void Ledger::serve_requests() {
  last_requests_ = Clock::now();
  try {
    for (const Request& request : tracker_.requests()) {
      hooks_.requested(request);
      std::scoped_lock lock(mutex_);
      ready_.served_requests.push_back(request.id);
      ready_.events.push_back(Event{0, now_ms(), run_.run, EventKind::request, LogLevel::info,
                                    std::string(to_string(request.verb)) + " requested by " + request.who, ""});
      is_urgent_ = true;
    }
  } catch (const Error&) {
    // Asked again in half a second; a tracker that stays broken shows at the next commit.
  }
}

void Ledger::run_flushes() {
  std::unique_lock lock(mutex_);
  while (!is_broken_) {
    flush_work_.wait(lock, [this] { return !unflushed_.empty() || is_stopping_ || is_broken_; });
    if (unflushed_.empty() || is_broken_) {
      if (is_stopping_ || is_broken_) return;
      continue;
    }
    // What gathers while one flush runs, or within one commit interval, shares the next.
    if (!is_stopping_) flush_work_.wait_for(lock, milliseconds(options_.commit_interval_ms), [this] { return is_stopping_ || count(unflushed_) >= early_commit; });
    flushing_ = std::move(unflushed_);
    unflushed_ = Batch{};
    lock.unlock();
    std::exception_ptr error;
    try {
      // Not the run's own cancellation: what was put while the run was being stopped is worth its flush.
      CallContext context(flush_scope_);
      flushed_->flush(context);
      WAYBILL_FAULT_POINT("flush");
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    Batch batch = std::move(flushing_);
    flushing_ = Batch{};
    if (error && flush_cancel_.fired()) return;  // out of time: these stay pending
    if (error) {
      lock.unlock();
      fail(error);
      return;
    }
    move_into(batch, ready_);
    changed_.notify_all();
    work_.notify_one();
  }
}

bool Ledger::list(std::vector<ItemChange> items, std::vector<ListingRecord> listings, bool wait_for_commit) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return must_not_wait() || ready_.items.size() < most_waiting; });
  if (must_not_wait()) return false;
  activity_.records += items.size();
  std::move(items.begin(), items.end(), std::back_inserter(ready_.items));
  for (ListingRecord& listing : listings) {
    std::erase_if(ready_.listings, [&](const ListingRecord& old) { return old.scope == listing.scope; });
    ready_.listings.push_back(std::move(listing));
  }
  if (wait_for_commit) is_urgent_ = run_changed_ = true;  // also where there is nothing new but what was queued before
  work_.notify_one();
  return !wait_for_commit || wait_for_commit_of(lock);
}

bool Ledger::must_not_wait() const { return is_broken_ || is_stopping_ || is_released_; }

// With mutex_ held: until everything queued so far is committed.
bool Ledger::wait_for_commit_of(std::unique_lock<std::mutex>& lock) {
  const uint64_t mine = handed_in_ + 1;
  changed_.wait(lock, [&] { return must_not_wait() || committed_ >= mine; });
  return committed_ >= mine;
}

void Ledger::set_listing_complete(bool is_complete) {
  std::scoped_lock lock(mutex_);
  run_.listing_complete = is_complete;
  run_changed_ = true;
  work_.notify_one();
}

void Ledger::set_listing_ended() {
  std::scoped_lock lock(mutex_);
  listing_is_committed_ = true;
}

void Ledger::outcome(ItemChange change) {
  std::unique_lock lock(mutex_);
  Batch& batch = flushed_ != nullptr ? unflushed_ : ready_;
  changed_.wait(lock, [&] { return must_not_wait() || batch.items.size() < most_waiting; });
  ++activity_.records;
  ++activity_.items;
  // What failed, or was found to be there already, was not moved.
  const bool is_moved = change.record.state == ItemState::copied && change.record.basis == Basis::written;
  if (is_moved) activity_.bytes += change.record.stamp.size.value_or(0);
  activity_.attempts_failed += change.attempts_failed;
  if (batch.items.empty()) batch.items.reserve(early_commit);  // to grow is to move half a kilobyte an item
  batch.items.push_back(std::move(change));
  if (flushed_ != nullptr) {
    flush_work_.notify_one();
  } else if (batch.items.size() == 1 || batch.items.size() == early_commit) {
    work_.notify_one();
  }
}

void Ledger::record(std::optional<ItemChange> change, std::optional<Finding> finding) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return must_not_wait() || count(ready_) < most_waiting; });
  ++activity_.records;
  if (change) {
    ++activity_.items;
    activity_.bytes += change->record.stamp.size.value_or(0);
  }
  if (change) ready_.items.push_back(std::move(*change));
  if (finding) ready_.findings.push_back(std::move(*finding));
  if (count(ready_) == 1 || count(ready_) == early_commit) work_.notify_one();
}

bool Ledger::references(std::vector<ReferenceChange> references, std::vector<JournalRecord> journal, bool wait_for_commit) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return must_not_wait() || ready_.references.size() < most_waiting; });
  if (is_broken_ || is_stopping_) return false;
  for (const ReferenceChange& change : references) {
    ++activity_.records;
    if (change.is_settled) ++activity_.items;
    activity_.attempts_failed += change.attempts_failed;
  }
  std::move(references.begin(), references.end(), std::back_inserter(ready_.references));
  std::move(journal.begin(), journal.end(), std::back_inserter(ready_.journal));
  if (wait_for_commit) is_urgent_ = run_changed_ = true;
  work_.notify_one();
  return !wait_for_commit || wait_for_commit_of(lock);
}

bool Ledger::begin_upload(UploadRecord upload) {
  std::unique_lock lock(mutex_);
  // What is still to be said of an earlier upload of the item takes the way through the flush: it must not overtake.
  const auto of_this_item = [&](const Batch& batch) {
    return std::any_of(batch.uploads.begin(), batch.uploads.end(), [&](const UploadChange& one) { return one.id == upload.id; });
  };
  changed_.wait(lock, [&] { return must_not_wait() || !(of_this_item(unflushed_) || of_this_item(flushing_)); });
  if (must_not_wait()) return false;
  UploadChange change;
  change.id = upload.id;
  change.begin = std::move(upload);
  ready_.uploads.push_back(std::move(change));
  is_urgent_ = true;
  work_.notify_one();
  return wait_for_commit_of(lock);
}

void Ledger::part_done(const ItemId& id, PartInfo part) {
  std::unique_lock lock(mutex_);
  Batch& batch = flushed_ != nullptr ? unflushed_ : ready_;
  UploadChange change;
  change.id = id;
  change.parts.push_back(std::move(part));
  ++activity_.records;
  batch.uploads.push_back(std::move(change));
  if (flushed_ != nullptr) {
    flush_work_.notify_one();
    return;
  }
  // With a fast store many parts would end within one interval, and all of them be sent again after a crash.
  is_urgent_ = true;
  work_.notify_one();
  wait_for_commit_of(lock);
}

void Ledger::upload_ended(const ItemId& id) {
  std::scoped_lock lock(mutex_);
  Batch& batch = flushed_ != nullptr ? unflushed_ : ready_;
  UploadChange change;
  change.id = id;
  change.ended = true;
  batch.uploads.push_back(std::move(change));
  (flushed_ != nullptr ? flush_work_ : work_).notify_one();
}

void Ledger::rate(RateSample sample) {
  std::scoped_lock lock(mutex_);
  sample.run = run_.run;
  std::erase_if(rates_, [&](const RateSample& old) { return old.at_ms == sample.at_ms; });
  rates_.push_back(sample);
}

void Ledger::event(EventKind kind, LogLevel level, std::string text, std::string data) {
  std::scoped_lock lock(mutex_);
  ready_.events.push_back(Event{0, now_ms(), run_.run, kind, level, std::move(text), std::move(data)});
  work_.notify_one();
}

void Ledger::set_state(RunState state, std::string reason) {
  std::scoped_lock lock(mutex_);
  move_to(state, std::move(reason));
  is_urgent_ = true;
  work_.notify_one();
}

// With mutex_ held.
void Ledger::move_to(RunState state, std::string reason) {
  if (run_.state != state && !is_legal_move(run_.state, state)) {
    throw Error(ErrorCode::internal, ErrorClass::internal,
                std::string("run cannot go from ") + to_string(run_.state) + " to " + to_string(state));
  }
  run_.state = state;
  run_.reason = std::move(reason);
  run_changed_ = true;
}

void Ledger::want_claim() {
  std::scoped_lock lock(mutex_);
  if (may_have_pending_ && !is_claiming_) work_.notify_one();
}

bool Ledger::wait_for_room(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const Batch& outcomes = flushed_ != nullptr ? unflushed_ : ready_;
  return changed_.wait_for(lock, timeout, [&] {
    return must_not_wait() || (ready_.items.size() < most_waiting && outcomes.items.size() < most_waiting);
  });
}

bool Ledger::settle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  is_urgent_ = run_changed_ = true;
  work_.notify_one();
  const uint64_t mine = handed_in_ + 1;
  changed_.wait_for(lock, timeout, [&] { return must_not_wait() || committed_ >= mine; });
  return committed_ >= mine;
}

void Ledger::show_live() {
  std::scoped_lock lock(mutex_);
  run_changed_ = true;
  work_.notify_one();
}

RunState Ledger::state() const {
  std::scoped_lock lock(mutex_);
  return run_.state;
}

bool Ledger::is_exhausted() const {
  std::scoped_lock lock(mutex_);
  return listing_is_committed_ && !may_have_pending_ && !is_claiming_ && ready_.items.empty() && committed_ == handed_in_;
}

bool Ledger::is_drained() const {
  std::scoped_lock lock(mutex_);
  return unflushed_.empty() && flushing_.empty() && count(ready_) == 0 && committed_ == handed_in_;
}

Ledger::Activity Ledger::activity() const {
  std::scoped_lock lock(mutex_);
  return activity_;
}

bool Ledger::is_broken() const {
  std::scoped_lock lock(mutex_);
  return is_broken_;
}

void Ledger::release_waiters() {
  tracker_.hurry();
  std::scoped_lock lock(mutex_);
  is_released_ = true;
  changed_.notify_all();
  work_.notify_all();
}

int64_t Ledger::last_beat_ms() const {
  std::scoped_lock lock(mutex_);
  return last_beat_ms_;
}

bool Ledger::finish(RunState state, std::string reason, Event end, Clock::time_point flush_deadline) {
  {
    std::unique_lock lock(mutex_);
    flush_work_.notify_one();
    changed_.wait_until(lock, flush_deadline, [this] { return is_broken_ || (unflushed_.empty() && flushing_.empty()); });
    if (is_broken_) {
      lock.unlock();
      abandon();
      return false;
    }
    unflushed_ = Batch{};  // what could not be flushed in time stays pending, and is moved again
    flush_cancel_.fire();
  }
  {
    // In one commit: nobody sees a run that is over and has no end.
    std::scoped_lock lock(mutex_);
    move_to(state, std::move(reason));
    if (is_ended(state) || state == RunState::interrupted || state == RunState::paused) {
      run_.active_seconds = active_seconds(Clock::now());  // up to the end, and not beyond
      run_.ended_at_ms = now_ms();
    }
    end.run = run_.run;
    ready_.events.push_back(std::move(end));
    is_urgent_ = true;
    is_stopping_ = true;
    work_.notify_all();
    flush_work_.notify_all();
  }
  commit_thread_.join();
  flush_thread_.join();
  std::scoped_lock lock(mutex_);
  return !is_broken_;
}

void Ledger::abandon() {
  {
    std::scoped_lock lock(mutex_);
    is_stopping_ = true;
    is_broken_ = true;
    flush_cancel_.fire();
    work_.notify_all();
    flush_work_.notify_all();
    changed_.notify_all();
  }
  commit_thread_.join();
  flush_thread_.join();
}

}  // namespace waybill::internal
