// SPDX-License-Identifier: Apache-2.0
//
// Objects in parts: an upload's life from creation to completion.
#include <algorithm>
#include <charconv>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "support/fault_server/s3_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr uint32_t most_parts = 10'000;

std::string unquoted(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

struct ChosenPart {
  uint32_t number;
  const UploadedPart* part;
};

S3Error invalid_part() {
  return {400, "InvalidPart", "One or more of the specified parts could not be found.", {}, {}};
}

// The parts that the document names, checked against those that are there.
std::vector<ChosenPart> choose_parts(const std::string& text, const Upload& upload) {
  const S3Error malformed{400, "MalformedXML", "The XML you provided was not well-formed", {}, {}};
  const auto document = parse_xml(text);
  if (!document || document->name != "CompleteMultipartUpload" || document->children.empty()) throw malformed;
  std::vector<ChosenPart> chosen;
  for (const XmlNode& node : document->children) {
    if (node.name != "Part") throw malformed;
    const auto number = internal::parse_uint(internal::trim(node.child_text("PartNumber")));
    if (!number || *number == 0 || *number > most_parts) throw malformed;
    if (!chosen.empty() && *number <= chosen.back().number) {
      throw S3Error{400, "InvalidPartOrder", "The list of parts was not in ascending order.", {}, {}};
    }
    const auto found = upload.parts.find(static_cast<uint32_t>(*number));
    if (found == upload.parts.end() || unquoted(internal::trim(node.child_text("ETag"))) != found->second.etag) {
      throw invalid_part();
    }
    for (const Checksum& one : found->second.checksums) {
      const auto said = node.child_text(checksum_element(one.algorithm));
      if (!said.empty() && said != one.value) throw invalid_part();
    }
    chosen.push_back({found->first, &found->second});
  }
  return chosen;
}

Crc64 combined_crc64(const std::vector<ChosenPart>& parts) {
  Crc64 crc = 0;
  for (const ChosenPart& one : parts) {
    crc = internal::crc64nvme_combine(crc, one.part->crc64, one.part->content->size());
  }
  return crc;
}

// Of the whole content where the bytes are there; CRC-32 over parts is rare enough to read them again.
std::string checksum_of_bytes(const std::string& algorithm, const Content& content) {
  Digester digester;
  digester.want(algorithm);
  std::string block(1 << 20, '\0');
  for (uint64_t at = 0; at < content.size(); at += block.size()) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(block.size(), content.size() - at));
    content.read(at, block.data(), count);
    digester.update(std::string_view(block.data(), count));
  }
  return to_base64(digester.finish(algorithm));
}

