// SPDX-License-Identifier: Apache-2.0
//
// Migration, Run and Report: the engine as a host sees it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/cutover.hpp"
#include "waybill/destination.hpp"
#include "waybill/options.hpp"
#include "waybill/progress.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"
#include "waybill/transform.hpp"

namespace waybill {

/// How a run ended.
struct Report {
  Snapshot snapshot;   ///< the last one
  int exit_code = 0;   ///< of snapshot.state, see exit_code()
  std::string message; ///< one line: why it ended so
};

/// What a run would do, found by listing both sides and asking the ledger; nothing is recorded or moved.
///
/// The tables have their largest rows, each exactly counted; what is left follows as one row that stands for several groups.
struct Plan {
  /// Items that have something in common.
  struct Row {
    std::string name;
    std::string title;          ///< for people, of a partition; "" where the source has none
    int64_t groups = 1;         ///< more than one: all that are not in a row of their own; `name` is "" then
    int64_t items = 0;
    uint64_t bytes = 0;
    int64_t unknown_sizes = 0;  ///< of the items: their bytes are not among `bytes`
  };
  int64_t items = 0;          ///< listed
  uint64_t bytes = 0;         ///< of those whose size the listing tells
  int64_t unknown_sizes = 0;  ///< items whose size the listing does not tell
  int64_t to_create = 0;      ///< nothing at the destination
  int64_t to_update = 0;      ///< would replace what this ledger wrote, or, with overwrite always, what is there
  int64_t to_compare = 0;     ///< something is there; the transfer looks closer before it decides
  /// Copied before, and the listing does not tell whether they are still the same: the source is asked about each. With a limit
  /// they are left for a run without one.
  int64_t to_look_at = 0;
  int64_t unchanged = 0;      ///< already there and the same
  int64_t excluded = 0;
  int64_t oversize = 0;       ///< of the excluded: larger than Options::max_size_bytes
  uint64_t oversize_bytes = 0;
  int64_t refused = 0;        ///< cannot move: see refused_by_class
  int64_t occupied = 0;       ///< would fail: the destination holds something else
  /// Objects at the destination that no listed item maps to: foreign ones, and those whose items are gone from the source. Nothing
  /// where the listings are in no step by which this would be seen, or only a part of the items was wanted.
  std::optional<int64_t> unmatched_objects;
  uint64_t bytes_to_move = 0; ///< of those whose size is known
  int64_t objects_in_parts = 0;
  int64_t collisions = 0;         ///< destination keys that a key template makes for more than one item
  int64_t items_in_collisions = 0;  ///< items that get a suffix from their own id for it, or cannot move
  std::map<std::string, int64_t> refused_by_class;
  std::map<int, int64_t> size_histogram;  ///< by ⌈log2(size)⌉; −1 for empty items; without those of unknown size
  std::vector<Row> partitions;  ///< the first 1,000, by bytes, then items; none where all items are in the one without a name
  std::vector<Row> extensions;  ///< the first 100 by items; lower case, "" for none
  std::vector<Row> hosts;       ///< of a source of links: the first 100 by items; "" for links without one
  /// What became of asking: a host about one of its items, or about the items of a sample.
  struct Answers {
    int64_t asked = 0;
    int64_t answered = 0;
    std::map<std::string, int64_t> failed_by_class;  ///< asked − answered; a dead link is one
  };
  /// The hosts that did not answer when they were asked about one item within 5 s.
  struct Unreachable {
    std::string host;
    int64_t items = 0;
    ErrorClass error_class = ErrorClass::none;
    std::string reason;
  };
  std::vector<Unreachable> unreachable;
  /// Of the items that would move and whose size is not known, at most 200, drawn by chance, were asked for.
  Answers sample;
  /// An estimate for all of these: the mean size in the sample, times how many would answer if the others are as the sample.
  std::optional<uint64_t> estimated_bytes;
  /// Calls that a copy would make, each tried once. 0 where that side is a folder.
  struct Requests {
    int64_t listing = 0;         ///< HTTP requests that this plan's listings took
    int64_t source_looks = 0;    ///< items that are asked about
    int64_t reads = 0;
    int64_t destination_looks = 0;
    int64_t writes = 0;          ///< whole objects
    int64_t copies = 0;          ///< by the store itself, instead of a read and a write
    int64_t uploads = 0;         ///< of objects in parts: two calls each, to begin and to complete
    int64_t parts = 0;
    bool is_lower_bound = false; ///< sizes are not known, or what is there has to be compared first
  };
  Requests requests;
  /// How long a copy would take, at the pace of the last copy of this ledger that moved something.
  struct Time {
    double seconds = 0;           ///< the longer of what the items and what the bytes take
    uint64_t run = 0;             ///< that the pace is of
    int64_t moved_items = 0;      ///< by it,
    uint64_t moved_bytes = 0;
    double active_seconds = 0;    ///< and in which time, listing included
  };
  std::optional<Time> time;       ///< nothing where the ledger has no such run
  struct Example {
    Key key;
    ErrorClass error_class = ErrorClass::none;
    std::string reason;
  };
  std::vector<Example> examples;  ///< the first 1,000 that would not move
  struct Collision {
    ItemId id;
    Key wanted;           ///< the destination key that it shares, or would
    Key destination_key;  ///< the one that it gets
  };
  std::vector<Collision> collision_examples;  ///< the first 1,000 items
};

/// The plan as a JSON object, one line.
std::string to_json(const Plan& plan);

/// What is deleted after a verification.
enum class RemovalKind : int {
  extra = 0,   ///< at the destination: objects that neither the source nor the ledger knows
  source = 1,  ///< at the source: items whose content was read back at the destination and is the same
};
const char* to_string(RemovalKind kind) noexcept;

struct RemovalOptions {
  RemovalKind kind = RemovalKind::extra;
  /// Optional. If more extra objects than this, or than this share of the destination's objects, would be deleted, none
  /// is. Defaults 1,000 and 0.1; ranges from 0, and 0 to 1. Items of the source have no such bound: each of them is known.
  int64_t max_items = 1'000;
  double max_share = 0.1;
};

/// What Migration::remove would delete, as far as the ledger tells: no store is asked about an item yet.
struct RemovalPlan {
  RemovalKind kind = RemovalKind::extra;
  uint64_t verify_run = 0;       ///< the newest verify run, on which it rests
  std::string hash;              ///< 16 hexadecimal digits over what would be deleted; remove() wants it
  int64_t items = 0;             ///< that would be deleted
  uint64_t bytes = 0;            ///< of them; of extra objects it is not known before they are looked at: 0
  int64_t at_destination = 0;    ///< objects that the verification saw there, of which max_share is a share
  std::map<std::string, int64_t> kept;  ///< items of the source that would not be deleted, by why
  struct Example {
    ItemId id;
    std::string detail;
  };
  std::vector<Example> examples;  ///< the first 1,000 that would be deleted
  std::string refusal;            ///< why remove() would refuse it: over the bounds; "" if it would not
};

/// The plan as a JSON object, one line.
std::string to_json(const RemovalPlan& plan);

/// What became of a plan.
struct RemovalReport {
  int64_t removed = 0;  ///< gone for good
  int64_t hidden = 0;   ///< behind a delete marker: the store keeps versions, and the bytes are paid for until they expire
  int64_t gone = 0;     ///< were not there any more
  int64_t kept = 0;     ///< had changed since the verification, or could not be deleted: each has an audit event that says why
  std::map<std::string, int64_t> kept_by_class;
  bool is_stopped = false;  ///< by the caller, before the end

