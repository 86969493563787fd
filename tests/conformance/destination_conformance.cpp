// SPDX-License-Identifier: Apache-2.0
//
// What every Destination keeps (include/waybill/destination.hpp): whole objects, conditions, keys, listings, blocking.
// Objects in parts are in parts_conformance.cpp.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <map>
#include <thread>

#include "conformance/conformance.hpp"
#include "conformance/destination_support.hpp"

namespace waybill::conformance {

using namespace std::chrono_literals;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DestinationConformance);

namespace {

std::vector<Key> put_keys(DestinationFixture& fixture, const std::vector<Key>& wanted, Context& context) {
  const std::vector<Key> refused = fixture.refused_keys();
  std::vector<Key> kept;
  for (const Key& key : wanted) {
    if (!fixture.can_hold(key) || std::find(refused.begin(), refused.end(), key) != refused.end()) {
      std::printf("[  LEFT    ] the store cannot hold \"%s\"\n", printable(key).c_str());
      continue;
    }
    put(fixture.destination(), key, "content of " + key, {}, context);
    kept.push_back(key);
  }
  return kept;
}

void expect_nothing_left(DestinationFixture& fixture) {
  for (const std::string& name : fixture.leftovers()) ADD_FAILURE() << "left behind: " << printable(name);
  for (const std::string& name : fixture.strays()) ADD_FAILURE() << "written outside: " << printable(name);
}

Condition unchanged(const Item& item) {
  Condition condition;
  condition.kind = Condition::Kind::unchanged;
  condition.etag = item.stamp.etag;
  condition.size = item.stamp.size;
  condition.mtime_ns = item.stamp.mtime_ns;
  return condition;
}

}  // namespace

TEST_P(DestinationConformance, IdentityAndEndpointAreStable) {
  Destination& destination = fixture().destination();
  EXPECT_FALSE(destination.identity().empty());
  EXPECT_EQ(destination.identity(), destination.identity());
  EXPECT_FALSE(destination.endpoint().empty());
  EXPECT_EQ(destination.identity().find_first_of("\n\r"), std::string::npos);
}

TEST_P(DestinationConformance, CheckPassesAndLeavesNothing) {
  Destination& destination = fixture().destination();
  destination.check(context());
  EXPECT_TRUE(list_all(destination, {}, context()).empty());
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, CheckOfAStoreThatIsMissingNamesIt) {
  const std::shared_ptr<Destination> missing = fixture().missing_store();
  if (missing == nullptr) GTEST_SKIP() << "such a store cannot be missing";
  const auto error = error_of([&] { missing->check(context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
  EXPECT_EQ(error->message().find('\n'), std::string::npos);
}

TEST_P(DestinationConformance, WhatIsPutIsFoundByStatAndListingAndReadBack) {
  Destination& destination = fixture().destination();
  const Destination::Capabilities can = destination.capabilities();
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4'096}, size_t{70'000}, size_t{3'000'001}}) {
    SCOPED_TRACE(std::to_string(size) + " bytes");
    const Key key = "folder/data" + std::to_string(size);
    const std::string content = sample_content(size, size + 1);
    Attributes attributes;
    if (can.listing_has_mtime) attributes.mtime_ns = 1'600'000'000'123'456'789 + static_cast<int64_t>(size);
    const Stored stored = put(destination, key, content, {attributes, {}}, context());
    EXPECT_EQ(stored.size, size);
    if (stored.digest.crc64nvme) {
      EXPECT_EQ(*stored.digest.crc64nvme, digest_of(content).crc64nvme);
    }
    if (can.listing_has_etag) {
      EXPECT_FALSE(stored.etag.empty());
    }
    if (can.listing_has_mtime) {
      EXPECT_EQ(stored.mtime_ns, attributes.mtime_ns);
    }

    const std::optional<Item> item = destination.stat(key, context());
    ASSERT_TRUE(item);
    EXPECT_EQ(item->id.key, key);
    EXPECT_EQ(item->stamp.size, size);
    EXPECT_EQ(item->stamp.etag, stored.etag);
    if (can.listing_has_mtime) {
      EXPECT_EQ(item->stamp.mtime_ns, attributes.mtime_ns);
    }
    if (item->digest.crc64nvme) {
      EXPECT_EQ(*item->digest.crc64nvme, digest_of(content).crc64nvme);
    }

    const std::vector<Item> listed = list_all(destination, {"", "", "", ""}, context());
    const auto found = std::find_if(listed.begin(), listed.end(), [&](const Item& i) { return i.id.key == key; });
    ASSERT_NE(found, listed.end());
    EXPECT_EQ(found->stamp.size, size);
    if (can.listing_has_etag) {
      EXPECT_EQ(found->stamp.etag, stored.etag);
    }
    if (can.listing_has_mtime) {
      EXPECT_EQ(found->stamp.mtime_ns, attributes.mtime_ns);
    }

    EXPECT_TRUE(same(fixture().content(key), content));
    EXPECT_TRUE(read_back(destination, *item, context()).value_or(content) == content);
  }
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, AWindowedBodyIsWrittenWhole) {
  Destination& destination = fixture().destination();
  const std::string content = sample_content(5'000'003, 9);
  std::vector<uint64_t> offsets;
  const Body body(content.size(), [&](uint64_t offset, std::span<std::byte> out) {
    offsets.push_back(offset);
    EXPECT_LE(out.size(), size_t{1} << 20);
    const size_t n = std::min<size_t>(out.size(), content.size() - std::min<uint64_t>(offset, content.size()));
    std::memcpy(out.data(), content.data() + offset, n);
    return n;
  });
  const Stored stored = destination.put("windowed", body, {}, context());
  EXPECT_EQ(stored.size, content.size());
  EXPECT_TRUE(same(fixture().content("windowed"), content));
  EXPECT_FALSE(offsets.empty());
}

