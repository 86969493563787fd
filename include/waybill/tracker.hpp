// SPDX-License-Identifier: Apache-2.0
//
// Tracker: keeps the ledger of one migration. The ledger is the only queue and the only truth: listing inserts rows,
// claiming takes them, one commit() writes everything that happened, and every number anybody sees is read from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/destination.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"
#include "waybill/progress.hpp"

namespace waybill {

/// What a ledger is about. Two runs belong to one ledger exactly if their fingerprints are equal.
struct MigrationInfo {
  std::string id;           ///< 16 hexadecimal digits; made by the tracker at the first bind()
  std::string name;
  std::string fingerprint;  ///< source and destination identity, key mapping, transform, version mode; compared as text
  std::string source;       ///< identities, and
  std::string destination;
  std::string source_url;   ///< the redacted URLs they were opened by, "" for stores opened in code
  std::string destination_url;
  int64_t created_at_ms = 0;
};

/// What the listing of the destination said about an item's key. Stored: numbers never change.
enum class DestinationSeen : int {
  unknown = 0,  ///< the destination was not listed for it
  absent = 1,   ///< nothing was there
  ours = 2,     ///< what this ledger wrote, and it has not been touched since
  present = 3,  ///< something that this ledger did not write; the transfer looks closer
};

/// A row of the ledger: what is known of an item.
struct ItemRecord {
  ItemId id;
  SourceStamp stamp;
  ItemState state = ItemState::pending;
  Basis basis = Basis::none;
  Change change = Change::created;
  DestinationSeen seen = DestinationSeen::unknown;
  bool gone_at_source = false;  ///< copied once; no longer listed
  bool waived = false;
  bool left = false;            ///< vanished, and a later run has passed: in nobody's frame any more
  ErrorClass error_class = ErrorClass::none;  ///< of a failed or vanished item
  uint32_t revision = 1;        ///< grows each time the source's stamp is found changed after a copy
  uint64_t run = 0;             ///< the last run that saw or owed it
  Digest digest;                ///< of the source's content as it was copied
  std::optional<Stored> stored; ///< what the destination acknowledged
  std::optional<int64_t> copied_at_ms;    ///< whole seconds are kept
  std::optional<int64_t> verified_at_ms;  ///< whole seconds are kept
  /// Where it goes, where a key template says so; "": where its own key and version say.
  Key destination_key = {};
};

/// Why an item failed.
struct Failure {
  ErrorClass error_class = ErrorClass::internal;
  ErrorCode code = ErrorCode::unknown;
  std::string message;
  bool retryable = false;
  int http_status = 0;
  std::string provider_code;
  std::string request_id;
  std::string endpoint;   ///< of the store that it failed at, as Source::endpoint; "" where no store was asked
  uint32_t attempts = 0;  ///< made in the run that gave up
  int64_t at_ms = 0;
};

/// Who said that a failed or vanished item is not wanted any more.
struct Waiver {
  std::string who;  ///< user@host
  std::string why;
  int64_t at_ms = 0;
};

/// A new content of a row, and what it took to get there. The tracker inserts or replaces the row, keeps the counters
/// of both frames from what the row was and is, and releases the claim on it.
struct ItemChange {
  ItemRecord record;
  uint32_t attempts = 0;         ///< made for this outcome
  uint32_t attempts_failed = 0;  ///< of these
  std::optional<Failure> failure;  ///< kept while the row is failed or vanished, or excluded (message: the rule)
  std::optional<Waiver> waiver = std::nullopt;  ///< kept while the row is waived
  /// What the program of tracked work keeps of the item: a JSON object on one line. Kept while the row is done; a change
  /// without one leaves it as it is.
  std::optional<std::string> result = std::nullopt;
};

/// How far the listing of a scope has come. Where a store can be listed from any key on, the scopes are ranges that lie
/// side by side: each is named by the key that it begins behind ("" for the first), and goes to the next one's name.
struct ListingRecord {
  std::string scope;
  std::string resume;      ///< Page::resume of the last recorded page
  std::string partition;   ///< with last_key: the last recorded item
  Key last_key;
  bool is_listed = false;  ///< the scope has been listed to its end
};

/// An object in parts that is open at the destination.
struct UploadRecord {
  ItemId id;
  std::string upload_id;
  uint64_t part_size = 0;
  SourceStamp stamp;            ///< of the revision being written
  std::vector<PartInfo> parts;  ///< finished, flushed and committed; by number
};

/// A change of an upload: `begin` opens it (replacing an older one of the item), `parts` are added, `ended` removes it.
struct UploadChange {
  ItemId id;
  std::optional<UploadRecord> begin;
  std::vector<PartInfo> parts;
  bool ended = false;
};

/// A reference as the ledger knows it: what its record held when it was last read, which item that is, and how far its switch
/// has come.
struct ReferenceRecord {
  ReferenceId id;
  std::string partition;       ///< of the record, as its catalog told it
  std::string partition_name;  ///< the last one told is that of all references of the partition; "" leaves it as it is
  ItemId item;                 ///< that the value points at; an empty key where it points at none
  std::optional<std::string> value;     ///< as it was last read
  std::string stamp;           ///< the record's, then
  ReferenceState state = ReferenceState::original;
  std::optional<std::string> intended;  ///< what the newest plan would set, or a run has set; nothing where none would
  ErrorClass error_class = ErrorClass::none;  ///< of a failed one; why one is left as it is, of the others
  std::string reason;          ///< one line: why it is in this state; "" where there is nothing to say
  uint32_t generation = 0;     ///< of its newest journal record; 0: it was never switched
  uint64_t seen = 0;           ///< the last pass over the catalog that met it; passes count from 1
  uint64_t run = 0;            ///< the run that last settled it; 0: none. The tracker's: see ReferenceChange::is_settled
};

/// A new content of a reference's row. The tracker inserts or replaces it and keeps the counters.
struct ReferenceChange {
  ReferenceRecord record;
  bool is_settled = false;       ///< the run in force has come to its end with this reference: it counts in its account
  uint32_t attempts = 0;         ///< made for this outcome
  uint32_t attempts_failed = 0;  ///< of these
};

/// What stands between an intention and its outcome. Stored: numbers never change.
enum class JournalState : int {
  intended = 0,     ///< written before the update was asked for; how that ended is not known yet
  applied = 1,      ///< read back: the field holds what we wrote
  not_applied = 2,  ///< read back: the field holds what it held before
  conflict = 3,     ///< read back: the field holds what somebody else wrote
  restored = 4,     ///< applied, and taken back since
};
const char* to_string(JournalState state) noexcept;

/// A switch of one reference. A reference that is switched again has a new generation; nothing is ever removed.
struct JournalRecord {
  ReferenceId id;
  uint32_t generation = 1;
  uint64_t run = 0;                     ///< the cutover run that intended it
  std::string partition;
  std::optional<std::string> old;       ///< what the field held; never rewritten
  std::optional<std::string> intended;  ///< what it is to hold; never rewritten
  std::optional<std::string> observed;  ///< what it was last seen to hold afterwards
  JournalState state = JournalState::intended;
  int64_t at_ms = 0;                    ///< of the last change
};

/// A reviewed cutover. Only the newest one can be executed.
struct CutoverPlanRecord {
  std::string hash;         ///< 16 hexadecimal digits over each reference that would be switched, what it holds and would hold
  uint64_t pass = 0;        ///< over the catalog, that it was made by
  int64_t at_ms = 0;
  int64_t references = 0;   ///< that would be switched
  bool is_ready = false;    ///< no gate refused it
  std::string gates;        ///< a JSON array: each gate with its evidence
  std::string options;      ///< a JSON object: what was selected
};

struct ReferenceQuery {
  std::vector<ReferenceState> states;  ///< empty: all
  std::optional<std::string> partition;
  std::optional<uint64_t> not_seen_since;  ///< only those whose pass is less than this one
  std::optional<uint64_t> run;             ///< only those that this run settled last
};

/// References in order of (catalog, record, field).
struct ReferenceRecordPage {
  std::vector<ReferenceRecord> references;
  std::string resume;  ///< for the next page; opaque
  bool is_last = false;
};

/// Stored: numbers never change. `gone` and `unknown` are no differences: the first is a copy whose item is not at the source any
/// more, the second cannot be told.
enum class FindingKind : int { missing = 0, extra = 1, size = 2, checksum = 3, metadata = 4, unknown = 5, gone = 6 };
const char* to_string(FindingKind kind) noexcept;

/// One difference that a verify run found.
struct Finding {
  uint64_t run = 0;
  FindingKind kind = FindingKind::unknown;
  ItemId id;
  std::string detail;  ///< one line: what was expected and what is there
};

/// A run, as history keeps it.
struct RunRecord {
  uint64_t run = 0;  ///< from 1
  Phase phase = Phase::copy;
  RunState state = RunState::created;
  std::string reason;
  int64_t started_at_ms = 0;
  std::optional<int64_t> ended_at_ms;
  double active_seconds = 0;
  bool listing_complete = false;
  std::optional<uint64_t> expected_items = std::nullopt;  ///< as the program of tracked work said before it listed them
  std::optional<uint64_t> references = std::nullopt;      ///< of a cutover or rollback: how many it is to settle
  std::string options;         ///< redacted JSON object
  std::string engine_version;
  std::string host;            ///< of its last owner
  int64_t pid = 0;
};

/// A run with its accounts, as they were at its end or are now.
struct RunSummary {
  RunRecord record;
  ItemAccounts items;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  uint64_t attempts_total = 0;
  uint64_t attempts_failed = 0;
  std::map<std::string, int64_t> failed_by_class;
  std::map<std::string, int64_t> findings;  ///< by kind; of a verify run
  ReferenceAccounts references;             ///< of a cutover or rollback run: those it settled
};

/// The accounts of one partition.
struct PartitionSummary {
  std::string name;
  ItemAccounts items;            ///< in the frame of the present run
  ItemAccounts migration_items;  ///< in the frame of the migration
  uint64_t bytes_total = 0;      ///< in the frame of the migration, as bytes_done
  uint64_t bytes_done = 0;
  ReferenceAccounts references;
};

/// What a run moved in a stretch of its time, mostly a minute.
struct RateSample {
  uint64_t run = 0;
  int64_t at_ms = 0;    ///< when it began
  double seconds = 0;   ///< how long it was; active time only
  uint64_t items = 0;   ///< that came to an end
  uint64_t bytes = 0;   ///< of those of these that were moved, or compared by a verify run
  uint64_t attempts_failed = 0;
  int64_t concurrency = 0;  ///< transfers allowed at once, at its end
};

/// One transaction of typed records: all or nothing. New kinds of records are new members.
struct Batch {
  std::optional<RunRecord> run;          ///< inserted (run unknown yet: its frame begins at zero) or replaced
  std::vector<ItemChange> items;
  std::vector<ListingRecord> listings;   ///< of the run in force
  std::vector<UploadChange> uploads;
  std::vector<Finding> findings;
  std::vector<ReferenceChange> references;
  /// Inserted, or, where the generation is known, given a new `observed`, `state`, `run` and time: `old` and `intended` stay
  /// what they were.
  std::vector<JournalRecord> journal;
  std::optional<CutoverPlanRecord> plan;
  std::vector<Event> events;             ///< seq is set by the tracker
  std::vector<RateSample> rates;         ///< one with the same run and time is replaced
  std::optional<LiveState> live;         ///< replaces the last one and beats the heart
  std::vector<uint64_t> served_requests; ///< ids of requests that were obeyed or refused