  int64_t total() const noexcept { return removed + hidden + gone + kept; }
};

/// Another program's ledger, from which items are taken over.
struct ImportOrigin {
  std::string file;    ///< for people
  std::string sha256;  ///< of the file, in 64 hexadecimal digits: what tells one import from another
  std::string format;  ///< "s1", "s4", "s4-json", or a word of the caller's
  std::string who;     ///< user@host
};

/// An item as another ledger has it. It is a claim: an item becomes copied only if the destination shows it.
struct ImportedItem {
  Key key;  ///< of the item, at both sides unless `destination_key` says otherwise
  ItemState state = ItemState::pending;  ///< copied, failed or pending
  std::optional<uint64_t> size;          ///< in bytes; without it nothing can be said to be copied
  /// The earliest instant at which it may have been copied, in ms since 1970 UTC: what changed at the source after it is
  /// copied again. Empty: not known, and the item is looked at closer.
  std::optional<int64_t> copied_at_ms;
  ErrorClass error_class = ErrorClass::server;  ///< of a failed item, as the next three
  std::string error;
  std::string error_word;  ///< of the other program for this kind of failure
  int64_t failed_at_ms = 0;
  std::string origin;  ///< a JSON object: everything that the other ledger has of it, without secrets
  /// Where the other program has put it, in a migration with a key template: it stays there. "": at its own key.
  Key destination_key = {};
  std::string partition = {};  ///< of the item, as the source would list it
};

/// A reference that another program says it has switched.
struct ImportedReference {
  std::string record;  ///< its record's id, as the catalog has it
  std::string partition;
  std::string partition_name;
  std::optional<std::string> old_value;  ///< what the field held before
  std::optional<std::string> new_value;  ///< and was set to
  std::string origin;  ///< a JSON object: everything that the other ledger has of it, without secrets
};

/// Something else that the other ledger has: a run, a line of a log.
struct ImportedNote {
  bool is_log = false;  ///< a line of a log; otherwise kept for ever, as an audit event
  LogLevel level = LogLevel::info;
  std::string text;    ///< one line
  std::string origin;  ///< a JSON object, without secrets
};

/// What became of an import. items = confirmed + refuted + failed + pending + known + unchanged.
struct ImportReport {
  int64_t items = 0;
  int64_t confirmed = 0;  ///< said to be copied, and the destination shows an object of that size: copied, matched_weak
  int64_t refuted = 0;    ///< said to be copied, but the destination does not show that: pending
  int64_t failed = 0;
  int64_t pending = 0;
  int64_t known = 0;      ///< a run of this ledger has met them: they stay as they are
  int64_t unchanged = 0;  ///< the same as at an earlier import
  int64_t references = 0;            ///< said to be switched
  int64_t references_confirmed = 0;  ///< and the catalog shows the new value: updated, and can be rolled back
  int64_t references_refuted = 0;    ///< it shows something else: the old value (original), or another (conflict)
  int64_t references_known = 0;      ///< this ledger has switched them before: they stay as they are
  int64_t notes = 0;      ///< that were not there from an earlier import of the same file
  bool is_repeated = false;  ///< the same file was imported to its end before, by the same catalog: nothing was written
};

/// An import under way: it owns the ledger until it is destroyed. Used by one thread. What was added stays if the import is
/// broken off; the same import again goes on from there.
class Import {
 public:
  virtual ~Import();
  /// Takes items over, all that the other ledger has in ascending order of partitions and keys, a thousand or so at a time.
  /// Each goes into the ledger unless a run has met it; for those said to be copied the destination's listing is walked in
  /// step, or, of items in a partition, the destination asked for each. An audit event keeps `origin`.
  /// Errors: invalid_argument (they do not ascend; another state); tracker, fenced; those of listing.
  virtual void add(std::span<const ImportedItem> items) = 0;
  /// Takes over what was switched, after the items. Each old value is journalled; the catalog is read, and what it shows
  /// decides. Any order. Errors: failed_precondition/configuration (the migration has no catalog, or that lists no reference, or
  /// has none of the first records); the catalog's.
  virtual void add_references(std::span<const ImportedReference> references) = 0;
  /// Keeps notes as events, in the same order each time.
  virtual void note(std::span<const ImportedNote> notes) = 0;
  /// The end, as an audit event. Only after it the file counts as imported.
  virtual ImportReport finish() = 0;
  /// Whether the same file has been imported to its end before, and, where there is a catalog, its references by that: then
  /// nothing need be added.
  virtual bool is_repeated() const = 0;
};

/// A live or ended run.
///
/// *Thread safety:* every method may be called from any thread. *Lifetime:* keeps what it needs of its Migration alive;
/// destroying a live Run interrupts it as interrupt() does, and joins.
class Run {
 public:
  virtual ~Run();
  virtual uint64_t id() const = 0;
  /// The accounts now, read from the ledger. Under 10 ms.
  virtual Snapshot snapshot() const = 0;
  /// Stops: in-flight transfers may end within Options::drain_ms, then are aborted. Returns at once; see wait().
  virtual void cancel() = 0;
  /// As cancel(), but the run can be carried on with Options::resume_paused.
  virtual void pause() = 0;
  /// As cancel(), but the run is left `interrupted`: the next start carries it on. What a host calls from its Ctrl-C.
  virtual void interrupt() = 0;
  /// As cancel(), but the run ends `failed`, with the error class `callback` and this reason. What a host calls whose own
  /// code, run beside the run, has thrown; callbacks that throw do this by themselves.
  virtual void fail(const std::string& why) = 0;
  /// Waits for the end, at most `timeout`; nothing if it has not come. Errors: what a callback threw; whatever kept the
  /// run from its end is not thrown but in the report; failed_precondition from a callback.
  virtual std::optional<Report> wait(std::chrono::milliseconds timeout) = 0;
  /// Waits for the end.
  Report wait();
};

/// What moves, from where to where, and in which ledger.
///
/// *Thread safety:* one thread at a time; the Runs it gives out are independent. *Lifetime:* shares its parts.
class Migration {
 public:
  /// Errors of the calls below, not of this one: it does no I/O.
  Migration(std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, std::shared_ptr<Tracker> tracker);
  /// The same, and the ledger by its URL: it is made only when a run begins and both stores have answered.
  Migration(std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, std::string_view tracker_url);
  /// From URLs, see connectors.hpp. Errors: configuration.
  Migration(std::string_view source_url, std::string_view destination_url, std::string_view tracker_url);
  /// The same with a ledger that is open.
  Migration(std::string_view source_url, std::string_view destination_url, std::shared_ptr<Tracker> tracker);
  ~Migration();
  Migration(Migration&&) noexcept;
  Migration& operator=(Migration&&) noexcept;

