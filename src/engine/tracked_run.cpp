// SPDX-License-Identifier: Apache-2.0

#include "engine/tracked_run.hpp"

#include <algorithm>
#include <utility>

#include "base/accounts.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "engine/decide.hpp"
#include "engine/listing.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

// Items that are remembered until they are committed.
constexpr size_t most_recent = 1000;
constexpr size_t most_key_bytes = 65'535;
constexpr size_t most_revision_bytes = 255;
constexpr size_t most_result_bytes = 65'535;
constexpr size_t most_in_flight_shown = 32;
constexpr size_t owed_page = 1000;
// What is in work is shown to others this long after it was begun at the latest, where nothing else is committed.
constexpr milliseconds show_after{500};

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, why); }

void check(const TrackedItem& item) {
  const size_t size = item.id.key.size();
  if (size == 0) refuse("an item has an empty key; give each one of its own");
  const std::string name = printable(item.id.key.substr(0, 100));
  if (size > most_key_bytes) refuse("the key " + name + "… has " + std::to_string(size) + " bytes; at most 65535 can be kept");
  if (!item.id.version.empty()) refuse(name + ": tracked items have no version; put it into the key, or into the revision");
  if (item.revision.size() > most_revision_bytes) {
    refuse(name + ": its revision has " + std::to_string(item.revision.size()) + " bytes; at most 255 can be kept, take a digest of it");
  }
}

ItemChange change_of(ItemRecord record, const TrackedOutcome& outcome) {
  ItemChange change;
  if (outcome.bytes) record.stamp.size = outcome.bytes;
  record.state = outcome.state;
  record.error_class = ErrorClass::none;
  if (outcome.state == ItemState::excluded) {
    change.failure = refusal(ErrorClass::none, printable(outcome.reason));
  } else {
    change.attempts = 1;
  }
  if (outcome.state == ItemState::failed) {
    change.failure = failure_of(*outcome.error, 1);
    change.failure->message = printable(change.failure->message);
    change.attempts_failed = 1;
    record.error_class = outcome.error->error_class();
  } else if (outcome.state == ItemState::copied) {
    record.basis = Basis::written;
    record.copied_at_ms = now_ms();
    if (!outcome.result.empty()) change.result = normal_json_object(outcome.result);
  }
  change.record = std::move(record);
  return change;
}

void check(const TrackedOutcome& outcome) {
  const bool has_error = outcome.error.has_value();
  const bool is_known = outcome.state == ItemState::copied || outcome.state == ItemState::excluded || outcome.state == ItemState::failed;
  if (!is_known || has_error != (outcome.state == ItemState::failed)) refuse("an outcome is done, excluded, or failed with an error");
  if (outcome.result.empty()) return;
  if (outcome.state != ItemState::copied) refuse("only a done item has a result");
  if (outcome.result.size() > most_result_bytes) {
    refuse("a result has " + std::to_string(outcome.result.size()) + " bytes; at most 65535 are kept of an item");
  }
  if (!normal_json_object(outcome.result)) refuse("a result is no JSON object: " + printable(outcome.result.substr(0, 100)));
}

}  // namespace

TrackedWork::TrackedWork(RunSetup setup, bool is_carried_on)
    : RunBase(std::move(setup)), mark_(is_carried_on ? std::to_string(setup_.epoch) : ""), left_mark_(mark_ + "-") {}

// With entry_mutex_ held. Where it can be told, before the call has any effect: whoever comes again comes to the same.
bool TrackedWork::wait_until_ready(Clock::time_point until) {
  const auto left = [&] { return std::chrono::ceil<milliseconds>(std::max(until - Clock::now(), Clock::duration{})); };
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_until(lock, until, [this] { return !is_held_ || is_stopping(); })) return false;
    if (is_completing_ && !is_stopping()) {
      throw Error(ErrorCode::failed_precondition, ErrorClass::configuration, "the run is complete; nothing more can be claimed");
    }
  }
  if (!is_stopping() && !ledger_->wait_for_room(left())) return false;
  if (is_stopping()) throw_stopped();
  if (ledger_->is_drained()) {
    recent_.clear();
  } else if (recent_.size() >= most_recent) {
    if (!ledger_->settle(left())) return false;
    recent_.clear();
  }
  return true;
}

