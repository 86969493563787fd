// SPDX-License-Identifier: Apache-2.0

#include "engine/switched_references.hpp"

#include "base/cutover_json.hpp"
#include "engine/key_template.hpp"
#include "engine/reference_decision.hpp"

namespace waybill::internal {

std::vector<std::optional<ItemId>> LedgerReferences::items_of(std::span<const ReferenceValue> references) const {
  std::vector<ReferenceId> ids;
  ids.reserve(references.size());
  for (const ReferenceValue& reference : references) ids.push_back(reference.id);
  const std::vector<std::optional<ReferenceRecord>> known = tracker_.lookup_references(ids);
  std::vector<ReferenceId> switched;
  std::vector<size_t> places;
  for (size_t i = 0; i < known.size(); ++i) {
    if (!known[i] || known[i]->generation == 0) continue;
    switched.push_back(known[i]->id);
    places.push_back(i);
  }
  std::vector<std::optional<ItemId>> items(references.size());
  if (switched.empty()) return items;
  const std::vector<std::optional<JournalRecord>> journal = tracker_.lookup_journal(switched);
  for (size_t n = 0; n < places.size(); ++n) {
    const size_t i = places[n];
    if (journal[n] && holds_ours(*journal[n], references[i].value)) items[i] = known[i]->item;
  }
  return items;
}

bool has_references(const Source& source, Tracker* tracker) {
  return tracker != nullptr && source.capabilities().links && tracker->snapshot().references.total > 0;
}

std::string new_place_of(const Source& source, Tracker* tracker) {
  const std::optional<CutoverPlanRecord> plan = has_references(source, tracker) ? tracker->cutover_plan() : std::nullopt;
  const std::string text = plan ? url_template_of(plan->options) : "";
  return text.empty() ? "" : UrlTemplate(text).prefix();
}

}  // namespace waybill::internal
