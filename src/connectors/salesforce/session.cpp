// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/session.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <pugixml.hpp>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "connectors/salesforce/jwt.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using internal::HttpResponse;
using internal::Secret;
using Form = std::vector<std::pair<std::string, std::string>>;

constexpr std::chrono::milliseconds wait_step{100};
// Salesforce takes assertions of at most a few minutes.
constexpr int64_t assertion_s = 180;
constexpr int64_t skew_worth_telling_s = 60;
// login() is not in API 65.0 and later, and ends for the earlier ones with Summer '27: pinned apart from the version of the calls.
constexpr const char* soap_version = "59.0";
constexpr size_t longest_shown = 300;

Error auth_error(const std::string& message) { return {ErrorCode::unauthenticated, ErrorClass::auth, message}; }

std::string one_line(std::string_view text) { return printable(text.substr(0, longest_shown)); }

/// A login that was refused: what Salesforce says, and what to do about it.
struct Refusal {
  std::string code;
  std::string message;
};

std::string hint_for(const Refusal& refusal, const Organization& organization) {
  const auto says = [&](const char* words) { return internal::to_lower(refusal.message).find(words) != std::string::npos; };
  if (says("hasn't approved")) return "allow the user in the app's policies (pre-authorized, by a profile or permission set)";
  if (says("audience")) {
    return std::string("the organization is ") + (organization.is_sandbox ? "not a sandbox" : "a sandbox, or another one") +
           ": name its own host, as in acme--dev.sandbox.my.salesforce.com";
  }
  if (says("invalid assertion")) return "the app's certificate is expired, or does not belong to the key";
  if (says("expired authorization code")) return "set this machine's clock";
  if (says("refresh token")) return "the refresh token has ended; approve the app anew";
  if (says("not supported on this domain")) return "name the organization's own host (Setup, My Domain)";
  if (says("no client credentials user")) return "name the user that the app runs as, in its policies";
  if (refusal.code == "invalid_client_id" || refusal.code == "invalid_client") return "check client_id and the secret";
  if (refusal.code == "INVALID_LOGIN") return "check username, password and security_token";
  if (refusal.code == "INVALID_OPERATION") return "SOAP login() is switched off in this organization; use JWT bearer";
  if (refusal.code == "INSUFFICIENT_ACCESS") return "the user needs the permission \"API Enabled\" (and \"Use Any API Auth\")";
  return "";
}

bool is_passing(const Refusal& refusal, int status) {
  const std::string said = internal::to_lower(refusal.code + " " + refusal.message);
  constexpr std::array words = {"unknown_error", "temporarily_unavailable", "server_error",           "login rate",
                                "login_rate",    "server_unavailable",      "request_limit_exceeded", "retry your request"};
  return status == 429 || status == 503 ||
         std::any_of(words.begin(), words.end(), [&](const char* word) { return said.find(word) != std::string::npos; });
}

Error refused(const Organization& organization, const Refusal& refusal, int status) {
  std::string text = "the login at " + printable(organization.host) + " by " + to_string(organization.flow) + " was refused: " +
                     one_line(refusal.code) + (refusal.message.empty() ? "" : ": " + one_line(refusal.message));
  if (const std::string hint = hint_for(refusal, organization); !hint.empty()) text += "; " + hint;
  if (is_passing(refusal, status)) return Error(ErrorCode::unavailable, ErrorClass::throttled, text).set_retryable();
  return auth_error(text).set_provider_code(one_line(refusal.code));
}

// Of an answer that is neither a session nor a refusal.
Error no_answer(const Organization& organization, const HttpResponse& response) {
  const std::string text = "the login at " + printable(organization.host) + " answered " + std::to_string(response.status);
  if (response.status == 429 || response.status >= 500) {
    return Error(ErrorCode::unavailable, ErrorClass::server, text).set_retryable().set_http_status(response.status);
  }
  return Error(ErrorCode::failed_precondition, ErrorClass::configuration,
               text + " and no session; is it the organization's own host (Setup, My Domain)?")
      .set_http_status(response.status);
}

HttpResponse post(internal::HttpClient& http, const std::string& url, const char* type, std::string body,
                  std::vector<internal::HttpHeader> more, Context& context) {
  internal::HttpRequest request;
  request.method = "POST";
  request.url = url;
  request.headers = std::move(more);
  request.headers.emplace_back("Content-Type", type);
  request.headers.emplace_back("Accept", "*/*");
  request.body = internal::as_bytes(body);
  request.max_response_bytes = 1 << 20;
  try {
    HttpResponse response = http.perform(request, context);
    internal::wipe(body);
    return response;
  } catch (...) {
    internal::wipe(body);
    throw;
  }
}

