// SPDX-License-Identifier: Apache-2.0
//
// Retry-After, bounded so that a hostile or broken server cannot park a run for long.
#include "net/retry_after.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace waybill::internal {

std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value, int64_t now_seconds) noexcept {
  constexpr int64_t longest_s = 24 * 3600;
  value = trim(value);
  if (value.empty()) return {};
  int64_t seconds = 0;
  if (value.find_first_not_of("0123456789") == std::string_view::npos) {
    // A number too large to represent is still a number.
    seconds = static_cast<int64_t>(std::min<uint64_t>(parse_uint(value).value_or(longest_s), longest_s));
  } else if (const auto date = parse_http_date(value)) {
    seconds = std::clamp<int64_t>(*date - now_seconds, 0, longest_s);
  } else {
    return {};
  }
  return std::chrono::seconds(seconds);
}

}  // namespace waybill::internal
