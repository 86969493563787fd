// SPDX-License-Identifier: Apache-2.0
//
// The filesystem connector: file:///path, or a plain path. It has no parameters.
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::filesystem {

Connector filesystem_connector();

}  // namespace waybill::filesystem
