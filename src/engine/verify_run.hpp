// SPDX-License-Identifier: Apache-2.0
//
// The verify phase: source listing ⋈ ledger ⋈ destination listing, a merge join over three streams in key order with
// constant memory; what has to be read back is read by a few threads. Each difference is one finding.
#pragma once

#include <condition_variable>
#include <deque>
#include <optional>
#include <vector>

#include "engine/listing.hpp"
#include "engine/run.hpp"

namespace waybill::internal {

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
  /// One key, with what each of the three streams holds at it.
  struct Triple {
    std::optional<Item> source;
    std::optional<ItemRecord> record;
    std::optional<Item> there;
  };

  void join();
  void join_ordered();
  void ask_each();
  void judge(Triple triple);
  /// Compares listings. True if nothing is left to say of the item; otherwise its content is to be checked.
  bool judge_listing(const Triple& triple);
  void read_back(const Triple& triple, CallContext& context);
  void check_contents();
  void check_content(const Triple& triple);
  void find(FindingKind kind, const ItemId& id, std::string detail);
  void settle(ItemRecord record, bool is_verified);
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
