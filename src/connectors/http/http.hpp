// SPDX-License-Identifier: Apache-2.0
//
// The http and https schemes of the registry.
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::http {

Connector http_connector();

}  // namespace waybill::http
