// SPDX-License-Identifier: Apache-2.0
//
// Percent coding, patterns of keys and the little XML that the fault server reads and writes. Deliberately not shared
// with the library: a mistake in both would hide itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace waybill::testing::fault {

/// Everything but RFC 3986 unreserved characters (and '/', if kept) as %XX.
std::string percent_encode(std::string_view text, bool keeps_slash = false);
/// %XX becomes its byte; anything else stays, '+' as well unless it stands for a space.
std::string percent_decode(std::string_view text, bool plus_is_space = false);

/// "a=1&b" as pairs in their order, decoded.
std::vector<std::pair<std::string, std::string>> split_query(std::string_view query);

/// A key, or many: percent-encoded, with '*' for any bytes and '?' for any one byte (%2A and %3F are the characters).
class Pattern {
 public:
  Pattern() : Pattern("*") {}
  explicit Pattern(std::string_view text);
  bool matches(std::string_view key) const noexcept;

 private:
  struct Token {
    enum class Kind { byte, any, one } kind;
    char byte = 0;
  };
  bool is_everything_ = false;
  std::vector<Token> tokens_;
};

/// As text of an element; characters below 0x20 as references, which XML 1.0 does not allow and stores send all the
/// same.
std::string xml_escape(std::string_view text);

/// Builds a document: element("Key", "a") and open/close.
class XmlWriter {
 public:
  explicit XmlWriter(std::string_view root, bool has_namespace = true);
  XmlWriter& element(std::string_view name, std::string_view text);
  XmlWriter& open(std::string_view name);
  XmlWriter& close(std::string_view name);
  /// Takes over what is inside the root of another.
  XmlWriter& append_children_of(XmlWriter other);
  /// Ends the root; the writer is used up.
  std::string finish();

 private:
  std::string root_;
  std::string text_;
  size_t inside_ = 0;  // where the root's content begins
};

/// An element of a document without mixed content; attributes and namespaces are dropped.
struct XmlNode {
  std::string name;
  std::string text;
  std::vector<XmlNode> children;

  const XmlNode* child(std::string_view wanted) const noexcept;
  /// The text of a child, "" where there is none.
  std::string_view child_text(std::string_view wanted) const noexcept;
};

/// Nothing where the text is no such document.
std::optional<XmlNode> parse_xml(std::string_view text);

}  // namespace waybill::testing::fault
