// SPDX-License-Identifier: Apache-2.0
//
// A ledger that dies with the process: for tests, trials and hosts that keep their own record. The same contract as the
// SQLite ledger, durability aside; memory grows with the number of items.
#pragma once

#include <memory>

#include "waybill/tracker.hpp"

namespace waybill::internal {

std::shared_ptr<Tracker> make_memory_tracker();

}  // namespace waybill::internal
