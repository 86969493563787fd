// SPDX-License-Identifier: Apache-2.0
//
// The cutover phase: what the newest plan left pending is switched; then the catalog is listed once more, and what is not
// switched is told.
#pragma once

#include "engine/reference_run.hpp"

namespace waybill::internal {

class CutoverRun final : public ReferenceRun {
 public:
  /// `pass` is the number of the listing at the end. `canary`: at most so many are switched in this run, in all its
  /// processes; 0: all.
  CutoverRun(RunSetup setup, std::shared_ptr<Catalog> catalog, uint64_t pass, uint64_t canary);
  ~CutoverRun() override { shut_down(); }

 protected:
  std::vector<Switch> next_batch() override;
  void prepare(std::vector<Switch>& batch) override;
  void close() override;
  bool has_differences(const Snapshot& snapshot) const override;

 private:
  /// Why a reference must not be switched now; nothing if it may.
  std::optional<Error> changed_at_source(const ItemRecord& row);

  const uint64_t pass_;
  const bool is_canary_;
  uint64_t left_;  // to be handed out
  std::string resume_;
  bool is_scanned_ = false;
  std::deque<ReferenceRecord> page_;
  std::atomic<int64_t> unswitched_{0};
};

}  // namespace waybill::internal
