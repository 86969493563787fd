// SPDX-License-Identifier: Apache-2.0
//
// The plan of a cutover: a pass over the catalog, and the gates that what it found has to pass. Written down as the newest
// plan; nothing is changed in the catalog.
#pragma once

#include <memory>

#include "engine/reference_decision.hpp"
#include "waybill/cutover.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

struct PlanJob {
  Catalog& catalog;
  std::string catalog_url;  ///< redacted; "" for one that was opened in code
  Source& source;
  const Destination& destination;
  Tracker& tracker;
  uint64_t epoch = 0;
  std::string migration;
  CutoverOptions options;
  ValueMaker make_value;
  std::string new_place;  ///< see ReferenceRules
};

/// Errors: of the catalog and the tracker.
CutoverPlan make_cutover_plan(const PlanJob& job);

}  // namespace waybill::internal
