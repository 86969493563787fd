// SPDX-License-Identifier: Apache-2.0
//
// Check, backup, vacuum and retention of a ledger's file. See waybill/maintenance.hpp; recovery is in recovery.cpp.
#include "waybill/maintenance.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <tuple>
#include <utility>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/ledger_file.hpp"
#include "trackers/sqlite/ledger_reader.hpp"
#include "trackers/sqlite/ledger_writer.hpp"
#include "trackers/sqlite/ownership.hpp"
#include "trackers/sqlite/recount.hpp"
#include "trackers/sqlite/schema.hpp"
#include "waybill/redaction.hpp"

namespace waybill {
namespace internal {
namespace {

constexpr size_t max_problems = 100;
/// Nothing here beats the heart: whoever looks sees the lock, and has no reason to think that we are stopped.
constexpr std::chrono::hours maintenance_lease{24};
constexpr const char* counter_names[] = {"excluded", "pending",  "created",     "updated",        "unchanged",
                                         "verified", "failed",   "waived",      "vanished",       "bytes_total",
                                         "bytes_done", "attempts_total", "attempts_failed"};
constexpr size_t n_counted = static_cast<size_t>(Counter::attempts_total);  ///< attempts are not in rows

int64_t size_of(const std::string& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

bool exists(const std::string& path) noexcept {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

/// A ledger that this call owns until it ends.
class Owned {
 public:
  explicit Owned(const std::string& path)
      : database_(open_ledger_for_writing(path, OpenMode::existing, nullptr)),
        ownership_(take_ownership(*database_, path + ".lock", {.lease = maintenance_lease})) {}
  ~Owned() {
    try {
      Transaction transaction(*database_, Transaction::Kind::write);
      database_->prepared("UPDATE lease SET is_held = 0 WHERE epoch = ?")
          .bind(1, static_cast<int64_t>(ownership_.epoch))
          .run();
      transaction.commit();
    } catch (const Error&) {
      // Where it cannot be written, the free lock says the same.
    }
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  Database& database() noexcept { return *database_; }

 private:
  const std::unique_ptr<Database> database_;
  const Ownership ownership_;
};

/// The result of `function` in a read transaction on a connection of its own.
template <typename Function>
std::invoke_result_t<Function, Database&> read_ledger(const std::string& path, Function function) {
  for (int round = 0;; ++round) {
    bool is_immutable = false;
    const std::unique_ptr<Database> database = open_ledger_for_reading(path, is_immutable);
    Transaction transaction(*database, Transaction::Kind::read);
    auto result = function(*database);
    transaction.commit();
    // A writer that came meanwhile may have changed the file under an immutable connection.
    if (!is_immutable || !exists(path + "-wal") || round == 10) return result;
  }
}

/// One check of one ledger, within a read transaction.
class Check {
 public:
  Check(Database& database, LedgerCheck& result) : database_(database), result_(result) {}

  void run() {
    guarded([&] { check_pages(); });
    guarded([&] { check_rows(); });
    guarded([&] { check_tables(); });
    guarded([&] { check_references(); });
  }

 private:
  struct Stored {
    Segment segment;
    int64_t n_rows = 0;
    int64_t n_pending = 0;
  };

  void problem(const std::string& text) {
    if (result_.problems.size() < max_problems) result_.problems.push_back(text);
  }
  template <typename Part>
  void guarded(Part part) {
    try {
      part();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::data_loss) throw;
      problem(error.message());
    }
  }
  void expect_none(const char* sql, const std::string& what) {
    const int64_t n = database_.value_of(sql);
    if (n != 0) problem(std::to_string(n) + " " + what);
  }

  void check_pages();
  void check_rows();
  void check_tables();
  void check_references();
  void check_counters(const std::string& where, uint64_t frame, int64_t partition, const Counters& counted);
  void check_sums(uint64_t frame);
  void read_segments();
  void pass_segment();

  Database& database_;
  LedgerCheck& result_;
  uint64_t run_ = 0;
  std::vector<Stored> segments_;
  size_t at_ = 0;  // the segment that rows are counted in
};

void Check::check_pages() {
  Statement pages(database_, "PRAGMA integrity_check(20)");
  while (pages.step()) {
    if (pages.bytes(0) != "ok") problem("pages: " + printable(pages.bytes(0)));
  }
}

void Check::read_segments() {
  Statement rows(database_,
                 "SELECT partition, first_key, last_key, n_rows, n_pending FROM segments "
                 "ORDER BY partition, first_key");
  while (rows.step()) {
    Stored& stored = segments_.emplace_back();
    stored.segment.partition = rows.integer(0);
    stored.segment.first_key = rows.text(1);
    stored.segment.last_key = rows.text(2);
    stored.segment.n_rows = rows.integer(3);
    stored.segment.n_pending = rows.integer(4);
  }
}

void Check::pass_segment() {
  const auto& [segment, n_rows, n_pending] = segments_[at_++];
  if (segment.n_rows == n_rows && segment.n_pending == n_pending) return;
  problem("the queue's index says " + std::to_string(segment.n_rows) + " rows, " + std::to_string(segment.n_pending) +
          " of them pending, from key " + shown_key(segment.first_key) + " of partition " +
          std::to_string(segment.partition) + " on; there are " + std::to_string(n_rows) + " and " +
          std::to_string(n_pending));
}

void Check::check_counters(const std::string& where, uint64_t frame, int64_t partition, const Counters& counted) {
  const Counters stored = read_counters(database_, frame, partition);
  for (size_t i = 0; i < n_counted; ++i) {
    if (stored.values[i] == counted.values[i]) continue;
    problem("the accounts of " + where + " say " + std::to_string(stored.values[i]) + " " + counter_names[i] +
            ", its rows " + std::to_string(counted.values[i]));
  }
}

// Partitions without rows are counted here, too.
void Check::check_sums(uint64_t frame) {
  Counters sum;
  Statement rows(database_,
                 "SELECT total(excluded), total(pending), total(created), total(updated), total(unchanged), "
                 "total(verified), total(failed), total(waived), total(vanished), total(bytes_total), "
                 "total(bytes_done) FROM counters WHERE frame = ? AND partition <> 0");
  rows.bind(1, static_cast<int64_t>(frame));
  if (!rows.step()) return;
  const Counters all = read_counters(database_, frame);
  for (size_t i = 0; i < n_counted; ++i) {
    if (rows.integer(static_cast<int>(i)) == all.values[i]) continue;
    problem("the accounts of the partitions sum to " + std::to_string(rows.integer(static_cast<int>(i))) + " " +
            counter_names[i] + " in frame " + std::to_string(frame) + ", their total says " +
            std::to_string(all.values[i]));
  }
}

void Check::check_rows() {
  run_ = present_run(database_).run;
  const TimeBase base = read_time_base(database_);
  database_.reset_statements();
  read_segments();
  const auto on_row = [&](int64_t partition, const ItemRecord& record) {
    const auto is_next = [&] {
      if (at_ + 1 >= segments_.size()) return false;
      const Segment& next = segments_[at_ + 1].segment;
      return std::pair(next.partition, next.first_key) <= std::pair(partition, record.id.key);
    };
    while (is_next()) pass_segment();
    Stored* stored = at_ < segments_.size() ? &segments_[at_] : nullptr;
    if (stored == nullptr || stored->segment.partition != partition || record.id.key < stored->segment.first_key ||
        record.id.key > stored->segment.last_key) {
      problem("the queue's index has no place for key " + shown_key(record.id.key) + " of partition " +
              std::to_string(partition));
      return;
    }
    ++stored->n_rows;
    if (is_claimable(record, run_)) ++stored->n_pending;
  };
  const auto on_partition = [&](int64_t partition, const FrameChanges& counted) {
    const std::string name = "partition " + std::to_string(partition);
    check_counters(name, 0, partition, counted.migration);
    if (run_ != 0) check_counters(name + " in run " + std::to_string(run_), run_, partition, counted.run);
  };
  const auto on_damaged = [&](int64_t partition, const ItemId& id) {
    problem("the row of key " + shown_key(id.key) + " of partition " + std::to_string(partition) + " is damaged");
  };
  const Recounted counted =
      recount(database_, base, run_, {.on_row = on_row, .on_partition = on_partition, .on_damaged = on_damaged});
  while (at_ < segments_.size()) pass_segment();
  result_.items = counted.rows;
  check_counters("the migration", 0, 0, counted.total.migration);
  check_sums(0);
  if (run_ == 0) return;
  check_counters("run " + std::to_string(run_), run_, 0, counted.total.run);
  check_sums(run_);
  std::map<ErrorClass, int64_t> classes = counted.classes;
  Statement stored(database_, "SELECT error_class, n FROM classes WHERE frame = ?");
  stored.bind(1, static_cast<int64_t>(run_));
  while (stored.step()) classes[static_cast<ErrorClass>(stored.integer(0))] -= stored.integer(1);
  for (const auto& [error_class, difference] : classes) {
    if (difference == 0) continue;
    problem(std::string("the number of failed items of class ") + to_string(error_class) + " is wrong");
  }
  const int64_t explained = database_.value_of(
      "SELECT count(*) FROM failures f JOIN items i ON i.partition = f.partition AND i.key = f.key AND "
      "i.version = f.version WHERE i.status & 7 IN (3, 5)");
  if (explained != counted.with_failure) {
    problem(std::to_string(counted.with_failure - explained) + " failed or vanished items do not say why");
  }
}

void Check::check_tables() {
  result_.events = database_.value_of("SELECT count(*) FROM events");
  expect_none("SELECT count(*) FROM events WHERE seq > (SELECT seq FROM ledger)",
              "events are newer than the ledger's last commit");
  expect_none("SELECT count(*) FROM (SELECT DISTINCT partition FROM segments) "
              "WHERE partition NOT IN (SELECT partition FROM partitions)",
              "partitions have no name");
  expect_none("SELECT count(*) FROM failures f LEFT JOIN items i ON i.partition = f.partition AND i.key = f.key AND "
              "i.version = f.version WHERE i.key IS NULL",
              "failures are of no item");
  expect_none("SELECT count(*) FROM waivers w LEFT JOIN items i ON i.partition = w.partition AND i.key = w.key AND "
              "i.version = w.version WHERE i.key IS NULL OR i.status & 1024 = 0",
              "waivers are of no waived item");
  expect_none("SELECT count(*) FROM targets t LEFT JOIN items i ON i.partition = t.partition AND i.key = t.key AND "
              "i.version = t.version WHERE i.key IS NULL",
              "destination keys are of no item");
  expect_none("SELECT count(*) FROM results r LEFT JOIN items i ON i.partition = r.partition AND i.key = r.key AND "
              "i.version = r.version WHERE i.key IS NULL OR i.status & 7 NOT IN (1, 2)",
              "results are of no done item");
  expect_none("WITH counted AS (SELECT run, kind, count(*) AS n FROM findings GROUP BY run, kind), "
              "stored AS (SELECT run, kind, n FROM finding_counts) SELECT count(*) FROM ("
              "SELECT * FROM (SELECT * FROM counted EXCEPT SELECT * FROM stored) UNION "
              "SELECT * FROM (SELECT * FROM stored EXCEPT SELECT * FROM counted))",
              "numbers of findings are wrong");
  const int64_t claimed = database_.value_of("SELECT coalesce(max(status >> 24), 0) FROM items");
  if (claimed <= static_cast<int64_t>(run_)) return;
  problem("items are of run " + std::to_string(claimed) + ", which is not there");
}

// Counts that have come to nothing may be there as zeros.
void Check::check_references() {
  expect_none("WITH counted AS (SELECT partition, status & 15 AS state, count(*) AS n FROM refs GROUP BY 1, 2), "
              "stored AS (SELECT partition, state, n FROM reference_counts WHERE frame = 0 AND partition <> 0 AND n <> 0), "
              "total AS (SELECT state, n FROM reference_counts WHERE frame = 0 AND partition = 0 AND n <> 0), "
              "summed AS (SELECT state, sum(n) AS n FROM counted GROUP BY state) SELECT count(*) FROM ("
              "SELECT * FROM (SELECT * FROM counted EXCEPT SELECT * FROM stored) UNION ALL "
              "SELECT * FROM (SELECT * FROM stored EXCEPT SELECT * FROM counted) UNION ALL "
              "SELECT 0, * FROM (SELECT * FROM summed EXCEPT SELECT * FROM total) UNION ALL "
              "SELECT 0, * FROM (SELECT * FROM total EXCEPT SELECT * FROM summed))",
              "numbers of references are wrong");
  expect_none("WITH present AS (SELECT coalesce(max(run), 0) AS run FROM runs), "
              "counted AS (SELECT status >> 8 & 15 AS state, count(*) AS n FROM refs, present "
              "WHERE refs.run = present.run AND present.run <> 0 GROUP BY 1), "
              "stored AS (SELECT state, n FROM reference_counts, present WHERE frame = present.run AND n <> 0 "
              "AND present.run <> 0) SELECT count(*) FROM ("
              "SELECT * FROM (SELECT * FROM counted EXCEPT SELECT * FROM stored) UNION ALL "
              "SELECT * FROM (SELECT * FROM stored EXCEPT SELECT * FROM counted))",
              "numbers of references that the run settled are wrong");
  expect_none("SELECT count(*) FROM refs WHERE generation > 0 AND NOT EXISTS (SELECT 1 FROM journal j WHERE "
              "j.catalog = refs.catalog AND j.record = refs.record AND j.field = refs.field AND "
              "j.generation = refs.generation)",
              "references have no journal of their switch");
  expect_none("SELECT count(*) FROM (SELECT catalog FROM refs UNION SELECT catalog FROM journal) "
              "WHERE catalog NOT IN (SELECT catalog FROM catalogs)",
              "catalogs have no name");
}

/// The file names of a ledger's backups: stem-YYYYMMDDTHHMMSSZ, where one second has several a number, and extension.
struct BackupName {
  std::string time;
  uint64_t number = 1;
  std::string name;

  static std::optional<BackupName> parse(const std::string& name, std::string_view stem, std::string_view extension) {
    std::string_view rest = name;
    const bool is_long = rest.size() >= stem.size() + 17 + extension.size();
    if (!is_long || !rest.starts_with(stem) || !rest.ends_with(extension)) return {};
    rest.remove_prefix(stem.size());
    rest.remove_suffix(extension.size());
    std::string shape(rest.substr(0, 17));
    std::replace_if(shape.begin(), shape.end(), [](char c) { return c >= '0' && c <= '9'; }, '0');
    if (shape != "-00000000T000000Z") return {};
    BackupName found{.time = std::string(rest.substr(1, 16)), .number = 1, .name = name};
    rest.remove_prefix(17);
    if (rest.empty()) return found;
    const std::optional<uint64_t> number = rest.starts_with('-') ? parse_uint(rest.substr(1)) : std::nullopt;
    if (!number) return {};
    found.number = *number;
    return found;
  }
};

/// The oldest first.
std::vector<BackupName> backups_in(const std::filesystem::path& folder, const std::string& stem,
                                   const std::string& extension) {
  std::vector<BackupName> found;
  std::error_code failed;  // the making of the backup says why
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    if (entry.symlink_status(failed).type() != std::filesystem::file_type::regular) continue;
    auto name = BackupName::parse(entry.path().filename().string(), stem, extension);
    if (name) found.push_back(std::move(*name));
  }
  std::sort(found.begin(), found.end(), [](const BackupName& a, const BackupName& b) {
    return std::tie(a.time, a.number) < std::tie(b.time, b.number);
  });
  return found;
}

/// Copies what `source` reads into the empty file at `path`.
void copy_pages(Database& source, const std::string& path) {
  Database target(path, Database::Access::read_write);
  sqlite3_backup* backup = sqlite3_backup_init(target.handle(), "main", source.handle(), "main");
  if (backup == nullptr) throw target.error(sqlite3_errcode(target.handle()));
  sqlite3_backup_step(backup, -1);
  const int code = sqlite3_backup_finish(backup);
  if (code != SQLITE_OK) throw target.error(code);
}

void check_copy(const std::string& ledger, const std::string& path, int64_t seq) {
  bool is_immutable = false;
  const std::unique_ptr<Database> copy = open_ledger_for_reading(path, is_immutable);
  Statement pages(*copy, "PRAGMA integrity_check(1)");
  const bool is_whole = pages.step() && pages.bytes(0) == "ok" && copy->value_of("SELECT seq FROM ledger") == seq;
  if (is_whole) return;
  throw Error(ErrorCode::data_loss, ErrorClass::tracker,
              "no backup is made of " + ledger + ", which is damaged (or its copy at " + path +
                  " was); see waybill db check");
}

}  // namespace
}  // namespace internal

using namespace internal;

LedgerCheck check_ledger(std::string_view ledger) {
  const std::string path = ledger_path(ledger);
  LedgerCheck result;
  try {
    result = read_ledger(path, [&](Database& database) {
      LedgerCheck found;
      Check(database, found).run();
      return found;
    });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::data_loss) throw;
    result.problems.push_back(error.message());
  }
  result.file_bytes = size_of(path) + size_of(path + "-wal");
  return result;
}

LedgerBackup backup_ledger(std::string_view ledger, std::string_view folder, std::optional<int> keep) {
  if (keep && *keep < 1) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "keep is at least 1: the backup just made");
  }
  const std::filesystem::path path(ledger_path(ledger));
  const std::filesystem::path into = folder.empty() ? path.parent_path() : std::filesystem::path(folder);
  const std::filesystem::path place = into.empty() ? "." : into;
  const std::string stem = path.stem().string();
  const std::string extension = path.extension().string();
  const std::string time = format_iso8601_basic(now_ms() / 1000);
  uint64_t number = 0;  // the highest of this second, so that the order of names is that of time
  for (const BackupName& other : backups_in(place, stem, extension)) {
    if (other.time == time) number = std::max(number, other.number);
  }
  const std::string ordinal = number == 0 ? "" : "-" + std::to_string(number + 1);
  const std::string made = (into / (stem + "-" + time + ordinal + extension)).string();

  const std::string partial = made + ".partial";
  ::unlink(partial.c_str());
  prepare_ledger_file(partial, OpenMode::create);
  try {
    const int64_t seq = read_ledger(path.string(), [&](Database& database) {
      const int64_t at = database.value_of("SELECT seq FROM ledger");
      copy_pages(database, partial);
      return at;
    });
    check_copy(path.string(), partial, seq);
    if (::rename(partial.c_str(), made.c_str()) != 0) throw system_error(errno, "renaming " + partial);
  } catch (...) {
    for (const char* suffix : {"", "-journal", "-wal", "-shm"}) ::unlink((partial + suffix).c_str());
    throw;
  }
  LedgerBackup backup{.path = made, .file_bytes = size_of(made), .removed = {}};
  if (!keep) return backup;
  const std::vector<BackupName> all = backups_in(place, stem, extension);
  for (size_t i = 0; i + static_cast<size_t>(*keep) < all.size(); ++i) {
    std::error_code failed;
    const std::filesystem::path old = into / all[i].name;
    if (old != made && std::filesystem::remove(old, failed)) backup.removed.push_back(old.string());
  }
  return backup;
}

