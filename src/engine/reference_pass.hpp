// SPDX-License-Identifier: Apache-2.0
//
// One pass over a catalog: each reference that it lists, joined with what the ledger knows of it and with its item.
//
//   Catalog::list ─► page ⋈ ledger's references ⋈ journal ⋈ items ─► decide_reference ─► rows
//
// A plan is a pass, and so is the listing that a cutover ends with. Memory does not grow with the number of references.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/cancellation.hpp"
#include "engine/item_cursor.hpp"
#include "engine/reference_decision.hpp"
#include "engine/retry.hpp"
#include "waybill/source.hpp"

namespace waybill::internal {

/// Commits rows before it returns. False: the pass is to stop.
using ReferenceSink = std::function<bool(std::vector<ReferenceChange>)>;

struct PassJob {
  Catalog& catalog;
  Source& source;
  Tracker& tracker;
  const RunScope& scope;
  RetryPolicy& retry;
  ReferenceRules rules;
  ListingTrouble trouble;  ///< a page is tried again
};

struct PassResult {
  bool is_complete = false;
  ReferenceAccounts references;     ///< as the pass left those that it met, and those that it missed
  std::string hash;                 ///< over each that is pending: its name, what it holds and would hold
  int64_t items = 0;                ///< that pending ones point at, as far as neighbours share one
  std::map<Obstacle, std::map<std::string, int64_t>> blocked;  ///< those that cannot be switched yet, by what and why
  std::vector<CutoverPlan::Example> examples;
  std::vector<CutoverPlan::Example> unswitched;
};

/// Errors: of the catalog, when it keeps failing; of the tracker. cancelled.
PassResult run_pass(const PassJob& job, const ReferenceSink& sink);

CutoverPlan::Example example_of(const ReferenceRecord& record);

}  // namespace waybill::internal
