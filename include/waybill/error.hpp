// SPDX-License-Identifier: Apache-2.0
//
// The one exception type of waybill and its two vocabularies: ErrorCode says what kind of failure a caller has
// (the canonical gRPC set, numbers frozen), ErrorClass says what a user has to look at (numbers frozen: they are
// stored in ledgers). A failure of one item is caught at the transfer's edge and becomes data (Outcome); only what
// stops a run, or what was wrong with the call, reaches a caller as an exception.
#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace waybill {

/// What kind of failure this is. The numbers are those of gRPC's status codes and never change.
enum class ErrorCode : int {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

/// What a user has to look at. Stored in ledgers: numbers never change, new ones are appended.
enum class ErrorClass : int {
  none = 0,
  configuration = 1,   ///< the command, URL, option or specification is wrong
  auth = 2,            ///< credentials are missing, wrong or expired
  permission = 3,      ///< the credentials are good, the right is missing
  missing = 4,         ///< the item, bucket or folder does not exist
  throttled = 5,       ///< the store asks to slow down
  network = 6,         ///< DNS, connection, TLS, or a connection that broke
  timeout = 7,         ///< no answer, or no bytes, in time
  server = 8,          ///< the store answered with an internal error
  checksum = 9,        ///< bytes are not those that were sent or expected
  source_changed = 10, ///< the item kept changing while it was read
  unsupported = 11,    ///< this kind of item or key cannot be moved or held (a FIFO, a key with a NUL, …)
  occupied = 12,       ///< the destination holds an object that this ledger did not write (see Overwrite)
  collision = 13,      ///< two items map to one destination key
  too_large = 14,      ///< beyond what the destination can hold
  archived = 15,       ///< in cold storage; must be restored first
  local_io = 16,       ///< a local read, write, or disk-full error
  transform = 17,      ///< the Transform failed
  conflict = 18,       ///< a conditional write or reference update found another value
  tracker = 19,        ///< the ledger could not be read or written
  locked = 20,         ///< not now: another process owns the ledger's lease, or the migration is paused or not ready
  fenced = 21,         ///< this process lost the ledger's lease to another one
  callback = 22,       ///< a callback of the host threw
  endpoint = 23,       ///< a whole endpoint fails
  forked = 24,         ///< a handle was used in a forked child
  cancelled = 25,      ///< the run was cancelled, paused or interrupted
  internal = 26,       ///< a defect of waybill or of a connector
};

/// "invalid_argument", "not_found", … Static storage.
const char* to_string(ErrorCode code) noexcept;
/// "configuration", "throttled", … Static storage. "internal" for a number this version does not know.
const char* to_string(ErrorClass error_class) noexcept;
/// The inverse of to_string(ErrorClass); nothing for an unknown word.
std::optional<ErrorClass> error_class_from(std::string_view word) noexcept;

/// The exception of every waybill call. The message is one line that names the thing and, where the user can act,
/// what to do; it never holds a secret or a signed query string (connectors redact before they throw).
///
/// *Thread safety:* a value; copies are independent.
class Error : public std::exception {
 public:
  Error(ErrorCode code, ErrorClass error_class, std::string message);

  ErrorCode code() const noexcept { return code_; }
  ErrorClass error_class() const noexcept { return error_class_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

  /// Whether trying again, unchanged, makes sense. Said by the connector that knows, read by the engine that decides.
  /// Default: false.
  bool retryable() const noexcept { return retryable_; }
  /// How long the store asked to wait (Retry-After), if it did.
  std::optional<std::chrono::milliseconds> retry_after() const noexcept { return retry_after_; }
  /// The HTTP status, or 0 if there was none.
  int http_status() const noexcept { return http_status_; }
  /// The provider's own code, for example "SlowDown" or "ENOSPC"; empty if there was none.
  const std::string& provider_code() const noexcept { return provider_code_; }
  /// The provider's request id, for its support; empty if there was none.
  const std::string& request_id() const noexcept { return request_id_; }

  Error& set_retryable(bool retryable = true) noexcept { retryable_ = retryable; return *this; }
  Error& set_retry_after(std::chrono::milliseconds wait) noexcept { retry_after_ = wait; return *this; }
  Error& set_http_status(int status) noexcept { http_status_ = status; return *this; }
  Error& set_provider_code(std::string code) { provider_code_ = std::move(code); return *this; }
  Error& set_request_id(std::string id) { request_id_ = std::move(id); return *this; }
  /// Puts "`where`: " before the message, for context that only an outer layer knows.
  Error& prepend(std::string_view where);

 private:
  ErrorCode code_;
  ErrorClass error_class_;
  bool retryable_ = false;
  int http_status_ = 0;
  std::optional<std::chrono::milliseconds> retry_after_;
  std::string message_;
  std::string provider_code_;
  std::string request_id_;
};

/// An Error for a failed system call: code and class from `error_number` (ENOENT → not_found/missing, EACCES and EPERM
/// → permission_denied/permission, ENOSPC, EDQUOT → resource_exhausted/local_io and retryable, EMFILE, ENFILE, ENOMEM,
/// EINTR, EAGAIN, EIO, ESTALE → retryable, others → local_io). The message is "`what`: <text of the error>", the
/// provider code its name ("ENOSPC").
Error system_error(int error_number, std::string_view what);

}  // namespace waybill
