// SPDX-License-Identifier: Apache-2.0
//
// Text with fields in braces, as key and URL templates have it: "uploads/{partition}/{partition_name|slug}/{name}". A field may
// have filters, which are applied from left to right; "{{" and "}}" are braces. What the filters do never changes: keys that
// were made with them are in stores. docs/keys.md is their description for users.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/item.hpp"

namespace waybill::internal {

/// What is known of an item. Empty is not known.
struct TemplateFields {
  ItemId id;
  std::string partition_name;
  std::map<std::string, std::string> names;
  std::optional<int64_t> mtime_ns;
  Key destination_key = {};  ///< for URLs only
};

/// As far as a listing tells them.
TemplateFields fields_of(const Item& item);

/// 16 hexadecimal digits of the item's own: the first of the SHA-256 over partition, key and version, each preceded by its
/// length in eight bytes, the most significant first.
std::string short_id(const ItemId& id);

/// The last component of a key, and what comes before it: of "a/b/c.txt" "c.txt" and "a/b". Of a URL those of its path,
/// percent-decoded. A '/' at the end, which a folder has, counts for nothing.
struct KeyParts {
  std::string dir;
  std::string name;
};
KeyParts parts_of(std::string_view key);

/// Where the extension of a name begins, at its '.'; its end where it has none. An extension is up to 16 ASCII letters and
/// digits, and something stands before it.
size_t extension_of(std::string_view name);

/// ASCII letters, digits, '-', '_' and '.'; every run of other bytes and of '_' becomes one '_'. "." and ".." become "_".
std::string slug(std::string_view text);

class Template {
 public:
  enum class Kind { key, url };

  struct Filter {
    std::string name;
    std::string argument;
  };
  /// A literal, or a field with its filters.
  struct Part {
    std::string literal;
    std::string field;  ///< "" for a literal
    std::vector<Filter> filters;
  };

  /// Errors: configuration; names the place and the nearest field or filter.
  Template(std::string_view text, Kind kind);

  const std::string& text() const noexcept { return text_; }
  const std::vector<Part>& parts() const noexcept { return parts_; }
  /// An error at a place of this text.
  [[noreturn]] void refuse(size_t at, const std::string& why) const;
  /// What a field becomes, filtered; nothing where it is empty and has no default.
  static std::optional<std::string> value_of(const Part& part, const TemplateFields& fields);
  /// Whether a '/' in the field's value is one that leads into a folder.
  static bool is_path(const Part& part);

 private:
  void parse();
  Part parse_field(size_t begin, size_t end) const;
  Filter parse_filter(const Part& part, size_t begin, size_t end) const;

  std::string text_;
  Kind kind_;
  std::vector<Part> parts_;
};

}  // namespace waybill::internal
