// SPDX-License-Identifier: Apache-2.0
//
// A new ledger of what can be read of a damaged one. See waybill/maintenance.hpp.
//
// Rows are read around what is damaged (salvage.hpp); what can be counted from rows is not copied but counted.
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/lease.hpp"
#include "trackers/sqlite/ledger_file.hpp"
#include "trackers/sqlite/ledger_reader.hpp"
#include "trackers/sqlite/ledger_writer.hpp"
#include "trackers/sqlite/lock_file.hpp"
#include "trackers/sqlite/recount.hpp"
#include "trackers/sqlite/reference_writer.hpp"
#include "trackers/sqlite/salvage.hpp"
#include "trackers/sqlite/schema.hpp"
#include "trackers/sqlite/targets.hpp"
#include "waybill/maintenance.hpp"

namespace waybill {
namespace internal {
namespace {

/// Tables whose rows are copied, those that others refer to first. All others are counted anew, or live as long as an
/// owner does.
constexpr const char* copied_tables[] = {"runs",     "partitions", "items",    "failures", "waivers",
                                         "results",  "uploads",    "upload_parts", "findings", "events",
                                         "rates",    "counters",   "classes",  "catalogs", "refs",
                                         "journal",  "plans",      "reference_counts"};
constexpr int64_t rows_in_segment = 50'000;

/// The work after copying: what can be counted is counted, what refers to nothing goes.
class Rebuild {
 public:
  Rebuild(Database& database, Recovery& recovery) : database_(database), recovery_(recovery) {}

  void run() {
    complete_runs();
    remove_unreadable();
    const uint64_t run = present_run(database_).run;
    count(run);
    join_references_and_journal();
    count_references(run);
    database_.execute("DELETE FROM finding_counts");
    database_.execute("INSERT INTO finding_counts SELECT run, kind, count(*) FROM findings GROUP BY run, kind");
    database_.execute(
        "UPDATE ledger SET seq = max(seq, (SELECT coalesce(max(seq), 0) FROM events)), "
        "last_event_at_ms = (SELECT max(at_ms) FROM events)");
  }

 private:
  void note(const std::string& text) { recovery_.notes.push_back(text); }
  /// How many rows `sql` changed.
  int64_t changed_by(const char* sql) {
    database_.execute(sql);
    return database_.changes();
  }
  void complete_runs();
  void remove_unreadable();
  void name_what_references_need();
  void count(uint64_t run);
  void join_references_and_journal();
  void count_references(uint64_t run);
  void write_counters(uint64_t frame, int64_t partition, Counters counted);

