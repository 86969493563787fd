// SPDX-License-Identifier: Apache-2.0
//
// The layout of a ledger. Version 1 is frozen; each later version is a step from the one before it, which new ledgers
// take as well, so that there is one way to every layout. Views are made anew with the last step.
//
// One file is one migration. Everything is written by the owner of the lease, except requests, bind(), and what acquire
// and request() do to a run without an owner. Keys, partition names and versions are bytes: blobs.
//
//   ledger      one row: what the ledger is about, seq of the last commit, time_base_s (see items)
//   lease       one row: who owns the ledger or did last; epoch (fencing: a commit whose epoch is not this one is
//               refused), beat (grows with each heartbeat), is_held
//   runs        one row a run; the highest number is the present run. `state` never says interrupted by itself: a
//   reader
//               derives that from lease and lock, the next owner writes it down
//   partitions  names of partitions by small numbers (from 1; 0 stands for all)
//   items       one row an item, in key order, and no other index: the queue is found through `segments`
//     status        bits 0-2 state, 3-4 basis, 5-6 change, 7-8 destination seen, 9 gone at source, 10 waived, 11 left
//                   the frames, 12 has crc64, 13 has copied_at, 14 has verified_at, 15 has stored, 16 stored has no
//                   mtime, 17/18 stored crc64/sha256 are the item's own; from bit 24 on the run that last saw it
//     times         whole seconds from ledger.time_base_s
//     etags         a blob where an even number of lower-case hexadecimal digits was packed, else text
//     stored_*      what the destination acknowledged; null where equal to the source's
//     more          what few rows have: source_version, stored_mtime_ns, stored_version, stored_crc64, stored_sha256 and
//                   (from version 4 on) destination_key, each as one byte that says which (1 to 6), two of its length, and
//                   its bytes (numbers: eight, the least significant first)
//     room          crc64 and copied_at hold fillers until their has bit is set, so that an outcome fits where the row
//     is
//   segments    ranges of keys of a partition: from first_key to the next one's. n_rows, n_pending (of the present
//   run's
//               frame), and claimed_to: the highest key that this run's owners have taken
//   counters    the accounts by frame (0: the migration; else a run) and partition (0: all)
//   classes     failed items of a frame by error class
//   failures    why an item failed or vanished
//   waivers     who waived a failed or vanished item, when and why (from version 2 on)
//   rates       what a run moved in each of its minutes (from version 2 on)
//   results     what a program kept of a done item of tracked work, a JSON object (from version 3 on)
//   targets     items by the destination keys that a key template made for them (from version 4 on, as all below)
//   catalogs    names of systems of record by small numbers
//   refs        one row a reference, in order of its identity, and no other index
//     item_*        the item that the value points at; null where equal to the reference's partition and the value
//     status        bits 0-3 state, 4 intended is the value (and null), 8-11 the state that it was last settled in
//     run           the run that last settled it; 0: none
//   journal     one row a switch of a reference; never deleted, old and intended never changed
//     status        bits 0-3 state, 4 observed is what was intended (and null)
//   plans       reviewed cutovers, the newest last
//   reference_counts  references by state. Frame 0: the migration's, by partition and (0) of all; else: what a run settled
//   listings, uploads, upload_parts, findings, finding_counts, events, requests, live, in_flight: as their records
//
// The views are for people and other programs: bytes as text, numbers as words, times as RFC 3339 in UTC.
#include "trackers/sqlite/schema.hpp"

#include <sys/stat.h>

#include <array>
#include <optional>

#include "base/references.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/ledger_file.hpp"
#include "trackers/sqlite/lock_file.hpp"

