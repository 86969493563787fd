// SPDX-License-Identifier: Apache-2.0
#include "connectors/sql_catalog/table.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "base/nearest.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::sql_catalog {
namespace {

Error bad(const std::string& message) { return {ErrorCode::invalid_argument, ErrorClass::configuration, message}; }

struct Column {
  std::string name;
  std::string type;  // upper case, as it is declared
  int64_t key = 0;   // its place in the primary key, from 1; 0: not of it
  bool is_generated = false;
};

// By the rules of SQLite's own for the affinity of a column.
bool is_untyped(const Column& column) {
  const auto has = [&](const char* word) { return column.type.find(word) != std::string::npos; };
  if (has("INT") || has("CHAR") || has("CLOB") || has("TEXT")) return false;
  return has("BLOB") || column.type.empty() || column.type == "ANY";
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::vector<std::string> all_texts(Connection& connection, const std::string& sql, std::string_view parameter = {}) {
  Statement statement(connection, sql);
  if (!parameter.empty()) statement.bind(1, parameter);
  std::vector<std::string> texts;
  while (statement.step()) texts.push_back(statement.text(0));
  return texts;
}

std::string listed(const std::vector<std::string>& names) {
  constexpr size_t most = 12;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) out += (i == 0 ? "" : ", ") + printable(names[i]);
  return names.size() > most ? out + ", …" : out;
}

std::vector<Column> columns_of(Connection& connection, const std::string& table) {
  Statement statement(connection, "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, 'main')");
  statement.bind(1, std::string_view(table));
  std::vector<Column> columns;
  while (statement.step()) {
    columns.push_back({statement.text(0), upper(statement.text(1)), statement.integer(2), statement.integer(3) >= 2});
  }
  return columns;
}

const Column& find_column(const std::vector<Column>& columns, const std::string& name, const Config& config) {
  for (const Column& column : columns) {
    if (internal::equals_ignoring_case(column.name, name)) return column;
  }
  std::vector<std::string> names;
  for (const Column& column : columns) names.push_back(column.name);
  std::string near = internal::did_you_mean(name, names);
  if (near.empty()) near = "; it has " + listed(names);
  throw bad("the table " + printable(config.table) + " of " + printable(config.path) + " has no column \"" + printable(name) +
            "\"" + near);
}

/// The collation of an index that makes the column alone unique; nothing where there is none.
std::optional<std::string> unique_index(Connection& connection, const std::string& table, const std::string& column) {
  Statement statement(connection,
                      "SELECT max(x.coll) FROM pragma_index_list(?1, 'main') AS l, pragma_index_xinfo(l.name, 'main') AS x"
                      " WHERE l.\"unique\" AND NOT l.partial AND x.key GROUP BY l.name"
                      " HAVING count(*) = 1 AND max(x.name) = ?2 COLLATE NOCASE");
  statement.bind(1, std::string_view(table));
  statement.bind(2, std::string_view(column));
  if (!statement.step()) return std::nullopt;
  return statement.text(0);
}

std::string collation_of(Connection& connection, const std::string& table, const std::string& column) {
  const char* collation = nullptr;
  const int code = sqlite3_table_column_metadata(connection.handle(), "main", table.c_str(), column.c_str(), nullptr,
                                                 &collation, nullptr, nullptr, nullptr);
  return code == SQLITE_OK && collation != nullptr ? collation : "BINARY";
}

/// Lower case, without spaces and the quotes of names.
std::string plain(std::string_view sql) {
  std::string out = internal::to_lower(sql);
  std::erase_if(out, [](char c) { return std::string_view(" \t\r\n\"`[]").find(c) != std::string_view::npos; });
  return out;
}

/// The number between `before` and ')', each time; the least of them, 0 where there is none.
uint64_t least_number(std::string_view sql, const std::string& before) {
  uint64_t least = 0;
  for (size_t at = 0; (at = sql.find(before, at)) != std::string_view::npos;) {
    at += before.size();
    const size_t end = std::min(sql.find(')', at), sql.size());
    const uint64_t number = internal::parse_uint(sql.substr(at, end - at)).value_or(0);
    if (number != 0 && (least == 0 || number < least)) least = number;
  }
  return least;
}

/// Where it is plain: VARCHAR(200), or CHECK (length(url) <= 200).
uint64_t length_bound(const Column& column, const std::string& create) {
  const uint64_t declared = plain(column.type).ends_with(')') ? least_number(plain(column.type), "char(") : 0;
  const uint64_t checked = least_number(plain(create), "check(length(" + plain(column.name) + ")<=");
  return declared == 0 || (checked != 0 && checked < declared) ? checked : declared;
}

void expect_unique(Connection& connection, const Config& config, const std::vector<Column>& columns, const Column& id,
                   const std::string& table, Table& found) {
  const auto keys = std::count_if(columns.begin(), columns.end(), [](const Column& column) { return column.key > 0; });
  if (const auto collation = unique_index(connection, table, id.name)) {
    if (!internal::equals_ignoring_case(*collation, collation_of(connection, table, id.name))) {
      found.id_collation = " COLLATE " + identifier(*collation);
    }
  } else if (!(id.key == 1 && keys == 1)) {
    throw bad("the column " + printable(id.name) + " of " + printable(config.table) +
              " is not unique by itself; name the primary key, or a column with a unique index");
  }
}

}  // namespace

