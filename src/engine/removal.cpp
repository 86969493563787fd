// SPDX-License-Identifier: Apache-2.0

#include "engine/removal.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>

#include "base/accounts.hpp"
#include "base/fingerprint.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/options.hpp"
#include "base/text.hpp"
#include "base/thread.hpp"
#include "engine/decide.hpp"
#include "engine/destination_key.hpp"
#include "engine/transfer.hpp"
#include "engine/verify_run.hpp"
#include "waybill/redaction.hpp"

namespace waybill {

const char* to_string(RemovalKind kind) noexcept { return kind == RemovalKind::extra ? "extra" : "source"; }

}  // namespace waybill

namespace waybill::internal {
namespace {

constexpr size_t page_rows = 1000;
constexpr size_t most_examples = 1000;
constexpr size_t most_evidence = 1000;
constexpr size_t most_doubtful = 100'000;
constexpr size_t batch_items = 64;
constexpr int most_threads = 8;
constexpr int most_tries = 5;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::failed_precondition, ErrorClass::locked, why + "; nothing was deleted");
}

Error changed(const std::string& what) { return Error(ErrorCode::failed_precondition, ErrorClass::conflict, what); }

bool came_to_its_end(const RunRecord& run) {
  return run.listing_complete &&
         (run.state == RunState::completed || run.state == RunState::completed_with_differences);
}

// RFC 3339 to the nanosecond: the text also tells one revision from the next.
std::string time_text(int64_t ns) {
  constexpr int64_t second = 1'000'000'000;
  const int64_t part = ((ns % second) + second) % second;
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%09lldZ", static_cast<long long>(part));
  const std::string whole = format_rfc3339((ns - part) / (second / 1000));
  return whole.substr(0, whole.find('.')) + fraction;
}

std::string text_of(const SourceStamp& stamp) {
  std::string text = stamp.size ? std::to_string(*stamp.size) + " bytes" : "unknown size";
  if (!stamp.etag.empty()) return text + ", ETag " + printable(stamp.etag);
  if (stamp.mtime_ns) text += ", of " + time_text(*stamp.mtime_ns);
  return text;
}

// Everything that tells one revision from the next, for the hash of a plan.
std::string revision_text(const ItemRecord& record) {
  const SourceStamp& stamp = record.stamp;
  return text_of(stamp) + " " + (stamp.mtime_ns ? std::to_string(*stamp.mtime_ns) : "-") + " " + stamp.version + " " + stamp.opaque +
         " " + std::to_string(record.revision);
}

// A store that has nothing at all to move may not be mounted.
bool has_items(Source& source) {
  Context& context = Context::background();
  for (int tries = 1;; ++tries) {
    try {
      const std::unique_ptr<Lister> lister = source.list({}, context);
      for (;;) {
        const Page page = lister->next(context);
        if (!page.items.empty()) return true;
        if (page.is_last) return false;
      }
    } catch (const Error& error) {
      if (!error.retryable() || tries == most_tries) throw;
      context.sleep(std::chrono::milliseconds(100 << tries));
    }
  }
}

}  // namespace

std::string extra_detail(const Item& there) { return text_of(there.stamp) + ", that neither the source nor the ledger knows"; }

