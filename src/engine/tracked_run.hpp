// SPDX-License-Identifier: Apache-2.0
//
// A run whose items a program hands in and works on by itself. Rows are written as by a listing; outcomes as by a
// transfer; everything else is RunBase's.
//
// What was seen when: a row of this run tells by its stamp's version, which tracked items have no other use for, which
// process of the run has seen it ("" the first one, else the epoch of the process). So an item that comes twice is told
// from one that an earlier process was handed, without a memory of items. What is not committed yet is in recent_.
#pragma once

#include <map>
#include <set>
#include <span>

#include "engine/run.hpp"
#include "waybill/track.hpp"

namespace waybill::internal {

class TrackedWork final : public RunBase {
 public:
  using Ticket = TrackedRun::Ticket;

  TrackedWork(RunSetup setup, bool is_carried_on);
  ~TrackedWork() override { shut_down(); }

  bool declare(std::span<const TrackedItem> items, std::chrono::milliseconds timeout);
  void end_listing();
  std::optional<std::vector<Ticket>> claim(std::span<const TrackedItem> items, bool is_declared, std::chrono::milliseconds timeout);
  void start(Ticket ticket);
  bool finish(Ticket ticket, const TrackedOutcome& outcome, std::chrono::milliseconds timeout);
  void let_go(Ticket ticket);
  void log(LogLevel level, std::string_view text) { scope_.log(level, text); }
  bool is_stopped() const { return is_stopping(); }
  void complete();
  void leave(std::string_view why);

 protected:
  void start_work() override {}
  bool is_work_done() override;
  void tick(Clock::time_point now) override;
  void stop_work() override;
  void join_work() override;
  int in_flight() const override;
  void fill_live(LiveState& live) const override;
  void hold(bool held) override;

 private:
  /// A claimed item.
  struct Open {
    ItemRecord record;
    int64_t begun_at_ms = 0;  ///< 0: not begun
  };
  /// An item that was handed in lately. With a record it may be claimed again, and that is its row.
  using Recent = std::map<ItemId, std::optional<ItemRecord>>;

  void hand_in(std::vector<ItemChange> changes);
  bool wait_until_ready(Clock::time_point until);
  std::vector<std::optional<ItemRecord>> look_up(std::span<const TrackedItem> items);
  bool is_duplicate(const TrackedItem& item, const std::optional<ItemRecord>& known) const;
  std::optional<ItemRecord> row_of(const TrackedItem& item, const std::optional<ItemRecord>& known) const;
  std::optional<Open> take(Ticket ticket);
  void close();
  bool drop_owed();

  const std::string mark_;       // of rows that this process has seen
  const std::string left_mark_;  // and of those that it let go

  // Held while something is handed in: what the ledger has room for is not taken by another thread meanwhile. Never
  // taken by the ledger's thread, which is waited for under it.
  std::mutex entry_mutex_;
  Recent recent_;            // guarded by entry_mutex_
  bool is_listed_ = false;  // guarded by entry_mutex_

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Ticket, Open> open_;         // guarded by mutex_
  std::set<Ticket> begun_;              // guarded by mutex_
  Ticket last_ticket_ = 0;              // guarded by mutex_
  bool is_held_ = false;                // guarded by mutex_
  bool is_completing_ = false;          // or can come to its end no more; guarded by mutex_
  uint64_t n_changes_ = 0;              // of begun_; guarded by mutex_
  mutable uint64_t n_shown_ = 0;        // of them, in a commit; guarded by mutex_
  std::atomic<int> n_finishing_{0};     // taken out of begun_, and their outcome is not queued yet
  std::atomic<bool> is_closed_{false};
  Clock::time_point shown_at_;
  Thread closer_;
};

}  // namespace waybill::internal
