// SPDX-License-Identifier: Apache-2.0
//
// See targets.hpp.
#include "trackers/sqlite/targets.hpp"

#include <algorithm>
#include <charconv>

namespace waybill::internal {
namespace {

constexpr const char* page_sql = "SELECT d, p, k, v, " WAYBILL_ITEM_COLUMNS
                                 " FROM (SELECT destination_key AS d, partition AS p, key AS k, version AS v FROM targets)"
                                 " CROSS JOIN items i ON i.partition = p AND i.key = k AND i.version = v"
                                 " WHERE (d, p, k, v) >= (?, ?, ?, ?) ORDER BY d, p, k, v";

/// Where a page begins, inclusive.
struct Position {
  Key destination_key;
  int64_t partition = 0;
  Key key;
  std::string version;
};

// "partition:length:length:", of the destination key and of the key, and the three.
std::string to_text(const Position& at) {
  return std::to_string(at.partition) + ':' + std::to_string(at.destination_key.size()) + ':' + std::to_string(at.key.size()) +
         ':' + at.destination_key + at.key + at.version;
}

Position to_position(std::string_view text) {
  uint64_t numbers[3] = {};
  bool is_good = true;
  for (uint64_t& number : numbers) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    is_good = is_good && error == std::errc() && end != text.data() + text.size() && *end == ':';
    if (!is_good) break;
    text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  }
  const auto [partition, of_target, of_key] = numbers;
  if (!is_good || of_target > text.size() || of_key > text.size() - of_target) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "the position to go on from is not one of a scan over destination keys");
  }
  return {Key(text.substr(0, of_target)), static_cast<int64_t>(partition), Key(text.substr(of_target, of_key)),
          std::string(text.substr(of_target + of_key))};
}

Statement& bind_target(Statement& statement, const Key& destination_key, int64_t partition, const Key& key,
                       const std::string& version) {
  return statement.bind_blob(1, destination_key).bind(2, partition).bind_blob(3, key).bind_blob(4, version);
}

Key known_target(Database& database, int64_t partition, const ItemId& id) {
  Statement& find = database.prepared("SELECT more FROM items WHERE partition = ? AND key = ? AND version = ?");
  find.bind(1, partition).bind_blob(2, id.key).bind_blob(3, id.version);
  return find.step() && !find.is_null(0) ? destination_key_in(database, find.bytes(0)) : Key();
}

}  // namespace

bool has_targets(Database& database) { return database.value_of("SELECT EXISTS (SELECT 1 FROM targets)") != 0; }

void write_target(Database& database, int64_t partition, const ItemId& id, const Key& destination_key, bool is_known) {
  const Key known = is_known ? known_target(database, partition, id) : Key();
  if (known == destination_key) return;
  if (!known.empty()) {
    Statement& remove = database.prepared(
        "DELETE FROM targets WHERE destination_key = ? AND partition = ? AND key = ? AND version = ?");
    bind_target(remove, known, partition, id.key, id.version).run();
  }
  if (destination_key.empty()) return;
  Statement& insert = database.prepared("INSERT OR IGNORE INTO targets VALUES (?, ?, ?, ?)");
  bind_target(insert, destination_key, partition, id.key, id.version).run();
}

TargetPage read_targets(Database& database, TimeBase base, const Key& from, const std::string& resume, size_t limit) {
  const Position at = resume.empty() ? Position{from, 0, "", ""} : to_position(resume);
  TargetPage page;
  std::pair<int64_t, std::string> partition{0, ""};
  Statement& rows = database.prepared(page_sql);
  bind_target(rows, at.destination_key, at.partition, at.key, at.version);
  while (rows.step()) {
    const int64_t number = rows.integer(1);
    if (page.items.size() == std::max<size_t>(limit, 1)) {
      page.resume = to_text({rows.text(0), number, rows.text(2), rows.text(3)});
      return page;
    }
    if (number != partition.first) {
      Statement& name = database.prepared("SELECT name FROM partitions WHERE partition = ?").bind(1, number);
      partition = {number, name.step() ? name.text(0) : std::string()};
      name.reset();
    }
    ItemRecord record;
    record.id = {partition.second, rows.text(2), rows.text(3)};
    decode_row(database, rows, 4, base, record);
    page.items.push_back(std::move(record));
  }
  page.is_last = true;
  return page;
}

}  // namespace waybill::internal
