// SPDX-License-Identifier: Apache-2.0
//
// Pages of rows in order of (partition, key, version). One partition after the other, by name; within it one range of
// the tree. What failed or vanished is read from its own table, so that lists of failures never walk all rows.
#include <algorithm>

#include "trackers/sqlite/ledger_reader.hpp"
#include "trackers/sqlite/position.hpp"

namespace waybill::internal {
namespace {

/// Rows that one page looks at before it is returned even if it is not full: no reader holds a snapshot for long.
constexpr size_t max_examined = 50'000;

bool wants(const Query& query, const ItemRecord& record) {
  if (!query.states.empty() &&
      std::find(query.states.begin(), query.states.end(), record.state) == query.states.end()) {
    return false;
  }
  if (query.error_class && record.error_class != *query.error_class) return false;
  return !query.not_seen_since || record.run < *query.not_seen_since;
}

/// Whether only rows of the table of failures can be wanted.
bool wants_failures_only(const Query& query) {
  if (query.states.empty()) return query.error_class && *query.error_class != ErrorClass::none;
  return std::all_of(query.states.begin(), query.states.end(),
                     [](ItemState state) { return state == ItemState::failed || state == ItemState::vanished; });
}

std::optional<Failure> read_failure(Database& database, int64_t partition, const ItemId& id) {
  Statement& row = database.prepared(
      "SELECT error_class, code, message, retryable, http_status, provider_code, request_id, attempts, at_ms, endpoint "
      "FROM failures WHERE partition = ? AND key = ? AND version = ?");
  row.bind(1, partition).bind_blob(2, id.key).bind_blob(3, id.version);
  if (!row.step()) return std::nullopt;
  Failure failure;
  failure.error_class = static_cast<ErrorClass>(row.integer(0));
  failure.code = static_cast<ErrorCode>(row.integer(1));
  failure.message = row.text(2);
  failure.retryable = row.integer(3) != 0;
  failure.http_status = static_cast<int>(row.integer(4));
  failure.provider_code = row.text(5);
  failure.request_id = row.text(6);
  failure.attempts = static_cast<uint32_t>(row.integer(7));
  failure.at_ms = row.integer(8);
  failure.endpoint = row.text(9);
  return failure;
}

std::optional<Waiver> read_waiver(Database& database, int64_t partition, const ItemId& id) {
  Statement& row =
      database.prepared("SELECT who, why, at_ms FROM waivers WHERE partition = ? AND key = ? AND version = ?");
  row.bind(1, partition).bind_blob(2, id.key).bind_blob(3, id.version);
  if (!row.step()) return std::nullopt;
  return Waiver{row.text(0), row.text(1), row.integer(2)};
}

std::string read_result(Database& database, int64_t partition, const ItemId& id) {
  Statement& row = database.prepared("SELECT result FROM results WHERE partition = ? AND key = ? AND version = ?");
  row.bind(1, partition).bind_blob(2, id.key).bind_blob(3, id.version);
  return row.step() ? row.text(0) : std::string();
}

constexpr const char* all_sql = "SELECT key, version, " WAYBILL_ITEM_COLUMNS
                                " FROM items WHERE partition = ? AND (key, version) >= (?, ?) ORDER BY key, version";
constexpr const char* failures_sql = "SELECT k, v, " WAYBILL_ITEM_COLUMNS
                                     " FROM (SELECT partition AS p, key AS k, version AS v FROM failures)"
                                     " CROSS JOIN items i ON i.partition = p AND i.key = k AND i.version = v"
                                     " WHERE p = ? AND (k, v) >= (?, ?) ORDER BY k, v";
constexpr const char* results_sql = "SELECT k, v, " WAYBILL_ITEM_COLUMNS
                                    " FROM (SELECT partition AS p, key AS k, version AS v FROM results)"
                                    " CROSS JOIN items i ON i.partition = p AND i.key = k AND i.version = v"
                                    " WHERE p = ? AND (k, v) >= (?, ?) ORDER BY k, v";

}  // namespace

ScanPage read_page(Database& database, TimeBase base, const Query& query, const std::string& resume, size_t limit) {
  Position at;  // partition, key, version
  if (!resume.empty()) {
    at = to_position(resume);
  } else {
    at.first = query.partition.value_or("");
    at.second = query.prefix;
  }
  ScanPage page;
  size_t examined = 0;
  while (true) {
    Statement& next = database.prepared("SELECT partition, name FROM partitions WHERE name >= ? ORDER BY name LIMIT 1");
    if (!next.bind_blob(1, at.first).step() || (query.partition && next.bytes(1) != *query.partition)) {
      page.is_last = true;
      return page;
    }
    const int64_t partition = next.integer(0);
    const std::string name = next.text(1);
    if (name != at.first) at = {name, query.prefix, ""};
    next.reset();

    Statement& rows = database.prepared(query.has_result ? results_sql : wants_failures_only(query) ? failures_sql : all_sql);
    rows.bind(1, partition).bind_blob(2, at.second).bind_blob(3, at.third);
    while (rows.step()) {
      ScanRow row;
      row.record.id = {name, rows.text(0), rows.text(1)};
      if (!row.record.id.key.starts_with(query.prefix)) break;
      if (page.rows.size() >= limit || examined >= max_examined) {
        page.resume = to_text({name, row.record.id.key, row.record.id.version});
        return page;
      }
      ++examined;
      decode_row(database, rows, 2, base, row.record);
      if (!wants(query, row.record)) continue;
      const ItemState state = row.record.state;
      if (state == ItemState::failed || state == ItemState::vanished || state == ItemState::excluded) {
        row.failure = read_failure(database, partition, row.record.id);
      }
      if (query.has_result) row.result = read_result(database, partition, row.record.id);
      if (row.record.waived) row.waiver = read_waiver(database, partition, row.record.id);
      page.rows.push_back(std::move(row));
    }
    rows.reset();
    at = {name + '\0', query.prefix, ""};
  }
}

}  // namespace waybill::internal
