// SPDX-License-Identifier: Apache-2.0
//
// A connection to somebody else's SQLite database: calls end with their Context, wait a while where another program
// writes, and fail with errors that name the file.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "waybill/context.hpp"
#include "waybill/error.hpp"

namespace waybill::sql_catalog {

/// `name` as an identifier of SQL.
std::string identifier(std::string_view name);

/// *Thread safety:* one thread at a time.
class Connection {
 public:
  enum class Access { read, write };

  /// Opens a file that is there. A connection that reads cannot write, whatever it is asked.
  /// Errors: missing, permission, configuration (a folder, no SQLite database).
  Connection(std::string path, Access access, Context& context);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Calls obey `context` from now on, which has to outlive them.
  void use(Context& context) noexcept { context_ = &context; }
  /// Runs SQL without parameters and results.
  void execute(const char* sql);
  /// The error for a result code that an operation just returned.
  Error error(int code);
  /// SQLite's own words for it, in one line.
  std::string detail() const;
  int64_t changes() const noexcept { return sqlite3_changes64(handle_); }
  bool is_in_transaction() const noexcept { return sqlite3_get_autocommit(handle_) == 0; }
  bool is_read_only() const noexcept { return sqlite3_db_readonly(handle_, "main") == 1; }
  const std::string& path() const noexcept { return path_; }
  sqlite3* handle() const noexcept { return handle_; }

 private:
  static int on_busy(void* self, int tries) noexcept;
  static int on_progress(void* self) noexcept;

  const std::string path_;
  Context* context_;
  std::chrono::steady_clock::time_point busy_since_;
  sqlite3* handle_ = nullptr;
};

/// A prepared statement: bind by position from 1, step, read columns from 0.
class Statement {
 public:
  Statement(Connection& connection, const std::string& sql);
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void reset() noexcept;
  /// Text is not copied: it stays valid until the statement is reset.
  void bind(int index, std::string_view text) noexcept;
  void bind(int index, int64_t number) noexcept { sqlite3_bind_int64(statement_, index, number); }
  void bind(int index, const std::optional<std::string>& text) noexcept {
    if (text) bind(index, std::string_view(*text));
  }
  /// True: a row is there. Errors: as Connection::error.
  bool step();
  /// step() that gives SQLite's result code.
  int try_step() noexcept { return sqlite3_step(statement_); }

  /// SQLITE_INTEGER, SQLITE_TEXT, …
  int type(int column) const noexcept { return sqlite3_column_type(statement_, column); }
  int64_t integer(int column) const noexcept { return sqlite3_column_int64(statement_, column); }
  /// A number so that nothing of it is lost, text as it is, null as "".
  std::string text(int column) const;
  std::optional<std::string> optional_text(int column) const {
    return type(column) == SQLITE_NULL ? std::nullopt : std::optional(text(column));
  }

 private:
  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
};

/// A transaction that is rolled back unless it is committed.
class Transaction {
 public:
  Transaction(Connection& connection, const char* begin) : connection_(connection) { connection.execute(begin); }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  /// SQLite's result code; only SQLITE_OK ends the transaction.
  int try_commit() noexcept { return sqlite3_exec(connection_.handle(), "COMMIT", nullptr, nullptr, nullptr); }

 private:
  Connection& connection_;
};

}  // namespace waybill::sql_catalog
