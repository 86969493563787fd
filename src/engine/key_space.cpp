// SPDX-License-Identifier: Apache-2.0

#include "engine/key_space.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace waybill::internal {
namespace {

// Positions that are learnt from; what differs further on is cut less well.
constexpr size_t most_positions = 512;
// Digits of a fraction of the key space: as many as a double holds, for most alphabets.
constexpr size_t most_digits = 12;
// A fraction smaller than this is lost in rounding.
constexpr double least_width = 1e-13;
constexpr double no_telling = 1e9;
// With this many positions between the page's and the end's, half way would be far too far for most buckets.
constexpr size_t far_positions = 3;

bool is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }
bool is_lower(unsigned char byte) { return byte >= 'a' && byte <= 'z'; }
bool is_upper(unsigned char byte) { return byte >= 'A' && byte <= 'Z'; }
bool is_word(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  return is_digit(value) || is_lower(value) || is_upper(value);
}

size_t common_prefix(std::string_view a, std::string_view b) {
  const auto [end, _] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<size_t>(end - a.begin());
}

// The run of letters and digits of `key` around `position`.
std::pair<size_t, size_t> run_around(std::string_view key, size_t position) {
  if (position >= key.size() || !is_word(key[position])) return {position, position + 1};
  size_t begin = position;
  size_t end = position + 1;
  while (begin > 0 && is_word(key[begin - 1])) --begin;
  while (end < key.size() && is_word(key[end])) ++end;
  return {begin, end};
}

size_t character_begin(std::string_view text, size_t position) {
  while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80) --position;
  return position;
}

