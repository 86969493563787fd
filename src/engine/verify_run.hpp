// SPDX-License-Identifier: Apache-2.0
//
// The verify phase: source listing ⋈ ledger ⋈ destination listing, a merge join over three streams in key order with
// constant memory. What has to be read back is read by a few threads. So is what a listing does not show asked for: there
// are stores whose listings come later than their objects. Where there is no order to join by, both sides are asked
// about each row. Each difference is one finding.
#pragma once

#include <condition_variable>
#include <deque>
#include <optional>
#include <vector>

#include "engine/listing.hpp"
#include "engine/run.hpp"

namespace waybill::internal {

/// Whether an item is in the `part`-th of `of` parts of a sample. Told by the key alone: the same item is in the same part
/// of every run.
bool is_in_sample(const ItemId& id, uint64_t part, uint64_t of);

class VerifyRun final : public RunBase {
 public:
  VerifyRun(RunSetup setup, VerifyLevel level);
  ~VerifyRun() override { shut_down(); }

 protected:
  void start_work() override;
  bool is_work_done() override;
  void tick(Clock::time_point) override {}
  void stop_work() override;
  void join_work() override;
  int in_flight() const override;
  void fill_live(LiveState& live) const override;

 private:
  /// One item, with what each of the three streams holds of it.
  struct Triple {
    std::optional<Item> source;
    std::optional<ItemRecord> record;
    std::optional<Item> there;
    bool asks_source = false;  ///< no listing has told: to be asked for
    bool asks_there = false;
    std::string dead_link{};  ///< what the source says of one, where it was asked for
  };

  void join();
  void join_ordered();
  void join_targets();
  void ask_each();
  void find_new_items();
  /// What the listings tell. True if the item's content is left to be checked.
  bool judge(const Triple& triple);
  bool judge_done(const Triple& triple);
  bool is_other_revision(const SourceStamp& now, const SourceStamp& copied) const;
  void ask(Triple& triple, CallContext& context);
  void look_at_source(Triple& triple, CallContext& context);
  void read_back(const Triple& triple, CallContext& context);
  bool is_read(const ItemId& id) const;
  /// What differs of the attributes, in one line; nothing if they are the same, or cannot be told.
  std::string attribute_difference(const Triple& triple, const Attributes& there, CallContext& context);
  void check_queued();
  void check(Triple triple);
  void find(FindingKind kind, const ItemId& id, std::string detail);
  void settle(const Triple& triple, bool is_verified);
  void hand_over(Triple triple);

  const VerifyLevel level_;
  const int n_checkers_;
  Thread joiner_;
  std::vector<Thread> checkers_;
  mutable std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::deque<Triple> queue_;    // guarded by queue_mutex_
  int checking_ = 0;            // guarded by queue_mutex_
  bool is_joining_ = true;      // guarded by queue_mutex_
  bool is_stopped_ = false;     // guarded by queue_mutex_
};

}  // namespace waybill::internal
