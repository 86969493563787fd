// SPDX-License-Identifier: Apache-2.0
//
// Listing objects and versions. A continuation token says which page comes, and after what: "<page>.<k or p>.<hex>",
// where p is a common prefix, whose keys are all left out.
#include <algorithm>
#include <optional>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "support/fault_server/s3_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

struct Position {
  std::string after;
  bool is_prefix = false;
  bool is_set = false;
  uint64_t page = 0;
};

struct Entry {
  std::string name;  // a key or a common prefix
  ObjectPtr object;  // null for a prefix
};

struct Page {
  std::vector<Entry> entries;
  bool is_truncated = false;
  Position next;
};

// The first text that is greater than all that begin with `prefix`; nothing where there is none.
std::optional<std::string> successor(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::nullopt;
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

// The common prefix that a key falls under, "" if none.
std::string common_prefix(const std::string& key, const std::string& prefix, const std::string& delimiter) {
  if (delimiter.empty() || !key.starts_with(prefix)) return {};
  const size_t at = key.find(delimiter, prefix.size());
  return at == std::string::npos ? std::string() : key.substr(0, at + delimiter.size());
}

struct Question {
  std::string prefix;
  std::string delimiter;
  uint64_t most = 1000;
  bool is_url_encoded = false;
  bool plus_for_space = false;

  explicit Question(S3Context& context, std::string_view most_name = "max-keys") {
    const S3Request& request = context.request;
    const BucketSettings& settings = context.bucket->settings;
    prefix = request.parameter("prefix");
    delimiter = request.parameter("delimiter");
    most = std::min(request.number(most_name, settings.page_size), settings.page_size);
    const auto encoding = request.parameter("encoding-type");
    if (!encoding.empty() && encoding != "url") {
      throw S3Error{400, "InvalidArgument", "Invalid Encoding Method specified in Request", {}, {}};
    }
    is_url_encoded = encoding == "url" && !settings.ignores_encoding_type;
    plus_for_space = settings.plus_for_space;
  }

  std::string shown(const std::string& key) const {
    if (!is_url_encoded) return key;
    std::string encoded = percent_encode(key, true);
    if (!plus_for_space) return encoded;
    for (size_t at = encoded.find("%20"); at != std::string::npos; at = encoded.find("%20", at)) {
      encoded.replace(at, 3, "+");
    }
    return encoded;
  }
};

Page walk(const Bucket& bucket, const Question& question, const Position& from) {
  Page page;
  page.next = from;
  std::optional<std::string> begin = question.prefix;
  if (from.is_set && from.after >= question.prefix) begin = from.is_prefix ? successor(from.after) : from.after + '\0';
  if (!begin || question.most == 0) return page;
  Bucket::Cursor cursor(bucket, *begin);
  const std::string& unlisted = bucket.settings.unlisted;
  const Pattern hidden(unlisted);
  while (!cursor.is_at_end() && cursor.key().starts_with(question.prefix)) {
    ObjectPtr object = cursor.current();
    if (!object || (!unlisted.empty() && hidden.matches(cursor.key()))) {
      cursor.next();
      continue;
    }
    if (page.entries.size() == question.most) {
      page.is_truncated = true;
      break;
    }
    std::string folder = common_prefix(cursor.key(), question.prefix, question.delimiter);
    page.next.is_set = true;
    page.next.is_prefix = !folder.empty();
    page.next.after = folder.empty() ? cursor.key() : folder;
    if (folder.empty()) {
      page.entries.push_back({cursor.key(), std::move(object)});
      cursor.next();
      continue;
    }
    const auto beyond = successor(folder);
    page.entries.push_back({std::move(folder), nullptr});
    if (!beyond) break;
    cursor.seek(*beyond);
  }
  return page;
}

std::string token_of(const Position& position) {
  return std::to_string(position.page) +
         (position.is_prefix ? ".p."
          : position.is_set  ? ".k."
                             : ".n.") +
         to_hex(position.after);
}

Position position_of_token(std::string_view token) {
  const S3Error invalid{400, "InvalidArgument", "The continuation token provided is incorrect", {}, {}};
  const size_t dot = token.find('.');
  if (dot == std::string_view::npos || dot + 3 > token.size()) throw invalid;
  const auto page = internal::parse_uint(token.substr(0, dot));
  const auto after = internal::hex_decode(token.substr(dot + 3));
  if (!page || !after) throw invalid;
  Position position;
  position.page = *page;
  position.is_prefix = token[dot + 1] == 'p';
  position.is_set = token[dot + 1] != 'n';
  position.after.assign(reinterpret_cast<const char*>(after->data()), after->size());
  return position;
}

void write_owner(XmlWriter& xml) {
  xml.open("Owner").element("ID", "waybill-test").element("DisplayName", "waybill-test").close("Owner");
}

void write_object(XmlWriter& xml, const Object& object) {
  xml.element("LastModified", iso_time(object.modified_ms)).element("ETag", quoted(object.etag));
  for (const Checksum& one : object.checksums) {
    xml.element("ChecksumAlgorithm", checksum_element(one.algorithm).substr(8));
    xml.element("ChecksumType", one.is_composite ? "COMPOSITE" : "FULL_OBJECT");
  }
  xml.element("Size", std::to_string(object.size())).element("StorageClass", object.storage_class);
}

void write_page(XmlWriter& xml, const Question& question, Page& page, bool with_owner, bool backwards) {
  if (backwards) std::reverse(page.entries.begin(), page.entries.end());
  for (const Entry& entry : page.entries) {
    if (!entry.object) continue;
    xml.open("Contents").element("Key", question.shown(entry.name));
    write_object(xml, *entry.object);
    if (with_owner) write_owner(xml);
    xml.close("Contents");
  }
  for (const Entry& entry : page.entries) {
    if (entry.object) continue;
    xml.open("CommonPrefixes").element("Prefix", question.shown(entry.name)).close("CommonPrefixes");
  }
}

void write_question(XmlWriter& xml, S3Context& context, const Question& question, std::string_view most_name) {
  xml.element("Name", context.request.bucket).element("Prefix", question.shown(question.prefix));
  xml.element(most_name, std::to_string(question.most));
  if (!question.delimiter.empty()) xml.element("Delimiter", question.shown(question.delimiter));
  if (question.is_url_encoded) xml.element("EncodingType", "url");
}

Position marker_position(const Question& question, std::string_view marker) {
  Position position;
  position.after = marker;
  position.is_set = !marker.empty();
  // A marker that is a common prefix has been answered: everything beneath it is.
  position.is_prefix = position.is_set && common_prefix(position.after, question.prefix, question.delimiter) == marker;
  return position;
}

}  // namespace

