// SPDX-License-Identifier: Apache-2.0
//
// A plan: the listing of a copy, with a sink that counts instead of recording.
#pragma once

#include "engine/key_template.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

/// `tracker` is null where there is no ledger yet. Blocks for as long as both listings take.
Plan make_plan(Source& source, Destination& destination, Tracker* tracker, bool is_transformed, const KeyTemplate* keys,
               const Options& options);

}  // namespace waybill::internal
