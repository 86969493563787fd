// SPDX-License-Identifier: Apache-2.0
//
// Listing of a bucket's prefix, for both ends (ListObjectsV2 with encoding-type=url, so that every byte of a key
// survives XML). A listing that breaks the protocol's contract is an Error, never a shorter listing: keys must be below
// the prefix and strictly ascending by byte, a truncated page must have a token, and no token may come back.
//
// The zero-byte object whose key is the prefix itself is the folder that was asked for, not an item in it: it is left
// out. One with content is listed as refused. Zero-byte objects "x/" are items: empty folders.
#pragma once

#include <memory>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/source.hpp"

namespace waybill::s3 {

/// `request.after` and `request.before` are honoured; there are no scopes and no resume words. Does no request.
std::unique_ptr<Lister> list_objects(std::shared_ptr<Client> client, const ListRequest& request);

/// Whether a listing shows an object with exactly the full key `full`.
bool is_listed(Client& client, const std::string& full, Context& context);

/// One request that tells apart a bucket that is missing, credentials that are wrong or lack the right to list, and an
/// endpoint that does not answer.
void check_bucket(Client& client, Context& context);

}  // namespace waybill::s3