std::string iso_time(int64_t ms) { return internal::format_rfc3339(ms); }

Answer list_objects(S3Context& context) {
  const Question question(context);
  const std::string marker(context.request.parameter("marker"));
  Page page = walk(*context.bucket, question, marker_position(question, marker));
  XmlWriter xml("ListBucketResult");
  write_question(xml, context, question, "MaxKeys");
  xml.element("Marker", question.shown(marker)).element("IsTruncated", page.is_truncated ? "true" : "false");
  // Without a delimiter the last key is the marker, and S3 does not say so.
  if (page.is_truncated && !question.delimiter.empty()) xml.element("NextMarker", question.shown(page.next.after));
  write_page(xml, question, page, true, context.bucket->settings.unordered);
  return xml_answer(xml.finish());
}

Answer list_objects_v2(S3Context& context) {
  const BucketSettings& settings = context.bucket->settings;
  if (settings.list_v2 == "not_implemented") throw S3Error{501, "NotImplemented", "Only version 1 is there", {}, {}};
  if (settings.list_v2 == "as_v1") return list_objects(context);
  const S3Request& request = context.request;
  const Question question(context);
  const std::string token(request.parameter("continuation-token"));
  const std::string start_after(request.parameter("start-after"));
  Position from;
  if (request.has("continuation-token")) {
    from = position_of_token(token);
  } else {
    from.after = start_after;
    from.is_set = !start_after.empty();
  }
  Page page;
  if (settings.empty_page_every > 0 && (from.page + 1) % settings.empty_page_every == 0) {
    page.next = from;
    page.is_truncated = true;
  } else {
    page = walk(*context.bucket, question, from);
  }
  page.next.page = from.page + 1;
  std::string next = token_of(page.next);
  if (settings.repeats_token_after > 0 && from.page >= settings.repeats_token_after) next = token;

  XmlWriter xml("ListBucketResult");
  write_question(xml, context, question, "MaxKeys");
  xml.element("KeyCount", std::to_string(page.entries.size()));
  xml.element("IsTruncated", page.is_truncated ? "true" : "false");
  if (!start_after.empty()) xml.element("StartAfter", question.shown(start_after));
  if (request.has("continuation-token")) xml.element("ContinuationToken", token);
  if (page.is_truncated) xml.element("NextContinuationToken", next);
  write_page(xml, question, page, request.parameter("fetch-owner") == "true", settings.unordered);
  return xml_answer(xml.finish());
}

