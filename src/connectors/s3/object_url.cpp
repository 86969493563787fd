// SPDX-License-Identifier: Apache-2.0
#include "connectors/s3/object_url.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "base/uri.hpp"

namespace waybill::s3 {
namespace {

constexpr size_t longest_key = 65'535;

struct Parts {
  std::string scheme;
  std::string host;  // without the scheme's own port; in lower case, unless the scheme is s3
  std::string_view path;
  std::string_view query;
};

std::optional<Parts> take_apart(std::string_view url) {
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  Parts parts;
  parts.scheme = internal::to_lower(url.substr(0, colon));
  url = url.substr(0, url.find('#'));
  url.remove_prefix(std::min(colon + 3, url.size()));
  const size_t question = std::min(url.find('?'), url.size());
  parts.query = url.substr(std::min(question + 1, url.size()));
  url = url.substr(0, question);
  const size_t slash = url.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view host = url.substr(0, slash);
  parts.path = url.substr(slash + 1);
  if (host.empty() || host.find_first_of("@\\ %") != std::string_view::npos) return std::nullopt;
  if (parts.scheme == "s3") {
    parts.host = host;
    return parts;
  }
  if (parts.scheme != "http" && parts.scheme != "https") return std::nullopt;
  parts.host = internal::to_lower(host);
  const std::string_view own_port = parts.scheme == "https" ? ":443" : ":80";
  if (parts.host.ends_with(own_port)) parts.host.resize(parts.host.size() - own_port.size());
  return parts;
}

bool is_region(std::string_view label) {
  return label.find('-') != std::string_view::npos && label.find('.') == std::string_view::npos &&
         is_region_name(label);
}

bool take_front(std::string_view& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}

// A host of S3 at AWS, without its domain: "s3", "s3.eu-west-1", "s3-eu-west-1", "s3.dualstack.eu-west-1", …
bool is_service(std::string_view name) {
  if (name == "s3" || name == "s3-external-1") return true;
  if (take_front(name, "s3-fips.")) {
    take_front(name, "dualstack.");
    return is_region(name);
  }
  if (take_front(name, "s3.")) {
    take_front(name, "dualstack.");
    return is_region(name);
  }
  return take_front(name, "s3-") && !name.starts_with("website") && !name.starts_with("accelerate") && is_region(name);
}

// The path behind the bucket, where the host, or host and path, say that it is ours.
std::optional<std::string_view> behind_bucket(const Config& config, const Parts& parts) {
  const auto path_style = [&]() -> std::optional<std::string_view> {
    const size_t slash = parts.path.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    if (internal::percent_decode(parts.path.substr(0, slash)) != config.bucket) return std::nullopt;
    return parts.path.substr(slash + 1);
  };
  if (parts.scheme == "s3") return parts.host == config.bucket ? std::optional(parts.path) : std::nullopt;
  const std::string bucket_dot = internal::to_lower(config.bucket) + ".";
  std::string_view name = parts.host;
  if (!config.is_aws) {
    std::string_view own = config.service_host;
    if (name == own && parts.scheme == config.scheme) return path_style();
    return take_front(name, bucket_dot) && name == own && parts.scheme == config.scheme ? std::optional(parts.path)
                                                                                        : std::nullopt;
  }
  const std::string_view domain = config.region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com";
  if (!name.ends_with(domain)) return std::nullopt;
  name.remove_suffix(domain.size());
  if (is_service(name)) return path_style();
  if (!take_front(name, bucket_dot)) return std::nullopt;
  const bool is_fast = name == "s3-accelerate" || name == "s3-accelerate.dualstack";
  return is_fast || is_service(name) ? std::optional(parts.path) : std::nullopt;
}

// Clients resolve these before they send anything; what the server would see is another path.
bool has_dot_segment(std::string_view path) {
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const auto segment = internal::percent_decode(path.substr(at, end - at));
    if (segment == "." || segment == "..") return true;
    at = end + 1;
  }
  return false;
}

// Nothing where it is given twice, or is not percent-encoded properly.
std::optional<std::string> version_in(std::string_view query) {
  constexpr std::string_view name = "versionId=";
  std::optional<std::string> version = "";
  for (size_t at = 0; at < query.size();) {
    const size_t end = std::min(query.find('&', at), query.size());
    const std::string_view parameter = query.substr(at, end - at);
    if (parameter.starts_with(name)) {
      if (!version->empty()) return std::nullopt;
      version = internal::percent_decode(parameter.substr(name.size()));
      if (!version) return std::nullopt;
    }
    at = end + 1;
  }
  return version;
}

}  // namespace

std::optional<ItemId> item_of_url(const Config& config, std::string_view url) {
  const auto parts = take_apart(url);
  if (!parts) return std::nullopt;
  const auto rest = behind_bucket(config, *parts);
  if (!rest || (parts->scheme != "s3" && has_dot_segment(*rest))) return std::nullopt;
  auto key = internal::percent_decode(*rest);
  auto version = version_in(parts->query);
  if (!key || !version || !key->starts_with(config.prefix)) return std::nullopt;
  key->erase(0, config.prefix.size());
  if (key->empty() || key->size() > longest_key) return std::nullopt;
  return ItemId{"", *std::move(key), *std::move(version)};
}

}  // namespace waybill::s3