// Of the valid character at the beginning of `text`.
char32_t decode_character(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  if (byte(0) < 0x80) return byte(0);
  if (byte(0) < 0xE0) return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
  if (byte(0) < 0xF0) return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

void append_character(Key& key, char32_t point) {
  if (point >= 0xD800 && point <= 0xDFFF) point = 0xE000;
  const auto put = [&](char32_t byte) { key += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

bool is_inside(const Key& key, const KeySpan& span) { return key > span.at && (!span.end || key < *span.end); }

// Half way between two characters, for keys that are not ASCII where they differ.
std::optional<Key> middle_character(const KeySpan& span, size_t position) {
  const size_t begin = character_begin(span.at, position);
  const char32_t low = decode_character(std::string_view(span.at).substr(begin));
  const char32_t high =
      span.end && span.end->size() > begin ? decode_character(std::string_view(*span.end).substr(begin)) : low * 2;
  Key key = span.at.substr(0, begin);
  append_character(key, low + (std::max(high, low) - low + 1) / 2);
  return key;
}

}  // namespace

std::optional<Key> above(std::string_view prefix) {
  Key key(prefix);
  while (!key.empty()) {
    const size_t begin = is_utf8(key) ? character_begin(key, key.size() - 1) : key.size() - 1;
    if (is_utf8(key)) {
      const char32_t next = decode_character(std::string_view(key).substr(begin)) + 1;
      key.resize(begin);
      if (next <= 0x10FFFF) {
        append_character(key, next);
        return key;
      }
    } else if (static_cast<unsigned char>(key.back()) < 0xFF) {
      key.back() = static_cast<char>(static_cast<unsigned char>(key.back()) + 1);
      return key;
    } else {
      key.pop_back();
    }
  }
  return std::nullopt;
}

// What a span looks like as positions and numbers.
struct KeySpace::Scale {
  size_t end_at = 0;   // the position from which the end differs
  size_t page_at = 0;  // the position from which the last page moved
  size_t part_at = 0;  // where the part of the key begins that the last page moved in
  size_t from = 0;     // the position from which keys are numbers here
  std::vector<std::string> alphabets;
  double first = 0;
  double at = 0;
  double end = 1;
};

void KeySpace::learn(std::string_view key) {
  const size_t size = std::min(key.size(), most_positions);
  if (seen_.size() < size) seen_.resize(size);
  for (size_t i = 0; i < size; ++i) seen_[i].set(static_cast<unsigned char>(key[i]));
}

// The bytes that may be at a position, ascending: those seen in the same part of keys, and the rest of their class.
std::string KeySpace::alphabet(std::string_view key, size_t position) const {
  const auto [begin, end] = run_around(key, position);
  Bytes bytes;
  for (size_t i = begin; i < end && i < seen_.size(); ++i) bytes |= seen_[i];
  bool digits = false;
  bool lower = false;
  bool hex_lower = false;
  bool upper = false;
  bool hex_upper = false;
  for (size_t value = 0; value < 256; ++value) {
    if (!bytes[value]) continue;
    const auto byte = static_cast<unsigned char>(value);
    digits = digits || is_digit(byte);
    (byte <= 'f' ? hex_lower : lower) |= is_lower(byte);
    (byte <= 'F' ? hex_upper : upper) |= is_upper(byte);
  }
  std::string alphabet;
  for (size_t value = 0; value < 256; ++value) {
    const auto byte = static_cast<unsigned char>(value);
    const bool of_class = (digits && is_digit(byte)) || (lower && is_lower(byte)) || (upper && is_upper(byte)) ||
                          (hex_lower && is_lower(byte) && (!digits || byte <= 'f')) ||
                          (hex_upper && is_upper(byte) && (!digits || byte <= 'F'));
    if (bytes[value] || of_class) alphabet += static_cast<char>(byte);
  }
  return alphabet;
}

// Where `key` is among the keys with the same first `from` bytes: 0 to 1.
double KeySpace::place(std::string_view key, size_t from, const std::vector<std::string>& alphabets) const {
  double place = 0;
  double unit = 1;
  for (size_t i = 0; i < alphabets.size() && from + i < key.size(); ++i) {
    const std::string& alphabet = alphabets[i];
    const auto less = [](char a, char b) { return static_cast<unsigned char>(a) < static_cast<unsigned char>(b); };
    const auto at = std::lower_bound(alphabet.begin(), alphabet.end(), key[from + i], less);
    unit /= static_cast<double>(std::max<size_t>(alphabet.size(), 1));
    place += static_cast<double>(at - alphabet.begin()) * unit;
    if (at == alphabet.end() || *at != key[from + i]) break;  // between two: what follows does not count
  }
  return std::min(place, 1.0);
}

KeySpace::Scale KeySpace::scale(const KeySpan& span) const {
  Scale scale;
  bool is_to_its_top = false;
  if (span.end) {
    scale.end_at = common_prefix(span.at, *span.end);
    // An end that was made by above() bounds what it was made of: everything up to it has that beginning.
    is_to_its_top =
        scale.end_at < span.at.size() && above(std::string_view(span.at).substr(0, scale.end_at + 1)) == *span.end;
    if (is_to_its_top) ++scale.end_at;
  }
  scale.page_at = std::min(common_prefix(span.first, span.at), span.at.empty() ? 0 : span.at.size() - 1);
  scale.part_at = run_around(span.at, scale.page_at).first;
  scale.from = scale.end_at;
  if (!span.end) {
    // Without a bound: from the first part of keys that has been seen to change.
    size_t varies = 0;
    while (varies < seen_.size() && seen_[varies].count() < 2) ++varies;
    scale.from = run_around(span.at, std::min(varies, scale.page_at)).first;
  }
  for (size_t i = 0; i < most_digits; ++i) {
    scale.alphabets.push_back(alphabet(span.at, scale.from + i));
    if (scale.alphabets.back().empty()) {
      scale.alphabets.pop_back();
      break;
    }
  }
  scale.at = place(span.at, scale.from, scale.alphabets);
  const bool is_within = common_prefix(span.first, span.at) >= scale.from;
  scale.first = is_within ? place(span.first, scale.from, scale.alphabets) : 0;
  if (span.end && !is_to_its_top) scale.end = place(*span.end, scale.from, scale.alphabets);
  const auto likely = last_of_.find(scale.part_at);
  if (scale.end_at >= scale.part_at && likely != last_of_.end()) {
    const Key last = span.at.substr(0, scale.part_at) + likely->second;
    if (last > span.at) scale.end = std::min(scale.end, place(last, scale.from, scale.alphabets));
  }
  return scale;
}

void KeySpace::learn_end(const KeySpan& span) {
  const Scale scale = this->scale(span);
  if (scale.end_at != scale.part_at) return;
  Key& last = last_of_[scale.part_at];
  last = std::max(last, span.at.substr(scale.part_at));
}

double KeySpace::pages_left(const KeySpan& span) const {
  const Scale scale = this->scale(span);
  if (scale.end_at < scale.part_at) return no_telling;
  const double page = scale.at - scale.first;
  if (page < least_width) return no_telling;
  return std::max(0.0, scale.end - scale.at) / page;
}

std::optional<Key> KeySpace::middle(const KeySpan& span, const Scale& scale) const {
  if (scale.from < span.at.size() && static_cast<unsigned char>(span.at[scale.from]) >= 0x80 && is_utf8(span.at)) {
    return middle_character(span, scale.from);
  }
  const double page = scale.at - scale.first;
  const double left = scale.end - scale.at;
  // The page that is on its way belongs to the first half, whatever becomes of the rest.
  const double middle = page < left ? scale.at + (left + page) / 2 : scale.at + left / 2;
  Key key = span.at.substr(0, scale.from);
  double rest = middle;
  double unit = 1;
  for (const std::string& alphabet : scale.alphabets) {
    const auto size = static_cast<double>(alphabet.size());
    unit /= size;
    const double digit = std::clamp(std::floor(rest * size), 0.0, size - 1);
    rest = rest * size - digit;
    key += alphabet[static_cast<size_t>(digit)];
    // As few bytes as tell: in most buckets that is where a part begins.
    if (unit < left / 16 && is_inside(key, span)) break;
  }
  return key;
}

std::optional<Key> KeySpace::cut(const KeySpan& span) const {
  const Scale scale = this->scale(span);
  std::optional<Key> key;
  const bool is_first_way = span.attempt % 2 == 0;
  if (scale.end_at < scale.part_at) {
    // The end is not in the part that moves now.
    if (is_first_way || scale.from >= scale.part_at) key = above(std::string_view(span.at).substr(0, scale.part_at));
  } else if (scale.page_at > scale.end_at + far_positions && is_first_way) {
    key = above(std::string_view(span.at).substr(0, (scale.page_at + scale.end_at) / 2));
  }
  const auto is_good = [&](const std::optional<Key>& guess) {
    return guess && is_inside(*guess, span) && (is_utf8(*guess) || !is_utf8(span.at));
  };
  if (is_good(key)) return key;
  key = middle(span, scale);
  return is_good(key) ? key : std::nullopt;
}

}  // namespace waybill::internal