namespace waybill::internal {
namespace {

constexpr const char* version_1_sql = R"sql(
CREATE TABLE ledger (
  one INTEGER PRIMARY KEY CHECK (one = 1), migration TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL,
  source TEXT NOT NULL, destination TEXT NOT NULL, source_url TEXT NOT NULL, destination_url TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL, time_base_s INTEGER NOT NULL, seq INTEGER NOT NULL, last_event_at_ms INTEGER
) STRICT;
CREATE TABLE lease (
  one INTEGER PRIMARY KEY CHECK (one = 1), is_held INTEGER NOT NULL, host TEXT NOT NULL, boot_id TEXT NOT NULL,
  pid INTEGER NOT NULL, process_start INTEGER NOT NULL, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,
  heartbeat_at_ms INTEGER, lease_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
  run INTEGER PRIMARY KEY, phase INTEGER NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL, ended_at_ms INTEGER, active_seconds REAL NOT NULL, listing_complete INTEGER NOT NULL,
  options TEXT NOT NULL, engine_version TEXT NOT NULL
) STRICT;
CREATE TABLE partitions (partition INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE items (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL,
  status INTEGER NOT NULL, revision INTEGER NOT NULL, error_class INTEGER NOT NULL, size INTEGER, etag ANY,
  mtime_ns INTEGER, opaque BLOB, crc64 INTEGER, sha256 BLOB, copied_at INTEGER, verified_at INTEGER,
  stored_size INTEGER, stored_etag ANY, more BLOB,
  PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE segments (
  partition INTEGER NOT NULL, first_key BLOB NOT NULL, last_key BLOB NOT NULL, n_rows INTEGER NOT NULL,
  n_pending INTEGER NOT NULL, claimed_to BLOB, PRIMARY KEY (partition, first_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE counters (
  frame INTEGER NOT NULL, partition INTEGER NOT NULL, excluded INTEGER NOT NULL, pending INTEGER NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, unchanged INTEGER NOT NULL, verified INTEGER NOT NULL,
  failed INTEGER NOT NULL, waived INTEGER NOT NULL, vanished INTEGER NOT NULL, bytes_total INTEGER NOT NULL,
  bytes_done INTEGER NOT NULL, attempts_total INTEGER NOT NULL, attempts_failed INTEGER NOT NULL,
  PRIMARY KEY (frame, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE classes (
  frame INTEGER NOT NULL, error_class INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (frame, error_class)
) STRICT, WITHOUT ROWID;
CREATE TABLE failures (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, error_class INTEGER NOT NULL,
  code INTEGER NOT NULL, message TEXT NOT NULL, retryable INTEGER NOT NULL, http_status INTEGER NOT NULL,
  provider_code TEXT NOT NULL, request_id TEXT NOT NULL, attempts INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE listings (
  scope BLOB PRIMARY KEY, resume BLOB NOT NULL, partition BLOB NOT NULL, last_key BLOB NOT NULL,
  is_listed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE uploads (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, upload_id TEXT NOT NULL,
  part_size INTEGER NOT NULL, size INTEGER, etag TEXT NOT NULL, mtime_ns INTEGER, source_version TEXT NOT NULL,
  opaque BLOB NOT NULL, PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE upload_parts (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, number INTEGER NOT NULL,
  size INTEGER NOT NULL, etag TEXT NOT NULL, crc64 INTEGER, sha256 BLOB, PRIMARY KEY (partition, key, version, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE findings (
  run INTEGER NOT NULL, n INTEGER NOT NULL, kind INTEGER NOT NULL, partition BLOB NOT NULL, key BLOB NOT NULL,
  version BLOB NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (run, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE finding_counts (
  run INTEGER NOT NULL, kind INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (run, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, run INTEGER NOT NULL, kind INTEGER NOT NULL, level INTEGER NOT NULL,
  text TEXT NOT NULL, data TEXT NOT NULL
) STRICT;
CREATE TABLE requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, verb INTEGER NOT NULL, who TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE live (
  one INTEGER PRIMARY KEY CHECK (one = 1), in_progress INTEGER NOT NULL, concurrency INTEGER NOT NULL,
  items_per_second REAL NOT NULL, bytes_per_second REAL NOT NULL, eta_low_seconds REAL, eta_high_seconds REAL,
  stalled_since_ms INTEGER, reason TEXT NOT NULL
) STRICT;
CREATE TABLE in_flight (
  n INTEGER PRIMARY KEY, partition BLOB NOT NULL, key BLOB NOT NULL, bytes_done INTEGER NOT NULL, bytes_total INTEGER,
  attempt INTEGER NOT NULL, started_at_ms INTEGER NOT NULL
) STRICT;
)sql";

/// From version n + 1 to version n + 2.
constexpr std::array upgrades_sql = {
    R"sql(
ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN pid INTEGER NOT NULL DEFAULT 0;
ALTER TABLE failures ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
CREATE TABLE waivers (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  at_ms INTEGER NOT NULL, PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE rates (
  run INTEGER NOT NULL, at_ms INTEGER NOT NULL, seconds REAL NOT NULL, items INTEGER NOT NULL, bytes INTEGER NOT NULL,
  attempts_failed INTEGER NOT NULL, concurrency INTEGER NOT NULL, PRIMARY KEY (run, at_ms)
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE runs ADD COLUMN expected_items INTEGER;
CREATE TABLE results (
  partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL, result TEXT NOT NULL,
  PRIMARY KEY (partition, key, version)
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE runs ADD COLUMN reference_count INTEGER;
ALTER TABLE partitions ADD COLUMN label TEXT NOT NULL DEFAULT '';
CREATE TABLE catalogs (catalog INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE refs (
  catalog INTEGER NOT NULL, record BLOB NOT NULL, field BLOB NOT NULL, partition INTEGER NOT NULL, value BLOB,
  item_partition INTEGER, item_key BLOB, item_version BLOB NOT NULL, stamp BLOB NOT NULL, intended BLOB,
  status INTEGER NOT NULL, error_class INTEGER NOT NULL, reason TEXT NOT NULL, generation INTEGER NOT NULL,
  seen INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (catalog, record, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  catalog INTEGER NOT NULL, record BLOB NOT NULL, field BLOB NOT NULL, generation INTEGER NOT NULL,
  run INTEGER NOT NULL, partition INTEGER NOT NULL, old BLOB, intended BLOB, observed BLOB, status INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, PRIMARY KEY (catalog, record, field, generation)
) STRICT, WITHOUT ROWID;
CREATE TABLE plans (
  plan INTEGER PRIMARY KEY, hash TEXT NOT NULL, pass INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  reference_count INTEGER NOT NULL, is_ready INTEGER NOT NULL, gates TEXT NOT NULL, options TEXT NOT NULL
) STRICT;
CREATE TABLE reference_counts (
  frame INTEGER NOT NULL, partition INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (frame, partition, state)
) STRICT, WITHOUT ROWID;
CREATE TABLE targets (
  destination_key BLOB NOT NULL, partition INTEGER NOT NULL, key BLOB NOT NULL, version BLOB NOT NULL,
  PRIMARY KEY (destination_key, partition, key, version)
) STRICT, WITHOUT ROWID;
)sql",
};

constexpr const char* views_sql = R"sql(
DROP TABLE IF EXISTS words;
DROP VIEW IF EXISTS item_view;
DROP VIEW IF EXISTS failure_view;
DROP VIEW IF EXISTS account_view;
DROP VIEW IF EXISTS run_view;
DROP VIEW IF EXISTS finding_view;
DROP VIEW IF EXISTS event_view;
DROP VIEW IF EXISTS waiver_view;
DROP VIEW IF EXISTS rate_view;
DROP VIEW IF EXISTS result_view;
DROP VIEW IF EXISTS reference_view;
DROP VIEW IF EXISTS reference_account_view;
DROP VIEW IF EXISTS journal_view;
DROP VIEW IF EXISTS plan_view;
CREATE TABLE words (
  vocabulary TEXT NOT NULL, number INTEGER NOT NULL, word TEXT NOT NULL, PRIMARY KEY (vocabulary, number)
) STRICT, WITHOUT ROWID;
CREATE VIEW waiver_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(w.key AS TEXT) AS key, CAST(w.version AS TEXT) AS version, w.who, w.why,
  strftime('%Y-%m-%dT%H:%M:%S', w.at_ms / 1000, 'unixepoch') || printf('.%03dZ', w.at_ms % 1000) AS at
  FROM waivers w JOIN partitions p ON p.partition = w.partition;
CREATE VIEW rate_view AS SELECT
  run, strftime('%Y-%m-%dT%H:%M:%S', at_ms / 1000, 'unixepoch') || printf('.%03dZ', at_ms % 1000) AS at, seconds,
  items, bytes, attempts_failed, concurrency FROM rates;
CREATE VIEW result_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(r.key AS TEXT) AS key, CAST(r.version AS TEXT) AS version, r.result
  FROM results r JOIN partitions p ON p.partition = r.partition;
CREATE VIEW reference_view AS SELECT
  CAST(c.name AS TEXT) AS catalog, CAST(r.record AS TEXT) AS record, CAST(r.field AS TEXT) AS field,
  CAST(p.name AS TEXT) AS partition, p.label AS partition_name,
  CAST(coalesce(i.name, p.name) AS TEXT) AS item_partition,
  CAST(coalesce(r.item_key, r.value, '') AS TEXT) AS item_key, CAST(r.item_version AS TEXT) AS item_version,
  CAST(r.value AS TEXT) AS value, CAST(r.stamp AS TEXT) AS stamp, s.word AS state,
  CAST(CASE WHEN r.status & 16 THEN r.value ELSE r.intended END AS TEXT) AS intended,
  CASE WHEN r.error_class > 0 THEN e.word END AS error_class, r.reason, r.generation, r.seen, nullif(r.run, 0) AS run
  FROM refs r LEFT JOIN catalogs c ON c.catalog = r.catalog LEFT JOIN partitions p ON p.partition = r.partition
  LEFT JOIN partitions i ON i.partition = r.item_partition
  LEFT JOIN words s ON s.vocabulary = 'reference' AND s.number = r.status & 15
  LEFT JOIN words e ON e.vocabulary = 'error_class' AND e.number = r.error_class;
CREATE VIEW reference_account_view AS SELECT
  CASE a.frame WHEN 0 THEN 'migration' ELSE 'run' END AS frame, nullif(a.frame, 0) AS run,
  CASE a.partition WHEN 0 THEN NULL ELSE CAST(p.name AS TEXT) END AS partition, a.partition = 0 AS is_total,
  s.word AS state, a.n AS count
  FROM reference_counts a LEFT JOIN partitions p ON p.partition = a.partition
  LEFT JOIN words s ON s.vocabulary = 'reference' AND s.number = a.state WHERE a.n <> 0;
CREATE VIEW journal_view AS SELECT
  CAST(c.name AS TEXT) AS catalog, CAST(j.record AS TEXT) AS record, CAST(j.field AS TEXT) AS field, j.generation, j.run,
  CAST(p.name AS TEXT) AS partition, CAST(j.old AS TEXT) AS old, CAST(j.intended AS TEXT) AS intended,
  CAST(CASE WHEN j.status & 16 THEN j.intended ELSE j.observed END AS TEXT) AS observed, s.word AS state,
  strftime('%Y-%m-%dT%H:%M:%S', j.at_ms / 1000, 'unixepoch') || printf('.%03dZ', j.at_ms % 1000) AS at
  FROM journal j LEFT JOIN catalogs c ON c.catalog = j.catalog LEFT JOIN partitions p ON p.partition = j.partition
  LEFT JOIN words s ON s.vocabulary = 'journal' AND s.number = j.status & 15;
CREATE VIEW plan_view AS SELECT
  plan, hash, pass, strftime('%Y-%m-%dT%H:%M:%S', at_ms / 1000, 'unixepoch') || printf('.%03dZ', at_ms % 1000) AS at,
  reference_count, is_ready, gates, options FROM plans;
CREATE VIEW item_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(i.key AS TEXT) AS key, CAST(i.version AS TEXT) AS version,
  s.word AS state, b.word AS basis, CASE WHEN i.status & 7 IN (1, 2) THEN c.word END AS change,
  CASE WHEN i.error_class > 0 THEN e.word END AS error_class, i.status >> 24 AS run, i.revision, i.size,
  CASE typeof(i.etag) WHEN 'blob' THEN lower(hex(i.etag)) ELSE i.etag END AS etag, i.mtime_ns,
  CASE WHEN i.status & 4096 THEN printf('%016x', i.crc64) END AS crc64nvme, lower(hex(i.sha256)) AS sha256,
  CASE WHEN i.status & 8192 THEN strftime('%Y-%m-%dT%H:%M:%SZ', i.copied_at + l.time_base_s, 'unixepoch') END
    AS copied_at,
  CASE WHEN i.status & 16384 THEN strftime('%Y-%m-%dT%H:%M:%SZ', i.verified_at + l.time_base_s, 'unixepoch') END
    AS verified_at,
  CASE WHEN i.status & 32768 THEN coalesce(i.stored_size, i.size) END AS stored_size,
  CASE WHEN i.status & 32768 THEN CASE typeof(i.stored_etag) WHEN 'null' THEN
    CASE typeof(i.etag) WHEN 'blob' THEN lower(hex(i.etag)) ELSE i.etag END
    WHEN 'blob' THEN lower(hex(i.stored_etag)) ELSE i.stored_etag END END AS stored_etag,
  (i.status >> 9) & 1 AS gone_at_source, (i.status >> 10) & 1 AS waived, (i.status >> 11) & 1 AS left
  FROM items i JOIN ledger l JOIN partitions p ON p.partition = i.partition
  LEFT JOIN words s ON s.vocabulary = 'state' AND s.number = i.status & 7
  LEFT JOIN words b ON b.vocabulary = 'basis' AND b.number = (i.status >> 3) & 3
  LEFT JOIN words c ON c.vocabulary = 'change' AND c.number = (i.status >> 5) & 3
  LEFT JOIN words e ON e.vocabulary = 'error_class' AND e.number = i.error_class;
CREATE VIEW failure_view AS SELECT
  CAST(p.name AS TEXT) AS partition, CAST(f.key AS TEXT) AS key, CAST(f.version AS TEXT) AS version,
  e.word AS error_class, c.word AS code, f.message, f.retryable, f.http_status, f.provider_code, f.request_id,
  f.endpoint, f.attempts, strftime('%Y-%m-%dT%H:%M:%S', f.at_ms / 1000, 'unixepoch') || printf('.%03dZ', f.at_ms % 1000) AS at
  FROM failures f JOIN partitions p ON p.partition = f.partition
  LEFT JOIN words e ON e.vocabulary = 'error_class' AND e.number = f.error_class
  LEFT JOIN words c ON c.vocabulary = 'error_code' AND c.number = f.code;
CREATE VIEW account_view AS SELECT
  CASE c.frame WHEN 0 THEN 'migration' ELSE 'run' END AS frame, nullif(c.frame, 0) AS run,
  CASE c.partition WHEN 0 THEN NULL ELSE CAST(p.name AS TEXT) END AS partition, c.partition = 0 AS is_total,
  excluded + pending + created + updated + unchanged + failed + waived + vanished AS discovered, excluded,
  pending + created + updated + unchanged + failed + waived + vanished AS eligible, pending AS pending_and_in_progress,
  created + updated + unchanged AS done, created AS new, updated, unchanged, verified, failed, waived, vanished,
  pending + failed + waived + vanished AS outstanding, bytes_total, bytes_done, attempts_total, attempts_failed
  FROM counters c LEFT JOIN partitions p ON p.partition = c.partition;
CREATE VIEW run_view AS SELECT
  r.run, p.word AS phase, s.word AS stored_state, r.reason,
  strftime('%Y-%m-%dT%H:%M:%S', r.started_at_ms / 1000, 'unixepoch') || printf('.%03dZ', r.started_at_ms % 1000) AS started_at,
  strftime('%Y-%m-%dT%H:%M:%S', r.ended_at_ms / 1000, 'unixepoch') || printf('.%03dZ', r.ended_at_ms % 1000) AS ended_at,
  r.active_seconds, r.listing_complete, r.expected_items, r.reference_count, r.options, r.engine_version, r.host, r.pid,
  coalesce(a.discovered, 0) AS discovered, coalesce(a.excluded, 0) AS excluded, coalesce(a.eligible, 0) AS eligible,
  coalesce(a.pending_and_in_progress, 0) AS pending_and_in_progress, coalesce(a.done, 0) AS done,
  coalesce(a.new, 0) AS new, coalesce(a.updated, 0) AS updated, coalesce(a.unchanged, 0) AS unchanged,
  coalesce(a.verified, 0) AS verified, coalesce(a.failed, 0) AS failed, coalesce(a.waived, 0) AS waived,
  coalesce(a.vanished, 0) AS vanished, coalesce(a.outstanding, 0) AS outstanding,
  coalesce(a.bytes_total, 0) AS bytes_total, coalesce(a.bytes_done, 0) AS bytes_done,
  coalesce(a.attempts_total, 0) AS attempts_total, coalesce(a.attempts_failed, 0) AS attempts_failed
  FROM runs r LEFT JOIN account_view a ON a.run = r.run AND a.is_total
  LEFT JOIN words p ON p.vocabulary = 'phase' AND p.number = r.phase
  LEFT JOIN words s ON s.vocabulary = 'run_state' AND s.number = r.state;
CREATE VIEW finding_view AS SELECT
  f.run, w.word AS kind, CAST(f.partition AS TEXT) AS partition, CAST(f.key AS TEXT) AS key,
  CAST(f.version AS TEXT) AS version, f.detail
  FROM findings f LEFT JOIN words w ON w.vocabulary = 'finding' AND w.number = f.kind;
CREATE VIEW event_view AS SELECT
  e.seq, strftime('%Y-%m-%dT%H:%M:%S', e.at_ms / 1000, 'unixepoch') || printf('.%03dZ', e.at_ms % 1000) AS at,
  e.run, k.word AS kind, l.word AS level, e.text, e.data
  FROM events e LEFT JOIN words k ON k.vocabulary = 'event' AND k.number = e.kind
  LEFT JOIN words l ON l.vocabulary = 'level' AND l.number = e.level;
)sql";

constexpr const char* table_count_sql =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('ledger', 'lease', 'runs', 'partitions', "
    "'items', 'segments', 'counters', 'classes', 'failures', 'listings', 'uploads', 'upload_parts', 'findings', "
    "'finding_counts', 'events', 'requests', 'live', 'in_flight', 'words', 'waivers', 'rates', 'results', "
    "'catalogs', 'refs', 'journal', 'plans', 'reference_counts', 'targets')";
constexpr int64_t n_tables = 28;

/// Times of rows are counted from this long before the ledger's creation: all of them take three bytes for twelve
/// weeks.
constexpr int64_t time_base_lead_s = 1'000'000;

/// Below this size a ledger is checked from end to end when it is opened for writing.
constexpr int64_t full_check_bytes = 4 << 20;

constexpr std::string_view remedy = "restore it from a copy, or save what can be read with: waybill db recover";

template <typename Enum>
void insert_words(Database& database, const char* vocabulary, int count) {
  for (int number = 0; number < count; ++number) {
    database.prepared("INSERT INTO words VALUES (?, ?, ?)")
        .bind_text(1, vocabulary)
        .bind(2, number)
        .bind_text(3, to_string(static_cast<Enum>(number)))
        .run();
  }
}

void insert_words(Database& database) {
  insert_words<ItemState>(database, "state", 6);
  insert_words<Basis>(database, "basis", 4);
  insert_words<ErrorClass>(database, "error_class", 27);
  insert_words<ErrorCode>(database, "error_code", 17);
  insert_words<Phase>(database, "phase", 5);
  insert_words<RunState>(database, "run_state", 9);
  insert_words<FindingKind>(database, "finding", 7);
  insert_words<EventKind>(database, "event", 7);
  insert_words<LogLevel>(database, "level", 4);
  insert_words<ReferenceState>(database, "reference", n_reference_states);
  insert_words<JournalState>(database, "journal", 5);
  database.execute(
      "INSERT INTO words VALUES ('change', 0, 'new'), ('change', 1, 'updated'), ('change', 2, 'unchanged')");
}

[[noreturn]] void refuse(const Database& database, ErrorCode code, const std::string& why) {
  throw Error(code, ErrorClass::tracker, database.path() + " " + why);
}

bool is_empty(Database& database) {
  return database.value_of("PRAGMA application_id") == 0 && database.value_of("PRAGMA user_version") == 0 &&
         database.value_of("SELECT count(*) FROM sqlite_schema") == 0;
}

/// Within a write transaction.
void upgrade_schema(Database& database, int64_t version) {
  for (; version < ledger_schema_version; ++version) {
    database.execute(upgrades_sql.at(static_cast<size_t>(version - 1)));
  }
  database.execute(views_sql);
  insert_words(database);
  database.execute(("PRAGMA user_version = " + std::to_string(ledger_schema_version)).c_str());
}

/// Another process may be doing the same at the same time: whoever comes second finds it done.
void create_schema(Database& database) {
  database.execute("PRAGMA page_size = 8192");
  database.execute("PRAGMA journal_mode = WAL");
  Transaction transaction(database, Transaction::Kind::write);
  if (!is_empty(database)) return;
  database.execute(version_1_sql);
  const int64_t now = now_ms();
  database.prepared("INSERT INTO ledger VALUES (1, '', '', '', '', '', '', '', ?, ?, 0, NULL)")
      .bind(1, now)
      .bind(2, now / 1000 - time_base_lead_s)
      .run();
  database.execute("INSERT INTO lease VALUES (1, 0, '', '', 0, 0, 0, 0, NULL, 0)");
  database.execute(("PRAGMA application_id = " + std::to_string(ledger_application_id)).c_str());
  upgrade_schema(database, 1);
  transaction.commit();
}

/// Whether the ledger has the layout of an earlier version.
bool is_older(Database& database) {
  if (database.value_of("PRAGMA application_id") != ledger_application_id) return false;
  const int64_t version = database.value_of("PRAGMA user_version");
  return version >= 1 && version < ledger_schema_version;
}

/// Only where nobody owns the ledger: an owner of an earlier waybill goes on with the layout that it knows.
void upgrade_if_older(Database& database, const std::string& path) {
  if (!is_older(database)) return;
  const std::optional<LockFile> lock = LockFile::try_lock(path + ".lock");
  if (!lock) {
    refuse(database, ErrorCode::aborted,
           "is in use by an earlier waybill, and has its layout; wait for its run, or stop it, and try again");
  }
  Transaction transaction(database, Transaction::Kind::write);
  const int64_t version = database.value_of("PRAGMA user_version");
  try {
    if (version < ledger_schema_version) upgrade_schema(database, version);
  } catch (const Error& error) {
    if (error.retryable()) throw;
    refuse(database, ErrorCode::data_loss, "is damaged (it is not of the schema that it says); " + std::string(remedy));
  }
  transaction.commit();
}

/// Errors: missing where there is no schema at all; tracker, in one line, for everything else that is not a whole
/// ledger of this schema.
void check_schema(Database& database) {
  if (is_empty(database)) {
    // A file whose making was cut short (a full disk, a kill) is no ledger yet, and is made one by the same command.
    throw Error(ErrorCode::not_found, ErrorClass::missing,
                database.path() + " holds no migration yet; begin one with: waybill run --from URL --to URL");
  }
  if (database.value_of("PRAGMA application_id") != ledger_application_id) {
    refuse(database, ErrorCode::failed_precondition,
           "is a database of another program, not a waybill ledger; name another path with --tracker");
  }
  const int64_t version = database.value_of("PRAGMA user_version");
  if (version > ledger_schema_version) {
    refuse(database, ErrorCode::failed_precondition,
           "was written by a newer waybill (schema " + std::to_string(version) + ", this one knows " +
               std::to_string(ledger_schema_version) + "); upgrade waybill");
  }
  const bool is_whole = version == ledger_schema_version && database.value_of(table_count_sql) == n_tables &&
                        database.value_of("SELECT count(*) FROM ledger") == 1 &&
                        database.value_of("SELECT count(*) FROM lease") == 1;
  if (!is_whole) {
    refuse(database, ErrorCode::data_loss, "is damaged (its schema is not whole); " + std::string(remedy));
  }
}

void check_pages_if_small(Database& database) {
  if (database.value_of("PRAGMA page_count") * database.value_of("PRAGMA page_size") > full_check_bytes) return;
  Statement check(database, "PRAGMA quick_check(1)");
  if (check.step() && check.bytes(0) == "ok") return;
  refuse(database, ErrorCode::data_loss, "is damaged (its pages do not add up); " + std::string(remedy));
}

void configure(Database& database, int cache_kib) {
  database.execute(("PRAGMA cache_size = -" + std::to_string(cache_kib)).c_str());
  database.execute("PRAGMA temp_store = FILE");
  database.execute("PRAGMA mmap_size = 0");  // a file that shrinks would be SIGBUS
  database.execute("PRAGMA cell_size_check = ON");
}

bool exists(const std::string& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

}  // namespace

std::unique_ptr<Database> open_ledger_for_writing(const std::string& path, OpenMode mode,
                                                  const std::atomic<bool>* is_hurried) {
  prepare_ledger_file(path, mode);
  auto database = std::make_unique<Database>(path, Database::Access::read_write, is_hurried);
  if (mode == OpenMode::create && is_empty(*database)) create_schema(*database);
  upgrade_if_older(*database, path);
  check_schema(*database);
  check_pages_if_small(*database);
  configure(*database, 8192);
  database->execute("PRAGMA journal_mode = WAL");
  database->execute("PRAGMA synchronous = FULL");
  database->execute("PRAGMA wal_autocheckpoint = 1000");
  database->execute("PRAGMA journal_size_limit = 67108864");
  return database;
}

std::unique_ptr<Database> open_ledger_for_reading(const std::string& path, bool& is_immutable) {
  prepare_ledger_file(path, OpenMode::read_only);
  is_immutable = !exists(path + "-wal") && !LockFile::is_held(path + ".lock");
  auto database =
      std::make_unique<Database>(path, is_immutable ? Database::Access::immutable : Database::Access::read_only);
  if (is_older(*database)) {
    // What later versions show has to be there to be read.
    open_ledger_for_writing(path, OpenMode::existing, nullptr).reset();
    database = std::make_unique<Database>(path, Database::Access::read_only);
    is_immutable = false;
  }
  check_schema(*database);
  configure(*database, 2048);
  return database;
}

}  // namespace waybill::internal
