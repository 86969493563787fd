// SPDX-License-Identifier: Apache-2.0
//
// The table `targets`: where items go for which a key template has made a destination key, in byte order of these keys. The
// key itself is in the item's row (`more`); the table finds the rows by it.
//
// Invariant: there is a target exactly for each row that has a destination key. Ledgers without key templates have none, and
// pay nothing.
#pragma once

#include "trackers/sqlite/rows.hpp"

namespace waybill::internal {

/// Whether the ledger has any target. Within a transaction, as all of these.
bool has_targets(Database& database);

/// The row of `id` is about to get `destination_key` ("": none). `is_known`: it is there, and may have another one.
void write_target(Database& database, int64_t partition, const ItemId& id, const Key& destination_key, bool is_known);

/// See Tracker::scan_targets.
TargetPage read_targets(Database& database, TimeBase base, const Key& from, const std::string& resume, size_t limit);

}  // namespace waybill::internal
