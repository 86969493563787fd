// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 for connectors: one blocking call per request on the caller's thread, over libcurl. This header and its
// implementation know nothing of stores; the .cpp is the only file of waybill that includes curl.
//
// What holds for every request: the path goes out exactly as given; bodies come back exactly as sent (no content
// decoding); redirects are answers, never followed; no cookies, no netrc; TLS >= 1.2 with peer and host verified;
// loopback and metadata services never go through a proxy; a body that ends early is an error, never a short success.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/item.hpp"

namespace waybill::internal {

using HttpHeader = std::pair<std::string, std::string>;

struct HttpOptions {
  /// DNS, TCP and TLS together.
  int connect_timeout_ms = 10'000;
  /// A call that moves less than `stall_min_bytes_per_s` on average over this long ends with class timeout. There is no
  /// other limit but the Context's deadline.
  int stall_timeout_ms = 30'000;
  int stall_min_bytes_per_s = 1024;
  /// CA bundle (PEM). "" takes the file in AWS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE (in this order), else the
  /// system's.
  std::string ca_file;
  /// "" is "waybill/<version>".
  std::string user_agent;
  /// For URLs that strangers choose. A call that would go to an address of this machine's link or to a cloud's metadata
  /// service, by whatever name, fails with class permission and is not retryable. A proxy decides for itself.
  bool denies_metadata = false;
};

struct HttpRequest {
  std::string method = "GET";
  /// Complete and already percent-encoded; http or https.
  std::string url;
  /// Sent as they are, in this order. A header with an empty value is sent empty. Host, if present, replaces curl's.
  std::vector<HttpHeader> headers;
  /// None, contiguous bytes, or a Body (contiguous or windowed) that outlives the call.
  std::variant<std::monostate, std::span<const std::byte>, const Body*> body;
  /// Where the body of a 2xx answer goes. Empty: into HttpResponse::text.
  std::optional<std::span<std::byte>> out;
  /// The longest body that HttpResponse::text takes, in bytes; a longer one is an Error.
  uint64_t max_response_bytes = 64ull << 20;
  /// Overrides HttpOptions::stall_timeout_ms for a request that the server may think about for long; 0 does not.
  int stall_timeout_ms = 0;
  /// Never sent a second time: where the connection that was kept for it dies without a byte of an answer, that is an
  /// Error (network, retryable) instead.
  bool is_sent_once = false;
};

class HttpResponse {
 public:
  int status = 0;
  /// The body, unless it went to HttpRequest::out. Bodies of answers other than 2xx are here always, cut at 64 KiB.
  std::string text;
  /// Bytes of the body: all of `text`, or what was written to HttpRequest::out.
  uint64_t body_bytes = 0;
  /// As the Content-Length header says, also for HEAD.
  std::optional<uint64_t> content_length;
  /// The end of the body was marked (by its length, by chunks, or because there can be none). Where it is false, the
  /// body ended when the connection did and may be cut short: compare it with a known size or digest.
  bool length_verified = true;
  /// The connection that was kept for the request turned out to be closed, and it went out on another: the server may
  /// have carried it out twice.
  bool maybe_resent = false;
  /// The body was longer than HttpRequest::out; what fitted is there, the rest was not read.
  bool overflow = false;

  /// The value of the first header `name` (lower case), without spaces around it; "" if there is none.
  /// *Lifetime:* of this response.
  std::string_view header(std::string_view name) const noexcept;
  bool has_header(std::string_view name) const noexcept;
  /// Calls `each(name, value)` for every header of the final answer, in order; names are in lower case.
  template <typename Each>
  void for_each_header(Each&& each) const {
    const std::string_view block = headers_;
    for (size_t at = 0; at < block.size();) {
      const size_t colon = block.find('\0', at);
      const size_t end = block.find('\0', colon + 1);
      each(block.substr(at, colon - at), block.substr(colon + 1, end - colon - 1));
      at = end + 1;
    }
  }

 private:
  friend class HttpClient;
  std::optional<std::string_view> find(std::string_view name) const noexcept;
  std::string headers_;  // name NUL value NUL …; a NUL inside a value was replaced by a space
};

/// An answer whose body is read piece by piece: for bodies of unknown length. Used by one thread at a time; the client
/// outlives it. Destroyed before the end of the body, it closes its connection.
class HttpDownload {
 public:
  virtual ~HttpDownload();
  /// Status and headers; the text as well, unless the status is 2xx.
  virtual const HttpResponse& response() const noexcept = 0;
  /// Fills `out` and returns how many bytes it filled; less only at the end of the body, which is one that was marked
  /// (HttpResponse::length_verified tells whether it could be). Between two calls nothing is read ahead but what curl
  /// holds in its buffer. Errors: as HttpClient::perform; after one, the body is lost.
  virtual size_t read(std::span<std::byte> out, Context& context) = 0;
};

/// Connections to one endpoint (or a few): kept alive, used last-in first-out, closed when idle for 4 s; with one DNS
/// cache and one TLS session cache, and one look-up in flight per host. A host is looked up again after a minute, and at
/// once where nobody answers at its addresses. Bodies of 1 MiB and more ask before they are sent ("Expect: 100-continue"),
/// until a server has taken one without a word on that.
///
/// *Thread safety:* perform() from any number of threads at once. *Lifetime:* outlives its calls; no threads of its
/// own. *Blocking:* perform() only. Each open connection costs three file descriptors.
class HttpClient {
 public:
  /// Errors: configuration (a CA file that cannot be read).
  explicit HttpClient(HttpOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends one request and returns the complete answer, whatever its status. Returns within a second of the Context's
  /// cancellation, also while nothing moves. A connection that the server had closed meanwhile is replaced once,
  /// without an error. Counts "http_requests" and "http_connections" on the Context. Errors: network (retryable, but
  /// not for a TLS certificate that does not verify), timeout (retryable), cancelled, configuration (not an http or
  /// https URL), server (text longer than max_response_bytes); what a windowed Body's reader throws.
  HttpResponse perform(const HttpRequest& request, Context& context);

  /// Sends a request without a body of its own and returns as soon as the head of the answer is there (all of it, unless
  /// the status is 2xx). HttpRequest::out is not used. Otherwise as perform().
  std::unique_ptr<HttpDownload> open(HttpRequest request, Context& context);

  /// Idle connections that are open now; for tests.
  size_t idle_connections() const;

 private:
  struct Impl;
  class Download;
  std::unique_ptr<Impl> impl_;
};

/// Of the libcurl in use: "7.88.1". Any thread.
std::string curl_version_number();

}  // namespace waybill::internal
