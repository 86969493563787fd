// SPDX-License-Identifier: Apache-2.0
#include "connectors/sql_catalog/sql_catalog.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>

#include "waybill/item.hpp"

namespace waybill::sql_catalog {
namespace {

constexpr uint32_t max_batch = 500;
constexpr size_t page_references = 1'000;
constexpr size_t page_bytes = size_t{4} << 20;
constexpr size_t max_record_bytes = 1'024;

Error bad(const std::string& message) { return {ErrorCode::invalid_argument, ErrorClass::configuration, message}; }

/// The number that `text` is the only decimal form of.
std::optional<int64_t> number_of(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(number) != text) return std::nullopt;
  return number;
}

/// Finds the record ?1 by its index, and by nothing that only looks like it: '007' is not 7. A column without a type may
/// hold it as a number, ?2.
std::string where_record(const Config& config, const Table& table) {
  const std::string id = identifier(config.id);
  const std::string found = table.is_id_untyped ? id + table.id_collation + " IN (?1, ?2)" : id + table.id_collation + " = ?1";
  return found + " AND CAST(" + id + " AS TEXT) = ?1 COLLATE BINARY";
}

void bind_record(Statement& statement, const Table& table, const std::string& record) {
  statement.reset();
  statement.bind(1, std::string_view(record));
  if (!table.is_id_untyped) return;
  if (const auto number = number_of(record)) statement.bind(2, *number);
}

/// id, url, stamp, partition, partition_name, then names; null where there is no such column.
std::string selected(const Config& config) {
  std::string out = identifier(config.id) + ", " + identifier(config.url);
  for (const std::string& column : {config.stamp, config.partition, config.partition_name}) {
    out += column.empty() ? ", NULL" : ", " + identifier(column);
  }
  for (const std::string& column : config.names) out += ", " + identifier(column);
  return out;
}

ReferenceValue reference_of(const Statement& row, const Config& config, ReferenceId id) {
  ReferenceValue reference;
  reference.id = std::move(id);
  reference.value = row.optional_text(1);
  reference.stamp = row.text(2);
  reference.partition = row.text(3);
  reference.partition_name = row.text(4);
  for (size_t i = 0; i < config.names.size(); ++i) reference.names[config.names[i]] = row.text(static_cast<int>(5 + i));
  return reference;
}

size_t bytes_of(const ReferenceValue& reference) {
  size_t bytes = reference.id.record.size() + reference.partition.size() + reference.partition_name.size();
  if (reference.value) bytes += reference.value->size();
  for (const auto& [name, word] : reference.names) bytes += name.size() + word.size();
  return bytes;
}

/// Pages in the order of the id: a record that is there all along is passed over by none, whatever others do meanwhile.
/// The resume is the last id and its kind, "i7" or "t007".
class Lister final : public ReferenceLister {
 public:
  Lister(Config config, std::string identity, Since since, Context& context)
      : config_(std::move(config)),
        identity_(std::move(identity)),
        since_(std::move(since)),
        connection_(config_.path, Connection::Access::read, context),
        table_(inspect(connection_, config_)) {
    const std::string& resume = since_.resume;
    const bool is_number = resume.starts_with('i') && number_of(std::string_view(resume).substr(1));
    if (!resume.empty() && !resume.starts_with('t') && !is_number) throw bad("the resume of a listing is not one of " + identity_);
    expect_ids();
  }

  ReferencePage next(Context& context) override {
    context.check();
    connection_.use(context);
    Statement rows(connection_, sql());
    bind(rows);
    ReferencePage page;
    page.is_last = true;
    for (size_t bytes = 0; rows.step();) {
      const int type = rows.type(0);  // before it is read as text, which changes it
      const std::string record = record_of(rows, type);
      since_.resume = (type == SQLITE_INTEGER ? "i" : "t") + record;
      page.references.push_back(reference_of(rows, config_, {identity_, record, config_.url}));
      bytes += bytes_of(page.references.back());
      page.is_last = page.references.size() < page_references && bytes < page_bytes;
      if (!page.is_last) break;
    }
    page.resume = since_.resume;
    return page;
  }

