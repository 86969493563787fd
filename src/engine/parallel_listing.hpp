// SPDX-License-Identifier: Apache-2.0
//
// Listing of a source that can start after any key, by as many listers as there is waiting to hide.
//
//   start            at          end
//     ├─ listed ──────┤─ to list ──┤        ranges lie side by side: together they are all keys
//     ├───────────────┤─────┤──────┤        an idle lister tries a key between: what it finds is its own range
//                          cut
//
// It begins with one range and one lister. Once two pages have not been the end, each range may be tried at a key
// beyond what it has listed. The try's first page decides: with keys, it becomes a range of its own, and the first one
// ends there; without, nothing is beyond, and the first one ends there too; where the first one has come further in the
// meantime, it was in vain. So a try costs one request at most, and tries in vain are kept below a share of the pages.
//
// In the ledger a range is one record: `scope` is the key that it begins behind. Where it ends, the next record says,
// so that ranges cannot overlap and none is lost. A new range's record goes into the transaction of the next rows of
// anybody, at the latest of the range that it was cut from.
//
// Invariants: a range's rows lie behind its start and not behind its end; `end` only shrinks, and never below `at`; its
// rows and its record are handed over together, in order.
#pragma once

#include "engine/listing.hpp"

namespace waybill::internal {

/// Whether the source's listing can be begun after any key.
bool can_list_ranges(const ListingJob& job);

/// Lists what is not listed yet. False if the sink said stop. Errors: the first one of any range, when all have
/// stopped.
bool list_ranges(const ListingJob& job, const ListingSink& sink);

}  // namespace waybill::internal
