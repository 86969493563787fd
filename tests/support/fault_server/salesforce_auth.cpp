// SPDX-License-Identifier: Apache-2.0
//
// Logins: the token endpoint of OAuth with its three flows, and login() of SOAP.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "support/fault_server/salesforce_jwt.hpp"
#include "support/fault_server/salesforce_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

/// Thrown inside the token endpoint; becomes {"error", "error_description"}.
struct TokenError {
  std::string error;
  std::string description;
  int status = 400;
};

struct TokenRequest {
  std::vector<std::pair<std::string, std::string>> form;
  std::string basic_key;  // of Authorization: Basic
  std::string basic_secret;

  explicit TokenRequest(const SalesforceRequest& request) : form(split_query(request.body)) {
    std::string_view authorization = request.header("authorization");
    if (!authorization.starts_with("Basic ")) return;
    const std::string pair = from_base64(authorization.substr(6), false).value_or("");
    const size_t colon = pair.find(':');
    basic_key = pair.substr(0, colon);
    if (colon != std::string::npos) basic_secret = pair.substr(colon + 1);
  }

  std::string field(std::string_view name) const {
    for (const auto& [known, value] : form) {
      if (known == name) return value;
    }
    return {};
  }
};

// login.salesforce.com and test.salesforce.com serve everybody; a My Domain host serves one organization.
bool is_my_domain(const std::string& host) { return !host.starts_with("login.") && !host.starts_with("test."); }

const SalesforceApp& app_of(const SalesforceStore& store, const std::string& key) {
  for (const SalesforceApp& app : store.settings.apps) {
    if (app.key == key) return app;
  }
  throw TokenError{"invalid_client_id", "client identifier invalid"};
}

const SalesforceApp& authenticated_app(const SalesforceStore& store, const TokenRequest& request, bool needs_secret) {
  const bool is_basic = !request.basic_key.empty();
  const SalesforceApp& app = app_of(store, is_basic ? request.basic_key : request.field("client_id"));
  const std::string secret = is_basic ? request.basic_secret : request.field("client_secret");
  if ((needs_secret || !secret.empty()) && secret != app.secret) {
    throw TokenError{"invalid_client", "invalid client credentials"};
  }
  return app;
}

const SalesforceUser& approved_user(const SalesforceStore& store, const SalesforceApp& app, const std::string& login) {
  const SalesforceUser* const user = store.user(login);
  if (!user) throw TokenError{"invalid_grant", "user hasn't approved this consumer"};
  if (!app.approved.empty() && !app.approved.contains(user->name)) {
    throw TokenError{"invalid_grant", "user hasn't approved this consumer"};
  }
  return *user;
}

const SalesforceUser& by_assertion(const SalesforceStore& store, const TokenRequest& request) {
  const std::string assertion = request.field("assertion");
  const auto claims = jwt_claims(assertion);
  if (!claims) throw TokenError{"invalid_grant", "invalid assertion"};
  const auto claim = [&](const char* name) {
    return claims->contains(name) && (*claims)[name].is_string() ? (*claims)[name].get<std::string>() : std::string();
  };
  const SalesforceApp& app = app_of(store, claim("iss"));
  if (app.certificate.empty() || !jwt_is_signed(assertion, app.certificate)) {
    throw TokenError{"invalid_grant", "invalid assertion"};
  }
  const std::string audience =
      store.settings.is_sandbox ? "https://test.salesforce.com" : "https://login.salesforce.com";
  if (claim("aud") != audience) throw TokenError{"invalid_grant", "audience is invalid"};
  // Some clients write the time as a text.
  const nlohmann::json exp = claims->value("exp", nlohmann::json());
  const int64_t expires = exp.is_number() ? exp.get<int64_t>()
                          : exp.is_string()
                              ? static_cast<int64_t>(internal::parse_uint(exp.get<std::string>()).value_or(0))
                              : 0;
  if (expires <= store.now_s()) throw TokenError{"invalid_grant", "expired authorization code"};
  return approved_user(store, app, claim("sub"));
}

const SalesforceUser& by_refresh_token(SalesforceStore& store, const TokenRequest& request, nlohmann::json& answer) {
  const SalesforceApp& app = authenticated_app(store, request, false);
  const auto found = store.refresh_tokens.find(request.field("refresh_token"));
  if (found == store.refresh_tokens.end() || found->second != app.key) {
    throw TokenError{"invalid_grant", "expired access/refresh token"};
  }
  const SalesforceUser& user = approved_user(store, app, app.run_as);
  if (app.rotates_refresh_tokens) {
    store.refresh_tokens.erase(found);
    const std::string next = store.new_secret("5Aep861");
    store.refresh_tokens[next] = app.key;
    answer["refresh_token"] = next;
  }
  return user;
}

std::string instance_of(const SalesforceContext& context) {
  const std::string& configured = context.store.settings.instance_url;
  return configured.empty() ? "http://" + context.request.host : configured;
}

std::string soap_document(const std::string& body) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope "
         "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\" "
         "xmlns:sf=\"urn:fault.partner.soap.sforce.com\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">"
         "<soapenv:Body>" +
         body + "</soapenv:Body></soapenv:Envelope>";
}

