// SPDX-License-Identifier: Apache-2.0
//
// Tracker over standard containers behind one mutex.
//
// Invariants: ready_ holds exactly the rows that claim() may hand out; the counters change with the rows and by the
// functions of base/accounts only; a batch is checked before anything of it is applied.
#include "trackers/memory/memory_tracker.hpp"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/accounts.hpp"
#include "base/fingerprint.hpp"
#include "base/random.hpp"
#include "base/references.hpp"
#include "base/text.hpp"
#include "trackers/memory/memory_references.hpp"

namespace waybill::internal {
namespace {

constexpr size_t max_examined = 50'000;  // rows that one page of a scan looks at

// Of an excluded row, the failure is the rule that left it out.
bool keeps_failure(ItemState state) noexcept {
  return state == ItemState::failed || state == ItemState::vanished || state == ItemState::excluded;
}

std::optional<int64_t> whole_seconds(const std::optional<int64_t>& ms) {
  if (!ms) return std::nullopt;
  return (*ms / 1000 - (*ms % 1000 < 0 ? 1 : 0)) * 1000;
}

bool wants(const Query& query, const ItemRecord& record) {
  if (!query.states.empty() &&
      std::find(query.states.begin(), query.states.end(), record.state) == query.states.end()) {
    return false;
  }
  if (query.error_class && record.error_class != *query.error_class) return false;
  return !query.not_seen_since || record.run < *query.not_seen_since;
}

// Where a page of targets begins: the lengths of all parts but the last, and the parts.
std::string to_text(const std::pair<Key, ItemId>& target) {
  const auto& [destination_key, id] = target;
  return std::to_string(destination_key.size()) + ':' + std::to_string(id.partition.size()) + ':' + std::to_string(id.key.size()) +
         ':' + destination_key + id.partition + id.key + id.version;
}

std::pair<Key, ItemId> to_target(std::string_view text) {
  uint64_t lengths[3] = {};
  for (uint64_t& length : lengths) {
    const size_t colon = text.find(':');
    const auto number = parse_uint(text.substr(0, colon));
    if (!number || colon == std::string_view::npos) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "the position to go on from is not one of a scan over destination keys");
    }
    length = *number;
    text.remove_prefix(colon + 1);
  }
  std::string parts[3];
  for (size_t i = 0; i < 3; ++i) {
    parts[i] = text.substr(0, lengths[i]);
    text.remove_prefix(parts[i].size());
  }
  return {parts[0], {parts[1], parts[2], std::string(text)}};
}

class MemoryTracker final : public Tracker {
 public:
  MigrationInfo bind(const MigrationInfo& wanted) override;
  std::optional<MigrationInfo> migration() override {
    const auto guard = lock();
    return migration_;
  }
  uint64_t acquire(const LeaseOptions& options) override;
  void release(uint64_t epoch) noexcept override;
  uint64_t commit(uint64_t epoch, const Batch& batch) override;
  std::vector<Claimed> claim(uint64_t epoch, size_t limit) override;
  std::vector<std::optional<ItemRecord>> lookup(std::span<const ItemId> ids) override;
  ScanPage scan(const Query& query, const std::string& resume, size_t limit) override;
  TargetPage scan_targets(const Key& from, const std::string& resume, size_t limit) override;
  std::vector<UploadRecord> uploads() override;
  std::optional<UploadRecord> upload(const ItemId& id) override;
  std::vector<ListingRecord> listings() override;
  std::vector<Finding> findings(uint64_t run, uint64_t offset, size_t limit) override;
  std::vector<std::optional<ReferenceRecord>> lookup_references(std::span<const ReferenceId> ids) override {
    const auto guard = lock();
    return references_.lookup(ids);
  }
  ReferenceRecordPage scan_references(const ReferenceQuery& query, const std::string& resume, size_t limit) override {
    const auto guard = lock();
    return references_.scan(query, resume, limit);
  }
  std::vector<std::optional<JournalRecord>> lookup_journal(std::span<const ReferenceId> ids) override {
    const auto guard = lock();
    return references_.lookup_journal(ids);
  }
  std::vector<JournalRecord> journal(const ReferenceId& id) override {
    const auto guard = lock();
    return references_.journal(id);
  }
  std::optional<CutoverPlanRecord> cutover_plan() override {
    const auto guard = lock();
    return references_.plan();
  }
  std::vector<Event> events(uint64_t after, size_t limit) override;
  std::vector<RunRecord> runs(size_t limit) override;
  std::vector<RunSummary> history(size_t limit) override;
  std::vector<PartitionSummary> partitions(const std::optional<std::string>& after, size_t limit) override;
  std::vector<RateSample> rates(uint64_t run, int64_t after_ms, size_t limit) override;
  Snapshot snapshot() override;
  void request(Verb verb, std::string_view who) override;
  std::vector<Request> requests() override {
    const auto guard = lock();
    return requests_;
  }

