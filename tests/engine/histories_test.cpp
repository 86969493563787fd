// SPDX-License-Identifier: Apache-2.0
#include "engine/histories.hpp"

namespace waybill::testing {
namespace {

constexpr int steps = 8;

TEST(Histories, KeepTheInvariantsAndConverge) {
  const char* one = std::getenv("WAYBILL_HISTORY");
  one != nullptr ? try_histories(std::strtoull(one, nullptr, 10), 1, steps, 1) : try_histories(1, 60, steps, 4);
}

// What long searches have found.
TEST(Histories, ThatWereWrongOnce) {
  // Left by a kill, revised at the source, and refused: what was left is ours all the same.
  try_histories(1'228, 1, steps, 1, true);
  // Revised and put by a process that died, and gone from the source since: the row spoke of the revision before.
  try_histories(1'639, 1, steps, 1, true);
}

}  // namespace
}  // namespace waybill::testing
