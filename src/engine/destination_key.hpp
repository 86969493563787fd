// SPDX-License-Identifier: Apache-2.0
//
// Where an item goes: the key at the destination that follows from who the item is. Without a version it is the item's
// own. Each version goes to a key of its own, "key?versionId=version", with the version percent-encoded:
//
// - It is the same in every run and for every destination, whichever version is the latest when the run comes by; and no
//   two items have one, as what is behind the last '?' cannot hold another.
// - One key for all versions of an object would need the destination to keep versions, and every write to come after the
//   one before it: a version that failed, or whose answer was lost, could then never be put in its place any more.
//
// The keys are not in the order of the items: "a?versionId=1" comes behind "a!?versionId=1".
#pragma once

#include "base/uri.hpp"
#include "waybill/item.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

inline Key destination_key(const ItemId& id) {
  if (id.version.empty()) return id.key;
  return id.key + "?versionId=" + encode_query(id.version);
}

/// The same of an item that the ledger knows.
inline Key destination_key(const ItemRecord& record) {
  return record.destination_key.empty() ? destination_key(record.id) : record.destination_key;
}

/// Whether the destination's keys ascend as a source lists its items.
inline bool keeps_order(const Source::Capabilities& can) { return can.order == Order::byte_key && !can.versions; }

}  // namespace waybill::internal