  Database& database_;
  Recovery& recovery_;
};

// A run that had not ended would not list again what is lost; one that is not there would be numbered anew.
void Rebuild::complete_runs() {
  const int64_t seen = database_.value_of(
      "SELECT max((SELECT coalesce(max(status >> 24), 0) FROM items), (SELECT coalesce(max(run), 0) FROM refs), "
      "(SELECT coalesce(max(run), 0) FROM journal))");
  PresentRun present = present_run(database_);
  database_.reset_statements();
  if (seen > static_cast<int64_t>(present.run)) {
    database_.prepared("INSERT INTO runs (run, phase, state, reason, started_at_ms, active_seconds, listing_complete, "
                       "options, engine_version) VALUES (?, 0, ?, 'its record was lost', ?, 0, 0, '{}', '')")
        .bind(1, seen)
        .bind(2, static_cast<int64_t>(RunState::failed))
        .bind(3, now_ms())
        .run();
    note("the record of run " + std::to_string(seen) + " is lost");
    return;
  }
  if (present.run == 0 || is_ended(present.state)) return;
  database_
      .prepared(
          "UPDATE runs SET state = ?, ended_at_ms = ?, reason = 'the ledger was damaged and recovered' WHERE run = ?")
      .bind(1, static_cast<int64_t>(RunState::failed))
      .bind(2, now_ms())
      .bind(3, static_cast<int64_t>(present.run))
      .run();
  note("run " + std::to_string(present.run) +
       ", which had not ended, is recorded as failed; the next run lists everything");
}

void Rebuild::remove_unreadable() {
  std::vector<std::pair<int64_t, ItemId>> damaged;
  const auto on_damaged = [&](int64_t partition, const ItemId& id) { damaged.emplace_back(partition, id); };
  recount(database_, {}, 0, {.on_row = {}, .on_partition = {}, .on_damaged = on_damaged});
  for (const auto& [partition, id] : damaged) {
    database_.prepared("DELETE FROM items WHERE partition = ? AND key = ? AND version = ?")
        .bind(1, partition)
        .bind_blob(2, id.key)
        .bind_blob(3, id.version)
        .run();
  }
  if (!damaged.empty()) note(std::to_string(damaged.size()) + " rows of items meant nothing");
  const int64_t nameless = changed_by("DELETE FROM items WHERE partition NOT IN (SELECT partition FROM partitions)");
  if (nameless > 0) note(std::to_string(nameless) + " items are lost with the name of their partition");
  name_what_references_need();
  for (const char* table : {"failures", "waivers", "results", "uploads"}) {
    const std::string sql = std::string("DELETE FROM ") + table +
                            " WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.partition = " + table +
                            ".partition AND i.key = " + table + ".key AND i.version = " + table + ".version)";
    database_.execute(sql.c_str());
  }
  database_.execute(
      "DELETE FROM upload_parts WHERE (partition, key, version) NOT IN (SELECT partition, key, version FROM uploads)");
  // Every failed or vanished row has a failure, and every waived one who waived it: lists of them are read from there.
  database_.execute(
      "DELETE FROM waivers WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.partition = waivers.partition AND "
      "i.key = waivers.key AND i.version = waivers.version AND i.status & 1024 <> 0)");
  const int64_t unexplained = changed_by(
      "INSERT OR IGNORE INTO failures SELECT partition, key, version, error_class, 0, 'why it failed is lost', 0, 0, "
      "'', '', 0, 0, '' FROM items WHERE status & 7 IN (3, 5)");
  if (unexplained > 0) note("why " + std::to_string(unexplained) + " items failed is lost");
}

// A journal is the only way back: no row of it goes because a name is lost.
void Rebuild::name_what_references_need() {
  const int64_t partitions = changed_by(
      "INSERT INTO partitions (partition, name) SELECT partition, CAST('(its name is lost: ' || partition || ')' AS BLOB) "
      "FROM (SELECT partition FROM refs UNION SELECT item_partition FROM refs UNION SELECT partition FROM journal) "
      "WHERE partition IS NOT NULL AND partition NOT IN (SELECT partition FROM partitions)");
  if (partitions > 0) note("the names of " + std::to_string(partitions) + " partitions of references are lost");
  const int64_t catalogs = changed_by(
      "INSERT INTO catalogs (catalog, name) SELECT catalog, CAST('(its name is lost: ' || catalog || ')' AS BLOB) "
      "FROM (SELECT catalog FROM refs UNION SELECT catalog FROM journal) "
      "WHERE catalog NOT IN (SELECT catalog FROM catalogs)");
  if (catalogs > 0) note("the names of " + std::to_string(catalogs) + " catalogs are lost");
}

// A rollback goes through references: one that is lost is made of its newest journal record, as one whose value the next
// pass has to read.
void Rebuild::join_references_and_journal() {
  const int64_t meaningless = changed_by("DELETE FROM refs WHERE status < 0 OR status & 15 > 8");
  if (meaningless > 0) note(std::to_string(meaningless) + " rows of references meant nothing");
  const int64_t open = changed_by("UPDATE journal SET status = 0, observed = NULL WHERE status < 0 OR status & 15 > 4");
  if (open > 0) note("how " + std::to_string(open) + " switches ended is lost");
  const int64_t made = changed_by(
      "INSERT INTO refs SELECT j.catalog, j.record, j.field, j.partition, CASE WHEN j.status & 15 = 0 THEN j.old "
      "WHEN j.status & 16 THEN j.intended ELSE j.observed END, NULL, NULL, x'', x'', j.intended, "
      "32 | CASE j.status & 15 WHEN 0 THEN 2 WHEN 1 THEN 3 WHEN 2 THEN 0 WHEN 3 THEN 5 ELSE 4 END, 0, "
      "'its row was lost, its journal was not', j.generation, 0, 0 FROM journal j WHERE NOT EXISTS (SELECT 1 FROM refs r "
      "WHERE r.catalog = j.catalog AND r.record = j.record AND r.field = j.field) AND j.generation = (SELECT "
      "max(generation) FROM journal k WHERE k.catalog = j.catalog AND k.record = j.record AND k.field = j.field)");
  static_assert(no_item_flag == 32 && static_cast<int>(ReferenceState::intended) == 2 &&
                static_cast<int>(ReferenceState::updated) == 3 && static_cast<int>(ReferenceState::restored) == 4 &&
                static_cast<int>(ReferenceState::conflict) == 5);
  if (made > 0) note(std::to_string(made) + " references are known by their journal alone");
  const int64_t bare = changed_by(
      "UPDATE refs SET generation = coalesce((SELECT max(generation) FROM journal j WHERE j.catalog = refs.catalog AND "
      "j.record = refs.record AND j.field = refs.field), 0) WHERE generation > 0 AND NOT EXISTS (SELECT 1 FROM journal j "
      "WHERE j.catalog = refs.catalog AND j.record = refs.record AND j.field = refs.field AND "
      "j.generation = refs.generation)");
  if (bare > 0) note("the journal of " + std::to_string(bare) + " switches is lost: they cannot be taken back");
}

// What earlier runs settled cannot be told from rows: those counts stay as they were read.
void Rebuild::count_references(uint64_t run) {
  database_.execute("DELETE FROM reference_counts WHERE frame = 0 OR state NOT BETWEEN 0 AND 8");
  database_.execute(
      "INSERT INTO reference_counts SELECT 0, partition, status & 15, count(*) FROM refs GROUP BY partition, status & 15");
  database_.execute("INSERT INTO reference_counts SELECT 0, 0, state, sum(n) FROM reference_counts WHERE frame = 0 "
                    "GROUP BY state");
  if (run == 0) return;
  database_.prepared("DELETE FROM reference_counts WHERE frame = ?").bind(1, static_cast<int64_t>(run)).run();
  database_
      .prepared("INSERT INTO reference_counts SELECT run, 0, status >> 8 & 15, count(*) FROM refs WHERE run = ? "
                "GROUP BY status >> 8 & 15")
      .bind(1, static_cast<int64_t>(run))
      .run();
}

void Rebuild::write_counters(uint64_t frame, int64_t partition, Counters counted) {
  const Counters stored = read_counters(database_, frame, partition);
  database_.reset_statements();
  for (const Counter attempts : {Counter::attempts_total, Counter::attempts_failed}) {
    counted[attempts] = stored[attempts];
  }
  Statement& write = database_.prepared(
      "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  write.bind(1, static_cast<int64_t>(frame)).bind(2, partition);
  for (size_t i = 0; i < n_counters; ++i) write.bind(static_cast<int>(i) + 3, counted.values[i]);
  write.run();
}

void Rebuild::count(uint64_t run) {
  struct Found {
    int64_t partition;
    Key first_key, last_key;
    int64_t n_rows, n_pending;
  };
  std::vector<Found> segments;
  std::vector<std::pair<int64_t, FrameChanges>> partitions;
  const auto on_row = [&](int64_t partition, const ItemRecord& record) {
    const bool is_new = segments.empty() || segments.back().partition != partition;
    // Versions of a single key stay together.
    const bool is_full =
        !is_new && segments.back().n_rows >= rows_in_segment && segments.back().last_key != record.id.key;
    if (is_new || is_full) segments.push_back({partition, is_new ? Key() : record.id.key, {}, 0, 0});
    Found& segment = segments.back();
    segment.last_key = record.id.key;
    ++segment.n_rows;
    if (is_claimable(record, run)) ++segment.n_pending;
    if (!record.destination_key.empty()) write_target(database_, partition, record.id, record.destination_key, false);
  };
  const auto on_partition = [&](int64_t partition, const FrameChanges& counted) {
    partitions.emplace_back(partition, counted);
  };
  const Recounted counted =
      recount(database_, {}, run, {.on_row = on_row, .on_partition = on_partition, .on_damaged = {}});
  recovery_.items = counted.rows;
  for (const Found& segment : segments) {
    database_.prepared("INSERT INTO segments VALUES (?, ?, ?, ?, ?, NULL)")
        .bind(1, segment.partition)
        .bind_blob(2, segment.first_key)
        .bind_blob(3, segment.last_key)
        .bind(4, segment.n_rows)
        .bind(5, segment.n_pending)
        .run();
  }
  // What has no rows any more counts nothing, but the attempts that were made.
  database_.execute(
      "UPDATE counters SET excluded = 0, pending = 0, created = 0, updated = 0, unchanged = 0, verified = 0, "
      "failed = 0, waived = 0, vanished = 0, bytes_total = 0, bytes_done = 0 WHERE frame = 0 OR partition <> 0");
  for (const auto& [partition, changes] : partitions) {
    write_counters(0, partition, changes.migration);
    if (run != 0) write_counters(run, partition, changes.run);
  }
  write_counters(0, 0, counted.total.migration);
  if (run == 0) return;
  write_counters(run, 0, counted.total.run);
  database_.prepared("DELETE FROM classes WHERE frame = ?").bind(1, static_cast<int64_t>(run)).run();
  for (const auto& [error_class, n] : counted.classes) {
    if (n == 0) continue;
    database_.prepared("INSERT INTO classes VALUES (?, ?, ?)")
        .bind(1, static_cast<int64_t>(run))
        .bind(2, static_cast<int64_t>(error_class))
        .bind(3, n)
        .run();
  }
}

/// What the ledger is about. Errors: tracker (it cannot be read: then it is about nothing).
void copy_identity(Database& from, Database& to) {
  try {
    Statement row(from,
                  "SELECT migration, name, fingerprint, source, destination, source_url, destination_url, "
                  "created_at_ms, time_base_s, seq, last_event_at_ms FROM ledger");
    if (row.step()) {
      Statement write(to,
                      "UPDATE ledger SET migration = ?, name = ?, fingerprint = ?, source = ?, destination = ?, "
                      "source_url = ?, destination_url = ?, created_at_ms = ?, time_base_s = ?, seq = ?, "
                      "last_event_at_ms = ?");
      for (int i = 0; i < 11; ++i) row.bind_to(write, i + 1, i);
      write.run();
      return;
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::resource_exhausted) throw;
  }
  throw Error(ErrorCode::data_loss, ErrorClass::tracker,
              "not even what the ledger " + from.path() +
                  " is about can be read; begin with a new ledger: what is at the destination is found there");
}

/// The epoch stays above all that were; nobody holds it.
void copy_epoch(Database& from, Database& to) {
  Lease lease;
  try {
    lease = read_lease(from);
  } catch (const Error&) {
    lease.owner.epoch = 1U << 20;  // above what any owner had
  }
  Lease fresh;
  fresh.owner.epoch = lease.owner.epoch + 1;
  write_lease(to, fresh);
}

LockFile lock_of(Database& damaged) {
  std::optional<LockFile> lock = LockFile::try_lock(damaged.path() + ".lock");
  if (lock) return std::move(*lock);
  Lease lease;
  try {
    lease = read_lease(damaged);
  } catch (const Error&) {
    lease.is_held = false;  // the name is as damaged as the rest
  }
  throw locked_error(damaged.path(), lease, now_ms());
}

std::unique_ptr<Database> open_damaged(const std::string& path) {
  prepare_ledger_file(path, OpenMode::existing);
  auto database = std::make_unique<Database>(path, Database::Access::read_only);
  // Otherwise a view that cannot be parsed would keep all tables from being read.
  sqlite3_db_config(database->handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
  database->execute("PRAGMA writable_schema = ON");
  database->execute("PRAGMA mmap_size = 0");
  database->execute("PRAGMA cell_size_check = ON");
  if (database->value_of("PRAGMA application_id") != ledger_application_id) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::tracker, path + " is no waybill ledger");
  }
  if (database->value_of("PRAGMA user_version") > ledger_schema_version) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::tracker,
                path + " was written by a newer waybill; recover it with that one");
  }
  return database;
}

std::optional<int64_t> expected_items(Database& damaged) {
  try {
    Statement row(damaged,
                  "SELECT excluded + pending + created + updated + unchanged + failed + waived + vanished "
                  "FROM counters WHERE frame = 0 AND partition = 0");
    if (row.step()) return row.integer(0);
  } catch (const Error&) {
    return std::nullopt;
  }
  return std::nullopt;
}

void recover_into(Database& damaged, const std::string& into, Recovery& recovery) {
  const std::unique_ptr<Database> made = open_ledger_for_writing(into, OpenMode::create, nullptr);
  Transaction transaction(*made, Transaction::Kind::write);
  copy_identity(damaged, *made);
  copy_epoch(damaged, *made);
  for (const char* name : copied_tables) recovery.tables.push_back(salvage_table(damaged, *made, name));
  recovery.items_expected = expected_items(damaged);
  Rebuild(*made, recovery).run();
  Event event;
  event.at_ms = now_ms();
  event.run = present_run(*made).run;
  event.kind = EventKind::audit;
  event.level = LogLevel::warning;
  event.text = "recovered from the damaged ledger " + printable(damaged.path()) + " with " +
               std::to_string(recovery.items) + " items";
  if (recovery.items_expected) event.text += " of " + std::to_string(*recovery.items_expected);
  write_events(*made, {event});
  transaction.commit();
  made->execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace
}  // namespace internal

using namespace internal;

Recovery recover_ledger(std::string_view ledger, std::string_view into) {
  const std::string path = ledger_path(ledger);
  const std::string new_path = ledger_path(into);
  const std::unique_ptr<Database> damaged = open_damaged(path);
  const LockFile lock = lock_of(*damaged);
  struct stat info {};
  if (::lstat(new_path.c_str(), &info) == 0) {
    throw Error(ErrorCode::already_exists, ErrorClass::configuration,
                new_path + " is there already; name a new file for the recovered ledger");
  }
  Recovery recovery;
  try {
    recover_into(*damaged, new_path, recovery);
  } catch (...) {
    for (const char* suffix : {"", "-wal", "-shm", ".lock"}) ::unlink((new_path + suffix).c_str());
    throw;
  }
  return recovery;
}

}  // namespace waybill
