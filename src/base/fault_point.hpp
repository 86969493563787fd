// SPDX-License-Identifier: Apache-2.0
//
// Named moments at which a test can kill this process. Compiled in only with WAYBILL_FAULTS; otherwise the macro is
// nothing at all, and no environment variable is read.
//
// The events, each counted from 1 in every process:
//   claim         items were taken from the queue          listing_page  a page of a listing was received
//   write         a write to the destination begins        put_done      a write was acknowledged, not yet committed
//   part          a part was acknowledged, not committed   complete      an object in parts was completed, not committed
//   flush         a flush begins                           commit        a commit is about to be, or was just, made
//   journalled    a batch of references is in the journal  update_done   a catalog answered an update
//   read_back     what a catalog holds now was read        outcome       what became of references is queued
#pragma once

#if defined(WAYBILL_FAULTS)

namespace waybill::internal {

/// Counts `event`, and raises SIGKILL on this process (and does not return) where it is the one that
/// WAYBILL_FAULT_KILL="event:n" names. Where WAYBILL_FAULT_COUNTS names a file, the counts are kept in it as twelve
/// little-endian uint64 in the order of fault_events, so that they outlive the process. Any thread.
void fault_point(const char* event) noexcept;

inline constexpr const char* fault_events[] = {"claim", "write", "commit",   "part",
                                               "listing_page", "flush", "put_done", "complete",
                                               "journalled", "update_done", "read_back", "outcome"};

}  // namespace waybill::internal

#define WAYBILL_FAULT_POINT(event) ::waybill::internal::fault_point(event)

#else

#define WAYBILL_FAULT_POINT(event) static_cast<void>(0)

#endif