 private:
  std::string sql() const {
    const std::string id = identifier(config_.id) + table_.id_collation;
    std::string where = since_.resume.empty() ? id + " IS NOT NULL" : id + " > ?1";
    if (!since_.stamp.empty() && !config_.stamp.empty()) {
      where += " AND (" + identifier(config_.stamp) + " >= ?2 OR " + identifier(config_.stamp) + " IS NULL)";
    }
    return "SELECT " + selected(config_) + " FROM main." + identifier(config_.table) + " WHERE " + where + " ORDER BY " + id +
           " LIMIT " + std::to_string(page_references);
  }

  void bind(Statement& rows) const {
    if (!since_.resume.empty()) {
      const std::string_view last = std::string_view(since_.resume).substr(1);
      if (since_.resume.front() == 'i') {
        rows.bind(1, number_of(last).value_or(0));
      } else {
        rows.bind(1, last);
      }
    }
    if (since_.stamp.empty() || config_.stamp.empty()) return;
    const auto number = table_.is_stamp_untyped ? number_of(since_.stamp) : std::nullopt;
    if (number) {
      rows.bind(2, *number);
    } else {
      rows.bind(2, std::string_view(since_.stamp));
    }
  }

  std::string record_of(const Statement& row, int type) const {
    const char* kind = type == SQLITE_FLOAT ? "a fraction" : type == SQLITE_BLOB ? "bytes" : nullptr;
    if (kind != nullptr) throw bad(where() + " holds " + kind + "; an id is a whole number or text");
    std::string record = row.text(0);
    if (record.size() > max_record_bytes) throw bad(where() + " holds an id of more than 1,024 bytes");
    return record;
  }

  std::string where() const { return "the column " + printable(config_.id) + " of " + printable(config_.table); }

  /// Null is never behind another id, and of two equal ones in a view the page's end could lose one.
  void expect_ids() {
    const std::string id = identifier(config_.id);
    const std::string from = " FROM main." + identifier(config_.table);
    Statement without(connection_, "SELECT 1" + from + " WHERE " + id + " IS NULL LIMIT 1");
    if (without.step()) throw bad(where() + " is null in some records; every record needs an id");
    if (!table_.is_view) return;
    Statement twice(connection_, "SELECT " + id + from + " GROUP BY " + id + " HAVING count(*) > 1 LIMIT 1");
    if (twice.step()) throw bad(where() + " is not unique: there are two records " + printable(twice.text(0)));
  }

  const Config config_;
  const std::string identity_;
  Since since_;
  Connection connection_;
  const Table table_;
};

Table inspect_updatable(Connection& connection, const Config& config) {
  Table table = inspect(connection, config);
  if (table.read_only_because.empty()) return table;
  throw Error(ErrorCode::failed_precondition, ErrorClass::permission, printable(config.table) + " " + table.read_only_because);
}

/// The updates of one call, on one connection.
class Updates {
 public:
  Updates(const Config& config, Connection& connection)
      : config_(config),
        connection_(connection),
        table_(inspect_updatable(connection, config)),
        set_(connection, "UPDATE OR ABORT " + name() + " SET " + url() + " = ?3 WHERE " + where_one() + " AND typeof(" + url() +
                             ") = 'text' AND " + url() + " = ?4 COLLATE BINARY"),
        set_null_(connection, "UPDATE OR ABORT " + name() + " SET " + url() + " = ?3 WHERE " + where_one() + " AND " + url() + " IS NULL"),
        look_(connection, "SELECT " + url() + " FROM " + name() + " WHERE " + where_record(config, table_)) {}

