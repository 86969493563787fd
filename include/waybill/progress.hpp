// SPDX-License-Identifier: Apache-2.0
//
// What a run says while it lives: Snapshot (the accounts at one instant), Event (what happened, in order), and the
// callbacks with their threading contract.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill {

/// Stored: numbers never change.
enum class Phase : int { copy = 0, verify = 1, cutover = 2, rollback = 3, track = 4 };

/// State of a run. Stored, except `interrupted`, which every reader derives from the lease before it is written down.
/// Numbers never change.
enum class RunState : int {
  created = 0,
  running = 1,
  paused = 2,
  cancelling = 3,
  completed = 4,
  completed_with_differences = 5,
  failed = 6,
  cancelled = 7,
  interrupted = 8,
};

const char* to_string(Phase phase) noexcept;
const char* to_string(RunState state) noexcept;
std::optional<RunState> run_state_from(std::string_view word) noexcept;

/// Whether a run may move from one state to the other. One table; every other move is a defect.
bool is_legal_move(RunState from, RunState to) noexcept;
/// completed, completed_with_differences, failed or cancelled: the run is over and a new one begins at the next start.
bool is_ended(RunState state) noexcept;
/// The exit code of a process whose run ended so: 0 completed, 3 completed_with_differences, 1 failed, 130 cancelled,
/// paused or interrupted. (2 = usage or configuration and 4 = refused by a gate never begin a run.)
int exit_code(RunState state) noexcept;

/// The accounts of items. They hold at every instant: discovered = excluded + eligible; eligible = pending +
/// in_progress + done + failed + waived + vanished; done = created + updated + unchanged.
struct ItemAccounts {
  int64_t discovered = 0;
  int64_t excluded = 0;
  int64_t eligible = 0;
  int64_t pending = 0;      ///< without those in progress
  int64_t in_progress = 0;
  int64_t done = 0;
  int64_t created = 0;      ///< "new" in JSON
  int64_t updated = 0;
  int64_t unchanged = 0;
  int64_t verified = 0;     ///< of done
  int64_t failed = 0;       ///< not waived
  int64_t waived = 0;
  int64_t vanished = 0;
  int64_t outstanding = 0;  ///< eligible − done
  int64_t settled = 0;      ///< done + failed + waived + vanished

  bool operator==(const ItemAccounts&) const = default;
};

/// How far a reference has been switched. Stored: numbers never change.
enum class ReferenceState : int {
  original = 0,  ///< holds what it held, and cannot be switched yet: its reason says why
  pending = 1,   ///< the newest plan would switch it
  intended = 2,  ///< its update was asked for; how that ended has to be read
  updated = 3,   ///< switched, and seen to be
  restored = 4,  ///< switched once, and taken back
  conflict = 5,  ///< somebody else changed it: untouched
  failed = 6,    ///< the catalog refused the update
  vanished = 7,  ///< its record is gone, or its item never could be copied
  excluded = 8,  ///< points at nothing that moves: no value, an excluded or waived item, a place that is new already
};
const char* to_string(ReferenceState state) noexcept;
std::optional<ReferenceState> reference_state_from(std::string_view word) noexcept;

/// The accounts of references: each is in one state. total is the sum of the others.
struct ReferenceAccounts {
  int64_t total = 0;
  int64_t original = 0;
  int64_t pending = 0;
  int64_t intended = 0;
  int64_t updated = 0;
  int64_t restored = 0;
  int64_t conflict = 0;
  int64_t failed = 0;
  int64_t vanished = 0;
  int64_t excluded = 0;

  bool operator==(const ReferenceAccounts&) const = default;
};

struct InFlight {
  std::string partition;
  Key key;
  uint64_t bytes_done = 0;
  std::optional<uint64_t> bytes_total;
  int attempt = 1;
  int64_t started_at_ms = 0;
};

/// What the owner of a run reports with its heartbeat; not derivable from rows.
struct LiveState {
  int64_t in_progress = 0;         ///< items claimed and being worked on
  std::vector<InFlight> in_flight; ///< at most 32 of them, oldest first
  int64_t concurrency = 0;         ///< transfers allowed at once, now
  double items_per_second = 0;     ///< over about the last minute
  double bytes_per_second = 0;
  std::optional<double> eta_low_seconds;   ///< empty where it cannot be told
  std::optional<double> eta_high_seconds;
  std::optional<int64_t> stalled_since_ms; ///< nothing has moved since
  std::string reason;              ///< why the run is paused by itself: "tracker", "endpoint", …; "" otherwise
};

