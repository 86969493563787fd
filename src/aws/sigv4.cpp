// SPDX-License-Identifier: Apache-2.0
//
// The four steps of Signature Version 4: canonical request, string to sign, signing key, signature. The signing key
// changes once a day and is kept with the work on it done, so that a signature costs two hashes over short texts.
#include "aws/sigv4.hpp"

#include <openssl/crypto.h>

#include <algorithm>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/error.hpp"

namespace waybill::aws {

using internal::as_bytes;
using namespace std::string_view_literals;

namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr size_t usual_request_bytes = 1000;  // the largest that malloc serves from a thread's own cache

bool is_signed(std::string_view name) {
  for (const std::string_view other : {"authorization"sv, "connection"sv, "expect"sv, "user-agent"sv}) {
    if (internal::equals_ignoring_case(name, other)) return false;
  }
  return true;
}

// Without blanks at both ends, every run of blanks inside as one space.
void append_canonical_value(std::string_view value, std::string& out) {
  value = internal::trim(value);
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty()) {
    const auto end = std::find_if(value.begin(), value.end(), is_blank);
    const auto word = static_cast<size_t>(end - value.begin());
    out.append(value.substr(0, word));
    value.remove_prefix(word);
    if (value.empty()) return;
    out += ' ';
    while (is_blank(value.front())) value.remove_prefix(1);  // trimmed: something else comes
  }
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_before(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return lower(x) < lower(y); });
}

void append_lower(std::string_view text, std::string& out) {
  const size_t start = out.size();
  out += text;
  std::transform(out.begin() + static_cast<std::ptrdiff_t>(start), out.end(),
                 out.begin() + static_cast<std::ptrdiff_t>(start), lower);
}

// Removes empty and "." segments and resolves "..", keeping a '/' at the end.
std::string normalize_path(std::string_view path) {
  std::vector<std::string_view> segments;
  bool ends_open = false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    ends_open = segment.empty() || segment == "." || segment == "..";
    if (segment == ".." && !segments.empty()) segments.pop_back();
    if (!ends_open) segments.push_back(segment);
    at = end + 1;
  }
  std::string normal = "/";
  for (const std::string_view segment : segments) {
    normal += segment;
    normal += '/';
  }
  if (!ends_open && normal.size() > 1) normal.pop_back();
  return normal;
}

using EncodedParameter = std::pair<std::string, std::string>;

std::string join_sorted(std::vector<EncodedParameter>& parameters) {
  // By name and then by value; the joined texts would sort otherwise, because '=' is greater than '-'.
  std::sort(parameters.begin(), parameters.end());
  std::string query;
  for (const auto& [name, value] : parameters) {
    if (!query.empty()) query += '&';
    query += name;
    query += '=';
    query += value;
  }
  return query;
}

std::vector<EncodedParameter> split_query(std::string_view query) {
  std::vector<EncodedParameter> parameters;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    const size_t equals = std::min(parameter.find('='), parameter.size());
    parameters.emplace_back(parameter.substr(0, equals), parameter.substr(std::min(equals + 1, parameter.size())));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return parameters;
}

}  // namespace

std::string canonical_query(std::span<const std::pair<std::string, std::string>> parameters) {
  std::vector<EncodedParameter> encoded;
  encoded.reserve(parameters.size());
  for (const auto& [name, value] : parameters) {
    encoded.emplace_back(internal::encode_query(name), internal::encode_query(value));
  }
  return join_sorted(encoded);
}

struct Signer::Key {
  Key(const Credentials& credentials, std::string_view key_day, const Sha256& bytes)
      : access_key_id(credentials.access_key_id), secret(credentials.secret_access_key), day(key_day), hmac(bytes) {}

  std::string access_key_id;
  Secret secret;
  std::string day;
  internal::HmacSha256 hmac;
};

/// A header to be signed; the name may have any case.
struct Signer::Line {
  std::string_view name;
  std::string_view value;
};

Signer::Signer(std::string region, std::string service)
    : Signer(std::move(region), service, Options{service == "s3", service == "s3"}) {}

