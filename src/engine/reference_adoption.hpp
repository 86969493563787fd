// SPDX-License-Identifier: Apache-2.0
//
// References that another program says it has switched. What it says is journalled; what the catalog holds decides.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/reference_outcome.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

/// For the owner of the ledger; one thread.
class ReferenceAdoption {
 public:
  ReferenceAdoption(Catalog& catalog, const Source& source, Tracker& tracker, uint64_t epoch, const ImportOrigin& origin);

  /// As Import::add_references. Counts into `report`.
  void add(std::span<const ImportedReference> references, ImportReport& report);

 private:
  using Rows = std::vector<std::string>;

  std::string field_of_catalog();
  void add_some(std::span<const ImportedReference> some, ImportReport& report);
  void check_catalog(std::span<const ImportedReference> some, std::span<const ReferenceValue> now);
  std::vector<ItemId> items_of(std::span<const ImportedReference> some, std::span<const ReferenceValue> now) const;
  static const std::string& partition_of(const ImportedReference& said, const ReferenceValue& now);
  static Switched claimed(const ImportedReference& said, const ReferenceValue& now);
  void tell(Batch& batch, const Rows& rows) const;

  Catalog& catalog_;
  const Source& source_;
  Tracker& tracker_;
  const uint64_t epoch_;
  const ImportOrigin origin_;
  std::string field_;
  bool is_catalog_right_ = false;  // it has some of the records
};

}  // namespace waybill::internal
