// SPDX-License-Identifier: Apache-2.0

#include "engine/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "base/references.hpp"
#include "base/text.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds beat{50};
constexpr seconds measure_interval{1};
constexpr seconds rate_interval{60};
constexpr size_t most_samples = 60;
constexpr seconds stall_after{30};
constexpr seconds endpoint_patience{30};
// An estimate needs this much to stand on.
constexpr uint64_t eta_items = 20;
constexpr seconds eta_after{5};
// The last flush and commit of a run that was stopped.
constexpr milliseconds last_flush{700};

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "something that is not a std::exception was thrown";
  }
}

ErrorClass class_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    return known.error_class();
  } catch (...) {
    return ErrorClass::internal;
  }
}

bool has_one_endpoint(const RunSetup& setup) {
  return setup.source && setup.source->endpoint() == setup.destination->endpoint();
}

}  // namespace

RunBase::RunBase(RunSetup setup)
    : setup_(std::move(setup)),
      bodies_(setup_.options.body_budget_bytes),
      scope_{cancel_, bodies_, setup_.migration.id, setup_.epoch, {}, {}},
      retries_(setup_.options, has_one_endpoint(setup_)),
      pid_(getpid()),
      moved_at_(Clock::now()),
      minute_start_(moved_at_),
      minute_at_ms_(now_ms()) {
  scope_.log = [this](LogLevel level, std::string_view text) {
    if (level != LogLevel::debug) ledger_->event(EventKind::log, level, printable(text));
  };
  scope_.count = [this](std::string_view name, uint64_t amount) {
    std::scoped_lock lock(mutex_);
    const auto found = counters_.find(name);
    if (found != counters_.end()) found->second += amount;
    else counters_.emplace(name, amount);
  };
  Ledger::Hooks hooks;
  hooks.live = [this] { return live(); };
  hooks.wants_claim = [this] { return !is_stopping() && wants_claim(); };
  hooks.claimed = [this](std::vector<Claimed> claimed) { add_claimed(std::move(claimed)); };
  hooks.requested = [this](const Request& request) {
    if (request.verb == Verb::cancel) stop(Stop::cancel, "cancelled by " + request.who);
    else stop(Stop::pause, "paused by " + request.who);
  };
  hooks.committed = [this] { notifier_->notify(); };
  hooks.tracker_stuck = [this](bool stuck) {
    hold(stuck);
    {
      std::scoped_lock lock(mutex_);
      is_tracker_stuck_ = stuck;
    }
    notifier_->notify();  // no commit tells of it
  };
  hooks.broken = [this](std::exception_ptr error) { fail(std::move(error)); };
  const bool flushes = setup_.record.phase == Phase::copy && setup_.destination->capabilities().needs_flush;
  ledger_ = std::make_unique<Ledger>(*setup_.tracker, flushes ? setup_.destination.get() : nullptr, setup_.epoch, setup_.options,
                                     setup_.record, scope_, std::move(hooks));
  const uint64_t seq = setup_.tracker->snapshot().seq;
  notifier_ = std::make_unique<Notifier>(
      *setup_.tracker, setup_.callbacks, setup_.record.run, seq, [this] { return snapshot(); },
      [this](std::exception_ptr error) {
        {
          std::scoped_lock lock(mutex_);
          callback_error_ = error;
        }
        fail(text_of(error));
      });
}

void RunBase::begin() {
  ledger_->event(EventKind::run, LogLevel::info,
                 std::string(to_string(setup_.record.phase)) + " run " + std::to_string(id()) + " started");
  ledger_->start();
  notifier_->start();
  leader_ = Thread("wb-run", [this] { lead(); });
}

void RunBase::lead() {
  try {
    start_work();
    auto measured = Clock::now();
    for (;;) {
      const auto now = Clock::now();
      if (is_stopping()) {
        stop_work();
        show_cancelling();
        drain(now);
        if (in_flight() == 0) break;
      } else if (is_work_done()) {
        break;
      }
      watch_lease();
      tick(now);
      if (now - measured >= measure_interval) {
        measured = now;
        measure(now);
      }
      std::unique_lock lock(mutex_);
      ended_.wait_for(lock, beat);
    }
  } catch (...) {
    fail(std::current_exception());
  }
  stop_work();
  // A listing or a verification that still hangs in a call has nothing to finish any more.
  if (is_stopping()) abort_calls();
  join_work();
  end();
}

void RunBase::stop(Stop how, std::string reason, std::exception_ptr error) {
  std::scoped_lock lock(mutex_);
  Stop expected = Stop::none;
  if (!stop_.compare_exchange_strong(expected, how)) {
    if (how == Stop::failure && !error_) error_ = std::move(error);
    return;
  }
  stop_reason_ = std::move(reason);
  error_ = std::move(error);
  stop_at_ = Clock::now();
  ended_.notify_all();
}

