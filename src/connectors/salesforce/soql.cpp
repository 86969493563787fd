// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/soql.hpp"

#include <algorithm>
#include <cctype>

namespace waybill::salesforce {
namespace {

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// Five letters of an id become one of its suffix: each upper-case letter is a bit.
std::string suffix_of(std::string_view id) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
  std::string suffix;
  for (size_t chunk = 0; chunk < 15; chunk += 5) {
    size_t bits = 0;
    for (size_t i = 0; i < 5; ++i) {
      if (id[chunk + i] >= 'A' && id[chunk + i] <= 'Z') bits |= size_t{1} << i;
    }
    suffix += digits[bits];
  }
  return suffix;
}

}  // namespace

std::string soql_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    switch (c) {
      case '\'':
      case '\\':
      case '"':
        out += '\\';
        out += c;
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += c;
    }
  }
  return out + "'";
}

std::optional<std::string> long_id(std::string_view id) {
  if ((id.size() != 15 && id.size() != 18) || !std::all_of(id.begin(), id.end(), is_alphanumeric)) return std::nullopt;
  std::string whole(id.substr(0, 15));
  whole += suffix_of(whole);
  // The suffix has no case, and one that does not fit belongs to another id.
  const auto upper = [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); };
  const bool fits = id.size() == 15 || std::equal(id.begin() + 15, id.end(), whole.begin() + 15,
                                                  [&](char a, char b) { return upper(a) == b; });
  return fits ? std::optional(whole) : std::nullopt;
}

bool is_field_path(std::string_view name) noexcept {
  const auto is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  bool begins = true;
  for (const char c : name) {
    if (begins ? !is_letter(c) : !(is_alphanumeric(c) || c == '_' || c == '.')) return false;
    begins = c == '.';
  }
  return !begins;
}

}  // namespace waybill::salesforce
