// SPDX-License-Identifier: Apache-2.0
//
// See database.hpp.
#include "trackers/sqlite/database.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <thread>

namespace waybill::internal {
namespace {

constexpr std::chrono::milliseconds busy_timeout{5000};
constexpr std::chrono::milliseconds hurried_timeout{250};
constexpr std::chrono::milliseconds busy_poll{5};

/// The path as a file: URI, so that it can carry parameters and any byte.
std::string uri_of(const std::string& path, Database::Access access) {
  std::string uri = path.starts_with('/') ? "file://" : "file:";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || c == '?' || c == '#' || c == '%' || byte >= 0x7f) {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned>(byte));
      uri += escaped;
    } else {
      uri += c;
    }
  }
  if (access == Database::Access::immutable) uri += "?immutable=1";
  return uri;
}

bool is_no_space(int error_number) noexcept { return error_number == ENOSPC || error_number == EDQUOT; }

}  // namespace

Statement::Statement(Database& database, const char* sql) : database_(database) {
  const int code = sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  if (code != SQLITE_OK) throw database_.error(code);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::reset() noexcept {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  return *this;
}

Statement& Statement::bind(int index, int64_t value) noexcept {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}

Statement& Statement::bind_double(int index, double value) noexcept {
  sqlite3_bind_double(statement_, index, value);
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) noexcept {
  // A null pointer would bind NULL, not an empty blob.
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  sqlite3_bind_blob64(statement_, index, data, bytes.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::bind_text(int index, std::string_view text) noexcept {
  const char* data = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text64(statement_, index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_null(int index) noexcept {
  sqlite3_bind_null(statement_, index);
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_);
    return false;
  }
  Error error = database_.error(code);
  sqlite3_reset(statement_);
  throw error;
}

bool Statement::is_null(int column) const noexcept { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
int64_t Statement::integer(int column) const noexcept { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const noexcept { return sqlite3_column_double(statement_, column); }
bool Statement::is_blob(int column) const noexcept { return sqlite3_column_type(statement_, column) == SQLITE_BLOB; }

std::string_view Statement::bytes(int column) const noexcept {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string_view()
                         : std::string_view(static_cast<const char*>(data), static_cast<size_t>(size));
}

std::optional<int64_t> Statement::optional_integer(int column) const noexcept {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

void Statement::bind_to(Statement& other, int index, int column) const noexcept {
  sqlite3_bind_value(other.statement_, index, sqlite3_column_value(statement_, column));
}

// Called by SQLite each time it finds the file locked; 0 ends the wait.
int Database::wait_for_others(void* self, int tries) noexcept {
  Database& database = *static_cast<Database*>(self);
  const auto now = std::chrono::steady_clock::now();
  if (tries == 0) database.waiting_since_ = now;
  const bool is_hurried = database.is_hurried_ != nullptr && *database.is_hurried_;
  if (now - database.waiting_since_ >= (is_hurried ? hurried_timeout : busy_timeout)) return 0;
  std::this_thread::sleep_for(busy_poll);
  return 1;
}

Database::Database(std::string path, Access access, const std::atomic<bool>* is_hurried)
    : path_(std::move(path)), is_hurried_(is_hurried) {
  const int flags = (access == Access::read_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_URI |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(uri_of(path_, access).c_str(), &handle_, flags, nullptr);
  if (code != SQLITE_OK) {
    Error failure = error(code);
    sqlite3_close(handle_);
    handle_ = nullptr;
    throw failure;
  }
  sqlite3_busy_handler(handle_, wait_for_others, this);
  // A ledger is data from outside: its schema must not be able to make us do anything.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  if (access != Access::read_write) sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

Database::~Database() {
  statements_.clear();
  sqlite3_close(handle_);
}

void Database::abandon() noexcept {
  for (auto& [sql, statement] : statements_) statement.release();
  statements_.clear();
  handle_ = nullptr;
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw error(code);
}

int64_t Database::value_of(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

Statement& Database::prepared(const char* sql) {
  auto& statement = statements_[sql];
  if (!statement) statement = std::make_unique<Statement>(*this, sql);
  return statement->reset();
}

void Database::reset_statements() noexcept {
  for (auto& [sql, statement] : statements_) statement->reset();
}

Error Database::error(int code) {
  const int system = handle_ == nullptr ? 0 : sqlite3_system_errno(handle_);
  std::string detail = handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_);
  std::replace(detail.begin(), detail.end(), '\n', ' ');  // it may quote the SQL of a damaged schema
  const auto make = [&](ErrorCode kind, const std::string& text) {
    Error made(kind, ErrorClass::tracker, text);
    made.set_provider_code("SQLITE_" + std::to_string(code));
    return made;
  };
  const int primary = code & 0xff;
  if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) {
    is_broken_ = true;
    return make(ErrorCode::data_loss, "the disk of " + path_ + " did not confirm a write (fsync: " + detail +
                                          "); check the disk, then start again");
  }
  // A file beside the ledger that cannot be made (-wal, -shm) is reported as one that cannot be opened.
  const bool may_be_space = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN;
  if (primary == SQLITE_FULL || (may_be_space && is_no_space(system))) {
    return make(ErrorCode::resource_exhausted, "the disk of " + path_ + " is full; free some space on it")
        .set_retryable();
  }
  switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make(ErrorCode::unavailable, path_ + " is in use by another program that is writing to it")
          .set_retryable();
    case SQLITE_NOMEM:
      return make(ErrorCode::resource_exhausted, "no memory to work on " + path_).set_retryable();
    case SQLITE_CORRUPT:
      return make(ErrorCode::data_loss,
                  path_ + " is damaged (" + detail + "); restore it from a copy, or save what can be read with: waybill db recover");
    case SQLITE_NOTADB:
      return make(
          ErrorCode::failed_precondition,
          path_ +
              " is not a waybill ledger (not a SQLite database); name another path with --tracker, or restore it "
              "from a copy");
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return make(ErrorCode::permission_denied,
                  path_ + " cannot be written (" + detail + "); check the permissions of the file and of its folder");
    case SQLITE_CANTOPEN:
      return make(ErrorCode::permission_denied,
                  path_ + " cannot be opened (" + detail + "); check the permissions of the file and of its folder");
    case SQLITE_IOERR:
      return make(ErrorCode::unavailable, "reading or writing " + path_ + " failed (" + detail + ", system error " +
                                              std::to_string(system) + "); check the disk");
    default:
      return make(ErrorCode::internal, path_ + ": " + detail);
  }
}

Transaction::Transaction(Database& database, Kind kind) : database_(database) {
  if (kind == Kind::write && database.is_broken()) throw database.error(SQLITE_IOERR_FSYNC);
  database_.prepared(kind == Kind::write ? "BEGIN IMMEDIATE" : "BEGIN").run();
}

Transaction::~Transaction() {
  if (is_open_) database_.reset_statements();
  // A full disk may have rolled back already.
  if (!is_open_ || sqlite3_get_autocommit(database_.handle()) != 0) return;
  sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.reset_statements();
  database_.prepared("COMMIT").run();
  is_open_ = false;
}

}  // namespace waybill::internal