void RunBase::fail(const std::string& why) {
  fail(std::make_exception_ptr(Error(ErrorCode::aborted, ErrorClass::callback, std::string(to_string(ErrorClass::callback)) + ": " + why)));
}

void RunBase::fail(std::exception_ptr error) {
  std::string reason = text_of(error);
  stop(Stop::failure, std::move(reason), error);
}

void RunBase::throw_stopped() const {
  std::scoped_lock lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the run has stopped: " + stop_reason_);
}

void RunBase::remark(std::string text) {
  std::scoped_lock lock(mutex_);
  remark_ = std::move(text);
}

// What is in flight may take a while to end: until then everybody sees that it was asked to.
void RunBase::show_cancelling() {
  if (stop_.load() != Stop::cancel || ledger_->state() != RunState::running) return;
  std::string reason;
  {
    std::scoped_lock lock(mutex_);
    reason = stop_reason_;
  }
  ledger_->set_state(RunState::cancelling, std::move(reason));
}

void RunBase::drain(Clock::time_point now) {
  if (cancel_.fired()) return;
  bool is_over = false;
  {
    std::scoped_lock lock(mutex_);
    is_over = now - *stop_at_ >= milliseconds(setup_.options.drain_ms) || stop_.load() == Stop::failure;
  }
  if (is_over) abort_calls();
}

void RunBase::abort_calls() {
  cancel_.fire();
  bodies_.wake();
  ledger_->release_waiters();
}

// Past two thirds of the lease without a committed heartbeat, somebody else may soon own the ledger: what is in flight
// stops. Where the heart beats again, and nobody took over, it is begun again.
void RunBase::watch_lease() {
  if (is_stopping()) return;
  const bool is_late = boot_time_ms() - ledger_->last_beat_ms() > setup_.options.lease_ms * 2 / 3;
  if (is_late && !was_aborted_by_watchdog_) {
    was_aborted_by_watchdog_ = true;
    hold(true);
    cancel_.fire();
    bodies_.wake();
  } else if (!is_late && was_aborted_by_watchdog_ && in_flight() == 0) {
    cancel_.rearm();
    was_aborted_by_watchdog_ = false;
    hold(false);
  }
}

void RunBase::measure(Clock::time_point now) {
  const Ledger::Activity activity = ledger_->activity();
  const uint64_t items = activity.items;
  const uint64_t bytes = activity.bytes;
  if (samples_.empty() || samples_.back().records != activity.records) moved_at_ = now;
  samples_.push_back(Sample{now, items, bytes, activity.records});
  if (samples_.size() > most_samples) samples_.erase(samples_.begin());
  sample_minute(now, activity);
  const Sample& first = samples_.front();
  const double elapsed = std::chrono::duration<double>(now - first.at).count();
  LiveState rates;
  if (elapsed > 0) {
    rates.items_per_second = static_cast<double>(items - first.items) / elapsed;
    rates.bytes_per_second = static_cast<double>(bytes - first.bytes) / elapsed;
  }
  if (now - moved_at_ >= stall_after) {
    rates.stalled_since_ms = now_ms() - std::chrono::duration_cast<milliseconds>(now - moved_at_).count();
  }
  const auto failing_since = retries_.failing_since();
  const bool is_endpoint_down = failing_since != Clock::time_point::max() && now - failing_since >= endpoint_patience;
  if (is_endpoint_down) rates.reason = "endpoint";
  const bool is_news = is_endpoint_down != was_endpoint_down_;
  was_endpoint_down_ = is_endpoint_down;
  probe(is_endpoint_down);
  try {
    const Snapshot accounts = setup_.tracker->snapshot();
    // Of tracked work, what its program expects does for an estimate.
    const auto expected = static_cast<int64_t>(accounts.expected_items.value_or(0));
    const bool is_known = accounts.listing_complete || expected > accounts.items.discovered;
    const int64_t left_items =
        switches_references(accounts.phase) ? accounts.run_references.pending
                                            : (accounts.listing_complete ? accounts.items.eligible : expected - accounts.items.excluded) - accounts.items.settled;
    const bool can_tell = is_known && rates.items_per_second > 0 && !rates.stalled_since_ms && rates.reason.empty() &&
                          items >= eta_items && elapsed >= std::chrono::duration<double>(eta_after).count();
    if (can_tell) {
      const double by_items = static_cast<double>(left_items) / rates.items_per_second;
      const double left_bytes = static_cast<double>(accounts.bytes_total - std::min(accounts.bytes_total, accounts.bytes_done));
      const double by_bytes = accounts.listing_complete && rates.bytes_per_second > 0 ? left_bytes / rates.bytes_per_second : by_items;
      rates.eta_low_seconds = std::max(0.0, std::min(by_items, by_bytes));
      rates.eta_high_seconds = std::max(0.0, std::max(by_items, by_bytes));
    }
  } catch (const Error&) {
    // Without accounts there is no estimate.
  }
  {
    std::scoped_lock lock(mutex_);
    rates_ = std::move(rates);
  }
  // Nothing else is committed while nothing moves, and others are to see it before the next heartbeat.
  if (is_news && is_endpoint_down) {
    ledger_->event(EventKind::log, LogLevel::warning,
                   "paused (endpoint): a store has failed every transfer for 30 s; it is tried again and again");
  } else if (is_news) {
    ledger_->event(EventKind::log, LogLevel::info, "carrying on: the store answers again");
  }
}

