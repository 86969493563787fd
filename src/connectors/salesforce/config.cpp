// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/config.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/nearest.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using internal::equals_ignoring_case;

// Of composites whose parts are not collated.
constexpr uint64_t first_version = 49;

Error bad(const std::string& message) { return {ErrorCode::invalid_argument, ErrorClass::configuration, message}; }
Error no_secret(const std::string& message) { return {ErrorCode::unauthenticated, ErrorClass::auth, message}; }

/// The parameters of a URL, of which each is taken once.
class Parameters {
 public:
  explicit Parameters(const Url& url) : shown_("salesforce://" + printable(url.host + url.path)), left_(url.query) {}

  std::string take(const std::string& name) {
    known_.push_back(name);
    const auto found = left_.find(name);
    if (found == left_.end()) return {};
    std::string value = std::move(found->second);
    left_.erase(found);
    if (value.empty()) throw fail("parameter " + name + " is empty");
    return value;
  }

  SecretPlace take_secret(const std::string& name) {
    SecretPlace place{take(name)};
    const bool is_file = place.text.starts_with("file:/");
    if (!place.empty() && !is_file && !internal::is_reference(place.text)) {
      throw fail("parameter " + name + " is env:NAME or file:/path, where the secret is; a secret itself never belongs in a URL");
    }
    return place;
  }

  /// `words` of which one is named; the first where none is.
  size_t take_one_of(const std::string& name, const std::vector<std::string>& words) {
    const std::string value = take(name);
    if (value.empty()) return 0;
    const auto found = std::find(words.begin(), words.end(), value);
    if (found != words.end()) return static_cast<size_t>(found - words.begin());
    std::string all;
    for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
    throw fail(name + "=" + printable(value) + " is none of " + all + internal::did_you_mean(value, words));
  }

  void expect_none_left() const {
    if (left_.empty()) return;
    const std::string& name = left_.begin()->first;
    throw fail("unknown parameter \"" + printable(name) + "\"" + internal::did_you_mean(name, known_));
  }

  Error fail(const std::string& problem) const { return bad(shown_ + ": " + problem); }

 private:
  const std::string shown_;
  std::map<std::string, std::string> left_;
  std::vector<std::string> known_;
};

// Secrets go to no other machine, whatever the URL says and however it is spelled.
bool is_salesforce(std::string_view host) {
  const bool is_plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
  });
  constexpr std::array domains = {".salesforce.com", ".force.com", ".salesforce.mil", ".sfcrmapps.cn"};
  return is_plain && std::any_of(domains.begin(), domains.end(), [&](const char* domain) { return host.ends_with(domain); });
}

// Sandboxes log in at test.salesforce.com, or at a My Domain like acme--dev.sandbox.my.salesforce.com.
bool is_sandbox(std::string_view host) {
  return host == "test.salesforce.com" || host.find(".sandbox.") != std::string_view::npos ||
         host.find(".scratch.") != std::string_view::npos || host.find("--") != std::string_view::npos;
}

bool is_loopback(std::string_view endpoint) {
  for (const std::string_view host : {"http://127.0.0.1", "http://[::1]", "http://localhost"}) {
    if (endpoint.starts_with(host) && (endpoint.size() == host.size() || endpoint[host.size()] == ':')) return true;
  }
  return false;
}

void take_endpoint(Parameters& parameters, Organization& organization) {
  organization.endpoint = "https://" + organization.host;
  std::string endpoint = parameters.take("endpoint");
  if (endpoint.empty()) return;
  if (endpoint.ends_with('/')) endpoint.pop_back();
  const std::string_view shown = endpoint;
  const size_t scheme = shown.find("://");
  if (scheme == std::string_view::npos || shown.find_first_of("/?#@ ", scheme + 3) != std::string_view::npos) {
    throw parameters.fail("endpoint is no address: it is https://host or https://host:port");
  }
  if (!shown.starts_with("https://") && !is_loopback(shown)) {
    throw parameters.fail("endpoint is plain http to another machine, where the session would be read on the way; use https");
  }
  organization.endpoint = std::move(endpoint);
  organization.is_redirected = true;
}

