// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/s3_access.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "support/fault_server/digests.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr int64_t most_skew_s = 15 * 60;
constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

// What a signed request says about its signature, in a header or in the query.
struct Signed {
  std::string access_key;
  std::string day, region, service;
  std::string time;
  std::string names;  // of the signed headers
  std::string signature;
  std::string token;
  std::string payload_hash;
  bool is_presigned = false;
  uint64_t expires_s = 0;
};

S3Error malformed(const std::string& message) { return {400, "AuthorizationHeaderMalformed", message, {}, {}}; }
S3Error denied() { return {403, "AccessDenied", "Access Denied", {}, {}}; }

void split_scope(std::string_view credential, Signed& out) {
  // The access key may hold a '/', the rest may not.
  std::string_view fields[4];
  for (int i = 3; i >= 0; --i) {
    const size_t slash = credential.rfind('/');
    if (slash == std::string_view::npos) throw malformed("The credential is malformed");
    fields[i] = credential.substr(slash + 1);
    credential = credential.substr(0, slash);
  }
  out.access_key = credential;
  out.day = fields[0];
  out.region = fields[1];
  out.service = fields[2];
  if (fields[3] != "aws4_request" || out.service != "s3") throw malformed("The credential's scope is not of S3");
}

std::string_view field_of(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) throw malformed("The header lacks " + std::string(name));
  text.remove_prefix(at + name.size());
  return internal::trim(text.substr(0, text.find(',')));
}

// Nothing where the request is anonymous.
std::optional<Signed> signed_part(const S3Request& request) {
  Signed out;
  const std::string_view header = request.header("authorization");
  if (request.has("X-Amz-Signature")) {
    out.is_presigned = true;
    split_scope(request.parameter("X-Amz-Credential"), out);
    out.time = request.parameter("X-Amz-Date");
    out.names = request.parameter("X-Amz-SignedHeaders");
    out.signature = request.parameter("X-Amz-Signature");
    out.token = request.parameter("X-Amz-Security-Token");
    out.expires_s = request.number("X-Amz-Expires", 0);
    out.payload_hash = "UNSIGNED-PAYLOAD";
    return out;
  }
  if (header.empty()) return std::nullopt;
  if (!header.starts_with(algorithm)) throw S3Error{400, "InvalidRequest", "Please use AWS4-HMAC-SHA256.", {}, {}};
  split_scope(field_of(header, "Credential="), out);
  out.names = field_of(header, "SignedHeaders=");
  out.signature = field_of(header, "Signature=");
  out.time = request.header("x-amz-date");
  out.token = request.header("x-amz-security-token");
  out.payload_hash = request.header("x-amz-content-sha256");
  if (out.payload_hash.empty())
    throw S3Error{400, "InvalidRequest", "Missing required header: x-amz-content-sha256", {}, {}};
  return out;
}

std::string canonical_query_of(const S3Request& request) {
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : request.parameters) {
    if (name != "X-Amz-Signature") encoded.emplace_back(percent_encode(name), percent_encode(value));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string query;
  for (const auto& [name, value] : encoded) query += (query.empty() ? "" : "&") + name + "=" + value;
  return query;
}

// Runs of spaces as one.
std::string canonical_value(std::string_view value) {
  std::string out;
  for (const char c : internal::trim(value)) {
    if (c != ' ' || !out.ends_with(' ')) out += c;
  }
  return out;
}

std::string canonical_headers(const S3Request& request, std::string_view names) {
  std::string lines;
  while (!names.empty()) {
    const size_t end = std::min(names.find(';'), names.size());
    const std::string_view name = names.substr(0, end);
    names.remove_prefix(std::min(end + 1, names.size()));
    lines.append(name).append(":");
    bool is_first = true;
    for (const auto& [known, value] : request.http->headers) {
      if (!internal::equals_ignoring_case(known, name)) continue;
      if (!is_first) lines += ',';
      lines += canonical_value(value);
      is_first = false;
    }
    lines += '\n';
  }
  return lines;
}

std::string hmac(std::string_view key, std::string_view message) {
  const auto mac = internal::hmac_sha256(internal::as_bytes(key), internal::as_bytes(message));
  return {reinterpret_cast<const char*>(mac.data()), mac.size()};
}

std::string signature_of(const S3Request& request, const Signed& said, const std::string& secret) {
  // As S3 does, the path is decoded and encoded again: whoever escapes it otherwise does not match.
  std::string text(request.http->method);
  const std::string path = percent_encode(percent_decode(request.http->path), true);
  text.append("\n").append(path.empty() ? "/" : path).append("\n").append(canonical_query_of(request)).append("\n");
  text.append(canonical_headers(request, said.names)).append("\n").append(said.names).append("\n");
  text.append(said.payload_hash);
  const std::string scope = said.day + "/" + said.region + "/" + said.service + "/aws4_request";
  const std::string to_sign =
      std::string(algorithm) + "\n" + said.time + "\n" + scope + "\n" + to_hex(digest("sha256", text));
  std::string key = hmac("AWS4" + secret, said.day);
  for (const std::string_view part :
       {std::string_view(said.region), std::string_view(said.service), std::string_view("aws4_request")}) {
    key = hmac(key, part);
  }
  return to_hex(hmac(key, to_sign));
}