// The minute under way is written with every commit anew, so that a process that dies leaves it as it was.
void RunBase::sample_minute(Clock::time_point now, const Ledger::Activity& activity) {
  LiveState live;
  fill_live(live);
  RateSample sample;
  sample.at_ms = minute_at_ms_;
  sample.seconds = std::chrono::duration<double>(now - minute_start_).count();
  sample.items = activity.items - minute_base_.items;
  sample.bytes = activity.bytes - minute_base_.bytes;
  sample.attempts_failed = activity.attempts_failed - minute_base_.attempts_failed;
  sample.concurrency = live.concurrency;
  ledger_->rate(sample);
  // The next minute begins where this one was written to: nothing falls between the two.
  if (now - minute_start_ >= rate_interval) {
    minute_start_ = now;
    minute_at_ms_ = now_ms();
    minute_base_ = activity;
  }
}

LiveState RunBase::live() const {
  LiveState state;
  {
    std::scoped_lock lock(mutex_);
    state = rates_;
    if (is_tracker_stuck_) state.reason = "tracker";
  }
  fill_live(state);
  return state;
}

Snapshot RunBase::snapshot() const {
  if (getpid() != pid_) throw Error(ErrorCode::failed_precondition, ErrorClass::forked, "this run belongs to the parent process");
  Snapshot result = setup_.tracker->snapshot();
  std::scoped_lock lock(mutex_);
  if (report_) return report_->snapshot;
  if (is_tracker_stuck_) {
    result.state = RunState::paused;
    result.reason = "tracker";
  }
  return result;
}

bool RunBase::has_work_left(const Snapshot& snapshot) const { return snapshot.items.pending + snapshot.items.in_progress != 0; }

bool RunBase::has_differences(const Snapshot& snapshot) const {
  const bool has_findings = std::any_of(snapshot.findings.begin(), snapshot.findings.end(),
                                        [](const auto& kind) {
                                          return kind.second > 0 && kind.first != "unknown" && kind.first != "gone";
                                        });
  return snapshot.items.failed + snapshot.items.vanished > 0 || (setup_.record.phase == Phase::verify && has_findings);
}

std::string RunBase::progress_text(const Snapshot& snapshot) const {
  const ItemAccounts& items = snapshot.items;
  return std::to_string(items.done) + " of " + std::to_string(items.eligible) + " items done, " + std::to_string(items.failed) + " failed";
}

RunState RunBase::end_state(Stop how, const std::exception_ptr& error, std::string& reason) const {
  if (how == Stop::failure || error) return RunState::failed;
  if (how == Stop::cancel) return RunState::cancelled;
  if (how == Stop::pause) return RunState::paused;
  if (how == Stop::interrupt) return RunState::interrupted;
  const Snapshot accounts = setup_.tracker->snapshot();
  std::optional<std::string> broken = violated_invariant(accounts);
  if (!broken && has_work_left(accounts)) broken = "something is left without an outcome";
  if (broken) {
    reason = "the accounts do not hold: " + *broken;
    return RunState::failed;
  }
  {
    std::scoped_lock lock(mutex_);
    reason = remark_;
  }
  return has_differences(accounts) ? RunState::completed_with_differences : RunState::completed;
}

std::string RunBase::counters_text() const {
  std::scoped_lock lock(mutex_);
  std::string text;
  for (const auto& [name, amount] : counters_) text += (text.empty() ? "{\"" : ",\"") + name + "\":" + std::to_string(amount);
  return text.empty() ? text : text + "}";
}

