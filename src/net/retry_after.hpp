// SPDX-License-Identifier: Apache-2.0
//
// The Retry-After header: seconds or an HTTP date.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace waybill::internal {

/// How long to wait, at `now_seconds` since 1970. A date in the past is zero; more than a day is a day. Nothing if
/// `value` is neither form.
std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value, int64_t now_seconds) noexcept;

}  // namespace waybill::internal