 private:
  struct Row {
    ItemRecord record;
    std::optional<Failure> failure;
    std::optional<Waiver> waiver;
    std::string result;
  };
  using Place = std::pair<Key, std::string>;  // key and version within a partition

  std::unique_lock<std::mutex> lock() const;
  void check_epoch(uint64_t epoch) const;
  RunSummary summary_of(const RunRecord& record) const;
  uint64_t present() const { return runs_.empty() ? 0 : runs_.rbegin()->first; }
  void check_run(const RunRecord& record) const;
  void apply_run(const RunRecord& record);
  void apply_item(const ItemChange& change, int64_t now);
  void apply_upload(const UploadChange& change);
  void add_attempts(uint32_t attempts, uint32_t attempts_failed);
  void set_ready(const ItemRecord& record, bool is_ready);
  void set_run_state(RunState state, const std::string& reason, bool is_end);
  uint64_t add_events(const std::vector<Event>& events);

  const pid_t pid_ = ::getpid();
  mutable std::mutex mutex_;
  std::condition_variable beaten_;

  std::optional<MigrationInfo> migration_;
  uint64_t seq_ = 0;
  uint64_t epoch_ = 0;
  bool is_held_ = false;
  uint64_t beat_ = 0;
  std::optional<int64_t> heartbeat_at_ms_;
  LiveState live_;

  std::map<ItemId, Row> rows_;
  std::set<std::pair<Key, ItemId>> targets_;  // of rows that have a destination key
  std::map<std::string, std::set<Place>> ready_;
  std::set<ItemId> claims_;
  std::map<std::string, Key> claimed_to_;  // in this run, by partition
  std::map<std::string, Key> left_to_;     // of these, by earlier owners
  std::string last_served_;                // partition

  FrameChanges totals_;
  std::map<ErrorClass, int64_t> classes_;
  std::map<uint64_t, RunRecord> runs_;
  std::map<uint64_t, RunSummary> ended_;  // earlier runs, as they were when the next one began
  std::map<uint64_t, std::map<int64_t, RateSample>> rates_;
  std::map<std::string, ListingRecord> listings_;
  std::map<ItemId, UploadRecord> uploads_;
  std::map<uint64_t, std::vector<Finding>> findings_;
  MemoryReferences references_;
  std::vector<Event> events_;
  std::vector<Request> requests_;
  uint64_t last_request_ = 0;
};

std::unique_lock<std::mutex> MemoryTracker::lock() const {
  if (::getpid() != pid_) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::forked,
                "the memory ledger was made before fork(); make another one in the child");
  }
  return std::unique_lock(mutex_);
}

MigrationInfo MemoryTracker::bind(const MigrationInfo& wanted) {
  const auto guard = lock();
  if (!migration_) {
    migration_ = wanted;
    migration_->id = hex_id(8);
    migration_->created_at_ms = now_ms();
    return *migration_;
  }
  if (migration_->fingerprint != wanted.fingerprint) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                "the memory ledger belongs to another migration (" + difference(*migration_, wanted) + "); use another ledger for this one");
  }
  if (!wanted.name.empty()) migration_->name = wanted.name;
  if (!wanted.source_url.empty()) migration_->source_url = wanted.source_url;
  if (!wanted.destination_url.empty()) migration_->destination_url = wanted.destination_url;
  return *migration_;
}

