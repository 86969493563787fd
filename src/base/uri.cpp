// SPDX-License-Identifier: Apache-2.0
//
// Percent encoding, waybill::Url, and redaction. Redaction shows what is known to be harmless and nothing else, so that
// a parameter invented tomorrow is hidden today.
#include "base/uri.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/text.hpp"
#include "waybill/connectors.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr std::string_view hidden = "***";

// Parameters of our own URLs and of HTTP requests whose values say nothing secret. In alphabetical order.
constexpr std::array<std::string_view, 44> harmless_parameters = {
    "X-Amz-Algorithm", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "acl", "addressing", "allow_http",
    "anonymous", "bucket_key", "continuation-token", "delete", "delimiter", "encoding-type", "endpoint",
    "expected_bucket_owner", "fetch-owner", "key-marker", "list-type", "location", "marker", "max-keys", "max-parts",
    "max-uploads", "mode", "ordered", "part-number-marker", "partNumber", "prefix", "profile", "region",
    "requester_pays", "sse", "sse_kms_key_id", "start-after", "storage_class", "style", "symlinks", "tags", "uploadId",
    "uploads", "version-id-marker", "versionId", "versioning", "versions"};

// The same of the URLs of catalogs and of manifests. In a link, which they are not, each may be what lets its holder in.
constexpr std::array<std::string_view, 8> catalog_parameters = {"id",     "names", "partition", "partition_name",
                                                                "schema", "stamp", "table",     "url"};
constexpr std::array<std::string_view, 9> manifest_parameters = {"etag",  "format", "key", "mtime",  "partition",
                                                                 "parts", "size",   "url", "version"};
// Those of Salesforce; a secret's own parameter shows the file that it is in.
constexpr std::array<std::string_view, 10> salesforce_parameters = {"api_version", "client_id", "max_api_share",  "mode",
                                                                    "names",       "partition", "partition_name", "reads",
                                                                    "username",    "versions"};
// Those that hold URLs of stores, with spaces between them.
constexpr std::array<std::string_view, 2> store_parameters = {"base", "contents"};

// Per byte: 1 unreserved, 2 '/', 0 to be encoded.
constexpr std::array<uint8_t, 256> make_kinds() {
  std::array<uint8_t, 256> kinds{};
  for (int c = '0'; c <= '9'; ++c) kinds[static_cast<size_t>(c)] = 1;
  for (int c = 'a'; c <= 'z'; ++c) kinds[static_cast<size_t>(c)] = 1;
  for (int c = 'A'; c <= 'Z'; ++c) kinds[static_cast<size_t>(c)] = 1;
  for (const char c : {'-', '.', '_', '~'}) kinds[static_cast<size_t>(c)] = 1;
  kinds['/'] = 2;
  return kinds;
}
constexpr auto byte_kinds = make_kinds();

template <bool keep_slash>
void encode_append(std::string_view bytes, std::string& out) {
  constexpr char digits[] = "0123456789ABCDEF";
  const auto is_plain = [](char c) {
    const uint8_t kind = byte_kinds[static_cast<unsigned char>(c)];
    return kind == 1 || (keep_slash && kind == 2);
  };
  for (auto at = bytes.begin(); at != bytes.end();) {
    const auto end = std::find_if_not(at, bytes.end(), is_plain);
    out.append(at, end);
    if (end == bytes.end()) return;
    const auto byte = static_cast<unsigned char>(*end);
    const char escape[] = {'%', digits[byte >> 4], digits[byte & 15]};
    out.append(escape, sizeof escape);
    at = end + 1;
  }
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Nothing that moves a cursor or is not ASCII survives; written as it would have to be sent, so that doing it twice
// changes nothing.
std::string visible(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    if (c > ' ' && c != 0x7f) {
      shown += c;
    } else {
      encode_append<false>({&c, 1}, shown);
    }
  }
  return shown;
}

