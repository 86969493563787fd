// SPDX-License-Identifier: Apache-2.0
//
// The rollback phase: references that were switched, and still hold what was seen then, hold again what they held before.
#pragma once

#include "engine/reference_run.hpp"
#include "waybill/cutover.hpp"

namespace waybill::internal {

/// Which references a rollback is about, in order of their records: those that are switched, and selected.
class RollbackScan {
 public:
  RollbackScan(Tracker& tracker, const RollbackOptions& options);

  /// The next ones, at most `most`; empty at the end.
  std::vector<Switch> next(size_t most);

 private:
  void read_page();

  Tracker& tracker_;
  const RollbackOptions options_;
  std::string resume_;
  bool is_last_ = false;
  std::deque<Switch> page_;
};

class RollbackRun final : public ReferenceRun {
 public:
  RollbackRun(RunSetup setup, std::shared_ptr<Catalog> catalog, const RollbackOptions& options);
  ~RollbackRun() override { shut_down(); }

 protected:
  std::vector<Switch> next_batch() override { return scan_.next(can_.max_batch); }

 private:
  RollbackScan scan_;
};

}  // namespace waybill::internal
