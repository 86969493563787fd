// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a reference when a pass over its catalog meets it: one pure function of what it holds, what the ledger
// knows of it, and the item that it points at.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "waybill/catalog.hpp"
#include "waybill/cutover.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// Makes the new value of a reference from its item and the key that this was copied to. Errors: configuration, unsupported
/// (a field of the template is empty for this item).
using ValueMaker = std::function<std::string(const Item& item, const Key& destination_key)>;

struct ReferenceRules {
  ValueMaker make_value;            ///< empty where nothing is planned: then nothing new becomes pending
  std::string new_place;            ///< what every new value begins with; "" where that is not known
  std::set<std::string> partitions; ///< selected ones; empty: all
  std::set<std::string> records;
  int64_t verified_since_ms = 0;    ///< older verifications do not count
  uint64_t max_value_length = 0;    ///< characters; 0: no bound
  uint64_t pass = 0;
};

/// What a pass has found of one reference.
struct ReferenceFound {
  const ReferenceValue& now;
  const ReferenceRecord* known = nullptr;   ///< the ledger's row
  const JournalRecord* journal = nullptr;   ///< the newest, of one that was switched before
  std::optional<ItemId> item;               ///< that the value points at, by the source's word
  const ItemRecord* row = nullptr;          ///< that item's, if the ledger has one
  ErrorClass gone = ErrorClass::none;       ///< of an item without a row: as what the source said that it is not there
};

/// What a plan has to wait for.
enum class Obstacle : int {
  none = 0,
  unresolved = 1,  ///< an earlier switch is open
  delta = 2,       ///< the item came, or changed, after the last copy
  item = 3,        ///< the item failed
  verified = 4,    ///< it is not verified, or was too long ago
  value = 5,       ///< no new value can be made, or it does not fit
};

struct ReferenceDecision {
  ReferenceRecord record;  ///< the row after this pass. Never `intended`, but where it was so before
  Obstacle obstacle = Obstacle::none;
};

/// Whether a field that was switched holds what was written then: as it was read back, or, where a run broke off amid the
/// switch, as it was meant to be. `newest` is the newest entry of its journal.
bool holds_ours(const JournalRecord& newest, const std::optional<std::string>& value);

/// Whether what becomes of the reference depends on its item, so that one without a row is worth a question to the source.
bool depends_on_item(const ReferenceFound& found, const ReferenceRules& rules);

ReferenceDecision decide_reference(const ReferenceFound& found, const ReferenceRules& rules);

}  // namespace waybill::internal
