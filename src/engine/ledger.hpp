// SPDX-License-Identifier: Apache-2.0
//
// Everything that a run writes to its tracker, in one place: producers hand in records, one thread commits everything
// queued at least every Options::commit_interval_ms, beats the heart, claims items for the work queue and reads
// requests. Outcomes pass through the destination's flush() first, on a thread of its own, so that the heart never
// waits for it: put, then flush, then commit.
//
// A tracker that cannot write stops everything behind it: producers block on full queues, the work queue is held, and
// the commit is tried again for Options::tracker_patience_ms.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/thread.hpp"
#include "engine/cancellation.hpp"
#include "waybill/destination.hpp"
#include "waybill/options.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// *Thread safety:* any thread, but start() and finish() from the one that owns it.
class Ledger {
 public:
  using Clock = std::chrono::steady_clock;

  struct Hooks {
    std::function<LiveState()> live;                     ///< for the heartbeat; in_progress is corrected by the ledger
    std::function<bool()> wants_claim;                   ///< whether the work queue runs low
    std::function<void(std::vector<Claimed>)> claimed;   ///< what claim() gave
    std::function<void(const Request&)> requested;       ///< pause or cancel from another process
    std::function<void()> committed;                     ///< after each commit
    std::function<void(bool stuck)> tracker_stuck;       ///< the tracker began, or ceased, to refuse
    std::function<void(std::exception_ptr)> broken;      ///< the ledger cannot go on: fenced, corrupt, out of patience
  };

  Ledger(Tracker& tracker, Destination* flushed, uint64_t epoch, const Options& options, RunRecord run, const RunScope& scope,
         Hooks hooks);
  ~Ledger();

  void start();
  /// Commits what is queued, then `final_run` with `end` as the last event, and stops. What was not flushed by
  /// `flush_deadline` stays pending. Whether the last commit succeeded.
  bool finish(RunState state, std::string reason, Event end, Clock::time_point flush_deadline);
  /// The run stops: nobody blocks here any more, and a tracker that refuses is not waited for. What is handed in from
  /// now on is still committed, if it can be.
  void release_waiters();
  /// Stops without another commit.
  void abandon();
  /// The ledger cannot go on: fenced, corrupt, or out of patience.
  bool is_broken() const;

  /// Rows found by listing, and how far it has come, for one transaction. Blocks while too many are not committed, or,
  /// with `wait_for_commit`, until these are. False if the ledger has stopped.
  bool list(std::vector<ItemChange> items, std::vector<ListingRecord> listings, bool wait_for_commit);
  void set_listing_complete(bool is_complete = true);
  /// There is nothing more to list in this run, though the listing is not complete.
  void set_listing_ended();
  /// An item's end; committed after the next flush. Blocks while too many wait.
  void outcome(ItemChange change);
  /// A finding, or a row that needs no flush.
  void record(std::optional<ItemChange> change, std::optional<Finding> finding);
  /// References with what their journal is to say, for one transaction. Blocks as list(). False if the ledger has stopped.
  bool references(std::vector<ReferenceChange> references, std::vector<JournalRecord> journal, bool wait_for_commit);
  /// An upload that begins; on return it is committed. False if the ledger has stopped.
  bool begin_upload(UploadRecord upload);
  /// A finished part. Where there is nothing to flush it is committed on return, so that whoever moves parts has no more
  /// of them outside the ledger than in work; else it is committed after the next flush.
  void part_done(const ItemId& id, PartInfo part);
  void upload_ended(const ItemId& id);
  /// Goes with the next commit, and is none by itself; replaces an earlier one of the same time.
  void rate(RateSample sample);
  void event(EventKind kind, LogLevel level, std::string text, std::string data = "");
  void set_state(RunState state, std::string reason);
  /// The work queue runs low.
  void want_claim();
  /// Waits until list() and outcome() would not wait. False if that takes longer than `timeout`.
  bool wait_for_room(std::chrono::milliseconds timeout);
  /// Commits what is queued now and waits for it. False if that takes longer than `timeout`, or cannot be done any more.
  bool settle(std::chrono::milliseconds timeout);
  /// Shows the live state to others with a commit of its own, soon.
  void show_live();

  RunState state() const;
  /// Claims give nothing any more: the listing is complete and committed, and no row is left to be taken.
  bool is_exhausted() const;
  /// Everything handed in has been committed.
  bool is_drained() const;
  struct Activity {
    uint64_t items = 0;    ///< outcomes handed in
    uint64_t bytes = 0;    ///< of those of their items that were moved, or compared by a verify run
    uint64_t attempts_failed = 0;
    uint64_t records = 0;  ///< anything handed in: rows, outcomes, parts, findings
  };
  Activity activity() const;
  /// When the heart last beat, on the boot-time clock, in ms.
  int64_t last_beat_ms() const;

 private:
  void run_commits();
  void run_flushes();
  Batch take_batch();                 // with mutex_ held
  bool commit(Batch batch);           // false: stopped or broken
  void claim();
  void serve_requests();
  void fail(std::exception_ptr error);
  double active_seconds(Clock::time_point now) const;
  bool has_work() const;              // with mutex_ held
  bool must_not_wait() const;         // with mutex_ held
  bool wait_for_commit_of(std::unique_lock<std::mutex>& lock);
  void move_to(RunState state, std::string reason);

  Tracker& tracker_;
  Destination* const flushed_;  // null where outcomes need no flush
  const uint64_t epoch_;
  const Options options_;
  CancelSource flush_cancel_;
  const RunScope flush_scope_;
  const Hooks hooks_;

  mutable std::mutex mutex_;
  std::condition_variable work_;       // for the commit thread
  std::condition_variable flush_work_; // for the flush thread
  std::condition_variable changed_;    // for producers that wait
  Batch ready_;                        // guarded by mutex_
  Batch unflushed_;                    // guarded by mutex_
  Batch flushing_;                     // being flushed; guarded by mutex_
  RunRecord run_;                      // guarded by mutex_
  bool run_changed_ = false;           // guarded by mutex_
  uint64_t handed_in_ = 0;             // batches begun; guarded by mutex_
  uint64_t committed_ = 0;             // batches committed; guarded by mutex_
  bool is_urgent_ = false;             // guarded by mutex_
  bool is_stopping_ = false;           // guarded by mutex_
  bool is_released_ = false;           // guarded by mutex_
  bool is_broken_ = false;             // guarded by mutex_
  bool may_have_pending_ = true;       // a claim might give something; guarded by mutex_
  bool is_claiming_ = false;           // guarded by mutex_
  std::vector<RateSample> rates_;       // guarded by mutex_
  bool listing_is_committed_ = false;  // guarded by mutex_
  Activity activity_;                  // guarded by mutex_
  int64_t last_beat_ms_ = 0;           // guarded by mutex_
  Clock::time_point active_since_;
  double active_before_ = 0;
  Clock::time_point last_progress_event_{};
  Clock::time_point last_requests_{};
  Thread commit_thread_;
  Thread flush_thread_;
};

}  // namespace waybill::internal
