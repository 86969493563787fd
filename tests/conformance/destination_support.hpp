// SPDX-License-Identifier: Apache-2.0
//
// Shorthand that both files of the Destination suite use.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "conformance/conformance.hpp"

namespace waybill::conformance {

/// CRC-64/NVME of `content`.
Digest digest_of(std::string_view content);
/// Puts a contiguous body with its digest.
Stored put(Destination& destination, const Key& key, std::string_view content, const WriteOptions& options, Context& context);
/// What Destination::read gives, in steps; nothing where it is unimplemented.
std::optional<std::string> read_back(Destination& destination, const Item& item, Context& context);
/// Every method that may block, by name. They may be called on another thread; the destination outlives the calls.
std::map<std::string, std::function<void(Context&)>> blocking_calls(Destination& destination, const Item& item);

}  // namespace waybill::conformance
