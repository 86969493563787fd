// SPDX-License-Identifier: Apache-2.0
//
// See position.hpp.
#include "trackers/sqlite/position.hpp"

#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

std::string take_part(std::string_view& text) {
  size_t length = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 9 && text[digits] >= '0' && text[digits] <= '9') {
    length = length * 10 + static_cast<size_t>(text[digits++] - '0');
  }
  if (digits == 0 || digits >= text.size() || text[digits] != ':' || text.size() - digits - 1 < length) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "the position to go on from is not one of a scan");
  }
  std::string part(text.substr(digits + 1, length));
  text.remove_prefix(digits + 1 + length);
  return part;
}

}  // namespace

// Each part but the last with its length before it.
std::string to_text(const Position& position) {
  return std::to_string(position.first.size()) + ':' + position.first + std::to_string(position.second.size()) + ':' +
         position.second + position.third;
}

Position to_position(std::string_view text) {
  Position position;
  position.first = take_part(text);
  position.second = take_part(text);
  position.third = std::string(text);
  return position;
}

}  // namespace waybill::internal
