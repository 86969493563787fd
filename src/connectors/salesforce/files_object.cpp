// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/files_object.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/error.hpp"

namespace waybill::salesforce {

using Named = std::pair<std::string_view, std::string_view>;  // a name of items, and the path that it comes from

struct FilesLayout {
  std::string_view object;
  std::string_view prefix;  ///< of its ids
  std::string_view body;
  std::string_view size;
  std::string_view changed;  ///< when its content did, at the latest
  std::span<const std::string_view> needed;
  std::span<const std::string_view> more;  ///< of use where they can be seen
  std::span<const Named> names;
};

namespace {

constexpr std::string_view document_prefix = "069";

constexpr std::array<std::string_view, 5> version_needs = {"Id", "ContentDocumentId", "ContentSize", "CreatedDate",
                                                           "IsLatest"};
constexpr std::array<std::string_view, 2> version_more = {"Checksum", "ContentLocation"};
constexpr std::array<Named, 10> version_names = {{{"title", "Title"},
                                                  {"extension", "FileExtension"},
                                                  {"path_on_client", "PathOnClient"},
                                                  {"document_id", "ContentDocumentId"},
                                                  {"version_id", "Id"},
                                                  {"version_number", "VersionNumber"},
                                                  {"parent_id", "FirstPublishLocationId"},
                                                  {"parent_name", "FirstPublishLocation.Name"},
                                                  {"owner_id", "OwnerId"},
                                                  {"owner_name", "Owner.Name"}}};

constexpr std::array<std::string_view, 3> attachment_needs = {"Id", "BodyLength", "SystemModstamp"};
constexpr std::array<Named, 5> attachment_names = {{{"title", "Name"},
                                                    {"parent_id", "ParentId"},
                                                    {"parent_name", "Parent.Name"},
                                                    {"owner_id", "OwnerId"},
                                                    {"owner_name", "Owner.Name"}}};

constexpr std::array<std::string_view, 1> document_more = {"Url"};
constexpr std::array<Named, 6> document_names = {{{"title", "Name"},
                                                  {"extension", "Type"},
                                                  {"parent_id", "FolderId"},
                                                  {"parent_name", "Folder.Name"},
                                                  {"owner_id", "AuthorId"},
                                                  {"owner_name", "Author.Name"}}};

constexpr std::array<FilesLayout, 3> layouts = {{
    {"ContentVersion", "068", "VersionData", "ContentSize", "CreatedDate", version_needs, version_more, version_names},
    {"Attachment", "00P", "Body", "BodyLength", "SystemModstamp", attachment_needs, {}, attachment_names},
    {"Document", "015", "Body", "BodyLength", "SystemModstamp", attachment_needs, document_more, document_names},
}};

const FilesLayout& layout_of(const std::string& object) {
  const auto found = std::find_if(layouts.begin(), layouts.end(), [&](const FilesLayout& layout) {
    return internal::equals_ignoring_case(layout.object, object);
  });
  if (found != layouts.end()) return *found;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              printable(object) + " holds no files; ContentVersion, Attachment and Document do");
}

std::string text_of(const Record& record, std::string_view path) {
  const auto found = record.find(path);
  return found == record.end() ? std::string() : found->second.value_or(std::string());
}

// REST writes +0000, the Bulk API Z.
std::optional<int64_t> time_of(std::string text) {
  if (text.ends_with("+0000")) text.replace(text.size() - 5, 5, "Z");
  return internal::parse_rfc3339_ns(text);
}

bool looks_like_md5(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// The title of a file is often its name already.
std::string file_name(const std::string& title, const std::string& extension) {
  if (extension.empty() || internal::to_lower(title).ends_with("." + internal::to_lower(extension))) return title;
  return title + "." + extension;
}

void refuse(Item& item, std::string reason) {
  item.refused = ErrorClass::unsupported;
  item.reason = std::move(reason);
}

bool has_path(const Object& described, std::string_view path) {
  const size_t dot = path.find('.');
  if (dot == std::string_view::npos) return described.find(path) != nullptr;
  return std::any_of(described.fields.begin(), described.fields.end(), [&](const Field& field) {
    return internal::equals_ignoring_case(field.relationship, path.substr(0, dot));
  });
}

// What stands between two separators of a path, or behind a parameter's '='.
std::optional<std::string> id_at(std::string_view text, std::string_view ends, std::string_view prefix) {
  const std::string_view word = text.substr(0, text.find_first_of(ends));
  return word.starts_with(prefix) ? long_id(word) : std::nullopt;
}

// The value of a parameter of a query.
std::string_view parameter(std::string_view query, std::string_view name) {
  for (size_t from = 0; from < query.size();) {
    const size_t to = std::min(query.find('&', from), query.size());
    const std::string_view pair = query.substr(from, to - from);
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) return pair.substr(name.size() + 1);
    from = to + 1;
  }
  return {};
}

}  // namespace

