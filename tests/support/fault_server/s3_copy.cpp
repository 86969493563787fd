// SPDX-License-Identifier: Apache-2.0
//
// Copies within the server: CopyObject and UploadPartCopy. The contents are shared, not copied.
#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "support/fault_server/s3_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr uint64_t most_copied = uint64_t{5} << 30;
constexpr uint64_t block_bytes = 1 << 20;
constexpr std::string_view redirect_header = "x-amz-website-redirect-location";

struct Source {
  ObjectPtr object;
  CopySource name;
};

Source source_of(S3Context& context) {
  Source source;
  source.name = parse_copy_source(context.request.header("x-amz-copy-source"));
  Bucket* bucket = context.store.find(source.name.bucket);
  if (!bucket) throw S3Error{404, "NoSuchBucket", "The specified bucket does not exist", {}, {}};
  if (bucket->settings.requester_pays && context.request.header("x-amz-request-payer") != "requester") {
    throw S3Error{403, "AccessDenied", "Access Denied", {}, {}};
  }
  const auto owner = context.request.header("x-amz-source-expected-bucket-owner");
  if (!owner.empty() && owner != bucket->settings.owner) throw S3Error{403, "AccessDenied", "Access Denied", {}, {}};
  source.object = require_object(*bucket, source.name.key, source.name.version_id);
  if (source.object->is_archived()) {
    throw S3Error{403, "InvalidObjectState", "Operation is not valid for the source object's storage class", {}, {}};
  }
  check_customer_key(context.request, "x-amz-copy-source-", source.object->encryption);
  check_read_conditions(context.request, "x-amz-copy-source-", *source.object);
  return source;
}

// Digests of a range, block by block.
struct RangeDigests {
  std::string md5;
  Crc64 crc64 = 0;
};

RangeDigests digests_of(const Content& content, uint64_t begin, uint64_t end, bool with_md5) {
  Digester digester;
  if (with_md5) digester.want("md5");
  std::string block(block_bytes, '\0');
  for (uint64_t at = begin; at < end; at += block.size()) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(block.size(), end - at));
    content.read(at, block.data(), count);
    digester.update(std::string_view(block.data(), count));
  }
  const std::string crc = digester.finish("crc64nvme");
  return {with_md5 ? digester.finish("md5") : crc + std::string(8, '\x5a'), digester.crc64()};
}

std::string result(const char* root, const Object& object) {
  XmlWriter xml(root);
  xml.element("LastModified", iso_time(object.modified_ms)).element("ETag", quoted(object.etag));
  for (const Checksum& one : object.checksums) xml.element(checksum_element(one.algorithm), one.value);
  return xml.finish();
}

void add_source_version(const Source& source, Answer& answer) {
  if (source.object->version_id == "null") return;
  answer.headers.emplace_back("x-amz-copy-source-version-id", source.object->version_id);
}

// Everything but where the website leads to, which each copy says anew.
Headers kept_headers(const Object& source, const BucketSettings& settings, const Headers& said) {
  Headers kept;
  for (const auto& header : source.headers) {
    const std::string name = internal::to_lower(header.first);
    if (name != redirect_header && !settings.copies_lose.contains(name)) kept.push_back(header);
  }
  std::copy_if(said.begin(), said.end(), std::back_inserter(kept),
               [](const auto& header) { return header.first == redirect_header; });
  return kept;
}

}  // namespace

Answer copy_object(S3Context& context) {
  const S3Request& request = context.request;
  const BucketSettings& settings = context.bucket->settings;
  if (!settings.copy) throw S3Error{501, "NotImplemented", "CopyObject is not implemented", {}, {}};
  check_key_length(context);
  const Source source = source_of(context);
  if (source.object->size() > most_copied) {
    throw S3Error{400, "InvalidRequest", "The specified copy source is larger than the maximum allowable size", {}, {}};
  }
  Object object = object_of_headers(context);
  const bool replaces = request.header("x-amz-metadata-directive") == "REPLACE";
  const bool is_itself =
      source.name.bucket == request.bucket && source.name.key == request.key && source.name.version_id.empty();
  if (is_itself && !replaces && !request.http->has_header("x-amz-storage-class")) {
    throw S3Error{
        400, "InvalidRequest", "This copy request is illegal because it changes nothing of the object.", {}, {}};
  }
  if (!replaces) object.headers = kept_headers(*source.object, settings, object.headers);
  if (request.header("x-amz-tagging-directive") != "REPLACE") object.tags = source.object->tags;
  check_write_conditions(context);
  object.content = source.object->content;
  object.crc64 = source.object->crc64;
  // A copy is one piece, whatever its source was made of.
  const bool is_plain = source.object->part_sizes.empty() && source.object->etag.size() == 32;
  if (is_plain && settings.etag == "md5") {
    object.etag = source.object->etag;
    object.checksums = source.object->checksums;
  } else {
    const RangeDigests digests = digests_of(*object.content, 0, object.size(), settings.etag == "md5");
    object.etag = to_hex(digests.md5);
    object.crc64 = digests.crc64;
    object.checksums = {{"crc64nvme", internal::crc64_to_base64(digests.crc64), false}};
  }
  object.etag = encrypted_etag(object.encryption, object.etag);
  if (settings.checksums != "yes") object.checksums.clear();
  const ObjectPtr put = context.bucket->put(request.key, std::move(object));
  Answer answer = xml_answer(result("CopyObjectResult", *put));
  add_version_header(*context.bucket, *put, answer);
  add_encryption_headers(put->encryption, answer);
  add_source_version(source, answer);
  return answer;
}

Answer upload_part_copy(S3Context& context) {
  const S3Request& request = context.request;
  const BucketSettings& settings = context.bucket->settings;
  if (!settings.part_copy) throw S3Error{501, "NotImplemented", "UploadPartCopy is not implemented", {}, {}};
  const uint32_t number = part_number(request);
  Upload& upload = require_upload(context);
  check_customer_key(request, "x-amz-", upload.object.encryption);
  const Source source = source_of(context);
  uint64_t begin = 0;
  uint64_t end = source.object->size();
  if (const auto range = request.header("x-amz-copy-source-range"); !range.empty()) {
    const auto parsed = parse_range(range, source.object->size());
    // Unlike GET, a range that reaches beyond the end is refused.
    const auto last = internal::parse_uint(range.substr(range.find('-') + 1));
    if (!parsed || !last || *last >= source.object->size()) {
      throw S3Error{
          400, "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last", {}, {}};
    }
    std::tie(begin, end) = *parsed;
  }
  if (end - begin > most_copied) throw S3Error{400, "EntityTooLarge", "The part is too large", {}, {}};
  UploadedPart part;
  const RangeDigests digests = digests_of(*source.object->content, begin, end, settings.etag == "md5");
  part.md5 = digests.md5;
  part.etag = to_hex(part.md5);
  part.crc64 = digests.crc64;
  part.content = part_of_content(source.object->content, begin, end);
  part.modified_ms = context.store.now_ms();
  Object described;
  described.etag = part.etag;
  described.modified_ms = part.modified_ms;
  if (upload.algorithm == "crc64nvme") part.checksums = {{"crc64nvme", internal::crc64_to_base64(part.crc64), false}};
  described.checksums = part.checksums;
  upload.parts.insert_or_assign(number, std::move(part));
  Answer answer = xml_answer(result("CopyPartResult", described));
  add_source_version(source, answer);
  return answer;
}

}  // namespace waybill::testing::fault