// A value with a '@' or a '?' may be a URL that carries something itself.
bool may_show(std::string_view name, std::string_view value) {
  return is_reference(value) || (is_harmless_parameter(name) && value.find_first_of("@?") == std::string_view::npos);
}

// Where the rest of `base` (what comes after "://", without a query) begins once credentials are cut off. A secret may
// hold a '/' as it is: what looks like a host with a port that is no number is the name and the beginning of one.
size_t end_of_userinfo(std::string_view base) {
  const std::string_view authority = base.substr(0, base.find('/'));
  size_t begin = authority.rfind('@') + 1;  // the last '@' counts, however many there are; npos + 1 is 0
  const std::string_view host = authority.substr(begin);
  const size_t colon = host.starts_with('[') ? std::string_view::npos : host.find(':');
  const bool is_cut_secret =
      colon != std::string_view::npos && host.find_first_not_of("0123456789", colon + 1) != std::string_view::npos;
  if (is_cut_secret) begin = std::max(begin, base.rfind('@') + 1);
  return begin;
}

bool is_one_of(std::string_view name, std::span<const std::string_view> names) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "file:/path"
bool is_file(std::string_view value) noexcept { return value.starts_with("file:/") && value.size() > 6; }

std::string redact_stores(std::string_view words) {
  std::string shown;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    const std::string_view word = words.substr(0, end);
    shown += (shown.empty() ? "" : " ") + (word.starts_with("salesforce://") ? redact_store_url(word) : redact_url(word));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return shown;
}

// `names`: of the parameters that show, and of those in store_parameters that hold stores; none in a link.
std::string redact_query(std::string_view query, std::span<const std::string_view> names) {
  std::string shown;
  while (true) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    const size_t equals = std::min(parameter.find('='), parameter.size());
    const std::string name = percent_decode(parameter.substr(0, equals)).value_or("");
    const std::string value = percent_decode(parameter.substr(std::min(equals + 1, parameter.size()))).value_or("?");
    const bool is_secrets_file = names.data() == salesforce_parameters.data() && is_file(value);
    if (parameter.empty() || is_one_of(name, names) || may_show(name, value) || is_secrets_file) {
      shown += parameter;
    } else if (!names.empty() && is_one_of(name, store_parameters)) {
      shown += name + "=" + encode_query(redact_stores(value));
    } else {
      // A lone word may be a token as well as a flag.
      if (equals < parameter.size()) shown.append(parameter.substr(0, equals + 1));
      shown += hidden;
    }
    if (end == query.size()) return shown;
    shown += '&';
    query.remove_prefix(end + 1);
  }
}

// The scheme in front of "://", in lower case, if there is one.
std::optional<std::string> scheme_of(std::string_view text) {
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return {};
  const std::string scheme = to_lower(text.substr(0, colon));
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  if (!is_letter(scheme.front())) return {};
  for (const char c : scheme) {
    if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return {};
  }
  return scheme;
}

}  // namespace

std::string encode_path(std::string_view key) {
  std::string out;
  out.reserve(key.size() + key.size() / 4);
  encode_path_append(key, out);
  return out;
}

void encode_path_append(std::string_view key, std::string& out) { encode_append<true>(key, out); }

std::string encode_query(std::string_view value) {
  std::string out;
  out.reserve(value.size() + value.size() / 4);
  encode_query_append(value, out);
  return out;
}

void encode_query_append(std::string_view value, std::string& out) { encode_append<false>(value, out); }

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) return {};
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return {};
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

