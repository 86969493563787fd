// SPDX-License-Identifier: Apache-2.0
//
// The metadata service of an EC2 instance, with a session token (IMDSv2); never without one, which forwarded requests
// could get at. Every machine that is no instance comes by here when it has no credentials: not being there is no
// error, and is found out within a second.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
#include "aws/providers.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds patience{1'000};  // for each of the three requests
constexpr const char* token_path = "/latest/api/token";
constexpr const char* role_path = "/latest/meta-data/iam/security-credentials/";

std::string endpoint() {
  std::string given = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (given.empty()) {
    const bool is_ipv6 = internal::equals_ignoring_case(environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6");
    return is_ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  }
  if (!host_of(given) || given.find_first_of("?#") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "AWS_EC2_METADATA_SERVICE_ENDPOINT is no http URL");
  }
  while (given.ends_with('/')) given.pop_back();
  return given;
}

class Metadata {
 public:
  Metadata(std::string url, Context& context) : url_(std::move(url)), context_(context), client_(options()) {}

  internal::HttpResponse ask(const char* method, const std::string& path, internal::HttpHeader header) {
    internal::HttpRequest request;
    request.method = method;
    request.url = url_ + path;
    request.headers.push_back(std::move(header));
    request.max_response_bytes = 64 << 10;
    Timebox time(context_, patience);
    try {
      return client_.perform(request, time);
    } catch (...) {
      context_.check();  // of the two ends only the outer one is the caller's
      throw;
    }
  }

 private:
  static internal::HttpOptions options() {
    internal::HttpOptions options;
    options.connect_timeout_ms = static_cast<int>(patience.count());
    return options;
  }

  const std::string url_;
  Context& context_;
  internal::HttpClient client_;
};

Error answered(const std::string& url, const std::string& path, int status) {
  const std::string text = url + path + " answered " + std::to_string(status);
  if (status < 500 && status != 429) return auth_error(text);
  return Error(ErrorCode::unavailable, ErrorClass::server, text).set_retryable().set_http_status(status);
}

}  // namespace

Found from_instance(Context& context) {
  if (internal::equals_ignoring_case(environment("AWS_EC2_METADATA_DISABLED"), "true")) {
    return {std::nullopt, "AWS_EC2_METADATA_DISABLED is set"};
  }
  const std::string url = endpoint();
  const std::string shown = internal::redact_url(url);
  Metadata metadata(url, context);
  std::string token;
  try {
    internal::HttpResponse response =
        metadata.ask("PUT", token_path, {"X-aws-ec2-metadata-token-ttl-seconds", "21600"});
    if (response.status != 200) {
      return {std::nullopt, shown + " gave no session token but status " + std::to_string(response.status)};
    }
    token = internal::trim(response.text);
  } catch (const Error& error) {
    const bool is_absent = error.error_class() == ErrorClass::network || error.error_class() == ErrorClass::timeout;
    if (!is_absent) throw;
    return {std::nullopt, shown + " does not answer; in a container its hop limit has to be 2"};
  }
  // It is there: from here on what fails is an error.
  const internal::HttpResponse roles = metadata.ask("GET", role_path, {"X-aws-ec2-metadata-token", token});
  if (roles.status == 404) return {std::nullopt, "the instance has no role"};
  if (roles.status != 200) throw answered(shown, role_path, roles.status);
  const std::string role(internal::trim(std::string_view(roles.text).substr(0, roles.text.find('\n'))));
  if (role.empty()) return {std::nullopt, "the instance has no role"};
  const std::string path = role_path + internal::encode_query(role);
  internal::HttpResponse answer = metadata.ask("GET", path, {"X-aws-ec2-metadata-token", token});
  if (answer.status != 200) throw answered(shown, path, answer.status);
  return {credentials_from_json(answer.text, "Token", "the instance's role " + printable(role)), {}};
}

}  // namespace waybill::aws