  bool empty() const noexcept {
    return !run && items.empty() && listings.empty() && uploads.empty() && findings.empty() && references.empty() && journal.empty() &&
           !plan && events.empty() && rates.empty() && !live && served_requests.empty();
  }
};

/// An item taken from the queue.
struct Claimed {
  ItemRecord record;
  /// A process that died may have been writing it: what is at the destination may be its work.
  bool maybe_in_flight = false;
};

struct Query {
  std::vector<ItemState> states;  ///< empty: all
  std::optional<ErrorClass> error_class;
  std::optional<std::string> partition;
  Key prefix;
  std::optional<uint64_t> not_seen_since;  ///< only rows whose run is less than this one
  bool has_result = false;                 ///< only rows with a result, which ScanRow::result then is
};

struct ScanRow {
  ItemRecord record;
  std::optional<Failure> failure;
  std::optional<Waiver> waiver;
  std::string result;  ///< see Query::has_result; otherwise ""
};

struct ScanPage {
  std::vector<ScanRow> rows;
  std::string resume;  ///< for the next page; opaque
  bool is_last = false;
};

/// Rows with a destination key that a template made.
struct TargetPage {
  std::vector<ItemRecord> items;
  std::string resume;  ///< for the next page; opaque
  bool is_last = false;
};

enum class Verb : int { pause = 0, cancel = 1 };
const char* to_string(Verb verb) noexcept;

/// What another process asks of the owner.
struct Request {
  uint64_t id = 0;  ///< ascending
  Verb verb = Verb::pause;
  std::string who;  ///< user@host, for the log
  int64_t at_ms = 0;
};

struct LeaseOptions {
  std::chrono::milliseconds lease{30'000};
  /// Take the ledger from an owner that holds its lock but has not beaten for a whole lease on our own clock (a stopped
  /// process). acquire() then watches it for that long. Default: refuse at once.
  bool take_over = false;
};

/// Tracker: keeps the ledger of one migration.
///
/// *Thread safety:* every method may be called from any thread. *Blocking:* every method may wait for the disk, and for
/// a writer of another process; none waits for longer than ten seconds (`tracker`, retryable). *Lifetime:* outlives the
/// runs on it. *Fork:* a handle used in a forked child throws `forked`.
///
/// Errors of every method: tracker (the ledger cannot be read or written: retryable where waiting may help, as with a
/// full disk; not retryable where it is corrupt). Of writes: fenced (the epoch is not the newest), failed_precondition
/// (opened read-only).
class Tracker {
 public:
  virtual ~Tracker();

