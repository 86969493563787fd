// SPDX-License-Identifier: Apache-2.0
//
// See copying.hpp.
#include "connectors/s3/copying.hpp"

#include "base/uri.hpp"
#include "connectors/s3/reading.hpp"
#include "connectors/s3/writing.hpp"

namespace waybill::s3 {
namespace {

// The store may work on a copy for long before it says anything.
constexpr int copy_timeout_ms = 10 * 60 * 1000;
// Of copies before the first one that succeeds: then this store, or these credentials, copy nothing.
constexpr unsigned most_refused_copies = 3;

bool may_copy(const Client& client, const Locator& from) {
  const Learnt& learnt = client.learnt();
  if (from.scheme != "s3" || from.endpoint != client.config().endpoint() || from.etag.empty() || !from.size) return false;
  return learnt.has_copied || learnt.refused_copies < most_refused_copies;
}

Client::Request copy_request(const std::string& key, std::string query, const Locator& from) {
  Client::Request request{.method = "PUT", .key = key, .query = std::move(query)};
  request.stall_timeout_ms = copy_timeout_ms;
  std::string source = "/" + internal::encode_path(from.bucket) + "/" + internal::encode_path(from.key);
  if (!from.version.empty()) source += "?versionId=" + internal::encode_query(from.version);
  request.headers.emplace_back("x-amz-copy-source", std::move(source));
  request.headers.emplace_back("x-amz-copy-source-if-match", "\"" + from.etag + "\"");
  return request;
}

// What was copied; nothing where the store refused. Errors: what is worth another try.
std::optional<Completed> outcome(Client& client, const Client::Request& request, internal::HttpResponse& response) {
  std::optional<Error> refusal;
  if (response.status < 200 || response.status > 299) {
    refusal = client.error(request, response);
  } else {
    Completed completed = parse_copied(response.text);
    if (!completed.error) {
      client.learnt().has_copied = true;
      return completed;
    }
    // As though it had come with the status it deserves: what is not known to be passing is a refusal.
    refusal = client.error(request, 400, *completed.error);
  }
  if (refusal->retryable() || refusal->error_class() == ErrorClass::auth) throw *refusal;
  // A condition that does not hold says nothing of the store.
  if (response.status != 412 && response.status != 404) ++client.learnt().refused_copies;
  return std::nullopt;
}

bool holds(const Condition& condition, const std::optional<ObjectHead>& there) {
  if (condition.kind == Condition::Kind::absent) return !there;
  return there && (condition.etag.empty() || there->etag == condition.etag) &&
         (!condition.size || there->size == *condition.size);
}

}  // namespace

std::optional<Stored> copy_object(Client& client, const std::string& key, const Locator& from,
                                  const Condition& condition, Context& context) {
  if (!may_copy(client, from) || *from.size > max_copy_bytes) return std::nullopt;
  const Config& config = client.config();
  Client::Request request = copy_request(key, "", from);
  const std::string storage_class = config.storage_class.empty() ? from.storage_class.value_or("") : config.storage_class;
  if (!storage_class.empty() && storage_class != "STANDARD" && (!config.storage_class.empty() || !client.learnt().refuses_storage_classes)) {
    request.headers.emplace_back("x-amz-storage-class", storage_class);
  }
  if (!config.acl.empty()) request.headers.emplace_back("x-amz-acl", config.acl);
  const size_t plain_headers = request.headers.size();
  const bool has_condition = condition.kind == Condition::Kind::absent || !condition.etag.empty();
  internal::HttpResponse response;
  const bool asks = has_condition && !client.learnt().refuses_copy_conditions;
  if (asks) {
    if (condition.kind == Condition::Kind::absent)
      request.headers.emplace_back("If-None-Match", "*");
    else
      request.headers.emplace_back("If-Match", "\"" + condition.etag + "\"");
    response = client.send(request, context);
    request.headers.resize(plain_headers);
  }
  if (!asks || refuses_header(response)) {
    // It knows no conditions of copies, or no copies: a look, and the copy without one.
    if (condition.kind != Condition::Kind::none && !holds(condition, head_object(client, key, context))) return std::nullopt;
    response = client.send(request, context);
    if (asks && response.status < 300) client.learnt().refuses_copy_conditions = true;
  }
  Stored stored;
  stored.size = *from.size;
  if (response.status == 412 && response.maybe_resent) {
    // The first of the two may have been carried out, with its answer lost.
    const std::optional<ObjectHead> there = head_object(client, key, context);
    if (!there || there->size != *from.size || there->etag != from.etag) return std::nullopt;
    stored.etag = there->etag;
    stored.version = there->version;
    stored.digest.crc64nvme = there->crc64nvme;
    return stored;
  }
  std::optional<Completed> completed = outcome(client, request, response);
  if (!completed) return std::nullopt;
  stored.etag = std::move(completed->etag);
  stored.version = response.header("x-amz-version-id");
  stored.digest.crc64nvme = completed->crc64nvme;
  return stored;
}

std::optional<PartInfo> copy_range(Client& client, const std::string& key, std::string query, const Locator& from,
                                   uint64_t offset, uint64_t length, Context& context) {
  if (!may_copy(client, from)) return std::nullopt;
  Client::Request request = copy_request(key, std::move(query), from);
  request.headers.emplace_back("x-amz-copy-source-range",
                               "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1));
  internal::HttpResponse response = client.send(request, context);
  if (response.status == 404 && parse_error(response.text).code == "NoSuchUpload") throw client.error(request, response);
  std::optional<Completed> completed = outcome(client, request, response);
  if (!completed) return std::nullopt;
  PartInfo part;
  part.size = length;
  part.etag = std::move(completed->etag);
  part.digest.crc64nvme = completed->crc64nvme;
  return part;
}

}  // namespace waybill::s3
