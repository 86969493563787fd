// SPDX-License-Identifier: Apache-2.0
//
// track(): a program's own loop as a run, with the ledger, progress, resume, cancel, log and monitor of the engine, and
// without a Source or a Destination. The program has the items and does the work; the run says which are to be done.
//
//   auto run = track("convert", "convert.db");
//   for (const Report& one : reports) {
//     const auto tickets = run->claim({{TrackedItem{.id = {"", one.name, ""}, .revision = one.changed, .size = {}}}});
//     if (tickets->front() == TrackedRun::settled) continue;  // done already
//     run->begin(tickets->front());
//     run->finish(tickets->front(), TrackedOutcome::done(convert(one)));
//   }
//   run->complete();
//   run->run().wait();
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/migration.hpp"

namespace waybill {

/// One item of a program's work.
struct TrackedItem {
  ItemId id;                     ///< its key has 1 to 65,535 bytes; no version
  std::string revision;          ///< differs where the item is to be done anew; at most 255 bytes; "" where nothing tells
  std::optional<uint64_t> size;  ///< bytes, for progress and rates; where they are known
};

/// How an item ended. Made by done(), failed() and excluded().
struct TrackedOutcome {
  ItemState state = ItemState::copied;  ///< copied (it is done), failed or excluded
  std::optional<uint64_t> bytes;        ///< of a done item: what it came to, in place of TrackedItem::size
  std::string result;                   ///< of a done item: a JSON object that the ledger keeps, or ""
  std::optional<Error> error;           ///< of a failed item
  std::string reason;                   ///< of an excluded item

  static TrackedOutcome done(std::optional<uint64_t> bytes = std::nullopt, std::string result = "");
  static TrackedOutcome failed(Error error);
  static TrackedOutcome excluded(std::string reason);
};

/// A run of tracked work.
///
/// An item is claimed, begun and finished. Claiming writes it down as pending; from begin() to finish() it is in progress,
/// for everybody to see. What is finished is on disk within Options::commit_interval_ms. A process that dies leaves
/// everything else pending, and the next track() on the ledger carries on: what is done is not handed out again.
/// In later runs an item is done anew if it failed, was excluded, or has another revision.
///
/// *Thread safety:* every method may be called from any thread, many items may be in work. *Blocking:* where the ledger
/// cannot take more (a full disk), calls with a timeout give up after it, with nothing done; call them again. *Lifetime:*
/// as Run: destroying it interrupts the run. *Fork:* every method throws `forked` in a forked child.
class TrackedRun {
 public:
  /// Names a claimed item until it is finished.
  using Ticket = uint64_t;
  /// The ticket of an item that is not to be done: it is done already, or was excluded in this run.
  static constexpr Ticket settled = 0;
  static constexpr std::chrono::milliseconds patient{std::chrono::hours(24)};

  virtual ~TrackedRun();
  /// Snapshots, cancel, pause, interrupt, and the end. It comes when nothing is in work any more.
  virtual Run& run() = 0;

  /// Writes items down before any of them is claimed, a thousand or so at a time, so that totals are known from the start.
  /// Each of them is claimed later with `is_declared`. False: not within `timeout`.
  /// Errors: invalid_argument (an item that comes twice, a key or a revision out of bounds: nothing of the call is
  /// recorded); cancelled (the run stops, see is_stopping()); or whatever the run failed with.
  virtual bool declare(std::span<const TrackedItem> items, std::chrono::milliseconds timeout = patient) = 0;
  /// Everything has been declared: snapshots have a ratio of progress from now on, until other items are declared or claimed.
  virtual void end_listing() = 0;
  /// Tickets of items, in order; nothing: not within `timeout`. An item that has failed in this run, or was let go, may be
  /// claimed again. Errors: as declare.
  virtual std::optional<std::vector<Ticket>> claim(std::span<const TrackedItem> items, bool is_declared = false,
                                                   std::chrono::milliseconds timeout = patient) = 0;
  /// The work on a claimed item begins. Errors: as declare; invalid_argument (no such ticket).
  virtual void begin(Ticket ticket) = 0;
  /// The item has its outcome, also in a run that stops. False: not within `timeout`; the item is in work still.
  /// Errors: invalid_argument (no such ticket; a result that is no JSON object, or of more than 65,535 bytes).
  virtual bool finish(Ticket ticket, const TrackedOutcome& outcome, std::chrono::milliseconds timeout = patient) = 0;
  /// Leaves a claimed item without an outcome: it is pending, and may be claimed again.
  virtual void let_go(Ticket ticket) = 0;

  /// A line of the run's log, kept as an event.
  virtual void log(LogLevel level, std::string_view text) = 0;
  /// Whether the run was cancelled, paused or interrupted, by whomever, or has failed: nothing is to be begun any more.
  virtual bool is_stopping() const = 0;

  /// Every item there is has been claimed and finished: the run goes to its end. What earlier runs had done and this one
  /// was not shown is marked as gone; what they still owed has vanished. Returns at once.
  /// Errors: failed_precondition (claimed items have no outcome).
  virtual void complete() = 0;
  /// The program leaves before its end, in one line why: what is in work is let go, the run ends as interrupted.
  virtual void leave(std::string_view why) = 0;
};

/// Begins a run of the work called `name`, or carries on with the one that did not end, and returns once the ledger is
/// ours. A ledger belongs to one work; it is made where there is none. `expected` items are shown as what is to come while
/// the listing is not complete; they are in no ratio. Of the options, those of the ledger have a meaning
/// (commit_interval_ms, lease_ms, heartbeat_ms, take_over, resume_paused, tracker_patience_ms).
/// Errors: configuration (another option is set; no name; the ledger is of another migration or work); locked (another
/// process owns the ledger; the run is paused, see Options::resume_paused); tracker.
std::unique_ptr<TrackedRun> track(std::string_view name, std::shared_ptr<Tracker> tracker, const Options& options = {},
                                  std::optional<uint64_t> expected = std::nullopt, Callbacks callbacks = {});
/// The same with a ledger by its URL, see open_tracker().
std::unique_ptr<TrackedRun> track(std::string_view name, std::string_view tracker_url, const Options& options = {},
                                  std::optional<uint64_t> expected = std::nullopt, Callbacks callbacks = {});

}  // namespace waybill
