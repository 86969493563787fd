// SPDX-License-Identifier: Apache-2.0
//
// Calendar arithmetic on the proleptic Gregorian calendar (days from a civil date and back, after Howard Hinnant's
// published algorithms), and the checks of text.hpp.
#include "base/text.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "waybill/item.hpp"

namespace waybill::internal {
namespace {

constexpr int64_t seconds_per_day = 86'400;
constexpr int64_t ns_per_second = 1'000'000'000;
constexpr std::array<const char*, 7> weekday_names = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<const char*, 12> month_names = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Civil {
  int64_t year = 1970;
  int month = 1;
  int day = 1;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

int64_t floor_div(int64_t a, int64_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }

int64_t days_from_civil(int64_t year, int month, int day) noexcept {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = floor_div(year, 400);
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

Civil civil_from_seconds(int64_t seconds) noexcept {
  const int64_t days = floor_div(seconds, seconds_per_day);
  const auto rest = static_cast<int>(seconds - days * seconds_per_day);
  const int64_t shifted = days + 719'468;
  const int64_t era = floor_div(shifted, 146'097);
  const int64_t day_of_era = shifted - era * 146'097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_index = (5 * day_of_year + 2) / 153;
  Civil civil;
  civil.day = static_cast<int>(day_of_year - (153 * month_index + 2) / 5 + 1);
  civil.month = static_cast<int>(month_index < 10 ? month_index + 3 : month_index - 9);
  civil.year = year_of_era + era * 400 + (civil.month <= 2 ? 1 : 0);
  civil.hour = rest / 3600;
  civil.minute = rest / 60 % 60;
  civil.second = rest % 60;
  return civil;
}

// Nothing if a field is out of its range. A leap second counts as the last second of its minute.
std::optional<int64_t> seconds_from_civil(const Civil& civil) noexcept {
  constexpr std::array month_days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (civil.month < 1 || civil.month > 12 || civil.hour > 23 || civil.minute > 59 || civil.second > 60) return {};
  const bool is_leap = (civil.year % 4 == 0 && civil.year % 100 != 0) || civil.year % 400 == 0;
  const int last_day = month_days[static_cast<size_t>(civil.month - 1)] + (civil.month == 2 && is_leap ? 1 : 0);
  if (civil.day < 1 || civil.day > last_day) return {};
  return days_from_civil(civil.year, civil.month, civil.day) * seconds_per_day + civil.hour * 3600 + civil.minute * 60 +
         std::min(civil.second, 59);
}

// Writes `value` with exactly `digits` decimal digits.
char* put_digits(char* at, int64_t value, int digits) noexcept {
  for (int i = digits - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return at + digits;
}

// A cursor over text that is being parsed; after the first mismatch every further step fails.
struct Cursor {
  std::string_view rest;
  bool ok = true;

  int number(size_t digits) noexcept {
    if (!ok || rest.size() < digits) return fail();
    int value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (rest[i] < '0' || rest[i] > '9') return fail();
      value = value * 10 + (rest[i] - '0');
    }
    rest.remove_prefix(digits);
    return value;
  }
  void expect(std::string_view text) noexcept {
    if (ok && rest.starts_with(text)) {
      rest.remove_prefix(text.size());
    } else {
      ok = false;
    }
  }
  // '.' and digits → nanoseconds; digits beyond the ninth are cut. Zero where there is no '.'.
  int64_t fraction_ns() noexcept {
    if (!ok || rest.empty() || rest.front() != '.') return 0;
    rest.remove_prefix(1);
    int64_t value = 0;
    int digits = 0;
    while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
      if (digits < 9) value = value * 10 + (rest.front() - '0');
      ++digits;
      rest.remove_prefix(1);
    }
    if (digits == 0) return fail();
    for (; digits < 9; ++digits) value *= 10;
    return value;
  }
  int fail() noexcept {
    ok = false;
    return 0;
  }
};

std::optional<int64_t> join_ns(int64_t seconds, int64_t ns) noexcept {
  int64_t result = 0;
  // The sum of a negative whole part and a positive fraction may fit where the product alone does not.
  if (seconds < 0 && ns > 0) {
    seconds += 1;
    ns -= ns_per_second;
  }
  if (__builtin_mul_overflow(seconds, ns_per_second, &result)) return {};
  if (__builtin_add_overflow(result, ns, &result)) return {};
  return result;
}

template <size_t Size>
std::optional<int> index_of(const std::array<const char*, Size>& names, std::string_view name) noexcept {
  for (size_t i = 0; i < Size; ++i) {
    if (name == names[i]) return static_cast<int>(i);
  }
  return {};
}

int64_t read_clock(clockid_t clock, int64_t per_second) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * per_second + now.tv_nsec / (ns_per_second / per_second);
}

// The length of the valid UTF-8 sequence at the front of `text`, or 0.
size_t utf8_sequence(std::string_view text) noexcept {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto is_tail = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return is_tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!is_tail(1) || !is_tail(2)) return 0;
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;   // overlong
    if (lead == 0xed && byte(1) >= 0xa0) return 0;  // surrogate
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!is_tail(1) || !is_tail(2) || !is_tail(3)) return 0;
    if (lead == 0xf0 && byte(1) < 0x90) return 0;   // overlong
    if (lead == 0xf4 && byte(1) >= 0x90) return 0;  // above U+10FFFF
    return 4;
  }
  return 0;
}