Answer soap_answer(int status, const std::string& body) {
  Answer answer;
  answer.status = status;
  answer.headers.emplace_back("Content-Type", "text/xml;charset=UTF-8");
  answer.text = soap_document(body);
  return answer;
}

Answer soap_fault(const std::string& code, const std::string& message) {
  const std::string text = xml_escape(code) + ": " + xml_escape(message);
  return soap_answer(500, "<soapenv:Fault><faultcode>sf:" + xml_escape(code) + "</faultcode><faultstring>" + text +
                              "</faultstring><detail><sf:LoginFault xsi:type=\"sf:LoginFault\"><sf:exceptionCode>" +
                              xml_escape(code) + "</sf:exceptionCode><sf:exceptionMessage>" + xml_escape(message) +
                              "</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>");
}

const XmlNode* find_node(const XmlNode& node, std::string_view name) {
  if (node.name == name) return &node;
  for (const XmlNode& child : node.children) {
    if (const XmlNode* const found = find_node(child, name)) return found;
  }
  return nullptr;
}

}  // namespace

Answer issue_token(SalesforceContext& context) {
  SalesforceStore& store = context.store;
  const TokenRequest request(context.request);
  nlohmann::json answer;
  try {
    if (context.request.method != "POST") throw TokenError{"invalid_request", "must use HTTP POST"};
    const std::string grant = request.field("grant_type");
    const SalesforceUser* user = nullptr;
    if (grant == "urn:ietf:params:oauth:grant-type:jwt-bearer") {
      user = &by_assertion(store, request);
    } else if (grant == "client_credentials") {
      if (!is_my_domain(context.request.host)) {
        throw TokenError{"invalid_grant", "request not supported on this domain"};
      }
      const SalesforceApp& app = authenticated_app(store, request, true);
      if (app.run_as.empty()) throw TokenError{"invalid_grant", "no client credentials user enabled"};
      user = &approved_user(store, app, app.run_as);
    } else if (grant == "refresh_token") {
      user = &by_refresh_token(store, request, answer);
    } else {
      throw TokenError{"unsupported_grant_type", "grant type not supported"};
    }
    answer["access_token"] = store.open_session(user->name);
    answer["instance_url"] = instance_of(context);
    answer["id"] = instance_of(context) + "/id/" + store.settings.organization_id + "/" + user->id;
    answer["token_type"] = "Bearer";
    answer["scope"] = "api";
    answer["issued_at"] = std::to_string(store.now_s() * 1000);
    return salesforce_json(answer.dump());
  } catch (const TokenError& error) {
    return salesforce_json(nlohmann::json{{"error", error.error}, {"error_description", error.description}}.dump(),
                           error.status);
  }
}

Answer soap_login(SalesforceContext& context) {
  SalesforceStore& store = context.store;
  const std::string& version = context.request.version;
  const uint64_t major = internal::parse_uint(version.substr(0, version.find('.'))).value_or(0);
  if (major < store.settings.first_version || major > store.settings.last_soap_login) {
    return soap_fault("UNSUPPORTED_API_VERSION", "login() is not available in API version " + version);
  }
  if (!store.settings.soap_login) {
    return soap_fault("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.");
  }
  const auto document = parse_xml(context.request.body);
  const XmlNode* const login = document ? find_node(*document, "login") : nullptr;
  if (!login) return soap_fault("INVALID_OPERATION", "The request is no login");
  const SalesforceUser* const user = store.user(login->child_text("username"));
  const std::string password(login->child_text("password"));
  const XmlNode* const organization = find_node(*document, "organizationId");
  // Who names the organization comes from a trusted address, and needs no token.
  const bool is_right =
      user && (password == user->password + user->security_token ||
               (organization && organization->text == store.settings.organization_id && password == user->password));
  if (!is_right) {
    return soap_fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.");
  }
  if (!user->may_use_api) return soap_fault("INSUFFICIENT_ACCESS", "The user may not use the API");
  const std::string organization_15 = store.settings.organization_id.substr(0, 15);
  const std::string server_url = instance_of(context) + "/services/Soap/u/" + version + "/" + organization_15;
  const std::string session = store.open_session(user->name);
  return soap_answer(
      200, "<loginResponse><result><metadataServerUrl>" + xml_escape(instance_of(context)) + "/services/Soap/m/" +
               version + "/" + organization_15 +
               "</metadataServerUrl><passwordExpired>false</passwordExpired><sandbox>" +
               (store.settings.is_sandbox ? "true" : "false") + "</sandbox><serverUrl>" + xml_escape(server_url) +
               "</serverUrl><sessionId>" + xml_escape(session) + "</sessionId><userId>" + user->id +
               "</userId><userInfo><organizationId>" + store.settings.organization_id +
               "</organizationId><organizationName>Test</organizationName><sessionSecondsValid>" +
               std::to_string(store.settings.session_seconds) + "</sessionSecondsValid><userId>" + user->id +
               "</userId><userName>" + xml_escape(user->name) + "</userName></userInfo></result></loginResponse>");
}

}  // namespace waybill::testing::fault
