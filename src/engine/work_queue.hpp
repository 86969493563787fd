// SPDX-License-Identifier: Apache-2.0
//
// What the transfer threads take their work from: claimed items, parts of large objects that are under way (these go
// first, so that few objects are open at once), and tries that wait for their time. In memory and bounded by what was
// claimed; the ledger is the queue that lasts.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <vector>

#include "engine/concurrency.hpp"
#include "engine/destination_key.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

class LargeObject;

/// A claimed item on its way to its outcome. Worked on by one thread at a time; what parts of it, or the live view, touch
/// meanwhile is atomic.
struct ItemTask {
  explicit ItemTask(Claimed claimed)
      : record(std::move(claimed.record)),
        destination_key(internal::destination_key(record)),
        listed_stamp(record.stamp),
        maybe_ours(claimed.maybe_in_flight) {}

  ItemRecord record;
  const Key destination_key;
  SourceStamp listed_stamp;   ///< as claimed; record.stamp moves on when the source changes under our hands
  bool maybe_ours;            ///< what is at the destination may be our own unfinished business
  bool is_write_begun = false;  ///< by this process
  bool is_answer_lost = false;  ///< of a write that this process began
  bool is_copy_lost = false;    ///< by the store itself, that is, and what came was no refusal
  bool is_looked_at = false;    ///< the source was asked whether it still has the revision that was copied
  SourceStamp read_stamp;       ///< of the revision that was read; what the row keeps where listings have no stamps
  bool is_upload_lost = false;  ///< begun perhaps, with its id told to nobody
  std::atomic<uint32_t> attempts{0};  ///< begun; read by the live view
  std::atomic<uint32_t> attempts_failed{0};
  int source_changes = 0;
  std::atomic<bool> is_source_to_blame{true};  ///< for the last failure: the source's endpoint, not the destination's

  int64_t started_at_ms = 0;
  std::atomic<uint64_t> bytes_done{0};
  std::list<std::shared_ptr<ItemTask>>::iterator place;  ///< among the active ones; owned by WorkQueue
  bool is_active = false;                                ///< guarded by WorkQueue
};

struct Work {
  std::shared_ptr<ItemTask> item;       ///< a whole item, or
  std::shared_ptr<LargeObject> object;  ///< a part of this object, or with part 0 its completion
  uint32_t part = 0;
  int failures = 0;                     ///< so far
  int tries_counted = 0;                ///< of these, the ones that count against Options::max_attempts
  std::chrono::steady_clock::time_point first_failure{};
};

/// *Thread safety:* any thread.
class WorkQueue {
 public:
  using Clock = std::chrono::steady_clock;

  /// `want_claim` is called, without a lock held, when more items should be claimed.
  WorkQueue(ConcurrencyController& concurrency, std::function<void()> want_claim);

  /// Blocks until there is work and room to do it; nothing once stop() was called. Every work taken is given back by
  /// done().
  std::optional<Work> next();
  void done();

  void add(std::vector<Claimed> claimed);
  /// Parts of `object` are handed out until LargeObject::next_part() has none.
  void add_object(std::shared_ptr<LargeObject> object);
  void retry(Work work, std::chrono::milliseconds after);
  /// The item has its outcome, or goes back to the ledger unfinished: it is no longer in progress.
  void leave(ItemTask& task);
  /// The revision that the task is about from now on: its size is read by the live view.
  void set_stamp(ItemTask& task, SourceStamp stamp);

  bool wants_claim() const;
  /// While held, nothing is handed out.
  void hold(bool held);
  /// While probing, one work is handed out at a time, and ever more rarely down to one in 5 s: the endpoints fail for
  /// everybody. Afterwards nothing waits any longer for its next try.
  void probe(bool probing);
  /// A run begins on trial: until end_trial(), this many items at most are in flight or kept back, so that a store which
  /// refuses everything is not asked for more.
  static constexpr size_t trial_items = 8;
  void end_trial();
  /// On trial: how many items that were refused are kept back.
  void keep_back(size_t count);
  /// Hands out nothing any more, and forgets what was not begun.
  void stop();
  /// Moves retries whose time has come. Called every 50 ms or so.
  void tick();

  bool is_stopped() const;
  int running() const;     ///< works handed out and not given back
  bool is_idle() const;    ///< nothing running, waiting or to be retried
  bool is_busy() const;    ///< work waits for room
  size_t backlog() const;  ///< works that could be handed out now
  int64_t in_progress() const;
  std::vector<InFlight> in_flight(size_t at_most) const;

 private:
  struct Delayed {
    Clock::time_point at;
    Work work;
    bool operator<(const Delayed& other) const { return at > other.at; }
  };
  std::optional<Work> take();  // with mutex_ held
  int room() const;            // with mutex_ held
  bool runs_low() const;       // with mutex_ held
  void begin(Work& work);      // with mutex_ held

  ConcurrencyController& concurrency_;
  const std::function<void()> want_claim_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<ItemTask>> fresh_;        // guarded by mutex_
  std::deque<std::shared_ptr<LargeObject>> objects_;   // guarded by mutex_
  std::deque<Work> due_;                               // guarded by mutex_
  std::priority_queue<Delayed> delayed_;               // guarded by mutex_
  std::list<std::shared_ptr<ItemTask>> active_;        // guarded by mutex_
  int running_ = 0;                                    // guarded by mutex_
  bool held_ = false;                                  // guarded by mutex_
  bool probing_ = false;                               // guarded by mutex_
  std::chrono::milliseconds probe_wait_{};             // guarded by mutex_
  Clock::time_point next_probe_;                       // guarded by mutex_
  bool is_on_trial_ = true;                            // guarded by mutex_
  size_t kept_back_ = 0;                               // guarded by mutex_
  bool stopped_ = false;                               // guarded by mutex_
};

}  // namespace waybill::internal
