// SPDX-License-Identifier: Apache-2.0
//
// Reading, writing and deleting one object.
#include <algorithm>

#include "base/text.hpp"
#include "support/fault_server/s3_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr std::pair<std::string_view, std::string_view> content_headers[] = {
    {"content-type", "Content-Type"},
    {"cache-control", "Cache-Control"},
    {"content-disposition", "Content-Disposition"},
    {"content-encoding", "Content-Encoding"},
    {"content-language", "Content-Language"},
    {"expires", "Expires"},
    {"x-amz-website-redirect-location", "x-amz-website-redirect-location"},
};
constexpr size_t most_metadata = 2048;

bool etag_list_has(std::string_view list, const std::string& etag) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view one = internal::trim(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one.size() >= 2 && one.front() == '"' && one.back() == '"') one = one.substr(1, one.size() - 2);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

// aws-chunked is the framing of a body and not the object's.
std::string without_chunked(std::string_view encoding) {
  if (!encoding.starts_with("aws-chunked")) return std::string(encoding);
  encoding.remove_prefix(11);
  if (encoding.starts_with(',')) encoding.remove_prefix(1);
  return std::string(internal::trim(encoding));
}

// The whole of an object, one of its parts, or a range.
struct Extent {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool is_partial = false;
};

Extent extent_of(const S3Request& request, const Object& object, Answer& answer) {
  Extent extent{0, object.size(), false};
  if (request.has("partNumber")) {
    const uint64_t wanted = request.number("partNumber", 0);
    const std::vector<uint64_t> sizes = object.part_sizes.empty() ? std::vector{object.size()} : object.part_sizes;
    if (wanted == 0 || wanted > sizes.size()) {
      throw S3Error{416, "InvalidPartNumber", "The requested partnumber is not satisfiable", {}, {}};
    }
    for (uint64_t part = 1; part < wanted; ++part) extent.begin += sizes[part - 1];
    extent.end = extent.begin + sizes[wanted - 1];
    extent.is_partial = true;
    if (!object.part_sizes.empty()) answer.headers.emplace_back("x-amz-mp-parts-count", std::to_string(sizes.size()));
  } else if (const auto range = parse_range(request.header("range"), object.size())) {
    extent = {range->first, range->second, true};
  }
  return extent;
}

void add_object_headers(const S3Request& request, const Object& object, Answer& answer) {
  auto& headers = answer.headers;
  headers.emplace_back("Last-Modified", internal::format_http_date(object.modified_ms / 1000));
  headers.emplace_back("ETag", quoted(object.etag));
  headers.emplace_back("Accept-Ranges", "bytes");
  for (const auto& header : object.headers) {
    // A presigned URL may ask for other ones: response-content-type and so on.
    const std::string other = "response-" + internal::to_lower(header.first);
    headers.emplace_back(header.first, request.has(other) ? std::string(request.parameter(other)) : header.second);
  }
  if (object.storage_class != "STANDARD") headers.emplace_back("x-amz-storage-class", object.storage_class);
  if (!object.restore.empty()) headers.emplace_back("x-amz-restore", object.restore);
  if (!object.tags.empty()) headers.emplace_back("x-amz-tagging-count", std::to_string(object.tags.size()));
}

}  // namespace

std::string quoted(const std::string& etag) { return '"' + etag + '"'; }

ObjectPtr require_object(Bucket& bucket, const std::string& key, std::string_view version_id) {
  ObjectPtr marker;
  ObjectPtr object = version_id.empty() ? bucket.find(key, &marker) : bucket.find_version(key, version_id);
  const S3Error absent{404, "NoSuchKey", "The specified key does not exist.", {{"Key", key}}, {}};
  if (!object && !version_id.empty()) {
    throw S3Error{404, "NoSuchVersion", "The specified version does not exist.", {{"Key", key}}, {}};
  }
  if (object && object->is_delete_marker) {
    throw S3Error{405, "MethodNotAllowed", "A delete marker cannot be read.", {}, {{"x-amz-delete-marker", "true"}}};
  }
  if (object) return object;
  S3Error error = absent;
  if (marker) error.headers = {{"x-amz-delete-marker", "true"}, {"x-amz-version-id", marker->version_id}};
  throw error;
}

