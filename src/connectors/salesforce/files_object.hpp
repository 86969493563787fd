// SPDX-License-Identifier: Apache-2.0
//
// The three objects that hold files, and their records as items:
//
//   ContentVersion, versions=latest  an item is a document (069…), whatever its newest version is
//   ContentVersion, versions=all     an item is a version (068…)
//   Attachment, Document             an item is a record (00P…, 015…)
//
// The key is that id, of 18 characters, which nobody renames; what people call the file goes into Item::names. Items
// have no partition: an id is unique in its organization, and a URL that points at a file names no parent.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/salesforce/config.hpp"
#include "connectors/salesforce/describe.hpp"
#include "connectors/salesforce/record_reader.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {

struct FilesLayout;

/// *Thread safety:* any thread.
class FilesObject {
 public:
  /// Errors: configuration (another object).
  explicit FilesObject(const FilesConfig& config);

  /// What is to be selected, as far as this user may see it. Errors: permission (a field that cannot be done without).
  std::vector<std::string> paths(const Object& described) const;
  /// The field that is the key.
  std::string key_field() const { return is_latest_ ? "ContentDocumentId" : "Id"; }
  /// The condition on all items, and that on the one with this key.
  std::string where() const { return is_latest_ ? "IsLatest = true" : ""; }
  std::string where(const Key& key) const;
  /// Whether it can be the key of an item.
  bool is_key(std::string_view key) const;

  /// Names: title, extension, file_name ("Title.ext"), parent_id, parent_name, owner_id, owner_name; of a version also
  /// document_id, version_id, version_number and path_on_client. Those that are empty, or not to be seen, are left out.
  ///
  /// The stamp has the size; for ContentVersion the checksum as etag, the version's id, and when that version came into
  /// being: a new title is no new revision. Others have SystemModstamp, as their bodies can be replaced.
  Item item_of(const Record& record) const;
  /// Whether items have a "document_id" that links are kept by.
  bool has_links() const;
  /// The path of the body; nothing where the item does not tell which version is meant.
  std::optional<std::string> body_of(const Item& item) const;

  /// The id of the item that a URL of a file in this organization points at, whatever its host; nothing for others.
  std::optional<Key> key_in(std::string_view target) const;

 private:
  const FilesLayout& layout_;
  const bool is_latest_;  // items are documents
};

}  // namespace waybill::salesforce
