// SPDX-License-Identifier: Apache-2.0
//
// The accounts of a ledger as pure functions: what one row counts for, and what a change of a row does to the two
// frames (the present run's: what it saw or owed; the migration's: everything). Both trackers keep their counters with
// these and with nothing else, so that counters and a recount of the rows can never mean different things.
//
// Invariant: for every frame, counters == Σ contribution(row) over the rows in it, plus the attempts that were added.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "waybill/progress.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// What is counted. Everything else in ItemAccounts is a sum of these. The order is that of the ledger's columns.
enum class Counter : int {
  excluded = 0,
  pending,  ///< with those in progress
  created,
  updated,
  unchanged,
  verified,  ///< of done
  failed,    ///< not waived
  waived,
  vanished,
  bytes_total,
  bytes_done,
  attempts_total,
  attempts_failed,
};
inline constexpr size_t n_counters = 13;

/// Sums of a frame, or a change of them.
struct Counters {
  std::array<int64_t, n_counters> values{};

  int64_t& operator[](Counter counter) noexcept { return values[static_cast<size_t>(counter)]; }
  int64_t operator[](Counter counter) const noexcept { return values[static_cast<size_t>(counter)]; }
  Counters& operator+=(const Counters& other) noexcept;
  Counters& operator-=(const Counters& other) noexcept;
  bool is_zero() const noexcept;
  bool operator==(const Counters&) const = default;
};

/// What a row counts for in every frame that it is in; nothing for a row that has left.
Counters contribution(const ItemRecord& record) noexcept;
/// Whether a row counts as done: copied, or verified since.
bool is_done(const ItemRecord& record) noexcept;
/// Whether a row is in the frame of `run`.
bool in_run_frame(const ItemRecord& record, uint64_t run) noexcept;
/// Whether a row is work of `run`: claim() hands out exactly these.
bool is_claimable(const ItemRecord& record, uint64_t run) noexcept;
/// The class that a row counts for in failed_by_class; none where it does not.
ErrorClass failed_class(const ItemRecord& record) noexcept;

/// The change of both frames, of one partition or of all.
struct FrameChanges {
  Counters run;
  Counters migration;
};

/// Adds to `changes` what becomes of the frames when `before` (nullptr: there was no row) becomes `now`, in a ledger
/// whose present run is `run`.
void add_change(FrameChanges& changes, const ItemRecord* before, const ItemRecord& now, uint64_t run) noexcept;
/// Adds to `by_class` the change of failed_by_class of the run's frame.
void add_class_change(std::map<ErrorClass, int64_t>& by_class, const ItemRecord* before, const ItemRecord& now,
                      uint64_t run);

/// The accounts that counters stand for. `in_progress` is taken out of pending, as far as there is any.
ItemAccounts to_accounts(const Counters& counters, int64_t in_progress) noexcept;

/// Fills the parts of a snapshot that come from counters, and clears what only a live run may show. snapshot.state is
/// what is stored; where it says that the run is alive and `owner_alive` says that nobody is, it becomes interrupted,
/// with `reason`.
void finish_snapshot(Snapshot& snapshot, const Counters& run, const Counters& migration, bool owner_alive,
                     const std::string& reason);

}  // namespace waybill::internal