Tags parse_tagging_header(std::string_view text) {
  Tags tags = split_query(text);
  if (tags.size() > 10) throw S3Error{400, "BadRequest", "Object tags cannot be greater than 10", {}, {}};
  return tags;
}

Object object_of_headers(S3Context& context) {
  const S3Request& request = context.request;
  Object object;
  object.modified_ms = context.store.now_ms();
  size_t metadata = 0;
  for (const auto& [name, value] : request.http->headers) {
    const std::string lower = internal::to_lower(name);
    if (lower.starts_with("x-amz-meta-")) {
      metadata += lower.size() - 11 + value.size();
      object.headers.emplace_back(lower, value);
      continue;
    }
    for (const auto& [known, shown] : content_headers) {
      if (lower != known) continue;
      std::string kept = known == "content-encoding" ? without_chunked(value) : std::string(value);
      if (!kept.empty()) object.headers.emplace_back(shown, std::move(kept));
    }
  }
  if (metadata > most_metadata) {
    throw S3Error{400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", {}, {}};
  }
  if (!request.http->has_header("content-type")) object.headers.emplace_back("Content-Type", "binary/octet-stream");
  if (const auto value = request.header("x-amz-storage-class"); !value.empty()) object.storage_class = value;
  if (const auto value = request.header("x-amz-acl"); !value.empty()) object.acl = value;
  object.tags = parse_tagging_header(request.header("x-amz-tagging"));
  object.encryption = encryption_of_headers(context);
  return object;
}

void check_read_conditions(const S3Request& request, const std::string& prefix, const Object& object) {
  const S3Error failed{
      412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", {}, {}};
  const S3Error unchanged =
      prefix.empty() ? S3Error{304, "NotModified", "Not Modified", {}, {{"ETag", quoted(object.etag)}}} : failed;
  const auto match = request.header(prefix + "if-match");
  const auto none_match = request.header(prefix + "if-none-match");
  if (!match.empty() && !etag_list_has(match, object.etag)) throw failed;
  if (!none_match.empty() && etag_list_has(none_match, object.etag)) throw unchanged;
  const int64_t modified = object.modified_ms / 1000;
  const auto unmodified_since = internal::parse_http_date(request.header(prefix + "if-unmodified-since"));
  const auto modified_since = internal::parse_http_date(request.header(prefix + "if-modified-since"));
  if (match.empty() && unmodified_since && modified > *unmodified_since) throw failed;
  if (none_match.empty() && modified_since && modified <= *modified_since) throw unchanged;
}

void check_write_conditions(S3Context& context) {
  const S3Request& request = context.request;
  const auto match = request.header("if-match");
  const auto none_match = request.header("if-none-match");
  const std::string& mode = context.bucket->settings.conditional_writes;
  if ((match.empty() && none_match.empty()) || mode == "ignored") return;
  if (context.bucket->settings.unconditional.contains(request.op)) return;
  if (mode == "not_implemented") {
    throw S3Error{
        501, "NotImplemented", "A header you provided implies functionality that is not implemented.", {}, {}};
  }
  const ObjectPtr object = context.bucket->find(request.key);
  const S3Error failed{
      412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", {}, {}};
  if (!none_match.empty() && object && etag_list_has(none_match, object->etag)) throw failed;
  if (match.empty()) return;
  if (!object) throw S3Error{404, "NoSuchKey", "The specified key does not exist.", {{"Key", request.key}}, {}};
  if (!etag_list_has(match, object->etag)) throw failed;
}

void check_key_length(S3Context& context) {
  if (context.request.key.size() <= context.bucket->settings.longest_key) return;
  throw S3Error{400, "KeyTooLongError", "Your key is too long", {}, {}};
}

void add_version_header(const Bucket& bucket, const Object& object, Answer& answer) {
  if (bucket.settings.versioning != "off") answer.headers.emplace_back("x-amz-version-id", object.version_id);
}

void add_checksum_headers(const Object& object, Answer& answer) {
  for (const Checksum& one : object.checksums) {
    answer.headers.emplace_back("x-amz-checksum-" + one.algorithm, one.value);
    answer.headers.emplace_back("x-amz-checksum-type", one.is_composite ? "COMPOSITE" : "FULL_OBJECT");
  }
}

Object swapped(const Object& object) {
  Object other = object;
  other.content = inverted_content(object.content);
  other.etag = to_hex(digest("md5", "swapped " + object.etag));
  other.checksums.clear();
  return other;
}

Answer get_object(S3Context& context) {
  const S3Request& request = context.request;
  ObjectPtr object = require_object(*context.bucket, request.key, request.parameter("versionId"));
  if (context.is_swapped) object = std::make_shared<Object>(swapped(*object));
  check_customer_key(request, "x-amz-", object->encryption);
  check_read_conditions(request, "", *object);
  if (request.op == "GetObject" && object->is_archived()) {
    throw S3Error{403,
                  "InvalidObjectState",
                  "The operation is not valid for the object's storage class",
                  {{"StorageClass", object->storage_class}},
                  {}};
  }
  if (request.op == "GetObject" && !object->content->is_held()) {
    throw S3Error{501, "NotImplemented", "The bucket keeps digests only: there are no bytes to read", {}, {}};
  }
  Answer answer;
  const Extent extent = extent_of(request, *object, answer);
  add_object_headers(request, *object, answer);
  add_version_header(*context.bucket, *object, answer);
  add_encryption_headers(object->encryption, answer);
  if (request.header("x-amz-checksum-mode") == "ENABLED" && !extent.is_partial) add_checksum_headers(*object, answer);
  answer.content = object->content;
  answer.content_begin = extent.begin;
  answer.content_end = extent.end;
  if (extent.is_partial) {
    answer.status = 206;
    const uint64_t last = extent.end == 0 ? 0 : extent.end - 1;
    answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(extent.begin) + "-" + std::to_string(last) +
                                                     "/" + std::to_string(object->size()));
  }
  return answer;
}

Answer put_object(S3Context& context) {
  check_key_length(context);
  Object object = object_of_headers(context);
  object.checksums = context.body.verify();
  check_write_conditions(context);
  if (object.checksums.empty() && context.bucket->settings.checksums == "yes") {
    object.checksums = {{"crc64nvme", context.body.checksum("crc64nvme"), false}};
  }
  object.etag = encrypted_etag(object.encryption, to_hex(context.body.md5()));
  object.crc64 = context.body.crc64();
  object.content = context.body.take_content();
  const ObjectPtr put = context.bucket->put(context.request.key, std::move(object));
  Answer answer;
  answer.headers.emplace_back("ETag", quoted(put->etag));
  add_version_header(*context.bucket, *put, answer);
  add_encryption_headers(put->encryption, answer);
  add_checksum_headers(*put, answer);
  return answer;
}

Answer delete_object(S3Context& context) {
  Answer answer;
  answer.status = 204;
  const std::string& key = context.request.key;
  if (const auto version_id = context.request.parameter("versionId"); !version_id.empty()) {
    const ObjectPtr gone = context.bucket->remove_version(key, version_id);
    answer.headers.emplace_back("x-amz-version-id", version_id);
    if (gone && gone->is_delete_marker) answer.headers.emplace_back("x-amz-delete-marker", "true");
    return answer;
  }
  const ObjectPtr object = context.bucket->find(key);
  if (context.is_swapped && object) context.bucket->put(key, swapped(*object));
  check_write_conditions(context);
  if (const ObjectPtr marker = context.bucket->remove(key)) {
    answer.headers.emplace_back("x-amz-version-id", marker->version_id);
    answer.headers.emplace_back("x-amz-delete-marker", "true");
  }
  return answer;
}

Answer restore_object(S3Context& context) {
  const ObjectPtr object = require_object(*context.bucket, context.request.key, context.request.parameter("versionId"));
  if (object->storage_class != "GLACIER" && object->storage_class != "DEEP_ARCHIVE") {
    throw S3Error{403, "InvalidObjectState", "Restore is not allowed for the object's current storage class", {}, {}};
  }
  if (object->restore.find("\"true\"") != std::string::npos) {
    throw S3Error{409, "RestoreAlreadyInProgress", "Object restore is already in progress", {}, {}};
  }
  auto restored = std::make_shared<Object>(*object);
  restored->restore = "ongoing-request=\"true\"";
  context.bucket->change(context.request.key, std::move(restored));
  Answer answer;
  answer.status = 202;
  return answer;
}

}  // namespace waybill::testing::fault
