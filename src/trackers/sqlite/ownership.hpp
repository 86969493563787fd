// SPDX-License-Identifier: Apache-2.0
//
// Becoming the owner of a ledger, and what another process may do to a run that nobody owns. Both raise the epoch in
// one write transaction, so that whoever thought to be the owner before is fenced.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/lease.hpp"
#include "trackers/sqlite/lock_file.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

struct Ownership {
  LockFile lock;
  uint64_t epoch = 0;
};

/// Takes the ledger. Errors: locked (within a second, unless take_over); tracker.
Ownership take_ownership(Database& database, const std::string& lock_path, const LeaseOptions& options);

/// Throws failed_precondition if the present run cannot be paused or cancelled. Within a transaction.
void check_request(Database& database, Verb verb, bool has_owner);
/// Pauses or cancels the present run, which nobody owns. Within a write transaction, with the lock held.
void carry_out_request(Database& database, Verb verb, std::string_view who);
/// Leaves the request for the owner. Within a write transaction.
void leave_request(Database& database, Verb verb, std::string_view who);

}  // namespace waybill::internal
