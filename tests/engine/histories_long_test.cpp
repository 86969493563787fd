// SPDX-License-Identifier: Apache-2.0
#include "engine/histories.hpp"

namespace waybill::testing {
namespace {

// As many steps as in the default lane, so that it repeats a failing one.
TEST(ManyHistories, KeepTheInvariantsAndConverge) { try_histories(1'000, 3'000, 8, 8); }

}  // namespace
}  // namespace waybill::testing