  Migration& set_name(std::string name);
  /// For a host that opened its stores itself: the URLs that they can be opened by again. They are kept in the ledger, without
  /// secrets, as those of stores that were opened by URL. Not part of the migration's identity.
  Migration& set_urls(std::string_view source_url, std::string_view destination_url);
  Migration& set_transform(std::shared_ptr<Transform> transform);
  /// The system of record whose references a cutover switches. Not part of the migration's identity. `url`, if it was opened
  /// by one, is kept with each plan, without secrets: a later process finds the catalog by it.
  Migration& set_catalog(std::shared_ptr<Catalog> catalog, std::string_view url = {});
  /// Where items go: text with fields in braces, "uploads/{partition}/{partition_name|slug}/{name}" (docs/keys.md). Part of the
  /// migration's identity. Default: what the ledger was begun with, or else each item's own key. Errors: configuration (no
  /// template; the place and the nearest field or filter are named).
  Migration& set_key_template(std::string text);

  /// Begins a copy, or carries on with the one that did not end, and returns once the lease is held and both stores were
  /// checked. Errors, before anything is moved or recorded: configuration, missing, permission, auth, network (stores);
  /// tracker, locked (ledger); failed_precondition/locked (the migration is paused, see Options::resume_paused).
  std::unique_ptr<Run> start(const Options& options = {}, Callbacks callbacks = {});
  /// start() and wait().
  Report run(const Options& options = {}, Callbacks callbacks = {});