Signer::Signer(std::string region, std::string service, Options options)
    : region_(std::move(region)), service_(std::move(service)), options_(options) {}

Signer::~Signer() = default;

std::shared_ptr<const Signer::Key> Signer::key(const Credentials& credentials, std::string_view day) const {
  {
    const std::lock_guard lock(mutex_);
    if (key_ != nullptr && key_->day == day && key_->access_key_id == credentials.access_key_id &&
        key_->secret == credentials.secret_access_key) {
      return key_;
    }
  }
  const std::string_view secret = credentials.secret_access_key.reveal();
  std::string start;
  start.reserve(4 + secret.size());  // once, so that no copy of the secret is left behind
  start.append("AWS4").append(secret);
  Sha256 bytes = internal::hmac_sha256(as_bytes(start), as_bytes(day));
  OPENSSL_cleanse(start.data(), start.size());
  for (const std::string_view part : {std::string_view(region_), std::string_view(service_), "aws4_request"sv}) {
    bytes = internal::hmac_sha256(bytes, as_bytes(part));
  }
  auto fresh = std::make_shared<const Key>(credentials, day, bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  const std::lock_guard lock(mutex_);
  key_ = fresh;
  return fresh;
}

/// What the steps leave behind; the names of the signed headers are a part of the canonical request.
struct Signer::Signed {
  std::string canonical_request;
  size_t names_at = 0;
  size_t names_size = 0;
  std::string string_to_sign;
  Sha256 signature{};

  std::string_view names() const { return std::string_view(canonical_request).substr(names_at, names_size); }
};

void Signer::append_scope(std::string_view day, std::string& out) const {
  out.append(day).append("/").append(region_).append("/").append(service_).append("/aws4_request");
}

Signer::Signed Signer::compute(const SigningInput& input, const Credentials& credentials, std::string_view time,
                               std::string_view query, std::vector<Line> lines) const {
  std::erase_if(lines, [](const Line& line) { return !is_signed(line.name); });
  // By name, equal ones as they came. There are a handful, mostly in order already.
  for (size_t i = 1; i < lines.size(); ++i) {
    for (size_t k = i; k > 0 && is_before(lines[k].name, lines[k - 1].name); --k) std::swap(lines[k], lines[k - 1]);
  }
  const auto is_host = [](const Line& line) { return internal::equals_ignoring_case(line.name, "host"); };
  if (std::none_of(lines.begin(), lines.end(), is_host)) {
    throw Error(ErrorCode::internal, ErrorClass::internal, "a request is to be signed without its host");
  }

  Signed result;
  std::string& request = result.canonical_request;
  request.reserve(usual_request_bytes);
  request.append(input.method).append("\n");
  if (options_.path_as_sent) {
    request.append(input.path.empty() ? std::string_view("/") : input.path);
  } else {
    internal::encode_path_append(normalize_path(input.path), request);
  }
  request.append("\n").append(query).append("\n");
  const auto repeats = [&lines](size_t i) {
    return i > 0 && internal::equals_ignoring_case(lines[i].name, lines[i - 1].name);
  };
  for (size_t i = 0; i < lines.size(); ++i) {
    if (repeats(i)) {
      request.back() = ',';
    } else {
      append_lower(lines[i].name, request);
      request += ':';
    }
    append_canonical_value(lines[i].value, request);
    request += '\n';
  }
  request += '\n';
  result.names_at = request.size();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (repeats(i)) continue;
    if (i > 0) request += ';';
    append_lower(lines[i].name, request);
  }
  result.names_size = request.size() - result.names_at;
  request.append("\n").append(input.payload_hash);

  const std::string_view day = time.substr(0, 8);
  std::string& text = result.string_to_sign;
  text.reserve(192);
  text.append(algorithm).append("\n").append(time).append("\n");
  append_scope(day, text);
  text += '\n';
  internal::hex_append(internal::sha256(as_bytes(request)), text);
  result.signature = key(credentials, day)->hmac.sign(as_bytes(text));
  return result;
}