void take_login(Parameters& parameters, Organization& organization) {
  organization.client_id = parameters.take("client_id");
  organization.username = parameters.take("username");
  organization.key = parameters.take_secret("key");
  organization.client_secret = parameters.take_secret("client_secret");
  organization.refresh_token = parameters.take_secret("refresh_token");
  organization.password = parameters.take_secret("password");
  organization.security_token = parameters.take_secret("security_token");
  const int ways = !organization.key.empty() + !organization.refresh_token.empty() + !organization.password.empty();
  if (ways > 1) throw parameters.fail("key, refresh_token and password are three ways to log in; give one");
  if (ways == 0 && organization.client_secret.empty()) {
    throw parameters.fail(
        "no way to log in: give key=file:/path.pem with client_id and username (JWT bearer), client_secret=env:NAME with client_id "
        "(client credentials), refresh_token=file:/path with client_id, or password=env:NAME with username (SOAP, until Summer '27)");
  }
  organization.flow = !organization.key.empty()             ? Flow::jwt_bearer
                      : !organization.refresh_token.empty() ? Flow::refresh_token
                      : !organization.password.empty()      ? Flow::password
                                                            : Flow::client_credentials;
  const auto expect = [&](const std::string& value, const char* name) {
    if (value.empty()) throw parameters.fail(std::string(to_string(organization.flow)) + " needs the parameter " + name);
  };
  if (organization.flow != Flow::password && !organization.security_token.empty()) {
    throw parameters.fail("security_token belongs to a password, and there is none");
  }
  if (organization.flow != Flow::password) expect(organization.client_id, "client_id");
  if (organization.flow == Flow::jwt_bearer || organization.flow == Flow::password) expect(organization.username, "username");
  if (organization.flow == Flow::refresh_token && !organization.refresh_token.text.starts_with("file:")) {
    throw parameters.fail("refresh_token is file:/path: a token that is replaced at its use has to be kept");
  }
  const bool is_general = organization.host == "login.salesforce.com" || organization.host == "test.salesforce.com";
  if (organization.flow == Flow::client_credentials && is_general) {
    throw parameters.fail("client credentials are refused at " + organization.host +
                          "; name the organization's own host (Setup, My Domain): acme.my.salesforce.com");
  }
}

Organization take_organization(const Url& url, Parameters& parameters) {
  Organization organization;
  organization.host = internal::to_lower(url.host);
  if (!is_salesforce(organization.host)) {
    throw parameters.fail("names no host of Salesforce, such as acme.my.salesforce.com (Setup, My Domain)");
  }
  organization.is_sandbox = is_sandbox(organization.host);
  take_endpoint(parameters, organization);
  if (const std::string version = parameters.take("api_version"); !version.empty()) {
    const size_t dot = version.find('.');
    const auto major = internal::parse_uint(std::string_view(version).substr(0, dot));
    if (!major || *major < first_version || *major > 999 || (dot != std::string::npos && version.substr(dot) != ".0")) {
      throw parameters.fail("api_version=" + printable(version) + " is none: it is a number like 62.0, and at least 49.0, which is the first whose calls keep the order of their parts");
    }
    organization.api_version = std::to_string(*major) + ".0";
  }
  if (const std::string share = parameters.take("max_api_share"); !share.empty()) {
    char* end = nullptr;
    organization.max_api_share = std::strtod(share.c_str(), &end);
    if (*end != '\0' || !(organization.max_api_share > 0 && organization.max_api_share <= 1)) {
      throw parameters.fail("max_api_share=" + printable(share) + " is no share of the day's calls: more than 0, at most 1");
    }
  }
  take_login(parameters, organization);
  return organization;
}

std::string take_path(Parameters& parameters, const std::string& name) {
  std::string path = parameters.take(name);
  if (!path.empty() && !is_field_path(path)) throw parameters.fail(name + "=" + printable(path) + " is no path of fields");
  return path;
}

Reads take_reads(Parameters& parameters) {
  constexpr std::array all = {Reads::automatic, Reads::rest, Reads::bulk};
  return all.at(parameters.take_one_of("reads", {"auto", "rest", "bulk"}));
}

}  // namespace