  /// Begins a verify run: source listing ⋈ ledger ⋈ destination listing. Errors: as start; failed_precondition/locked
  /// (not ready: nothing has been copied yet, or the copy did not come to its end).
  std::unique_ptr<Run> start_verify(VerifyLevel level = VerifyLevel::checksum, const Options& options = {},
                                    Callbacks callbacks = {});
  /// start_verify() and wait().
  Report verify(VerifyLevel level = VerifyLevel::checksum, const Options& options = {}, Callbacks callbacks = {});

  /// Waives failed and vanished items, which then count as neither failed nor done: those of selected.keys (with their
  /// partitions), or else all of selected.partitions and error_classes. Who did it, why and when is kept with each item,
  /// and as an audit event. Returns how many; items that are waived already, done, or pending are none of them.
  /// Errors: locked (a run is under way); configuration (`why` is empty; the ledger is of another migration); tracker.
  int64_t waive(const Options& selected, std::string_view who, std::string_view why);

  /// Begins to take items over from another program's ledger. The ledger is made if it is not there. Errors: as start;
  /// configuration (`origin` without a SHA-256; the migration has a transform: sizes cannot be compared).
  std::unique_ptr<Import> begin_import(const ImportOrigin& origin);

  /// What remove() would delete. It rests on the ledger alone; only that the stores answer is checked. Errors:
  /// failed_precondition/locked where there is no ground to delete on. For extra objects that is a verify run that came to
  /// its end, with nothing run since, and a source that has anything at all. For the source: verify runs since the last
  /// copy, all at their end, among them one at level content. Further: out of range (configuration); those of start.
  RemovalPlan plan_removal(const RemovalOptions& options);

