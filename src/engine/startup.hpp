// SPDX-License-Identifier: Apache-2.0
//
// How every run begins: with the lease of its ledger, and a record that says it is running.
#pragma once

#include "waybill/options.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// Gives the lease back unless a run has taken it over.
class HeldLease {
 public:
  /// Errors: locked.
  HeldLease(Tracker& tracker, const Options& options);
  ~HeldLease() {
    if (is_held_) tracker_.release(epoch_);
  }
  HeldLease(const HeldLease&) = delete;
  HeldLease& operator=(const HeldLease&) = delete;
  uint64_t epoch() const noexcept { return epoch_; }
  void hand_over() noexcept { is_held_ = false; }

 private:
  Tracker& tracker_;
  uint64_t epoch_ = 0;
  bool is_held_ = true;
};

RunRecord new_record(uint64_t run, Phase phase, const Options& options);

/// Writes the run down as running, so that whoever looks from now on sees it.
void open_record(Tracker& tracker, uint64_t epoch, RunRecord& record);

}  // namespace waybill::internal
