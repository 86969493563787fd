// SPDX-License-Identifier: Apache-2.0
//
// The memory connector, memory://name: both ends over a store in this process, for tests, trials, and as the example
// to read before writing a connector. It keeps everything that the interfaces can say: order, conditions, etags,
// digests, attributes, parts that can be resumed, and copies inside the store.
#pragma once

#include <memory>
#include <string>

#include "connectors/memory/store.hpp"
#include "waybill/connectors.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"

namespace waybill::memory {

class MemorySource final : public Source {
 public:
  explicit MemorySource(const std::string& name) : name_(name), store_(Store::named(name)) {}

  Capabilities capabilities() const override;
  std::string identity() const override;
  std::string endpoint() const override { return "memory"; }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  std::optional<Item> stat(const ItemId& id, Context& context) override;
  Removal remove(const Item& item, Context& context) override;
  std::optional<Locator> locator(const Item& item) override;

 private:
  std::string name_;
  std::shared_ptr<Store> store_;
};

class MemoryDestination final : public Destination {
 public:
  explicit MemoryDestination(const std::string& name) : name_(name), store_(Store::named(name)) {}

  Capabilities capabilities() const override;
  std::string identity() const override;
  std::string endpoint() const override { return "memory"; }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  std::optional<Item> stat(const Key& key, Context& context) override;
  Stored put(const Key& key, const Body& body, const WriteOptions& options, Context& context) override;
  std::unique_ptr<PartUpload> begin_parts(const Key& key, const PartPlan& plan, const WriteOptions& options,
                                          Context& context) override;
  std::optional<Stored> copy(const Key& key, const Locator& from, const WriteOptions& options,
                             Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  void remove(const Key& key, Context& context) override;
  Removal remove_unchanged(const Item& item, Context& context) override;
  void sweep(std::span<const OpenUpload> known, Context& context) override;

 private:
  std::string name_;
  std::shared_ptr<Store> store_;
};

Connector memory_connector();

}  // namespace waybill::memory
