// SPDX-License-Identifier: Apache-2.0
//
// See ownership.hpp.
#include "trackers/sqlite/ownership.hpp"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/ledger_writer.hpp"

namespace waybill::internal {
namespace {

constexpr int64_t refusal_ms = 500;  ///< how long acquire() waits for a lock that may be held only for a moment
constexpr std::chrono::milliseconds poll_interval{50};

bool is_alive_state(RunState state) noexcept { return state == RunState::running || state == RunState::cancelling; }

std::pair<uint64_t, int64_t> beat_of(const Lease& lease) { return {lease.owner.epoch, lease.beat}; }

Lease look_up(Database& database) {
  Transaction transaction(database, Transaction::Kind::read);
  const Lease lease = read_lease(database);
  transaction.commit();
  return lease;
}

void set_run_state(Database& database, uint64_t run, RunState state, const std::string& reason, bool is_end) {
  const int64_t now = now_ms();
  database.prepared("UPDATE runs SET state = ?, reason = ?, ended_at_ms = coalesce(?, ended_at_ms) WHERE run = ?")
      .bind(1, static_cast<int64_t>(state))
      .bind_text(2, reason)
      .bind_optional(3, is_end ? std::optional(now) : std::nullopt)
      .bind(4, static_cast<int64_t>(run))
      .run();
  Event event;
  event.at_ms = now;
  event.run = run;
  event.kind = EventKind::run;
  event.level = LogLevel::warning;
  event.text = "run " + std::to_string(run) + " " + to_string(state) + ": " + reason;
  write_events(database, {event});
}

/// Writes the new owner down; a run that the last one left running was interrupted.
uint64_t become_owner(Database& database, const Lease& last, Liveness liveness, int64_t lease_ms) {
  Lease lease;
  lease.is_held = true;
  lease.owner = this_process();
  lease.owner.epoch = last.owner.epoch + 1;
  lease.beat = last.beat + 1;
  lease.heartbeat_at_ms = now_ms();
  lease.lease_ms = lease_ms;
  write_lease(database, lease);
  database.prepared("DELETE FROM live").run();
  database.prepared("DELETE FROM in_flight").run();
  // What was asked of the last owner was asked before this start, which is the later wish.
  database.prepared("DELETE FROM requests").run();
  const PresentRun present = present_run(database);
  if (is_alive_state(present.state)) {
    set_run_state(database, present.run, RunState::interrupted, interrupted_reason(last, liveness), false);
  } else {
    write_events(database, {});
  }
  return lease.owner.epoch;
}

}  // namespace

Ownership take_ownership(Database& database, const std::string& lock_path, const LeaseOptions& options) {
  const Owner mine = this_process();
  const int64_t start = boot_time_ms();
  const int64_t patience_ms = options.take_over ? std::max<int64_t>(refusal_ms, options.lease.count()) : refusal_ms;
  LeaseWatch watch;
  std::optional<std::pair<uint64_t, int64_t>> first_beat;
  while (true) {
    std::optional<LockFile> lock = LockFile::try_lock(lock_path);
    const Lease seen = look_up(database);
    if (!first_beat) first_beat = beat_of(seen);
    // A lock says nothing about a process on another host.
    const bool is_elsewhere = seen.is_held && seen.owner.boot_id != mine.boot_id && seen.owner.host != mine.host;
    const bool is_free = lock && !is_elsewhere;
    const Liveness liveness = is_free ? Liveness::gone : watch.look(seen, lock_path, boot_time_ms());
    if (is_free || (options.take_over && liveness == Liveness::silent)) {
      Transaction transaction(database, Transaction::Kind::write);
      const Lease last = read_lease(database);
      // Writers come one after the other: whoever finds the lease as it was seen is the only one to replace the lock.
      if (!lock && beat_of(last) == beat_of(seen)) lock = LockFile::replace(lock_path);
      if (lock && lock->is_current(lock_path)) {
        const uint64_t epoch = become_owner(database, last, liveness, options.lease.count());
        transaction.commit();
        return {std::move(*lock), epoch};
      }
    }
    const bool is_beating = beat_of(seen) != *first_beat;
    const bool is_over = boot_time_ms() - start >= patience_ms && (!options.take_over || liveness == Liveness::nobody);
    if (is_over || (options.take_over && is_beating)) throw locked_error(database.path(), seen, now_ms());
    lock.reset();
    std::this_thread::sleep_for(poll_interval);
  }
}

void check_request(Database& database, Verb verb, bool has_owner) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                std::string("there is nothing to ") + to_string(verb) + " in " + database.path() + ": " + why);
  };
  const PresentRun present = present_run(database);
  if (present.run == 0) refuse("nothing has been run yet");
  const std::string name = "run " + std::to_string(present.run);
  if (is_ended(present.state)) refuse(name + " has ended (" + to_string(present.state) + ")");
  if (verb == Verb::cancel) return;
  if (present.state == RunState::paused) refuse(name + " is paused already");
  if (present.state == RunState::cancelling && has_owner) refuse(name + " is being cancelled");
}

void carry_out_request(Database& database, Verb verb, std::string_view who) {
  const PresentRun present = present_run(database);
  Lease lease = read_lease(database);
  lease.is_held = false;
  ++lease.owner.epoch;
  write_lease(database, lease);
  const bool is_cancel = verb == Verb::cancel;
  set_run_state(database, present.run, is_cancel ? RunState::cancelled : RunState::paused,
                (is_cancel ? "cancelled by " : "paused by ") + printable(who), is_cancel);
}

void leave_request(Database& database, Verb verb, std::string_view who) {
  database.prepared("INSERT INTO requests (verb, who, at_ms) VALUES (?, ?, ?)")
      .bind(1, static_cast<int64_t>(verb))
      .bind_text(2, who)
      .bind(3, now_ms())
      .run();
}

}  // namespace waybill::internal
