// SPDX-License-Identifier: Apache-2.0

#include "engine/key_template.hpp"

#include <algorithm>

#include "base/uri.hpp"
#include "waybill/connectors.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr std::string_view separator = "~";
constexpr size_t id_digits = 16;

// A value on its way into a key: what would lead somewhere else, or be seen by nobody, is percent-encoded.
void append_escaped(std::string_view value, bool is_path, std::string& out) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_kept = byte >= 0x20 && byte != 0x7f && (is_path || c != '/');
    if (is_kept) {
      out += c;
    } else {
      (out += '%') += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
}

// Why a key cannot be one; "" where it can. A '/' at its end is a folder's.
std::string flaw_of(std::string_view key) {
  if (key.starts_with('/')) return "begins with a '/'";
  if (key.ends_with('/')) key.remove_suffix(1);
  for (size_t from = 0; from <= key.size();) {
    const size_t to = std::min(key.find('/', from), key.size());
    const std::string_view component = key.substr(from, to - from);
    if (component.empty()) return "has an empty component";
    if (component == "." || component == "..") return "has a component \"" + std::string(component) + "\"";
    from = to + 1;
  }
  if (key.size() <= KeyTemplate::longest_key) return "";
  return "has more than " + std::to_string(KeyTemplate::longest_key) + " bytes; shorten a field with |first:N";
}

Made refused(std::string why) { return {"", std::move(why)}; }

Made refused_field(const Template::Part& part) {
  return refused("the template's field {" + part.field + "} is empty for it, and has no default; add |default:TEXT");
}

// The place before the extension of the last component.
size_t suffix_place(const Key& key) {
  const bool is_folder = key.ends_with('/');
  const std::string_view whole = std::string_view(key).substr(0, key.size() - (is_folder ? 1 : 0));
  const size_t slash = whole.rfind('/');
  const size_t name = slash == std::string_view::npos ? 0 : slash + 1;
  return is_folder ? whole.size() : name + extension_of(whole.substr(name));
}

bool is_of_url(char c) {
  constexpr std::string_view never = "\"<>\\^`{|}#";
  return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f && never.find(c) == std::string_view::npos;
}

bool is_of_scheme(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'; }

}  // namespace

KeyTemplate::KeyTemplate(std::string_view text) : template_(text, Template::Kind::key) {
  const std::string& all = template_.text();
  if (all.starts_with('/')) template_.refuse(0, "a key does not begin with a '/'");
  if (all.ends_with('/')) template_.refuse(all.size() - 1, "a key that ends with a '/' is a folder; end with a field, for example {name}");
  const auto& parts = template_.parts();
  if (std::all_of(parts.begin(), parts.end(), [](const auto& part) { return part.field.empty(); })) {
    template_.refuse(all.size(), "it has no field, and all items would get one key; write for example uploads/{partition}/{name}");
  }
  std::string sample;
  for (const Template::Part& part : parts) {
    sample += part.field.empty() ? part.literal : "x";
    // A part of the id is not the item's own.
    is_unique_ = is_unique_ || (part.field == "id" && std::none_of(part.filters.begin(), part.filters.end(), [](const auto& filter) {
                                  return filter.name == "first";
                                }));
  }
  if (const std::string flaw = flaw_of(sample); !flaw.empty()) template_.refuse(0, "every key made of it " + flaw);
}

Made KeyTemplate::key_of(const TemplateFields& fields) const {
  Key key;
  for (const Template::Part& part : template_.parts()) {
    if (part.field.empty()) {
      key += part.literal;
      continue;
    }
    const std::optional<std::string> value = Template::value_of(part, fields);
    if (!value) return refused_field(part);
    append_escaped(*value, Template::is_path(part), key);
  }
  // What is a folder at the source is one at the destination, and nothing else is.
  const bool is_folder = fields.id.key.ends_with('/');
  if (is_folder && !key.ends_with('/')) key += '/';
  if (!is_folder && key.ends_with('/')) return refused("the key that the template makes for it ends with a '/': " + shown_key(key));
  const std::string flaw = flaw_of(key);
  if (!flaw.empty()) {
    return refused("the key that the template makes for it " + flaw + ": " + shown_key(std::string_view(key).substr(0, 200)));
  }
  return {std::move(key), ""};
}

Key with_own_suffix(const Key& key, const ItemId& id) {
  Key made = key;
  made.insert(suffix_place(key), std::string(separator) + short_id(id));
  return made.size() > KeyTemplate::longest_key ? Key() : made;
}

bool has_own_suffix(const Key& key, const ItemId& id) {
  constexpr size_t length = separator.size() + id_digits;
  const size_t place = suffix_place(key);
  return place >= length && key.compare(place - length, length, std::string(separator) + short_id(id)) == 0;
}

UrlTemplate::UrlTemplate(std::string_view text) : template_(text, Template::Kind::url) {
  const std::string& all = template_.text();
  const std::string first = template_.parts().empty() ? "" : template_.parts().front().literal;
  const size_t colon = first.find("://");
  const bool has_scheme = colon != std::string::npos && colon > 0 &&
                          std::all_of(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(colon), is_of_scheme);
  if (!has_scheme) template_.refuse(0, "a URL begins with its scheme, as in https://files.example.com/{destination_key}");
  const size_t begin = colon + 3;
  const size_t slash = first.find_first_of("/?", begin);
  const bool has_no_host = slash == begin && first.compare(0, begin, "file://") != 0;
  if (slash == std::string::npos || has_no_host) {
    template_.refuse(begin, "the host is to be there in full, with a '/' behind it, before the first field");
  }
  if (template_.parts().size() == 1) {
    template_.refuse(all.size(), "it has no field, and all references would get one URL; write for example {destination_key}");
  }
  for (const Template::Part& part : template_.parts()) {
    const auto wrong = std::find_if_not(part.literal.begin(), part.literal.end(), is_of_url);
    if (wrong != part.literal.end()) template_.refuse(all.find(*wrong), "no URL has this character; write it percent-encoded");
  }
  Url::parse(first);
}

Made UrlTemplate::url_of(const TemplateFields& fields) const {
  std::string url;
  for (const Template::Part& part : template_.parts()) {
    if (part.field.empty()) {
      url += part.literal;
      continue;
    }
    const std::optional<std::string> value = Template::value_of(part, fields);
    if (!value) return refused_field(part);
    Template::is_path(part) ? encode_path_append(*value, url) : encode_query_append(*value, url);
  }
  try {
    Url::parse(url);
  } catch (const Error& error) {
    return refused(error.message());
  }
  return {std::move(url), ""};
}

}  // namespace waybill::internal