std::vector<Checksum> checksums_of(const Upload& upload, const std::vector<ChosenPart>& parts, const Content& content) {
  const std::string& algorithm = upload.algorithm;
  if (algorithm.empty() || algorithm == "crc64nvme") {
    return {{"crc64nvme", internal::crc64_to_base64(combined_crc64(parts)), false}};
  }
  if (upload.is_full_object) {
    if (!content.is_held()) return {};
    return {{algorithm, checksum_of_bytes(algorithm, content), false}};
  }
  std::string joined;
  for (const ChosenPart& one : parts) {
    for (const Checksum& checksum : one.part->checksums) {
      if (checksum.algorithm != algorithm) continue;
      const auto bytes = internal::base64_decode(checksum.value);
      if (bytes) joined.append(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    }
  }
  return {{algorithm, to_base64(digest(algorithm, joined)) + "-" + std::to_string(parts.size()), true}};
}

// What the client says of the whole object has to be so.
void check_said(const S3Request& request, const Object& object) {
  for (const Checksum& one : object.checksums) {
    std::string_view said = request.header("x-amz-checksum-" + one.algorithm);
    if (said.empty() || said == one.value) continue;
    throw S3Error{
        400, "BadDigest", "The " + one.algorithm + " you specified did not match the calculated checksum.", {}, {}};
  }
  const auto size = internal::parse_uint(request.header("x-amz-mp-object-size"));
  if (size && *size != object.size()) {
    throw S3Error{400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match.", {}, {}};
  }
}

Object join(const Upload& upload, const std::vector<ChosenPart>& parts, const BucketSettings& settings) {
  Object object = upload.object;
  std::vector<ContentPtr> contents;
  std::string digests;
  for (const ChosenPart& one : parts) {
    const uint64_t size = one.part->content->size();
    if (size < settings.min_part_bytes && &one != &parts.back()) {
      throw S3Error{400,
                    "EntityTooSmall",
                    "Your proposed upload is smaller than the minimum allowed size",
                    {{"PartNumber", std::to_string(one.number)}},
                    {}};
    }
    contents.push_back(one.part->content);
    object.part_sizes.push_back(size);
    digests += one.part->md5;
  }
  object.content = joined_content(std::move(contents));
  object.etag = encrypted_etag(object.encryption, to_hex(digest("md5", digests))) + "-" + std::to_string(parts.size());
  object.crc64 = combined_crc64(parts);
  if (settings.checksums == "yes") object.checksums = checksums_of(upload, parts, *object.content);
  return object;
}

}  // namespace

std::string checksum_element(const std::string& algorithm) {
  std::string name = "Checksum";
  for (const char c : algorithm) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

Upload& require_upload(S3Context& context) {
  const auto found = context.bucket->uploads.find(std::string(context.request.parameter("uploadId")));
  if (found == context.bucket->uploads.end() || found->second.key != context.request.key) {
    throw S3Error{404, "NoSuchUpload", "The specified multipart upload does not exist.", {}, {}};
  }
  return found->second;
}

uint32_t part_number(const S3Request& request) {
  const uint64_t number = request.number("partNumber", 0);
  if (number > 0 && number <= most_parts) return static_cast<uint32_t>(number);
  throw S3Error{400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", {}, {}};
}

Answer create_multipart_upload(S3Context& context) {
  check_key_length(context);
  Upload upload;
  upload.key = context.request.key;
  upload.object = object_of_headers(context);
  upload.initiated_ms = context.store.now_ms();
  upload.algorithm = internal::to_lower(context.request.header("x-amz-checksum-algorithm"));
  const auto type = context.request.header("x-amz-checksum-type");
  if (!upload.algorithm.empty() && !is_checksum(upload.algorithm)) {
    throw S3Error{400, "InvalidRequest", "Checksum algorithm provided is unsupported.", {}, {}};
  }
  const std::string& mode = context.bucket->settings.checksums;
  if (!upload.algorithm.empty() && mode == "refused") {
    throw S3Error{400, "InvalidRequest", "This store does not know the header x-amz-checksum-algorithm", {}, {}};
  }
  if (type == "FULL_OBJECT" && upload.algorithm.starts_with("sha")) {
    throw S3Error{400, "InvalidRequest", "The FULL_OBJECT checksum type cannot be used with this algorithm.", {}, {}};
  }
  upload.is_full_object = type == "FULL_OBJECT" || upload.algorithm == "crc64nvme";
  Answer answer;
  const std::string id = context.store.new_upload_id();
  XmlWriter xml("InitiateMultipartUploadResult");
  xml.element("Bucket", context.request.bucket).element("Key", upload.key).element("UploadId", id);
  answer = xml_answer(xml.finish());
  if (!upload.algorithm.empty() && mode == "yes") {
    answer.headers.emplace_back("x-amz-checksum-algorithm", checksum_element(upload.algorithm).substr(8));
    answer.headers.emplace_back("x-amz-checksum-type", upload.is_full_object ? "FULL_OBJECT" : "COMPOSITE");
  }
  add_encryption_headers(upload.object.encryption, answer);
  context.bucket->uploads.emplace(id, std::move(upload));
  return answer;
}

Answer upload_part(S3Context& context) {
  const uint32_t number = part_number(context.request);
  UploadedPart part;
  part.checksums = context.body.verify();
  Upload& upload = require_upload(context);
  check_customer_key(context.request, "x-amz-", upload.object.encryption);
  for (const Checksum& one : part.checksums) {
    if (upload.algorithm.empty() || one.algorithm == upload.algorithm) continue;
    throw S3Error{400,
                  "InvalidRequest",
                  "Checksum Type mismatch occurred, expected " + upload.algorithm + ", actual " + one.algorithm,
                  {},
                  {}};
  }
  const bool is_composite = !upload.algorithm.empty() && !upload.is_full_object;
  if (part.checksums.empty() && is_composite && context.bucket->settings.checksums == "yes") {
    throw S3Error{400, "InvalidRequest", "The upload was created using a checksum; the part has none.", {}, {}};
  }
  part.md5 = context.body.md5();
  part.etag = encrypted_etag(upload.object.encryption, to_hex(part.md5));
  part.crc64 = context.body.crc64();
  part.content = context.body.take_content();
  part.modified_ms = context.store.now_ms();
  Answer answer;
  answer.headers.emplace_back("ETag", quoted(part.etag));
  add_encryption_headers(upload.object.encryption, answer);
  for (const Checksum& one : part.checksums) answer.headers.emplace_back("x-amz-checksum-" + one.algorithm, one.value);
  upload.parts.insert_or_assign(number, std::move(part));
  return answer;
}

Answer list_parts(S3Context& context) {
  const Upload& upload = require_upload(context);
  const uint64_t most =
      std::min<uint64_t>(context.request.number("max-parts", 1000), context.bucket->settings.page_size);
  const uint64_t marker = context.request.number("part-number-marker", 0);
  XmlWriter xml("ListPartsResult");
  const bool is_encoded = context.request.parameter("encoding-type") == "url";
  xml.element("Bucket", context.request.bucket);
  xml.element("Key", is_encoded ? percent_encode(upload.key, true) : upload.key);
  xml.element("UploadId", context.request.parameter("uploadId"));
  xml.element("PartNumberMarker", std::to_string(marker)).element("MaxParts", std::to_string(most));
  xml.element("StorageClass", upload.object.storage_class);
  if (!upload.algorithm.empty()) {
    xml.element("ChecksumAlgorithm", checksum_element(upload.algorithm).substr(8));
    xml.element("ChecksumType", upload.is_full_object ? "FULL_OBJECT" : "COMPOSITE");
  }
  uint64_t last = marker;
  uint64_t count = 0;
  auto at = upload.parts.upper_bound(static_cast<uint32_t>(std::min<uint64_t>(marker, most_parts)));
  for (; at != upload.parts.end() && count < most; ++at, ++count) {
    last = at->first;
    xml.open("Part").element("PartNumber", std::to_string(at->first));
    xml.element("LastModified", iso_time(at->second.modified_ms)).element("ETag", quoted(at->second.etag));
    xml.element("Size", std::to_string(at->second.content->size()));
    for (const Checksum& one : at->second.checksums) xml.element(checksum_element(one.algorithm), one.value);
    xml.close("Part");
  }
  xml.element("IsTruncated", at == upload.parts.end() ? "false" : "true");
  if (at != upload.parts.end()) xml.element("NextPartNumberMarker", std::to_string(last));
  return xml_answer(xml.finish());
}

Answer complete_multipart_upload(S3Context& context) {
  Upload& upload = require_upload(context);
  check_customer_key(context.request, "x-amz-", upload.object.encryption);
  const std::vector<ChosenPart> parts = choose_parts(context.body.text(), upload);
  Object object = join(upload, parts, context.bucket->settings);
  check_said(context.request, object);
  check_write_conditions(context);
  object.modified_ms = context.store.now_ms();
  const ObjectPtr put = context.bucket->put(upload.key, std::move(object));
  context.bucket->uploads.erase(std::string(context.request.parameter("uploadId")));
  XmlWriter xml("CompleteMultipartUploadResult");
  xml.element("Location", "/" + context.request.bucket + "/" + percent_encode(context.request.key, true));
  xml.element("Bucket", context.request.bucket).element("Key", context.request.key).element("ETag", quoted(put->etag));
  for (const Checksum& one : put->checksums) {
    xml.element(checksum_element(one.algorithm), one.value);
    xml.element("ChecksumType", one.is_composite ? "COMPOSITE" : "FULL_OBJECT");
  }
  Answer answer = xml_answer(xml.finish());
  add_version_header(*context.bucket, *put, answer);
  add_encryption_headers(put->encryption, answer);
  return answer;
}

Answer abort_multipart_upload(S3Context& context) {
  require_upload(context);
  context.bucket->uploads.erase(std::string(context.request.parameter("uploadId")));
  Answer answer;
  answer.status = 204;
  return answer;
}

}  // namespace waybill::testing::fault
