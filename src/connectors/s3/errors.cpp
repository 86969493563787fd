// SPDX-License-Identifier: Apache-2.0
//
// See errors.hpp.
#include "connectors/s3/errors.hpp"

#include <algorithm>
#include <string>

#include "waybill/item.hpp"

namespace waybill::s3 {
namespace {

struct Meaning {
  ErrorCode code;
  ErrorClass error_class;
  bool retryable;
  std::string_view hint;
};

struct Row {
  std::string_view provider_code;
  Meaning meaning;
};

// Of codes and request ids: they go into the ledger for each failed item.
constexpr size_t longest_code = 128;

constexpr std::string_view key_hint = "check the access key and its secret";
constexpr std::string_view token_hint = "renew the credentials";
constexpr std::string_view region_hint = "name the bucket's region in the URL (region=…)";
constexpr std::string_view bucket_hint = "create the bucket or correct its name";
constexpr std::string_view archived_hint = "restore it first";

using enum ErrorCode;
using C = ErrorClass;

// clang-format off
constexpr Row by_code[] = {
    {"SlowDown",                      {unavailable, C::throttled, true, {}}},
    {"ServiceUnavailable",            {unavailable, C::throttled, true, {}}},
    {"Throttling",                    {resource_exhausted, C::throttled, true, {}}},
    {"ThrottlingException",           {resource_exhausted, C::throttled, true, {}}},
    {"RequestLimitExceeded",          {resource_exhausted, C::throttled, true, {}}},
    {"RequestThrottled",              {resource_exhausted, C::throttled, true, {}}},
    {"TooManyRequests",               {resource_exhausted, C::throttled, true, {}}},
    {"BandwidthLimitExceeded",        {resource_exhausted, C::throttled, true, {}}},
    {"InternalError",                 {internal, C::server, true, {}}},
    {"OperationAborted",              {aborted, C::server, true, {}}},
    {"RequestTimeout",                {deadline_exceeded, C::timeout, true, {}}},
    {"IncompleteBody",                {unavailable, C::network, true, {}}},
    {"ConditionalRequestConflict",    {aborted, C::conflict, true, {}}},
    {"PreconditionFailed",            {failed_precondition, C::conflict, false, {}}},
    {"BadDigest",                     {data_loss, C::checksum, true, {}}},
    {"InvalidDigest",                 {data_loss, C::checksum, true, {}}},
    {"XAmzContentSHA256Mismatch",     {data_loss, C::checksum, true, {}}},
    {"XAmzContentChecksumMismatch",   {data_loss, C::checksum, true, {}}},
    {"InvalidAccessKeyId",            {unauthenticated, C::auth, false, key_hint}},
    {"SignatureDoesNotMatch",         {unauthenticated, C::auth, false, key_hint}},
    {"ExpiredToken",                  {unauthenticated, C::auth, false, token_hint}},
    {"ExpiredTokenException",         {unauthenticated, C::auth, false, token_hint}},
    {"InvalidToken",                  {unauthenticated, C::auth, false, token_hint}},
    {"InvalidClientTokenId",          {unauthenticated, C::auth, false, key_hint}},
    {"NotSignedUp",                   {unauthenticated, C::auth, false, key_hint}},
    {"TokenRefreshRequired",          {unauthenticated, C::auth, false, token_hint}},
    {"XAdminUserNotFound",            {unauthenticated, C::auth, false, key_hint}},
    {"InvalidSecurity",               {unauthenticated, C::auth, false, key_hint}},
    {"MissingSecurityHeader",         {unauthenticated, C::auth, false, key_hint}},
    {"RequestTimeTooSkewed",          {unauthenticated, C::auth, false, "set this machine's clock"}},
    {"AuthorizationHeaderMalformed",  {invalid_argument, C::configuration, false, region_hint}},
    {"AuthorizationQueryParametersError", {invalid_argument, C::configuration, false, region_hint}},
    {"PermanentRedirect",             {failed_precondition, C::configuration, false, region_hint}},
    {"TemporaryRedirect",             {failed_precondition, C::configuration, false, region_hint}},
    {"IllegalLocationConstraintException", {failed_precondition, C::configuration, false, region_hint}},
    {"InvalidBucketName",             {invalid_argument, C::configuration, false, bucket_hint}},
    {"AccessDenied",                  {permission_denied, C::permission, false, {}}},
    {"AccessForbidden",               {permission_denied, C::permission, false, {}}},
    {"AllAccessDisabled",             {permission_denied, C::permission, false, {}}},
    {"AccountProblem",                {permission_denied, C::permission, false, {}}},
    {"InvalidObjectState",            {failed_precondition, C::archived, false, archived_hint}},
    {"NoSuchBucket",                  {not_found, C::missing, false, bucket_hint}},
    {"NoSuchKey",                     {not_found, C::missing, false, {}}},
    {"NoSuchUpload",                  {not_found, C::missing, false, {}}},
    {"NoSuchVersion",                 {not_found, C::missing, false, {}}},
    {"EntityTooLarge",                {out_of_range, C::too_large, false, {}}},
    {"KeyTooLongError",               {invalid_argument, C::unsupported, false, {}}},
    {"KeyTooLong",                    {invalid_argument, C::unsupported, false, {}}},
    {"InvalidURI",                    {invalid_argument, C::unsupported, false, {}}},
    {"XMinioInvalidObjectName",       {invalid_argument, C::unsupported, false, {}}},
    {"XMinioInvalidResourceName",     {invalid_argument, C::unsupported, false, {}}},
    {"MetadataTooLarge",              {invalid_argument, C::unsupported, false, {}}},
    {"InvalidStorageClass",           {invalid_argument, C::unsupported, false, {}}},
    {"InvalidTag",                    {invalid_argument, C::unsupported, false, {}}},
    // Stores that keep objects in a folder tree: "a" and "a/b" cannot both be there.
    {"ObjectParentIsFile",            {failed_precondition, C::unsupported, false, {}}},
    {"ExistingObjectIsDirectory",     {failed_precondition, C::unsupported, false, {}}},
    {"DirectoryObjectContainsData",   {failed_precondition, C::unsupported, false, {}}},
    {"RequestHeaderSectionTooLarge",  {invalid_argument, C::unsupported, false, {}}},
    {"NotImplemented",                {unimplemented, C::unsupported, false, {}}},
    {"MethodNotAllowed",              {permission_denied, C::permission, false, {}}},
    {"QuotaExceeded",                 {resource_exhausted, C::server, true, "make room at the store"}},
    {"InsufficientStorage",           {resource_exhausted, C::server, true, "make room at the store"}},
    {"XMinioStorageFull",             {resource_exhausted, C::server, true, "make room at the store"}},
};
// clang-format on

Meaning by_status(int status) {
  switch (status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return {failed_precondition, C::configuration, false, "correct the endpoint or the region"};
    case 401:
      return {unauthenticated, C::auth, false, key_hint};
    case 403:
      return {permission_denied, C::permission, false, {}};
    case 404:
    case 410:
      return {not_found, C::missing, false, {}};
    case 405:
      return {permission_denied, C::permission, false, {}};
    case 407:
      return {unauthenticated, C::auth, false,
              "put user and password into the proxy's URL: http://user:password@host:port"};
    case 408:
      return {deadline_exceeded, C::timeout, true, {}};
    case 409:
      return {aborted, C::conflict, true, {}};
    case 411:
    case 414:
    case 416:
      return {invalid_argument, C::server, false, {}};
    case 412:
      return {failed_precondition, C::conflict, false, {}};
    case 413:
      return {out_of_range, C::too_large, false, {}};
    case 429:
      return {resource_exhausted, C::throttled, true, {}};
    case 431:
      return {invalid_argument, C::unsupported, false, {}};
    case 501:
      return {unimplemented, C::unsupported, false, {}};
    case 503:
      return {unavailable, C::throttled, true, {}};
    case 507:
      return {resource_exhausted, C::server, true, "make room at the store"};
    default:
      break;
  }
  if (status >= 500) return {unavailable, C::server, true, {}};
  if (status >= 400) return {invalid_argument, C::server, false, {}};
  return {unknown, C::server, true, "is this an S3 endpoint?"};
}

Meaning meaning_of(const Refusal& refusal) {
  const auto row = std::find_if(std::begin(by_code), std::end(by_code),
                                [&](const Row& each) { return each.provider_code == refusal.service.code; });
  if (row != std::end(by_code)) return row->meaning;
  // An unknown error inside a 200 came while the store was working: it is the store's, and the work may be repeated.
  if (refusal.status < 300) return {internal, C::server, true, {}};
  return by_status(refusal.status);
}

// The store's text on one line, not longer than a reader wants.
std::string one_line(std::string_view text, size_t longest = 300) {
  std::string line = printable(text.substr(0, longest));
  if (text.size() > longest) line += "…";
  return line;
}

// What was not allowed, and the right that allows it.
std::string missing_right(const Refusal& refusal) {
  const std::string_view right = refusal.right;
  if (refusal.is_anonymous) {
    return "anonymous requests may not do this; take anonymous=true away to use credentials";
  }
  // Without a code it is a HEAD: wrong credentials look the same.
  const std::string who = refusal.service.code.empty() ? "the credentials are wrong or lack " : "the credentials lack ";
  if (right.empty()) return who + "this right";
  const std::string lack = who + std::string(right);
  if (right == "s3:ListBucket") return lack + ", the right to list this bucket";
  if (right == "s3:GetObject") {
    return lack + ", the right to read this object (or it is gone, and they lack s3:ListBucket to be told so)";
  }
  if (right == "s3:PutObject") return lack + ", the right to write here";
  if (right == "s3:DeleteObject") return lack + ", the right to delete here";
  return lack;
}

bool has_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    if (one.substr(0, one.find('=')) == name) return true;
    query.remove_prefix(std::min(one.size() + 1, query.size()));
  }
  return false;
}

}  // namespace

// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
std::string_view right_for(std::string_view method, bool is_object, std::string_view query) {
  const bool reads = method == "GET" || method == "HEAD";
  if (!is_object) {
    if (!reads) return {};
    if (has_parameter(query, "uploads")) return "s3:ListBucketMultipartUploads";
    if (has_parameter(query, "versions")) return "s3:ListBucketVersions";
    if (has_parameter(query, "website")) return "s3:GetBucketWebsite";
    return "s3:ListBucket";
  }
  const bool is_version = has_parameter(query, "versionId");
  if (has_parameter(query, "tagging")) {
    if (is_version && reads) return "s3:GetObjectVersionTagging";
    return reads ? "s3:GetObjectTagging" : "s3:PutObjectTagging";
  }
  if (has_parameter(query, "acl")) return reads ? "s3:GetObjectAcl" : "s3:PutObjectAcl";
  if (has_parameter(query, "uploadId") && reads) return "s3:ListMultipartUploadParts";
  if (has_parameter(query, "uploadId") && method == "DELETE") return "s3:AbortMultipartUpload";
  if (reads) return is_version ? "s3:GetObjectVersion" : "s3:GetObject";
  if (method == "DELETE") return is_version ? "s3:DeleteObjectVersion" : "s3:DeleteObject";
  return "s3:PutObject";
}