uint64_t MemoryTracker::acquire(const LeaseOptions& options) {
  auto guard = lock();
  if (is_held_) {
    const uint64_t beat = beat_;
    const auto has_moved = [&] { return !is_held_ || beat_ != beat; };
    if (!options.take_over || (beaten_.wait_for(guard, options.lease, has_moved) && is_held_)) {
      throw Error(
          ErrorCode::aborted, ErrorClass::locked,
          "the memory ledger is in use by this process (" + std::to_string(pid_) + "); end the run that owns it first");
    }
  }
  ++epoch_;
  ++beat_;
  is_held_ = true;
  heartbeat_at_ms_ = now_ms();
  live_ = {};
  requests_.clear();
  for (const ItemId& id : claims_) set_ready(rows_.at(id).record, true);
  claims_.clear();
  left_to_ = claimed_to_;
  const RunState state = runs_.empty() ? RunState::created : runs_.rbegin()->second.state;
  if (state == RunState::running || state == RunState::cancelling) {
    set_run_state(RunState::interrupted, "its owner let go of it", false);
  } else {
    add_events({});
  }
  return epoch_;
}

void MemoryTracker::release(uint64_t epoch) noexcept {
  if (::getpid() != pid_) return;
  const std::lock_guard guard(mutex_);
  if (epoch == epoch_) is_held_ = false;
  beaten_.notify_all();
}

void MemoryTracker::check_epoch(uint64_t epoch) const {
  if (epoch != 0 && is_held_ && epoch == epoch_) return;
  throw Error(ErrorCode::aborted, ErrorClass::fenced,
              "this owner no longer owns the memory ledger; it writes nothing more to it");
}

void MemoryTracker::check_run(const RunRecord& record) const {
  const std::string name = "run " + std::to_string(record.run);
  const auto known = runs_.find(record.run);
  if (known == runs_.end()) {
    if (record.run > present()) return;
    throw Error(ErrorCode::invalid_argument, ErrorClass::internal,
                name + " cannot begin: the last one is run " + std::to_string(present()));
  }
  const RunState stored = known->second.state;
  if (stored == record.state || is_legal_move(stored, record.state)) return;
  throw Error(ErrorCode::internal, ErrorClass::internal,
              name + " cannot go from " + to_string(stored) + " to " + to_string(record.state));
}

uint64_t MemoryTracker::commit(uint64_t epoch, const Batch& batch) {
  const auto guard = lock();
  check_epoch(epoch);
  if (batch.run) check_run(*batch.run);
  const int64_t now = now_ms();
  if (batch.run) apply_run(*batch.run);
  for (const ItemChange& change : batch.items) apply_item(change, now);
  for (const ListingRecord& listing : batch.listings) listings_[listing.scope] = listing;
  for (const UploadChange& change : batch.uploads) apply_upload(change);
  for (const Finding& finding : batch.findings) findings_[finding.run].push_back(finding);
  for (const ReferenceChange& change : batch.references) {
    references_.apply(change, present());
    add_attempts(change.attempts, change.attempts_failed);
  }
  for (const JournalRecord& record : batch.journal) references_.apply(record);
  if (batch.plan) references_.apply(*batch.plan);
  for (const RateSample& sample : batch.rates) rates_[sample.run][sample.at_ms] = sample;
  for (const uint64_t id : batch.served_requests) {
    std::erase_if(requests_, [&](const Request& request) { return request.id == id; });
  }
  if (batch.live) {
    live_ = *batch.live;
    ++beat_;
    heartbeat_at_ms_ = now;
    beaten_.notify_all();
  }
  return add_events(batch.events);
}

