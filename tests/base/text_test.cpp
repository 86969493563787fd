// SPDX-License-Identifier: Apache-2.0
//
// Times in text, UTF-8, and keys as people see them.
#include "base/text.hpp"

#include <gtest/gtest.h>

#include "waybill/item.hpp"

namespace waybill::internal {
namespace {

TEST(Rfc3339, FormatsMilliseconds) {
  EXPECT_EQ(format_rfc3339(1'795'200'233'123), "2026-11-20T18:43:53.123Z");
  EXPECT_EQ(format_rfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_rfc3339(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(format_rfc3339(951'782'400'000), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(format_rfc3339(INT64_MAX), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(format_rfc3339(INT64_MIN), "0001-01-01T00:00:00.000Z");
}

TEST(Rfc3339, ParsesWhatServersWrite) {
  EXPECT_EQ(parse_rfc3339("2026-11-20T18:43:53.123Z"), 1'795'200'233'123);
  EXPECT_EQ(parse_rfc3339("2026-11-20T18:43:53Z"), 1'795'200'233'000);
  EXPECT_EQ(parse_rfc3339("2026-11-20t20:43:53+02:00"), 1'795'200'233'000);
  EXPECT_EQ(parse_rfc3339("2026-11-20 13:13:53.5-05:30"), 1'795'200'233'500);
  EXPECT_EQ(parse_rfc3339_ns("1970-01-01T00:00:01.000000001Z"), 1'000'000'001);
  EXPECT_EQ(parse_rfc3339_ns("1970-01-01T00:00:01.1234567899Z"), 1'123'456'789);
  EXPECT_EQ(parse_rfc3339_ns("1969-12-31T23:59:59.999999999Z"), -1);
  EXPECT_EQ(parse_rfc3339("1969-12-31T23:59:59.999999999Z"), -1);
  EXPECT_EQ(parse_rfc3339("2016-12-31T23:59:60Z"), parse_rfc3339("2016-12-31T23:59:59Z"));
  for (const char* wrong :
       {"", "2026-11-20", "2026-11-20T18:43:53", "2026-13-20T18:43:53Z", "2026-02-29T18:43:53Z", "2026-11-20T24:43:53Z",
        "2026-11-20T18:43:53.Z", "2026-11-20T18:43:53Zx", "9999-01-01T00:00:00Z", "2026-11-20T18:43:53+2:00",
        "2026-11-20T18:43:53+02:60", "20261120T184353Z"}) {
    EXPECT_FALSE(parse_rfc3339(wrong).has_value()) << wrong;
  }
}

TEST(Rfc3339, RoundTripsEveryDayOf400Years) {
  for (int64_t day = -60'000; day < 86'100; day += 1) {
    const int64_t ms = day * 86'400'000 + 45'296'789;
    ASSERT_EQ(parse_rfc3339(format_rfc3339(ms)), ms);
  }
}

TEST(Iso8601, IsTheTimeOfASignature) { EXPECT_EQ(format_iso8601_basic(1'440'938'160), "20150830T123600Z"); }

TEST(HttpDate, FormatsAndParsesTheFixedForm) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784'111'777);
  EXPECT_EQ(format_http_date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
  for (int64_t seconds = -86'400 * 9; seconds < 86'400 * 400; seconds += 86'400 * 3 + 1) {
    ASSERT_EQ(parse_http_date(format_http_date(seconds)), seconds);
  }
  for (const char* wrong :
       {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Xxx, 06 Nov 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(parse_http_date(wrong).has_value()) << wrong;
  }
}

TEST(SecondsNs, RoundTrips) {
  EXPECT_EQ(format_seconds_ns(1'700'000'000'000'000'001), "1700000000.000000001");
  EXPECT_EQ(format_seconds_ns(-500'000'000), "-0.500000000");
  for (const int64_t ns :
       {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{999'999'999}, int64_t{-1'500'000'000}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(parse_seconds_ns(format_seconds_ns(ns)), ns) << ns;
  }
  EXPECT_EQ(parse_seconds_ns("12"), 12'000'000'000);
  EXPECT_EQ(parse_seconds_ns("12.5"), 12'500'000'000);
  EXPECT_EQ(parse_seconds_ns("-0.5"), -500'000'000);
  for (const char* wrong :
       {"", "-", ".5", "1.", "1.x", "1,5", "+1", " 1", "9223372037", "99999999999999999999", "-9223372037", "1.5s"}) {
    EXPECT_FALSE(parse_seconds_ns(wrong).has_value()) << wrong;
  }
}

TEST(Uint, TakesWholeNumbersOnly) {
  EXPECT_EQ(parse_uint("0"), 0u);
  EXPECT_EQ(parse_uint("18446744073709551615"), UINT64_MAX);
  for (const char* wrong : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616"}) {
    EXPECT_FALSE(parse_uint(wrong).has_value()) << wrong;
  }
}

TEST(Utf8, IsStrict) {
  for (const char* good : {"", "plain", "\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
                           "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xe1\x80", "\xed\xa0\x80",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xfe"}) {
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
  }
}

TEST(Printable, IsOneUnambiguousLine) {
  EXPECT_EQ(printable("a/b c\xc3\xa9\xf0\x9f\x98\x80"), "a/b c\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(printable("a\nb\r\t\x1b\x7f"), "a\\x0ab\\x0d\\x09\\x1b\\x7f");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\\x0a"), "\\\\x0a");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xe2\x80\xa8\xe2\x80\xae\xc2\x85"), "\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xc2\\x85");
  EXPECT_EQ(printable("\xd8\x9c\xef\xbb\xbf"), "\\xd8\\x9c\\xef\\xbb\\xbf");
}

TEST(Printable, JsonKeepsItsMeaningAndShowsNone) {
  EXPECT_EQ(printable_json("{\"k\":\"\xc2\x9b" "31m\xe2\x80\xae\xd8\x9c\xef\xbb\xbf\x7f\"}"),
            "{\"k\":\"\\u009b31m\\u202e\\u061c\\ufeff\\u007f\"}");
  const std::string harmless = "{\"k\":\"a\\\\b \\u001b \xc3\xa9 \xf0\x9f\x98\x80 \xe2\x80\x8d\"}";
  EXPECT_EQ(printable_json(harmless), harmless);
  EXPECT_EQ(printable_json(""), "");
}

TEST(Ascii, LowersComparesAndTrims) {
  EXPECT_EQ(to_lower("AbC-\xc3\x84"), "abc-\xc3\x84");
  EXPECT_TRUE(equals_ignoring_case("Content-Type", "content-TYPE"));
  EXPECT_FALSE(equals_ignoring_case("a", "ab"));
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \r\n"), "");
}

}  // namespace
}  // namespace waybill::internal