  /// All in one transaction; where one of them undoes it, in two of half the size, and so on: that one fails by itself.
  void in_transactions(std::span<const ReferenceUpdate> updates, Context& context, std::vector<UpdateResult>& results) {
    context.check();
    UpdateResult undone;
    if (const auto done = in_one_transaction(updates, undone)) {
      results.insert(results.end(), done->begin(), done->end());
    } else if (updates.size() == 1) {
      results.push_back(undone);
    } else {
      const size_t half = updates.size() / 2;
      in_transactions(updates.first(half), context, results);
      in_transactions(updates.subspan(half), context, results);
    }
  }

 private:
  /// Nothing where the database itself undid it (a trigger that rolls back, a constraint that is
  /// looked at when it ends): `undone` says by what.
  std::optional<std::vector<UpdateResult>> in_one_transaction(std::span<const ReferenceUpdate> updates, UpdateResult& undone) {
    Transaction transaction(connection_, "BEGIN IMMEDIATE");
    std::vector<UpdateResult> results;
    for (const ReferenceUpdate& update : updates) {
      results.push_back(apply(update));
      if (connection_.is_in_transaction()) continue;
      undone = results.back();
      return std::nullopt;
    }
    const int code = transaction.try_commit();
    if (code == SQLITE_OK) return results;
    if ((code & 0xff) != SQLITE_CONSTRAINT) throw connection_.error(code);
    undone = refused(ErrorClass::unsupported);
    return std::nullopt;
  }

  std::string name() const { return "main." + identifier(config_.table); }
  std::string url() const { return identifier(config_.url); }
  /// Of two records with an id that looks the same, neither.
  std::string where_one() const {
    const std::string where = where_record(config_, table_);
    if (!table_.is_id_untyped) return where;
    return where + " AND (SELECT count(*) FROM " + name() + " WHERE " + where + ") = 1";
  }

  UpdateResult apply(const ReferenceUpdate& update) {
    Statement& statement = update.expected ? set_ : set_null_;
    bind_record(statement, table_, update.id.record);
    statement.bind(3, update.value);
    if (update.expected) statement.bind(4, std::string_view(*update.expected));
    const int code = statement.try_step();
    const int64_t changes = connection_.changes();
    if (code == SQLITE_DONE) {
      statement.reset();
      return changes == 1 ? UpdateResult{UpdateResult::Status::updated, ErrorClass::none, "", false} : not_changed(update);
    }
    if ((code & 0xff) == SQLITE_CONSTRAINT) {
      const bool is_too_long = code == SQLITE_CONSTRAINT_CHECK && table_.max_value_length != 0;
      UpdateResult result = refused(is_too_long ? ErrorClass::too_large : ErrorClass::unsupported);
      statement.reset();
      return result;
    }
    Error error = connection_.error(code);
    statement.reset();
    throw error;
  }

  /// The column, and what the database said.
  UpdateResult refused(ErrorClass error_class) const {
    return {UpdateResult::Status::failed, error_class,
            printable(config_.table) + "." + printable(config_.url) + ": " + connection_.detail(), false};
  }

  UpdateResult not_changed(const ReferenceUpdate& update) {
    const auto failed = [&](ErrorClass error_class, const std::string& why) {
      return UpdateResult{UpdateResult::Status::failed, error_class, why, false};
    };
    bind_record(look_, table_, update.id.record);
    if (!look_.step()) return failed(ErrorClass::missing, "there is no such record any more");
    const int type = look_.type(0);
    const std::optional<std::string> value = look_.optional_text(0);
    const bool is_twice = look_.step();
    look_.reset();
    if (is_twice) return failed(ErrorClass::unsupported, "there are two records with this id, one a number and one text");
    if (value != update.expected) return {UpdateResult::Status::conflict, ErrorClass::none, "", false};
    if (type != SQLITE_TEXT && type != SQLITE_NULL) {
      return failed(ErrorClass::unsupported, printable(config_.url) + " holds a number or bytes, and no text: it is left as it is");
    }
    return failed(ErrorClass::unsupported, "a trigger of " + printable(config_.table) + " left the value as it was");
  }