void MemoryTracker::apply_run(const RunRecord& record) {
  const bool is_new = !runs_.contains(record.run);
  if (is_new && !runs_.empty()) ended_[present()] = summary_of(runs_.rbegin()->second);
  runs_[record.run] = record;
  if (!is_new) return;
  totals_.run = {};
  classes_.clear();
  listings_.clear();
  ready_.clear();
  claims_.clear();
  claimed_to_.clear();
  left_to_.clear();
}

void MemoryTracker::apply_item(const ItemChange& change, int64_t now) {
  const uint64_t run = present();
  const auto known = rows_.find(change.record.id);
  const bool is_known = known != rows_.end();
  Row& row = is_known ? known->second : rows_[change.record.id];
  ItemRecord record = change.record;
  record.copied_at_ms = whole_seconds(record.copied_at_ms);
  record.verified_at_ms = whole_seconds(record.verified_at_ms);

  const ItemRecord* before = is_known ? &row.record : nullptr;
  add_change(totals_, before, record, run);
  add_class_change(classes_, before, record, run);
  add_attempts(change.attempts, change.attempts_failed);
  if (!keeps_failure(record.state)) {
    row.failure.reset();
  } else if (change.failure) {
    row.failure = change.failure;
  } else if (!row.failure) {
    row.failure.emplace();
    row.failure->error_class = record.error_class;
    row.failure->at_ms = now;
  }
  if (!record.waived) {
    row.waiver.reset();
  } else if (change.waiver) {
    row.waiver = change.waiver;
  }
  if (!is_done(record)) {
    row.result.clear();
  } else if (change.result) {
    row.result = *change.result;
  }
  if (row.record.destination_key != record.destination_key) {
    targets_.erase({row.record.destination_key, record.id});
    if (!record.destination_key.empty()) targets_.emplace(record.destination_key, record.id);
  }
  row.record = std::move(record);
  claims_.erase(change.record.id);
  set_ready(row.record, is_claimable(row.record, run));
}

void MemoryTracker::add_attempts(uint32_t attempts, uint32_t attempts_failed) {
  for (Counters* counters : {&totals_.run, &totals_.migration}) {
    if (present() == 0 && counters == &totals_.run) continue;
    (*counters)[Counter::attempts_total] += attempts;
    (*counters)[Counter::attempts_failed] += attempts_failed;
  }
}

void MemoryTracker::set_ready(const ItemRecord& record, bool is_ready) {
  const auto& [partition, key, version] = record.id;
  if (is_ready) {
    ready_[partition].insert({key, version});
    return;
  }
  const auto places = ready_.find(partition);
  if (places == ready_.end()) return;
  places->second.erase({key, version});
  if (places->second.empty()) ready_.erase(places);
}

void MemoryTracker::apply_upload(const UploadChange& change) {
  if (change.ended) {
    uploads_.erase(change.id);
    return;
  }
  UploadRecord* upload = nullptr;
  if (change.begin) {
    upload = &(uploads_[change.id] = *change.begin);
    upload->id = change.id;
  } else if (const auto known = uploads_.find(change.id); known != uploads_.end()) {
    upload = &known->second;
  }
  if (upload == nullptr) return;
  for (const PartInfo& part : change.parts) {
    std::erase_if(upload->parts, [&](const PartInfo& old) { return old.number == part.number; });
    upload->parts.push_back(part);
  }
  std::sort(upload->parts.begin(), upload->parts.end(),
            [](const PartInfo& a, const PartInfo& b) { return a.number < b.number; });
}

uint64_t MemoryTracker::add_events(const std::vector<Event>& events) {
  for (const Event& event : events) {
    events_.push_back(event);
    events_.back().seq = ++seq_;
  }
  if (events.empty()) ++seq_;
  return seq_;
}