LedgerVacuum vacuum_ledger(std::string_view ledger) {
  const std::string path = ledger_path(ledger);
  Owned owned(path);
  Database& database = owned.database();
  database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  LedgerVacuum result;
  result.bytes_before = size_of(path);
  database.execute("VACUUM");
  database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  result.bytes_after = size_of(path);
  return result;
}

int64_t prune_events(std::string_view ledger, const Retention& kept, std::string_view who) {
  if (!kept.since_ms && !kept.last) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "say which events are kept: by their age or by their number");
  }
  if (kept.last && *kept.last < 0) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "the number of events to keep is below 0");
  }
  Owned owned(ledger_path(ledger));
  Database& database = owned.database();
  Transaction transaction(database, Transaction::Kind::write);
  // The newest event that goes, of those that may; beyond the last one where fewer are there.
  int64_t newest = 0;
  if (kept.last) {
    Statement& row =
        database.prepared("SELECT seq FROM events WHERE kind <> ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2");
    row.bind(1, static_cast<int64_t>(EventKind::audit)).bind(2, *kept.last);
    if (row.step()) newest = row.integer(0);
  }
  database.prepared("DELETE FROM events WHERE kind <> ?1 AND (at_ms < ?2 OR seq <= ?3)")
      .bind(1, static_cast<int64_t>(EventKind::audit))
      .bind(2, kept.since_ms.value_or(INT64_MIN))
      .bind(3, newest)
      .run();
  const int64_t removed = database.changes();
  if (removed > 0) {
    Event event;
    event.at_ms = now_ms();
    event.run = present_run(database).run;
    event.kind = EventKind::audit;
    event.level = LogLevel::info;
    event.text = std::to_string(removed) + (removed == 1 ? " event" : " events") + " removed by " + printable(who);
    if (kept.since_ms) event.text += ", from before " + format_rfc3339(*kept.since_ms);
    if (kept.last) event.text += ", all but the last " + std::to_string(*kept.last);
    write_events(database, {event});
  }
  transaction.commit();
  return removed;
}

}  // namespace waybill