// "20260101T000000Z" in seconds since 1970.
int64_t seconds_of(const std::string& time) {
  if (time.size() != 16) throw malformed("The time of the signature is malformed");
  const std::string text = time.substr(0, 4) + "-" + time.substr(4, 2) + "-" + time.substr(6, 2) + "T" +
                           time.substr(9, 2) + ":" + time.substr(11, 2) + ":" + time.substr(13, 2) + "Z";
  const auto ms = internal::parse_rfc3339(text);
  if (!ms) throw malformed("The time of the signature is malformed");
  return *ms / 1000;
}

void check_time(const S3Store& store, const Signed& said) {
  const int64_t now = store.now_ms() / 1000;
  const int64_t at = seconds_of(said.time);
  if (said.is_presigned && now > at + static_cast<int64_t>(said.expires_s)) {
    throw S3Error{403, "AccessDenied", "Request has expired", {}, {}};
  }
  if (!said.is_presigned && std::llabs(now - at) > most_skew_s) {
    throw S3Error{403,
                  "RequestTimeTooSkewed",
                  "The difference between the request time and the current time is too large.",
                  {{"RequestTime", said.time}, {"ServerTime", internal::format_rfc3339(now * 1000)}},
                  {}};
  }
}

void check_signature(const ServerSettings& settings, const S3Request& request, const Signed& said) {
  const auto key = std::find_if(settings.keys.begin(), settings.keys.end(),
                                [&](const AccessKey& one) { return one.id == said.access_key; });
  if (key == settings.keys.end()) {
    throw S3Error{
        403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", {}, {}};
  }
  if (key->is_expired) throw S3Error{400, "ExpiredToken", "The provided token has expired.", {}, {}};
  if (said.token != key->session_token) {
    throw S3Error{400, "InvalidToken", "The provided token is malformed or otherwise invalid.", {}, {}};
  }
  const std::string list = ";" + said.names + ";";
  if (list.find(";host;") == std::string::npos) throw denied();
  if (said.signature == signature_of(request, said, key->secret)) return;
  throw S3Error{403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
                {},
                {}};
}

void check_region(const S3Store& store, const BucketSettings& settings, const S3Request& request,
                  const std::optional<Signed>& said) {
  if (!settings.redirect_to.empty() && request.header("host") != settings.redirect_to.substr(7)) {
    std::string target(request.http->path);
    if (!request.http->query.empty()) target.append("?").append(request.http->query);
    throw S3Error{307,
                  "TemporaryRedirect",
                  "Please re-send this request to the specified temporary endpoint.",
                  {{"Endpoint", settings.redirect_to.substr(7)}},
                  {{"Location", settings.redirect_to + target}}};
  }
  const std::string& region = settings.region.empty() ? store.settings.region : settings.region;
  if (settings.region.empty() || !said || said->region == region) return;
  if (settings.wrong_region == "malformed") {
    throw S3Error{400,
                  "AuthorizationHeaderMalformed",
                  "The region '" + said->region + "' is wrong; expecting '" + region + "'",
                  {{"Region", region}},
                  {{"x-amz-bucket-region", region}}};
  }
  throw S3Error{301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed elsewhere.",
                {{"Endpoint", request.bucket + ".s3." + region + ".amazonaws.com"}, {"Bucket", request.bucket}},
                {{"x-amz-bucket-region", region}}};
}

}  // namespace

void check_access(S3Store& store, const S3Request& request) {
  const std::optional<Signed> said = signed_part(request);
  const Bucket* const bucket = store.find(request.bucket);
  if (said) check_time(store, *said);
  if (bucket) check_region(store, bucket->settings, request, said);
  if (store.settings.checks_signatures) {
    if (said) check_signature(store.settings, request, *said);
    if (!said && !(bucket && bucket->settings.is_public)) throw denied();
  }
  if (!bucket) {
    if (request.op == "CreateBucket" || request.op == "ListBuckets") return;
    throw S3Error{404, "NoSuchBucket", "The specified bucket does not exist", {{"BucketName", request.bucket}}, {}};
  }
  if (bucket->settings.denied.contains(request.op)) throw denied();
  const std::string asked = request.key.empty() ? std::string(request.parameter("prefix")) : std::string(request.key);
  if (!asked.starts_with(bucket->settings.only_below)) throw denied();
  const auto owner = request.header("x-amz-expected-bucket-owner");
  if (!owner.empty() && owner != bucket->settings.owner) throw denied();
  if (bucket->settings.requester_pays && request.header("x-amz-request-payer") != "requester") throw denied();
}

}  // namespace waybill::testing::fault