  const Config& config_;
  Connection& connection_;
  const Table table_;
  Statement set_;
  Statement set_null_;
  Statement look_;
};

void expect_right(const std::string& path, int right, const char* what) {
  if (::faccessat(AT_FDCWD, path.c_str(), right, AT_EACCESS) == 0) return;
  throw system_error(errno, printable(path) + what);
}

}  // namespace

SqlCatalog::SqlCatalog(Config config) : config_(std::move(config)), identity_(config_.identity()) {}

Catalog::Capabilities SqlCatalog::capabilities() const {
  Capabilities can{Conditional::exact, max_batch, 0};
  try {
    Connection connection(config_.path, Connection::Access::read, Context::background());
    can.max_value_length = inspect(connection, config_).max_value_length;
  } catch (const Error&) {
    // check() says what is wrong
  }
  return can;
}

void SqlCatalog::check(CatalogAccess access, Context& context) {
  {
    Connection connection(config_.path, Connection::Access::read, context);
    inspect(connection, config_);
    if (access == CatalogAccess::read) return;
    inspect_updatable(connection, config_);
  }
  expect_right(config_.path, W_OK, " cannot be written");
  expect_right(std::filesystem::path(config_.path).parent_path().string(), W_OK | X_OK,
               " cannot be written, and SQLite keeps its journal there");
  const Connection connection(config_.path, Connection::Access::write, context);
  if (!connection.is_read_only()) return;
  throw Error(ErrorCode::permission_denied, ErrorClass::permission, printable(config_.path) + " cannot be written");
}

std::unique_ptr<ReferenceLister> SqlCatalog::list(const Since& since, Context& context) {
  return std::make_unique<Lister>(config_, identity_, since, context);
}

void SqlCatalog::check_id(const ReferenceId& id) const {
  if (id.catalog == identity_ && id.field == config_.url) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::internal,
              "the field " + printable(id.field) + " of " + printable(id.catalog) + " is not one of " + identity_);
}

std::vector<UpdateResult> SqlCatalog::update(std::span<const ReferenceUpdate> updates, Context& context) {
  for (const ReferenceUpdate& update : updates) check_id(update.id);
  if (updates.size() > max_batch) throw Error(ErrorCode::invalid_argument, ErrorClass::internal, "more updates than max_batch");
  Connection connection(config_.path, Connection::Access::write, context);
  Updates all(config_, connection);
  std::vector<UpdateResult> results;
  all.in_transactions(updates, context, results);
  return results;
}

std::vector<ReferenceValue> SqlCatalog::read(std::span<const ReferenceId> ids, Context& context) {
  for (const ReferenceId& id : ids) check_id(id);
  if (ids.size() > max_batch) throw Error(ErrorCode::invalid_argument, ErrorClass::internal, "more ids than max_batch");
  Connection connection(config_.path, Connection::Access::read, context);
  const Table table = inspect(connection, config_);
  const Transaction transaction(connection, "BEGIN");  // one look at the file for all
  Statement row(connection, "SELECT " + selected(config_) + " FROM main." + identifier(config_.table) + " WHERE " +
                                where_record(config_, table));
  std::vector<ReferenceValue> values;
  for (const ReferenceId& id : ids) {
    bind_record(row, table, id.record);
    if (row.step()) {
      values.push_back(reference_of(row, config_, id));
      if (!row.step()) continue;
      throw bad("there are two records " + printable(id.record) + " in " + printable(config_.table) + ", one a number and one text");
    }
    values.emplace_back().id = id;
    values.back().is_gone = true;
  }
  return values;
}

Connector sql_catalog_connector() {
  Connector connector;
  connector.open_catalog = [](const Url& url) { return std::make_shared<SqlCatalog>(Config::parse(url)); };
  return connector;
}

}  // namespace waybill::sql_catalog
