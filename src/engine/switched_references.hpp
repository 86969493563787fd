// SPDX-License-Identifier: Apache-2.0
//
// What a listing of references has to know of those that a cutover has switched: that they stand for their old items, and
// where the new place begins. Without it a copy after a cutover would take its own work for new items, and the old ones for
// gone.
#pragma once

#include <string>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// Of a ledger. *Lifetime:* uses the tracker, which outlives it.
class LedgerReferences final : public SwitchedReferences {
 public:
  explicit LedgerReferences(Tracker& tracker) : tracker_(tracker) {}

  std::vector<std::optional<ItemId>> items_of(std::span<const ReferenceValue> references) const override;

 private:
  Tracker& tracker_;
};

/// Whether the ledger knows references of a source that lists what references point at. `tracker` may be null.
bool has_references(const Source& source, Tracker* tracker);
/// Of such a source, what the new values of the newest plan begin with; "" where nothing was planned.
std::string new_place_of(const Source& source, Tracker* tracker);

}  // namespace waybill::internal
