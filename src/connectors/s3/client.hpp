// SPDX-License-Identifier: Apache-2.0
//
// Client: one signed request to one bucket. It builds the URL with the one encoder, so that what is signed is what is
// sent; signs as late as possible; learns the skew of the store's clock and fresh credentials, each with one
// repetition; and turns answers that are no success into Errors. It knows no operation: those are in the files that use
// it.
//
// A body is signed over plain http. Over https it is not (TLS protects it) and a checksum header goes with it instead;
// the writer decides which, by signs_bodies().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "aws/credentials.hpp"
#include "aws/sigv4.hpp"
#include "connectors/s3/config.hpp"
#include "connectors/s3/xml.hpp"
#include "net/http_client.hpp"
#include "waybill/context.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {

/// What a store turned out not to know, learnt from its answers and kept for the life of the client. Any thread.
struct Learnt {
  std::atomic<bool> refuses_checksum_headers{false};
  std::atomic<bool> refuses_conditions{false};
  std::atomic<bool> lists_plain_keys{false};  ///< ignores encoding-type=url
  std::atomic<unsigned> kept_shapes{0};       ///< of keys (naming.cpp): held verbatim
  std::atomic<unsigned> changed_shapes{0};    ///< taken for other keys
};

/// *Thread safety:* any number of threads at once. *Lifetime:* shared by what a Source or Destination gives out.
/// *Blocking:* send() and call().
class Client {
 public:
  using Parameter = std::pair<std::string, std::string>;

  struct Request {
    std::string_view method;
    std::optional<std::string_view> key = std::nullopt;  ///< of the object, with the prefix; nothing is the bucket
    std::string query = {};                              ///< from aws::canonical_query()
    std::vector<internal::HttpHeader> headers = {};      ///< signed, all of them
    std::variant<std::monostate, std::span<const std::byte>, const Body*> body = {};
    std::string_view payload_hash = aws::empty_payload_hash;
    std::optional<std::span<std::byte>> out = std::nullopt;
    int stall_timeout_ms = 0;
  };

  /// Errors: auth (no credentials), configuration (a CA file that cannot be read), local_io.
  explicit Client(Config config);

  const Config& config() const noexcept { return config_; }
  bool signs_bodies() const noexcept { return config_.scheme == "http" && !config_.anonymous; }
  Learnt& learnt() noexcept { return learnt_; }
  const Learnt& learnt() const noexcept { return learnt_; }

  /// The answer, whatever its status. Errors: network, timeout, cancelled, server; what the body's reader throws.
  internal::HttpResponse send(const Request& request, Context& context);
  /// As send(), but an answer other than 2xx is an Error.
  internal::HttpResponse call(const Request& request, Context& context);

  /// The Error for an answer that is no success.
  Error error(const Request& request, const internal::HttpResponse& response) const;
  /// The Error for what a store said inside an answer of `status`.
  Error error(const Request& request, int status, ServiceError service) const;
  /// "s3://bucket/key", printable; the bucket alone without a key.
  std::string name(std::optional<std::string_view> key) const;

 private:
  internal::HttpRequest to_http(const Request& request) const;
  void sign(const Request& request, const aws::Credentials& credentials, int64_t seconds,
            internal::HttpRequest& http) const;
  bool learn_skew(const internal::HttpResponse& response, int64_t signed_at);

  Config config_;
  std::string host_;                                       // of the Host header
  std::string base_url_;                                   // scheme and host
  std::string bucket_path_;                                // "" or "/bucket", encoded
  std::unique_ptr<aws::CredentialsProvider> credentials_;  // nothing if anonymous
  aws::Signer signer_;
  internal::HttpClient http_;
  std::atomic<int64_t> skew_seconds_{0};  // of the store's clock, to add to ours
  Learnt learnt_;
};

}  // namespace waybill::s3
