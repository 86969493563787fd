// SPDX-License-Identifier: Apache-2.0
//
// A bucket's prefix as a Source. Stamps are size and ETag: the listing's times are finer than those of a GET, so they
// could not be compared. Metadata and tags of objects travel.
//
// With versions=true every version of every object is an item, its ItemId::version the store's version id ("null" for
// what was written while the bucket kept none). The time at which it was written, which is the order of a key's versions,
// travels as its modification time where none was stored with it. It is no part of the stamp: there are stores where the
// next version changes it. Delete markers have no content: they are counted, and are no items.
#pragma once

#include <memory>

#include "connectors/s3/client.hpp"
#include "waybill/source.hpp"

namespace waybill::s3 {

class S3Source final : public Source {
 public:
  explicit S3Source(std::shared_ptr<Client> client) : client_(std::move(client)) {}

  Capabilities capabilities() const override;
  std::string identity() const override { return client_->config().identity(); }
  std::string endpoint() const override { return client_->config().endpoint(); }
  std::optional<std::chrono::seconds> clock_offset() const override { return client_->clock_offset(); }
  void check(Context& context) override;
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  std::optional<Item> stat(const ItemId& id, Context& context) override;
  /// A version is removed for good; without one, a bucket that keeps versions gets a delete marker.
  Removal remove(const Item& item, Context& context) override;
  /// By s3:// URLs, and by those of its endpoint or of AWS, signed or not (object_url.hpp).
  std::optional<ItemId> item_at(std::string_view url) const override;
  std::optional<Locator> locator(const Item& item) override;

 private:
  std::shared_ptr<Client> client_;
};

}  // namespace waybill::s3
