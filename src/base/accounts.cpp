// SPDX-License-Identifier: Apache-2.0
//
// One table: which counters a row adds to. See accounts.hpp.
#include "base/accounts.hpp"

#include <algorithm>

namespace waybill::internal {

bool is_done(const ItemRecord& record) noexcept {
  return record.state == ItemState::copied || record.state == ItemState::verified;
}

namespace {

Counter counter_of(const ItemRecord& record) noexcept {
  switch (record.state) {
    case ItemState::excluded:
      return Counter::excluded;
    case ItemState::failed:
      return record.waived ? Counter::waived : Counter::failed;
    case ItemState::vanished:
      return record.waived ? Counter::waived : Counter::vanished;
    case ItemState::copied:
    case ItemState::verified:
      switch (record.change) {
        case Change::created:
          return Counter::created;
        case Change::updated:
          return Counter::updated;
        case Change::unchanged:
          return Counter::unchanged;
      }
      return Counter::created;
    case ItemState::pending:
      return Counter::pending;
  }
  return Counter::pending;
}

}  // namespace

Counters& Counters::operator+=(const Counters& other) noexcept {
  for (size_t i = 0; i < n_counters; ++i) values[i] += other.values[i];
  return *this;
}

Counters& Counters::operator-=(const Counters& other) noexcept {
  for (size_t i = 0; i < n_counters; ++i) values[i] -= other.values[i];
  return *this;
}

bool Counters::is_zero() const noexcept {
  return std::all_of(values.begin(), values.end(), [](int64_t value) { return value == 0; });
}

Counters contribution(const ItemRecord& record) noexcept {
  Counters counters;
  if (record.left) return counters;
  counters[counter_of(record)] = 1;
  if (record.state == ItemState::excluded) return counters;
  // No object is larger; what a store says beyond that must not make sums overflow.
  constexpr uint64_t most_bytes = uint64_t{1} << 53;
  const auto bytes = static_cast<int64_t>(std::min(record.stamp.size.value_or(0), most_bytes));
  counters[Counter::bytes_total] = bytes;
  if (is_done(record)) counters[Counter::bytes_done] = bytes;
  if (record.state == ItemState::verified) counters[Counter::verified] = 1;
  return counters;
}

bool in_run_frame(const ItemRecord& record, uint64_t run) noexcept {
  return run != 0 && record.run == run && !record.left;
}

bool is_claimable(const ItemRecord& record, uint64_t run) noexcept {
  return record.state == ItemState::pending && in_run_frame(record, run);
}

ErrorClass failed_class(const ItemRecord& record) noexcept {
  const bool counts = record.state == ItemState::failed && !record.waived && !record.left;
  if (!counts) return ErrorClass::none;
  return record.error_class == ErrorClass::none ? ErrorClass::internal : record.error_class;
}

void add_change(FrameChanges& changes, const ItemRecord* before, const ItemRecord& now, uint64_t run) noexcept {
  if (before != nullptr) {
    const Counters old = contribution(*before);
    changes.migration -= old;
    if (in_run_frame(*before, run)) changes.run -= old;
  }
  const Counters added = contribution(now);
  changes.migration += added;
  if (in_run_frame(now, run)) changes.run += added;
}

void add_class_change(std::map<ErrorClass, int64_t>& by_class, const ItemRecord* before, const ItemRecord& now,
                      uint64_t run) {
  if (before != nullptr && in_run_frame(*before, run)) {
    const ErrorClass old = failed_class(*before);
    if (old != ErrorClass::none) --by_class[old];
  }
  if (!in_run_frame(now, run)) return;
  const ErrorClass added = failed_class(now);
  if (added != ErrorClass::none) ++by_class[added];
}

ItemAccounts to_accounts(const Counters& counters, int64_t in_progress) noexcept {
  ItemAccounts accounts;
  const int64_t waiting = counters[Counter::pending];
  accounts.in_progress = std::clamp<int64_t>(in_progress, 0, std::max<int64_t>(waiting, 0));
  accounts.pending = waiting - accounts.in_progress;
  accounts.excluded = counters[Counter::excluded];
  accounts.created = counters[Counter::created];
  accounts.updated = counters[Counter::updated];
  accounts.unchanged = counters[Counter::unchanged];
  accounts.verified = counters[Counter::verified];
  accounts.failed = counters[Counter::failed];
  accounts.waived = counters[Counter::waived];
  accounts.vanished = counters[Counter::vanished];
  accounts.done = accounts.created + accounts.updated + accounts.unchanged;
  accounts.settled = accounts.done + accounts.failed + accounts.waived + accounts.vanished;
  accounts.eligible = waiting + accounts.settled;
  accounts.discovered = accounts.eligible + accounts.excluded;
  accounts.outstanding = accounts.eligible - accounts.done;
  return accounts;
}

void finish_snapshot(Snapshot& snapshot, const Counters& run, const Counters& migration, bool owner_alive,
                     const std::string& reason) {
  const bool says_alive = snapshot.state == RunState::running || snapshot.state == RunState::cancelling;
  if (says_alive && !owner_alive) {
    snapshot.state = RunState::interrupted;
    snapshot.reason = reason;
  } else if (snapshot.state == RunState::running && !snapshot.live.reason.empty()) {
    // The owner lives and waits, for an endpoint or for the tracker.
    snapshot.state = RunState::paused;
    snapshot.reason = snapshot.live.reason;
  }
  if (!owner_alive) snapshot.owner.reset();
  if (!says_alive || !owner_alive) snapshot.live = LiveState{};
  snapshot.items = to_accounts(run, snapshot.live.in_progress);
  snapshot.migration_items = to_accounts(migration, snapshot.live.in_progress);
  snapshot.live.in_progress = snapshot.items.in_progress;
  snapshot.bytes_total = static_cast<uint64_t>(run[Counter::bytes_total]);
  snapshot.bytes_done = static_cast<uint64_t>(run[Counter::bytes_done]);
  snapshot.attempts_total = static_cast<uint64_t>(run[Counter::attempts_total]);
  snapshot.attempts_failed = static_cast<uint64_t>(run[Counter::attempts_failed]);
}

}  // namespace waybill::internal
