// SPDX-License-Identifier: Apache-2.0
//
// See removal.hpp.
#include "connectors/s3/removal.hpp"

#include "connectors/s3/guard.hpp"
#include "connectors/s3/naming.hpp"
#include "connectors/s3/reading.hpp"

namespace waybill::s3 {

Removal remove_object(Client& client, const std::string& key, const SourceStamp& stamp, const std::string& version,
                      Context& context) {
  if (version.empty() && is_doubtful(client, key, context)) return Removal::gone;
  const auto conflict = [&] {
    return Error(ErrorCode::failed_precondition, ErrorClass::conflict, client.name(key) + " has changed");
  };
  const auto look = [&] {
    const std::optional<ObjectHead> head = head_object(client, key, context, version);
    if (head && (stamp.size != head->size || stamp.etag != head->etag)) throw conflict();
    return head.has_value();
  };
  if (!look()) return Removal::gone;

  Client::Request request{.method = "DELETE", .key = key};
  const Client::Parameter parameters[] = {{"versionId", version}};
  if (!version.empty()) request.query = aws::canonical_query(parameters);
  // A version never has other content than it had.
  const bool is_guarded = version.empty() && !stamp.etag.empty() && !client.learnt().has_weak_etags;
  if (is_guarded) request.headers.emplace_back("If-Match", "\"" + stamp.etag + "\"");
  internal::HttpResponse response = client.send(request, context);
  if (is_guarded && refuses_header(response)) {
    request.headers.clear();
    if (!look()) return Removal::gone;
    response = client.send(request, context);
  }
  const bool is_missing = response.status == 404 && parse_error(response.text).code != "NoSuchBucket";
  if (is_missing) return Removal::gone;
  if (response.status == 412) {
    // An earlier try of this request may have been carried out though its answer was lost.
    if (!look()) return Removal::gone;
    throw conflict();
  }
  if (response.status < 200 || response.status > 299) throw client.error(request, response);
  const bool is_marker = version.empty() && response.header("x-amz-delete-marker") == "true";
  return is_marker ? Removal::hidden : Removal::removed;
}

}  // namespace waybill::s3
