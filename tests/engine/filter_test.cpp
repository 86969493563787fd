// SPDX-License-Identifier: Apache-2.0

#include "engine/filter.hpp"

#include <gtest/gtest.h>

namespace waybill::internal {
namespace {

struct GlobCase {
  const char* glob;
  const char* key;
  bool matches;
};

TEST(Filter, GlobsMatchAsDocumented) {
  const GlobCase cases[] = {
      {"*.tmp", "a.tmp", true},           {"*.tmp", "deep/er/a.tmp", true},   {"*.tmp", "a.tmp/b", false},
      {"a/*.tmp", "a/x.tmp", true},       {"a/*.tmp", "a/b/x.tmp", false},    {"a/**/x", "a/x", true},
      {"a/**/x", "a/b/c/x", true},        {"a/**", "a/b/c", true},            {"a/**", "ab/c", false},
      {"**/cache/**", "cache/x", true},   {"**/cache/**", "z/cache/x", true}, {"**/cache/**", "z/cached/x", false},
      {"/top", "top", true},              {"/top", "a/top", false},           {"?", "a", true},
      {"?", "ab", false},                 {"[a-c]x", "bx", true},             {"[!a-c]x", "bx", false},
      {"[!a-c]x", "dx", true},            {"[]]", "]", true},                 {"\\*", "*", true},
      {"\\*", "a", false},                {"[abc", "[abc", true},             {"empty", "deep/empty/", true},
      {"*", "", true},                    {"", "", true},                     {"", "a", false},
      {"a*b*c", "a__b__b_c", true},       {"a*b*c", "a__b__c_", false},       {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaa", false},
      {"**/*.o", "x.o", true},            {"src/**/t/*.c", "src/a/t/b/t/c.c", true},
  };
  for (const GlobCase& one : cases) {
    EXPECT_EQ(glob_matches(one.glob, one.key), one.matches) << one.glob << " against " << one.key;
  }
}

TEST(Filter, ExcludeGoesBeforeIncludeAndNamesItsRule) {
  Options options;
  options.include = {"*.txt"};
  options.exclude = {"secret*"};
  options.max_size_bytes = 10;
  const auto rule = [&](const char* key, uint64_t size) {
    Item item;
    item.id.key = key;
    item.stamp.size = size;
    return excluding_rule(item, options);
  };
  EXPECT_EQ(rule("a.txt", 1), std::nullopt);
  EXPECT_EQ(rule("secret.txt", 1), "exclude secret*");
  EXPECT_EQ(rule("a.bin", 1), "include");
  EXPECT_EQ(rule("a.txt", 10), std::nullopt);
  EXPECT_EQ(rule("a.txt", 11), "max-size 10");
}

}  // namespace
}  // namespace waybill::internal
