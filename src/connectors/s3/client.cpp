// SPDX-License-Identifier: Apache-2.0
//
// See client.hpp.
#include "connectors/s3/client.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/s3/errors.hpp"
#include "net/retry_after.hpp"

namespace waybill::s3 {
namespace {

// A signature is refused when it is 15 minutes off. A refusal is put down to the clock only if that is plausible.
constexpr int64_t plausible_skew_s = 4 * 60;
// Of any answer that is no object: a page of a thousand of the longest keys is half as long.
constexpr uint64_t most_answer_bytes = 8 << 20;
constexpr const char* payer_header = "x-amz-request-payer";
constexpr const char* customer_key_header = "x-amz-server-side-encryption-customer-key";
// Of one request: from the wrong region to the right one, and once more where a new bucket is on its way.
constexpr size_t most_region_changes = 2;

ServiceError service_error(const internal::HttpResponse& response) {
  ServiceError service = parse_error(response.text);
  if (service.request_id.empty()) service.request_id = response.header("x-amz-request-id");
  if (service.region.empty()) service.region = response.header("x-amz-bucket-region");
  return service;
}

// The region in the name of a host of AWS: "bucket.s3.eu-west-1.amazonaws.com", "s3-eu-west-1.amazonaws.com".
std::string region_in_host(std::string_view host) {
  host = host.substr(0, host.find_first_of(":/"));
  if (host.ends_with(".cn")) host.remove_suffix(3);
  constexpr std::string_view domain = ".amazonaws.com";
  if (!host.ends_with(domain)) return {};
  host.remove_suffix(domain.size());
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last == "s3-external-1") return "us-east-1";
  if (last == "s3-accelerate" || last.starts_with("s3-website")) return {};
  if (last.starts_with("s3-")) return std::string(last.substr(3));
  const bool is_dotted = host.find("s3.") != std::string_view::npos || host.find("s3-fips.") != std::string_view::npos;
  return is_dotted && last != "s3" ? std::string(last) : "";
}

std::string_view host_in_url(std::string_view url) {
  const size_t scheme = url.find("://");
  return scheme == std::string_view::npos ? std::string_view{} : url.substr(scheme + 3);
}

bool may_be_about_region(const internal::HttpResponse& response, const std::string& code) {
  if (response.status == 301 || response.status == 307 || response.status == 302 || response.status == 308) return true;
  if (response.status != 400 && response.status != 403) return false;
  return code.empty() || code == "AuthorizationHeaderMalformed" || code == "IllegalLocationConstraintException" ||
         code == "InvalidRegion" || code == "IncorrectEndpoint";
}

bool is_about_credentials(const std::string& code) {
  // The last one also where somebody put a new key into the file and deleted the old one.
  return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired" ||
         code == "InvalidToken" || code == "InvalidAccessKeyId";
}

// Whatever reads or writes content, or what is known of it.
bool needs_customer_key(const Client::Request& request) {
  return request.key && request.method != "DELETE" && !request.query.starts_with("tagging");
}

}  // namespace

namespace {

void hide(std::string_view secret, std::string& text) {
  constexpr std::string_view hidden = "***";
  if (secret.empty()) return;
  for (size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + hidden.size())) {
    text.replace(at, secret.size(), hidden);
  }
}

// What a store says in an error goes into messages and ledgers. Some repeat the request in it.
void hide_secrets(const aws::Credentials& credentials, const internal::HttpRequest& request, std::string& text) {
  // A shorter one is that of a test, and its letters are those of any answer.
  constexpr size_t least_secret = 8;
  if (credentials.secret_access_key.reveal().size() >= least_secret) hide(credentials.secret_access_key.reveal(), text);
  hide(credentials.session_token.reveal(), text);
  hide(internal::encode_query(credentials.session_token.reveal()), text);
  for (const auto& [name, value] : request.headers) {
    const size_t signature = value.find("Signature=");
    if (signature != std::string::npos && internal::equals_ignoring_case(name, "authorization")) {
      hide(std::string_view(value).substr(signature + 10), text);
    }
    if (name == customer_key_header) hide(value, text);
  }
}

}  // namespace

/// What a refusal says that a client can act on.
struct Client::Refused {
  std::string code;
  std::string region;

  explicit Refused(const internal::HttpResponse& response) {
    ServiceError service = service_error(response);
    code = std::move(service.code);
    region = std::move(service.region);
    if (region.empty()) region = region_in_host(service.endpoint);
    if (region.empty()) region = region_in_host(host_in_url(response.header("location")));
    if (!is_region_name(region)) region.clear();
  }
};

/// One request until it has an answer that nothing can be learnt from.
class Client::Exchange {
 public:
  Exchange(Client& client, const Request& request, Context& context)
      : client_(client), request_(request), context_(context), route_(client.route()) {
    if (client.credentials_) credentials_ = client.credentials_->current(context);
  }

  internal::HttpResponse run() {
    for (;;) {
      internal::HttpResponse response = perform();
      if (response.status < 300 && !client_.has_worked_.load(std::memory_order_relaxed)) client_.meet(response);
      if (response.status < 300 || !learn(response)) return response;
    }
  }