// With entry_mutex_ held. The rows as they are, or will be with the next commit.
std::vector<std::optional<ItemRecord>> TrackedWork::look_up(std::span<const TrackedItem> items) {
  std::vector<ItemId> ids;
  ids.reserve(items.size());
  for (const TrackedItem& item : items) {
    check(item);
    ids.push_back(item.id);
  }
  std::vector<std::optional<ItemRecord>> rows = setup_.tracker->lookup(ids);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto recent = recent_.find(ids[i]);
    if (recent != recent_.end() && recent->second) rows[i] = recent->second;
  }
  return rows;
}

// With entry_mutex_ held.
bool TrackedWork::is_duplicate(const TrackedItem& item, const std::optional<ItemRecord>& known) const {
  const auto recent = recent_.find(item.id);
  if (recent != recent_.end()) return !recent->second;
  return known && known->run == setup_.record.run && known->state != ItemState::failed && known->stamp.version == mark_;
}

// What becomes of an item that is handed in; nothing where its row is as it has to be.
std::optional<ItemRecord> TrackedWork::row_of(const TrackedItem& item, const std::optional<ItemRecord>& known) const {
  const uint64_t run = setup_.record.run;
  const bool is_of_run = known && known->run == run && !known->left;
  const bool is_same = known && known->stamp.opaque == item.revision;
  const bool was_done = known && is_done(*known);
  if (is_of_run && is_same && known->stamp.version == mark_) return std::nullopt;

  ItemRecord record = known.value_or(ItemRecord{});
  record.id = item.id;
  record.run = run;
  record.left = false;
  record.gone_at_source = false;
  record.waived = record.waived && is_same;
  record.stamp.version = mark_;
  record.stamp.opaque = item.revision;
  if (was_done && is_same) {
    if (!is_of_run) record.change = Change::unchanged;
    return record;
  }
  // Settled in this run: excluded it stays; what failed is tried again, and its row stands until that has an end.
  const bool is_settled = is_of_run && is_same && (known->state == ItemState::excluded || known->state == ItemState::failed);
  if (is_settled) return record;
  if (was_done) {
    record.change = Change::updated;
    ++record.revision;
  } else if (!known || known->state != ItemState::pending) {
    record.change = known && known->copied_at_ms ? Change::updated : Change::created;
  }
  record.stamp.size = item.size;
  record.state = ItemState::pending;
  record.basis = Basis::none;
  record.error_class = ErrorClass::none;
  return record;
}

bool TrackedWork::declare(std::span<const TrackedItem> items, milliseconds timeout) {
  const auto until = Clock::now() + timeout;
  std::scoped_lock entry(entry_mutex_);
  if (!wait_until_ready(until)) return false;
  const std::vector<std::optional<ItemRecord>> known = look_up(items);
  std::vector<ItemChange> changes;
  changes.reserve(items.size());
  Recent added;
  for (size_t i = 0; i < items.size(); ++i) {
    if (is_duplicate(items[i], known[i]) || !added.emplace(items[i].id, std::nullopt).second) {
      refuse(printable(items[i].id.key) + " comes twice among the items of this run; give each item a key of its own");
    }
    ItemChange change;
    if (std::optional<ItemRecord> row = row_of(items[i], known[i])) change.record = std::move(*row);
    else continue;
    changes.push_back(std::move(change));
  }
  recent_.merge(added);
  hand_in(std::move(changes));
  return true;
}

void TrackedWork::end_listing() {
  std::scoped_lock entry(entry_mutex_);
  is_listed_ = true;
  ledger_->set_listing_complete();
}

// With entry_mutex_ held. What comes after everything was declared opens the listing again: a ratio that has been shown
// does not fall.
void TrackedWork::hand_in(std::vector<ItemChange> changes) {
  if (changes.empty()) return;
  if (std::exchange(is_listed_, false)) ledger_->set_listing_complete(false);
  ledger_->list(std::move(changes), {}, false);
}

