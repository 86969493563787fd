// SPDX-License-Identifier: Apache-2.0

#include "net/content_range.hpp"

#include "base/text.hpp"

namespace waybill::internal {

std::optional<ContentRange> parse_content_range(std::string_view text) noexcept {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = parse_uint(text.substr(0, dash));
  const auto last = parse_uint(text.substr(dash + 1, slash - dash - 1));
  const auto total = parse_uint(text.substr(slash + 1));
  if (!first || !last || *last < *first || (!total && text.substr(slash + 1) != "*")) return std::nullopt;
  if (*last == UINT64_MAX || (total && *total <= *last)) return std::nullopt;
  return ContentRange{*first, *last, total};
}

std::optional<uint64_t> parse_unsatisfied_range(std::string_view text) noexcept {
  if (!text.starts_with("bytes */")) return std::nullopt;
  return parse_uint(text.substr(8));
}

}  // namespace waybill::internal
