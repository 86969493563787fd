// SPDX-License-Identifier: Apache-2.0
//
// Website redirects in copies inside a store. CopyObject keeps everything of an object but the place that a website
// sends its readers to, which only the object itself can tell. Whether it is worth a request for each object is asked
// of the bucket, once: one that is no website sends nobody anywhere.
#pragma once

#include "connectors/s3/client.hpp"

namespace waybill::s3 {

/// Finds out whether the source's bucket is a website, unless that is known. Errors: as Client::send.
void ask_for_website(Client& client, Context& context);

/// Whether objects of the bucket may have redirects. Until it was asked they may.
bool may_redirect(const Client& client) noexcept;

}  // namespace waybill::s3