FilesObject::FilesObject(const FilesConfig& config)
    : layout_(layout_of(config.object)), is_latest_(layout_.prefix == "068" && !config.all_versions) {}

std::vector<std::string> FilesObject::paths(const Object& described) const {
  const auto expect = [&](std::string_view field) {
    if (described.find(field) != nullptr) return;
    throw Error(ErrorCode::permission_denied, ErrorClass::permission,
                "this user may not read " + std::string(layout_.object) + "." + std::string(field) +
                    "; grant it the right to read the object and its fields");
  };
  expect(layout_.body);
  std::vector<std::string> paths;
  const auto select = [&](std::string_view path) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.emplace_back(path);
  };
  for (const std::string_view field : layout_.needed) {
    expect(field);
    select(field);
  }
  for (const std::string_view field : layout_.more) {
    if (has_path(described, field)) select(field);
  }
  for (const auto& [name, path] : layout_.names) {
    if (has_path(described, path)) select(path);
  }
  return paths;
}

bool FilesObject::has_links() const { return layout_.prefix == "068"; }

std::string FilesObject::where(const Key& key) const {
  if (is_latest_) return "ContentDocumentId = " + soql_text(key) + " AND IsLatest = true";
  return "Id = " + soql_text(key);
}

bool FilesObject::is_key(std::string_view key) const {
  return key.starts_with(is_latest_ ? document_prefix : layout_.prefix) && long_id(key) == key;
}

Item FilesObject::item_of(const Record& record) const {
  Item item;
  item.id.key = text_of(record, key_field());
  item.stamp.size = internal::parse_uint(text_of(record, layout_.size));
  item.stamp.mtime_ns = time_of(text_of(record, layout_.changed));
  if (is_latest_) item.stamp.version = text_of(record, "Id");
  item.stamp.etag = text_of(record, "Checksum");
  if (looks_like_md5(item.stamp.etag)) item.stamp.etag = internal::to_lower(item.stamp.etag);
  for (const auto& [name, path] : layout_.names) {
    if (std::string text = text_of(record, path); !text.empty()) item.names.emplace(name, std::move(text));
  }
  const auto title = item.names.find("title");
  if (title != item.names.end()) {
    const auto extension = item.names.find("extension");
    item.names["file_name"] = file_name(title->second, extension == item.names.end() ? "" : extension->second);
  }
  const std::string location = text_of(record, "ContentLocation");
  if (!location.empty() && location != "S") refuse(item, "its content is not in Salesforce: it is a link to another system");
  if (!text_of(record, "Url").empty() && item.stamp.size.value_or(0) == 0) refuse(item, "it is a link, and has no content");
  return item;
}

std::optional<std::string> FilesObject::body_of(const Item& item) const {
  const std::string& id = is_latest_ ? item.stamp.version : item.id.key;
  if (!long_id(id)) return std::nullopt;
  return "/sobjects/" + std::string(layout_.object) + "/" + id + "/" + std::string(layout_.body);
}

std::optional<Key> FilesObject::key_in(std::string_view target) const {
  const std::string_view prefix = is_latest_ ? document_prefix : layout_.prefix;
  const std::string_view path = target.substr(0, target.find_first_of("?#"));
  const std::string_view rest = target.substr(path.size());
  const std::string_view query = rest.starts_with('?') ? rest.substr(1, rest.find('#') - 1) : std::string_view();
  const auto behind = [&](std::string_view before) {
    const size_t at = path.find(before);
    return at == std::string_view::npos ? std::nullopt : id_at(path.substr(at + before.size()), "/", prefix);
  };
  if (path.starts_with("/servlet/servlet.FileDownload")) return id_at(parameter(query, "file"), "&", prefix);
  if (path.starts_with("/servlet/servlet.ImageServer")) return id_at(parameter(query, "id"), "&", prefix);
  if (path.starts_with("/sfc/servlet.shepherd/")) {
    auto id = behind(is_latest_ ? "/document/download/" : "/version/download/");
    // Several ids are an archive of several files.
    return id && path.find('/', path.find(id->substr(0, 15))) == std::string_view::npos ? id : std::nullopt;
  }
  if (path.starts_with("/services/data/")) {
    const bool is_body = path.ends_with("/" + std::string(layout_.body));
    return is_body ? behind("/sobjects/" + std::string(layout_.object) + "/") : std::nullopt;
  }
  if (path.starts_with("/lightning/r/")) {
    const std::string before = "/" + std::string(is_latest_ ? "ContentDocument" : layout_.object) + "/";
    if (auto id = behind(before)) return id;
    return behind("/lightning/r/");
  }
  return id_at(path.substr(std::min<size_t>(1, path.size())), "", prefix);  // "/069…", a record's page
}

}  // namespace waybill::salesforce