HttpResponse post_form(const Organization& organization, internal::HttpClient& http, const Form& form, Context& context) {
  std::string body;
  for (const auto& [name, value] : form) body += (body.empty() ? "" : "&") + name + "=" + internal::encode_query(value);
  return post(http, organization.endpoint + "/services/oauth2/token", "application/x-www-form-urlencoded", std::move(body), {},
              context);
}

// How far this machine's clock is behind the server's, in seconds.
int64_t skew_of(const HttpResponse& response) {
  const auto date = internal::parse_http_date(response.header("date"));
  return date ? *date - internal::now_ms() / 1000 : 0;
}

Form form_of(const Organization& organization, int64_t skew_s) {
  Form form;
  switch (organization.flow) {
    case Flow::jwt_bearer: {
      const char* const audience = organization.is_sandbox ? "https://test.salesforce.com" : "https://login.salesforce.com";
      const Claims claims{organization.client_id, organization.username, audience, internal::now_ms() / 1000 + skew_s + assertion_s};
      form = {{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
              {"assertion", std::string(sign_assertion(claims, organization.key.load()).reveal())}};
      return form;
    }
    case Flow::client_credentials:
      form = {{"grant_type", "client_credentials"}};
      break;
    default:
      form = {{"grant_type", "refresh_token"}, {"refresh_token", std::string(organization.refresh_token.load().reveal())}};
      break;
  }
  form.emplace_back("client_id", organization.client_id);
  if (!organization.client_secret.empty()) {
    form.emplace_back("client_secret", std::string(organization.client_secret.load().reveal()));
  }
  return form;
}

/// A refresh token is used by one at a time: where it is replaced at its use, whoever comes second with the old one ends both.
class TokenLock {
 public:
  /// Errors: auth (no file can be made beside the token: a new one could not be kept either), cancelled.
  TokenLock(const SecretPlace& place, Context& context) {
    const std::string path = place.text.substr(5) + ".lock";
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) {
      Error error = system_error(errno, printable(path));
      throw auth_error(error.message() + "; the folder of a refresh token has to be there and writable, as its successor is kept in it");
    }
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (!context.sleep(wait_step)) {
        close(fd_);
        context.check();
        throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the login was cancelled");
      }
    }
  }
  ~TokenLock() { close(fd_); }
  TokenLock(const TokenLock&) = delete;
  TokenLock& operator=(const TokenLock&) = delete;

 private:
  int fd_ = -1;
};

// The old token may be dead already: the new one is on disk before anything else happens.
void keep_refresh_token(const SecretPlace& place, const std::string& token) {
  const std::string path = place.text.substr(5);
  const std::string next = path + "." + internal::hex_id(8);
  const int fd = open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool is_kept = fd >= 0;
  is_kept = is_kept && write(fd, token.data(), token.size()) == static_cast<ssize_t>(token.size()) && fsync(fd) == 0;
  int error_number = is_kept ? 0 : errno;
  if (fd >= 0) close(fd);
  if (is_kept && rename(next.c_str(), path.c_str()) == 0) return;
  if (error_number == 0) error_number = errno;
  if (fd >= 0) unlink(next.c_str());
  throw system_error(error_number, "the refresh token was replaced by Salesforce, and the new one could not be written to " +
                                       printable(path) + "; approve the app anew once it can");
}

// "https://acme.my.salesforce.com" of a longer URL; where calls go to one endpoint alone, that.
std::string instance_of(const Organization& organization, std::string_view url) {
  if (organization.is_redirected) return organization.endpoint;
  const size_t end = url.find('/', std::min(url.size(), size_t{8}));
  const std::string_view origin = url.substr(0, end);
  if (origin.size() > 8 && origin.starts_with("https://") && origin.find_first_of("@?# ") == std::string_view::npos) {
    return std::string(origin);
  }
  throw auth_error("the login at " + printable(organization.host) + " named no instance to go to");
}

