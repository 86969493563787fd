// SPDX-License-Identifier: Apache-2.0
//
// The words of ErrorCode and ErrorClass, and what a failed system call means.
#include "waybill/error.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace waybill {
namespace {

// Indexed by the enumerators' numbers, which are frozen.
constexpr std::array code_words = {
    "ok",        "cancelled",      "unknown",           "invalid_argument",   "deadline_exceeded",
    "not_found", "already_exists", "permission_denied", "resource_exhausted", "failed_precondition",
    "aborted",   "out_of_range",   "unimplemented",     "internal",           "unavailable",
    "data_loss", "unauthenticated"};

constexpr std::array class_words = {
    "none",      "configuration", "auth",     "permission",     "missing",     "throttled", "network",
    "timeout",   "server",        "checksum", "source_changed", "unsupported", "occupied",  "collision",
    "too_large", "archived",      "local_io", "transform",      "conflict",    "tracker",   "locked",
    "fenced",    "callback",      "endpoint", "forked",         "cancelled",   "internal"};

static_assert(code_words.size() == static_cast<size_t>(ErrorCode::unauthenticated) + 1);
static_assert(class_words.size() == static_cast<size_t>(ErrorClass::internal) + 1);

struct SystemMeaning {
  ErrorCode code = ErrorCode::unknown;
  ErrorClass error_class = ErrorClass::local_io;
  bool retryable = false;
};

SystemMeaning meaning_of(int error_number) {
  switch (error_number) {
    case ENOENT:
      return {ErrorCode::not_found, ErrorClass::missing, false};
    case EACCES:
    case EPERM:
      return {ErrorCode::permission_denied, ErrorClass::permission, false};
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return {ErrorCode::resource_exhausted, ErrorClass::local_io, true};
    case EINTR:
    case EAGAIN:
    case EIO:
    case ESTALE:
      return {ErrorCode::unavailable, ErrorClass::local_io, true};
    case EEXIST:
      return {ErrorCode::already_exists, ErrorClass::local_io, false};
    case EINVAL:
    case ENAMETOOLONG:
      return {ErrorCode::invalid_argument, ErrorClass::local_io, false};
    default:
      return {};
  }
}

}  // namespace

const char* to_string(ErrorCode code) noexcept {
  const auto index = static_cast<size_t>(code);
  return index < code_words.size() ? code_words[index] : "unknown";
}

const char* to_string(ErrorClass error_class) noexcept {
  const auto index = static_cast<size_t>(error_class);
  return index < class_words.size() ? class_words[index] : "internal";
}

std::optional<ErrorClass> error_class_from(std::string_view word) noexcept {
  for (size_t index = 0; index < class_words.size(); ++index) {
    if (word == class_words[index]) return static_cast<ErrorClass>(index);
  }
  return std::nullopt;
}

Error::Error(ErrorCode code, ErrorClass error_class, std::string message)
    : code_(code), error_class_(error_class), message_(std::move(message)) {}

Error& Error::prepend(std::string_view where) {
  message_.insert(0, std::string(where) + ": ");
  return *this;
}

Error system_error(int error_number, std::string_view what) {
  const SystemMeaning meaning = meaning_of(error_number);
  Error error(meaning.code, meaning.error_class,
              std::string(what) + ": " + std::generic_category().message(error_number));
  error.set_retryable(meaning.retryable);
  const char* name = strerrorname_np(error_number);
  error.set_provider_code(name != nullptr ? name : "E" + std::to_string(error_number));
  return error;
}

}  // namespace waybill
