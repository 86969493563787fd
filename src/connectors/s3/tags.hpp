// SPDX-License-Identifier: Apache-2.0
//
// Tags of objects at a source. They are no part of a GET: it says how many there are (x-amz-tagging-count), to those
// who may read them, and only an object that has some costs a request more. Whether a store counts at all, and whether
// the credentials may read tags, is found out with the first object that seems to have none.
#pragma once

#include <map>
#include <string>

#include "connectors/s3/client.hpp"

namespace waybill::s3 {

/// The tags of the object that `response`, to a GET or HEAD of it, is about; `version` "" is the latest. Nothing where the
/// source was opened with tags=false. Errors: permission and others of GetObjectTagging where the object is known to have
/// tags: it is not copied without them.
std::map<std::string, std::string> read_tags(Client& client, const std::string& key, const std::string& version,
                                             const internal::HttpResponse& response, Context& context);

/// `error` with "; `hint`" at its end.
Error with_hint(const Error& error, std::string_view hint);

}  // namespace waybill::s3
