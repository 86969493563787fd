// SPDX-License-Identifier: Apache-2.0
//
// What the places of the chain share.
#include "aws/providers.hpp"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

using Json = nlohmann::json;

// Takes a text out of `object`, and wipes it there. "" where there is none.
Secret take(Json& object, std::string_view name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return {};
  auto& text = found->get_ref<std::string&>();
  Secret secret(text);
  wipe(text);
  return secret;
}

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Error auth_error(std::string message) {
  return Error(ErrorCode::unauthenticated, ErrorClass::auth, std::move(message));
}

Credentials credentials_from_json(std::string& text, std::string_view token_name, const std::string& origin) {
  Json object = Json::parse(text, nullptr, false);
  wipe(text);
  if (!object.is_object()) throw auth_error(origin + ": the answer is not a JSON object");
  Credentials credentials;
  credentials.access_key_id = take(object, "AccessKeyId").reveal();
  credentials.secret_access_key = take(object, "SecretAccessKey");
  credentials.session_token = take(object, token_name);
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    throw auth_error(origin + ": the answer has no AccessKeyId and SecretAccessKey");
  }
  const Secret expiration = take(object, "Expiration");
  if (!expiration.empty()) {
    credentials.expires_ms = internal::parse_rfc3339(expiration.reveal());
    if (!credentials.expires_ms) throw auth_error(origin + ": the Expiration in the answer is no time");
  }
  credentials.origin = origin;
  return credentials;
}

std::optional<UrlHost> host_of(std::string_view url) {
  const bool is_clean =
      std::all_of(url.begin(), url.end(), [](unsigned char c) { return c > 0x20 && c < 0x7F && c != '\\'; });
  const size_t scheme_end = url.find("://");
  if (!is_clean || scheme_end == std::string_view::npos) return std::nullopt;
  UrlHost result;
  const std::string scheme = internal::to_lower(url.substr(0, scheme_end));
  if (scheme != "http" && scheme != "https") return std::nullopt;
  result.is_https = scheme == "https";
  std::string_view authority = url.substr(scheme_end + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) return std::nullopt;
  if (authority.starts_with('[')) {
    const size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    result.host = internal::to_lower(authority.substr(1, bracket - 1));
  } else {
    result.host = internal::to_lower(authority.substr(0, authority.find(':')));
  }
  if (result.host.empty()) return std::nullopt;
  return result;
}

bool is_loopback_host(std::string_view host) noexcept {
  if (host == "localhost" || host == "::1") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace waybill::aws