internal::Secret SecretPlace::load() const {
  internal::Secret secret;
  if (internal::is_reference(text)) {
    const char* const value = std::getenv(text.substr(4).c_str());
    if (value == nullptr) throw no_secret(text + ": there is no variable " + text.substr(4));
    secret = internal::Secret(value);
  } else {
    secret = internal::read_small_file(text.substr(5));
  }
  const std::string_view trimmed = internal::trim(secret.reveal());
  if (trimmed.empty()) throw no_secret(printable(text) + ": there is no such secret, or nothing in it");
  return internal::Secret(trimmed);
}

const char* to_string(Flow flow) noexcept {
  switch (flow) {
    case Flow::jwt_bearer:
      return "JWT bearer";
    case Flow::client_credentials:
      return "client credentials";
    case Flow::refresh_token:
      return "a refresh token";
    case Flow::password:
      return "SOAP login";
  }
  return "";
}

std::string Organization::identity() const {
  const bool is_general = host == "login.salesforce.com" || host == "test.salesforce.com";
  const std::string& who = username.empty() ? client_id : username;
  return "salesforce:" + (is_general ? who + "@" : "") + host;
}

FieldConfig FieldConfig::parse(const Url& url) {
  Parameters parameters(url);
  FieldConfig config;
  config.organization = take_organization(url, parameters);
  const std::string path = url.path.substr(std::min<size_t>(1, url.path.size()));
  const size_t dot = path.find('.');
  config.object = path.substr(0, dot);
  if (dot != std::string::npos) config.field = path.substr(dot + 1);
  if (!is_field_path(config.object) || !is_field_path(config.field) || config.field.find('.') != std::string::npos) {
    throw parameters.fail("\"" + printable(path) + "\" is no Object.Field, such as DocListEntry__c.Document__c");
  }
  // The seed's own object has its partitions by default.
  if (equals_ignoring_case(config.object, "DocListEntry__c") && !url.query.contains("partition")) {
    config.partition = "Account__c";
    config.partition_name = "Account__r.Name";
  }
  if (const std::string given = take_path(parameters, "partition"); !given.empty()) config.partition = given;
  if (const std::string given = take_path(parameters, "partition_name"); !given.empty()) config.partition_name = given;
  if (!config.partition_name.empty() && config.partition.empty()) throw parameters.fail("partition_name needs partition");
  std::string names = parameters.take("names");
  for (size_t at = 0; at < names.size();) {
    const size_t comma = std::min(names.find(',', at), names.size());
    config.names.push_back(std::string(internal::trim(std::string_view(names).substr(at, comma - at))));
    if (!is_field_path(config.names.back())) {
      throw parameters.fail("names has \"" + printable(config.names.back()) + "\", which is no path of fields");
    }
    at = comma + 1;
  }
  config.reads = take_reads(parameters);
  constexpr std::array modes = {Mode::safe, Mode::fast, Mode::frozen};
  config.mode = modes.at(parameters.take_one_of("mode", {"safe", "fast", "frozen"}));
  parameters.expect_none_left();
  return config;
}

FilesConfig FilesConfig::parse(const Url& url) {
  Parameters parameters(url);
  FilesConfig config;
  config.organization = take_organization(url, parameters);
  const std::vector<std::string> objects = {"ContentVersion", "Attachment", "Document"};
  const std::string path = url.path.substr(std::min<size_t>(1, url.path.size()));
  for (const std::string& object : objects) {
    if (equals_ignoring_case(path, object)) config.object = object;
  }
  if (config.object.empty()) {
    throw parameters.fail("\"" + printable(path) + "\" has no files: a source is /ContentVersion, /Attachment or /Document" +
                          internal::did_you_mean(path, objects));
  }
  const bool has_versions = config.object == "ContentVersion";
  if (!has_versions && url.query.contains("versions")) throw parameters.fail("only ContentVersion has versions");
  config.all_versions = parameters.take_one_of("versions", {"latest", "all"}) == 1;
  config.reads = take_reads(parameters);
  parameters.expect_none_left();
  return config;
}

}  // namespace waybill::salesforce