Config Config::parse(const Url& url) {
  Config config;
  if (!url.host.empty() || url.path.size() < 2 || url.path.find('\0') != std::string::npos) {
    throw bad("a catalog in SQLite is written sqlite:///path/crm.db?table=…&id=…&url=…, with the whole path");
  }
  std::map<std::string, std::string*> known = {{"table", &config.table},         {"id", &config.id},
                                               {"url", &config.url},             {"partition", &config.partition},
                                               {"stamp", &config.stamp},         {"partition_name", &config.partition_name}};
  std::string names;
  known["names"] = &names;
  for (const auto& [name, value] : url.query) {
    const auto place = known.find(name);
    if (place == known.end()) {
      std::vector<std::string> words;
      for (const auto& [word, at] : known) words.push_back(word);
      throw bad("unknown parameter \"" + printable(name) + "\" of a catalog" + internal::did_you_mean(name, words) +
                " (known are " + listed(words) + ")");
    }
    if (value.empty() || value.find('\0') != std::string::npos) {
      throw bad("the parameter " + name + " of a catalog is empty; give it a name, or leave it out");
    }
    *place->second = value;
  }
  for (const char* const needed : {"table", "id", "url"}) {
    if (!known.at(needed)->empty()) continue;
    throw bad(std::string("the parameter ") + needed + " of a catalog is missing: sqlite:///path/crm.db?table=…&id=…&url=…");
  }
  for (size_t at = 0; !names.empty() && at <= names.size();) {
    const size_t end = std::min(names.find(',', at), names.size());
    const std::string name(internal::trim(std::string_view(names).substr(at, end - at)));
    if (name.empty()) throw bad("the parameter names of a catalog is a list of columns: names=file_name,created");
    config.names.push_back(name);
    at = end + 1;
  }
  std::error_code ignored;  // a path that cannot be looked at is found out by check()
  const auto real = std::filesystem::weakly_canonical(url.path, ignored);
  config.path = ignored ? url.path : real.string();
  return config;
}

std::string Config::identity() const {
  const auto name = [](const std::string& text) { return internal::encode_query(internal::to_lower(text)); };
  return "sqlite:" + internal::encode_path(path) + "?table=" + name(table) + "&id=" + name(id) + "&url=" + name(url);
}

Table inspect(Connection& connection, const Config& config) {
  Statement statement(connection,
                      "SELECT name, type, sql FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE");
  statement.bind(1, std::string_view(config.table));
  if (!statement.step()) {
    const auto names = all_texts(connection,
                                 "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view')"
                                 " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name");
    std::string near = internal::did_you_mean(config.table, names);
    if (near.empty()) near = names.empty() ? "; it is empty" : "; it has " + listed(names);
    throw bad(printable(config.path) + " has no table \"" + printable(config.table) + "\"" + near);
  }
  const std::string name = statement.text(0);
  Table table;
  table.is_view = statement.text(1) == "view";
  const std::string create = statement.text(2);

  const std::vector<Column> columns = columns_of(connection, name);
  const Column& id = find_column(columns, config.id, config);
  const Column& url = find_column(columns, config.url, config);
  for (const std::string& one : config.names) find_column(columns, one, config);
  for (const std::string& one : {config.partition, config.partition_name}) {
    if (!one.empty()) find_column(columns, one, config);
  }
  if (!config.stamp.empty()) table.is_stamp_untyped = is_untyped(find_column(columns, config.stamp, config));
  if (internal::equals_ignoring_case(id.name, url.name)) throw bad("id and url are the same column " + printable(url.name));

  table.is_id_untyped = is_untyped(id);
  table.max_value_length = length_bound(url, create);
  if (table.is_view) {
    table.read_only_because = "is a view: it can be read, not updated; name the table behind it";
  } else {
    expect_unique(connection, config, columns, id, name, table);
    if (url.is_generated) table.read_only_because = "computes its column " + printable(url.name) + ": it cannot be updated";
  }
  return table;
}

}  // namespace waybill::sql_catalog
