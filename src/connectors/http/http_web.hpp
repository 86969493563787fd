// SPDX-License-Identifier: Apache-2.0
//
// Requests by URL: redirects followed, refusals as Errors, and what an answer says of the thing behind the URL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "connectors/http/http_url.hpp"
#include "net/http_client.hpp"
#include "waybill/item.hpp"

namespace waybill::http {

/// Which bytes are asked for; all of them without a range.
struct Ask {
  HttpUrl url;
  std::optional<uint64_t> first;
  std::optional<uint64_t> last;  ///< inclusive; nothing is to the end
  std::string if_range;          ///< a strong validator: the whole comes where it no longer holds
};

/// What an answer says of the revision that its bytes belong to.
struct Described {
  SourceStamp stamp;      ///< without size; the ETag (a weak one with its "W/"), or else the time of the last change
  std::string validator;  ///< that ranges can be asked for with; "" where the server gave none that is strong
  Attributes attributes;
};
Described describe(const internal::HttpResponse& response);

/// The validator to ask with for more of the revision that `stamp` names; "" if there is none.
std::string validator_of(const SourceStamp& stamp);

/// Whether both can be the same revision: nothing that both tell differs.
bool may_be_same(const SourceStamp& a, const SourceStamp& b);

/// *Thread safety:* any number of threads.
class Web {
 public:
  /// `origin` is the one whose connections are kept apart from those of where it redirects to; it alone is sent
  /// `credential`.
  explicit Web(std::string origin, std::optional<internal::HttpHeader> credential = {})
      : origin_(std::move(origin)), credential_(std::move(credential)) {}

  /// The answer to a GET, after redirects; `out` as HttpRequest::out. Statuses: 200, 206 to a range, 416 to a range;
  /// every other is an Error: missing (404, 410), permission (403, 451, a link that has run out), auth (401), throttled
  /// (429, 503, with Retry-After), timeout (408), server, unsupported (a redirect that may not be followed).
  internal::HttpResponse get(const Ask& ask, std::span<std::byte> out, Context& context);
  /// The same, with the body to be pulled.
  std::unique_ptr<internal::HttpDownload> open(const Ask& ask, Context& context);
  /// Whether the server answers at all, whatever it says of this URL. Errors: network, timeout, throttled, server.
  void check(const HttpUrl& url, Context& context);

 private:
  using Send = std::function<const internal::HttpResponse&(internal::HttpClient&, internal::HttpRequest)>;
  void follow(const Ask& ask, const Send& send);

  static internal::HttpOptions options();
  internal::HttpRequest request_for(const Ask& ask, const HttpUrl& url) const;

  const std::string origin_;
  const std::optional<internal::HttpHeader> credential_;
  internal::HttpClient here_{options()};
  internal::HttpClient elsewhere_{options()};
};

}  // namespace waybill::http
