// SPDX-License-Identifier: Apache-2.0
//
// Client: one signed request to one bucket. It builds the URL with the one encoder, so that what is signed is what is
// sent; signs as late as possible; and turns answers that are no success into Errors. It knows no operation: those are
// in the files that use it.
//
// Three things it learns from refusals, and asks again by itself, each at most once or twice a request: the skew of the
// store's clock, the bucket's region (redirects are never followed as such: a signature is for one region), and that
// its credentials are over. All are remembered for the client's life.
//
// A body is signed over plain http. Over https it is not (TLS protects it) and a checksum header goes with it instead;
// the writer decides which, by signs_bodies().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
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
  enum class ListVersion : int { unknown, one, two };
  enum class Plus : int { unknown, space, itself };         ///< what a '+' in an encoded key means
  enum class Proof : int { crc64nvme, crc32c, sha256, md5 };  ///< that goes with an unsigned body (writing.hpp)
  enum class Heeded : int { unknown, being_asked, yes, no };
  enum class Tags : int { unknown, counted, uncounted };  ///< whether a GET says that there are any
  enum class Copies : int { unknown, being_asked, whole, lossy };  ///< whether they keep all attributes (copying.hpp)
  enum class Website : int { unknown, being_asked, none, maybe };  ///< that the bucket is (website.hpp)

  /// Whether one operation heeds what a header requires of what is there; no: it refuses the header, or ignores it.
  struct Conditions {
    std::atomic<Heeded> if_none_match{Heeded::unknown};
    std::atomic<Heeded> if_match{Heeded::unknown};
  };

  Conditions put_conditions;
  Conditions copy_conditions;
  Conditions complete_conditions;
  std::atomic<unsigned> looks{0};  ///< at what is there before a write (guard.hpp)
  std::atomic<bool> refuses_checksum_headers{false};  ///< at the beginning of an upload
  std::atomic<Proof> proof{Proof::crc64nvme};
  std::atomic<bool> has_proved{false};  ///< a body was taken with this proof
  std::atomic<bool> refuses_storage_classes{false};
  std::atomic<Tags> tags{Tags::unknown};
  std::timed_mutex tags_being_asked;
  std::atomic<ListVersion> list_version{ListVersion::unknown};
  std::atomic<Plus> plus{Plus::unknown};
  std::atomic<bool> is_unordered{false};
  std::atomic<bool> has_warned_of_order{false};
  std::atomic<bool> has_weak_etags{false};    ///< no If-Match holds for them; answers are compared all the same
  std::atomic<bool> lists_plain_keys{false};  ///< ignores encoding-type=url
  std::atomic<int> listed_class{0};           ///< of everything that was listed (listing.cpp); 0: nothing was
  std::atomic<Website> website{Website::unknown};
  std::atomic<Copies> copies{Copies::unknown};
  std::atomic<bool> has_told_of_versions{false};
  std::atomic<bool> has_copied{false};        ///< a copy inside the store has succeeded
  std::atomic<unsigned> refused_copies{0};    ///< before that
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
    bool is_sent_once = false;  ///< as internal::HttpRequest::is_sent_once
  };

  /// Does no I/O. Errors: configuration (a CA file that cannot be read).
  explicit Client(Config config);

  /// As the URL says; the region that was learnt since is not in it.
  const Config& config() const noexcept { return config_; }
  bool signs_bodies() const noexcept { return config_.scheme == "http" && !config_.anonymous; }
  Learnt& learnt() noexcept { return learnt_; }
  const Learnt& learnt() const noexcept { return learnt_; }
  /// As Source::clock_offset.
  std::optional<std::chrono::seconds> clock_offset() const noexcept {
    const int64_t seconds = clock_offset_s_;
    return seconds == INT64_MIN ? std::nullopt : std::optional<std::chrono::seconds>(seconds);
  }

  /// The answer, whatever its status; the last one, where it had to be asked for again. Errors: network, timeout,
  /// cancelled, server; auth and others of aws::CredentialsProvider::current; what the body's reader throws.
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
  /// Where requests go and what they are signed for.
  struct Route {
    explicit Route(const Config& config);
    std::string region;
    std::string host;      ///< of the Host header, with the port where it is not the scheme's own
    std::string base_url;  ///< scheme and host
    aws::Signer signer;
  };
  struct Refused;
  class Exchange;

  internal::HttpRequest to_http(const Request& request, const Route& route) const;
  void sign(const Request& request, const Route& route, const aws::Credentials& credentials, int64_t seconds,
            internal::HttpRequest& http) const;
  std::shared_ptr<const Route> route() const;
  /// Goes to `region` from now on, unless another thread has gone on from `old` already.
  void change_route(const std::shared_ptr<const Route>& old, const std::string& region, Context& context);
  /// Takes what the store is known for from its first good answer.
  void meet(const internal::HttpResponse& response);
  Error to_error(const Request& request, std::optional<std::string_view> key, int status, ServiceError service,
                 std::optional<std::chrono::milliseconds> retry_after) const;

  const Config config_;
  std::string bucket_path_;                                // "" or "/bucket", encoded
  std::unique_ptr<aws::CredentialsProvider> credentials_;  // nothing if anonymous
  internal::HttpClient http_;
  std::atomic<int64_t> skew_seconds_{0};  // of the store's clock, to add to ours
  std::atomic<int64_t> clock_offset_s_{INT64_MIN};  // as the first good answer said; nothing yet
  std::atomic<bool> has_worked_{false};   // a request was accepted
  Learnt learnt_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Route> route_;  // guarded by mutex_
};

}  // namespace waybill::s3
