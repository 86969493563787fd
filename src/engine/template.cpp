// SPDX-License-Identifier: Apache-2.0

#include "engine/template.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/hash.hpp"
#include "base/nearest.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"

namespace waybill::internal {
namespace {

constexpr size_t longest_template = 4096;
constexpr size_t longest_extension = 16;
constexpr uint64_t most_first = 1024;

constexpr std::array<std::string_view, 11> fields_of_keys = {"partition", "partition_name", "key", "name",  "stem", "ext",
                                                             "dir",       "version",        "id",  "mtime", "names.NAME"};
constexpr std::array<std::string_view, 12> fields_of_urls = {"partition", "partition_name", "key", "name",  "stem",       "ext",
                                                             "dir",       "version",        "id",  "mtime", "names.NAME", "destination_key"};
constexpr std::array<std::string_view, 7> filters = {"slug", "lower", "upper", "default", "date", "urlencode", "first"};
constexpr std::string_view names_prefix = "names.";
constexpr std::string_view date_letters = "YmdHMSj%";

bool is_alphanumeric(char c) noexcept { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string joined(std::span<const std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

std::string unknown(const char* what, std::string_view word, std::span<const std::string_view> known) {
  const std::string nearest = did_you_mean(word, std::vector<std::string>(known.begin(), known.end()));
  return "there is no " + std::string(what) + " \"" + printable(word) + "\"" + (nearest.empty() ? "; there are " + joined(known) : nearest);
}

// The path of a URL, without the '/' that it begins with; nothing where the key is none.
std::optional<std::string_view> url_path(std::string_view key) {
  const size_t colon = key.find("://");
  const bool is_url = colon != std::string_view::npos && colon > 0 &&
                      std::all_of(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(colon), [](char c) {
                        return is_alphanumeric(c) || c == '+' || c == '-' || c == '.';
                      });
  if (!is_url) return std::nullopt;
  std::string_view rest = key.substr(colon + 3);
  rest = rest.substr(0, rest.find_first_of("?#"));
  const size_t slash = rest.find('/');
  return slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
}

std::string decoded(std::string_view text) { return percent_decode(text).value_or(std::string(text)); }

std::string date_text(int64_t ns, std::string_view format) {
  constexpr int64_t second_ns = 1'000'000'000;
  constexpr int64_t day_ms = 86'400'000;
  const int64_t seconds = ns / second_ns - (ns % second_ns < 0 ? 1 : 0);
  const std::string time = format_rfc3339(seconds * 1000);  // "2026-11-20T18:43:53.123Z"
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      text += format[i];
      continue;
    }
    switch (format[++i]) {
      case 'Y': text += time.substr(0, 4); break;
      case 'm': text += time.substr(5, 2); break;
      case 'd': text += time.substr(8, 2); break;
      case 'H': text += time.substr(11, 2); break;
      case 'M': text += time.substr(14, 2); break;
      case 'S': text += time.substr(17, 2); break;
      case 'j': {
        const int64_t new_year = parse_rfc3339(time.substr(0, 4) + "-01-01T00:00:00Z").value_or(0);
        const std::string day = std::to_string((seconds * 1000 - new_year) / day_ms + 1);
        text += std::string(3 - std::min<size_t>(day.size(), 3), '0') + day;
        break;
      }
      default: text += '%';
    }
  }
  return text;
}

// The first characters of UTF-8; a byte that is none of it counts as one.
std::string first_of(const std::string& text, uint64_t count) {
  size_t at = 0;
  for (; count > 0 && at < text.size(); --count) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  }
  return text.substr(0, at);
}

std::string to_upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

// What a field is before its filters; "" where that is not known. `mtime` is made by the filter `date`.
std::string plain_value(std::string_view field, const TemplateFields& fields) {
  if (field == "partition") return fields.id.partition;
  if (field == "partition_name") return fields.partition_name;
  if (field == "key") return fields.id.key;
  if (field == "version") return fields.id.version;
  if (field == "id") return short_id(fields.id);
  if (field == "destination_key") return fields.destination_key;
  if (field == "mtime") return fields.mtime_ns ? date_text(*fields.mtime_ns, "%Y-%m-%dT%H:%M:%SZ") : "";
  if (field.starts_with(names_prefix)) {
    const auto found = fields.names.find(std::string(field.substr(names_prefix.size())));
    return found == fields.names.end() ? "" : found->second;
  }
  const KeyParts parts = parts_of(fields.id.key);
  if (field == "dir") return parts.dir;
  if (field == "name") return parts.name;
  const size_t extension = extension_of(parts.name);
  if (field == "stem") return parts.name.substr(0, extension);
  return extension == parts.name.size() ? "" : to_lower(parts.name.substr(extension + 1));
}

}  // namespace

TemplateFields fields_of(const Item& item) {
  TemplateFields fields{item.id, item.partition_name, item.names, item.stamp.mtime_ns};
  if (!fields.mtime_ns && item.modified_at_ms) fields.mtime_ns = *item.modified_at_ms * 1'000'000;
  return fields;
}

std::string short_id(const ItemId& id) {
  Sha256Hasher hasher;
  for (const std::string* part : {&id.partition, &id.key, &id.version}) {
    std::array<std::byte, 8> length;
    for (size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(part->size() >> (8 * (7 - i)) & 0xff);
    hasher.update(length);
    hasher.update(as_bytes(*part));
  }
  return hex_encode(hasher.finish()).substr(0, 16);
}

KeyParts parts_of(std::string_view key) {
  const std::optional<std::string_view> url = url_path(key);
  std::string_view path = url.value_or(key);
  if (!url && path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const std::string_view dir = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  return url ? KeyParts{decoded(dir), decoded(name)} : KeyParts{std::string(dir), std::string(name)};
}

size_t extension_of(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return name.size();
  const std::string_view extension = name.substr(dot + 1);
  const bool is_one = !extension.empty() && extension.size() <= longest_extension &&
                      std::all_of(extension.begin(), extension.end(), is_alphanumeric);
  return is_one ? dot : name.size();
}

std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_alphanumeric(c) || c == '-' || c == '.') out += c;
    else if (!out.ends_with('_')) out += '_';
  }
  return out == "." || out == ".." || (out.empty() && !text.empty()) ? "_" : out;
}