Error to_error(std::string_view what, std::string_view operation, const Refusal& refusal) {
  const Meaning meaning = meaning_of(refusal);
  const ServiceError& service = refusal.service;
  std::string message(what);
  message += ": ";
  message += operation;
  message += " answered ";
  message += std::to_string(refusal.status);
  if (!service.code.empty()) message += " " + one_line(service.code, longest_code);
  if (!service.message.empty()) {
    std::string_view text = service.message;
    while (text.ends_with('.') || text.ends_with('\n')) text.remove_suffix(1);
    message += ": " + one_line(text);
  }
  if (!service.region.empty() && meaning.error_class == ErrorClass::configuration) {
    message += "; the bucket is in region " + one_line(service.region);
  }
  const bool is_forbidden = refusal.status == 403 || service.code == "AccessDenied";
  if (meaning.error_class == ErrorClass::permission && is_forbidden) {
    message += "; " + missing_right(refusal);
  } else if (!meaning.hint.empty()) {
    message += "; ";
    message += meaning.hint;
  }
  Error error(meaning.code, meaning.error_class, std::move(message));
  error.set_retryable(meaning.retryable)
      .set_http_status(refusal.status)
      .set_provider_code(one_line(service.code, longest_code))
      .set_request_id(one_line(service.request_id, longest_code));
  if (refusal.retry_after) error.set_retry_after(*refusal.retry_after);
  return error;
}

}  // namespace waybill::s3
