// SPDX-License-Identifier: Apache-2.0
//
// Listing of a bucket's prefix, for both ends, page by page (listing_page.hpp). A listing that breaks the protocol's
// contract is an Error, never a shorter listing: keys must be below the prefix and ascending by byte, and no place to
// go on from may come back. An object that is listed twice in a row is one item.
//
// Order is promised before anything is listed (Capabilities::order), so a store without it has to be known by then:
// check_bucket() looks at the first page, and a user who knows it says ordered=false. A listing of such a store is
// taken as it comes, and says so once. Disorder that shows only later ends the listing with an Error that names the way
// out.
//
// Of versions (versions=true): all of a key come together, newest first. A listing goes on in another process behind the
// last key that was listed to its end, so that nothing depends on a version that may be deleted by then.
//
// The zero-byte object whose key is the prefix itself is the folder that was asked for, not an item in it: it is left
// out. One with content is listed as refused. Zero-byte objects "x/" are items: empty folders. Archived objects are
// refused where the listing tells them from restored ones, and otherwise when they are read.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/source.hpp"

namespace waybill::s3 {

/// `request.after` and `request.before` are honoured; there are no scopes, and resume words only of versions, which are
/// listed where `of_versions`. Does no request.
std::unique_ptr<Lister> list_objects(std::shared_ptr<Client> client, const ListRequest& request, bool of_versions = false);

/// What listings of this client are in.
Order listing_order(const Client& client) noexcept;

/// The storage class of everything that this client has listed; nothing if there were several, or no listing.
std::optional<std::string> listed_class(const Client& client);
/// A listing goes on where another process stopped: unless this one has listed before, it will not see every class.
void forget_class_if_unlisted(Client& client);

/// Whether a listing shows an object with exactly the full key `full`.
bool is_listed(Client& client, const std::string& full, Context& context);

/// One request, or two, that tells apart a bucket that is missing, credentials that are wrong or lack the right to list,
/// and an endpoint that does not answer; and finds out what listings of this store are like. `of_versions`: whether
/// versions can be listed.
void check_bucket(Client& client, Context& context, bool of_versions = false);

/// Why an object of this listing cannot be read as it is; null if it can, or if only reading tells. `is_told` is
/// whether the store was asked what is restored.
const char* why_archived(const ListedObject& object, bool is_told) noexcept;

}  // namespace waybill::s3
