// SPDX-License-Identifier: Apache-2.0
//
// Text forms of times and checks on text. Independent of the locale, of the time zone and of libc's calendar. text.cpp
// also holds waybill::printable (waybill/item.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::internal {

/// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

/// Milliseconds since 1970 on the wall clock, and nanoseconds.
int64_t now_ms() noexcept;
int64_t now_ns() noexcept;

/// "2026-11-20T18:43:53.123Z". Years 0001 to 9999; beyond them the nearest of the two ends.
std::string format_rfc3339(int64_t ms);
/// RFC 3339 with 'Z' or an offset, 'T' or a space, 0 to 9 (or more, cut) fractional digits → nanoseconds since 1970.
/// Nothing if it is no such time or does not fit.
std::optional<int64_t> parse_rfc3339_ns(std::string_view text) noexcept;
/// As parse_rfc3339_ns, in milliseconds, rounded down.
std::optional<int64_t> parse_rfc3339(std::string_view text) noexcept;

/// "20261120T184353Z", the time of a SigV4 signature.
std::string format_iso8601_basic(int64_t seconds);

/// "Fri, 20 Nov 2026 18:43:53 GMT" (IMF-fixdate) → seconds since 1970. Nothing for anything else.
std::optional<int64_t> parse_http_date(std::string_view text) noexcept;
std::string format_http_date(int64_t seconds);

/// Nanoseconds as "seconds.nanoseconds" with nine digits: "-0.500000000", "1700000000.000000001".
std::string format_seconds_ns(int64_t ns);
/// The inverse; also without a fraction, or with fewer (or more, cut) digits. Nothing if it is no such number or does
/// not fit.
std::optional<int64_t> parse_seconds_ns(std::string_view text) noexcept;

/// A whole decimal number without sign, spaces or anything else; nothing if it is not one or does not fit.
std::optional<uint64_t> parse_uint(std::string_view text) noexcept;

/// JSON with the characters that printable() escapes as `\uNNNN` (those below U+0020 have their escapes already): they
/// stand inside of strings alone. `json` is UTF-8.
std::string printable_json(std::string_view json);

/// ASCII only.
std::string to_lower(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
/// Without spaces, tabs, CR and LF at both ends.
std::string_view trim(std::string_view text) noexcept;

}  // namespace waybill::internal