std::vector<Claimed> MemoryTracker::claim(uint64_t epoch, size_t limit) {
  const auto guard = lock();
  check_epoch(epoch);
  std::vector<Claimed> claims;
  while (claims.size() < limit && !ready_.empty()) {
    const size_t share = std::max<size_t>(1, (limit - claims.size()) / ready_.size());
    const size_t turns = ready_.size();
    for (size_t turn = 0; turn < turns && claims.size() < limit; ++turn) {
      auto next = ready_.upper_bound(last_served_);
      if (next == ready_.end()) next = ready_.begin();
      last_served_ = next->first;
      std::set<Place>& places = next->second;
      for (size_t i = 0; i < share && !places.empty() && claims.size() < limit; ++i) {
        const Place place = *places.begin();
        places.erase(places.begin());
        const ItemId id{last_served_, place.first, place.second};
        const auto left = left_to_.find(last_served_);
        claims.push_back({rows_.at(id).record, left != left_to_.end() && place.first <= left->second});
        claims_.insert(id);
        Key& claimed_to = claimed_to_[last_served_];
        claimed_to = std::max(claimed_to, place.first);
      }
      if (places.empty()) ready_.erase(next);
    }
  }
  return claims;
}

std::vector<std::optional<ItemRecord>> MemoryTracker::lookup(std::span<const ItemId> ids) {
  const auto guard = lock();
  std::vector<std::optional<ItemRecord>> records;
  records.reserve(ids.size());
  for (const ItemId& id : ids) {
    const auto row = rows_.find(id);
    records.push_back(row == rows_.end() ? std::nullopt : std::optional(row->second.record));
  }
  return records;
}

ScanPage MemoryTracker::scan(const Query& query, const std::string& resume, size_t limit) {
  const auto guard = lock();
  // The position is the length of the partition and of the key, and the three parts of the next row's id.
  ItemId from{query.partition.value_or(""), query.partition ? query.prefix : Key(), ""};
  if (!resume.empty()) {
    const size_t colon = resume.find(':');
    const size_t second = resume.find(':', colon + 1);
    const auto partition = parse_uint(std::string_view(resume).substr(0, colon));
    const auto key = second == std::string::npos
                         ? std::nullopt
                         : parse_uint(std::string_view(resume).substr(colon + 1, second - colon - 1));
    if (!partition || !key || *partition > resume.size() || *key > resume.size() ||
        second + 1 + *partition + *key > resume.size()) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "the position to go on from is not one of a scan");
    }
    const std::string parts = resume.substr(second + 1);
    from = {parts.substr(0, *partition), parts.substr(*partition, *key), parts.substr(*partition + *key)};
  }
  ScanPage page;
  size_t examined = 0;
  for (auto row = rows_.lower_bound(from); row != rows_.end(); ++row) {
    const auto& [partition, key, version] = row->first;
    if (query.partition && partition != *query.partition) break;
    if (page.rows.size() >= limit || examined++ >= max_examined) {
      page.resume =
          std::to_string(partition.size()) + ':' + std::to_string(key.size()) + ':' + partition + key + version;
      return page;
    }
    if (query.has_result && row->second.result.empty()) continue;
    if (key.starts_with(query.prefix) && wants(query, row->second.record)) {
      page.rows.push_back({row->second.record, row->second.failure, row->second.waiver, query.has_result ? row->second.result : ""});
    }
  }
  page.is_last = true;
  return page;
}

TargetPage MemoryTracker::scan_targets(const Key& from, const std::string& resume, size_t limit) {
  const auto guard = lock();
  const auto at = resume.empty() ? std::pair(from, ItemId()) : to_target(resume);
  TargetPage page;
  for (auto target = targets_.lower_bound(at); target != targets_.end(); ++target) {
    if (page.items.size() >= std::max<size_t>(limit, 1)) {
      page.resume = to_text(*target);
      return page;
    }
    page.items.push_back(rows_.at(target->second).record);
  }
  page.is_last = true;
  return page;
}

std::vector<UploadRecord> MemoryTracker::uploads() {
  const auto guard = lock();
  std::vector<UploadRecord> all;
  for (const auto& [id, upload] : uploads_) all.push_back(upload);
  return all;
}

std::optional<UploadRecord> MemoryTracker::upload(const ItemId& id) {
  const auto guard = lock();
  const auto known = uploads_.find(id);
  return known == uploads_.end() ? std::nullopt : std::optional(known->second);
}