RemovalGround::RemovalGround(Migration& migration, const RemovalOptions& options)
    : migration_(migration), tracker_(migration.tracker()), options_(options) {
  const bool is_share = options.max_share >= 0 && options.max_share <= 1;
  if (options.max_items < 0 || !is_share) {
    throw Error(ErrorCode::out_of_range, ErrorClass::configuration,
                options.max_items < 0 ? "max_items: " + std::to_string(options.max_items) + " is below 0"
                                      : "max_share is not between 0 and 1");
  }
  has_template_ = !key_template_of(tracker_.migration()->fingerprint).empty();
  const std::vector<RunRecord> runs = tracker_.runs(most_evidence);
  if (runs.empty()) refuse("nothing has been copied yet");
  const RunRecord& newest = runs.front();
  const std::string name = "run " + std::to_string(newest.run) + " (" + to_string(newest.phase) + ", " + to_string(newest.state) + ")";
  if (newest.phase != Phase::verify) refuse(name + " came after the last verification; verify again with: waybill verify");
  if (!is_ended(newest.state)) refuse(name + " has not come to its end; verify again with: waybill verify");
  options.kind == RemovalKind::extra ? find_extra_ground(runs) : find_source_ground(runs);
  if (!has_items(migration_.source())) {
    refuse("the source " + printable(migration_.source().identity()) + " has nothing in it now; is it the right one, and is it there?");
  }
}

void RemovalGround::find_extra_ground(const std::vector<RunRecord>& runs) {
  if (!came_to_its_end(runs.front())) {
    refuse("the last verification ended as " + std::string(to_string(runs.front().state)) +
           ", and has not seen everything; verify again with: waybill verify");
  }
  evidence_ = {runs.front()};
}

// Whatever was copied before the first of these runs is what they read: no copy came between them.
void RemovalGround::find_source_ground(const std::vector<RunRecord>& runs) {
  for (const RunRecord& run : runs) {
    if (run.phase != Phase::verify) break;
    const std::optional<VerifiedPart> part = verified_part(run.options);
    if (came_to_its_end(run) && part && part->level == VerifyLevel::content) evidence_.push_back(run);
  }
  if (evidence_.empty()) {
    refuse("the content at the destination has not been read back since the last copy; do so with: waybill verify --level content");
  }
  for (const RunRecord& run : evidence_) {
    parts_.push_back(*verified_part(run.options));
    remember_findings(run.run);
  }
  std::sort(doubtful_.begin(), doubtful_.end());
}

void RemovalGround::remember_findings(uint64_t run) {
  for (uint64_t offset = 0;;) {
    const std::vector<Finding> findings = tracker_.findings(run, offset, page_rows);
    for (const Finding& finding : findings) {
      if (finding.kind != FindingKind::extra && finding.kind != FindingKind::gone) doubtful_.push_back(finding.id);
    }
    if (doubtful_.size() > most_doubtful) {
      refuse("the verifications since the last copy have found more than " + std::to_string(most_doubtful) +
             " differences; repair them first, with: waybill retry --findings");
    }
    offset += findings.size();
    if (findings.size() < page_rows) return;
  }
}

// Why an item of the source stays, in a word; "" where it has gone already; null where it would be deleted.
const char* RemovalGround::why_kept(const ItemRecord& record) const {
  if (record.gone_at_source || record.left) return "";
  if (!is_done(record)) return "not_copied";
  if (record.state != ItemState::verified) return "not_verified";
  if (record.basis != Basis::written && record.basis != Basis::matched_checksum) return "matched_weak";
  const bool is_read = std::any_of(parts_.begin(), parts_.end(),
                                   [&](const VerifiedPart& part) { return is_in_sample(record.id, part.part, part.of); });
  if (!is_read) return "not_read";
  return std::binary_search(doubtful_.begin(), doubtful_.end(), record.id) ? "finding" : nullptr;
}

void RemovalGround::each_candidate(std::map<std::string, int64_t>& kept, const Take& take) const {
  options_.kind == RemovalKind::extra ? each_extra(take) : each_of_source(kept, take);
}

void RemovalGround::each_extra(const Take& take) const {
  for (uint64_t offset = 0;;) {
    std::vector<Finding> findings = tracker_.findings(evidence_.front().run, offset, page_rows);
    for (Finding& finding : findings) {
      if (finding.kind != FindingKind::extra) continue;
      if (!take(Candidate{std::move(finding.id), std::move(finding.detail), std::nullopt})) return;
    }
    offset += findings.size();
    if (findings.size() < page_rows) return;
  }
}

