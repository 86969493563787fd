// SPDX-License-Identifier: Apache-2.0
//
// See client.hpp.
#include "connectors/s3/client.hpp"

#include <cstdlib>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/s3/errors.hpp"
#include "net/retry_after.hpp"

namespace waybill::s3 {
namespace {

// A signature is refused when it is 15 minutes off. A refusal is put down to the clock only if that is plausible.
constexpr int64_t plausible_skew_s = 4 * 60;

ServiceError service_error(const internal::HttpResponse& response) {
  ServiceError service = parse_error(response.text);
  if (service.request_id.empty()) service.request_id = response.header("x-amz-request-id");
  if (service.region.empty()) service.region = response.header("x-amz-bucket-region");
  return service;
}

bool says_expired(const internal::HttpResponse& response) {
  if (response.status != 400 && response.status != 401 && response.status != 403) return false;
  const std::string code = parse_error(response.text).code;
  return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired";
}

}  // namespace

Client::Client(Config config)
    : config_(std::move(config)),
      host_(config_.host()),
      base_url_(config_.scheme + "://" + host_),
      bucket_path_(config_.path_style ? "/" + internal::encode_path(config_.bucket) : ""),
      credentials_(config_.anonymous ? nullptr : std::make_unique<aws::CredentialsProvider>(config_.profile)),
      signer_(config_.region, "s3") {}

internal::HttpRequest Client::to_http(const Request& request) const {
  internal::HttpRequest http;
  http.method = request.method;
  http.url.reserve(base_url_.size() + bucket_path_.size() + (request.key ? request.key->size() * 3 / 2 : 0) +
                   request.query.size() + 16);
  http.url = base_url_;
  http.url += bucket_path_;
  if (request.key || bucket_path_.empty()) http.url += '/';
  if (request.key) internal::encode_path_append(*request.key, http.url);
  if (!request.query.empty()) {
    http.url += '?';
    http.url += request.query;
  }
  http.headers.reserve(request.headers.size() + 6);
  http.headers.emplace_back("Host", host_);
  http.headers.insert(http.headers.end(), request.headers.begin(), request.headers.end());
  http.body = request.body;
  http.out = request.out;
  http.stall_timeout_ms = request.stall_timeout_ms;
  return http;
}

void Client::sign(const Request& request, const aws::Credentials& credentials, int64_t seconds,
                  internal::HttpRequest& http) const {
  const size_t path_end = request.query.empty() ? http.url.size() : http.url.size() - request.query.size() - 1;
  const aws::SigningInput input{
      .method = request.method,
      .path = std::string_view(http.url).substr(base_url_.size(), path_end - base_url_.size()),
      .query = request.query,
      .headers = http.headers,
      .payload_hash = request.payload_hash,
  };
  signer_.sign(input, credentials, seconds, http.headers);
}

bool Client::learn_skew(const internal::HttpResponse& response, int64_t signed_at) {
  if (response.status != 403 && response.status != 400) return false;
  const auto theirs = internal::parse_http_date(response.header("date"));
  if (!theirs) return false;
  const int64_t difference = *theirs - signed_at;
  if (difference > -plausible_skew_s && difference < plausible_skew_s) return false;
  skew_seconds_.fetch_add(difference, std::memory_order_relaxed);
  return true;
}

internal::HttpResponse Client::send(const Request& request, Context& context) {
  std::shared_ptr<const aws::Credentials> credentials = credentials_ ? credentials_->current() : nullptr;
  internal::HttpRequest http = to_http(request);
  const size_t unsigned_headers = http.headers.size();
  bool may_learn_skew = credentials != nullptr;
  bool may_refresh = credentials != nullptr;
  for (;;) {
    const int64_t skew = skew_seconds_.load(std::memory_order_relaxed);
    const int64_t signed_at = internal::now_ms() / 1000 + skew;
    http.headers.resize(unsigned_headers);
    if (credentials) sign(request, *credentials, signed_at, http);
    internal::HttpResponse response = http_.perform(http, context);
    if (response.status < 400) return response;
    if (std::exchange(may_learn_skew, false) && learn_skew(response, signed_at)) {
      context.log(LogLevel::warning, base_url_ + ": its clock and ours differ; signing by its clock");
      continue;
    }
    if (may_refresh && says_expired(response)) {
      may_refresh = false;
      if (credentials_->refresh(credentials)) {
        credentials = credentials_->current();
        continue;
      }
    }
    return response;
  }
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
  Refusal refusal{response.status, service_error(response),
                  internal::parse_retry_after(response.header("retry-after"), internal::now_ms() / 1000)};
  return to_error(name(refusal.service.code == "NoSuchBucket" ? std::nullopt : request.key), request.method, refusal);
}

Error Client::error(const Request& request, int status, ServiceError service) const {
  return to_error(name(request.key), request.method, Refusal{status, std::move(service), std::nullopt});
}

}  // namespace waybill::s3
