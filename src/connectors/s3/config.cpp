// SPDX-License-Identifier: Apache-2.0
//
// See config.hpp.
#include "connectors/s3/config.hpp"

#include <algorithm>
#include <cstdlib>

#include "aws/profiles.hpp"
#include "base/hash.hpp"
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

// "" for "keep". Stores have classes of their own; which one is known is theirs to say.
std::string storage_class(const std::string& value) {
  if (value == "keep") return {};
  const bool is_name =
      !value.empty() && value.size() <= 64 && std::all_of(value.begin(), value.end(), [](unsigned char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
      });
  if (is_name) return value;
  throw bad("parameter 'storage_class' of an s3:// URL is 'keep' or a class such as STANDARD_IA, not '" +
            printable(value) + "'");
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
std::string canned_acl(const std::string& value) {
  constexpr std::string_view known[] = {"private",
                                        "public-read",
                                        "public-read-write",
                                        "aws-exec-read",
                                        "authenticated-read",
                                        "bucket-owner-read",
                                        "bucket-owner-full-control"};
  if (std::find(std::begin(known), std::end(known), value) != std::end(known)) return value;
  throw bad("parameter 'acl' of an s3:// URL is a canned ACL such as bucket-owner-full-control, not '" +
            printable(value) + "'");
}

std::string account(const std::string& value) {
  const bool is_account = value.size() == 12 && value.find_first_not_of("0123456789") == std::string::npos;
  if (is_account) return value;
  throw bad("parameter 'expected_bucket_owner' of an s3:// URL is an account of twelve digits, not '" +
            printable(value) + "'");
}

std::string encryption(const std::string& value) {
  if (value == "AES256" || value == "aws:kms" || value == "aws:kms:dsse") return value;
  throw bad("parameter 'sse' of an s3:// URL is AES256, aws:kms or aws:kms:dsse, not '" + printable(value) + "'");
}

std::string kms_key(const std::string& value) {
  const bool is_plain = !value.empty() && value.size() <= 2048 &&
                        std::all_of(value.begin(), value.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (is_plain) return value;
  throw bad("parameter 'sse_kms_key_id' of an s3:// URL is a key's id, ARN or alias, not '" + printable(value) + "'");
}

// From the variable that "env:NAME" names. Neither the value nor what may be one is shown.
CustomerKey customer_key(const std::string& value) {
  if (!internal::is_reference(value)) {
    throw bad("parameter 'sse_c_key' of an s3:// URL is env:NAME, the name of a variable that holds the key; a key itself "
              "never belongs in a URL");
  }
  const std::string name = value.substr(4);
  const char* text = std::getenv(name.c_str());
  if (text == nullptr) throw bad("sse_c_key=" + value + ": there is no variable " + name);
  const auto bytes = internal::base64_decode(text);
  if (!bytes || bytes->size() != 32) {
    throw bad("sse_c_key=" + value + ": the variable " + name + " does not hold 32 bytes in base64");
  }
  return {internal::Secret(text), internal::base64_encode(internal::md5(*bytes))};
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

bool is_lower(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Bucket names that can be a label of a host name which the service's certificate covers. A bucket named "soap" is
// shadowed by an old interface of virtual hosts.
bool fits_host_name(std::string_view bucket) {
  return bucket.size() >= 3 && bucket.size() <= 63 && bucket != "soap" &&
         std::all_of(bucket.begin(), bucket.end(), [](unsigned char c) { return is_lower(c) || c == '-'; });
}

// Why AWS has no bucket of this name; null if it can have one.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
const char* why_no_bucket(std::string_view bucket) {
  if (bucket.size() < 3 || bucket.size() > 63) return "names have 3 to 63 characters";
  if (!std::all_of(bucket.begin(), bucket.end(), [](unsigned char c) { return is_lower(c) || c == '-' || c == '.'; })) {
    return "names have lower-case letters, digits, '-' and '.' only; "
           "add addressing=path for one of the old buckets that have others";
  }
  if (!is_lower(static_cast<unsigned char>(bucket.front())) || !is_lower(static_cast<unsigned char>(bucket.back()))) {
    return "names begin and end with a letter or a digit";
  }
  if (bucket.find("..") != std::string_view::npos) return "names have no two dots in a row";
  if (std::count(bucket.begin(), bucket.end(), '.') == 3 &&
      bucket.find_first_not_of("0123456789.") == std::string_view::npos) {
    return "names do not have the form of an IP address";
  }
  if (bucket.ends_with("--x-s3")) return "directory buckets (S3 Express One Zone) speak another protocol";
  if (bucket.ends_with(".mrap")) return "multi-region access points need another signature";
  return nullptr;
}

void check_bucket_name(const Url& url, bool is_aws, bool is_path_asked_for) {
  const std::string& bucket = url.host;
  if (bucket.empty()) throw bad("an s3:// URL names a bucket: s3://bucket/prefix");
  const auto fail = [&](const std::string& why) {
    return bad("'" + printable(bucket) + "' is no bucket that can be used: " + why);
  };
  if (bucket.starts_with("arn:")) throw fail("it is an ARN; name the bucket, or the alias of the access point");
  // What any store takes, and the oldest buckets of AWS.
  const auto is_bucket_char = [](unsigned char c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
  };
  if (!std::all_of(bucket.begin(), bucket.end(), is_bucket_char)) {
    throw fail("names have letters, digits, '-', '.' and '_'");
  }
  if (bucket.size() > 255) throw fail("no store takes more than 255 characters");
  if (bucket == "." || bucket == "..") throw fail("it would name a folder");
  if (!is_aws || is_path_asked_for) return;
  if (const char* why = why_no_bucket(bucket)) throw fail(why);
}

bool is_address(std::string_view host) {
  return host.starts_with('[') || (!host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

void choose_addressing(const std::string& wanted, std::string_view host, Config& config) {
  const bool can_be_virtual = fits_host_name(config.bucket) && !is_address(host);
  if (wanted.empty()) {
    config.path_style = !config.is_aws || !can_be_virtual;
    return;
  }
  if (wanted != "path" && wanted != "virtual") {
    throw bad("parameter 'addressing' of an s3:// URL is 'path' or 'virtual', not '" + printable(wanted) + "'");
  }
  config.path_style = wanted == "path";
  if (config.path_style) return;
  if (is_address(host)) throw bad("addressing=virtual needs an endpoint with a name, not '" + std::string(host) + "'");
  // With dots the host is still a host; whether a certificate covers it is the endpoint's business.
  std::string without_dots = config.bucket;
  std::erase(without_dots, '.');
  if (!fits_host_name(without_dots)) {
    throw bad("addressing=virtual: '" + printable(config.bucket) + "' cannot be part of a host's name; use path");
  }
}

void use_endpoint(const Endpoint& endpoint, const std::string& text, bool allow_http, Config& config) {
  if (endpoint.scheme == "http" && !allow_http && !is_loopback(endpoint.host)) {
    throw bad(
        "endpoint '" + internal::redact_url(text) +
        "' is plain http to another machine: use https, or add allow_http=true to the URL if the way to it is safe");
  }
  config.scheme = endpoint.scheme;
  config.port = endpoint.port;
  config.service_host = endpoint.host;
  if (endpoint.port != (endpoint.scheme == "https" ? "443" : "80")) config.service_host += ":" + endpoint.port;
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

bool is_region_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
}

void Config::set_region(std::string name) {
  region = std::move(name);
  if (!is_aws) return;
  service_host = "s3." + region + (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
}

namespace {

void check_encryption(const Config& config) {
  const bool has_kms = config.sse.starts_with("aws:kms");
  if (!config.sse_kms_key_id.empty() && !has_kms) throw bad("sse_kms_key_id needs sse=aws:kms or sse=aws:kms:dsse");
  if (config.bucket_key && config.sse != "aws:kms") throw bad("bucket_key=true needs sse=aws:kms");
  if (!config.sse_c.empty() && !config.sse.empty()) {
    throw bad("sse_c_key and sse exclude each other: an object is encrypted with one key");
  }
  if (!config.sse_c.empty() && config.anonymous) throw bad("anonymous=true and sse_c_key exclude each other");
}

}  // namespace

Config parse_config(const Url& url) {
  Config config;
  config.bucket = url.host;
  config.prefix = url.path.starts_with('/') ? url.path.substr(1) : url.path;
  if (!config.prefix.empty() && !config.prefix.ends_with('/')) config.prefix += '/';
  if (!internal::is_utf8(config.prefix)) throw bad("the prefix of " + printable(config.identity()) + " is not UTF-8");

  std::string endpoint_text;
  std::string addressing;
  std::string region;
  bool allow_http = false;
  for (const auto& [name, value] : url.query) {
    if (name == "endpoint")
      endpoint_text = value;
    else if (name == "region")
      region = value;
    else if (name == "profile")
      config.profile = value;
    else if (name == "addressing")
      addressing = value;
    else if (name == "anonymous")
      config.anonymous = flag(name, value);
    else if (name == "requester_pays")
      config.requester_pays = flag(name, value);
    else if (name == "ordered")
      config.ordered = flag(name, value);
    else if (name == "tags")
      config.tags = flag(name, value);
    else if (name == "storage_class")
      config.storage_class = storage_class(value);
    else if (name == "acl")
      config.acl = canned_acl(value);
    else if (name == "versions")
      config.versions = flag(name, value);
    else if (name == "expected_bucket_owner")
      config.expected_bucket_owner = account(value);
    else if (name == "sse")
      config.sse = encryption(value);
    else if (name == "sse_kms_key_id")
      config.sse_kms_key_id = kms_key(value);
    else if (name == "bucket_key")
      config.bucket_key = flag(name, value);
    else if (name == "sse_c_key")
      config.sse_c = customer_key(value);
    else if (name == "allow_http")
      allow_http = flag(name, value);
    else {
      throw bad("unknown parameter '" + printable(name) +
                "' in an s3:// URL; known are endpoint, region, profile, addressing, anonymous, requester_pays, "
                "ordered, tags, versions, storage_class, acl, expected_bucket_owner, sse, sse_kms_key_id, bucket_key, "
                "sse_c_key, allow_http");
    }
  }
  if (config.anonymous && config.requester_pays) {
    throw bad("anonymous=true and requester_pays=true exclude each other: nobody would pay");
  }
  if (config.anonymous && !config.profile.empty()) {
    throw bad("anonymous=true and profile exclude each other: nothing would be signed");
  }
  check_encryption(config);
  config.is_aws = endpoint_text.empty();
  check_bucket_name(url, config.is_aws, addressing == "path");
  config.scheme = "https";
  config.port = "443";
  Endpoint endpoint;
  if (!config.is_aws) {
    endpoint = parse_endpoint(endpoint_text);
    use_endpoint(endpoint, endpoint_text, allow_http, config);
  }
  if (!config.sse_c.empty() && config.scheme == "http" && !is_loopback(endpoint.host)) {
    throw bad("sse_c_key needs https: over plain http to another machine the key itself would be read on the way");
  }
  choose_addressing(addressing, endpoint.host, config);

  if (region.empty()) region = aws::load_region(config.profile);
  if (region.empty()) region = "us-east-1";
  if (!is_region_name(region)) throw bad("'" + printable(region) + "' is no region name");
  config.set_region(std::move(region));
  return config;
}

}  // namespace waybill::s3
