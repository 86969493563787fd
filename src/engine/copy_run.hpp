// SPDX-License-Identifier: Apache-2.0
//
// The copy phase: one listing thread fills the ledger, transfer threads take from it what it has claimed.
#pragma once

#include <vector>

#include "engine/concurrency.hpp"
#include "engine/run.hpp"
#include "engine/transfer.hpp"
#include "engine/work_queue.hpp"

namespace waybill::internal {

class CopyRun final : public RunBase {
 public:
  explicit CopyRun(RunSetup setup);
  ~CopyRun() override { shut_down(); }

 protected:
  void start_work() override;
  bool is_work_done() override;
  void tick(Clock::time_point now) override;
  void stop_work() override { queue_.stop(); }
  void join_work() override;
  void tidy() override;
  int in_flight() const override { return queue_.running(); }
  void fill_live(LiveState& live) const override;
  bool wants_claim() const override { return is_swept_ && are_keys_settled_ && queue_.wants_claim(); }
  void add_claimed(std::vector<Claimed> claimed) override { queue_.add(std::move(claimed)); }
  void hold(bool held) override { queue_.hold(held); }
  void probe(bool probing) override { queue_.probe(probing); }

 private:
  void give_up(std::exception_ptr error);
  void prepare();
  void list();
  void expect_partitions();
  bool settle_keys();
  void allow_claims();
  Key key_of(const ItemId& id) const;
  uint64_t moved_before() const;
  void grow_threads();
  void work();

  ConcurrencyController concurrency_;
  WorkQueue queue_;
  Transfer transfer_;
  std::atomic<bool> is_swept_{false};  ///< what dead processes left is gone; transfers may begin
  std::atomic<bool> are_keys_settled_;  ///< none of the listed items changes its destination key any more
  Thread lister_;
  std::vector<Thread> workers_;
  Clock::time_point tuned_at_;
};

}  // namespace waybill::internal
