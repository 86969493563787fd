// SPDX-License-Identifier: Apache-2.0
//
// Files in Salesforce as a Source: Salesforce Files (ContentVersion), attachments and documents. files_object.hpp tells what
// an item is.
//
// A body comes whole or not at all, one call each: no ranges are offered. It is compared with the listed size and, where
// the organization keeps an MD5 of it, with that. What a document is linked to comes with the listing, 200 documents a
// call: Item::names has "linked", ids and share types ("001…:V,005…:I"), and "links_left_out" where there are more than
// 50 of them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "connectors/salesforce/client.hpp"
#include "connectors/salesforce/files_object.hpp"
#include "waybill/connectors.hpp"
#include "waybill/source.hpp"

namespace waybill::salesforce {

class FilesSource final : public Source {
 public:
  explicit FilesSource(FilesConfig config);

  Capabilities capabilities() const override;
  std::string identity() const override { return config_.identity(); }
  std::string endpoint() const override { return config_.organization.endpoint; }
  /// Whether the object and the fields that are needed can be seen.
  void check(Context& context) override;
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override;
  /// By one query.
  std::optional<Item> stat(const ItemId& id, Context& context) override;
  /// URLs of this organization's own: below its My Domain (with .lightning.force.com and .file.force.com), or relative to
  /// it ("/servlet/servlet.FileDownload?file=00P…"). Where items are documents, those that name a document; where they are
  /// versions, those that name a version: only the organization could tell the one from the other.
  std::optional<ItemId> item_at(std::string_view url) const override;

 private:
  std::vector<std::string> paths(Context& context);

  const FilesConfig config_;
  const FilesObject object_;
  Client client_;
  std::mutex mutex_;
  std::vector<std::string> paths_;  // guarded by mutex_; empty before the first look
};

/// Errors: configuration. No I/O.
std::shared_ptr<Source> open_files(const Url& url);

}  // namespace waybill::salesforce
