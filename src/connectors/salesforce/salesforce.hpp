// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::salesforce {

/// salesforce://acme.my.salesforce.com/Object.Field is a Catalog, /ContentVersion, /Attachment and /Document are Sources; see
/// config.hpp.
Connector salesforce_connector();

}  // namespace waybill::salesforce