/// The process that owns, or last owned, the ledger.
struct Owner {
  std::string host;
  std::string boot_id;        ///< of the kernel: equal means the same kernel run
  int64_t pid = 0;
  int64_t process_start = 0;  ///< clock ticks since boot, so that a reused pid is told apart
  uint64_t epoch = 0;         ///< fencing number
};

/// Everything `status` shows, read in one transaction: one function computes it for the API, the command line, the page
/// and SQL, so that numbers with the same seq are the same everywhere.
struct Snapshot {
  static constexpr int schema_version = 1;

  std::string migration;        ///< id, 16 hexadecimal digits
  std::string name;
  std::string source;           ///< identities, without secrets
  std::string destination;

  uint64_t run = 0;             ///< 0: no run yet
  Phase phase = Phase::copy;
  RunState state = RunState::created;
  std::string reason;           ///< why the run is in this state; "" where there is nothing to say
  std::optional<int64_t> started_at_ms;
  std::optional<int64_t> ended_at_ms;
  double active_seconds = 0;    ///< without the time it was paused or interrupted
  std::optional<int64_t> heartbeat_at_ms;
  std::optional<Owner> owner;   ///< of a live run

  ItemAccounts items;           ///< in the frame of the run: what it saw or owed
  ReferenceAccounts references; ///< all that the ledger knows
  /// Of a cutover or rollback run: those that it settled, and as `pending` those that it still owes. total stays what it
  /// was to settle when it began.
  ReferenceAccounts run_references;
  ItemAccounts migration_items; ///< in the frame of the migration: the latest revision of every item ever seen
  std::map<std::string, int64_t> findings;    ///< by kind; of the last verify run
  std::map<std::string, int64_t> failed_by_class;  ///< failed items of the run's frame by error class
  uint64_t bytes_total = 0;     ///< of eligible items
  uint64_t bytes_done = 0;      ///< of done items
  uint64_t attempts_total = 0;
  uint64_t attempts_failed = 0;

  bool listing_complete = false;
  /// Of tracked work whose listing is not complete: how many items its program expects. A guess, and in no ratio.
  std::optional<uint64_t> expected_items;
  LiveState live;               ///< of the last heartbeat; in_progress 0 unless the run is alive
  std::optional<int64_t> last_event_at_ms;
  uint64_t seq = 0;             ///< of the last commit; grows with every change of any number here

  /// settled ÷ eligible; nothing until the listing is complete; 1 where nothing is eligible. Never falls within a run. Of a
  /// cutover or rollback run, as the next one, in references.
  std::optional<double> progress() const noexcept;
  /// done ÷ eligible; nothing until the listing is complete; 1 where nothing is eligible.
  std::optional<double> completeness() const noexcept;
  /// Attempts that succeeded ÷ attempts; nothing without attempts.
  std::optional<double> success() const noexcept;
};

/// The snapshot as JSON, UTF-8, one line, with exactly the fields of `waybill status --json`; keys in it are printable().
std::string to_json(const Snapshot& snapshot);

/// Checks the equations of ItemAccounts and the bounds of the ratios. Nothing, or what does not hold, in one line.
std::optional<std::string> violated_invariant(const Snapshot& snapshot);

/// `audit` is what a person decided about items: a waiver, a deletion. It is never removed. Stored: numbers never change.
enum class EventKind : int { run = 0, phase = 1, error = 2, log = 3, progress = 4, request = 5, audit = 6 };

const char* to_string(EventKind kind) noexcept;

/// Something that happened, durable in the ledger. A successful item has a row, not an event.
struct Event {
  uint64_t seq = 0;      ///< set by the tracker: strictly ascending over all runs of a ledger, with gaps
  int64_t at_ms = 0;     ///< UTC
  uint64_t run = 0;
  EventKind kind = EventKind::log;
  LogLevel level = LogLevel::info;
  std::string text;      ///< one line, printable
  std::string data;      ///< a JSON object, or ""
};

/// The event as a JSON object, one line.
std::string to_json(const Event& event);

/// Callbacks of a run. Any of them may be empty.
///
/// *Threading:* called on one notifier thread per run, one at a time, never on a transfer thread and never inside
/// start(). *Order:* events by seq; progress is coalesced (the newest wins; at most one each interval), and a last
/// progress always comes, on failure too, before the last event, which is the end of the run; after it no callback
/// runs. *Locking:* no lock of waybill is held: snapshots, cancel() and pause() may be called; wait() throws
/// failed_precondition, and the run must not be destroyed. *Speed:* a slow callback slows nobody. *Exceptions:* one that
/// leaves a callback ends the run as `failed` with class `callback`, and wait() throws it again.
struct Callbacks {
  std::function<void(const Snapshot&)> on_progress;
  std::function<void(const Event&)> on_event;
};

}  // namespace waybill