std::vector<ListingRecord> MemoryTracker::listings() {
  const auto guard = lock();
  std::vector<ListingRecord> all;
  for (const auto& [scope, listing] : listings_) all.push_back(listing);
  return all;
}

std::vector<Finding> MemoryTracker::findings(uint64_t run, uint64_t offset, size_t limit) {
  const auto guard = lock();
  const auto known = findings_.find(run);
  if (known == findings_.end() || offset >= known->second.size()) return {};
  const auto first = known->second.begin() + static_cast<std::ptrdiff_t>(offset);
  const size_t count = std::min<size_t>(limit, known->second.size() - offset);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

std::vector<Event> MemoryTracker::events(uint64_t after, size_t limit) {
  const auto guard = lock();
  const auto first = std::upper_bound(events_.begin(), events_.end(), after,
                                      [](uint64_t seq, const Event& event) { return seq < event.seq; });
  const auto count = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(limit), events_.end() - first);
  return {first, first + count};
}

std::vector<RunRecord> MemoryTracker::runs(size_t limit) {
  const auto guard = lock();
  std::vector<RunRecord> all;
  for (auto run = runs_.rbegin(); run != runs_.rend() && all.size() < limit; ++run) all.push_back(run->second);
  return all;
}

// Of the present run.
RunSummary MemoryTracker::summary_of(const RunRecord& record) const {
  RunSummary summary;
  summary.record = record;
  summary.items = to_accounts(totals_.run, 0);
  summary.bytes_total = static_cast<uint64_t>(totals_.run[Counter::bytes_total]);
  summary.bytes_done = static_cast<uint64_t>(totals_.run[Counter::bytes_done]);
  summary.attempts_total = static_cast<uint64_t>(totals_.run[Counter::attempts_total]);
  summary.attempts_failed = static_cast<uint64_t>(totals_.run[Counter::attempts_failed]);
  for (const auto& [error_class, count] : classes_) {
    if (count != 0) summary.failed_by_class[to_string(error_class)] += count;
  }
  if (switches_references(record.phase)) summary.references = references_.settled_by(record.run);
  const auto found = findings_.find(record.run);
  if (record.phase != Phase::verify || found == findings_.end()) return summary;
  for (const Finding& finding : found->second) ++summary.findings[to_string(finding.kind)];
  return summary;
}

std::vector<RunSummary> MemoryTracker::history(size_t limit) {
  const auto guard = lock();
  std::vector<RunSummary> history;
  for (auto run = runs_.rbegin(); run != runs_.rend() && history.size() < limit; ++run) {
    const auto ended = ended_.find(run->first);
    history.push_back(ended == ended_.end() ? summary_of(run->second) : ended->second);
  }
  return history;
}

std::vector<PartitionSummary> MemoryTracker::partitions(const std::optional<std::string>& after, size_t limit) {
  const auto guard = lock();
  std::map<std::string, FrameChanges> counters;  // with those that only references are of
  for (const auto& [name, accounts] : references_.partitions()) counters.try_emplace(name);
  for (const auto& [id, row] : rows_) {
    if (after && id.partition <= *after) continue;
    add_change(counters[id.partition], nullptr, row.record, present());
  }
  std::vector<PartitionSummary> partitions;
  for (auto at = after ? counters.upper_bound(*after) : counters.begin();
       at != counters.end() && partitions.size() < limit; ++at) {
    PartitionSummary& summary = partitions.emplace_back();
    summary.name = at->first;
    summary.items = to_accounts(at->second.run, 0);
    summary.migration_items = to_accounts(at->second.migration, 0);
    summary.bytes_total = static_cast<uint64_t>(at->second.migration[Counter::bytes_total]);
    summary.bytes_done = static_cast<uint64_t>(at->second.migration[Counter::bytes_done]);
    const auto references = references_.partitions().find(at->first);
    if (references != references_.partitions().end()) summary.references = references->second;
  }
  return partitions;
}

