// SPDX-License-Identifier: Apache-2.0
//
// The clock that leases are measured by. Wall-clock times are in text.hpp.
#pragma once

#include <cstdint>

namespace waybill::internal {

/// Milliseconds since boot, time asleep included (CLOCK_BOOTTIME): a machine that slept has let its lease run on.
int64_t boot_time_ms() noexcept;

}  // namespace waybill::internal
