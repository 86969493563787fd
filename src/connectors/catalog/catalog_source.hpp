// SPDX-License-Identifier: Apache-2.0
//
// What the references of a Catalog point at, as a Source. An item is a distinct value: its key is the value itself,
// byte for byte, its partition that of the record. A value that several records hold is one item; NULL and empty are
// none.
#pragma once

#include <memory>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/source.hpp"

namespace waybill::catalog_source {

/// As open_catalog_source().
std::shared_ptr<Source> make_catalog_source(std::shared_ptr<Catalog> catalog,
                                            std::vector<std::shared_ptr<Source>> contents);

}  // namespace waybill::catalog_source