Session log_in_by_oauth(const Organization& organization, internal::HttpClient& http, Context& context) {
  std::optional<TokenLock> lock;
  if (organization.flow == Flow::refresh_token) lock.emplace(organization.refresh_token, context);
  for (int64_t skew_s = 0;;) {
    Form form = form_of(organization, skew_s);
    HttpResponse response = post_form(organization, http, form, context);
    for (auto& [name, value] : form) internal::wipe(value);
    const nlohmann::json answer = nlohmann::json::parse(response.text, nullptr, false);
    internal::wipe(response.text);
    if (!answer.is_object()) throw no_answer(organization, response);
    std::string token = text_of(answer, "access_token");
    if (response.status == 200 && !token.empty()) {
      if (const std::string next = text_of(answer, "refresh_token"); !next.empty() && organization.flow == Flow::refresh_token) {
        keep_refresh_token(organization.refresh_token, next);
      }
      Session session{Secret(token), instance_of(organization, text_of(answer, "instance_url")), 0};
      internal::wipe(token);
      return session;
    }
    const Refusal refusal{text_of(answer, "error"), text_of(answer, "error_description")};
    if (refusal.code.empty()) throw no_answer(organization, response);
    const int64_t skew = skew_of(response);
    const bool may_be_clock = organization.flow == Flow::jwt_bearer && skew_s == 0 && std::abs(skew) > skew_worth_telling_s;
    if (!may_be_clock) throw refused(organization, refusal, response.status);
    skew_s = skew;
  }
}

std::string xml_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

// The first element of this name, whatever its prefix.
std::string element(const pugi::xml_document& document, std::string_view name) {
  const pugi::xml_node found = document.find_node([&](const pugi::xml_node& node) {
    std::string_view own = node.name();
    own.remove_prefix(own.find(':') + 1);  // npos + 1 is 0
    return own == name;
  });
  return found.child_value();
}

Session log_in_by_soap(const Organization& organization, internal::HttpClient& http, Context& context) {
  std::string password(organization.password.load().reveal());
  if (!organization.security_token.empty()) password += organization.security_token.load().reveal();
  std::string body =
      "<?xml version=\"1.0\" encoding=\"utf-8\"?><env:Envelope xmlns:env=\"http://schemas.xmlsoap.org/soap/envelope/\">"
      "<env:Body><login xmlns=\"urn:partner.soap.sforce.com\"><username>" +
      xml_escaped(organization.username) + "</username><password>" + xml_escaped(password) +
      "</password></login></env:Body></env:Envelope>";
  internal::wipe(password);
  const std::string url = organization.endpoint + "/services/Soap/u/" + soap_version;
  HttpResponse response = post(http, url, "text/xml; charset=UTF-8", std::move(body), {{"SOAPAction", "login"}}, context);
  pugi::xml_document document;
  document.load_buffer(response.text.data(), response.text.size());
  internal::wipe(response.text);
  if (std::string token = element(document, "sessionId"); response.status == 200 && !token.empty()) {
    // "-api" names the host of SOAP beside that of REST.
    std::string server = element(document, "serverUrl");
    const size_t end = server.find('/', std::min(server.size(), size_t{8}));
    if (const size_t at = server.find("-api."); at < end) server.erase(at, 4);
    Session session{Secret(token), instance_of(organization, server), 0};
    internal::wipe(token);
    return session;
  }
  const Refusal refusal{element(document, "exceptionCode"), element(document, "exceptionMessage")};
  if (refusal.code.empty()) throw no_answer(organization, response);
  throw refused(organization, refusal, 0);
}

}  // namespace

Session log_in(const Organization& organization, internal::HttpClient& http, Context& context) {
  if (organization.flow == Flow::password) return log_in_by_soap(organization, http, context);
  return log_in_by_oauth(organization, http, context);
}

Session SessionKeeper::newer_than(uint64_t generation, Context& context) {
  std::unique_lock lock(mutex_);
  while (is_opening_) {
    const uint64_t attempt = attempt_;
    changed_.wait_for(lock, wait_step);
    context.check();
    if (attempt_ != attempt && error_) std::rethrow_exception(error_);  // what failed for one is not tried by each
  }
  if (session_.generation > generation) return session_;
  is_opening_ = true;
  const bool is_first = session_.generation == 0;
  lock.unlock();
  Session opened;
  std::exception_ptr error;
  bool is_cancelled = false;  // by its own caller: the others may have more time
  try {
    if (is_first && organization_.flow == Flow::password) {
      context.log(LogLevel::warning,
                  "the SOAP login() of Salesforce ends with Summer '27 and is off in new organizations; set up JWT bearer");
    }
    opened = log_in(organization_, http_, context);
  } catch (const Error& failed) {
    error = std::current_exception();
    is_cancelled = failed.error_class() == ErrorClass::cancelled || failed.code() == ErrorCode::deadline_exceeded;
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  is_opening_ = false;
  ++attempt_;
  error_ = is_cancelled ? nullptr : error;
  if (!error) {
    opened.generation = session_.generation + 1;
    session_ = std::move(opened);
  }
  changed_.notify_all();
  if (error) std::rethrow_exception(error);
  return session_;
}

}  // namespace waybill::salesforce
