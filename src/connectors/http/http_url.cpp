// SPDX-License-Identifier: Apache-2.0
#include "connectors/http/http_url.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::http {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "https" of "https:…", as given.
std::string_view scheme_of(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && (is_letter(text[at]) || (at > 0 && (is_digit(text[at]) || text[at] == '+' ||
                                                                 text[at] == '-' || text[at] == '.'))))
    ++at;
  return at > 0 && at < text.size() && text[at] == ':' ? text.substr(0, at) : std::string_view{};
}

bool is_plain(char c) {
  return c > ' ' && c < 0x7f && std::string_view("\"<>\\^`{|}").find(c) == std::string_view::npos;
}

std::string sendable(std::string_view target) {
  target = target.substr(0, target.find('#'));
  std::string out = target.starts_with('/') ? "" : "/";
  for (const char c : target) {
    if (is_plain(c)) {
      out += c;
    } else {
      internal::encode_query_append({&c, 1}, out);
    }
  }
  return out;
}

// "host:8443", in lower case; nothing if it is no host with a port.
std::optional<std::string> clean_authority(std::string_view authority, std::string_view scheme) {
  std::string host = internal::to_lower(authority);
  std::string port;
  const size_t bracket = host.starts_with('[') ? host.find(']') : 0;
  if (bracket == std::string::npos) return std::nullopt;
  if (const size_t colon = host.find(':', bracket); colon != std::string::npos) {
    port = host.substr(colon + 1);
    host.resize(colon);
  }
  const bool is_address = host.starts_with('[');
  if (is_address && !host.ends_with(']')) return std::nullopt;
  const std::string_view name = is_address ? std::string_view(host).substr(1, host.size() - 2) : std::string_view(host);
  const auto is_host_char = [&](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || (is_address ? c == ':' : c == '-' || c == '_');
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_host_char)) return std::nullopt;
  if (port.empty()) return host;
  const auto number = internal::parse_uint(port);
  if (!number || *number == 0 || *number > 65535) return std::nullopt;
  if (*number == (scheme == "https" ? 443 : 80)) return host;
  return host + ":" + std::to_string(*number);
}

// A segment as servers understand it: "%2E" is a dot.
std::string plain_segment(std::string_view segment) {
  std::string text(segment);
  for (size_t at = 0; (at = internal::to_lower(text).find("%2e", at)) != std::string::npos;) text.replace(at, 3, ".");
  return text;
}

// Without "." and "..", as RFC 3986, 5.2.4.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_in_folder = false;
  for (size_t at = 1; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    ends_in_folder = segment == "." || segment == "..";
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (segment != ".") {
      kept.push_back(segment);
    }
    at = end + 1;
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  if (out.empty() || ends_in_folder) out += '/';
  return out;
}

}  // namespace

std::optional<HttpUrl> HttpUrl::parse(std::string_view text) {
  const std::string scheme = internal::to_lower(scheme_of(text));
  if (scheme != "http" && scheme != "https") return std::nullopt;
  text.remove_prefix(scheme.size() + 1);
  if (!text.starts_with("//")) return std::nullopt;
  text.remove_prefix(2);
  const size_t end = std::min(text.find_first_of("/?#"), text.size());
  const auto authority = clean_authority(text.substr(0, end), scheme);
  if (!authority) return std::nullopt;
  return HttpUrl{scheme + "://" + *authority, sendable(text.substr(end))};
}

bool HttpUrl::is_loopback() const {
  std::string_view host = std::string_view(origin).substr(origin.find("//") + 2);
  if (host.starts_with("[")) return host.starts_with("[::1]");
  host = host.substr(0, host.find(':'));
  return host == "localhost" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

std::optional<HttpUrl> HttpUrl::resolve(std::string_view location) const {
  location = internal::trim(location);
  if (!scheme_of(location).empty()) return parse(location);
  if (location.starts_with("//")) return parse(origin.substr(0, origin.find('/')) + std::string(location));
  if (location.empty()) return std::nullopt;
  const std::string path = target.substr(0, target.find('?'));
  if (location.starts_with('?')) return HttpUrl{origin, sendable(path + std::string(location))};
  const size_t query = std::min(location.find_first_of("?#"), location.size());
  std::string merged(location.starts_with('/') ? "" : folder());
  merged += location.substr(0, query);
  return HttpUrl{origin, sendable(without_dots(merged) + std::string(location.substr(query)))};
}

std::string HttpUrl::shown() const { return printable(internal::redact_url(text())); }

std::string_view HttpUrl::folder() const {
  const std::string_view path = std::string_view(target).substr(0, target.find('?'));
  return path.substr(0, path.rfind('/') + 1);
}

bool is_absolute(std::string_view text) {
  return text.starts_with("//") || text.starts_with("\\") ||
         (!scheme_of(text).empty() && text.substr(scheme_of(text).size() + 1).starts_with("//"));
}

bool leads_out(std::string_view reference) {
  reference = reference.substr(0, reference.find_first_of("?#"));
  int depth = 0;
  for (size_t at = 0; at <= reference.size();) {
    const size_t end = std::min(reference.find_first_of("/\\", at), reference.size());
    const std::string segment = plain_segment(reference.substr(at, end - at));
    depth += segment == ".." ? -1 : segment == "." || segment.empty() ? 0 : 1;
    if (depth < 0) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace waybill::http
