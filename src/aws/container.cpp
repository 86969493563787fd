// SPDX-License-Identifier: Apache-2.0
//
// The credentials endpoint of a container: ECS by a path, EKS Pod Identity and others by a whole URL.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
#include "aws/profiles.hpp"
#include "aws/providers.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;

constexpr const char* ecs = "http://169.254.170.2";
constexpr milliseconds patience{5'000};
constexpr milliseconds pause{300};
constexpr int most_tries = 3;

// Whatever answers there gives out credentials, and gets the token: over plain http only this machine.
void check_url(const std::string& url) {
  const auto host = host_of(url);
  const bool is_local = host && (is_loopback_host(host->host) || host->host == "169.254.170.2" ||
                                 host->host == "169.254.170.23" || host->host == "fd00:ec2::23");
  if (host && (host->is_https || is_local)) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor http to this machine (loopback, 169.254.170.2, "
              "169.254.170.23 or [fd00:ec2::23])");
}

Secret authorization() {
  const std::string file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  Secret token(environment("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
  if (!file.empty()) {
    const Secret content = read_small_file(file);
    token = Secret(internal::trim(content.reveal()));
    if (token.empty()) throw auth_error("container: there is no token in " + printable(file));
  }
  if (token.reveal().find_first_of("\r\n") != std::string_view::npos) {
    throw auth_error("container: the authorization token has a line break");
  }
  return token;
}

Credentials ask(const std::string& url, Context& context) {
  const std::string origin = "the container's " + internal::redact_url(url.substr(0, url.find_first_of("?#")));
  const Secret token = authorization();
  internal::HttpRequest request;
  request.url = url;
  request.headers.emplace_back("Accept", "application/json");
  if (!token.empty()) request.headers.emplace_back("Authorization", token.reveal());
  internal::HttpOptions options;
  options.connect_timeout_ms = static_cast<int>(patience.count()) / 2;
  internal::HttpClient client(options);
  for (int tries = 1;; ++tries) {
    std::optional<Error> problem;
    try {
      Timebox time(context, patience);
      internal::HttpResponse response = client.perform(request, time);
      if (response.status == 200) return credentials_from_json(response.text, "Token", origin);
      problem = response.status >= 500 || response.status == 429
                    ? Error(ErrorCode::unavailable, ErrorClass::server, "").set_retryable()
                    : auth_error("");
      problem->prepend(origin + " answered " + std::to_string(response.status)).set_http_status(response.status);
    } catch (const Error& error) {
      if (error.error_class() == ErrorClass::auth) throw;
      problem = error;
    }
    context.check();
    if (!problem->retryable() || tries == most_tries) throw Error(*problem);
    if (!context.sleep(pause)) context.check();
  }
}

}  // namespace

Found from_container(Context& context) {
  if (const std::string path = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); !path.empty()) {
    // "@other.example" after the host would lead elsewhere.
    if (!path.starts_with('/')) throw auth_error("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'");
    return {ask(ecs + path, context), {}};
  }
  const std::string url = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (url.empty()) return {std::nullopt, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set"};
  check_url(url);
  return {ask(url, context), {}};
}

}  // namespace waybill::aws
