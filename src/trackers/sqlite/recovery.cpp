// SPDX-License-Identifier: Apache-2.0
//
// A new ledger of what can be read of a damaged one. See waybill/maintenance.hpp.
//
// A table is read from its beginning until a page cannot be read, then from its end backwards, and what lies between is
// looked into at points that halve it: each seek goes down the tree anew, and so around the damaged page. What can be
// counted from rows is not copied but counted.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/lease.hpp"
#include "trackers/sqlite/ledger_file.hpp"
#include "trackers/sqlite/ledger_reader.hpp"
#include "trackers/sqlite/ledger_writer.hpp"
#include "trackers/sqlite/lock_file.hpp"
#include "trackers/sqlite/recount.hpp"
#include "trackers/sqlite/schema.hpp"
#include "waybill/maintenance.hpp"

namespace waybill {
namespace internal {
namespace {

/// Tables whose rows are copied, those that others refer to first. All others are counted anew, or live as long as an
/// owner does.
constexpr const char* copied_tables[] = {"runs",         "partitions", "items",  "failures", "waivers",  "uploads",
                                         "upload_parts", "findings",   "events", "rates",    "counters", "classes"};
constexpr int max_probes = 20'000;  ///< looks into the damaged parts of one table
constexpr int max_barren = 6;       ///< halvings in a row that find nothing: up to 128 looks for each damaged page
constexpr int64_t rows_in_segment = 50'000;

using Value = std::variant<int64_t, std::string>;
using Place = std::vector<Value>;  ///< a primary key

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// The bytes that keys are made of. Halving counts in them: keys of digits are then as close as digits are.
class Alphabet {
 public:
  void add(const std::string& text) {
    for (const char c : text) is_in_[static_cast<unsigned char>(c)] = true;
  }

  /// Halfway between two strings of these bytes, read as fractions; `b` where there is nothing before it.
  std::string middle(const std::string& a, const std::string& b) const {
    std::string letters;
    std::array<unsigned, 256> rank{};
    for (size_t c = 0; c < is_in_.size(); ++c) {
      if (!is_in_[c]) continue;
      letters += static_cast<char>(c);
      rank[c] = static_cast<unsigned>(letters.size());  // 0: the string has ended
    }
    const auto base = static_cast<unsigned>(letters.size() + 1);
    const size_t size = std::max(a.size(), b.size()) + 1;
    const auto digit = [&](const std::string& text, size_t i) {
      return i < text.size() ? rank[static_cast<unsigned char>(text[i])] : 0U;
    };
    std::vector<unsigned> sum(size + 1);
    for (size_t i = size; i-- > 0;) {
      const unsigned added = digit(a, i) + digit(b, i) + sum[i + 1];
      sum[i + 1] = added % base;
      sum[i] = added / base;
    }
    std::string half;
    unsigned rest = sum[0];
    for (size_t i = 0; i < size; ++i) {
      const unsigned value = rest * base + sum[i + 1];
      if (value / 2 == 0) break;
      half += letters[value / 2 - 1];
      rest = value % 2;
    }
    return half > a && half < b ? half : b;
  }

 private:
  std::array<bool, 256> is_in_{};
};

/// A place between two others; the later one where there is nothing between.
Place middle(const Place& a, const Place& b, const Alphabet& alphabet) {
  Place half;
  bool is_split = false;
  for (size_t i = 0; i < b.size(); ++i) {
    const bool is_number = std::holds_alternative<int64_t>(b[i]);
    if (is_split) {
      half.push_back(is_number ? Value(INT64_MIN) : Value(std::string()));
    } else if (a[i] == b[i]) {
      half.push_back(b[i]);
    } else if (is_number) {
      const int64_t low = std::get<int64_t>(a[i]);
      const int64_t high = std::get<int64_t>(b[i]);
      half.emplace_back(high - low > 1 ? low + (high - low) / 2 : high);
      is_split = true;
    } else {
      half.emplace_back(alphabet.middle(std::get<std::string>(a[i]), std::get<std::string>(b[i])));
      is_split = true;
    }
  }
  return half > a && half < b ? half : b;
}

/// Copies one table from a damaged ledger into a new one.
class TableCopy {
 public:
  TableCopy(Database& from, Database& to, const std::string& name) : from_(from), to_(to) {
    table_.name = name;
    std::vector<std::string> known;
    Statement there(from_, ("SELECT name FROM pragma_table_info('" + name + "')").c_str());
    while (there.step()) known.push_back(there.text(0));
    std::vector<std::pair<int64_t, std::string>> keys;
    Statement columns(to_, ("SELECT name, pk FROM pragma_table_info('" + name + "') ORDER BY cid").c_str());
    while (columns.step()) {
      if (std::find(known.begin(), known.end(), columns.bytes(0)) == known.end()) continue;
      columns_.push_back(columns.text(0));
      if (columns.integer(1) > 0) keys.emplace_back(columns.integer(1), columns.text(0));
    }
    std::sort(keys.begin(), keys.end());
    for (auto& [position, column] : keys) keys_.push_back(column);
  }

  Recovery::Table run() {
    if (keys_.empty()) {  // an earlier version had no such table
      return table_;
    }
    const std::optional<Place> last = read(std::nullopt, std::nullopt, true);
    if (!is_broken_) return table_;
    table_.is_whole = false;
    const std::optional<Place> first = read(std::nullopt, last, false);
    if (last && first && *last < *first) probe(*last, *first, 0);
    return table_;
  }