void RunBase::end() {
  std::string reason;
  std::exception_ptr error;
  {
    std::scoped_lock lock(mutex_);
    error = error_;
    reason = stop_reason_;
  }
  const Stop how = stop_.load();
  std::optional<Snapshot> last;
  try {
    const RunState state = end_state(how, error, reason);
    // A failed run keeps its uploads: the next one goes on with them.
    if (is_ended(state) && state != RunState::failed) tidy();
    Event event;
    event.at_ms = now_ms();
    event.kind = EventKind::run;
    event.level = state == RunState::failed ? LogLevel::error : LogLevel::info;
    event.text = std::string(to_string(setup_.record.phase)) + " run " + std::to_string(id()) + " ended: " + to_string(state) +
                 (reason.empty() ? "" : ": " + reason);
    event.data = counters_text();
    sample_minute(Clock::now(), ledger_->activity());
    const auto patience = how == Stop::none ? Clock::time_point::max() : Clock::now() + last_flush;
    if (!ledger_->finish(state, reason, std::move(event), patience) && !error) {
      std::scoped_lock lock(mutex_);
      error = error_;
    }
    last = setup_.tracker->snapshot();
  } catch (...) {
    if (!error) error = std::current_exception();
  }
  ledger_->abandon();
  setup_.tracker->release(setup_.epoch);

  Report report;
  if (last) report.snapshot = std::move(*last);
  if (error) {
    // What the ledger could not be told any more is told here. A stop that was asked for stays one: whoever looks at the
    // ledger sees that its process is gone.
    const bool was_asked = how != Stop::failure && how != Stop::none && class_of(error) == ErrorClass::tracker;
    report.snapshot.state = was_asked ? RunState::interrupted : RunState::failed;
    report.snapshot.reason = how == Stop::failure ? reason : text_of(error);
    report.snapshot.live = {};
    for (ItemAccounts* accounts : {&report.snapshot.items, &report.snapshot.migration_items})
      accounts->pending += std::exchange(accounts->in_progress, 0);
    if (class_of(error) == ErrorClass::fenced) report.snapshot.reason += "; this process has stopped and changed nothing since";
  }
  report.exit_code = exit_code(report.snapshot.state);
  report.message = to_string(report.snapshot.state);
  if (!report.snapshot.reason.empty()) report.message += ": " + report.snapshot.reason;
  report.message += " (" + progress_text(report.snapshot) + ")";
  notifier_->finish();
  std::scoped_lock lock(mutex_);
  report_ = std::move(report);
  ended_.notify_all();
}

std::optional<Report> RunBase::wait(milliseconds timeout) {
  if (getpid() != pid_) throw Error(ErrorCode::failed_precondition, ErrorClass::forked, "this run belongs to the parent process");
  if (notifier_->is_current_thread()) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::callback, "wait() cannot be called from a callback of the run");
  }
  std::unique_lock lock(mutex_);
  ended_.wait_for(lock, timeout, [this] { return report_.has_value(); });
  if (!report_) return std::nullopt;
  if (callback_error_) std::rethrow_exception(callback_error_);
  return report_;
}

void RunBase::shut_down() noexcept {
  interrupt();
  leader_.join();
  // Where it never came to its lead, or did not come to its end.
  ledger_->abandon();
  notifier_->finish();
  setup_.tracker->release(setup_.epoch);
}

namespace {

/// What hosts hold. In a forked child, where the run's threads do not exist and its locks may be held by one of them for
/// ever, the run is let go of as it is: not even its destructors could return there.
class RunHandle final : public Run {
 public:
  explicit RunHandle(std::unique_ptr<Run> run) : run_(std::move(run)), pid_(getpid()) {}
  ~RunHandle() override {
    if (getpid() != pid_) (void)run_.release();
  }
  uint64_t id() const override { return run_->id(); }
  Snapshot snapshot() const override { return run_->snapshot(); }
  void cancel() override { own().cancel(); }
  void pause() override { own().pause(); }
  void interrupt() override { own().interrupt(); }
  void fail(const std::string& why) override { own().fail(why); }
  std::optional<Report> wait(std::chrono::milliseconds timeout) override { return run_->wait(timeout); }

 private:
  Run& own() {
    if (getpid() != pid_) throw Error(ErrorCode::failed_precondition, ErrorClass::forked, "this run belongs to the parent process");
    return *run_;
  }
  std::unique_ptr<Run> run_;
  const pid_t pid_;
};

}  // namespace

std::unique_ptr<Run> handle_of(std::unique_ptr<RunBase> run) { return std::make_unique<RunHandle>(std::move(run)); }

}  // namespace waybill::internal

namespace waybill {

Run::~Run() = default;

Report Run::wait() {
  for (;;) {
    if (std::optional<Report> report = wait(std::chrono::hours(1))) return std::move(*report);
  }
}

}  // namespace waybill
