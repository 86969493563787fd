// SPDX-License-Identifier: Apache-2.0
#include "connectors/http/http_web.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"
#include "net/retry_after.hpp"
#include "waybill/error.hpp"

namespace waybill::http {
namespace {

using internal::HttpClient;
using internal::HttpResponse;

constexpr size_t most_redirects = 5;
constexpr int64_t second_ns = 1'000'000'000;
constexpr size_t longest_code = 64;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// "<Code>ExpiredToken</Code>" of an object store's answer.
std::string provider_code(const HttpResponse& response) {
  constexpr std::string_view open = "<Code>";
  const size_t begin = response.text.find(open);
  const size_t end = response.text.find("</Code>");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  const std::string code = response.text.substr(begin + open.size(), end - begin - open.size());
  const bool is_word = !code.empty() && code.size() <= longest_code &&
                       std::all_of(code.begin(), code.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
  return is_word ? code : "";
}

struct Meaning {
  ErrorCode code;
  ErrorClass error_class;
  bool retryable;
};

Meaning meaning_of(int status, const std::string& code) {
  switch (status) {
    case 401:
      return {ErrorCode::unauthenticated, ErrorClass::auth, false};
    case 403:
    case 451:
      return {ErrorCode::permission_denied, ErrorClass::permission, false};
    case 404:
    case 410:
      return {ErrorCode::not_found, ErrorClass::missing, false};
    case 407:
      return {ErrorCode::invalid_argument, ErrorClass::configuration, false};
    case 408:
      return {ErrorCode::deadline_exceeded, ErrorClass::timeout, true};
    case 412:
      return {ErrorCode::aborted, ErrorClass::source_changed, true};
    case 425:
      return {ErrorCode::unavailable, ErrorClass::server, true};
    case 429:
      return {ErrorCode::resource_exhausted, ErrorClass::throttled, true};
    case 501:
    case 505:
      return {ErrorCode::unimplemented, ErrorClass::server, false};
    case 503:
      return {ErrorCode::unavailable, ErrorClass::throttled, true};
    default:
      break;
  }
  // Links that have run out, as Google's store says it.
  if (status == 400 && (code == "ExpiredToken" || code == "AccessDenied" || code == "AuthenticationFailed")) {
    return {ErrorCode::permission_denied, ErrorClass::permission, false};
  }
  return {ErrorCode::unavailable, ErrorClass::server, status >= 500};
}

Error refused(const HttpUrl& asked, const HttpUrl& at, const HttpResponse& response, bool has_credential) {
  const std::string code = provider_code(response);
  const Meaning meaning = meaning_of(response.status, code);
  std::string message = "GET " + asked.shown();
  if (at != asked) message += ", redirected to " + at.shown() + ",";
  message += " answered " + std::to_string(response.status);
  if (!code.empty()) message += " " + code;
  if (meaning.error_class == ErrorClass::auth) {
    message += has_credential ? ": it does not take the header that it was given"
                              : ": it wants credentials, and links are asked for without any";
  }
  Error error(meaning.code, meaning.error_class, message);
  error.set_retryable(meaning.retryable).set_http_status(response.status).set_provider_code(code);
  for (const std::string_view name : {"x-amz-request-id", "x-ms-request-id", "x-request-id"}) {
    if (error.request_id().empty()) error.set_request_id(printable(response.header(name).substr(0, 128)));
  }
  if (const auto wait = internal::parse_retry_after(response.header("retry-after"), internal::now_ms() / 1000))
    error.set_retry_after(*wait);
  return error;
}

Error no_way(const HttpUrl& asked, const std::string& why) {
  return Error(ErrorCode::failed_precondition, ErrorClass::unsupported, "GET " + asked.shown() + ": " + why);
}

HttpUrl next_of(const HttpUrl& asked, const HttpUrl& at, const HttpResponse& response) {
  const std::string_view location = response.header("location");
  const auto next = at.resolve(location);
  if (!next) {
    // No more of it is shown than what kind it is of: it may hold credentials.
    const std::string kind = printable(location.substr(0, std::min<size_t>(location.find_first_of(":/?#@"), 20)));
    throw no_way(asked, "is redirected to no proper http or https URL (\"" + kind + "\"…), which is not followed")
        .set_http_status(response.status);
  }
  if (at.is_https() && !next->is_https()) {
    throw no_way(asked, "is redirected from https to plain http (" + next->shown() + "), which is not followed")
        .set_http_status(response.status);
  }
  return *next;
}

std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

}  // namespace

Described describe(const HttpResponse& response) {
  Described described;
  const std::string_view etag = response.header("etag");
  const bool is_weak = etag.starts_with("W/");
  described.stamp.etag = is_weak ? "W/" + unquoted(etag.substr(2)) : unquoted(etag);
  const auto modified = internal::parse_http_date(response.header("last-modified"));
  if (modified) described.attributes.mtime_ns = *modified * second_ns;
  if (described.stamp.etag.empty()) described.stamp.mtime_ns = described.attributes.mtime_ns;
  if (!etag.empty() && !is_weak) {
    described.validator = etag;
  } else if (modified && etag.empty()) {
    // A time is as good once a second has passed in which the content would have got another one.
    const auto date = internal::parse_http_date(response.header("date"));
    if (date && *date > *modified) described.validator = internal::format_http_date(*modified);
  }
  described.attributes.content_type = response.header("content-type");
  described.attributes.content_encoding = response.header("content-encoding");
  described.attributes.content_language = response.header("content-language");
  described.attributes.content_disposition = response.header("content-disposition");
  described.attributes.cache_control = response.header("cache-control");
  described.attributes.expires = response.header("expires");
  return described;
}

std::string validator_of(const SourceStamp& stamp) {
  if (!stamp.etag.empty()) return stamp.etag.starts_with("W/") ? "" : "\"" + stamp.etag + "\"";
  return stamp.mtime_ns ? internal::format_http_date(*stamp.mtime_ns / second_ns) : "";
}

bool may_be_same(const SourceStamp& a, const SourceStamp& b) {
  if (a.size && b.size && a.size != b.size) return false;
  const auto opaque = [](const std::string& etag) { return etag.starts_with("W/") ? etag.substr(2) : etag; };
  if (!a.etag.empty() && !b.etag.empty()) return opaque(a.etag) == opaque(b.etag);
  return !a.mtime_ns || !b.mtime_ns || *a.mtime_ns / second_ns == *b.mtime_ns / second_ns;
}

internal::HttpRequest Web::request_for(const Ask& ask, const HttpUrl& url) const {
  internal::HttpRequest request;
  request.url = url.text();
  request.headers.emplace_back("Accept-Encoding", "identity");
  if (credential_ && url.origin == origin_) request.headers.push_back(*credential_);
  if (ask.first) {
    request.headers.emplace_back(
        "Range", "bytes=" + std::to_string(*ask.first) + "-" + (ask.last ? std::to_string(*ask.last) : ""));
    if (!ask.if_range.empty()) request.headers.emplace_back("If-Range", ask.if_range);
  }
  return request;
}

// Whoever writes a link into a record must not read what this machine alone may.
internal::HttpOptions Web::options() {
  internal::HttpOptions options;
  options.denies_metadata = true;
  return options;
}

void Web::follow(const Ask& ask, const Send& send) {
  std::vector<HttpUrl> visited = {ask.url};
  for (;;) {
    const HttpUrl at = visited.back();
    const HttpResponse& response = send(at.origin == origin_ ? here_ : elsewhere_, request_for(ask, at));
    const int status = response.status;
    if (status == 200 || status == 203) return;
    if (ask.first && (status == 206 || status == 416)) return;
    if (!is_redirect(status)) throw refused(ask.url, at, response, credential_ && at.origin == origin_);
    HttpUrl next = next_of(ask.url, at, response);
    if (std::find(visited.begin(), visited.end(), next) != visited.end()) {
      throw no_way(ask.url, "is redirected in a circle (" + next.shown() + ")").set_http_status(status);
    }
    if (visited.size() > most_redirects) {
      throw no_way(ask.url, "is redirected more than " + std::to_string(most_redirects) + " times")
          .set_http_status(status);
    }
    visited.push_back(std::move(next));
  }
}

HttpResponse Web::get(const Ask& ask, std::span<std::byte> out, Context& context) {
  HttpResponse response;
  follow(ask, [&](HttpClient& client, internal::HttpRequest request) -> const HttpResponse& {
    request.out = out;
    return response = client.perform(request, context);
  });
  return response;
}

std::unique_ptr<internal::HttpDownload> Web::open(const Ask& ask, Context& context) {
  std::unique_ptr<internal::HttpDownload> download;
  follow(ask, [&](HttpClient& client, internal::HttpRequest request) -> const HttpResponse& {
    download = client.open(std::move(request), context);
    return download->response();
  });
  return download;
}

void Web::check(const HttpUrl& url, Context& context) {
  std::byte first{};
  Ask ask{url, 0, 0, ""};
  internal::HttpRequest request = request_for(ask, url);
  request.out = std::span(&first, 1);
  const HttpResponse response = here_.perform(request, context);
  const bool answers = response.status < 500 && response.status != 429 && response.status != 407;
  if (!answers) throw refused(url, url, response, credential_.has_value());
}

}  // namespace waybill::http
