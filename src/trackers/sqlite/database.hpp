// SPDX-License-Identifier: Apache-2.0
//
// A SQLite connection with cached statements and transactions, and the one place where SQLite's result codes become
// waybill errors. Knows nothing of ledgers except the path to name in messages.
//
// Invariant: the ledger's file is never opened by other means in this process: closing any descriptor of it would drop
// SQLite's POSIX locks.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "waybill/error.hpp"

namespace waybill::internal {

class Database;

/// A prepared statement. Bind by position from 1, step, read columns from 0. One thread at a time.
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  /// Makes it ready to be bound and stepped again; all parameters null.
  Statement& reset() noexcept;
  Statement& bind(int index, int64_t value) noexcept;
  Statement& bind_double(int index, double value) noexcept;
  /// Bytes and text are not copied: they stay valid until the statement is reset or stepped to its end.
  Statement& bind_blob(int index, std::string_view bytes) noexcept;
  Statement& bind_text(int index, std::string_view text) noexcept;
  Statement& bind_null(int index) noexcept;
  template <typename T>
  Statement& bind_optional(int index, const std::optional<T>& value) noexcept {
    return value ? bind(index, static_cast<int64_t>(*value)) : bind_null(index);
  }

  /// True: a row is there. False: done; the statement is reset. Errors: tracker.
  bool step();
  /// step() for statements without rows.
  void run() { step(); }

  bool is_null(int column) const noexcept;
  int64_t integer(int column) const noexcept;
  double real(int column) const noexcept;
  /// Blob or text alike; valid until the next step or reset.
  std::string_view bytes(int column) const noexcept;
  std::string text(int column) const { return std::string(bytes(column)); }
  bool is_blob(int column) const noexcept;
  std::optional<int64_t> optional_integer(int column) const noexcept;
  /// Binds a column, whatever it is, to a parameter of another statement; valid until the next step or reset of this one.
  void bind_to(Statement& other, int index, int column) const noexcept;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

/// *Thread safety:* one thread at a time; the owner locks. *Fork:* abandon() in a child, so that nothing is closed.
class Database {
 public:
  enum class Access { read_write, read_only, immutable };

  /// Opens a file that exists. Where another program has locked it, a call waits for five seconds, or for a quarter of
  /// one where `is_hurried` is set, also meanwhile. Errors: tracker.
  Database(std::string path, Access access, const std::atomic<bool>* is_hurried = nullptr);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs SQL without parameters and results.
  void execute(const char* sql);
  /// The first column of the first row, 0 if there is none.
  int64_t value_of(const char* sql);
  /// A cached statement, reset. `sql` must be a literal or live as long: it is found again by its address. To be used
  /// within a Transaction, whose end resets it.
  Statement& prepared(const char* sql);
  /// Resets every cached statement: a row that was read but not stepped past would hold the transaction open.
  void reset_statements() noexcept;

  /// How many rows the last statement changed.
  int64_t changes() const noexcept { return sqlite3_changes64(handle_); }
  /// The error for a result code that an operation just returned.
  Error error(int code);
  const std::string& path() const noexcept { return path_; }
  sqlite3* handle() const noexcept { return handle_; }
  /// After a failed fsync nobody knows what is on the disk: the connection writes no more.
  bool is_broken() const noexcept { return is_broken_; }
  /// Forgets the connection without closing it.
  void abandon() noexcept;

 private:
  static int wait_for_others(void* self, int tries) noexcept;

  std::string path_;
  const std::atomic<bool>* const is_hurried_;
  std::chrono::steady_clock::time_point waiting_since_;
  sqlite3* handle_ = nullptr;
  bool is_broken_ = false;
  std::unordered_map<const char*, std::unique_ptr<Statement>> statements_;
};

/// A transaction that is rolled back unless it is committed.
class Transaction {
 public:
  enum class Kind { read, write };
  /// Errors: tracker; retryable where another process is writing.
  Transaction(Database& database, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool is_open_ = true;
};

}  // namespace waybill::internal