 private:
  internal::HttpResponse perform() {
    internal::HttpRequest http = client_.to_http(request_, *route_);
    const int64_t skew = client_.skew_seconds_.load(std::memory_order_relaxed);
    now_ = internal::now_ms() / 1000;
    signed_at_ = now_ + skew;
    if (credentials_) client_.sign(request_, *route_, *credentials_, signed_at_, http);
    internal::HttpResponse response = client_.http_.perform(http, context_);
    // An error may also stand in the success of a write.
    const bool may_be_error = response.status >= 300 || request_.method != "GET";
    if (credentials_ && may_be_error && !response.text.empty()) hide_secrets(*credentials_, http, response.text);
    return response;
  }

  // Whether it is worth asking again.
  bool learn(const internal::HttpResponse& response) {
    const bool is_refusal = response.status == 400 || response.status == 401 || response.status == 403;
    if (!is_refusal && response.status >= 400) return false;
    if (response.status == 304) return false;
    if (is_refusal && learn_skew(response)) return true;
    const Refused refused = explain(response);
    if (is_refusal && is_about_credentials(refused.code)) return renew();
    return may_be_about_region(response, refused.code) && change_region(refused.region);
  }

  // A HEAD has no body to say why it was refused: the same bucket is asked for a listing, which has.
  Refused explain(const internal::HttpResponse& response) {
    Refused refused(response);
    const bool has_region = !refused.region.empty() && refused.region != route_->region;
    if (request_.method != "HEAD" || has_region || has_explained_) return refused;
    // Once requests have been accepted, a 403 is a right that lacks, unless the credentials can come to their end.
    const bool can_expire = credentials_ && !credentials_->session_token.empty();
    if (response.status == 403 && client_.has_worked_ && !can_expire) return refused;
    has_explained_ = true;
    std::vector<Parameter> parameters = {{"list-type", "2"}, {"max-keys", "0"}};
    // Rights may end at the prefix.
    if (!client_.config_.prefix.empty()) parameters.emplace_back("prefix", client_.config_.prefix);
    const Request listing{.method = "GET", .query = aws::canonical_query(parameters)};
    internal::HttpRequest http = client_.to_http(listing, *route_);
    if (credentials_) client_.sign(listing, *route_, *credentials_, signed_at_, http);
    const internal::HttpResponse why = client_.http_.perform(http, context_);
    if (why.status < 300) return refused;
    Refused explained(why);
    // A bucket that may not be listed says nothing of the object.
    if (!is_about_credentials(explained.code) && explained.region.empty()) return refused;
    return explained;
  }

  bool learn_skew(const internal::HttpResponse& response) {
    if (!credentials_ || has_learnt_skew_) return false;
    const auto theirs = internal::parse_http_date(response.header("date"));
    if (!theirs) return false;
    const int64_t difference = *theirs - signed_at_;
    if (difference > -plausible_skew_s && difference < plausible_skew_s) return false;
    has_learnt_skew_ = true;
    // Not added to what is known: other threads may have learnt the same since this request was signed.
    client_.skew_seconds_.store(*theirs - now_, std::memory_order_relaxed);
    context_.log(LogLevel::warning, route_->base_url + ": its clock and ours differ by " +
                                        std::to_string(*theirs - now_) + " s; signing by its clock");
    return true;
  }

  bool renew() {
    if (!credentials_ || has_renewed_) return false;
    has_renewed_ = true;
    if (!client_.credentials_->refresh(credentials_, context_)) return false;
    credentials_ = client_.credentials_->current(context_);
    return true;
  }

  bool change_region(const std::string& region) {
    if (regions_.size() >= most_region_changes) return false;
    regions_.push_back(route_->region);
    const std::shared_ptr<const Route> now = client_.route();
    if (now == route_) {
      const bool is_new = std::find(regions_.begin(), regions_.end(), region) == regions_.end();
      // What is not signed goes somewhere else only if the host does.
      if (region.empty() || !is_new || (!credentials_ && !client_.config_.is_aws)) return false;
      client_.change_route(route_, region, context_);
    }
    route_ = client_.route();
    return true;
  }

  Client& client_;
  const Request& request_;
  Context& context_;
  std::shared_ptr<const Route> route_;
  std::shared_ptr<const aws::Credentials> credentials_;
  int64_t now_ = 0;
  int64_t signed_at_ = 0;
  bool has_learnt_skew_ = false;
  bool has_renewed_ = false;
  bool has_explained_ = false;
  std::vector<std::string> regions_;  // that this request was refused in
};

Client::Route::Route(const Config& config)
    : region(config.region), host(config.host()), base_url(config.scheme + "://" + host), signer(region, "s3") {}

Client::Client(Config config)
    : config_(std::move(config)),
      bucket_path_(config_.path_style ? "/" + internal::encode_path(config_.bucket) : ""),
      credentials_(config_.anonymous ? nullptr : std::make_unique<aws::CredentialsProvider>(config_.profile)),
      route_(std::make_shared<const Route>(config_)) {}

