// SPDX-License-Identifier: Apache-2.0
//
// DELETE of one object that has not changed since it was looked at, for both ends.
#pragma once

#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/item.hpp"
#include "waybill/source.hpp"

namespace waybill::s3 {

/// Removes the object at the full key `key` if it is still the one of `stamp`: it is looked at, and then removed under
/// If-Match, which a store that refuses the header is not asked for. `version` names one to be removed for good; without
/// one, a bucket that keeps versions puts a delete marker before the object, and the answer is `hidden`. Errors: conflict
/// (it has another size or ETag now).
Removal remove_object(Client& client, const std::string& key, const SourceStamp& stamp, const std::string& version,
                      Context& context);

}  // namespace waybill::s3
