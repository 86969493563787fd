// SPDX-License-Identifier: Apache-2.0
//
// See reference_writer.hpp.
#include "trackers/sqlite/reference_writer.hpp"

#include <algorithm>

namespace waybill::internal {
namespace {

constexpr size_t max_remembered = 100'000;

size_t index_of(int64_t status) noexcept {
  return std::min<size_t>(static_cast<size_t>(status & reference_state_mask), n_reference_states - 1);
}

Statement& bind_optional_blob(Statement& statement, int index, const std::optional<std::string>& bytes) {
  return bytes ? statement.bind_blob(index, *bytes) : statement.bind_null(index);
}

}  // namespace

void ReferenceWriter::begin(uint64_t run) {
  run_ = run;
  changes_.clear();
  settled_ = {};
}

void ReferenceWriter::forget() noexcept {
  catalogs_.clear();
  labels_.clear();
}

int64_t ReferenceWriter::catalog_number(const std::string& name) {
  const auto known = catalogs_.find(name);
  if (known != catalogs_.end()) return known->second;
  Statement& find = database_.prepared("SELECT catalog FROM catalogs WHERE name = ?").bind_blob(1, name);
  int64_t number = 0;
  if (find.step()) {
    number = find.integer(0);
  } else {
    database_.prepared("INSERT INTO catalogs (name) VALUES (?)").bind_blob(1, name).run();
    number = sqlite3_last_insert_rowid(database_.handle());
  }
  catalogs_.emplace(name, number);
  return number;
}

void ReferenceWriter::label_partition(int64_t partition, const std::string& label) {
  if (label.empty()) return;
  if (labels_.size() >= max_remembered) labels_.clear();
  std::string& known = labels_[partition];
  if (known == label) return;
  database_.prepared("UPDATE partitions SET label = ?2 WHERE partition = ?1 AND label <> ?2")
      .bind(1, partition)
      .bind_text(2, label)
      .run();
  known = label;
}

int64_t ReferenceWriter::write(const ReferenceChange& change) {
  static constexpr const char* columns_sql =
      "INSERT INTO refs (catalog, record, field, partition, value, item_partition, item_key, item_version, stamp, "
      "intended, status, error_class, reason, generation, seen, run) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
  static constexpr const char* update_sql =
      "UPDATE refs SET (partition, value, item_partition, item_key, item_version, stamp, intended, status, error_class, "
      "reason, generation, seen, run) = (?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) "
      "WHERE catalog = ?1 AND record = ?2 AND field = ?3";
  const ReferenceRecord& record = change.record;
  const int64_t catalog = catalog_number(record.id.catalog);
  const int64_t partition = partition_number_(record.partition);
  label_partition(partition, record.partition_name);

  Statement& find =
      database_.prepared("SELECT partition, status, run FROM refs WHERE catalog = ? AND record = ? AND field = ?");
  find.bind(1, catalog).bind_blob(2, record.id.record).bind_blob(3, record.id.field);
  const bool is_known = find.step();
  int64_t settled = 0;
  int64_t run = 0;
  if (is_known) {
    const int64_t status = find.integer(1);
    --changes_[find.integer(0)][index_of(status)];
    settled = status >> settled_shift;
    run = find.integer(2);
    find.reset();
  }
  ++changes_[partition][index_of(static_cast<int64_t>(record.state))];
  if (change.is_settled && run_ != 0) {
    // It counts once in a run: as what it was settled in last.
    if (run == static_cast<int64_t>(run_)) --settled_[index_of(settled)];
    settled = static_cast<int64_t>(record.state);
    run = static_cast<int64_t>(run_);
    ++settled_[index_of(settled)];
  }

  const bool is_none = record.item == ItemId{};
  const bool is_value = record.intended && record.intended == record.value;
  const int64_t status = static_cast<int64_t>(record.state) | (is_value ? equal_flag : 0) | (is_none ? no_item_flag : 0) |
                         settled << settled_shift;
  Statement& write = database_.prepared(is_known ? update_sql : columns_sql);
  write.bind(1, catalog).bind_blob(2, record.id.record).bind_blob(3, record.id.field).bind(4, partition);
  bind_optional_blob(write, 5, record.value);
  if (!is_none && record.item.partition != record.partition) write.bind(6, partition_number_(record.item.partition));
  if (!is_none && record.item.key != record.value) write.bind_blob(7, record.item.key);
  write.bind_blob(8, record.item.version).bind_blob(9, record.stamp);
  if (!is_value) bind_optional_blob(write, 10, record.intended);
  write.bind(11, status)
      .bind(12, static_cast<int64_t>(record.error_class))
      .bind_text(13, record.reason)
      .bind(14, record.generation)
      .bind(15, static_cast<int64_t>(record.seen))
      .bind(16, run)
      .run();
  return partition;
}

void ReferenceWriter::write(const JournalRecord& record) {
  static constexpr const char* sql =
      "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, CASE WHEN ?9 IS NOT ?8 THEN ?9 END, "
      "?10 | CASE WHEN ?9 IS NOT NULL AND ?9 IS ?8 THEN 16 ELSE 0 END, ?11) "
      "ON CONFLICT (catalog, record, field, generation) DO UPDATE SET run = ?5, "
      "observed = CASE WHEN ?9 IS NOT intended THEN ?9 END, "
      "status = ?10 | CASE WHEN ?9 IS NOT NULL AND ?9 IS intended THEN 16 ELSE 0 END, at_ms = ?11";
  static_assert(equal_flag == 16);
  const int64_t catalog = catalog_number(record.id.catalog);
  const int64_t partition = partition_number_(record.partition);
  Statement& write = database_.prepared(sql);
  write.bind(1, catalog)
      .bind_blob(2, record.id.record)
      .bind_blob(3, record.id.field)
      .bind(4, record.generation)
      .bind(5, static_cast<int64_t>(record.run))
      .bind(6, partition);
  bind_optional_blob(write, 7, record.old);
  bind_optional_blob(write, 8, record.intended);
  bind_optional_blob(write, 9, record.observed);
  write.bind(10, static_cast<int64_t>(record.state)).bind(11, record.at_ms).run();
}

void ReferenceWriter::write(const CutoverPlanRecord& plan) {
  database_
      .prepared(
          "INSERT INTO plans (hash, pass, at_ms, reference_count, is_ready, gates, options) VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind_text(1, plan.hash)
      .bind(2, static_cast<int64_t>(plan.pass))
      .bind(3, plan.at_ms)
      .bind(4, plan.references)
      .bind(5, plan.is_ready ? 1 : 0)
      .bind_text(6, plan.gates)
      .bind_text(7, plan.options)
      .run();
}

void ReferenceWriter::write_counts() {
  ByState total{};
  for (const auto& [partition, change] : changes_) {
    for (size_t state = 0; state < total.size(); ++state) total[state] += change[state];
    write_counts_of(0, partition, change);
  }
  write_counts_of(0, 0, total);
  write_counts_of(run_, 0, settled_);
}

void ReferenceWriter::write_counts_of(uint64_t frame, int64_t partition, const ByState& change) {
  for (size_t state = 0; state < change.size(); ++state) {
    if (change[state] == 0) continue;
    database_
        .prepared("INSERT INTO reference_counts VALUES (?1, ?2, ?3, ?4) "
                  "ON CONFLICT (frame, partition, state) DO UPDATE SET n = n + ?4")
        .bind(1, static_cast<int64_t>(frame))
        .bind(2, partition)
        .bind(3, static_cast<int64_t>(state))
        .bind(4, change[state])
        .run();
  }
}

}  // namespace waybill::internal
