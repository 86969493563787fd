// SPDX-License-Identifier: Apache-2.0
//
// A folder as a Source: files and empty folders. Links are not followed; they and everything else that is no file are
// listed as refused, with the reason.
#pragma once

#include "connectors/filesystem/root.hpp"
#include "waybill/source.hpp"

namespace waybill::filesystem {

class FilesystemSource final : public Source {
 public:
  explicit FilesystemSource(std::string_view path) : root_(path) {}

  Capabilities capabilities() const override;
  std::string identity() const override { return root_.identity(); }
  std::string endpoint() const override { return "file"; }
  void check(Context& context) override;
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  std::optional<Item> stat(const ItemId& id, Context& context) override;
  /// By file:// URLs of this machine, beneath the root.
  std::optional<ItemId> item_at(std::string_view url) const override;
  Removal remove(const Item& item, Context& context) override;

 private:
  Root root_;
};

}  // namespace waybill::filesystem
