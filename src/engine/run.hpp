// SPDX-License-Identifier: Apache-2.0
//
// What every run has, whatever its phase: the lease, the ledger, the notifier, the ways to stop, the watchdog over the
// heartbeat, and one thread that leads it from its start to its end.
//
//   begin() ─► lead: start_work ─► every 50 ms: tick, watchdog, drain ─► join_work ─► last commit ─► release ─► report
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/thread.hpp"
#include "engine/body_pool.hpp"
#include "engine/cancellation.hpp"
#include "engine/key_template.hpp"
#include "engine/ledger.hpp"
#include "engine/notifier.hpp"
#include "engine/retry.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

struct RunSetup {
  std::shared_ptr<Source> source;            ///< or null, as the destination, where a program does the work by itself
  std::shared_ptr<Destination> destination;
  std::shared_ptr<Tracker> tracker;
  std::shared_ptr<Transform> transform;  ///< or null
  Options options;
  Callbacks callbacks;
  MigrationInfo migration;
  uint64_t epoch = 0;
  RunRecord record;
  bool has_earlier_runs = false;
  std::shared_ptr<const KeyTemplate> keys = nullptr;  ///< null: each item goes to its own key
};

class RunBase : public Run {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RunBase(RunSetup setup);

  uint64_t id() const override { return setup_.record.run; }
  Snapshot snapshot() const override;
  void cancel() override { stop(Stop::cancel, "cancelled"); }
  void pause() override { stop(Stop::pause, "paused"); }
  void interrupt() override { stop(Stop::interrupt, "interrupted by a signal or by its host"); }
  void fail(const std::string& why) override;
  std::optional<Report> wait(std::chrono::milliseconds timeout) override;
  using Run::wait;

  void begin();

 protected:
  enum class Stop { none, cancel, pause, interrupt, failure };

  virtual void start_work() = 0;
  /// Whether the phase has come to its end. Polled.
  virtual bool is_work_done() = 0;
  virtual void tick(Clock::time_point now) = 0;
  /// Nothing new is begun; what is in flight goes on.
  virtual void stop_work() = 0;
  virtual void join_work() = 0;
  /// After the work: what is left to tidy where the run is over for good.
  virtual void tidy() {}
  /// How many works are in flight, and the live view of them.
  virtual int in_flight() const = 0;
  virtual void fill_live(LiveState& live) const = 0;
  /// Of a run that has come to its end: whether something has no outcome, or one that is not as wished; and how far it
  /// has come, in words.
  virtual bool has_work_left(const Snapshot& snapshot) const;
  virtual bool has_differences(const Snapshot& snapshot) const;
  virtual std::string progress_text(const Snapshot& snapshot) const;
  virtual bool wants_claim() const { return false; }
  virtual void add_claimed(std::vector<Claimed>) {}
  virtual void hold(bool) {}
  /// The endpoints fail for everybody, or answer again.
  virtual void probe(bool) {}

  /// To be called by derived destructors: ends and joins while their members still live.
  void shut_down() noexcept;
  void stop(Stop how, std::string reason, std::exception_ptr error = nullptr);
  void fail(std::exception_ptr error);
  /// What is to be said of the run when it has reached its end.
  void remark(std::string text);
  bool is_stopping() const noexcept { return stop_.load() != Stop::none; }
  /// Why nothing is begun any more: the error that the run fails with, or one of class cancelled.
  [[noreturn]] void throw_stopped() const;

  RunSetup setup_;
  CancelSource cancel_;
  BodyPool bodies_;
  RunScope scope_;
  EndpointRetries retries_;
  std::unique_ptr<Ledger> ledger_;

 private:
  void lead();
  void show_cancelling();
  void drain(Clock::time_point now);
  void abort_calls();
  void watch_lease();
  void measure(Clock::time_point now);
  void sample_minute(Clock::time_point now, const Ledger::Activity& activity);
  void end();
  LiveState live() const;
  RunState end_state(Stop how, const std::exception_ptr& error, std::string& reason) const;
  std::string counters_text() const;

  const int64_t pid_;
  std::unique_ptr<Notifier> notifier_;
  Thread leader_;

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  std::atomic<Stop> stop_{Stop::none};
  std::string stop_reason_;                   // guarded by mutex_
  std::string remark_;                        // guarded by mutex_
  std::exception_ptr error_;                  // why it failed; guarded by mutex_
  std::exception_ptr callback_error_;         // guarded by mutex_
  std::optional<Clock::time_point> stop_at_;  // guarded by mutex_
  std::optional<Report> report_;              // guarded by mutex_
  bool is_tracker_stuck_ = false;             // guarded by mutex_
  bool was_aborted_by_watchdog_ = false;
  LiveState rates_;                           // rates, eta and stall; guarded by mutex_
  std::map<std::string, uint64_t, std::less<>> counters_;  // guarded by mutex_
  struct Sample {
    Clock::time_point at;
    uint64_t items;
    uint64_t bytes;
    uint64_t records;
  };
  std::vector<Sample> samples_;
  Clock::time_point moved_at_;
  Clock::time_point minute_start_;
  int64_t minute_at_ms_;
  Ledger::Activity minute_base_;
  bool was_endpoint_down_ = false;
};

/// The run as a host holds it: safe to destroy in a forked child.
std::unique_ptr<Run> handle_of(std::unique_ptr<RunBase> run);

}  // namespace waybill::internal
