// SPDX-License-Identifier: Apache-2.0
//
// Where an item goes. Without a key template that follows from who the item is (own_key): without a version it is the item's
// own key. Each version goes to a key of its own, "key?versionId=version", with the version percent-encoded:
//
// - It is the same in every run and for every destination, whichever version is the latest when the run comes by; and no
//   two items have one, as what is behind the last '?' cannot hold another.
// - One key for all versions of an object would need the destination to keep versions, and every write to come after the
//   one before it: a version that failed, or whose answer was lost, could then never be put in its place any more.
//
// The keys are not in the order of the items: "a?versionId=1" comes behind "a!?versionId=1".
//
// With a key template it is in the row: once an item has its key, no new name of its partition moves it (key_template.hpp
// makes it, collisions.hpp keeps it from being another's).
#pragma once

#include "base/uri.hpp"
#include "engine/key_template.hpp"
#include "waybill/destination.hpp"
#include "waybill/item.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

inline Key own_key(const ItemId& id) {
  if (id.version.empty()) return id.key;
  return id.key + "?versionId=" + encode_query(id.version);
}

inline Key destination_key(const ItemRecord& record) {
  return record.destination_key.empty() ? own_key(record.id) : record.destination_key;
}

/// Of an item that the ledger knows, or may know.
inline Key destination_key(Tracker& tracker, const ItemId& id) {
  const std::optional<ItemRecord> known = tracker.lookup({&id, 1}).front();
  return known ? destination_key(*known) : own_key(id);
}

/// What a key template says of a listed item: what the ledger has said before, as far as it has.
inline Made place_of(const KeyTemplate& keys, const Item& item, const std::optional<ItemRecord>& known) {
  if (known && !known->destination_key.empty()) return {known->destination_key, ""};
  const bool is_there = known && (known->state == ItemState::copied || known->state == ItemState::verified);
  return is_there ? Made{own_key(item.id), ""} : keys.key_of(fields_of(item));
}

/// Whether the destination's keys ascend as a source lists its items. Not those that a template makes.
inline bool keeps_order(const Source::Capabilities& can) { return can.order == Order::byte_key && !can.versions; }

/// Whether an object "a" and an object "a/b" exclude each other.
inline bool has_folders(const Destination& destination) { return destination.endpoint() == "file"; }

}  // namespace waybill::internal