Answer list_object_versions(S3Context& context) {
  const Question question(context);
  const std::string key_marker(context.request.parameter("key-marker"));
  const std::string version_marker(context.request.parameter("version-id-marker"));
  XmlWriter items("items");  // its own document: what is before it depends on what is in it
  std::string last_key = key_marker;
  std::string last_version = version_marker;
  std::vector<std::string> folders;
  uint64_t count = 0;
  bool is_truncated = false;
  Bucket::Cursor cursor(*context.bucket, std::max(question.prefix, key_marker));
  while (!cursor.is_at_end() && cursor.key().starts_with(question.prefix) && !is_truncated) {
    const std::string key = cursor.key();
    std::vector<ObjectPtr> versions = cursor.versions();
    std::reverse(versions.begin(), versions.end());
    const ObjectPtr newest = versions.empty() ? nullptr : versions.front();
    if (key == key_marker) {
      const auto seen = std::find_if(versions.begin(), versions.end(),
                                     [&](const ObjectPtr& one) { return one->version_id == version_marker; });
      versions.erase(versions.begin(), seen == versions.end() ? versions.end() : seen + 1);
    }
    const std::string folder = common_prefix(key, question.prefix, question.delimiter);
    if (!folder.empty()) versions.clear();
    const bool is_new_folder = !folder.empty() && folder != key_marker;
    if (is_new_folder && count == question.most) {
      is_truncated = true;
      break;
    }
    if (is_new_folder) {
      folders.push_back(folder);
      last_key = folder;
      last_version.clear();
      ++count;
    }
    for (const ObjectPtr& version : versions) {
      if (count == question.most) {
        is_truncated = true;
        break;
      }
      const char* const element = version->is_delete_marker ? "DeleteMarker" : "Version";
      items.open(element).element("Key", question.shown(key)).element("VersionId", version->version_id);
      items.element("IsLatest", version == newest ? "true" : "false");
      if (version->is_delete_marker) {
        items.element("LastModified", iso_time(version->modified_ms));
      } else {
        write_object(items, *version);
      }
      write_owner(items);
      items.close(element);
      last_key = key;
      last_version = version->version_id;
      ++count;
    }
    if (folder.empty()) {
      cursor.next();
    } else if (const auto beyond = successor(folder)) {
      cursor.seek(*beyond);
    } else {
      break;
    }
  }
  for (const std::string& folder : folders) {
    items.open("CommonPrefixes").element("Prefix", question.shown(folder)).close("CommonPrefixes");
  }
  XmlWriter xml("ListVersionsResult");
  write_question(xml, context, question, "MaxKeys");
  xml.element("KeyMarker", question.shown(key_marker)).element("VersionIdMarker", version_marker);
  xml.element("IsTruncated", is_truncated ? "true" : "false");
  if (is_truncated) {
    xml.element("NextKeyMarker", question.shown(last_key));
    if (!last_version.empty()) xml.element("NextVersionIdMarker", last_version);
  }
  xml.append_children_of(std::move(items));
  return xml_answer(xml.finish());
}

Answer list_multipart_uploads(S3Context& context) {
  const Question question(context, "max-uploads");
  const std::string key_marker(context.request.parameter("key-marker"));
  const std::string id_marker(context.request.parameter("upload-id-marker"));
  std::vector<std::pair<std::string, std::string>> found;  // key and id, in order: ids grow with time
  for (const auto& [id, upload] : context.bucket->uploads) {
    if (!upload.key.starts_with(question.prefix)) continue;
    const bool is_after = key_marker.empty() || upload.key > key_marker ||
                          (upload.key == key_marker && !id_marker.empty() && id > id_marker);
    if (is_after) found.emplace_back(upload.key, id);
  }
  std::sort(found.begin(), found.end());
  const bool is_truncated = found.size() > question.most;
  if (is_truncated) found.resize(question.most);
  XmlWriter xml("ListMultipartUploadsResult");
  xml.element("Bucket", context.request.bucket).element("KeyMarker", question.shown(key_marker));
  xml.element("UploadIdMarker", id_marker).element("Prefix", question.shown(question.prefix));
  if (question.is_url_encoded) xml.element("EncodingType", "url");
  xml.element("MaxUploads", std::to_string(question.most)).element("IsTruncated", is_truncated ? "true" : "false");
  if (is_truncated && !found.empty()) {
    xml.element("NextKeyMarker", question.shown(found.back().first));
    xml.element("NextUploadIdMarker", found.back().second);
  }
  for (const auto& [key, id] : found) {
    const Upload& upload = context.bucket->uploads.at(id);
    xml.open("Upload").element("Key", question.shown(key)).element("UploadId", id);
    write_owner(xml);
    xml.element("StorageClass", upload.object.storage_class).element("Initiated", iso_time(upload.initiated_ms));
    xml.close("Upload");
  }
  return xml_answer(xml.finish());
}

}  // namespace waybill::testing::fault
