// SPDX-License-Identifier: Apache-2.0
//
// What the references of a Catalog point at, as a Source. An item is a distinct value: its key is the value itself,
// byte for byte, its partition that of the record. A value that several records hold is one item; NULL and empty are
// none.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/connectors.hpp"
#include "waybill/source.hpp"

namespace waybill::catalog_source {

/// As open_catalog_source().
std::shared_ptr<Source> make_catalog_source(std::shared_ptr<Catalog> catalog,
                                            std::vector<std::shared_ptr<Source>> contents);

/// The same by the catalog's URL: its parameter `contents`, if it is there, holds the URLs of sources, with spaces between
/// them; the rest goes to `open_catalog`. Errors: configuration.
std::shared_ptr<Source> open(Url url, const std::function<std::shared_ptr<Catalog>(const Url&)>& open_catalog);

}  // namespace waybill::catalog_source
