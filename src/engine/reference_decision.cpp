// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_decision.hpp"

#include <algorithm>

#include "engine/destination_key.hpp"

namespace waybill::internal {
namespace {

// Characters, not bytes: what a field's length counts. Bytes that are not UTF-8 count one each at most.
uint64_t length_of(const std::string& text) {
  return static_cast<uint64_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void leave(ReferenceRecord& next, ReferenceState state, std::string reason, ErrorClass error_class = ErrorClass::none) {
  next.state = state;
  next.reason = std::move(reason);
  next.error_class = error_class;
  next.intended.reset();
}

// What the item of a reference says to its switch. True if it keeps it back.
bool is_kept_back(ReferenceDecision& decision, const ReferenceFound& found, const ReferenceRules& rules) {
  const ItemRecord* row = found.row;
  const auto stay = [&](ReferenceState state, const char* reason, ErrorClass error_class, Obstacle obstacle) {
    leave(decision.record, state, reason, error_class);
    decision.obstacle = obstacle;
    return true;
  };
  if (row == nullptr && found.gone != ErrorClass::none) {
    const bool is_missing = found.gone == ErrorClass::missing;
    return stay(ReferenceState::vanished, is_missing ? "its old place is dead: nothing is there" : "its old place is dead: it refuses us",
                found.gone, Obstacle::none);
  }
  if (row == nullptr) {
    return stay(ReferenceState::original, "new since the last copy; run the copy again", ErrorClass::missing, Obstacle::delta);
  }
  switch (row->state) {
    case ItemState::pending:
      return stay(ReferenceState::original, "its item is not copied yet; run the copy again", ErrorClass::none, Obstacle::delta);
    case ItemState::failed:
      if (row->waived) return stay(ReferenceState::excluded, "its item failed, and is waived", row->error_class, Obstacle::none);
      return stay(ReferenceState::original, "its item failed; retry it, or waive it", row->error_class, Obstacle::item);
    case ItemState::vanished:
      if (row->waived) return stay(ReferenceState::excluded, "its item vanished, and is waived", row->error_class, Obstacle::none);
      return stay(ReferenceState::vanished, "its item could not be copied: the old place is dead", row->error_class, Obstacle::none);
    case ItemState::excluded:
      return stay(ReferenceState::excluded, "its item is excluded by a rule of the copy", ErrorClass::none, Obstacle::none);
    case ItemState::copied:
      return stay(ReferenceState::original, "its item is copied, and not verified; run: waybill verify", ErrorClass::none, Obstacle::verified);
    case ItemState::verified:
      break;
  }
  if (rules.verified_since_ms <= 0 || row->verified_at_ms.value_or(0) >= rules.verified_since_ms) return false;
  return stay(ReferenceState::original, "its item was verified too long ago; run: waybill verify", ErrorClass::none, Obstacle::verified);
}

// The new value, as the plan would write it.
void plan_value(ReferenceDecision& decision, const ReferenceFound& found, const ReferenceRules& rules) {
  ReferenceRecord& next = decision.record;
  Item item;
  item.id = found.row->id;
  item.stamp = found.row->stamp;
  item.partition_name = found.now.partition_name;
  item.names = found.now.names;
  std::string value;
  try {
    value = rules.make_value(item, destination_key(*found.row));
  } catch (const Error& error) {
    decision.obstacle = Obstacle::value;
    return leave(next, ReferenceState::original, "no new value can be made: " + error.message(), error.error_class());
  }
  if (next.value == value) return leave(next, ReferenceState::excluded, "it holds the new value already");
  const uint64_t length = length_of(value);
  if (rules.max_value_length != 0 && length > rules.max_value_length) {
    decision.obstacle = Obstacle::value;
    return leave(next, ReferenceState::original,
                 "the new value has " + std::to_string(length) + " characters, and the field holds " + std::to_string(rules.max_value_length),
                 ErrorClass::too_large);
  }
  next.state = ReferenceState::pending;
  next.reason.clear();
  next.error_class = ErrorClass::none;
  next.intended = std::move(value);
}

bool is_selected(const ReferenceValue& now, const ReferenceRules& rules) {
  return (rules.partitions.empty() || rules.partitions.contains(now.partition)) &&
         (rules.records.empty() || rules.records.contains(now.id.record));
}

bool points_at_new_place(const ReferenceValue& now, const ReferenceRules& rules) {
  return !rules.new_place.empty() && now.value->starts_with(rules.new_place);
}

// An earlier switch of it is open.
bool is_open(const ReferenceFound& found) { return found.known != nullptr && found.known->state == ReferenceState::intended; }

// It holds what we wrote.
bool is_ours(const ReferenceFound& found) {
  return found.known != nullptr && found.known->generation > 0 && found.journal != nullptr && holds_ours(*found.journal, found.now.value);
}

// A pass that plans nothing looks at what was planned and done.
void observe(ReferenceRecord& next, const ReferenceFound& found) {
  const ReferenceRecord* known = found.known;
  if (known == nullptr) return leave(next, ReferenceState::original, "new since the plan", ErrorClass::missing);
  next.state = known->state;
  next.reason = known->reason;
  next.error_class = known->error_class;
  next.intended = known->intended;
  if (found.now.value == known->value) return;
  if (known->state == ReferenceState::updated) {
    return leave(next, ReferenceState::conflict, "changed by somebody else after it was switched", ErrorClass::conflict);
  }
  leave(next, ReferenceState::original, "changed since the plan", ErrorClass::source_changed);
}

}  // namespace

bool holds_ours(const JournalRecord& newest, const std::optional<std::string>& value) {
  if (newest.state == JournalState::applied) return value == newest.observed;
  return newest.state == JournalState::intended && value == newest.intended && value != newest.old;
}

bool depends_on_item(const ReferenceFound& found, const ReferenceRules& rules) {
  const ReferenceValue& now = found.now;
  return rules.make_value && found.item && now.value && !is_open(found) && !is_ours(found) && is_selected(now, rules) &&
         !points_at_new_place(now, rules);
}

ReferenceDecision decide_reference(const ReferenceFound& found, const ReferenceRules& rules) {
  const ReferenceValue& now = found.now;
  ReferenceDecision decision;
  ReferenceRecord& next = decision.record;
  if (found.known != nullptr) next = *found.known;
  next.id = now.id;
  next.partition = now.partition;
  next.partition_name = now.partition_name;
  next.seen = rules.pass;
  if (is_open(found)) {
    decision.obstacle = Obstacle::unresolved;
    return decision;
  }
  next.value = now.value;
  next.stamp = now.stamp;
  // A value that we wrote is never an old one: its item stays the one that it was switched from.
  if (is_ours(found)) {
    next.state = ReferenceState::updated;
    next.reason.clear();
    next.error_class = ErrorClass::none;
    return decision;
  }
  if (!rules.make_value) {
    observe(next, found);
    return decision;
  }
  next.item = found.item.value_or(ItemId{});
  if (!now.value || now.value->empty()) {
    leave(next, ReferenceState::excluded, now.value ? "its field is empty" : "its field is null");
  } else if (!is_selected(now, rules)) {
    leave(next, ReferenceState::original, "not selected by this plan");
  } else if (points_at_new_place(now, rules)) {
    leave(next, ReferenceState::excluded, "points at the new place already");
  } else if (!found.item) {
    leave(next, ReferenceState::excluded, "points at nothing of the source", ErrorClass::unsupported);
  } else if (!is_kept_back(decision, found, rules)) {
    plan_value(decision, found, rules);
  }
  return decision;
}

}  // namespace waybill::internal
