// SPDX-License-Identifier: Apache-2.0
//
// See attributes.hpp.
#include "connectors/s3/attributes.hpp"

#include <algorithm>
#include <cstdio>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/error.hpp"

namespace waybill::s3 {
namespace {

constexpr std::string_view metadata_prefix = "x-amz-meta-";
constexpr std::string_view crc_name = "waybill-crc64nvme";
constexpr std::string_view word_begin = "=?UTF-8?B?";
constexpr std::string_view word_end = "?=";

constexpr std::string_view storage_class_header = "x-amz-storage-class";

struct Field {
  std::string_view header;
  std::string Attributes::*value;
};

constexpr Field fields[] = {
    {"content-type", &Attributes::content_type},         {"content-encoding", &Attributes::content_encoding},
    {"content-language", &Attributes::content_language}, {"content-disposition", &Attributes::content_disposition},
    {"cache-control", &Attributes::cache_control},       {"expires", &Attributes::expires},
    {"x-amz-website-redirect-location", &Attributes::website_redirect},
    {storage_class_header, &Attributes::storage_class},
};

Error unsupported(std::string_view name, const char* why) {
  return Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
               "attribute '" + printable(name) + "' " + why + ", which S3 cannot hold");
}

bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool is_not_ascii(char c) noexcept { return static_cast<unsigned char>(c) >= 0x80; }

// A character that a header's name may have (RFC 9110, token), in lower case.
bool is_token(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The "Q" form of RFC 2047, which S3 uses for its answers.
std::optional<std::string> decode_q(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_') {
      out += ' ';
    } else if (text[i] == '=') {
      if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return std::nullopt;
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Takes one encoded word of UTF-8 off the front of `text` and appends what it says.
bool take_word(std::string_view& text, std::string& out) {
  if (text.size() < 12 || !internal::equals_ignoring_case(text.substr(0, 8), "=?utf-8?") || text[9] != '?')
    return false;
  const size_t end = text.find(word_end, 10);
  if (end == std::string_view::npos) return false;
  const std::string_view content = text.substr(10, end - 10);
  if (text[8] == 'B' || text[8] == 'b') {
    const auto bytes = internal::base64_decode(content);
    if (!bytes) return false;
    out.append(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  } else if (text[8] == 'Q' || text[8] == 'q') {
    const auto bytes = decode_q(content);
    if (!bytes) return false;
    out += *bytes;
  } else {
    return false;
  }
  text.remove_prefix(end + word_end.size());
  return true;
}

// "aws-chunked" says how a request was sent; it is no encoding of the content.
std::string without_aws_chunked(std::string_view value) {
  std::string kept;
  while (!value.empty()) {
    const std::string_view one = value.substr(0, value.find(','));
    value.remove_prefix(std::min(one.size() + 1, value.size()));
    const std::string_view name = internal::trim(one);
    if (name.empty() || internal::equals_ignoring_case(name, "aws-chunked")) continue;
    kept += (kept.empty() ? "" : ",") + std::string(name);
  }
  return kept;
}

std::string mode_text(uint32_t mode, bool is_folder) {
  char text[16];
  std::snprintf(text, sizeof text, "%06o", (is_folder ? 0040000U : 0100000U) | (mode & 07777U));
  return text;
}

}  // namespace

std::string encode_metadata_value(std::string_view name, std::string_view value) {
  if (std::any_of(value.begin(), value.end(), is_control))
    throw unsupported(name, "has a control character in its value");
  const bool is_plain = std::none_of(value.begin(), value.end(), is_not_ascii) && !value.starts_with(' ') &&
                        !value.ends_with(' ') && !value.starts_with("=?");
  if (is_plain) return std::string(value);
  if (!internal::is_utf8(value)) throw unsupported(name, "has a value that is not UTF-8");
  std::string word(word_begin);
  word += internal::base64_encode(internal::as_bytes(value));
  word += word_end;
  return word;
}

std::string decode_metadata_value(std::string_view value) {
  if (!value.starts_with("=?")) return std::string(value);
  std::string decoded;
  std::string_view rest = value;
  while (!rest.empty()) {
    if (!take_word(rest, decoded)) return std::string(value);
    while (rest.starts_with(' ')) rest.remove_prefix(1);  // white space between words means nothing
  }
  return decoded;
}

std::optional<uint32_t> parse_mode(std::string_view text) noexcept {
  if (text.size() < 3 || text.size() > 7) return std::nullopt;
  uint32_t mode = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    mode = mode * 8 + static_cast<uint32_t>(c - '0');
  }
  return mode & 07777U;
}

Attributes read_attributes(const internal::HttpResponse& response) {
  Attributes attributes;
  response.for_each_header([&](std::string_view name, std::string_view value) {
    if (name.starts_with(metadata_prefix)) {
      name.remove_prefix(metadata_prefix.size());
      if (name == "mtime") {
        if ((attributes.mtime_ns = internal::parse_seconds_ns(value))) return;
      } else if (name == "mode") {
        if ((attributes.mode = parse_mode(value))) return;
      } else if (name == crc_name) {
        return;
      }
      attributes.metadata.insert_or_assign(std::string(name), decode_metadata_value(value));
      return;
    }
    if (!name.starts_with('c') && !name.starts_with('e') && !name.starts_with('x')) return;
    for (const Field& field : fields) {
      if (name == field.header) attributes.*field.value = value;
    }
  });
  if (attributes.content_encoding.find("chunked") != std::string::npos) {
    attributes.content_encoding = without_aws_chunked(attributes.content_encoding);
  }
  return attributes;
}

std::optional<Crc64> stored_crc64(const internal::HttpResponse& response) {
  const std::string_view text = response.header("x-amz-meta-waybill-crc64nvme");
  if (text.size() != 16) return std::nullopt;
  Crc64 crc = 0;
  for (const char c : text) {
    const int value = hex_value(c);
    if (value < 0) return std::nullopt;
    crc = crc << 4 | static_cast<Crc64>(value);
  }
  return crc;
}

void write_attributes(const Attributes& attributes, const std::optional<Crc64>& crc64nvme, bool is_folder,
                      std::vector<internal::HttpHeader>& headers) {
  for (const Field& field : fields) {
    const std::string& value = attributes.*field.value;
    if (value.empty()) continue;
    if (std::any_of(value.begin(), value.end(), is_control))
      throw unsupported(field.header, "has a control character in its value");
    if (std::any_of(value.begin(), value.end(), is_not_ascii))
      throw unsupported(field.header, "has a value that is not ASCII");
    if (field.header != storage_class_header) headers.emplace_back(field.header, value);
  }
  for (const auto& [name, value] : attributes.metadata) {
    // What the typed fields say wins over a text of the same name.
    if (name == crc_name || (name == "mtime" && attributes.mtime_ns) || (name == "mode" && attributes.mode)) continue;
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_token)) {
      throw unsupported(name, "has a name that is no lower-case header name");
    }
    headers.emplace_back(std::string(metadata_prefix) + name, encode_metadata_value(name, value));
  }
  if (attributes.mtime_ns) {
    headers.emplace_back("x-amz-meta-mtime", internal::format_seconds_ns(*attributes.mtime_ns));
  }
  if (attributes.mode) headers.emplace_back("x-amz-meta-mode", mode_text(*attributes.mode, is_folder));
  if (crc64nvme) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(*crc64nvme));
    headers.emplace_back("x-amz-meta-waybill-crc64nvme", text);
  }
}

std::string encode_tags(const std::map<std::string, std::string>& tags) {
  std::string value;
  for (const auto& [name, tag] : tags) {
    if (!value.empty()) value += '&';
    internal::encode_query_append(name, value);
    value += '=';
    internal::encode_query_append(tag, value);
  }
  return value;
}

}  // namespace waybill::s3
