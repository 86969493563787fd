// SPDX-License-Identifier: Apache-2.0
//
// Where a range of keys is cut: always inside, always text where keys are text, and near the middle where keys have a
// shape.
#include "engine/key_space.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "base/text.hpp"

namespace waybill::internal {
namespace {

Key numbered(const char* format, int number) {
  char key[64];
  std::snprintf(key, sizeof key, format, number);
  return key;
}

TEST(KeySpace, AboveIsTheLeastTextAfterEveryKeyWithThePrefix) {
  EXPECT_EQ(above("a/"), "a0");
  EXPECT_EQ(above("a"), "b");
  EXPECT_EQ(above("x\x7F"), "x\xC2\x80");
  EXPECT_EQ(above("\xED\x9F\xBF"), "\xEE\x80\x80") << "no surrogates";
  EXPECT_EQ(above("a\xF4\x8F\xBF\xBF"), "b");
  EXPECT_EQ(above("\xF4\x8F\xBF\xBF"), std::nullopt);
  EXPECT_EQ(above(""), std::nullopt);
  EXPECT_EQ(above("a\xFE"), "a\xFF") << "bytes that are no text";
  EXPECT_EQ(above("a\xFF\xFF"), "b");
}

TEST(KeySpace, HexIsCutInTheMiddle) {
  KeySpace space;
  std::mt19937 random(1);
  std::set<Key> page;
  while (page.size() < 100) page.insert("00" + numbered("%08x", static_cast<int>(random() & 0x7FFFFFFF)));
  for (const Key& key : page) space.learn(key);
  const Key first = *page.begin();
  const Key at = *page.rbegin();
  const std::optional<Key> no_end;
  // Whether there is anything beside these names at all is asked first where there is a folder; here there is none.
  const std::optional<Key> cut = space.cut({first, at, no_end, 1});
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->starts_with("7") || cut->starts_with("8")) << *cut;
  EXPECT_GT(space.pages_left({first, at, no_end, 1}), 50);
}

TEST(KeySpace, FolderIsBoundedFirstThenHalved) {
  KeySpace space;
  const Key first = "logs/part-000000";
  const Key at = "logs/part-000999";
  for (int i = 0; i < 1000; ++i) space.learn(numbered("logs/part-%06d", i));
  std::optional<Key> end;
  const std::optional<Key> top = space.cut({first, at, end, 0});
  EXPECT_EQ(top, "logs/part.");
  end = top;
  const std::optional<Key> half = space.cut({first, at, end, 1});
  ASSERT_TRUE(half);
  EXPECT_TRUE(half->starts_with("logs/part-50")) << *half;
  EXPECT_NEAR(space.pages_left({first, at, end, 1}), 999, 2);
}

TEST(KeySpace, EndsOfPartsAreRemembered) {
  KeySpace space;
  for (int i = 0; i < 300; ++i) space.learn(numbered("a/%06d", i));
  const std::optional<Key> end_of_a = "a0";
  space.learn_end({"a/000200", "a/000299", end_of_a});
  const std::optional<Key> end = "b0";
  const Key first = "b/000000";
  const Key at = "b/000099";
  EXPECT_NEAR(space.pages_left({first, at, end}), 2, 0.1);
  const std::optional<Key> cut = space.cut({first, at, end, 1});
  ASSERT_TRUE(cut);
  EXPECT_GT(*cut, "b/0001");
  EXPECT_LT(*cut, "b/0003");
}

// Any two keys, and whatever has been learnt: a cut lies between, and is text if the keys are.
TEST(KeySpace, CutsLieInside) {
  std::mt19937 random(7);
  const std::vector<std::string> letters = {"a",
                                            "b",
                                            "z",
                                            "0",
                                            "1",
                                            "9",
                                            "F",
                                            "/",
                                            "-",
                                            ".",
                                            " ",
                                            "\x01",
                                            "\x7F",
                                            "\xC3\xA9",
                                            "\xE6\x97\xA5",
                                            "\xED\x9F\xBF",
                                            "\xF0\x9F\x98\x80",
                                            "\xF4\x8F\xBF\xBF"};
  const auto text = [&](bool is_text) {
    std::string key;
    for (size_t n = random() % 12; n > 0; --n) {
      if (is_text)
        key += letters[random() % letters.size()];
      else
        key += static_cast<char>(random() % 4 == 0 ? 0xFF : random() % 256);
    }
    return key;
  };
  size_t cuts = 0;
  for (int round = 0; round < 20'000; ++round) {
    const bool is_text = round % 3 != 0;
    const std::string prefix = round % 2 == 0 ? text(is_text) : "";
    std::vector<Key> keys = {prefix + text(is_text), prefix + text(is_text), prefix + text(is_text)};
    std::sort(keys.begin(), keys.end());
    if (keys[1] == keys[2]) continue;
    KeySpace space;
    for (const Key& key : {keys[0], keys[1]}) space.learn(key);
    const std::optional<Key> end = round % 5 == 0 ? std::nullopt : std::optional<Key>(keys[2]);
    const KeySpan span{keys[0], keys[1], end, static_cast<int>(random() % 4)};
    EXPECT_GE(space.pages_left(span), 0);
    space.learn_end(span);
    const std::optional<Key> cut = space.cut(span);
    if (!cut) continue;
    ++cuts;
    EXPECT_GT(*cut, keys[1]);
    EXPECT_TRUE(!end || *cut < *end);
    EXPECT_TRUE(!is_text || is_utf8(*cut)) << printable(*cut);
  }
  EXPECT_GT(cuts, 10'000U);
}

}  // namespace
}  // namespace waybill::internal
