// SPDX-License-Identifier: Apache-2.0
//
// The rows of one table of a damaged database, as far as they can be read.
#pragma once

#include <string>

#include "trackers/sqlite/database.hpp"
#include "waybill/maintenance.hpp"

namespace waybill::internal {

/// Copies what can be read of the table `name` into the empty one of the same name; columns that only one of them has are
/// left out. Errors: of `to`; resource_exhausted.
Recovery::Table salvage_table(Database& from, Database& to, const std::string& name);

}  // namespace waybill::internal
