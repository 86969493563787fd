// SPDX-License-Identifier: Apache-2.0
//
// How many items have something in common, for as many groups as there may be: those in memory are bounded, the others wait
// on disk, and each is counted exactly.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/scratch_ledger.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

/// *Thread safety:* one thread at a time.
class PlanTable {
 public:
  enum class By { bytes, items };  ///< then by the other, then by name

  explicit PlanTable(size_t most_in_memory = 10'000) : most_in_memory_(most_in_memory) {}

  /// Counts an item. The last title that is not "" stays. Errors: as ScratchLedger.
  void add(std::string_view name, std::string_view title, std::optional<uint64_t> size);
  /// The `most` largest, and after them one more or the rest as one row. Nothing is left in memory.
  std::vector<Plan::Row> largest(size_t most, By by);

 private:
  void spill();

  const size_t most_in_memory_;
  std::unordered_map<std::string, Plan::Row> rows_;
  std::optional<ScratchLedger> disk_;
};

}  // namespace waybill::internal
