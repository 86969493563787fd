// SPDX-License-Identifier: Apache-2.0
//
// The Content-Range header of an answer to a ranged request.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace waybill::internal {

struct ContentRange {
  uint64_t first = 0;
  uint64_t last = 0;              ///< inclusive
  std::optional<uint64_t> total;  ///< of the whole; nothing where the server says '*'
};

/// "bytes 0-9/100" and "bytes 0-9/*". Nothing for anything else, or for a range that cannot be.
std::optional<ContentRange> parse_content_range(std::string_view text) noexcept;

/// The total of "bytes */100", as an answer 416 has it.
std::optional<uint64_t> parse_unsatisfied_range(std::string_view text) noexcept;

}  // namespace waybill::internal
