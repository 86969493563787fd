// SPDX-License-Identifier: Apache-2.0
//
// See reference_reader.hpp.
#include "trackers/sqlite/reference_reader.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/references.hpp"
#include "trackers/sqlite/position.hpp"
#include "trackers/sqlite/reference_writer.hpp"

namespace waybill::internal {
namespace {

/// Rows that one page looks at before it is returned even if it is not full: no reader holds a snapshot for long.
constexpr size_t max_examined = 50'000;

std::optional<int64_t> find_number(Database& database, const char* sql, const std::string& name) {
  Statement& find = database.prepared(sql).bind_blob(1, name);
  const std::optional<int64_t> number = find.step() ? std::optional(find.integer(0)) : std::nullopt;
  find.reset();
  return number;
}

std::optional<int64_t> find_partition(Database& database, const std::string& name) {
  return find_number(database, "SELECT partition FROM partitions WHERE name = ?", name);
}

/// Catalogs of ids; mostly one, many times.
class Catalogs {
 public:
  explicit Catalogs(Database& database) : database_(database) {}

  std::optional<int64_t> number_of(const std::string& name) {
    if (name_ != name) {
      number_ = find_number(database_, "SELECT catalog FROM catalogs WHERE name = ?", name);
      name_ = name;
    }
    return number_;
  }

 private:
  Database& database_;
  std::optional<std::string> name_;
  std::optional<int64_t> number_;
};

/// Names of the partitions that a page speaks of.
class Partitions {
 public:
  struct Names {
    std::string name;
    std::string label;
  };

  explicit Partitions(Database& database) : database_(database) {}

  const Names& of(int64_t partition) {
    const auto [entry, is_new] = known_.try_emplace(partition);
    if (!is_new) return entry->second;
    Statement& find = database_.prepared("SELECT name, label FROM partitions WHERE partition = ?").bind(1, partition);
    if (find.step()) entry->second = {find.text(0), find.text(1)};
    find.reset();
    return entry->second;
  }

 private:
  Database& database_;
  std::unordered_map<int64_t, Names> known_;
};

std::optional<std::string> optional_text(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.text(column);
}

#define WAYBILL_REFERENCE_COLUMNS                                                                                    \
  "partition, status, seen, run, value, item_partition, item_key, item_version, stamp, intended, error_class, reason, " \
  "generation"

// Of the columns above, which are `first` and those after it.
constexpr int at_status = 1;
constexpr int at_seen = 2;
constexpr int at_run = 3;

Error damaged(const Database& database, const char* what) {
  return Error(ErrorCode::data_loss, ErrorClass::tracker,
               database.path() + " is damaged (a row of " + what +
                   " has an impossible value); restore it from a copy, or save what can be read with: waybill db recover");
}

/// Everything of `record` but its id.
void decode_reference(Database& database, Partitions& partitions, const Statement& row, int first,
                      ReferenceRecord& record) {
  const int64_t status = row.integer(first + at_status);
  if ((status & reference_state_mask) >= n_reference_states || status < 0) throw damaged(database, "references");
  const Partitions::Names& names = partitions.of(row.integer(first));
  record.partition = names.name;
  record.partition_name = names.label;
  record.state = static_cast<ReferenceState>(status & reference_state_mask);
  record.seen = static_cast<uint64_t>(row.integer(first + at_seen));
  record.run = static_cast<uint64_t>(row.integer(first + at_run));
  record.value = optional_text(row, first + 4);
  if ((status & no_item_flag) == 0) {
    record.item.partition = row.is_null(first + 5) ? names.name : partitions.of(row.integer(first + 5)).name;
    record.item.key = row.is_null(first + 6) ? record.value.value_or("") : row.text(first + 6);
    record.item.version = row.text(first + 7);
  }
  record.stamp = row.text(first + 8);
  record.intended = (status & equal_flag) != 0 ? record.value : optional_text(row, first + 9);
  record.error_class = static_cast<ErrorClass>(row.integer(first + 10));
  record.reason = row.text(first + 11);
  record.generation = static_cast<uint32_t>(row.integer(first + 12));
}

#define WAYBILL_JOURNAL_COLUMNS "generation, run, partition, old, intended, observed, status, at_ms"

JournalRecord decode_journal(Database& database, Partitions& partitions, const Statement& row, const ReferenceId& id) {
  const int64_t status = row.integer(6);
  const int64_t state = status & reference_state_mask;
  if (state > static_cast<int64_t>(JournalState::restored) || status < 0) throw damaged(database, "the journal");
  JournalRecord record;
  record.id = id;
  record.generation = static_cast<uint32_t>(row.integer(0));
  record.run = static_cast<uint64_t>(row.integer(1));
  record.partition = partitions.of(row.integer(2)).name;
  record.old = optional_text(row, 3);
  record.intended = optional_text(row, 4);
  record.observed = (status & equal_flag) != 0 ? record.intended : optional_text(row, 5);
  record.state = static_cast<JournalState>(state);
  record.at_ms = row.integer(7);
  return record;
}

/// What of a query can be told from a row without reading its texts.
class Filter {
 public:
  Filter(const ReferenceQuery& query, std::optional<int64_t> partition) : query_(query), partition_(partition) {}

  bool wants(const Statement& row, int first) const {
    if (partition_ && row.integer(first) != *partition_) return false;
    if (query_.run && static_cast<uint64_t>(row.integer(first + at_run)) != *query_.run) return false;
    if (query_.not_seen_since && static_cast<uint64_t>(row.integer(first + at_seen)) >= *query_.not_seen_since) {
      return false;
    }
    const auto state = static_cast<ReferenceState>(row.integer(first + at_status) & reference_state_mask);
    return query_.states.empty() || std::find(query_.states.begin(), query_.states.end(), state) != query_.states.end();
  }

