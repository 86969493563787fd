// SPDX-License-Identifier: Apache-2.0
//
// See xml.hpp.
#include "connectors/s3/xml.hpp"

#include <pugixml.hpp>

#include <algorithm>

#include "base/hash.hpp"
#include "base/uri.hpp"
#include "base/text.hpp"
#include "waybill/error.hpp"

namespace waybill::s3 {
namespace {

// Text exactly as it is (no line-end conversion, no trimming), entities resolved, nothing kept that is not content.
constexpr unsigned parse_flags = pugi::parse_escapes | pugi::parse_cdata | pugi::parse_ws_pcdata_single;

// Of a document. The longest sound one, a page of some ten thousand objects, has half of it; each takes memory when it
// is parsed, however short it is.
constexpr std::ptrdiff_t most_tags = 500'000;
constexpr uint64_t most_parts = 10'000;

Error broken(std::string_view what, std::string_view why) {
  return Error(ErrorCode::data_loss, ErrorClass::server,
               "the store's " + std::string(what) + " answer is not valid: " + std::string(why))
      .set_retryable();
}

// Element names come with or without a namespace prefix.
std::string_view local_name(const pugi::xml_node& node) {
  std::string_view name = node.name();
  if (const size_t colon = name.find(':'); colon != std::string_view::npos) name.remove_prefix(colon + 1);
  return name;
}

// The text of an element in one piece: comments and CDATA sections may split it.
std::string text_of(const pugi::xml_node& node) {
  std::string text;
  for (const pugi::xml_node& child : node.children()) {
    if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata) text += child.value();
  }
  return text;
}

// The root element, whatever its name.
pugi::xml_node load_any(pugi::xml_document& document, std::string& body, std::string_view expected) {
  if (std::count(body.begin(), body.end(), '<') > most_tags) {
    throw broken(expected, "it has too many elements").set_retryable(false);
  }
  const pugi::xml_parse_result result =
      document.load_buffer_inplace(body.data(), body.size(), parse_flags, pugi::encoding_utf8);
  if (!result) throw broken(expected, result.description());
  return document.document_element();
}

pugi::xml_node load(pugi::xml_document& document, std::string& body, std::string_view root) {
  const pugi::xml_node node = load_any(document, body, root);
  if (local_name(node) != root) throw broken(root, "it is a <" + printable(local_name(node)) + ">");
  return node;
}

uint64_t number(const std::string& text, std::string_view root, std::string_view name) {
  const auto value = internal::parse_uint(internal::trim(text));
  if (!value) throw broken(root, "<" + std::string(name) + "> is no number");
  return *value;
}

bool boolean(const std::string& text, std::string_view root, std::string_view name) {
  const std::string_view value = internal::trim(text);
  if (value == "true") return true;
  if (value == "false") return false;
  throw broken(root, "<" + std::string(name) + "> is neither true nor false");
}

ServiceError read_error(const pugi::xml_node& root) {
  ServiceError error;
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "Code")
      error.code = text_of(node);
    else if (name == "Message")
      error.message = text_of(node);
    else if (name == "RequestId")
      error.request_id = text_of(node);
    else if (name == "Region")
      error.region = text_of(node);
    else if (name == "Endpoint")
      error.endpoint = text_of(node);
  }
  return error;
}

// As x-amz-restore of a HEAD: under way, or there until a date.
void read_restore_status(const pugi::xml_node& status, ListedObject& object) {
  bool has_expiry = false;
  for (const pugi::xml_node& node : status.children()) {
    const std::string_view name = local_name(node);
    if (name == "IsRestoreInProgress") object.is_restoring = internal::trim(text_of(node)) == "true";
    if (name == "RestoreExpiryDate") has_expiry = true;
  }
  object.is_restored = has_expiry && !object.is_restoring;
}

// An entry of a listing, of whatever kind: a delete marker has no size.
ListedObject read_object(const pugi::xml_node& contents, std::string_view root, bool is_delete_marker) {
  ListedObject object;
  object.is_delete_marker = is_delete_marker;
  bool has_key = false;
  bool has_size = false;
  for (const pugi::xml_node& node : contents.children()) {
    const std::string_view name = local_name(node);
    if (name == "Key") {
      object.key = text_of(node);
      has_key = true;
    } else if (name == "Size") {
      object.size = number(text_of(node), root, name);
      has_size = true;
    } else if (name == "ETag") {
      const std::string etag = text_of(node);
      object.etag = unquote_etag(etag);
      object.has_weak_etag = is_weak_etag(etag);
    } else if (name == "StorageClass") {
      object.storage_class = text_of(node);
    } else if (name == "LastModified") {
      object.modified_at_ms = internal::parse_rfc3339(internal::trim(text_of(node)));
    } else if (name == "RestoreStatus") {
      read_restore_status(node, object);
    } else if (name == "VersionId") {
      object.version_id = text_of(node);
    } else if (name == "IsLatest") {
      object.is_latest = boolean(text_of(node), root, name);
    }
  }
  if (!has_key || object.key.empty()) throw broken(root, "an entry has no <Key>");
  if (!has_size && !is_delete_marker) throw broken(root, "the entry " + printable(object.key) + " has no <Size>");
  return object;
}

