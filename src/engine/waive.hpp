// SPDX-License-Identifier: Apache-2.0
//
// Waiving: failed and vanished items that somebody decided not to want any more.
#pragma once

#include "waybill/options.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// As Migration::waive says; for the owner of the ledger.
int64_t waive_items(Tracker& tracker, uint64_t epoch, const Options& selected, const Waiver& waiver);

}  // namespace waybill::internal
