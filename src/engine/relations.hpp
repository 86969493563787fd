// SPDX-License-Identifier: Apache-2.0
//
// What an item belongs to, as its source tells with the listing: kept in the ledger for audit exports.
#pragma once

#include <optional>
#include <string>

#include "waybill/item.hpp"

namespace waybill::internal {

/// Of Item::names "linked", "links_left_out", "owner_id" and "parent_id", as the JSON object that is kept with a done item
/// (ItemChange::result); nothing where the source tells none of them.
std::optional<std::string> relations_of(const Item& item);

}  // namespace waybill::internal
