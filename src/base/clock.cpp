// SPDX-License-Identifier: Apache-2.0

#include "base/clock.hpp"

#include <ctime>

namespace waybill::internal {

int64_t boot_time_ms() noexcept {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace waybill::internal