std::vector<RateSample> MemoryTracker::rates(uint64_t run, int64_t after_ms, size_t limit) {
  const auto guard = lock();
  std::vector<RateSample> samples;
  const auto known = rates_.find(run);
  if (known == rates_.end()) return samples;
  for (auto at = known->second.upper_bound(after_ms); at != known->second.end() && samples.size() < limit; ++at) {
    samples.push_back(at->second);
  }
  return samples;
}

Snapshot MemoryTracker::snapshot() {
  const auto guard = lock();
  Snapshot snapshot;
  if (migration_) {
    snapshot.migration = migration_->id;
    snapshot.name = migration_->name;
    snapshot.source = migration_->source;
    snapshot.destination = migration_->destination;
  }
  if (!runs_.empty()) {
    const RunRecord& run = runs_.rbegin()->second;
    snapshot.run = run.run;
    snapshot.phase = run.phase;
    snapshot.state = run.state;
    snapshot.reason = run.reason;
    snapshot.started_at_ms = run.started_at_ms;
    snapshot.ended_at_ms = run.ended_at_ms;
    snapshot.active_seconds = run.active_seconds;
    snapshot.listing_complete = run.listing_complete;
    snapshot.expected_items = run.expected_items;
  }
  if (!runs_.empty() && switches_references(snapshot.phase)) {
    const RunRecord& run = runs_.rbegin()->second;
    snapshot.run_references = run_account(references_.settled_by(run.run), run.references.value_or(0));
  }
  snapshot.references = references_.total();
  snapshot.heartbeat_at_ms = heartbeat_at_ms_;
  Owner owner;
  owner.pid = pid_;
  owner.epoch = epoch_;
  snapshot.owner = owner;
  snapshot.live = live_;
  for (const auto& [error_class, count] : classes_) {
    if (count != 0) snapshot.failed_by_class[to_string(error_class)] += count;
  }
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->second.phase != Phase::verify) continue;
    if (const auto found = findings_.find(run->first); found != findings_.end()) {
      for (const Finding& finding : found->second) ++snapshot.findings[to_string(finding.kind)];
    }
    break;
  }
  if (!events_.empty()) snapshot.last_event_at_ms = events_.back().at_ms;
  snapshot.seq = seq_;
  finish_snapshot(snapshot, totals_.run, totals_.migration, is_held_, "its owner let go of it");
  return snapshot;
}

void MemoryTracker::set_run_state(RunState state, const std::string& reason, bool is_end) {
  RunRecord& run = runs_.rbegin()->second;
  const int64_t now = now_ms();
  run.state = state;
  run.reason = reason;
  if (is_end) run.ended_at_ms = now;
  Event event;
  event.at_ms = now;
  event.run = run.run;
  event.kind = EventKind::run;
  event.level = LogLevel::warning;
  event.text = "run " + std::to_string(run.run) + " " + to_string(state) + ": " + reason;
  add_events({event});
}

void MemoryTracker::request(Verb verb, std::string_view who) {
  const auto guard = lock();
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                std::string("there is nothing to ") + to_string(verb) + " in the memory ledger: " + why);
  };
  if (runs_.empty()) refuse("nothing has been run yet");
  const RunRecord& run = runs_.rbegin()->second;
  const std::string name = "run " + std::to_string(run.run);
  if (is_ended(run.state)) refuse(name + " has ended (" + to_string(run.state) + ")");
  if (verb == Verb::pause && run.state == RunState::paused) refuse(name + " is paused already");
  if (verb == Verb::pause && run.state == RunState::cancelling && is_held_) refuse(name + " is being cancelled");
  if (is_held_) {
    requests_.push_back({++last_request_, verb, std::string(who), now_ms()});
    return;
  }
  ++epoch_;
  const bool is_cancel = verb == Verb::cancel;
  set_run_state(is_cancel ? RunState::cancelled : RunState::paused,
                (is_cancel ? "cancelled by " : "paused by ") + printable(who), is_cancel);
}

}  // namespace

std::shared_ptr<Tracker> make_memory_tracker() { return std::make_shared<MemoryTracker>(); }

}  // namespace waybill::internal