  /// Makes this ledger the one of `wanted`, or checks that it is: at the first call the ledger takes it over and gives
  /// it an id. Errors: configuration (the ledger belongs to another migration: both are named).
  virtual MigrationInfo bind(const MigrationInfo& wanted) = 0;
  /// What the ledger is about, or nothing before the first bind().
  virtual std::optional<MigrationInfo> migration() = 0;

  /// Becomes the owner: returns a new epoch, above every earlier one. Claims and live state of earlier owners are void;
  /// a run that was left running is recorded as `interrupted`. Errors: locked (code aborted; names host, pid, and age of
  /// the heartbeat) within one second, unless take_over.
  virtual uint64_t acquire(const LeaseOptions& options) = 0;
  /// Gives ownership up. No error if it is already lost.
  virtual void release(uint64_t epoch) noexcept = 0;
  /// The run is to stop: until release(), a call waits for a writer of another process for a quarter of a second at most,
  /// one that is waiting now included. Does not block. Default: nothing, for trackers that never wait.
  virtual void hurry() noexcept {}

  /// Writes everything in `batch`, or nothing; on return it is durable. Returns the new seq.
  virtual uint64_t commit(uint64_t epoch, const Batch& batch) = 0;

  /// Takes up to `limit` pending items of the present run's frame, in key order, round robin over partitions, none that
  /// is claimed already. That they were taken is durable on return (not by whom: a crash leaves them pending).
  virtual std::vector<Claimed> claim(uint64_t epoch, size_t limit) = 0;