TEST_P(DestinationConformance, PutReplaces) {
  Destination& destination = fixture().destination();
  const Stored first = put(destination, "data", std::string(5'000, 'a'), {}, context());
  const Stored second = put(destination, "data", "short", {}, context());
  if (destination.capabilities().listing_has_etag) {
    EXPECT_NE(first.etag, second.etag);
  }
  EXPECT_TRUE(same(fixture().content("data"), "short"));
  EXPECT_EQ(destination.stat("data", context())->stamp.size, 5U);
  put(destination, "data", "", {}, context());
  EXPECT_TRUE(same(fixture().content("data"), ""));
  EXPECT_EQ(list_all(destination, {}, context()).size(), 1U);
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, TheEtagChangesWithTheContentNotWithTheCall) {
  Destination& destination = fixture().destination();
  if (!destination.capabilities().listing_has_etag) GTEST_SKIP() << "no etags";
  const Stored a = put(destination, "data", "aaaa", {}, context());
  const Stored b = put(destination, "data", "bbbb", {}, context());
  EXPECT_NE(a.etag, b.etag);
  EXPECT_EQ(a.etag.find('"'), std::string::npos) << "etags come without quotes";
  EXPECT_EQ(destination.stat("data", context())->stamp.etag, destination.stat("data", context())->stamp.etag);
}

TEST_P(DestinationConformance, AttributesAreKeptAsPromised) {
  const AttributesKept kept = fixture().attributes_kept();
  Attributes want;
  if (kept.content_headers) {
    want.content_type = "text/x-test; charset=utf-8";
    want.content_encoding = "identity-x";
    want.content_language = "de";
    want.content_disposition = "attachment; filename=\"a b.txt\"";
    want.cache_control = "max-age=60";
  }
  if (kept.metadata) want.metadata = {{"colour", "blue"}, {"two-words", "with  spaces"}};
  if (kept.mode) want.mode = 0640;
  if (kept.mtime) want.mtime_ns = 1'234'567'890'123'456'789;
  Destination& destination = fixture().destination();
  for (const std::string& content : {std::string("x"), std::string()}) {
    put(destination, "data", content, {want, {}}, context());
    Attributes got;
    const std::optional<Item> item = destination.stat("data", context());
    ASSERT_TRUE(item);
    const auto error = error_of([&] { got = destination.read(*item, 0, {}, context()).attributes; });
    if (error && error->code() == ErrorCode::unimplemented) GTEST_SKIP() << "the destination cannot read back";
    ASSERT_FALSE(error) << error->message();
    if (kept.content_headers) {
      EXPECT_EQ(got.content_type, want.content_type);
      EXPECT_EQ(got.content_encoding, want.content_encoding);
      EXPECT_EQ(got.content_language, want.content_language);
      EXPECT_EQ(got.content_disposition, want.content_disposition);
      EXPECT_EQ(got.cache_control, want.cache_control);
    }
    if (kept.metadata) {
      EXPECT_EQ(got.metadata, want.metadata);
    }
    if (kept.mode) {
      EXPECT_EQ(got.mode, want.mode);
    }
    if (kept.mtime) {
      EXPECT_EQ(got.mtime_ns, want.mtime_ns);
    }
  }
}

TEST_P(DestinationConformance, StatFindsNothingWhereNothingIs) {
  Destination& destination = fixture().destination();
  put(destination, "a/file", "x", {}, context());
  EXPECT_FALSE(destination.stat("not there", context()));
  EXPECT_FALSE(destination.stat("not/there/either", context()));
  EXPECT_FALSE(destination.stat("a/file/below", context()));
  EXPECT_FALSE(destination.stat("a", context())) << "a folder is no object";
}

TEST_P(DestinationConformance, ConditionAbsent) {
  Destination& destination = fixture().destination();
  if (!destination.capabilities().conditional) GTEST_SKIP() << "not conditional";
  WriteOptions options;
  options.condition.kind = Condition::Kind::absent;
  put(destination, "data", "first", options, context());
  for (const std::string& content : {std::string("second"), std::string(), std::string("first")}) {
    const auto error = error_of([&] { put(destination, "data", content, options, context()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::conflict) << error->message();
    EXPECT_FALSE(error->retryable());
  }
  EXPECT_TRUE(same(fixture().content("data"), "first"));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, ConditionUnchanged) {
  Destination& destination = fixture().destination();
  if (!destination.capabilities().conditional) GTEST_SKIP() << "not conditional";
  put(destination, "data", "first", {}, context());
  const Item first = *destination.stat("data", context());
  WriteOptions options;
  options.condition = unchanged(first);
  put(destination, "data", "second!", options, context());
  EXPECT_TRUE(same(fixture().content("data"), "second!"));
  const auto stale = error_of([&] { put(destination, "data", "third", options, context()); });
  ASSERT_TRUE(stale);
  EXPECT_EQ(stale->error_class(), ErrorClass::conflict) << stale->message();
  destination.remove("data", context());
  const auto gone = error_of([&] { put(destination, "data", "fourth", options, context()); });
  ASSERT_TRUE(gone) << "there is nothing that could be unchanged";
  EXPECT_EQ(gone->error_class(), ErrorClass::conflict) << gone->message();
  EXPECT_FALSE(fixture().content("data"));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, ExactlyOneOfEightRacingWritersWins) {
  Destination& destination = fixture().destination();
  if (!destination.capabilities().conditional) GTEST_SKIP() << "not conditional";
  for (int round = 0; round < 12; ++round) {
    const Key key = "race/" + std::to_string(round);
    WriteOptions options;
    options.condition.kind = Condition::Kind::absent;
    if (round % 2 == 1) {
      put(destination, key, "what was there", {}, context());
      options.condition = unchanged(*destination.stat(key, context()));
    }
    SCOPED_TRACE(round % 2 == 1 ? "unchanged" : "absent");
    std::barrier ready(8);
    std::atomic<int> winners{0};
    std::atomic<int> winner{-1};
    std::atomic<int> strange{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        ready.arrive_and_wait();
        const auto error = error_of([&] {
          put(destination, key, std::string(1'000 + static_cast<size_t>(t), static_cast<char>('a' + t)), options, context());
        });
        if (!error) {
          ++winners;
          winner = t;
        } else if (error->error_class() != ErrorClass::conflict) {
          ++strange;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(strange, 0) << "losers that failed with another class than conflict";
    if (winners == 1) {
      EXPECT_TRUE(same(fixture().content(key), std::string(1'000 + static_cast<size_t>(winner), static_cast<char>('a' + winner))));
    }
  }
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, ManyThreadsWriteIntoNewFolders) {
  Destination& destination = fixture().destination();
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const Key key = "n" + std::to_string(i) + "/deep/er/" + std::to_string(t);
        if (error_of([&] { put(destination, key, key, {}, context()); })) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(list_all(destination, {}, context()).size(), 160U);
  EXPECT_TRUE(same(fixture().content("n19/deep/er/7"), "n19/deep/er/7"));
}

TEST_P(DestinationConformance, WritersOfOneKeyLeaveOneWholeObject) {
  Destination& destination = fixture().destination();
  for (int round = 0; round < 5; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        error_of([&] {
          put(destination, "one", std::string(200'000 + static_cast<size_t>(t), static_cast<char>('a' + t)), {}, context());
        });
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::optional<std::string> content = fixture().content("one");
    ASSERT_TRUE(content && !content->empty());
    EXPECT_EQ(content->size(), 200'000U + static_cast<size_t>(content->front() - 'a'));
    EXPECT_EQ(content->find_first_not_of(content->front()), std::string::npos) << "a mixture of two writes";
  }
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, BytesThatAreNotTheAnnouncedOnesAreRefused) {
  Destination& destination = fixture().destination();
  put(destination, "data", "old", {}, context());
  std::string content = sample_content(50'000, 4);
  const Digest digest = digest_of(content);
  content[25'000] = static_cast<char>(content[25'000] ^ 1);  // as if memory had failed after the digest was taken
  for (const Key& key : {Key("data"), Key("new")}) {
    const auto error = error_of([&] { destination.put(key, Body(std::as_bytes(std::span(content)), digest), {}, context()); });
    ASSERT_TRUE(error) << "bytes went in that are not those of the digest";
    EXPECT_EQ(error->error_class(), ErrorClass::checksum) << error->message();
  }
  EXPECT_TRUE(same(fixture().content("data"), "old"));
  EXPECT_FALSE(fixture().content("new"));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, AFailedPutLeavesTheOldObject) {
  Destination& destination = fixture().destination();
  put(destination, "data", "old", {}, context());
  const std::string content = sample_content(6'000'000, 5);
  for (const bool by_cancelling : {false, true}) {
    SCOPED_TRACE(by_cancelling ? "cancelled" : "the source fails");
    for (const Key& key : {Key("data"), Key("new")}) {
      testing::TestContext own;
      const Body body(content.size(), [&](uint64_t offset, std::span<std::byte> out) {
        if (offset > 3'000'000) {
          if (!by_cancelling) throw Error(ErrorCode::unavailable, ErrorClass::network, "the source broke off");
          own.cancel();
        }
        const size_t n = std::min<size_t>(out.size(), content.size() - std::min<uint64_t>(offset, content.size()));
        std::memcpy(out.data(), content.data() + offset, n);
        return n;
      });
      const auto error = error_of([&] { destination.put(key, body, {}, own); });
      if (by_cancelling && !error) {  // it was past the point of no return
        EXPECT_TRUE(same(fixture().content(key), content));
        put(destination, "data", "old", {}, context());
        destination.remove("new", context());
        continue;
      }
      ASSERT_TRUE(error);
      EXPECT_EQ(error->error_class(), by_cancelling ? ErrorClass::cancelled : ErrorClass::network) << error->message();
      EXPECT_TRUE(same(fixture().content(key), key == "data" ? std::optional<std::string>("old") : std::nullopt));
    }
  }
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, AnObjectAboveTheLimitIsTooLarge) {
  Destination& destination = fixture().destination();
  const uint64_t limit = destination.capabilities().max_put_bytes;
  if (limit >= INT64_MAX) GTEST_SKIP() << "no limit that anything could reach";
  // It has to be refused by its length: nothing is read, and so nothing fills up.
  const Body body(limit + 1, [](uint64_t, std::span<std::byte>) -> size_t {
    throw Error(ErrorCode::internal, ErrorClass::internal, "bytes of an object that is too large were read");
  });
  const auto error = error_of([&] { destination.put("data", body, {}, context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::too_large) << error->message();
}

TEST_P(DestinationConformance, KeysAreBytes) {
  Destination& destination = fixture().destination();
  const std::vector<Key> keys = put_keys(fixture(), awkward_keys(), context());
  check_order(destination, keys, context());
  for (const Key& key : keys) {
    SCOPED_TRACE(printable(key));
    EXPECT_TRUE(same(fixture().content(key), "content of " + key));
    ASSERT_TRUE(destination.stat(key, context()));
    EXPECT_EQ(destination.stat(key, context())->id.key, key);
  }
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, ListsBetweenBounds) {
  if (!fixture().destination().capabilities().start_after) GTEST_SKIP() << "no start_after";
  const std::vector<Key> keys = put_keys(fixture(), awkward_keys(), context());
  check_bounds(fixture().destination(), keys, context());
}

TEST_P(DestinationConformance, ListingsGoOnFromEveryPage) {
  std::vector<Key> keys;
  for (size_t i = 0; i < fixture().more_than_a_page(); ++i) keys.push_back("f" + std::to_string(i % 13) + "/i" + std::to_string(i));
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < keys.size(); i = next++) put(fixture().destination(), keys[i], "", {}, context());
    });
  }
  for (std::thread& thread : threads) thread.join();
  check_order(fixture().destination(), keys, context());
  check_resume(fixture().destination(), keys, context());
}

TEST_P(DestinationConformance, HostileKeysAreRefusedOrHeldVerbatimAndNothingIsWrittenOutside) {
  Destination& destination = fixture().destination();
  std::vector<Key> refused = fixture().refused_keys();
  std::vector<Key> wanted = hostile_keys();
  wanted.insert(wanted.end(), refused.begin(), refused.end());
  for (const Key& key : wanted) {
    SCOPED_TRACE(printable(key).substr(0, 100));
    if (std::find(refused.begin(), refused.end(), key) == refused.end() && !fixture().can_hold(key)) continue;
    const bool must_refuse = std::find(refused.begin(), refused.end(), key) != refused.end();
    const auto error = error_of([&] { put(destination, key, "hostile", {}, context()); });
    if (error) {
      EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
      EXPECT_FALSE(error->retryable());
      if (destination.capabilities().parts) {
        const auto parts_error = error_of([&] {
          PartPlan plan;
          plan.part_size = destination.capabilities().min_part_bytes;
          destination.begin_parts(key, plan, {}, context())->abort(context());
        });
        ASSERT_TRUE(parts_error) << "refused as a whole, but not in parts";
        EXPECT_EQ(parts_error->error_class(), ErrorClass::unsupported) << parts_error->message();
      }
      std::optional<Item> found;
      error_of([&] { found = destination.stat(key, context()); });
      EXPECT_FALSE(found);
      error_of([&] { destination.remove(key, context()); });
    } else {
      EXPECT_FALSE(must_refuse) << "was accepted";
      EXPECT_EQ(keys_of(list_all(destination, {}, context())), std::vector<Key>{key});
      EXPECT_TRUE(same(fixture().content(key), "hostile"));
      destination.remove(key, context());
    }
    EXPECT_TRUE(list_all(destination, {}, context()).empty());
    expect_nothing_left(fixture());
  }
}

TEST_P(DestinationConformance, AnEmptyFolderIsAnObject) {
  if (!fixture().can_hold("folder/")) GTEST_SKIP() << "the store has no folders";
  Destination& destination = fixture().destination();
  Attributes attributes;
  if (fixture().attributes_kept().mode) attributes.mode = 0750;
  put(destination, "folder/", "", {attributes, {}}, context());
  put(destination, "folder/", "", {attributes, {}}, context());  // again, as after a crash
  EXPECT_EQ(keys_of(list_all(destination, {}, context())), std::vector<Key>{"folder/"});
  const std::optional<Item> item = destination.stat("folder/", context());
  ASSERT_TRUE(item);
  EXPECT_EQ(item->stamp.size.value_or(0), 0U);
  destination.remove("folder/", context());
  EXPECT_TRUE(list_all(destination, {}, context()).empty());
}

TEST_P(DestinationConformance, AFileInPlaceOfAFolderStays) {
  Destination& destination = fixture().destination();
  put(destination, "a", "a file", {}, context());
  const auto below = error_of([&] { put(destination, "a/b", "below a file", {}, context()); });
  if (below) {
    EXPECT_TRUE(below->error_class() == ErrorClass::collision || below->error_class() == ErrorClass::unsupported ||
                below->error_class() == ErrorClass::conflict || below->error_class() == ErrorClass::occupied)
        << below->message();
    EXPECT_FALSE(below->retryable());
  } else {
    EXPECT_TRUE(same(fixture().content("a/b"), "below a file"));
  }
  EXPECT_TRUE(same(fixture().content("a"), "a file"));
  put(destination, "c/d", "below", {}, context());
  const auto above = error_of([&] { put(destination, "c", "a file", {}, context()); });
  if (above) {
    EXPECT_FALSE(above->retryable()) << above->message();
  }
  EXPECT_TRUE(same(fixture().content("c/d"), "below"));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, RemoveRemovesAndMayBeRepeated) {
  Destination& destination = fixture().destination();
  put(destination, "a/b/c", "x", {}, context());
  put(destination, "a/d", "y", {}, context());
  const auto error = error_of([&] { destination.remove("a/b/c", context()); });
  if (error && error->code() == ErrorCode::unimplemented) GTEST_SKIP() << "nothing can be removed";
  ASSERT_FALSE(error) << error->message();
  EXPECT_FALSE(destination.stat("a/b/c", context()));
  destination.remove("a/b/c", context());
  destination.remove("never/there", context());
  EXPECT_TRUE(same(fixture().content("a/d"), "y"));
  EXPECT_FALSE(fixture().content("a/b/c"));
}

TEST_P(DestinationConformance, FlushMayBeCalledAtAnyTime) {
  Destination& destination = fixture().destination();
  destination.flush(context());
  for (int i = 0; i < 20; ++i) put(destination, "d" + std::to_string(i) + "/f", "x", {}, context());
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const auto error = error_of([&] {
        put(destination, "t" + std::to_string(t), "x", {}, context());
        destination.flush(context());
      });
      if (error) ++failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  destination.remove("d3/f", context());
  put(destination, "gone", "x", {}, context());
  destination.remove("gone", context());
  destination.flush(context());  // what it would have flushed is no longer there
  EXPECT_EQ(list_all(destination, {}, context()).size(), 23U);
}

TEST_P(DestinationConformance, CopyMakesTheSameObjectOrSaysThatItCannot) {
  Destination& destination = fixture().destination();
  Locator nowhere;
  nowhere.scheme = "no-such-scheme";
  nowhere.bucket = "b";
  nowhere.key = "k";
  EXPECT_FALSE(destination.copy("data", nowhere, {}, context()));
  EXPECT_FALSE(destination.stat("data", context()));
}

TEST_P(DestinationConformance, ACancelledContextEndsEveryCall) {
  Destination& destination = fixture().destination();
  put(destination, "data", sample_content(100'000, 3), {}, context());
  const Item item = *destination.stat("data", context());
  for (const auto& [name, call] : blocking_calls(destination, item)) {
    SCOPED_TRACE(name);
    testing::TestContext cancelled;
    cancelled.cancel();
    const auto begin = std::chrono::steady_clock::now();
    const auto error = error_of([&, &call = call] { call(cancelled); });
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
    if (error && error->code() != ErrorCode::unimplemented) {
      EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << error->message();
    }
  }
}

TEST_P(DestinationConformance, EveryCallThatHangsEndsWithinASecondOfItsCancellation) {
  Destination& destination = fixture().destination();
  put(destination, "data", sample_content(100'000, 3), {}, context());
  const auto calls = blocking_calls(destination, *destination.stat("data", context()));
  if (!fixture().stall()) GTEST_SKIP() << "calls to this store cannot be made to hang";
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    const auto error = cancel_during(call, 300ms);
    // Defaults and calls that ask the store nothing return at once.
    const bool may_return = name == "check" || name == "flush" || name == "sweep" || name == "copy";
    if (may_return && !error) continue;
    ASSERT_TRUE(error) << "it was not hanging";
    if (error->code() == ErrorCode::unimplemented) continue;
    EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << error->message();
  }
  fixture().resume();
  put(destination, "data", "the store works again, so must the destination", {}, context());
  EXPECT_TRUE(same(fixture().content("data"), "the store works again, so must the destination"));
}

}  // namespace waybill::conformance