PartInfo read_part(const pugi::xml_node& element) {
  constexpr std::string_view root = "ListPartsResult";
  PartInfo part;
  bool has_size = false;
  for (const pugi::xml_node& node : element.children()) {
    const std::string_view name = local_name(node);
    if (name == "PartNumber") {
      const uint64_t value = number(text_of(node), root, name);
      if (value == 0 || value > most_parts) throw broken(root, "a part number is out of range");
      part.number = static_cast<uint32_t>(value);
    } else if (name == "Size") {
      part.size = number(text_of(node), root, name);
      has_size = true;
    } else if (name == "ETag") {
      part.etag = unquote_etag(text_of(node));
    } else if (name == "ChecksumCRC64NVME") {
      part.digest.crc64nvme = internal::crc64_from_base64(text_of(node));
    }
  }
  if (part.number == 0 || !has_size || part.etag.empty()) {
    throw broken(root, "a part lacks its number, size or ETag");
  }
  return part;
}

}  // namespace

bool is_weak_etag(std::string_view etag) noexcept { return etag.starts_with("W/"); }

std::string_view unquote_etag(std::string_view etag) noexcept {
  if (is_weak_etag(etag)) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return etag;
}

ServiceError parse_error(std::string_view body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size(), parse_flags, pugi::encoding_utf8)) return {};
  pugi::xml_node root = document.document_element();
  if (local_name(root) == "ErrorResponse") {  // as IAM and some compatible stores wrap it
    for (const pugi::xml_node& node : root.children()) {
      if (local_name(node) == "Error") root = node;
    }
  }
  if (local_name(root) != "Error") return {};
  return read_error(root);
}

ListedPage parse_list(std::string& body) {
  constexpr std::string_view name_of_root = "ListBucketResult";
  pugi::xml_document document;
  const pugi::xml_node root = load(document, body, name_of_root);
  ListedPage page;
  bool has_truncated = false;
  bool has_v1 = false;
  bool has_v2 = false;
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "Contents") {
      page.objects.push_back(read_object(node, name_of_root, false));
    } else if (name == "IsTruncated") {
      page.is_truncated = boolean(text_of(node), name_of_root, name);
      has_truncated = true;
    } else if (name == "NextContinuationToken") {
      page.next_token = text_of(node);
      has_v2 = true;
    } else if (name == "EncodingType") {
      page.is_url_encoded = text_of(node) == "url";
    } else if (name == "KeyCount" || name == "ContinuationToken" || name == "StartAfter") {
      has_v2 = true;
    } else if (name == "NextMarker") {
      page.next_marker = text_of(node);
      has_v1 = true;
    } else if (name == "Marker") {
      has_v1 = true;
    }
  }
  if (!has_truncated) throw broken(name_of_root, "it has no <IsTruncated>");
  page.is_v1 = has_v1 && !has_v2;
  page.is_v2 = has_v2;
  return page;
}

ListedPage parse_versions(std::string& body) {
  constexpr std::string_view name_of_root = "ListVersionsResult";
  pugi::xml_document document;
  const pugi::xml_node root = load(document, body, name_of_root);
  ListedPage page;
  bool has_truncated = false;
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "Version" || name == "DeleteMarker") {
      page.objects.push_back(read_object(node, name_of_root, name == "DeleteMarker"));
    } else if (name == "IsTruncated") {
      page.is_truncated = boolean(text_of(node), name_of_root, name);
      has_truncated = true;
    } else if (name == "EncodingType") {
      page.is_url_encoded = text_of(node) == "url";
    } else if (name == "NextKeyMarker") {
      page.next_marker = text_of(node);
    } else if (name == "NextVersionIdMarker") {
      page.next_version_marker = text_of(node);
    }
  }
  if (!has_truncated) throw broken(name_of_root, "it has no <IsTruncated>");
  return page;
}

std::string parse_initiate(std::string& body) {
  constexpr std::string_view name_of_root = "InitiateMultipartUploadResult";
  pugi::xml_document document;
  for (const pugi::xml_node& node : load(document, body, name_of_root).children()) {
    if (local_name(node) != "UploadId") continue;
    std::string id = text_of(node);
    if (!id.empty()) return id;
  }
  throw broken(name_of_root, "it has no <UploadId>");
}