std::optional<std::vector<TrackedWork::Ticket>> TrackedWork::claim(std::span<const TrackedItem> items, bool is_declared,
                                                                   milliseconds timeout) {
  const auto until = Clock::now() + timeout;
  std::scoped_lock entry(entry_mutex_);
  if (!wait_until_ready(until)) return std::nullopt;
  // The last of what was declared may not be on disk yet, where it is looked up.
  if (is_declared && !recent_.empty()) {
    if (!ledger_->settle(std::chrono::ceil<milliseconds>(std::max(until - Clock::now(), Clock::duration{})))) return std::nullopt;
    recent_.clear();
  }
  const std::vector<std::optional<ItemRecord>> known = look_up(items);
  std::vector<ItemChange> changes;
  std::vector<ItemRecord> rows;
  Recent added;
  rows.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const bool is_twice = !is_declared && (is_duplicate(items[i], known[i]) || !added.emplace(items[i].id, std::nullopt).second);
    if (is_twice) refuse(printable(items[i].id.key) + " comes twice among the items of this run; give each item a key of its own");
    std::optional<ItemRecord> row = row_of(items[i], known[i]);
    if (row) {
      ItemChange change;
      change.record = *row;
      changes.push_back(std::move(change));
    }
    rows.push_back(row ? std::move(*row) : *known[i]);
  }
  for (auto& [id, record] : added) recent_.insert_or_assign(id, std::nullopt);
  hand_in(std::move(changes));

  std::vector<Ticket> tickets;
  tickets.reserve(rows.size());
  std::scoped_lock lock(mutex_);
  for (ItemRecord& row : rows) {
    const bool is_settled = is_done(row) || row.state == ItemState::excluded;
    tickets.push_back(is_settled ? TrackedRun::settled : ++last_ticket_);
    if (!is_settled) open_.emplace_hint(open_.end(), last_ticket_, Open{std::move(row)});
  }
  return tickets;
}

void TrackedWork::start(Ticket ticket) {
  if (is_stopping()) throw_stopped();
  std::scoped_lock lock(mutex_);
  const auto open = open_.find(ticket);
  if (open == open_.end() || open->second.begun_at_ms != 0) refuse("no claimed item has this ticket");
  open->second.begun_at_ms = now_ms();
  begun_.insert(begun_.end(), ticket);
  ++n_changes_;
}

std::optional<TrackedWork::Open> TrackedWork::take(Ticket ticket) {
  std::scoped_lock lock(mutex_);
  auto node = open_.extract(ticket);
  if (node.empty()) return std::nullopt;
  if (begun_.erase(ticket) != 0) ++n_changes_;
  return std::move(node.mapped());
}

bool TrackedWork::finish(Ticket ticket, const TrackedOutcome& outcome, milliseconds timeout) {
  check(outcome);
  std::scoped_lock entry(entry_mutex_);
  if (!ledger_->wait_for_room(timeout)) return false;
  ++n_finishing_;  // a run that stops waits for it
  std::optional<Open> open = take(ticket);
  if (!open) {
    --n_finishing_;
    if (is_stopping()) return true;  // it was let go
    refuse("no claimed item has this ticket");
  }
  ItemChange change = change_of(std::move(open->record), outcome);
  if (outcome.state == ItemState::failed) {
    recent_.insert_or_assign(change.record.id, change.record);
    ledger_->event(EventKind::error, LogLevel::error, printable(change.record.id.key) + ": " + change.failure->message);
  }
  ledger_->outcome(std::move(change));
  --n_finishing_;
  return true;
}

void TrackedWork::let_go(Ticket ticket) {
  std::scoped_lock entry(entry_mutex_);
  std::optional<Open> open = take(ticket);
  if (!open) return;
  ItemRecord& record = open->record;
  if (record.state == ItemState::pending) record.stamp.version = left_mark_;
  recent_.insert_or_assign(record.id, record);
  if (record.state != ItemState::pending || is_stopping() || !ledger_->wait_for_room(milliseconds(0))) return;
  ItemChange change;
  change.record = std::move(record);
  std::vector<ItemChange> changes;
  changes.push_back(std::move(change));
  ledger_->list(std::move(changes), {}, false);
}

void TrackedWork::complete() {
  std::scoped_lock entry(entry_mutex_);
  std::scoped_lock lock(mutex_);
  if (is_completing_) return;
  if (!open_.empty()) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                std::to_string(open_.size()) + " claimed items have no outcome: finish them or let them go first");
  }
  is_completing_ = true;
  closer_ = Thread("wb-close", [this] { close(); });
}

