// SPDX-License-Identifier: Apache-2.0
//
// The words of runs, phases, events, findings and requests; the one table of legal moves between run states; the ratios
// of a snapshot and the check of its equations. Also the destructor of Tracker, so that it has one vtable.
#include "waybill/progress.hpp"

#include <array>
#include <cmath>

#include "base/references.hpp"
#include "waybill/tracker.hpp"

namespace waybill {
namespace {

// Indexed by the enumerators' numbers, which are frozen.
constexpr std::array phase_words = {"copy", "verify", "cutover", "rollback", "track"};
constexpr std::array run_state_words = {"created",    "running",   "paused",
                                        "cancelling", "completed", "completed_with_differences",
                                        "failed",     "cancelled", "interrupted"};
constexpr std::array event_words = {"run", "phase", "error", "log", "progress", "request", "audit"};
constexpr std::array finding_words = {"missing", "extra", "size", "checksum", "metadata", "unknown", "gone"};
constexpr std::array verb_words = {"pause", "cancel"};

template <size_t size, typename Enum>
const char* word_of(const std::array<const char*, size>& words, Enum value) noexcept {
  const auto index = static_cast<size_t>(value);
  return index < size ? words[index] : "unknown";
}

constexpr unsigned bit(RunState state) noexcept { return 1u << static_cast<unsigned>(state); }

/// To which states a run may go. A process that carries on with a run that a dead one left `cancelling` ends it.
constexpr unsigned moves_from(RunState from) noexcept {
  switch (from) {
    case RunState::created:
      return bit(RunState::running) | bit(RunState::paused) | bit(RunState::failed) | bit(RunState::cancelled) |
             bit(RunState::interrupted);
    case RunState::running:
      return bit(RunState::paused) | bit(RunState::cancelling) | bit(RunState::completed) |
             bit(RunState::completed_with_differences) | bit(RunState::failed) | bit(RunState::cancelled) |
             bit(RunState::interrupted);
    case RunState::paused:
      return bit(RunState::running) | bit(RunState::cancelling) | bit(RunState::cancelled) | bit(RunState::failed) |
             bit(RunState::interrupted);
    case RunState::cancelling:
      return bit(RunState::cancelled) | bit(RunState::failed) | bit(RunState::interrupted);
    case RunState::interrupted:
      return bit(RunState::running) | bit(RunState::paused) | bit(RunState::cancelling) | bit(RunState::cancelled) |
             bit(RunState::failed);
    case RunState::completed:
    case RunState::completed_with_differences:
    case RunState::failed:
    case RunState::cancelled:
      return 0;
  }
  return 0;
}

/// Nothing, or the first equation or bound of `items` that does not hold.
std::optional<std::string> violated(const ItemAccounts& items, const std::string& frame) {
  const auto broken = [&](const char* what) { return std::optional<std::string>(frame + ": " + what); };
  for (const int64_t value : {items.discovered, items.excluded, items.eligible, items.pending, items.in_progress,
                              items.done, items.created, items.updated, items.unchanged, items.verified, items.failed,
                              items.waived, items.vanished, items.outstanding, items.settled}) {
    if (value < 0) return broken("a number is negative");
  }
  if (items.discovered != items.excluded + items.eligible) return broken("discovered is not excluded + eligible");
  if (items.eligible != items.pending + items.in_progress + items.done + items.failed + items.waived + items.vanished) {
    return broken("eligible is not pending + in_progress + done + failed + waived + vanished");
  }
  if (items.done != items.created + items.updated + items.unchanged) {
    return broken("done is not new + updated + unchanged");
  }
  if (items.verified > items.done) return broken("verified is more than done");
  if (items.settled != items.done + items.failed + items.waived + items.vanished) {
    return broken("settled is not done + failed + waived + vanished");
  }
  if (items.outstanding != items.eligible - items.done) return broken("outstanding is not eligible - done");
  return std::nullopt;
}

std::optional<std::string> violated(const ReferenceAccounts& references, const std::string& frame) {
  int64_t total = 0;
  for (const int64_t value :
       {references.original, references.pending, references.intended, references.updated, references.restored,
        references.conflict, references.failed, references.vanished, references.excluded}) {
    if (value < 0) return frame + ": a number is negative";
    total += value;
  }
  if (total != references.total) return frame + ": the states do not add up to total";
  return std::nullopt;
}

std::optional<double> share_of_references(const ReferenceAccounts& references, int64_t part) noexcept {
  if (references.total == 0) return 1.0;
  return static_cast<double>(part) / static_cast<double>(references.total);
}

std::optional<double> share_of_eligible(const Snapshot& snapshot, int64_t part) noexcept {
  if (!snapshot.listing_complete) return std::nullopt;
  if (snapshot.items.eligible == 0) return 1.0;
  return static_cast<double>(part) / static_cast<double>(snapshot.items.eligible);
}

}  // namespace

Tracker::~Tracker() = default;

TargetPage Tracker::scan_targets(const Key&, const std::string&, size_t) {
  throw Error(ErrorCode::unimplemented, ErrorClass::unsupported,
              "this tracker keeps no destination keys: a migration on it cannot have a key template");
}

std::vector<RunSummary> Tracker::history(size_t limit) {
  std::vector<RunSummary> history;
  const Snapshot now = snapshot();
  for (RunRecord& record : runs(limit)) {
    RunSummary& summary = history.emplace_back();
    if (record.run == now.run) {
      summary.items = now.items;
      summary.bytes_total = now.bytes_total;
      summary.bytes_done = now.bytes_done;
      summary.attempts_total = now.attempts_total;
      summary.attempts_failed = now.attempts_failed;
      summary.failed_by_class = now.failed_by_class;
      if (record.phase == Phase::verify) summary.findings = now.findings;
    }
    summary.record = std::move(record);
  }
  return history;
}

std::vector<PartitionSummary> Tracker::partitions(const std::optional<std::string>&, size_t) { return {}; }

std::vector<RateSample> Tracker::rates(uint64_t, int64_t, size_t) { return {}; }

const char* to_string(Phase phase) noexcept { return word_of(phase_words, phase); }
const char* to_string(RunState state) noexcept { return word_of(run_state_words, state); }
const char* to_string(EventKind kind) noexcept { return word_of(event_words, kind); }
const char* to_string(FindingKind kind) noexcept { return word_of(finding_words, kind); }
const char* to_string(Verb verb) noexcept { return word_of(verb_words, verb); }

std::optional<RunState> run_state_from(std::string_view word) noexcept {
  for (size_t index = 0; index < run_state_words.size(); ++index) {
    if (word == run_state_words[index]) return static_cast<RunState>(index);
  }
  return std::nullopt;
}

bool is_legal_move(RunState from, RunState to) noexcept { return (moves_from(from) & bit(to)) != 0; }

bool is_ended(RunState state) noexcept {
  return state == RunState::completed || state == RunState::completed_with_differences || state == RunState::failed ||
         state == RunState::cancelled;
}

int exit_code(RunState state) noexcept {
  switch (state) {
    case RunState::completed:
      return 0;
    case RunState::completed_with_differences:
      return 3;
    case RunState::cancelled:
    case RunState::paused:
    case RunState::interrupted:
      return 130;
    case RunState::created:
    case RunState::running:
    case RunState::cancelling:
    case RunState::failed:
      return 1;
  }
  return 1;
}

std::optional<double> Snapshot::progress() const noexcept {
  if (!internal::switches_references(phase)) return share_of_eligible(*this, items.settled);
  return share_of_references(run_references, run_references.total - run_references.pending);
}

std::optional<double> Snapshot::completeness() const noexcept {
  if (!internal::switches_references(phase)) return share_of_eligible(*this, items.done);
  return share_of_references(run_references, phase == Phase::cutover ? run_references.updated : run_references.restored);
}

std::optional<double> Snapshot::success() const noexcept {
  if (attempts_total == 0) return std::nullopt;
  return static_cast<double>(attempts_total - attempts_failed) / static_cast<double>(attempts_total);
}

std::optional<std::string> violated_invariant(const Snapshot& snapshot) {
  if (auto broken = violated(snapshot.items, "the run's frame")) return broken;
  if (auto broken = violated(snapshot.migration_items, "the migration's frame")) return broken;
  if (auto broken = violated(snapshot.references, "references")) return broken;
  if (auto broken = violated(snapshot.run_references, "the run's references")) return broken;
  if (snapshot.bytes_done > snapshot.bytes_total) return "bytes done are more than bytes total";
  if (snapshot.attempts_failed > snapshot.attempts_total) return "failed attempts are more than attempts";
  int64_t failed = 0;
  for (const auto& [error_class, count] : snapshot.failed_by_class) {
    if (count < 0) return "failed by class: " + error_class + " is negative";
    failed += count;
  }
  if (failed != snapshot.items.failed) return "failed by class does not add up to failed";
  for (const std::optional<double> ratio : {snapshot.progress(), snapshot.completeness(), snapshot.success()}) {
    if (ratio && !(*ratio >= 0.0 && *ratio <= 1.0)) return "a ratio is not within 0 and 1";
  }
  return std::nullopt;
}

}  // namespace waybill
