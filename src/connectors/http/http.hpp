// SPDX-License-Identifier: Apache-2.0
//
// The http and https schemes of the registry: https://host/base/?header=env:NAME.
//
//   header  env:NAME: every request to this host, and to no other that it redirects to, has the header that this variable
//           holds, whole ("Authorization: Bearer …"). Not over plain http to another machine
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::http {

Connector http_connector();

}  // namespace waybill::http