void TrackedWork::leave(std::string_view why) {
  stop(Stop::interrupt, std::string(why));
  std::scoped_lock lock(mutex_);
  open_.clear();
  begun_.clear();
}

// Everything has an outcome, and is about to be committed.
void TrackedWork::close() {
  try {
    if (!ledger_->list({}, {}, true) || !drop_owed()) return;
    const ListingSink sink = [this](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool wait) {
      return !is_stopping() && ledger_->list(std::move(changes), {}, wait);
    };
    if (setup_.has_earlier_runs &&
        !mark_gone(*setup_.tracker, setup_.record.run, nullptr, "no longer among the items, and was not done", sink)) {
      return;
    }
    const std::optional<uint64_t> expected = setup_.record.expected_items;
    const auto came = static_cast<uint64_t>(setup_.tracker->snapshot().items.discovered);
    if (expected && *expected != came) {
      ledger_->event(EventKind::log, LogLevel::warning,
                     std::to_string(came) + " items came where " + std::to_string(*expected) + " were expected");
    }
    ledger_->set_listing_complete();
    is_closed_ = true;
  } catch (...) {
    fail(std::current_exception());
  }
}

// Rows that an earlier process of this run was handed, and this one not, have vanished. False where this one has let
// some go: then the run did not come to its end.
bool TrackedWork::drop_owed() {
  if (setup_.tracker->snapshot().items.pending == 0) return true;
  Query query;
  query.states = {ItemState::pending};
  std::string resume;
  int64_t n_left = 0;
  for (bool is_last = false; !is_last;) {
    ScanPage page = setup_.tracker->scan(query, resume, owed_page);
    std::vector<ItemChange> changes;
    for (ScanRow& row : page.rows) {
      if (row.record.run != setup_.record.run || row.record.left) continue;
      if (row.record.stamp.version == left_mark_ || row.record.stamp.version == mark_) {
        ++n_left;
        continue;
      }
      ItemChange change;
      change.record = std::move(row.record);
      change.record.state = ItemState::vanished;
      change.record.error_class = ErrorClass::missing;
      change.failure = refusal(ErrorClass::missing, "no longer among the items, and was not done");
      changes.push_back(std::move(change));
    }
    if (!changes.empty() && (is_stopping() || !ledger_->list(std::move(changes), {}, true))) return false;
    is_last = page.is_last;
    resume = page.resume;
  }
  if (n_left > 0) stop(Stop::interrupt, std::to_string(n_left) + (n_left == 1 ? " item was" : " items were") + " left without an outcome");
  return n_left == 0;
}

bool TrackedWork::is_work_done() { return is_closed_ && ledger_->is_drained(); }

void TrackedWork::tick(Clock::time_point now) {
  if (now - shown_at_ < show_after) return;
  shown_at_ = now;
  {
    std::scoped_lock lock(mutex_);
    if (n_shown_ == n_changes_) return;
  }
  ledger_->show_live();
}

void TrackedWork::stop_work() {
  std::scoped_lock lock(mutex_);
  changed_.notify_all();
}

void TrackedWork::join_work() {
  {
    std::scoped_lock lock(mutex_);
    is_completing_ = true;
  }
  closer_.join();
}

void TrackedWork::hold(bool held) {
  std::scoped_lock lock(mutex_);
  is_held_ = held;
  changed_.notify_all();
}

int TrackedWork::in_flight() const {
  std::scoped_lock lock(mutex_);
  return static_cast<int>(begun_.size()) + n_finishing_;
}

void TrackedWork::fill_live(LiveState& live) const {
  std::scoped_lock lock(mutex_);
  n_shown_ = n_changes_;
  live.concurrency = static_cast<int64_t>(begun_.size());
  for (const Ticket ticket : begun_) {
    const Open& open = open_.at(ticket);
    if (open.record.state == ItemState::pending) ++live.in_progress;
    if (live.in_flight.size() == most_in_flight_shown) continue;
    InFlight entry;
    entry.partition = open.record.id.partition;
    entry.key = open.record.id.key;
    entry.bytes_total = open.record.stamp.size;
    entry.attempt = 1;
    entry.started_at_ms = open.begun_at_ms;
    live.in_flight.push_back(std::move(entry));
  }
}

}  // namespace waybill::internal
