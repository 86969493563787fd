// SPDX-License-Identifier: Apache-2.0
//
// track(): takes the lease of the work's ledger, decides whether a run begins or is carried on, and starts it.

#include "waybill/track.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/options.hpp"
#include "base/text.hpp"
#include "engine/startup.hpp"
#include "engine/tracked_run.hpp"
#include "waybill/connectors.hpp"

namespace waybill {
namespace {

using std::chrono::milliseconds;

MigrationInfo info_of(std::string_view name) {
  MigrationInfo info;
  info.name = name;
  info.source = info.destination = "track:" + printable(name);
  info.fingerprint = "track=" + printable(name);
  return info;
}

// An option that does nothing would be one that somebody relies on.
void refuse_other_options(const Options& options) {
  Options known;
  known.commit_interval_ms = options.commit_interval_ms;
  known.lease_ms = options.lease_ms;
  known.heartbeat_ms = options.heartbeat_ms;
  known.take_over = options.take_over;
  known.resume_paused = options.resume_paused;
  known.tracker_patience_ms = options.tracker_patience_ms;
  const std::optional<std::string> other = internal::first_difference(options, known);
  if (!other) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              *other + " means nothing to tracked work, which has no source and no destination; leave it at its default");
}

/// What hosts hold. As for every run, nothing of it works in a forked child.
class TrackedHandle final : public TrackedRun {
 public:
  explicit TrackedHandle(std::unique_ptr<internal::TrackedWork> work)
      : work_(*work), run_(internal::handle_of(std::move(work))), pid_(getpid()) {}

  Run& run() override { return *run_; }
  bool declare(std::span<const TrackedItem> items, milliseconds timeout) override { return own().declare(items, timeout); }
  void end_listing() override { own().end_listing(); }
  std::optional<std::vector<Ticket>> claim(std::span<const TrackedItem> items, bool is_declared, milliseconds timeout) override {
    return own().claim(items, is_declared, timeout);
  }
  void begin(Ticket ticket) override { own().start(ticket); }
  bool finish(Ticket ticket, const TrackedOutcome& outcome, milliseconds timeout) override { return own().finish(ticket, outcome, timeout); }
  void let_go(Ticket ticket) override { own().let_go(ticket); }
  void log(LogLevel level, std::string_view text) override { own().log(level, text); }
  bool is_stopping() const override { return own().is_stopped(); }
  void complete() override { own().complete(); }
  void leave(std::string_view why) override { own().leave(why); }

 private:
  internal::TrackedWork& own() const {
    if (getpid() != pid_) throw Error(ErrorCode::failed_precondition, ErrorClass::forked, "this run belongs to the parent process");
    return work_;
  }
  internal::TrackedWork& work_;  // owned by run_
  const std::unique_ptr<Run> run_;
  const pid_t pid_;
};

}  // namespace

TrackedRun::~TrackedRun() = default;

TrackedOutcome TrackedOutcome::done(std::optional<uint64_t> bytes, std::string result) {
  TrackedOutcome outcome;
  outcome.bytes = bytes;
  outcome.result = std::move(result);
  return outcome;
}

TrackedOutcome TrackedOutcome::failed(Error error) {
  TrackedOutcome outcome;
  outcome.state = ItemState::failed;
  outcome.error = std::move(error);
  return outcome;
}

TrackedOutcome TrackedOutcome::excluded(std::string reason) {
  TrackedOutcome outcome;
  outcome.state = ItemState::excluded;
  outcome.reason = std::move(reason);
  return outcome;
}

std::unique_ptr<TrackedRun> track(std::string_view name, std::shared_ptr<Tracker> tracker, const Options& options,
                                  std::optional<uint64_t> expected, Callbacks callbacks) {
  validate(options);
  refuse_other_options(options);
  if (name.empty()) throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "tracked work needs a name");
  const MigrationInfo bound = tracker->bind(info_of(name));
  internal::HeldLease lease(*tracker, options);

  const std::vector<RunRecord> runs = tracker->runs(1);
  const bool goes_on = !runs.empty() && !is_ended(runs.front().state);
  if (goes_on && runs.front().state == RunState::paused && !options.resume_paused) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::locked,
                "the work \"" + printable(name) + "\" is " + (runs.front().reason.empty() ? "paused" : runs.front().reason) +
                    "; to carry on, start it with the option resume_paused");
  }
  RunRecord record = goes_on ? runs.front() : internal::new_record(runs.empty() ? 1 : runs.front().run + 1, Phase::track, options);
  record.options = to_json(options);
  record.listing_complete = false;  // the program lists anew
  record.expected_items = expected;
  const bool has_rows = record.run > 1 || !tracker->scan({}, "", 1).rows.empty();
  internal::open_record(*tracker, lease.epoch(), record);

  internal::RunSetup setup{nullptr, nullptr, std::move(tracker), nullptr, options, std::move(callbacks), bound, lease.epoch(), record, has_rows};
  auto work = std::make_unique<internal::TrackedWork>(std::move(setup), goes_on);
  lease.hand_over();
  work->begin();
  return std::make_unique<TrackedHandle>(std::move(work));
}

std::unique_ptr<TrackedRun> track(std::string_view name, std::string_view tracker_url, const Options& options,
                                  std::optional<uint64_t> expected, Callbacks callbacks) {
  if (name.empty()) throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "tracked work needs a name");
  return track(name, open_tracker(tracker_url, OpenMode::create), options, expected, std::move(callbacks));
}

}  // namespace waybill
