// SPDX-License-Identifier: Apache-2.0
//
// References that another program says it has switched. What it says is journalled; what the catalog holds decides.
#pragma once

#include <span>
#include <string>

#include "waybill/migration.hpp"

namespace waybill::internal {

/// For the owner of the ledger; one thread.
class ReferenceAdoption {
 public:
  ReferenceAdoption(Catalog& catalog, const Source& source, Tracker& tracker, uint64_t epoch, const ImportOrigin& origin);

  /// As Import::add_references. Counts into `report`.
  void add(std::span<const ImportedReference> references, ImportReport& report);

 private:
  std::string field_of_catalog();

  Catalog& catalog_;
  const Source& source_;
  Tracker& tracker_;
  const uint64_t epoch_;
  const ImportOrigin origin_;
  std::string field_;
};

}  // namespace waybill::internal