Template::Template(std::string_view text, Kind kind) : text_(text), kind_(kind) {
  if (text_.size() > longest_template) refuse(longest_template, "it is longer than " + std::to_string(longest_template) + " bytes");
  parse();
}

void Template::refuse(size_t at, const std::string& why) const {
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              std::string(kind_ == Kind::key ? "key" : "URL") + " template \"" + printable(std::string_view(text_).substr(0, 200)) +
                  "\", at character " + std::to_string(at + 1) + ": " + why);
}

void Template::parse() {
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) parts_.push_back({std::exchange(literal, {}), "", {}});
  };
  for (size_t i = 0; i < text_.size(); ++i) {
    const char c = text_[i];
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) refuse(i, "a control character has no place in it");
    if (c != '{' && c != '}') {
      literal += c;
      continue;
    }
    if (i + 1 < text_.size() && text_[i + 1] == c) {
      literal += c;
      ++i;
      continue;
    }
    if (c == '}') refuse(i, "there is no field for this '}' to end; write a brace of the text as }}");
    const size_t end = text_.find_first_of("{}", i + 1);
    if (end == std::string::npos || text_[end] == '{') refuse(i, "the field that begins here has no end; write a brace of the text as {{");
    end_literal();
    parts_.push_back(parse_field(i + 1, end));
    i = end;
  }
  end_literal();
}

Template::Part Template::parse_field(size_t begin, size_t end) const {
  Part part;
  const auto next = [&](size_t from) { return std::min(text_.find('|', from), end); };
  size_t bar = next(begin);
  part.field = text_.substr(begin, bar - begin);
  const std::span<const std::string_view> known =
      kind_ == Kind::key ? std::span<const std::string_view>(fields_of_keys) : std::span<const std::string_view>(fields_of_urls);
  const bool is_name = part.field.starts_with(names_prefix) && part.field.size() > names_prefix.size() && part.field != "names.NAME";
  const bool is_known = is_name || (std::find(known.begin(), known.end(), part.field) != known.end() && part.field != "names.NAME");
  if (part.field == "destination_key" && kind_ == Kind::key) {
    refuse(begin, "destination_key is what this template makes; it is a field of URL templates");
  }
  if (!is_known) refuse(begin, unknown("field", part.field, known));
  while (bar < end) {
    const size_t from = bar + 1;
    bar = next(from);
    part.filters.push_back(parse_filter(part, from, bar));
  }
  return part;
}

Template::Filter Template::parse_filter(const Part& part, size_t begin, size_t end) const {
  const size_t colon = std::min(text_.find(':', begin), end);
  Filter filter{text_.substr(begin, colon - begin), colon < end ? text_.substr(colon + 1, end - colon - 1) : ""};
  if (std::find(filters.begin(), filters.end(), filter.name) == filters.end()) refuse(begin, unknown("filter", filter.name, filters));
  const bool takes_argument = filter.name == "default" || filter.name == "date" || filter.name == "first";
  if (takes_argument && filter.argument.empty()) {
    const char* example = filter.name == "date" ? "date:%Y/%m" : filter.name == "first" ? "first:100" : "default:none";
    refuse(end, "the filter " + filter.name + " says nothing; write for example " + example);
  }
  if (!takes_argument && colon < end) refuse(colon, "the filter " + filter.name + " takes nothing after a ':'");
  if (filter.name == "urlencode" && kind_ == Kind::url) refuse(begin, "fields of a URL are percent-encoded anyway");
  if (filter.name == "date") {
    if (part.field != "mtime" || !part.filters.empty()) refuse(begin, "date is the first filter of the field mtime");
    for (size_t i = 0; i < filter.argument.size(); ++i) {
      if (filter.argument[i] != '%') continue;
      if (++i == filter.argument.size() || date_letters.find(filter.argument[i]) == std::string_view::npos) {
        refuse(colon + i, "a date has %Y, %m, %d, %H, %M, %S, %j and %%");
      }
    }
  }
  if (filter.name == "first") {
    const std::optional<uint64_t> count = parse_uint(filter.argument);
    if (!count || *count == 0 || *count > most_first) refuse(colon + 1, "first takes a number from 1 to " + std::to_string(most_first));
  }
  return filter;
}

std::optional<std::string> Template::value_of(const Part& part, const TemplateFields& fields) {
  std::string value = plain_value(part.field, fields);
  for (const Filter& filter : part.filters) {
    if (filter.name == "default") {
      if (value.empty()) value = filter.argument;
    } else if (value.empty()) {
      continue;
    } else if (filter.name == "slug") {
      value = slug(value);
    } else if (filter.name == "lower") {
      value = to_lower(value);
    } else if (filter.name == "upper") {
      value = to_upper(std::move(value));
    } else if (filter.name == "date") {
      value = date_text(*fields.mtime_ns, filter.argument);
    } else if (filter.name == "urlencode") {
      value = encode_query(value);
    } else {
      value = first_of(value, *parse_uint(filter.argument));
    }
  }
  if (value.empty()) return std::nullopt;
  return value;
}

bool Template::is_path(const Part& part) {
  return part.field == "key" || part.field == "dir" || part.field == "mtime" || part.field == "destination_key";
}

}  // namespace waybill::internal
