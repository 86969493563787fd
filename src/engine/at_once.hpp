// SPDX-License-Identifier: Apache-2.0
//
// A few calls of connectors at once, where no run with transfer threads is under way.
#pragma once

#include <cstddef>
#include <functional>

namespace waybill::internal {

/// Calls `call` with 0 … n - 1, at most `width` of them at once, and returns when all have ended. An exception ends it: the
/// calls that are under way come to their end, no other is begun, and the first exception is thrown.
void each_at_once(size_t n, size_t width, const std::function<void(size_t)>& call);

}  // namespace waybill::internal
