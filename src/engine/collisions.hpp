// SPDX-License-Identifier: Apache-2.0
//
// Items for which a key template makes one key. Once all are listed, a scan over the destination keys in their order finds
// them: each gets a suffix from its own id (with_own_suffix), but the one that is at the destination already, which keeps
// its key. So the keys do not depend on the order of a listing, and nothing that was copied moves. Where the destination has
// folders, an item "a" gets a suffix as well if another one is "a/b".
//
// A kill in the middle changes nothing: as long as an item of a group is to get its suffix, another one is left at the key.
#pragma once

#include <vector>

#include "engine/listing.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

struct Collisions {
  int64_t keys = 0;    ///< that more than one item would have
  int64_t items = 0;   ///< that got a suffix
  int64_t failed = 0;  ///< that none helps: they fail with class collision
  std::vector<Plan::Collision> examples;  ///< the first 1,000 items
};

/// Gives each item that is not at the destination yet a key that no other has. Nothing may be in flight. `sink` commits before
/// it returns. False if it said stop.
bool settle_collisions(Tracker& tracker, bool has_folders, const ListingSink& sink, Collisions& found);

}  // namespace waybill::internal
