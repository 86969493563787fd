// SPDX-License-Identifier: Apache-2.0
//
// CSV: what rows become, however their bytes come, what is refused, and what is written is read as it was.
#include "base/csv.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.hpp"

namespace waybill::internal {
namespace {

using State = CsvParser::State;
using Rows = std::vector<std::vector<std::string>>;

// In pieces of so many bytes; what is wrong with it is a row of its own, "!" and why.
Rows parse(std::string_view text, size_t piece = SIZE_MAX, size_t longest_row = 1 << 20) {
  CsvParser parser(longest_row);
  Rows rows;
  const auto note = [&](State state) {
    if (state == State::row) rows.push_back(parser.fields());
    if (state == State::broken) rows.push_back({"!", parser.why()});
    return state != State::broken;
  };
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    std::string_view rest = text.substr(0, piece);
    while (!rest.empty()) {
      if (!note(parser.take(rest))) return rows;
    }
  }
  note(parser.finish());
  return rows;
}

TEST(Csv, RowsAreTheSameHoweverTheirBytesCome) {
  const std::string text =
      "a,b\r\n\"1,\"\"2\"\"\",\n\n\r\n\"\"\n\"two\r\nlines\",x\ry\r\n,\n\" spaces \", kept \nthe last,\"row\"";
  const Rows expected = {
      {"a", "b"},         {"1,\"2\"", ""}, {""}, {"two\r\nlines", "x\ry"}, {"", ""}, {" spaces ", " kept "},
      {"the last", "row"}};
  for (const size_t piece : {1U, 2U, 3U, 7U, 1000U}) EXPECT_EQ(parse(text, piece), expected) << piece;
  EXPECT_TRUE(parse("").empty());
  EXPECT_TRUE(parse("\n\n").empty());
  EXPECT_EQ(parse("a,"), (Rows{{"a", ""}}));
  EXPECT_EQ(parse("a\r"), (Rows{{"a\r"}}));
}

TEST(Csv, WhatIsBrokenIsSaid) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\"a\nb", "not closed"},      {"\"a\"b\n", "behind a closing quote"}, {"\"a\" ,b\n", "behind a closing quote"},
      {"\"a\"\rb", "closing quote"}, {"\"a\"\r", "closing quote"},           {"a\"b\n", "does not begin with one"},
      {"\r\"", "does not begin"},
  };
  for (const auto& [text, why] : cases) {
    for (const size_t piece : {1U, 1000U}) {
      const Rows rows = parse(text, piece);
      ASSERT_EQ(rows.size(), 1U) << text;
      ASSERT_EQ(rows[0][0], "!") << text;
      EXPECT_NE(rows[0][1].find(why), std::string::npos) << text << ": " << rows[0][1];
    }
  }
}

TEST(Csv, ARowHasALimit) {
  const size_t longest = 2 << 20;
  const std::string half(longest / 2, 'x');
  EXPECT_EQ(parse(half + "," + half + "\n", SIZE_MAX, longest).at(0).size(), 2U);
  for (const std::string& row : {half + "," + half + "x\n", "\"" + half + half + "x", half + half + "\rx\n"}) {
    const Rows rows = parse(row, 4096, longest);
    ASSERT_EQ(rows.size(), 1U);
    ASSERT_EQ(rows[0].size(), 2U);
    EXPECT_NE(rows[0][1].find("longer than 2 MiB"), std::string::npos) << rows[0][1];
  }
}

TEST(Csv, WhatIsWrittenIsReadAsItWas) {
  Random random(7);
  const std::string letters = "a\",\r\n\"";
  Rows rows;
  std::string text;
  for (int i = 0; i < 500; ++i) {
    std::vector<std::string> row(1 + random.below(4));
    for (std::string& field : row) {
      for (uint64_t n = random.below(6); n > 0; --n) field += letters[random.below(letters.size())];
    }
    for (size_t at = 0; at < row.size(); ++at) {
      if (at > 0) text += ',';
      append_csv_field(text, row[at]);
    }
    text += i % 2 == 0 ? "\n" : "\r\n";
    rows.push_back(std::move(row));
  }
  for (const size_t piece : {1U, 5U, 100'000U}) EXPECT_TRUE(parse(text, piece) == rows) << piece;
}

}  // namespace
}  // namespace waybill::internal