bool is_reference(std::string_view value) noexcept {
  constexpr std::string_view scheme = "env:";
  if (!value.starts_with(scheme) || value.size() == scheme.size()) return false;
  value.remove_prefix(scheme.size());
  const auto is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  return is_letter(value.front()) &&
         std::all_of(value.begin(), value.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

bool is_harmless_parameter(std::string_view name) noexcept {
  return std::find(harmless_parameters.begin(), harmless_parameters.end(), name) != harmless_parameters.end();
}

namespace {

std::string redacted(std::string_view url, std::span<const std::string_view> names) {
  url = url.substr(0, url.find('#'));
  const size_t question = url.find('?');
  std::string_view base = url.substr(0, question);
  const size_t authority = base.find("://");
  if (authority == std::string_view::npos) return visible(base);
  std::string shown(base.substr(0, authority + 3));
  base.remove_prefix(authority + 3);
  const size_t host = end_of_userinfo(base);
  const std::string_view user = base.substr(0, host).substr(0, base.find_first_of(":@"));
  if (!names.empty() && !user.empty()) shown.append(user).append("@");
  shown += base.substr(host);
  if (question != std::string_view::npos) shown += "?" + redact_query(url.substr(question + 1), names);
  return visible(shown);
}

}  // namespace

std::string redact_url(std::string_view url) { return redacted(url, {}); }

std::string redact_store_url(std::string_view url) {
  if (url.starts_with("manifest://")) return redacted(url, manifest_parameters);
  if (url.starts_with("salesforce://")) return redacted(url, salesforce_parameters);
  return redacted(url, catalog_parameters);
}

}  // namespace waybill::internal

namespace waybill {

std::string shown_key(std::string_view key) {
  const bool may_hold_secrets = key.find_first_of("?#@") != std::string_view::npos && internal::scheme_of(key);
  return printable(may_hold_secrets ? internal::redact_url(key) : key);
}
namespace {

Error bad_url(std::string message) {
  return Error(ErrorCode::invalid_argument, ErrorClass::configuration, std::move(message));
}

std::string decode_part(std::string_view part, std::string_view what, std::string_view where) {
  auto decoded = internal::percent_decode(part);
  if (!decoded) {
    throw bad_url(std::string(where) + ": a '%' in the " + std::string(what) +
                  " is not followed by two hexadecimal digits; write a '%' as %25");
  }
  return *std::move(decoded);
}

}  // namespace

Url Url::parse(std::string_view text) {
  Url url;
  if (text.empty()) throw bad_url("an empty text is not a URL or path");
  const auto scheme = internal::scheme_of(text);
  if (!scheme) {
    url.scheme = "file";
    url.path = std::string(text);
    return url;
  }
  const std::string shown = internal::redact_url(text);
  url.scheme = *scheme;
  std::string_view rest = text.substr(scheme->size() + 3);
  if (const size_t hash = rest.find('#'); hash != std::string_view::npos) {
    throw bad_url(shown + ": a URL here has no '#' part; write a '#' that belongs to a name as %23");
  }
  const size_t question = std::min(rest.find('?'), rest.size());
  std::string_view query = rest.substr(std::min(question + 1, rest.size()));
  rest = rest.substr(0, question);
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  if (internal::end_of_userinfo(rest) != 0) {
    throw bad_url(shown + ": credentials never belong in a URL; use the environment or a profile");
  }
  url.host = decode_part(authority, "host", shown);
  url.path = decode_part(rest.substr(slash), "path", shown);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (parameter.empty()) continue;
    const size_t equals = std::min(parameter.find('='), parameter.size());
    std::string name = decode_part(parameter.substr(0, equals), "query", shown);
    std::string value = decode_part(parameter.substr(std::min(equals + 1, parameter.size())), "query", shown);
    if (!url.query.emplace(name, std::move(value)).second) {
      throw bad_url(shown + ": the parameter '" + printable(name) + "' is given twice");
    }
  }
  return url;
}

std::string Url::redacted() const {
  if (scheme == "file" && host.empty() && !path.starts_with('/')) return printable(path);
  std::string shown = scheme + "://" + internal::encode_path(host) + internal::encode_path(path);
  char separator = '?';
  for (const auto& [name, value] : query) {
    shown += separator + internal::encode_query(name) + '=';
    shown += internal::may_show(name, value) ? internal::encode_path(value) : internal::hidden;
    separator = '&';
  }
  return shown;
}

}  // namespace waybill