  /// The rows of `ids`, in order.
  virtual std::vector<std::optional<ItemRecord>> lookup(std::span<const ItemId> ids) = 0;
  /// Rows in order of (partition, key, version), a page of at most `limit`. `resume` is "" or ScanPage::resume.
  virtual ScanPage scan(const Query& query, const std::string& resume, size_t limit) = 0;
  /// Rows that have an ItemRecord::destination_key, in byte order of it, from `from` on; a page of at most `limit`. `resume` is
  /// "" or TargetPage::resume. Rows of one destination key follow each other in any order, the same each time. Default:
  /// unimplemented, and such a ledger takes no migration with a key template.
  virtual TargetPage scan_targets(const Key& from, const std::string& resume, size_t limit);
  /// Open uploads, by id.
  virtual std::vector<UploadRecord> uploads() = 0;
  virtual std::optional<UploadRecord> upload(const ItemId& id) = 0;
  /// Listing records of the present run.
  virtual std::vector<ListingRecord> listings() = 0;
  /// Findings of a run, from the `offset`-th on.
  virtual std::vector<Finding> findings(uint64_t run, uint64_t offset, size_t limit) = 0;
  /// What the ledger knows of references, in order. Default of this one and the next four: unimplemented.
  virtual std::vector<std::optional<ReferenceRecord>> lookup_references(std::span<const ReferenceId> ids);
  /// References in order, a page of at most `limit`. `resume` is "" or ReferenceRecordPage::resume.
  virtual ReferenceRecordPage scan_references(const ReferenceQuery& query, const std::string& resume, size_t limit);
  /// The newest journal record of each, in order; nothing for one that was never switched.
  virtual std::vector<std::optional<JournalRecord>> lookup_journal(std::span<const ReferenceId> ids);
  /// All generations of one reference, ascending.
  virtual std::vector<JournalRecord> journal(const ReferenceId& id);
  /// The newest plan of a cutover, or nothing before the first.
  virtual std::optional<CutoverPlanRecord> cutover_plan();
  /// Events with a seq above `after`, ascending.
  virtual std::vector<Event> events(uint64_t after, size_t limit) = 0;
  /// All runs, newest first.
  virtual std::vector<RunRecord> runs(size_t limit) = 0;
  /// All runs with their accounts, newest first. Default: the present run's from snapshot(), the others' empty.
  virtual std::vector<RunSummary> history(size_t limit);
  /// Partitions by name, those after `after` (all: nothing), at most `limit`. Default: none.
  virtual std::vector<PartitionSummary> partitions(const std::optional<std::string>& after, size_t limit);
  /// Of a run, in order of time, from `after_ms` on exclusively. Default: none.
  virtual std::vector<RateSample> rates(uint64_t run, int64_t after_ms, size_t limit);
  /// The accounts at one instant. Costs the same at ten items and ten million (under 10 ms).
  virtual Snapshot snapshot() = 0;

  /// Asks the owner for something, from any process; it reads requests at least with each heartbeat. Where no owner is
  /// alive, the request is carried out at once on the ledger (pause and cancel change the state of a run that is not
  /// ended). Errors: failed_precondition (there is nothing to pause or cancel).
  virtual void request(Verb verb, std::string_view who) = 0;
  /// Requests not yet served, oldest first. Cheap enough for every second.
  virtual std::vector<Request> requests() = 0;
};

}  // namespace waybill
