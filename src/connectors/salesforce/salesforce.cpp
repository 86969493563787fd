// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/salesforce.hpp"

#include "connectors/salesforce/salesforce_catalog.hpp"

namespace waybill::salesforce {

Connector salesforce_connector() {
  Connector connector;
  connector.open_catalog = [](const Url& url) { return std::make_shared<SalesforceCatalog>(FieldConfig::parse(url)); };
  return connector;
}

}  // namespace waybill::salesforce
