// SPDX-License-Identifier: Apache-2.0
//
// Which object a URL points at.
#pragma once

#include <optional>
#include <string_view>

#include "connectors/s3/config.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {

/// The item of the store that `config` describes, told by the URL alone: s3://bucket/key; http(s) with the bucket in
/// the host or in the path, at the store's own endpoint, and where that is AWS at each of its hosts for S3 (of any
/// region, dual-stack, FIPS, accelerated). The key is percent-decoded. Of a query only versionId counts. Nothing for
/// other buckets, for keys outside of the prefix, for hosts that are not the store's, and for what is no clean URL.
std::optional<ItemId> item_of_url(const Config& config, std::string_view url);

}  // namespace waybill::s3
