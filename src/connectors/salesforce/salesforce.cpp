// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/salesforce.hpp"

#include "connectors/salesforce/files_source.hpp"
#include "connectors/salesforce/salesforce_catalog.hpp"

namespace waybill::salesforce {

Connector salesforce_connector() {
  Connector connector;
  // Object.Field is a catalog, and as such a source of what its URLs point at.
  connector.open_source = [](const Url& url) -> std::shared_ptr<Source> {
    return url.path.find('.') == std::string::npos ? open_files(url) : nullptr;
  };
  connector.open_catalog = [](const Url& url) { return std::make_shared<SalesforceCatalog>(FieldConfig::parse(url)); };
  return connector;
}

}  // namespace waybill::salesforce
