// SPDX-License-Identifier: Apache-2.0
//
// What the engine asks of options, given or recorded.
#pragma once

#include <string>

#include "waybill/options.hpp"

namespace waybill::internal {

/// Whether a run takes up the items that its options name, instead of listing.
bool selects_items(const Options& options) noexcept;
/// The same of a RunRecord's options.
bool selected_items(const std::string& recorded);

}  // namespace waybill::internal