ListedParts parse_parts(std::string& body) {
  constexpr std::string_view name_of_root = "ListPartsResult";
  pugi::xml_document document;
  const pugi::xml_node root = load(document, body, name_of_root);
  ListedParts result;
  bool has_truncated = false;
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "Part") {
      result.parts.push_back(read_part(node));
    } else if (name == "IsTruncated") {
      result.is_truncated = boolean(text_of(node), name_of_root, name);
      has_truncated = true;
    } else if (name == "NextPartNumberMarker") {
      result.next_marker = text_of(node);
    } else if (name == "ChecksumAlgorithm") {
      result.checksum_algorithm = text_of(node);
    }
  }
  if (!has_truncated) throw broken(name_of_root, "it has no <IsTruncated>");
  return result;
}

std::vector<ListedUpload> parse_uploads(std::string& body) {
  constexpr std::string_view name_of_root = "ListMultipartUploadsResult";
  pugi::xml_document document;
  const pugi::xml_node root = load(document, body, name_of_root);
  bool is_encoded = false;
  std::vector<ListedUpload> uploads;
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "EncodingType") is_encoded = text_of(node) == "url";
    if (name != "Upload") continue;
    ListedUpload upload;
    for (const pugi::xml_node& child : node.children()) {
      if (local_name(child) == "Key") upload.key = text_of(child);
      if (local_name(child) == "UploadId") upload.id = text_of(child);
      if (local_name(child) == "Initiated")
        upload.initiated_ms = internal::parse_rfc3339(internal::trim(text_of(child)));
    }
    if (upload.key.empty() || upload.id.empty()) throw broken(name_of_root, "an upload lacks its key or id");
    uploads.push_back(std::move(upload));
  }
  for (ListedUpload& upload : uploads) upload.is_url_encoded = is_encoded;
  return uploads;
}

std::map<std::string, std::string> parse_tagging(std::string& body) {
  constexpr std::string_view name_of_root = "Tagging";
  pugi::xml_document document;
  const pugi::xml_node root = load(document, body, name_of_root);
  std::map<std::string, std::string> tags;
  for (const pugi::xml_node& set : root.children()) {
    if (local_name(set) != "TagSet") continue;
    for (const pugi::xml_node& tag : set.children()) {
      std::string name;
      std::string value;
      for (const pugi::xml_node& child : tag.children()) {
        if (local_name(child) == "Key") name = text_of(child);
        if (local_name(child) == "Value") value = text_of(child);
      }
      if (name.empty()) throw broken(name_of_root, "a tag has no <Key>");
      tags.insert_or_assign(std::move(name), std::move(value));
    }
  }
  return tags;
}

namespace {

Completed parse_written(std::string& body, std::initializer_list<std::string_view> names_of_root) {
  const std::string_view expected = *names_of_root.begin();
  // White space that kept the connection alive may come before the document and its declaration.
  body.erase(0, body.find_first_not_of(" \t\r\n"));
  pugi::xml_document document;
  const pugi::xml_node root = load_any(document, body, expected);
  Completed completed;
  if (local_name(root) == "Error") {
    completed.error = read_error(root);
    return completed;
  }
  if (std::find(names_of_root.begin(), names_of_root.end(), local_name(root)) == names_of_root.end()) {
    throw broken(expected, "it is a <" + printable(local_name(root)) + ">");
  }
  bool is_composite = false;
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "ETag")
      completed.etag = unquote_etag(text_of(node));
    else if (name == "ChecksumCRC64NVME")
      completed.crc64nvme = internal::crc64_from_base64(text_of(node));
    else if (name == "ChecksumType")
      is_composite = text_of(node) == "COMPOSITE";
  }
  if (is_composite) completed.crc64nvme.reset();
  if (completed.etag.empty()) throw broken(expected, "it has no <ETag>");
  return completed;
}

}  // namespace

Completed parse_complete(std::string& body) { return parse_written(body, {"CompleteMultipartUploadResult"}); }

Completed parse_copied(std::string& body) { return parse_written(body, {"CopyObjectResult", "CopyPartResult"}); }

std::string complete_body(std::span<const PartInfo> parts, bool with_checksums) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  body.reserve(body.size() + parts.size() * (with_checksums ? 170 : 110) + 32);
  for (const PartInfo& part : parts) {
    body += "<Part><PartNumber>";
    body += std::to_string(part.number);
    body += "</PartNumber><ETag>&quot;";
    for (const char c : part.etag) {
      if (c == '&')
        body += "&amp;";
      else if (c == '<')
        body += "&lt;";
      else if (c == '>')
        body += "&gt;";
      else
        body += c;
    }
    body += "&quot;</ETag>";
    if (with_checksums && part.digest.crc64nvme) {
      body += "<ChecksumCRC64NVME>";
      body += internal::crc64_to_base64(*part.digest.crc64nvme);
      body += "</ChecksumCRC64NVME>";
    }
    body += "</Part>";
  }
  body += "</CompleteMultipartUpload>";
  return body;
}

}  // namespace waybill::s3
