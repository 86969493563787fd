// SPDX-License-Identifier: Apache-2.0
//
// Which items a run leaves out, and the rule that says so.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "waybill/item.hpp"
#include "waybill/options.hpp"

namespace waybill::internal {

/// Whether `key` matches `glob`: `?` one byte and `*` any bytes within a component, `**` any bytes across components
/// (`**/` also none), `[abc]`, `[a-z]`, `[!a]` one byte, `\` the next byte as it is. A glob without '/' is matched
/// against the last component, one with '/' against the whole key, a leading '/' is ignored. Linear in the key's
/// length for each star.
bool glob_matches(std::string_view glob, std::string_view key) noexcept;

/// The rule that excludes the item, as the user wrote it ("--exclude *.tmp"), or nothing.
std::optional<std::string> excluding_rule(const Item& item, const Options& options);

}  // namespace waybill::internal
