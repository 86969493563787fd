// SPDX-License-Identifier: Apache-2.0
//
// Where a scan goes on: the three parts of the next row's identity, as the opaque text that pages carry.
#pragma once

#include <string>
#include <string_view>

namespace waybill::internal {

/// A position in the order of rows: where to go on, inclusive.
struct Position {
  std::string first;
  std::string second;
  std::string third;
};

std::string to_text(const Position& position);
/// Errors: invalid_argument (not one of ours).
Position to_position(std::string_view text);

}  // namespace waybill::internal
