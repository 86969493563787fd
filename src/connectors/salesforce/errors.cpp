// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/errors.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using internal::HttpResponse;
using C = ErrorClass;
using enum ErrorCode;

struct Meaning {
  ErrorCode code;
  C error_class;
  bool retryable;
  std::string_view hint;
};

struct Row {
  std::string_view provider_code;
  Meaning meaning;
};

constexpr size_t longest_code = 128;
constexpr size_t longest_message = 500;
constexpr size_t longest_unknown = 16;
constexpr std::string_view day_used_up = "totalrequests";
constexpr std::string_view lock_code = "UNABLE_TO_LOCK_ROW";
constexpr std::string_view too_many = "concurrent";

constexpr std::string_view api_hint = "the user needs the permission \"API Enabled\"";
constexpr std::string_view right_hint = "give the user the right on the object and the field";

// clang-format off
constexpr std::array by_code = {
    Row{"REQUEST_LIMIT_EXCEEDED",              {resource_exhausted, C::throttled, true, {}}},
    Row{"SERVER_UNAVAILABLE",                  {unavailable, C::throttled, true, {}}},
    Row{"EXCEEDED_QUOTA",                      {resource_exhausted, C::throttled, true, {}}},
    Row{"LIMIT_EXCEEDED",                      {resource_exhausted, C::throttled, true, {}}},
    Row{"QUERY_TIMEOUT",                       {deadline_exceeded, C::timeout, true, {}}},
    Row{"UNKNOWN_EXCEPTION",                   {internal, C::server, true, {}}},
    Row{"UNABLE_TO_LOCK_ROW",                  {aborted, C::conflict, true, {}}},
    Row{"INVALID_SESSION_ID",                  {unauthenticated, C::auth, false, {}}},
    Row{"API_CURRENTLY_DISABLED",              {permission_denied, C::permission, false, api_hint}},
    Row{"API_DISABLED_FOR_ORG",                {permission_denied, C::permission, false, "the edition of the organization has no API"}},
    Row{"INSUFFICIENT_ACCESS",                 {permission_denied, C::permission, false, right_hint}},
    Row{"INSUFFICIENT_ACCESS_OR_READONLY",     {permission_denied, C::permission, false, right_hint}},
    Row{"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", {permission_denied, C::permission, false, right_hint}},
    Row{"INVALID_FIELD_FOR_INSERT_UPDATE",     {permission_denied, C::permission, false, right_hint}},
    Row{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",{failed_precondition, C::unsupported, false, "a trigger of the organization refuses it"}},
    Row{"FIELD_CUSTOM_VALIDATION_EXCEPTION",   {failed_precondition, C::unsupported, false, "a validation rule of the organization refuses it"}},
    Row{"FIELD_FILTER_VALIDATION_EXCEPTION",   {failed_precondition, C::unsupported, false, "a filter of a lookup refuses it"}},
    Row{"REQUIRED_FIELD_MISSING",              {failed_precondition, C::unsupported, false, "another field of the record has to be filled first"}},
    Row{"INVALID_CROSS_REFERENCE_KEY",         {failed_precondition, C::missing, false, {}}},
    Row{"ENTITY_IS_LOCKED",                    {failed_precondition, C::permission, false, "the record is in an approval"}},
    Row{"ENTITY_IS_DELETED",                   {not_found, C::missing, false, {}}},
    Row{"NOT_FOUND",                           {not_found, C::missing, false, {}}},
    Row{"MALFORMED_ID",                        {invalid_argument, C::configuration, false, {}}},
    Row{"STRING_TOO_LONG",                     {failed_precondition, C::too_large, false, "the field is too short for the new URL"}},
    Row{"INVALID_FIELD",                       {invalid_argument, C::configuration, false, {}}},
    Row{"INVALID_TYPE",                        {invalid_argument, C::configuration, false, {}}},
    Row{"MALFORMED_QUERY",                     {invalid_argument, C::configuration, false, {}}},
    Row{"INVALID_QUERY_LOCATOR",               {aborted, C::server, true, {}}},
    Row{"UNSUPPORTED_API_VERSION",             {failed_precondition, C::configuration, false, "give a later one with api_version="}},
    Row{"INVALID_URL",                         {invalid_argument, C::unsupported, false, {}}},
};
// clang-format on

const Meaning* meaning_of(std::string_view code) {
  const auto found = std::find_if(by_code.begin(), by_code.end(), [&](const Row& row) { return row.provider_code == code; });
  return found == by_code.end() ? nullptr : &found->meaning;
}

Meaning meaning_of_status(int status) {
  switch (status) {
    case 401:
      return {unauthenticated, C::auth, false, {}};
    case 403:
      return {permission_denied, C::permission, false, {}};
    case 404:
      return {not_found, C::missing, false, {}};
    case 410:
      return {failed_precondition, C::configuration, false, "give a later version with api_version="};
    case 409:
    case 412:
      return {failed_precondition, C::conflict, false, {}};
    case 408:
      return {deadline_exceeded, C::timeout, true, {}};
    case 420:
    case 429:
    case 503:
      return {unavailable, C::throttled, true, {}};
    default:
      if (status >= 500) return {unavailable, C::server, true, {}};
      return {invalid_argument, C::configuration, false, {}};
  }
}

struct Said {
  std::string code;
  std::string message;
};

// A URL in it is shown without what may be a secret.
std::string one_line(std::string_view text, size_t most) {
  std::string line(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  constexpr std::string_view ends = " \"'<>";
  for (size_t at = 0; (at = line.find("://", at)) != std::string::npos;) {
    const size_t before = line.find_last_of(ends, at);
    const size_t begin = before == std::string::npos ? 0 : before + 1;
    const size_t end = std::min(line.find_first_of(ends, at), line.size());
    const std::string shown = internal::redact_url(std::string_view(line).substr(begin, end - begin));
    line.replace(begin, end - begin, shown);
    at = std::max(begin + shown.size(), at + 3);
  }
  return printable(std::string_view(line).substr(0, most));
}

// [{"message", "errorCode", "fields"}], or one such object; nothing of what is no JSON, as a page of a proxy.
Said said_by(const HttpResponse& response) {
  const nlohmann::json body = nlohmann::json::parse(response.text, nullptr, false);
  const nlohmann::json one = body.is_array() && !body.empty() ? body.front() : body;
  if (!one.is_object()) return {};
  return {one_line(text_of(one, "errorCode"), longest_code), one_line(text_of(one, "message"), longest_message)};
}

bool says(const Error& error, std::string_view words) {
  return internal::to_lower(error.message()).find(words) != std::string::npos;
}

}  // namespace

Error error_of(const std::string& subject, const Organization& organization, const HttpResponse& response) {
  const Said said = said_by(response);
  const Meaning* const known = meaning_of(said.code);
  const Meaning meaning = known != nullptr ? *known : meaning_of_status(response.status);
  std::string text = subject + ": " + organization.host + " answered " + std::to_string(response.status);
  if (!said.code.empty()) text += " " + said.code;
  if (!said.message.empty()) text += ": " + said.message;
  if (!meaning.hint.empty()) text += "; " + std::string(meaning.hint);
  Error error(meaning.code, meaning.error_class, std::move(text));
  return error.set_retryable(meaning.retryable).set_http_status(response.status).set_provider_code(said.code);
}

bool ends_by_login(const Error& error) {
  return !says(error, "not valid for use with the rest api") && !says(error, "not attached to agent");
}

bool is_day_used_up(const Error& error) { return error.provider_code() == "REQUEST_LIMIT_EXCEEDED" && says(error, day_used_up); }

bool is_too_many_at_once(const Error& error) {
  return error.provider_code() == "REQUEST_LIMIT_EXCEEDED" && !says(error, day_used_up) && says(error, too_many);
}

UpdateResult failed_record(const std::string& code, std::string message, const std::string& fields, const std::string& value) {
  // Triggers tell of locks in texts of their own.
  const bool is_lock = message.find(lock_code) != std::string::npos;
  // It may be cut there, but not so short that it would not be known again.
  const std::string_view begin = std::string_view(value).substr(0, longest_unknown);
  if (const size_t at = begin.empty() ? std::string::npos : message.find(begin); at != std::string::npos) {
    message.replace(at, std::string::npos, "…");
  }
  const Meaning* const known = meaning_of(is_lock ? lock_code : std::string_view(code));
  const Meaning meaning = known != nullptr ? *known : Meaning{failed_precondition, C::server, false, {}};
  std::string text = one_line(code, longest_code);
  if (!message.empty()) text += ": " + one_line(message, longest_message);
  if (!fields.empty()) text += " (" + one_line(fields, longest_code) + ")";
  if (!meaning.hint.empty()) text += "; " + std::string(meaning.hint);
  return {UpdateResult::Status::failed, meaning.error_class, std::move(text), meaning.retryable};
}

}  // namespace waybill::salesforce
