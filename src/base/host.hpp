// SPDX-License-Identifier: Apache-2.0
//
// The machine that this process runs on.
#pragma once

#include <string>

namespace waybill::internal {

/// The name of this machine; "" where it cannot be told.
std::string host_name();

}  // namespace waybill::internal
