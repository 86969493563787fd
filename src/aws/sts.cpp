// SPDX-License-Identifier: Apache-2.0
//
// The Security Token Service: one POST with a form, an answer in XML. Its address is AWS_ENDPOINT_URL_STS, or that of
// the region, or the global one.
#include <algorithm>
#include <pugixml.hpp>

#include "aws/providers.hpp"
#include "aws/sigv4.hpp"
#include "base/hash.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;

constexpr int most_tries = 3;
constexpr milliseconds first_pause{200};
constexpr milliseconds patience{30'000};
constexpr size_t longest_text = 300;
// A signature that is refused is put down to the clock only where ours is this far off; the limit of STS is 5 minutes.
constexpr int64_t plausible_skew_s = 2 * 60;

struct Address {
  std::string origin;  ///< scheme, host and port
  std::string path;
  std::string region;  ///< that it is signed for
};

Address address_of_sts(const std::string& region) {
  const std::string given = environment("AWS_ENDPOINT_URL_STS");
  Address address;
  address.path = "/";
  address.region = region.empty() ? "us-east-1" : region;
  if (given.empty()) {
    const char* domain = region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com";
    address.origin = "https://sts" + (region.empty() ? "" : "." + region) + domain;
    return address;
  }
  const auto host = host_of(given);
  const bool is_safe = host && (host->is_https || is_loopback_host(host->host));
  if (!is_safe || given.find_first_of("?#") != std::string::npos) {
    throw Error(
        ErrorCode::invalid_argument, ErrorClass::configuration,
        "AWS_ENDPOINT_URL_STS is neither an https URL nor one of this machine, and what is sent there is secret");
  }
  const size_t path = given.find('/', given.find("://") + 3);
  address.origin = given.substr(0, path);
  if (path != std::string::npos) address.path = given.substr(path);
  return address;
}

std::string one_line(std::string_view text) {
  std::string line = printable(text.substr(0, longest_text));
  return text.size() > longest_text ? line + "…" : line;
}

Credentials parse_credentials(std::string& body, const std::string& action, const std::string& origin) {
  pugi::xml_document document;
  const bool is_read = document.load_buffer(body.data(), body.size(), pugi::parse_default);
  wipe(body);
  const pugi::xml_node node = document.document_element().child((action + "Result").c_str()).child("Credentials");
  Credentials credentials;
  credentials.access_key_id = node.child_value("AccessKeyId");
  credentials.secret_access_key = Secret(node.child_value("SecretAccessKey"));
  credentials.session_token = Secret(node.child_value("SessionToken"));
  credentials.expires_ms = internal::parse_rfc3339(node.child_value("Expiration"));
  credentials.origin = origin;
  if (!is_read || credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    throw auth_error(origin + ": " + action + " gave no credentials; is AWS_ENDPOINT_URL_STS right?");
  }
  return credentials;
}

Error refusal(const internal::HttpResponse& response, const std::string& action, const std::string& origin) {
  pugi::xml_document document;
  document.load_buffer(response.text.data(), response.text.size());
  const pugi::xml_node node = document.document_element().child("Error");
  const std::string code = one_line(node.child_value("Code"));
  std::string message = origin + ": " + action + " answered " + std::to_string(response.status);
  if (!code.empty()) message += " " + code;
  if (*node.child_value("Message") != '\0') message += ": " + one_line(node.child_value("Message"));
  const bool is_throttled = response.status == 429 || code.starts_with("Throttling");
  const bool is_passing = is_throttled || response.status >= 500 || code == "IDPCommunicationError";
  Error error = is_throttled ? Error(ErrorCode::resource_exhausted, ErrorClass::throttled, std::move(message))
                : is_passing ? Error(ErrorCode::unavailable, ErrorClass::server, std::move(message))
                             : auth_error(std::move(message));
  return error.set_retryable(is_passing)
      .set_http_status(response.status)
      .set_provider_code(code)
      .set_request_id(document.document_element().child_value("RequestId"));
}

}  // namespace

std::string made_up_session_name() { return "waybill-" + internal::hex_id(8); }

Credentials call_sts(const std::string& action, std::vector<std::pair<std::string, std::string>> parameters,
                     const Credentials* signer, const std::string& region, const std::string& origin,
                     Context& context) {
  const Address address = address_of_sts(region);
  parameters.emplace_back("Action", action);
  parameters.emplace_back("Version", "2011-06-15");
  const Secret form(canonical_query(parameters));
  const auto body = internal::as_bytes(form.reveal());
  const std::string hash = internal::hex_encode(internal::sha256(body));
  const Signer sigv4(address.region, "sts");

  internal::HttpClient client;
  Timebox time(context, patience);
  int64_t skew_s = 0;
  for (int tries = 1;; ++tries) {
    internal::HttpRequest request;
    request.method = "POST";
    request.url = address.origin + address.path;
    request.headers = {{"Host", address.origin.substr(address.origin.find("://") + 3)},
                       {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
    request.body = body;
    const int64_t now = internal::now_ms() / 1000 + skew_s;
    if (signer != nullptr) {
      sigv4.sign({"POST", address.path, "", request.headers, hash}, *signer, now, request.headers);
    }
    std::optional<Error> problem;
    try {
      internal::HttpResponse response = client.perform(request, time);
      if (response.status == 200) return parse_credentials(response.text, action, origin);
      problem = refusal(response, action, origin);
      const auto theirs = internal::parse_http_date(response.header("date"));
      const bool is_skewed = theirs && (*theirs - now > plausible_skew_s || now - *theirs > plausible_skew_s);
      if (is_skewed && signer != nullptr && skew_s == 0 && problem->error_class() == ErrorClass::auth) {
        skew_s = *theirs - now;
        continue;
      }
    } catch (Error& error) {
      if (error.error_class() == ErrorClass::auth) throw;  // of parse_credentials
      problem = error.prepend(origin);
    }
    if (!problem->retryable() || tries == most_tries) throw Error(*problem);
    if (!time.sleep(first_pause * (1 << tries))) {
      context.check();
      throw Error(*problem);
    }
  }
}

}  // namespace waybill::aws
