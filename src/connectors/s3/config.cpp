// SPDX-License-Identifier: Apache-2.0
//
// See config.hpp.
#include "connectors/s3/config.hpp"

#include <algorithm>

#include "aws/credentials.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {
namespace {

Error bad(const std::string& message) { return Error(ErrorCode::invalid_argument, ErrorClass::configuration, message); }

bool flag(const std::string& name, const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  throw bad("parameter '" + name + "' of an s3:// URL is 'true' or 'false', not '" + printable(value) + "'");
}

struct Endpoint {
  std::string scheme;
  std::string host;  // with brackets, for IPv6
  std::string port;
};

Endpoint parse_endpoint(const std::string& text) {
  const size_t colon = text.find("://");
  const size_t at = text.rfind('@');
  const auto fail = [&](const char* why) {
    // Whatever is in front of an '@' is nobody's business.
    const std::string shown =
        at == std::string::npos ? text : text.substr(0, text.find(':')) + "://" + text.substr(at + 1);
    return bad("endpoint '" + internal::redact_url(shown) + "' " + why +
               ": it is http(s)://host or http(s)://host:port");
  };
  if (at != std::string::npos) throw fail("holds credentials, which never belong in a URL");
  Endpoint endpoint;
  if (colon == std::string::npos) throw fail("is no URL");
  endpoint.scheme = internal::to_lower(std::string_view(text).substr(0, colon));
  if (endpoint.scheme != "http" && endpoint.scheme != "https") throw fail("is neither http nor https");
  std::string_view rest = std::string_view(text).substr(colon + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#") != std::string_view::npos) throw fail("has a path or a query");
  size_t host_end = rest.find(':');
  if (rest.starts_with('[')) {
    const size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) throw fail("has no ']' after its address");
    host_end = rest.find(':', bracket);
  }
  endpoint.host = internal::to_lower(rest.substr(0, host_end));
  const bool is_clean = std::all_of(endpoint.host.begin(), endpoint.host.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == ':' ||
           c == '[' || c == ']';
  });
  if (endpoint.host.empty() || !is_clean) throw fail("has no proper host");
  if (host_end != std::string_view::npos) {
    const auto port = internal::parse_uint(rest.substr(host_end + 1));
    if (!port || *port == 0 || *port > 65535) throw fail("has no proper port");
    endpoint.port = std::to_string(*port);
  } else {
    endpoint.port = endpoint.scheme == "https" ? "443" : "80";
  }
  return endpoint;
}

// Bucket names that can be a label of a host name which the service's certificate covers.
bool fits_host_name(std::string_view bucket) {
  return bucket.size() >= 3 && bucket.size() <= 63 && std::all_of(bucket.begin(), bucket.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

void use_endpoint(const std::string& text, bool allow_http, Config& config) {
  const Endpoint endpoint = parse_endpoint(text);
  if (endpoint.scheme == "http" && !allow_http && !is_loopback(endpoint.host)) {
    throw bad(
        "endpoint '" + internal::redact_url(text) +
        "' is plain http to another machine: use https, or add allow_http=true to the URL if the way to it is safe");
  }
  config.scheme = endpoint.scheme;
  config.port = endpoint.port;
  config.service_host = endpoint.host;
  if (endpoint.port != (endpoint.scheme == "https" ? "443" : "80")) config.service_host += ":" + endpoint.port;
  config.path_style = true;
}

}  // namespace

bool is_loopback(std::string_view host) noexcept {
  if (host == "localhost" || host == "[::1]" || host == "::1") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

std::string Config::endpoint() const {
  const bool has_port = service_host.ends_with(":" + port);
  return scheme + "://" + service_host + (has_port ? "" : ":" + port);
}

Config parse_config(const Url& url) {
  Config config;
  config.bucket = url.host;
  if (config.bucket.empty()) throw bad("an s3:// URL names a bucket: s3://bucket/prefix");
  const auto is_bucket_char = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  if (!std::all_of(config.bucket.begin(), config.bucket.end(), is_bucket_char)) {
    throw bad("'" + printable(config.bucket) + "' is no bucket name: letters, digits, '-', '.' and '_'");
  }
  config.prefix = url.path.starts_with('/') ? url.path.substr(1) : url.path;
  if (!config.prefix.empty() && !config.prefix.ends_with('/')) config.prefix += '/';
  if (!internal::is_utf8(config.prefix)) throw bad("the prefix of " + printable(config.identity()) + " is not UTF-8");

  std::string endpoint;
  bool allow_http = false;
  for (const auto& [name, value] : url.query) {
    if (name == "endpoint")
      endpoint = value;
    else if (name == "region")
      config.region = value;
    else if (name == "profile")
      config.profile = value;
    else if (name == "anonymous")
      config.anonymous = flag(name, value);
    else if (name == "allow_http")
      allow_http = flag(name, value);
    else {
      throw bad("unknown parameter '" + printable(name) +
                "' in an s3:// URL; known are endpoint, region, profile, anonymous, allow_http");
    }
  }
  if (config.region.empty()) config.region = aws::load_region(config.profile);
  if (config.region.empty()) config.region = "us-east-1";
  const auto is_region_char = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  };
  if (!std::all_of(config.region.begin(), config.region.end(), is_region_char)) {
    throw bad("'" + printable(config.region) + "' is no region name");
  }
  if (!endpoint.empty()) {
    use_endpoint(endpoint, allow_http, config);
    return config;
  }
  config.scheme = "https";
  config.port = "443";
  config.service_host =
      "s3." + config.region + (config.region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
  // A bucket named "soap" is shadowed by an old interface of virtual hosts.
  config.path_style = !fits_host_name(config.bucket) || config.bucket == "soap";
  return config;
}

}  // namespace waybill::s3
