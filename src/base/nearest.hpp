// SPDX-License-Identifier: Apache-2.0
//
// The closest known word for one that is none.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace waybill::internal {

/// "; did you mean "url"?", or nothing where no word of `known` is near. Case, and '-' for '_', make no difference.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace waybill::internal
