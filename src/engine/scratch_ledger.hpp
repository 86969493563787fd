// SPDX-License-Identifier: Apache-2.0
//
// A ledger for one question: what was listed, counted or told, sorted on disk, since memory does not grow with the number of
// items. It goes with its folder.
#pragma once

#include <filesystem>
#include <memory>

#include "waybill/tracker.hpp"

namespace waybill::internal {

/// *Thread safety:* one thread at a time.
class ScratchLedger {
 public:
  /// Errors: local_io (no folder can be made among the temporary ones), tracker.
  ScratchLedger();
  ~ScratchLedger();
  ScratchLedger(const ScratchLedger&) = delete;
  ScratchLedger& operator=(const ScratchLedger&) = delete;

  Tracker& tracker() noexcept { return *tracker_; }
  /// Records rows; those with a destination key are sorted by it as well.
  void add(std::vector<ItemChange> changes);

 private:
  std::filesystem::path folder_;
  std::shared_ptr<Tracker> tracker_;
  uint64_t epoch_ = 0;
};

}  // namespace waybill::internal
