// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/text.hpp"

#include <charconv>
#include <cstdint>

namespace waybill::testing::fault {

namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

// The byte of an escape at `at`, or nothing.
std::optional<char> escape_at(std::string_view text, size_t at) {
  if (text[at] != '%' || at + 2 >= text.size()) return std::nullopt;
  const int high = digit(text[at + 1]);
  const int low = digit(text[at + 2]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

void append_utf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

bool append_entity(std::string_view name, std::string& out) {
  static constexpr std::pair<std::string_view, char> known[] = {
      {"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [entity, c] : known) {
    if (name == entity) {
      out += c;
      return true;
    }
  }
  if (!name.starts_with('#')) return false;
  name.remove_prefix(1);
  const bool is_hex = name.starts_with('x');
  if (is_hex) name.remove_prefix(1);
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code, is_hex ? 16 : 10);
  if (error != std::errc() || end != name.data() + name.size() || code > 0x10ffff) return false;
  append_utf8(code, out);
  return true;
}

class XmlParser {
 public:
  explicit XmlParser(std::string_view text) : rest_(text) {}

  std::optional<XmlNode> document() {
    skip_prolog();
    XmlNode root;
    if (!element(root, 0)) return std::nullopt;
    return root;
  }

 private:
  bool skip_to(std::string_view end) {
    const size_t at = rest_.find(end);
    if (at == std::string_view::npos) return false;
    rest_.remove_prefix(at + end.size());
    return true;
  }
  void skip_prolog() {
    while (!rest_.empty()) {
      rest_.remove_prefix(std::min(rest_.find('<'), rest_.size()));
      if (!rest_.starts_with("<?") && !rest_.starts_with("<!")) return;
      if (!skip_to(">")) return;
    }
  }
  bool element(XmlNode& node, int depth) {
    if (depth > 16 || !rest_.starts_with('<')) return false;
    const size_t end = rest_.find('>');
    if (end == std::string_view::npos) return false;
    std::string_view tag = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    const bool is_empty = tag.ends_with('/');
    if (is_empty) tag.remove_suffix(1);
    tag = tag.substr(0, tag.find_first_of(" \t\r\n"));
    if (const size_t colon = tag.find(':'); colon != std::string_view::npos) tag.remove_prefix(colon + 1);
    node.name = tag;
    return is_empty || inside(node, depth);
  }
  bool inside(XmlNode& node, int depth) {
    while (!rest_.empty()) {
      const size_t end = std::min(rest_.find('<'), rest_.size());
      if (!append_text(rest_.substr(0, end), node.text)) return false;
      rest_.remove_prefix(end);
      if (rest_.starts_with("</")) return skip_to(">");
      if (rest_.starts_with("<!--")) {
        if (!skip_to("-->")) return false;
        continue;
      }
      node.children.emplace_back();
      if (!element(node.children.back(), depth + 1)) return false;
    }
    return false;
  }
  static bool append_text(std::string_view text, std::string& out) {
    for (size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '&') {
        out += text[at];
        continue;
      }
      const size_t end = text.find(';', at);
      if (end == std::string_view::npos || !append_entity(text.substr(at + 1, end - at - 1), out)) return false;
      at = end;
    }
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::string percent_encode(std::string_view text, bool keeps_slash) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    if (is_unreserved(c) || (c == '/' && keeps_slash)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (const auto byte = escape_at(text, at)) {
      out += *byte;
      at += 2;
    } else {
      out += text[at] == '+' && plus_is_space ? ' ' : text[at];
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> split_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.empty()) continue;
    const size_t equals = std::min(one.find('='), one.size());
    // In a query S3 takes '+' for a space.
    pairs.emplace_back(percent_decode(one.substr(0, equals), true),
                       percent_decode(one.substr(std::min(equals + 1, one.size())), true));
  }
  return pairs;
}

Pattern::Pattern(std::string_view text) : is_everything_(text == "*") {
  for (size_t at = 0; at < text.size(); ++at) {
    if (const auto byte = escape_at(text, at)) {
      tokens_.push_back({Token::Kind::byte, *byte});
      at += 2;
    } else if (text[at] == '*') {
      tokens_.push_back({Token::Kind::any});
    } else if (text[at] == '?') {
      tokens_.push_back({Token::Kind::one});
    } else {
      tokens_.push_back({Token::Kind::byte, text[at]});
    }
  }
}

bool Pattern::matches(std::string_view key) const noexcept {
  if (is_everything_) return true;
  size_t token = 0;
  size_t at = 0;
  size_t star = SIZE_MAX;  // the last one met, and where its run may end next
  size_t retry = 0;
  while (at < key.size()) {
    if (token < tokens_.size() && tokens_[token].kind == Token::Kind::any) {
      star = token++;
      retry = at;
    } else if (token < tokens_.size() && (tokens_[token].kind == Token::Kind::one || tokens_[token].byte == key[at])) {
      ++token;
      ++at;
    } else if (star != SIZE_MAX) {
      token = star + 1;
      at = ++retry;
    } else {
      return false;
    }
  }
  while (token < tokens_.size() && tokens_[token].kind == Token::Kind::any) ++token;
  return token == tokens_.size();
}

std::string xml_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out.append("&#").append(std::to_string(static_cast<int>(c))).append(";");
        } else {
          out += c;
        }
    }
  }
  return out;
}

XmlWriter::XmlWriter(std::string_view root, bool has_namespace)
    : root_(root), text_("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<") {
  text_ += root;
  if (has_namespace) text_ += " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
  text_ += '>';
  inside_ = text_.size();
}

XmlWriter& XmlWriter::append_children_of(XmlWriter other) {
  text_.append(other.text_, other.inside_);
  return *this;
}

XmlWriter& XmlWriter::element(std::string_view name, std::string_view text) {
  open(name);
  text_ += xml_escape(text);
  return close(name);
}

XmlWriter& XmlWriter::open(std::string_view name) {
  text_.append("<").append(name).append(">");
  return *this;
}

XmlWriter& XmlWriter::close(std::string_view name) {
  text_.append("</").append(name).append(">");
  return *this;
}

std::string XmlWriter::finish() {
  close(root_);
  return std::move(text_);
}

const XmlNode* XmlNode::child(std::string_view wanted) const noexcept {
  for (const XmlNode& node : children) {
    if (node.name == wanted) return &node;
  }
  return nullptr;
}

std::string_view XmlNode::child_text(std::string_view wanted) const noexcept {
  const XmlNode* node = child(wanted);
  return node ? std::string_view(node->text) : std::string_view();
}

std::optional<XmlNode> parse_xml(std::string_view text) { return XmlParser(text).document(); }

}  // namespace waybill::testing::fault
