// SPDX-License-Identifier: Apache-2.0
//
// A folder as a Destination. Files are staged beside the tree and renamed into place; folders above them are made as
// needed; nothing is ever written through a symbolic link. put() alone does not survive power loss: flush() does.
#pragma once

#include "connectors/filesystem/dirty.hpp"
#include "connectors/filesystem/place.hpp"
#include "connectors/filesystem/root.hpp"
#include "connectors/filesystem/staging.hpp"
#include "waybill/destination.hpp"

namespace waybill::filesystem {

class FilesystemDestination final : public Destination {
 public:
  /// The folder need not be there: the first put makes it, and the folders above it.
  explicit FilesystemDestination(std::string_view path)
      : root_(path), dirty_(root_), placer_(root_, dirty_), staging_(root_) {}
  ~FilesystemDestination() override;

  Capabilities capabilities() const override;
  std::string identity() const override { return root_.identity(); }
  std::string endpoint() const override { return "file"; }
  /// Changes nothing: a root that is not there only has to be possible.
  void check(Context& context) override;
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  std::optional<Item> stat(const Key& key, Context& context) override;
  Stored put(const Key& key, const Body& body, const WriteOptions& options, Context& context) override;
  std::unique_ptr<PartUpload> begin_parts(const Key& key, const PartPlan& plan, const WriteOptions& options,
                                          Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  void flush(Context& context) override;
  /// Also removes the folders that become empty by it, or else a listing would show them as items of their own.
  void remove(const Key& key, Context& context) override;
  void sweep(std::span<const OpenUpload> known, Context& context) override;

 private:
  Stored put_folder(const Key& key, const Body& body, const WriteOptions& options, Context& context);

  Root root_;
  Dirty dirty_;
  Placer placer_;
  StagingFolder staging_;
};

}  // namespace waybill::filesystem
