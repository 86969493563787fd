// SPDX-License-Identifier: Apache-2.0
//
// What the engine asks of options, given or recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "waybill/options.hpp"

namespace waybill::internal {

/// Whether a run takes up the items that its options name, instead of listing.
bool selects_items(const Options& options) noexcept;
/// The same of a RunRecord's options.
bool selected_items(const std::string& recorded);

/// The name of the first field that differs; nothing if they are the same.
std::optional<std::string> first_difference(const Options& one, const Options& other);

/// What a verify run looked at: its level and, of content, which part.
struct VerifiedPart {
  VerifyLevel level = VerifyLevel::listing;
  uint64_t part = 1;
  uint64_t of = 1;
};
/// Options as a verify run is recorded with them.
std::string to_json(const Options& options, VerifyLevel level);
/// The same read back; nothing where a run was recorded without a level.
std::optional<VerifiedPart> verified_part(const std::string& recorded);

}  // namespace waybill::internal
