// SPDX-License-Identifier: Apache-2.0
//
// The version that was compiled in.
#include "waybill/version.hpp"

namespace waybill {

const char* version() noexcept { return WAYBILL_VERSION; }

}  // namespace waybill
