// SPDX-License-Identifier: Apache-2.0
#include "connectors/sql_catalog/connection.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "waybill/item.hpp"

namespace waybill::sql_catalog {
namespace {

using namespace std::chrono_literals;

constexpr auto busy_timeout = 5s;
constexpr auto busy_poll = 20ms;
constexpr int steps_between_looks = 20'000;  // of SQLite's machine: below a millisecond

Error bad(const std::string& message) { return {ErrorCode::invalid_argument, ErrorClass::configuration, message}; }

void expect_file(const std::string& path) {
  struct stat found{};
  if (::stat(path.c_str(), &found) != 0) {
    throw errno == ENOENT ? Error(ErrorCode::not_found, ErrorClass::missing, "there is no database " + printable(path))
                          : system_error(errno, printable(path));
  }
  if (S_ISDIR(found.st_mode)) throw bad(printable(path) + " is a folder; name the file of the database");
}

}  // namespace

std::string identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

Connection::Connection(std::string path, Access access, Context& context) : path_(std::move(path)), context_(&context) {
  context.check();
  expect_file(path_);
  const int flags = (access == Access::write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX |
                    SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path_.c_str(), &handle_, flags, nullptr);
  if (code != SQLITE_OK) {
    Error failure = error(code);
    sqlite3_close(handle_);
    throw failure;
  }
  sqlite3_busy_handler(handle_, on_busy, this);
  sqlite3_progress_handler(handle_, steps_between_looks, on_progress, this);
  // A name in quotes that is no column is an error, and never text; a schema from outside makes us do nothing odd.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  try {
    execute(access == Access::write ? "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON" : "PRAGMA query_only = ON");
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Connection::~Connection() { sqlite3_close(handle_); }

int Connection::on_busy(void* self, int tries) noexcept {
  Connection& connection = *static_cast<Connection*>(self);
  const auto now = std::chrono::steady_clock::now();
  if (tries == 0) connection.busy_since_ = now;
  if (now - connection.busy_since_ >= busy_timeout) return 0;
  try {
    return connection.context_->sleep(busy_poll) ? 1 : 0;
  } catch (...) {
    return 0;
  }
}

int Connection::on_progress(void* self) noexcept {
  return static_cast<Connection*>(self)->context_->cancelled() ? 1 : 0;
}

void Connection::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw error(code);
}

std::string Connection::detail() const { return printable(sqlite3_errmsg(handle_)); }

Error Connection::error(int code) {
  const std::string name = printable(path_);
  const int system = handle_ == nullptr ? 0 : sqlite3_system_errno(handle_);
  const std::string words = handle_ == nullptr ? sqlite3_errstr(code) : detail();
  const auto make = [&](ErrorCode kind, ErrorClass error_class, const std::string& text) {
    return Error(kind, error_class, text).set_provider_code("SQLITE_" + std::to_string(code));
  };
  const int primary = code & 0xff;
  if (primary == SQLITE_INTERRUPT || primary == SQLITE_BUSY || primary == SQLITE_LOCKED) context_->check();
  switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make(ErrorCode::unavailable, ErrorClass::timeout, name + " is being written by another program").set_retryable();
    case SQLITE_NOTADB:
      return make(ErrorCode::invalid_argument, ErrorClass::configuration, name + " is not a SQLite database");
    case SQLITE_CORRUPT:
      return make(ErrorCode::data_loss, ErrorClass::local_io, name + " is damaged: " + words);
    case SQLITE_READONLY:
      if (code == SQLITE_READONLY_ROLLBACK || code == SQLITE_READONLY_RECOVERY) {
        return make(ErrorCode::failed_precondition, ErrorClass::permission,
                    name + " was left in the middle of a write; open it once with a program that may write to it");
      }
      return make(ErrorCode::permission_denied, ErrorClass::permission, name + " cannot be written: " + words);
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return make(ErrorCode::permission_denied, ErrorClass::permission, name + ": " + words);
    case SQLITE_CANTOPEN:
      if (system != 0 && system != ENOENT) return system_error(system, name);
      return make(ErrorCode::permission_denied, ErrorClass::permission,
                  name + " cannot be opened: neither the file, nor what SQLite keeps beside it, may be missing or refused");
    case SQLITE_FULL:
      return make(ErrorCode::resource_exhausted, ErrorClass::local_io, "the disk of " + name + " is full").set_retryable();
    case SQLITE_IOERR:
      return make(ErrorCode::unavailable, ErrorClass::local_io, name + ": " + words).set_retryable();
    case SQLITE_TOOBIG:
      return make(ErrorCode::out_of_range, ErrorClass::too_large, name + ": " + words);
    case SQLITE_NOMEM:
      return make(ErrorCode::resource_exhausted, ErrorClass::local_io, name + ": out of memory").set_retryable();
    default:
      return make(ErrorCode::failed_precondition, ErrorClass::configuration, name + ": " + words);
  }
}

Statement::Statement(Connection& connection, const std::string& sql) : connection_(connection) {
  const int code = sqlite3_prepare_v2(connection.handle(), sql.c_str(), static_cast<int>(sql.size() + 1), &statement_, nullptr);
  if (code != SQLITE_OK) throw connection.error(code);
}

void Statement::reset() noexcept {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::bind(int index, std::string_view text) noexcept {
  // A null pointer would bind NULL, not an empty text.
  sqlite3_bind_text64(statement_, index, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

bool Statement::step() {
  const int code = try_step();
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = connection_.error(code);
  sqlite3_reset(statement_);
  throw error;
}

std::string Statement::text(int column) const {
  if (type(column) == SQLITE_FLOAT) {
    std::array<char, 40> digits{};
    const double number = sqlite3_column_double(statement_, column);
    return {digits.data(), std::to_chars(digits.begin(), digits.end(), number).ptr};
  }
  const unsigned char* const data = sqlite3_column_text(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
}

Transaction::~Transaction() {
  if (connection_.is_in_transaction()) sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace waybill::sql_catalog