void RemovalGround::each_of_source(std::map<std::string, int64_t>& kept, const Take& take) const {
  for (std::string resume;;) {
    ScanPage page = tracker_.scan({}, resume, page_rows);
    for (ScanRow& row : page.rows) {
      if (const char* why = why_kept(row.record); why != nullptr) {
        if (*why != '\0') ++kept[why];
        continue;
      }
      const ItemId id = row.record.id;
      std::string detail = text_of(row.record.stamp);
      if (!take(Candidate{id, std::move(detail), std::move(row.record)})) return;
    }
    if (page.is_last) return;
    resume = page.resume;
  }
}

RemovalPlan RemovalGround::plan() const {
  RemovalPlan plan;
  plan.kind = options_.kind;
  plan.verify_run = evidence_.front().run;
  Sha256Hasher hasher;
  const auto hash = [&](std::string_view text) {
    hasher.update(as_bytes(std::to_string(text.size()) + ":"));
    hasher.update(as_bytes(text));
  };
  hash(to_string(plan.kind));
  hash(tracker_.migration()->id);
  for (const RunRecord& run : evidence_) hash(std::to_string(run.run));
  each_candidate(plan.kept, [&](const Candidate& candidate) {
    for (const std::string* text : {&candidate.id.partition, &candidate.id.key, &candidate.id.version}) hash(*text);
    hash(candidate.record ? revision_text(*candidate.record) : candidate.detail);
    ++plan.items;
    if (candidate.record) plan.bytes += candidate.record->stamp.size.value_or(0);
    if (plan.examples.size() < most_examples) plan.examples.push_back({candidate.id, candidate.detail});
    return true;
  });
  plan.hash = hex_encode(hasher.finish()).substr(0, 16);
  if (plan.kind == RemovalKind::extra) bound(plan);
  return plan;
}

void RemovalGround::bound(RemovalPlan& plan) const {
  const Snapshot accounts = tracker_.snapshot();
  const auto missing = accounts.findings.find("missing");
  const int64_t ours = accounts.items.done - (missing == accounts.findings.end() ? 0 : missing->second);
  plan.at_destination = plan.items + std::max<int64_t>(ours, 0);
  const std::string many = std::to_string(plan.items) + " objects would be deleted, ";
  if (plan.items > options_.max_items) {
    plan.refusal = many + "which is more than " + std::to_string(options_.max_items) + "; look at them, and allow it with --max-delete";
  } else if (static_cast<double>(plan.items) > options_.max_share * static_cast<double>(plan.at_destination)) {
    plan.refusal = many + "of " + std::to_string(plan.at_destination) + " at the destination, which is more than the share of " +
                   std::to_string(std::lround(options_.max_share * 100)) + " %; look at them, and allow it with --max-delete-share";
  }
}

/// Deletes candidates, a few at a time: their audit events are on disk before the first of them goes.
class RemovalGround::Job {
 public:
  Job(const RemovalGround& ground, uint64_t epoch, std::string_view hash, std::string_view who)
      : ground_(ground), epoch_(epoch), hash_(hash), who_(who), run_(ground.tracker_.runs(1).front().run) {}

  /// The first item goes alone.
  bool is_full() const noexcept { return candidates_.size() >= (report_.total() == 0 ? 1 : batch_items); }
  void add(Candidate candidate) { candidates_.push_back(std::move(candidate)); }
  RemovalReport& report() noexcept { return report_; }

  void carry_out() {
    if (candidates_.empty()) return;
    announce();
    outcomes_.assign(candidates_.size(), Outcome{});
    std::atomic<size_t> next{0};
    {
      std::vector<Thread> threads;
      const size_t wanted = std::min<size_t>(most_threads, candidates_.size());
      const auto work = [&] {
        for (size_t i = next++; i < candidates_.size(); i = next++) outcomes_[i] = try_to_remove(candidates_[i]);
      };
      for (size_t i = 1; i < wanted; ++i) threads.emplace_back("wb-remove", work);
      work();
    }
    if (!is_source()) ground_.migration_.destination().flush(Context::background());
    const bool is_first = report_.total() == 0;
    const Key copy = is_source() ? destination_key(*candidates_.front().record) : Key();
    record();
    if (is_source() && is_first && report_.removed + report_.hidden > 0) check_two_places(copy);
    candidates_.clear();
  }