 private:
  /// Reads forwards from `low` to `high`, or backwards from there, both exclusively; copies what it meets, and gives the
  /// last place that it has come to. is_broken_ says whether something ended it.
  std::optional<Place> read(const std::optional<Place>& high, const std::optional<Place>& low, bool is_forward);
  /// Looks between two places; the last `barren` looks that led here found nothing.
  void probe(const Place& low, const Place& high, int barren);
  void copy(const Statement& row);

  Database& from_;
  Database& to_;
  Recovery::Table table_;
  std::vector<std::string> columns_;
  std::vector<std::string> keys_;
  std::unique_ptr<Statement> insert_;
  Alphabet alphabet_;
  bool is_broken_ = false;
  int n_probes_ = 0;
};

void bind(Statement& statement, int first, const Place& place) {
  for (const Value& value : place) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
      statement.bind(first++, *number);
    } else {
      statement.bind_blob(first++, std::get<std::string>(value));
    }
  }
}

std::optional<Place> TableCopy::read(const std::optional<Place>& high, const std::optional<Place>& low,
                                     bool is_forward) {
  const std::string keys = joined(keys_);
  std::string marks;
  for (size_t i = 0; i < keys_.size(); ++i) marks += i == 0 ? "?" : ", ?";
  std::string sql = "SELECT " + joined(columns_) + ", " + keys + " FROM " + table_.name;
  if (low) sql += " WHERE (" + keys + ") > (" + marks + ")";
  if (high) sql += std::string(low ? " AND" : " WHERE") + " (" + keys + ") < (" + marks + ")";
  sql += " ORDER BY ";
  for (size_t i = 0; i < keys_.size(); ++i) sql += (i == 0 ? "" : ", ") + keys_[i] + (is_forward ? "" : " DESC");
  std::optional<Place> reached;
  is_broken_ = false;
  try {
    Statement rows(from_, sql.c_str());
    int next = 1;
    if (low) {
      bind(rows, next, *low);
      next += static_cast<int>(low->size());
    }
    if (high) bind(rows, next, *high);
    const int n_columns = static_cast<int>(columns_.size());
    while (rows.step()) {
      Place place;
      for (int i = 0; i < static_cast<int>(keys_.size()); ++i) {
        if (!rows.is_blob(n_columns + i)) {
          place.emplace_back(rows.integer(n_columns + i));
          continue;
        }
        alphabet_.add(std::get<std::string>(place.emplace_back(rows.text(n_columns + i))));
      }
      // A damaged tree may go in circles.
      if (reached && (is_forward ? place <= *reached : place >= *reached)) {
        is_broken_ = true;
        return reached;
      }
      copy(rows);
      reached = std::move(place);
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::resource_exhausted) throw;
    is_broken_ = true;
  }
  return reached;
}

void TableCopy::probe(const Place& low, const Place& high, int barren) {
  if (barren > max_barren || ++n_probes_ > max_probes) return;
  const Place half = middle(low, high, alphabet_);
  if (half == high) return;
  const std::optional<Place> above = read(high, half, true);
  const bool is_above_whole = !is_broken_;
  const std::optional<Place> below = read(half, low, false);
  const bool is_below_whole = !is_broken_;
  const int next = above || below ? 0 : barren + 1;
  if (!is_below_whole) probe(low, below.value_or(half), next);
  if (!is_above_whole) probe(above.value_or(half), high, next);
}

void TableCopy::copy(const Statement& row) {
  if (!insert_) {
    std::string marks;
    for (size_t i = 0; i < columns_.size(); ++i) marks += i == 0 ? "?" : ", ?";
    const std::string sql =
        "INSERT OR IGNORE INTO " + table_.name + " (" + joined(columns_) + ") VALUES (" + marks + ")";
    insert_ = std::make_unique<Statement>(to_, sql.c_str());
  }
  insert_->reset();
  for (int i = 0; i < static_cast<int>(columns_.size()); ++i) row.bind_to(*insert_, i + 1, i);
  try {
    insert_->run();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::internal) throw;
    table_.is_whole = false;  // of another type than its column
    return;
  }
  const int64_t n = to_.changes();
  if (n == 0) table_.is_whole = false;  // a value is missing that has to be there
  table_.rows += n;
}

/// The work after copying: what can be counted is counted, what refers to nothing goes.
class Rebuild {
 public:
  Rebuild(Database& database, Recovery& recovery) : database_(database), recovery_(recovery) {}

  void run() {
    complete_runs();
    remove_unreadable();
    const uint64_t run = present_run(database_).run;
    count(run);
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
  void count(uint64_t run);
  void write_counters(uint64_t frame, int64_t partition, Counters counted);

  Database& database_;
  Recovery& recovery_;
};

// A run that had not ended would not list again what is lost; one that is not there would be numbered anew.
void Rebuild::complete_runs() {
  const int64_t seen = database_.value_of("SELECT coalesce(max(status >> 24), 0) FROM items");
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
  for (const char* table : {"failures", "waivers", "uploads"}) {
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
  for (const char* name : copied_tables) recovery.tables.push_back(TableCopy(damaged, *made, name).run());
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