  /// Deletes what the plan with `hash` says; blocks until that is done. Before each item is deleted both stores are asked
  /// about it once more: an extra object has to be as the verification saw it, unknown to the source and the ledger still;
  /// of an item of the source both the source's revision and the destination's object have to be the verified ones. What
  /// is not so is kept. No deletion is without an audit event that names `who` and is on disk before it. `on_progress` is
  /// called in this thread after each few items; where it returns false, no more are deleted.
  /// Errors: failed_precondition/locked (no ground; the plan is another one by now; more than the bounds of `options`
  /// allow); permission (of the first items none could be deleted); fenced; those of start.
  RemovalReport remove(const RemovalOptions& options, std::string_view hash, std::string_view who,
                       const std::function<bool(const RemovalReport&)>& on_progress = {});

  /// Lists the catalog, finds for each reference the item that it points at, and writes down in the ledger what a cutover
  /// would do, as the newest plan; nothing is changed in the catalog. Blocks until that is done. Updates of an earlier run
  /// whose end is not known are read first. Errors: as start; failed_precondition/configuration (no catalog, or no template
  /// for new values); failed_precondition/locked (nothing was copied; a run did not come to its end).
  CutoverPlan plan_cutover(const CutoverOptions& options = {});

  /// Begins to switch exactly what the plan with `hash` says, or carries on with that. Every old value is on disk before it
  /// is replaced; it is replaced only where it is still what the plan saw, and read back. Ends with a listing of the catalog.
  /// Errors: as start; failed_precondition/locked (the plan is not the newest, is older than max_plan_age_ms, or a gate
  /// refused it; something was copied or verified since).
  std::unique_ptr<Run> start_cutover(std::string_view hash, const CutoverOptions& cutover = {}, const Options& options = {},
                                     Callbacks callbacks = {});

  /// What start_rollback would take back, as the ledger has it: the catalog is not asked.
  RollbackPlan plan_rollback(const RollbackOptions& rollback = {});

  /// Begins to set references back to their old values, or carries on with that: each only where it still holds what was
  /// seen after we had written it, else it is a conflict and stays as it is. Errors: as start; failed_precondition/locked
  /// (nothing was switched; another run did not come to its end).
  std::unique_ptr<Run> start_rollback(const RollbackOptions& rollback = {}, const Options& options = {}, Callbacks callbacks = {});

  /// What a copy would do. Records nothing, moves nothing; needs no ledger to be there yet (a tracker URL that does not
  /// exist is not made). Errors: as start.
  Plan plan(const Options& options = {});

  Source& source() const;
  Destination& destination() const;
  Tracker& tracker() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace waybill