  void finish() {
    std::string text = is_source() ? "deleted from the source by " : "deleted from the destination by ";
    text += printable(who_) + ": " + std::to_string(report_.removed) + " removed, " + std::to_string(report_.hidden) +
            " behind delete markers, " + std::to_string(report_.gone) + " were gone, " + std::to_string(report_.kept) + " kept";
    if (report_.is_stopped) text += "; stopped before the end";
    Batch batch;
    add_event(batch, std::move(text), json_object({{"action", action()}, {"plan", hash_}, {"who", who_}}));
    ground_.tracker_.commit(epoch_, batch);
  }

 private:
  struct Outcome {
    Removal removal = Removal::gone;
    std::optional<Error> error;
  };

  bool is_source() const noexcept { return ground_.options_.kind == RemovalKind::source; }
  std::string action() const { return is_source() ? "delete-source" : "delete-extra"; }

  void add_event(Batch& batch, std::string text, std::string data) const {
    Event event;
    event.at_ms = now_ms();
    event.run = run_;
    event.kind = EventKind::audit;
    event.text = std::move(text);
    event.data = std::move(data);
    batch.events.push_back(std::move(event));
  }

  void announce() {
    Batch batch;
    for (const Candidate& candidate : candidates_) {
      add_event(batch, action() + " " + shown_key(candidate.id.key) + ": " + candidate.detail,
                json_object({{"action", action()},
                             {"plan", hash_},
                             {"who", who_},
                             {"partition", printable(candidate.id.partition)},
                             {"key", shown_key(candidate.id.key)},
                             {"version", printable(candidate.id.version)}}));
    }
    batch.live = LiveState{};  // the heartbeat
    ground_.tracker_.commit(epoch_, batch);
  }

  // Two addresses may lead to one place: then what was deleted was the copy, too.
  void check_two_places(const Key& key) const {
    if (ground_.migration_.destination().stat(key, Context::background())) return;
    throw Error(ErrorCode::data_loss, ErrorClass::configuration,
                "the source and the destination are one place: with \"" + shown_key(key) +
                    "\" its copy has gone, too; put it back from a backup. Nothing else was deleted");
  }

