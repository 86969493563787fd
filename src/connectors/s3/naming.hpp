// SPDX-License-Identifier: Apache-2.0
//
// Which keys a store can hold, so that no object is ever written under another name than its own. S3 itself holds any
// UTF-8; stores over folder trees take "a/../b" for "b" and "a//b" for "a/b", and would let one object replace another.
// So a shape is proved once: an empty object of that shape, under a name that nobody else has, is written, looked for
// in the listing, and removed. Shapes that were found to be kept are not proved again.
#pragma once

#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {

/// Why no S3 store can hold the object with the full key `full`; null if it can. `key` is the part below the prefix.
const char* why_no_key(const Client& client, const Key& key, const std::string& full);

/// Returns if the store holds objects at `full` verbatim. Errors: unsupported (it would take the key for another one);
/// what the store says against the key.
void prove_key(Client& client, const std::string& full, Context& context);

/// Whether a request for `full` may reach another object: its shape is not known to be kept, and it is not listed.
bool is_doubtful(Client& client, const std::string& full, Context& context);

}  // namespace waybill::s3
