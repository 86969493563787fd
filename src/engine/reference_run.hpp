// SPDX-License-Identifier: Apache-2.0
//
// A run that switches references, whichever way: a cutover forwards, a rollback back.
//
//   ledger's references ─► batches ─► prepare ─► journal, committed ─► Catalog.update if unchanged ─► read back ─► outcomes
//   (one feeding thread)   (a few threads, each with one batch at a time; where the catalog locks partitions, no two
//                           have references of one)
//
// What a batch came to is known by reading alone, never by the answer to the update: so an answer that is lost, or a
// process that dies, costs a read. A reference whose update may have been asked for is `intended` in the ledger until then.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/cutover_json.hpp"
#include "engine/reference_outcome.hpp"
#include "engine/run.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {

/// One reference on its way.
struct Switch : Switched {
  std::string stamp;    ///< of the record, where it was read before the update
  UpdateResult result;  ///< of the last try
  uint32_t tries = 0;
};

class ReferenceRun : public RunBase {
 public:
  ReferenceRun(RunSetup setup, std::shared_ptr<Catalog> catalog, Direction direction);

 protected:
  /// The next references to be switched, at most Capabilities::max_batch, with their journal records; empty at the end.
  /// Called by one thread.
  virtual std::vector<Switch> next_batch() = 0;
  /// Takes out of the batch what is not to be switched after all, and settles it.
  virtual void prepare(std::vector<Switch>&) {}
  /// After the last batch was committed.
  virtual void close() { remark(window_text()); }

  void start_work() final;
  bool is_work_done() final;
  void tick(Clock::time_point) final {}
  void stop_work() final;
  void join_work() final;
  int in_flight() const final;
  void fill_live(LiveState& live) const final;
  std::string progress_text(const Snapshot& snapshot) const final;
  bool has_work_left(const Snapshot& snapshot) const override { return snapshot.run_references.pending > 0; }
  bool has_differences(const Snapshot& snapshot) const override;

  /// How long edits could have been lost in this run, in all its processes; "" where the catalog's condition is exact.
  std::string window_text();
  /// Queues what became of references; `settles`: the run has come to its end with them.
  void write(const std::vector<Switch>& changed, bool settles);
  /// What the call gives, tried again until the store answers. Errors: cancelled; what another try would not mend.
  template <class Call>
  auto patiently(Side side, const char* what, const Call& call);

  const std::shared_ptr<Catalog> catalog_;
  const Catalog::Capabilities can_;
  const Direction direction_;

 private:
  /// A batch, and how far it has come.
  struct Work {
    enum class Stage { found, begun, asked } stage = Stage::found;
    std::vector<Switch> batch;
    std::set<std::string> partitions = {};  // that nobody else may have in hand meanwhile
  };

  enum class Verdict {
    ended,
    differs,  ///< ended, and holds something else than what the catalog said it was set to
    again,
    refused,  ///< as every other would be
  };

  void feed();
  std::vector<Work> next_works();
  std::deque<Work>::iterator next_free();
  void unhurried(const std::function<void()>& step);
  void resolve();
  void work();
  void carry(Work& work);
  void intend(Work& work);
  /// When the read began that found what is left of the batch.
  Clock::time_point look_first(std::vector<Switch>& batch);
  void note_window(Clock::time_point begun, size_t updates);
  void ask(std::vector<Switch>& batch);
  Verdict judge_one(Switch& one, const ReferenceValue& now) const;
  void judge(Work& work);
  void put_back(std::vector<Switch>& batch);
  void wait_for_another(const Switch& one);
  bool is_worth_another(const Switch& one) const;
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Clock::time_point* begun = nullptr);
  std::vector<ReferenceValue> read(const std::vector<Switch>& batch);

  const int n_workers_;
  std::mutex window_mutex_;
  UnguardedWindow window_;  // of this process; guarded by window_mutex_
  Thread feeder_;
  std::vector<Thread> workers_;
  mutable std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::deque<Work> queue_;   // guarded by queue_mutex_
  int busy_ = 0;             // works in hand; guarded by queue_mutex_
  std::set<std::string> held_;  // partitions of works in hand; guarded by queue_mutex_
  bool is_feeding_ = true;   // guarded by queue_mutex_
  bool is_reading_ = false;  // the feeder is in a call of the catalog; guarded by queue_mutex_
  bool is_over_ = false;     // closed as well; guarded by queue_mutex_
  bool is_stopped_ = false;  // guarded by queue_mutex_
};

template <class Call>
auto ReferenceRun::patiently(Side side, const char* what, const Call& call) {
  RetryPolicy& retry = retries_.of(side);
  for (int failures = 0;;) {
    try {
      CallContext context(scope_, failures + 1);
      context.check();
      auto result = call(context);
      retry.succeeded();
      return result;
    } catch (...) {
      const Error error = current_error();
      if (!error.retryable()) throw;
      ++failures;
      if (blames_endpoint(error.error_class())) retry.endpoint_failed();
      else if (failures >= setup_.options.max_attempts) throw;
      if (!cancel_.sleep(retry.delay(std::min(failures, 16), error))) {
        throw Error(ErrorCode::cancelled, ErrorClass::cancelled, std::string(what) + " was cancelled");
      }
    }
  }
}

}  // namespace waybill::internal