  void record() {
    Batch batch;
    std::optional<Error> forbidden;
    bool is_each_forbidden = true;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      Candidate& candidate = candidates_[i];
      const Outcome& outcome = outcomes_[i];
      const ErrorClass error_class = outcome.error ? outcome.error->error_class() : ErrorClass::none;
      const bool is_forbidden = error_class == ErrorClass::permission || error_class == ErrorClass::auth;
      if (is_forbidden && !forbidden) forbidden = outcome.error;
      is_each_forbidden = is_each_forbidden && is_forbidden;
      if (outcome.error) {
        ++report_.kept;
        ++report_.kept_by_class[to_string(error_class)];
        add_event(batch, "kept " + shown_key(candidate.id.key) + ": " + outcome.error->message(),
                  json_object({{"action", "keep"}, {"plan", hash_}, {"key", shown_key(candidate.id.key)}, {"class", to_string(error_class)}}));
        continue;
      }
      ++(outcome.removal == Removal::gone ? report_.gone : outcome.removal == Removal::hidden ? report_.hidden : report_.removed);
      if (!candidate.record) continue;
      ItemChange change;
      change.record = std::move(*candidate.record);
      change.record.gone_at_source = true;
      change.record.stamp.opaque = removed_by_us;
      batch.items.push_back(std::move(change));
    }
    batch.live = LiveState{};
    ground_.tracker_.commit(epoch_, batch);
    if (is_each_forbidden && report_.kept == report_.total()) throw *forbidden;
  }

  Outcome try_to_remove(const Candidate& candidate) const noexcept {
    Context& context = Context::background();
    for (int tries = 1;; ++tries) {
      try {
        return {is_source() ? remove_from_source(*candidate.record, context) : remove_extra(candidate, context), std::nullopt};
      } catch (...) {
        const Error error = current_error();
        if (!error.retryable() || tries == most_tries) return {Removal::gone, error};
        context.sleep(error.retry_after().value_or(std::chrono::milliseconds(100 << tries)));
      }
    }
  }

  // With a key template an item of the source by this key goes elsewhere; what goes here is found among the targets.
  bool is_known(const Key& key) const {
    const ItemId id{"", key, ""};
    if (!ground_.has_template_) return ground_.tracker_.lookup({&id, 1}).front().has_value();
    const TargetPage page = ground_.tracker_.scan_targets(key, "", 1);
    return !page.items.empty() && page.items.front().destination_key == key;
  }

  Removal remove_extra(const Candidate& candidate, Context& context) const {
    Destination& destination = ground_.migration_.destination();
    const Key& key = candidate.id.key;
    if (is_known(key)) throw changed("the ledger knows it now");
    if (!ground_.has_template_ && ground_.migration_.source().stat(candidate.id, context)) throw changed("it is at the source now");
    const std::optional<Item> there = destination.stat(key, context);
    if (!there) return Removal::gone;
    if (there->refused != ErrorClass::none) throw changed("it is " + there->reason);
    if (extra_detail(*there) != candidate.detail) throw changed("it has changed since the verification: " + text_of(there->stamp) + " now");
    return destination.remove_unchanged(*there, context);
  }

  Removal remove_from_source(const ItemRecord& record, Context& context) const {
    Source& source = ground_.migration_.source();
    const std::optional<Item> here = source.stat(record.id, context);
    if (!here) return Removal::gone;
    if (!(here->stamp == record.stamp)) throw changed("it has changed since it was copied: " + text_of(here->stamp) + " now");
    const std::optional<Item> there = ground_.migration_.destination().stat(destination_key(record), context);
    if (!there || !record.stored || !is_still_stored(*record.stored, *there)) {
      throw changed(there ? "what is at the destination is not what was verified" : "it is no longer at the destination");
    }
    return source.remove(item_of(record), context);
  }

  const RemovalGround& ground_;
  const uint64_t epoch_;
  const std::string hash_;
  const std::string who_;
  const uint64_t run_;
  std::vector<Candidate> candidates_;
  std::vector<Outcome> outcomes_;
  RemovalReport report_;
};

RemovalReport RemovalGround::remove(uint64_t epoch, std::string_view hash, std::string_view who,
                                    const std::function<bool(const RemovalReport&)>& on_progress) const {
  const RemovalPlan planned = plan();
  if (planned.hash != hash) {
    refuse("\"" + printable(hash) + "\" is not the plan any more; look at it again, with: waybill delete-" + to_string(planned.kind));
  }
  if (!planned.refusal.empty()) refuse(planned.refusal);
  Job job(*this, epoch, hash, who);
  const auto go_on = [&] {
    job.carry_out();
    const bool goes_on = !on_progress || on_progress(job.report());
    job.report().is_stopped = job.report().is_stopped || !goes_on;
    return goes_on;
  };
  std::map<std::string, int64_t> ignored;
  each_candidate(ignored, [&](Candidate candidate) {
    job.add(std::move(candidate));
    return !job.is_full() || go_on();
  });
  if (!job.report().is_stopped) job.carry_out();
  if (on_progress) on_progress(job.report());
  job.finish();
  return job.report();
}

}  // namespace waybill::internal