// With the headers that sign() is going to add.
Signer::Signed Signer::compute(const SigningInput& input, const Credentials& credentials, std::string_view time) const {
  std::vector<Line> lines;
  lines.reserve(input.headers.size() + 3);
  for (const auto& [name, value] : input.headers) lines.push_back({name, value});
  lines.push_back({"x-amz-date", time});
  if (options_.content_sha256_header) lines.push_back({"x-amz-content-sha256", input.payload_hash});
  if (!credentials.session_token.empty()) {
    lines.push_back({"x-amz-security-token", credentials.session_token.reveal()});
  }
  return compute(input, credentials, time, input.query, std::move(lines));
}

Signer::Steps Signer::to_steps(std::string time, std::string query, Signed result) {
  Steps steps;
  steps.time = std::move(time);
  steps.query = std::move(query);
  steps.signed_headers = result.names();
  steps.signature = internal::hex_encode(result.signature);
  steps.canonical_request = std::move(result.canonical_request);
  steps.string_to_sign = std::move(result.string_to_sign);
  return steps;
}

Signer::Steps Signer::explain(const SigningInput& input, const Credentials& credentials, int64_t seconds) const {
  std::string time = internal::format_iso8601_basic(seconds);
  Signed result = compute(input, credentials, time);
  return to_steps(std::move(time), std::string(input.query), std::move(result));
}

Signer::Steps Signer::explain_presign(const SigningInput& input, const Credentials& credentials, int64_t seconds,
                                      int64_t expires_s) const {
  std::string time = internal::format_iso8601_basic(seconds);
  std::vector<Line> lines;
  std::vector<std::string> names;
  for (const auto& [name, value] : input.headers) {
    lines.push_back({name, value});
    std::string lower = internal::to_lower(name);
    if (is_signed(lower)) names.push_back(std::move(lower));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ";") + name;

  std::vector<EncodedParameter> parameters = split_query(input.query);
  const auto add = [&](std::string_view name, std::string_view value) {
    parameters.emplace_back(name, internal::encode_query(value));
  };
  add("X-Amz-Algorithm", algorithm);
  std::string credential = credentials.access_key_id + "/";
  append_scope(std::string_view(time).substr(0, 8), credential);
  add("X-Amz-Credential", credential);
  add("X-Amz-Date", time);
  add("X-Amz-Expires", std::to_string(expires_s));
  add("X-Amz-SignedHeaders", joined);
  if (!credentials.session_token.empty()) add("X-Amz-Security-Token", credentials.session_token.reveal());
  std::string query = join_sorted(parameters);
  Signed result = compute(input, credentials, time, query, std::move(lines));
  return to_steps(std::move(time), std::move(query), std::move(result));
}

void Signer::sign(const SigningInput& input, const Credentials& credentials, int64_t seconds,
                  std::vector<std::pair<std::string, std::string>>& headers) const {
  std::string time = internal::format_iso8601_basic(seconds);
  const Signed result = compute(input, credentials, time);
  std::string authorization;
  authorization.reserve(320);
  authorization.append(algorithm).append(" Credential=").append(credentials.access_key_id).append("/");
  append_scope(std::string_view(time).substr(0, 8), authorization);
  authorization.append(", SignedHeaders=").append(result.names()).append(", Signature=");
  internal::hex_append(result.signature, authorization);
  // `input` may refer into `headers`: it is not used after the first of these.
  std::string payload_hash(input.payload_hash);
  headers.emplace_back("x-amz-date", std::move(time));
  if (options_.content_sha256_header) headers.emplace_back("x-amz-content-sha256", std::move(payload_hash));
  if (!credentials.session_token.empty()) {
    headers.emplace_back("x-amz-security-token", credentials.session_token.reveal());
  }
  headers.emplace_back("authorization", std::move(authorization));
}

std::string Signer::presign(const SigningInput& input, const Credentials& credentials, int64_t seconds,
                            int64_t expires_s) const {
  Steps steps = explain_presign(input, credentials, seconds, expires_s);
  return steps.query + "&X-Amz-Signature=" + steps.signature;
}

}  // namespace waybill::aws