 private:
  const ReferenceQuery& query_;
  const std::optional<int64_t> partition_;
};

}  // namespace

std::vector<std::optional<ReferenceRecord>> read_references(Database& database, std::span<const ReferenceId> ids) {
  std::vector<std::optional<ReferenceRecord>> records;
  records.reserve(ids.size());
  Catalogs catalogs(database);
  Partitions partitions(database);
  for (const ReferenceId& id : ids) {
    auto& record = records.emplace_back();
    const std::optional<int64_t> catalog = catalogs.number_of(id.catalog);
    if (!catalog) continue;
    Statement& find = database.prepared("SELECT " WAYBILL_REFERENCE_COLUMNS
                                        " FROM refs WHERE catalog = ? AND record = ? AND field = ?");
    find.bind(1, *catalog).bind_blob(2, id.record).bind_blob(3, id.field);
    if (!find.step()) continue;
    record.emplace();
    record->id = id;
    decode_reference(database, partitions, find, 0, *record);
  }
  return records;
}

ReferenceRecordPage read_reference_page(Database& database, const ReferenceQuery& query, const std::string& resume,
                                        size_t limit) {
  ReferenceRecordPage page;
  Position at;  // catalog, record, field
  if (!resume.empty()) at = to_position(resume);
  const std::optional<int64_t> partition = query.partition ? find_partition(database, *query.partition) : std::nullopt;
  if (query.partition && !partition) {
    page.is_last = true;
    return page;
  }
  const Filter filter(query, partition);
  Partitions partitions(database);
  size_t examined = 0;
  while (true) {
    Statement& next = database.prepared("SELECT catalog, name FROM catalogs WHERE name >= ? ORDER BY name LIMIT 1");
    if (!next.bind_blob(1, at.first).step()) {
      page.is_last = true;
      return page;
    }
    const int64_t catalog = next.integer(0);
    const std::string name = next.text(1);
    next.reset();
    if (name != at.first) at = {name, "", ""};

    Statement& rows = database.prepared("SELECT record, field, " WAYBILL_REFERENCE_COLUMNS
                                        " FROM refs WHERE catalog = ? AND (record, field) >= (?, ?) "
                                        "ORDER BY record, field");
    rows.bind(1, catalog).bind_blob(2, at.second).bind_blob(3, at.third);
    while (rows.step()) {
      if (page.references.size() >= limit || examined >= max_examined) {
        page.resume = to_text({name, rows.text(0), rows.text(1)});
        return page;
      }
      ++examined;
      if (!filter.wants(rows, 2)) continue;
      ReferenceRecord& record = page.references.emplace_back();
      record.id = {name, rows.text(0), rows.text(1)};
      decode_reference(database, partitions, rows, 2, record);
    }
    rows.reset();
    at = {name + '\0', "", ""};
  }
}

std::vector<std::optional<JournalRecord>> read_newest_journal(Database& database, std::span<const ReferenceId> ids) {
  std::vector<std::optional<JournalRecord>> records;
  records.reserve(ids.size());
  Catalogs catalogs(database);
  Partitions partitions(database);
  for (const ReferenceId& id : ids) {
    auto& record = records.emplace_back();
    const std::optional<int64_t> catalog = catalogs.number_of(id.catalog);
    if (!catalog) continue;
    Statement& find = database.prepared("SELECT " WAYBILL_JOURNAL_COLUMNS
                                        " FROM journal WHERE catalog = ? AND record = ? AND field = ? "
                                        "ORDER BY generation DESC LIMIT 1");
    find.bind(1, *catalog).bind_blob(2, id.record).bind_blob(3, id.field);
    if (find.step()) record = decode_journal(database, partitions, find, id);
  }
  return records;
}

std::vector<JournalRecord> read_journal(Database& database, const ReferenceId& id) {
  std::vector<JournalRecord> records;
  const std::optional<int64_t> catalog = Catalogs(database).number_of(id.catalog);
  if (!catalog) return records;
  Partitions partitions(database);
  Statement& rows = database.prepared("SELECT " WAYBILL_JOURNAL_COLUMNS
                                      " FROM journal WHERE catalog = ? AND record = ? AND field = ? ORDER BY generation");
  rows.bind(1, *catalog).bind_blob(2, id.record).bind_blob(3, id.field);
  while (rows.step()) records.push_back(decode_journal(database, partitions, rows, id));
  return records;
}

std::optional<CutoverPlanRecord> read_cutover_plan(Database& database) {
  Statement& row = database.prepared(
      "SELECT hash, pass, at_ms, reference_count, is_ready, gates, options FROM plans ORDER BY plan DESC LIMIT 1");
  if (!row.step()) return std::nullopt;
  CutoverPlanRecord plan;
  plan.hash = row.text(0);
  plan.pass = static_cast<uint64_t>(row.integer(1));
  plan.at_ms = row.integer(2);
  plan.references = row.integer(3);
  plan.is_ready = row.integer(4) != 0;
  plan.gates = row.text(5);
  plan.options = row.text(6);
  return plan;
}

ReferenceAccounts read_reference_accounts(Database& database, uint64_t frame, int64_t partition) {
  ReferenceAccounts accounts;
  Statement& rows = database.prepared("SELECT state, n FROM reference_counts WHERE frame = ? AND partition = ?");
  rows.bind(1, static_cast<int64_t>(frame)).bind(2, partition);
  while (rows.step()) {
    const int64_t state = rows.integer(0);
    if (state < 0 || state >= n_reference_states) throw damaged(database, "the counts of references");
    add_references(accounts, static_cast<ReferenceState>(state), rows.integer(1));
  }
  return accounts;
}

}  // namespace waybill::internal
