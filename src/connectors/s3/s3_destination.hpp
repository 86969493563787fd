// SPDX-License-Identifier: Apache-2.0
//
// A bucket's prefix as a Destination. What a store acknowledged is durable, so there is nothing to flush. Stamps are
// size and ETag; stat() adds the modification time and the digest that were written with an object.
#pragma once

#include <memory>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/destination.hpp"

namespace waybill::s3 {

class S3Destination final : public Destination {
 public:
  explicit S3Destination(std::shared_ptr<Client> client) : client_(std::move(client)) {}

  Capabilities capabilities() const override;
  std::string identity() const override { return client_->config().identity(); }
  std::string endpoint() const override { return client_->config().endpoint(); }
  std::optional<std::chrono::seconds> clock_offset() const override { return client_->clock_offset(); }
  void check(Context& context) override;
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  std::optional<Item> stat(const Key& key, Context& context) override;
  Stored put(const Key& key, const Body& body, const WriteOptions& options, Context& context) override;
  std::unique_ptr<PartUpload> begin_parts(const Key& key, const PartPlan& plan, const WriteOptions& options,
                                          Context& context) override;
  std::optional<Stored> copy(const Key& key, const Locator& from, const WriteOptions& options, Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  void remove(const Key& key, Context& context) override;
  Removal remove_unchanged(const Item& item, Context& context) override;
  void sweep(std::span<const OpenUpload> known, Context& context) override;

 private:
  /// The full key. Errors: unsupported (empty, not UTF-8, longer than 1024 bytes).
  std::string object_key(const Key& key) const;

  std::shared_ptr<Client> client_;
};

}  // namespace waybill::s3