std::shared_ptr<const Client::Route> Client::route() const {
  const std::lock_guard lock(mutex_);
  return route_;
}

void Client::change_route(const std::shared_ptr<const Route>& old, const std::string& region, Context& context) {
  Config moved = config_;
  moved.set_region(region);
  auto next = std::make_shared<const Route>(moved);
  {
    const std::lock_guard lock(mutex_);
    if (route_ != old) return;
    route_ = std::move(next);
  }
  context.log(LogLevel::warning, name(std::nullopt) + " is in region " + region + ", not " + old->region +
                                     "; region=" + region + " in the URL saves asking twice");
}

// MinIO's copies lose Expires. A proxy may put its own name into Server; the id, a SHA-256 where others have base64, stays.
void Client::meet(const internal::HttpResponse& response) {
  const std::string_view id = response.header("x-amz-id-2");
  if (response.header("server") == "MinIO" || (id.size() == 64 && internal::hex_decode(id))) {
    learnt_.copies = Learnt::Copies::lossy;
  }
  const auto theirs = internal::parse_http_date(response.header("date"));
  if (theirs) clock_offset_s_ = *theirs - internal::now_ms() / 1000;
  has_worked_ = true;
}

internal::HttpRequest Client::to_http(const Request& request, const Route& route) const {
  internal::HttpRequest http;
  http.method = request.method;
  http.url.reserve(route.base_url.size() + bucket_path_.size() + (request.key ? request.key->size() * 3 / 2 : 0) +
                   request.query.size() + 16);
  http.url = route.base_url;
  http.url += bucket_path_;
  if (request.key || bucket_path_.empty()) http.url += '/';
  if (request.key) internal::encode_path_append(*request.key, http.url);
  if (!request.query.empty()) {
    http.url += '?';
    http.url += request.query;
  }
  http.headers.reserve(request.headers.size() + 11);
  http.headers.emplace_back("Host", route.host);
  http.headers.insert(http.headers.end(), request.headers.begin(), request.headers.end());
  const bool is_paid = std::any_of(request.headers.begin(), request.headers.end(),
                                   [](const auto& header) { return header.first == payer_header; });
  if (config_.requester_pays && !is_paid) http.headers.emplace_back(payer_header, "requester");
  if (!config_.expected_bucket_owner.empty()) {
    http.headers.emplace_back("x-amz-expected-bucket-owner", config_.expected_bucket_owner);
  }
  if (!config_.sse_c.empty() && needs_customer_key(request)) {
    http.headers.emplace_back("x-amz-server-side-encryption-customer-algorithm", "AES256");
    http.headers.emplace_back(customer_key_header, config_.sse_c.key.reveal());
    http.headers.emplace_back("x-amz-server-side-encryption-customer-key-MD5", config_.sse_c.md5);
  }
  http.body = request.body;
  http.out = request.out;
  http.max_response_bytes = most_answer_bytes;
  http.stall_timeout_ms = request.stall_timeout_ms;
  http.is_sent_once = request.is_sent_once;
  return http;
}

void Client::sign(const Request& request, const Route& route, const aws::Credentials& credentials, int64_t seconds,
                  internal::HttpRequest& http) const {
  const size_t path_end = request.query.empty() ? http.url.size() : http.url.size() - request.query.size() - 1;
  const aws::SigningInput input{
      .method = request.method,
      .path = std::string_view(http.url).substr(route.base_url.size(), path_end - route.base_url.size()),
      .query = request.query,
      .headers = http.headers,
      .payload_hash = request.payload_hash,
  };
  route.signer.sign(input, credentials, seconds, http.headers);
}

internal::HttpResponse Client::send(const Request& request, Context& context) {
  return Exchange(*this, request, context).run();
}

internal::HttpResponse Client::call(const Request& request, Context& context) {
  internal::HttpResponse response = send(request, context);
  if (response.status < 200 || response.status > 299) throw error(request, response);
  return response;
}

std::string Client::name(std::optional<std::string_view> key) const {
  std::string text = "s3://" + config_.bucket;
  if (key) text += "/" + printable(*key);
  return text;
}

Error Client::error(const Request& request, const internal::HttpResponse& response) const {
  ServiceError service = service_error(response);
  const auto retry_after = internal::parse_retry_after(response.header("retry-after"), internal::now_ms() / 1000);
  const auto key = service.code == "NoSuchBucket" ? std::nullopt : request.key;
  return to_error(request, key, response.status, std::move(service), retry_after);
}

Error Client::error(const Request& request, int status, ServiceError service) const {
  return to_error(request, request.key, status, std::move(service), std::nullopt);
}

Error Client::to_error(const Request& request, std::optional<std::string_view> key, int status, ServiceError service,
                       std::optional<std::chrono::milliseconds> retry_after) const {
  const Refusal refusal{status, std::move(service), retry_after,
                        right_for(request.method, request.key.has_value(), request.query), config_.anonymous};
  return s3::to_error(name(key), request.method, refusal);
}

}  // namespace waybill::s3
