// SPDX-License-Identifier: Apache-2.0
//
// An object in parts: one sparse file in the staging folder, written at offsets, renamed when it is whole. Its id is
// the file's name. Which parts are whole is known to the ledger alone, which commits a part after a flush: the file
// cannot tell bytes from a hole.
#pragma once

#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "connectors/filesystem/dirty.hpp"
#include "connectors/filesystem/place.hpp"
#include "connectors/filesystem/root.hpp"
#include "connectors/filesystem/staging.hpp"
#include "waybill/destination.hpp"

namespace waybill::filesystem {

class FileUpload final : public PartUpload {
 public:
  /// Begins the upload, or goes on with plan.upload_id. Errors: as Destination::begin_parts.
  FileUpload(const Root& root, StagingFolder& staging, Placer& placer, Dirty& dirty, Key key, const PartPlan& plan,
             const WriteOptions& options, Context& context);

  std::string id() const override { return file_.name(); }
  /// Always empty (Capabilities::lists_parts). Errors: missing.
  std::vector<PartInfo> existing(Context& context) override;
  PartInfo write(uint32_t number, uint64_t offset, const Body& body, Context& context) override;
  /// Parts of an earlier process are read back first: anybody may have changed the file since. Errors: checksum.
  Stored complete(std::span<const PartInfo> parts, Context& context) override;
  void abort(Context& context) override;

 private:
  void check_present() const;
  bool has_written(uint32_t number);
  void check_content(const PartInfo& part, uint64_t offset, Context& context) const;

  const Root& root_;
  Placer& placer_;
  Dirty& dirty_;
  Key key_;
  std::optional<uint64_t> size_;
  WriteOptions options_;
  StagedFile file_;
  std::mutex mutex_;
  std::set<uint32_t> written_;    // parts that this object wrote; guarded by mutex_
  std::optional<Stored> stored_;  // once complete: the answer to a repeated complete()
};

}  // namespace waybill::filesystem