// Characters that move the cursor, break the line or reorder what is around them: C0, DEL, C1, line and paragraph
// separators, bidirectional marks, the byte order mark.
bool is_unprintable(std::string_view sequence) noexcept {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(sequence[i]); };
  if (sequence.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (sequence.size() == 2) return (byte(0) == 0xc2 && byte(1) < 0xa0) || (byte(0) == 0xd8 && byte(1) == 0x9c);
  if (sequence.size() != 3) return false;
  if (byte(0) == 0xe2 && byte(1) == 0x80)
    return (byte(2) >= 0x8e && byte(2) <= 0x8f) || (byte(2) >= 0xa8 && byte(2) <= 0xae);
  if (byte(0) == 0xe2 && byte(1) == 0x81) return byte(2) >= 0xa6 && byte(2) <= 0xa9;
  return byte(0) == 0xef && byte(1) == 0xbb && byte(2) == 0xbf;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

int64_t now_ms() noexcept { return read_clock(CLOCK_REALTIME, 1'000); }
int64_t now_ns() noexcept { return read_clock(CLOCK_REALTIME, ns_per_second); }

std::string format_rfc3339(int64_t ms) {
  constexpr int64_t first = -62'135'596'800'000;  // 0001-01-01T00:00:00.000Z
  constexpr int64_t last = 253'402'300'799'999;   // 9999-12-31T23:59:59.999Z
  ms = std::clamp(ms, first, last);
  const int64_t seconds = floor_div(ms, 1000);
  const Civil civil = civil_from_seconds(seconds);
  char text[] = "0000-00-00T00:00:00.000Z";
  put_digits(text, civil.year, 4);
  put_digits(text + 5, civil.month, 2);
  put_digits(text + 8, civil.day, 2);
  put_digits(text + 11, civil.hour, 2);
  put_digits(text + 14, civil.minute, 2);
  put_digits(text + 17, civil.second, 2);
  put_digits(text + 20, ms - seconds * 1000, 3);
  return std::string(text, sizeof text - 1);
}

std::optional<int64_t> parse_rfc3339_ns(std::string_view text) noexcept {
  Cursor at{text};
  Civil civil;
  civil.year = at.number(4);
  at.expect("-");
  civil.month = at.number(2);
  at.expect("-");
  civil.day = at.number(2);
  if (!at.ok || at.rest.empty() || (at.rest[0] != 'T' && at.rest[0] != 't' && at.rest[0] != ' ')) return {};
  at.rest.remove_prefix(1);
  civil.hour = at.number(2);
  at.expect(":");
  civil.minute = at.number(2);
  at.expect(":");
  civil.second = at.number(2);
  const int64_t ns = at.fraction_ns();
  int offset_minutes = 0;
  if (at.rest == "Z" || at.rest == "z") {
    at.rest = {};
  } else if (!at.rest.empty() && (at.rest[0] == '+' || at.rest[0] == '-')) {
    const int sign = at.rest[0] == '-' ? -1 : 1;
    at.rest.remove_prefix(1);
    const int hours = at.number(2);
    at.expect(":");
    const int minutes = at.number(2);
    if (hours > 23 || minutes > 59) return {};
    offset_minutes = sign * (hours * 60 + minutes);
  } else {
    return {};
  }
  if (!at.ok || !at.rest.empty()) return {};
  const auto seconds = seconds_from_civil(civil);
  if (!seconds) return {};
  return join_ns(*seconds - offset_minutes * 60, ns);
}

std::optional<int64_t> parse_rfc3339(std::string_view text) noexcept {
  const auto ns = parse_rfc3339_ns(text);
  if (!ns) return {};
  return floor_div(*ns, 1'000'000);
}

std::string format_iso8601_basic(int64_t seconds) {
  const Civil civil = civil_from_seconds(seconds);
  char text[] = "00000000T000000Z";
  put_digits(text, civil.year, 4);
  put_digits(text + 4, civil.month, 2);
  put_digits(text + 6, civil.day, 2);
  put_digits(text + 9, civil.hour, 2);
  put_digits(text + 11, civil.minute, 2);
  put_digits(text + 13, civil.second, 2);
  return std::string(text, sizeof text - 1);
}

std::optional<int64_t> parse_http_date(std::string_view text) noexcept {
  Cursor at{text};
  if (text.size() != 29 || !index_of(weekday_names, text.substr(0, 3))) return {};
  at.rest.remove_prefix(3);
  at.expect(", ");
  Civil civil;
  civil.day = at.number(2);
  at.expect(" ");
  if (!at.ok) return {};
  const auto month = index_of(month_names, at.rest.substr(0, 3));
  if (!month) return {};
  civil.month = *month + 1;
  at.rest.remove_prefix(3);
  at.expect(" ");
  civil.year = at.number(4);
  at.expect(" ");
  civil.hour = at.number(2);
  at.expect(":");
  civil.minute = at.number(2);
  at.expect(":");
  civil.second = at.number(2);
  at.expect(" GMT");
  if (!at.ok) return {};
  return seconds_from_civil(civil);
}

std::string format_http_date(int64_t seconds) {
  const Civil civil = civil_from_seconds(seconds);
  const int64_t days = floor_div(seconds, seconds_per_day);
  const auto weekday = static_cast<size_t>(((days + 4) % 7 + 7) % 7);  // 1970-01-01 was a Thursday
  char text[] = "Thu, 00 Jan 0000 00:00:00 GMT";
  std::memcpy(text, weekday_names[weekday], 3);
  put_digits(text + 5, civil.day, 2);
  std::memcpy(text + 8, month_names[static_cast<size_t>(civil.month - 1)], 3);
  put_digits(text + 12, civil.year, 4);
  put_digits(text + 17, civil.hour, 2);
  put_digits(text + 20, civil.minute, 2);
  put_digits(text + 23, civil.second, 2);
  return std::string(text, sizeof text - 1);
}

std::string format_seconds_ns(int64_t ns) {
  // Through unsigned arithmetic, because the smallest int64_t has no positive twin.
  const uint64_t magnitude = ns < 0 ? 0 - static_cast<uint64_t>(ns) : static_cast<uint64_t>(ns);
  char fraction[10] = ".";
  put_digits(fraction + 1, static_cast<int64_t>(magnitude % ns_per_second), 9);
  std::string text = ns < 0 ? "-" : "";
  text += std::to_string(magnitude / ns_per_second);
  text.append(fraction, sizeof fraction);
  return text;
}

std::optional<int64_t> parse_seconds_ns(std::string_view text) noexcept {
  const bool is_negative = text.starts_with('-');
  if (is_negative) text.remove_prefix(1);
  const size_t dot = std::min(text.find('.'), text.size());
  const auto whole = parse_uint(text.substr(0, dot));
  if (!whole || *whole > INT64_MAX) return {};
  Cursor at{text.substr(dot)};
  const int64_t ns = at.fraction_ns();
  if (!at.ok || !at.rest.empty()) return {};
  const auto seconds = static_cast<int64_t>(*whole);
  if (!is_negative) return join_ns(seconds, ns);
  int64_t result = 0;
  if (__builtin_mul_overflow(-seconds, ns_per_second, &result)) return {};
  if (__builtin_sub_overflow(result, ns, &result)) return {};
  return result;
}

std::optional<uint64_t> parse_uint(std::string_view text) noexcept {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

std::string printable_json(std::string_view json) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(json.size());
  while (!json.empty()) {
    const std::string_view sequence = json.substr(0, std::max<size_t>(utf8_sequence(json), 1));
    if (is_unprintable(sequence)) {
      const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(sequence[i])); };
      const unsigned code = sequence.size() == 1   ? byte(0)
                            : sequence.size() == 2 ? (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f)
                                                   : (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
      text += "\\u";
      for (int shift = 12; shift >= 0; shift -= 4) text += digits[code >> shift & 15];
    } else {
      text += sequence;
    }
    json.remove_prefix(sequence.size());
  }
  return text;
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) noexcept {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace waybill::internal

namespace waybill {

std::string printable(std::string_view key) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(key.size());
  while (!key.empty()) {
    const size_t length = internal::utf8_sequence(key);
    const std::string_view sequence = key.substr(0, length == 0 ? 1 : length);
    if (sequence == "\\") {
      text += "\\\\";
    } else if (length == 0 || internal::is_unprintable(sequence)) {
      for (const char c : sequence) {
        text += "\\x";
        text += digits[static_cast<unsigned char>(c) >> 4];
        text += digits[static_cast<unsigned char>(c) & 15];
      }
    } else {
      text += sequence;
    }
    key.remove_prefix(sequence.size());
  }
  return text;
}

}  // namespace waybill
