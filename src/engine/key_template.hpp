// SPDX-License-Identifier: Apache-2.0
//
// Where items go, and what references to them become: keys and URLs made of what is known of an item. docs/keys.md says for
// users what each of them may be.
#pragma once

#include <string>
#include <string_view>

#include "engine/template.hpp"

namespace waybill::internal {

/// What a template made; or "", and in one line why it made nothing.
struct Made {
  std::string text;
  std::string refusal;
};

/// A template for destination keys. Pure.
///
/// *Thread safety:* any thread.
class KeyTemplate {
 public:
  static constexpr size_t longest_key = 1024;  ///< bytes

  /// Errors: configuration (no template; it begins or ends with a '/', or says no field).
  explicit KeyTemplate(std::string_view text);

  const std::string& text() const noexcept { return template_.text(); }
  /// Whether each item has a key of its own, by the whole of its id.
  bool is_unique() const noexcept { return is_unique_; }
  /// The key of an item. A '/' in a field is one of the key only in `key`, `dir` and `mtime`; elsewhere it is written %2F. Control
  /// characters are percent-encoded. No key is longer than longest_key, has an empty component, or one that is "." or "..".
  Made key_of(const TemplateFields& fields) const;

 private:
  Template template_;
  bool is_unique_ = false;
};

/// `key` with the item's own id before the extension of its last component: "a/report~1a2b3c4d5e6f7081.pdf". "" where that is
/// longer than a key may be.
Key with_own_suffix(const Key& key, const ItemId& id);
/// Whether `key` is one that with_own_suffix() makes for this item.
bool has_own_suffix(const Key& key, const ItemId& id);

/// A template for URLs: "https://files.example.com/{destination_key}". Pure. Its text is taken as it is, fields are
/// percent-encoded by the encoder that requests are signed with; a '/' is kept in `destination_key`, `key`, `dir` and `mtime`.
///
/// *Thread safety:* any thread.
class UrlTemplate {
 public:
  /// Errors: configuration (no template; no URL, or one whose host is not there in full; a character that no URL has).
  explicit UrlTemplate(std::string_view text);

  const std::string& text() const noexcept { return template_.text(); }
  Made url_of(const TemplateFields& fields) const;
  /// The text before the first field: what every URL that this makes begins with.
  const std::string& prefix() const noexcept { return template_.parts().front().literal; }

 private:
  Template template_;
};

}  // namespace waybill::internal
