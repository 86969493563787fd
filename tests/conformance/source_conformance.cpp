// SPDX-License-Identifier: Apache-2.0
//
// What every Source keeps (include/waybill/source.hpp).
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "conformance/conformance.hpp"

namespace waybill::conformance {

using namespace std::chrono_literals;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SourceConformance);

namespace {

/// Reads `length` bytes at `offset` into a buffer with guards at both ends.
struct Read {
  ReadResult result;
  std::string bytes;
};

Read read_at(Source& source, const Item& item, uint64_t offset, size_t length, Context& context) {
  constexpr size_t guard = 16;
  std::vector<std::byte> buffer(length + 2 * guard, std::byte{0xa5});
  Read read;
  read.result = source.read(item, offset, std::span(buffer).subspan(guard, length), context);
  EXPECT_LE(read.result.count, length);
  const size_t count = std::min(read.result.count, length);
  for (size_t i = 0; i < guard; ++i) {
    EXPECT_EQ(buffer[i], std::byte{0xa5}) << "a byte before the buffer was written";
    EXPECT_EQ(buffer[guard + length + i], std::byte{0xa5}) << "a byte behind the buffer was written";
  }
  read.bytes.assign(reinterpret_cast<const char*>(buffer.data() + guard), count);
  return read;
}

std::string read_stream(Stream& stream, size_t step, Context& context) {
  std::string content;
  std::vector<std::byte> buffer(step);
  for (;;) {
    const size_t n = stream.read(buffer, context);
    if (n == 0) break;
    EXPECT_LE(n, step);
    content.append(reinterpret_cast<const char*>(buffer.data()), std::min(n, step));
  }
  EXPECT_EQ(stream.read(buffer, context), 0U) << "the end is not the end when asked again";
  return content;
}

Item only_item(Source& source, const Key& key, Context& context) {
  for (Item& item : list_all(source, {}, context)) {
    if (item.id.key == key) return std::move(item);
  }
  ADD_FAILURE() << "not listed: " << printable(key);
  return {};
}

/// Every field that the listing fills has the same value in `other`.
void expect_same_revision(const SourceStamp& listed, const SourceStamp& other, const char* whose) {
  EXPECT_EQ(listed.size, other.size) << whose;
  EXPECT_EQ(listed.etag, other.etag) << whose;
  EXPECT_EQ(listed.mtime_ns, other.mtime_ns) << whose;
  EXPECT_EQ(listed.version, other.version) << whose;
  EXPECT_EQ(listed.opaque, other.opaque) << whose;
}

std::vector<Key> put_keys(SourceFixture& fixture, const std::vector<Key>& wanted) {
  std::vector<Key> kept;
  for (const Key& key : wanted) {
    if (!fixture.can_hold(key)) {
      std::printf("[  LEFT    ] the store cannot hold \"%s\"\n", printable(key).c_str());
      continue;
    }
    fixture.put(key, "content of " + key, {});
    kept.push_back(key);
  }
  return kept;
}

}  // namespace

TEST_P(SourceConformance, IdentityAndEndpointAreStable) {
  Source& source = fixture().source();
  EXPECT_FALSE(source.identity().empty());
  EXPECT_EQ(source.identity(), source.identity());
  EXPECT_FALSE(source.endpoint().empty());
  EXPECT_EQ(source.endpoint(), source.endpoint());
  EXPECT_EQ(source.identity().find_first_of("\n\r"), std::string::npos);
}

TEST_P(SourceConformance, CheckPassesOnAStoreThatIsThere) { fixture().source().check(context()); }

TEST_P(SourceConformance, CheckOfAStoreThatIsMissingNamesIt) {
  const std::shared_ptr<Source> missing = fixture().missing_store();
  if (missing == nullptr) GTEST_SKIP() << "such a store cannot be missing";
  const auto error = error_of([&] { missing->check(context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
  EXPECT_FALSE(error->message().empty());
  EXPECT_EQ(error->message().find('\n'), std::string::npos);
  EXPECT_FALSE(error->retryable());
}

TEST_P(SourceConformance, AnEmptyStoreListsNothing) {
  EXPECT_TRUE(list_all(fixture().source(), {}, context()).empty());
}

TEST_P(SourceConformance, ListsEveryKeyOnceInThePromisedOrder) {
  const std::vector<Key> keys = put_keys(fixture(), awkward_keys());
  check_order(fixture().source(), keys, context());
}

TEST_P(SourceConformance, ListsBetweenBounds) {
  if (!fixture().source().capabilities().start_after) GTEST_SKIP() << "no start_after";
  const std::vector<Key> keys = put_keys(fixture(), awkward_keys());
  check_bounds(fixture().source(), keys, context());
}

TEST_P(SourceConformance, ListingsGoOnFromEveryPage) {
  std::vector<Key> keys;
  for (size_t i = 0; i < fixture().more_than_a_page(); ++i) {
    keys.push_back("folder" + std::to_string(i % 13) + "/sub" + std::to_string(i % 7) + "/item" + std::to_string(i));
    fixture().put(keys.back(), "", {});
  }
  check_order(fixture().source(), keys, context());
  check_resume(fixture().source(), keys, context());
}

TEST_P(SourceConformance, AnEmptyFolderIsAnItem) {
  if (!fixture().can_hold("folder/")) GTEST_SKIP() << "the store has no folders";
  fixture().put("folder/", "", {});
  fixture().put("other/sub/", "", {});
  fixture().put("other/file", "x", {});
  EXPECT_EQ(keys_of(list_all(fixture().source(), {}, context())).size(), 3U);
  check_order(fixture().source(), {"folder/", "other/sub/", "other/file"}, context());
  const Item folder = only_item(fixture().source(), "folder/", context());
  EXPECT_EQ(folder.refused, ErrorClass::none);
  EXPECT_EQ(read_at(fixture().source(), folder, 0, 10, context()).result.count, 0U);
}

TEST_P(SourceConformance, TwoListersDoNotDisturbEachOtherAndMayEndEarly) {
  const std::vector<Key> keys = put_keys(fixture(), awkward_keys());
  Source& source = fixture().source();
  const std::unique_ptr<Lister> first = source.list({}, context());
  std::vector<Key> got = keys_of(first->next(context()).items);
  { source.list({}, context())->next(context()); }
  check_order(source, keys, context());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NE(std::find(keys.begin(), keys.end(), got[i]), keys.end());
}

TEST_P(SourceConformance, EveryKeyIsReadAsItWasListed) {
  put_keys(fixture(), awkward_keys());
  Source& source = fixture().source();
  for (const Item& item : list_all(source, {}, context())) {
    SCOPED_TRACE(printable(item.id.key));
    ASSERT_EQ(item.refused, ErrorClass::none) << item.reason;
    if (source.capabilities().positioned) {
      EXPECT_EQ(read_at(source, item, 0, 70'000, context()).bytes, "content of " + item.id.key);
    }
    EXPECT_EQ(read_stream(*source.stream(item, context()), 4096, context()), "content of " + item.id.key);
  }
}

TEST_P(SourceConformance, ReadsEveryRange) {
  Source& source = fixture().source();
  if (!source.capabilities().positioned) GTEST_SKIP() << "the source cannot position";
  const std::string content = sample_content(300'001, 1);
  fixture().put("data", content, {});
  const Item item = only_item(source, "data", context());
  const uint64_t size = content.size();
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{4095}, uint64_t{4096}, uint64_t{65'536}, size / 2, size - 1,
                                size, size + 1, size + 10'000'000}) {
    for (const size_t length : {size_t{0}, size_t{1}, size_t{4096}, size_t{65'537}, size_t{300'001}, size_t{400'000}}) {
      SCOPED_TRACE("offset " + std::to_string(offset) + " length " + std::to_string(length));
      const Read read = read_at(source, item, offset, length, context());
      EXPECT_EQ(read.bytes, offset >= size ? "" : content.substr(offset, length));
      if (read.result.total_size && offset < size && length > 0) {
        EXPECT_EQ(*read.result.total_size, size);
      }
    }
  }
}

TEST_P(SourceConformance, AnEmptyItemReadsAsNothing) {
  fixture().put("empty", "", {});
  Source& source = fixture().source();
  const Item item = only_item(source, "empty", context());
  if (item.stamp.size) {
    EXPECT_EQ(*item.stamp.size, 0U);
  }
  EXPECT_EQ(read_stream(*source.stream(item, context()), 10, context()), "");
  if (!source.capabilities().positioned) return;
  EXPECT_EQ(read_at(source, item, 0, 0, context()).result.count, 0U);
  EXPECT_EQ(read_at(source, item, 0, 100, context()).result.count, 0U);
  EXPECT_EQ(read_at(source, item, 5, 100, context()).result.count, 0U);
}

TEST_P(SourceConformance, StampsAgreeBetweenListReadStreamAndStat) {
  fixture().put("data", sample_content(10'000, 2), {});
  fixture().put("empty", "", {});
  Source& source = fixture().source();
  const std::vector<Item> again = list_all(source, {}, context());
  for (const Item& item : list_all(source, {}, context())) {
    SCOPED_TRACE(item.id.key);
    const auto same = std::find_if(again.begin(), again.end(), [&](const Item& other) { return other.id == item.id; });
    ASSERT_NE(same, again.end());
    EXPECT_EQ(same->stamp, item.stamp) << "a second listing";
    if (!source.capabilities().lists_stamps) continue;
    EXPECT_NE(item.stamp, SourceStamp{}) << "lists_stamps is promised";
    if (source.capabilities().positioned) {
      expect_same_revision(item.stamp, read_at(source, item, 0, 10, context()).result.stamp, "read at 0");
      expect_same_revision(item.stamp, read_at(source, item, 7, 3, context()).result.stamp, "read at 7");
      expect_same_revision(item.stamp, read_at(source, item, 0, 0, context()).result.stamp, "a read of no bytes");
    }
    const std::optional<Item> now = source.stat(item.id, context());
    ASSERT_TRUE(now);
    EXPECT_EQ(now->id, item.id);
    expect_same_revision(item.stamp, now->stamp, "stat");
    const std::unique_ptr<Stream> stream = source.stream(item, context());
    read_stream(*stream, 4096, context());
    if (stream->stamp() != SourceStamp{}) expect_same_revision(item.stamp, stream->stamp(), "stream");
  }
}

TEST_P(SourceConformance, StreamGivesWhatReadGives) {
  Source& source = fixture().source();
  for (const size_t size : {size_t{1}, size_t{65'536}, size_t{1'500'003}}) {
    const std::string content = sample_content(size, size);
    const Key key = "data" + std::to_string(size);
    fixture().put(key, content, {});
    const Item item = only_item(source, key, context());
    for (const size_t step : {size_t{1'000}, size_t{65'536}, size_t{2'000'000}}) {
      const std::unique_ptr<Stream> stream = source.stream(item, context());
      if (stream->size()) {
        EXPECT_EQ(*stream->size(), size);
      }
      EXPECT_TRUE(read_stream(*stream, step, context()) == content) << size << " bytes in steps of " << step;
    }
    if (source.capabilities().positioned) {
      EXPECT_TRUE(read_at(source, item, 0, size, context()).bytes == content);
    }
  }
}

TEST_P(SourceConformance, ManyThreadsReadAtOnce) {
  Source& source = fixture().source();
  std::map<Key, std::string> contents;
  for (uint64_t i = 0; i < 4; ++i) {
    const Key key = "data" + std::to_string(i);
    contents[key] = sample_content(200'000 + 1'000 * i, i);
    fixture().put(key, contents[key], {});
  }
  const std::vector<Item> items = list_all(source, {}, context());
  ASSERT_EQ(items.size(), 4U);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 12; ++i) {
        const Item& item = items[(t + i) % items.size()];
        const std::string& content = contents.at(item.id.key);
        const size_t offset = (t * 7919 + i * 104'729) % content.size();
        std::vector<std::byte> out(50'000);
        const auto error = error_of([&] {
          if (source.capabilities().positioned) {
            const ReadResult read = source.read(item, offset, out, context());
            const std::string want = content.substr(offset, out.size());
            if (read.count != want.size() || std::memcmp(out.data(), want.data(), want.size()) != 0) ++wrong;
          } else if (read_stream(*source.stream(item, context()), 60'000, context()) != content) {
            ++wrong;
          }
        });
        if (error) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(SourceConformance, AMissingItemIsMissing) {
  fixture().put("there", "x", {});
  Source& source = fixture().source();
  Item item = only_item(source, "there", context());
  EXPECT_FALSE(source.stat({"", "not there", ""}, context()));
  EXPECT_FALSE(source.stat({"", "not/there/either", ""}, context()));
  EXPECT_FALSE(source.stat({"", "there/below", ""}, context()));
  item.id.key = "not there";
  if (source.capabilities().positioned) {
    const auto error = error_of([&] { read_at(source, item, 0, 10, context()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
    EXPECT_EQ(error->code(), ErrorCode::not_found);
    EXPECT_FALSE(error->retryable());
  }
  const auto error = error_of([&] { read_stream(*source.stream(item, context()), 10, context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
}

TEST_P(SourceConformance, AnItemRemovedAfterItWasListedIsMissing) {
  fixture().put("gone", "x", {});
  fixture().put("stays", "x", {});
  Source& source = fixture().source();
  const Item item = only_item(source, "gone", context());
  fixture().remove("gone");
  EXPECT_FALSE(source.stat(item.id, context()));
  const auto error = error_of([&] { read_stream(*source.stream(item, context()), 10, context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
  EXPECT_EQ(keys_of(list_all(source, {}, context())), std::vector<Key>{"stays"});
}

TEST_P(SourceConformance, AChangedItemIsNotTakenForTheListedOne) {
  Source& source = fixture().source();
  if (!source.capabilities().lists_stamps) GTEST_SKIP() << "listings have no stamps";
  // Same length, changed at once: nothing but the stamp can tell.
  for (const std::string& changed : {std::string(1'000, 'b'), std::string(1'001, 'b'), std::string()}) {
    fixture().put("data", std::string(1'000, 'a'), {});
    const Item listed = only_item(source, "data", context());
    read_stream(*source.stream(listed, context()), 4096, context());
    fixture().put("data", changed, {});
    SCOPED_TRACE("changed to " + std::to_string(changed.size()) + " bytes");
    const std::optional<Item> now = source.stat(listed.id, context());
    ASSERT_TRUE(now);
    EXPECT_NE(now->stamp, listed.stamp);
    if (source.capabilities().positioned) {
      const auto error = error_of([&] {
        const Read read = read_at(source, listed, 0, 2'000, context());
        EXPECT_NE(read.result.stamp, listed.stamp) << "bytes of another revision came with the listed stamp";
      });
      if (error) {
        EXPECT_EQ(error->error_class(), ErrorClass::source_changed) << error->message();
      }
    }
    EXPECT_EQ(read_stream(*source.stream(*now, context()), 4096, context()), changed);
  }
}

TEST_P(SourceConformance, AttributesComeWithTheFirstBytes) {
  const AttributesKept kept = fixture().attributes_kept();
  Attributes want;
  if (kept.content_headers) {
    want.content_type = "text/x-test; charset=utf-8";
    want.content_language = "de";
    want.content_disposition = "attachment; filename=\"a b.txt\"";
    want.cache_control = "max-age=60";
  }
  if (kept.metadata) want.metadata = {{"colour", "blue"}, {"two-words", "with  spaces"}};
  if (kept.mode) want.mode = 0640;
  if (kept.mtime) want.mtime_ns = 1'234'567'890'123'456'789;
  fixture().put("data", "x", want);
  Source& source = fixture().source();
  const Item item = only_item(source, "data", context());
  if (!source.capabilities().positioned) GTEST_SKIP() << "the source cannot position";
  for (const size_t length : {size_t{0}, size_t{1}}) {
    const Attributes got = read_at(source, item, 0, length, context()).result.attributes;
    if (kept.content_headers) {
      EXPECT_EQ(got.content_type, want.content_type);
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

TEST_P(SourceConformance, HostileKeysReadNothing) {
  fixture().put("inside", "x", {});
  Source& source = fixture().source();
  for (const Key& key : hostile_keys()) {
    SCOPED_TRACE(printable(key).substr(0, 100));
    std::optional<Item> found;
    const auto error = error_of([&] { found = source.stat({"", key, ""}, context()); });
    EXPECT_FALSE(found) << "an item was found at a key that was never put";
    // A store that knows no such keys may refuse them in its own words.
    if (error) {
      EXPECT_NE(error->error_class(), ErrorClass::internal) << error->message();
    }
  }
}

TEST_P(SourceConformance, ALocatorNamesTheItem) {
  fixture().put("folder/data", "x", {});
  Source& source = fixture().source();
  const std::optional<Locator> locator = source.locator(only_item(source, "folder/data", context()));
  if (!locator) GTEST_SKIP() << "items have no place in a store that copies by itself";
  EXPECT_FALSE(locator->scheme.empty());
  EXPECT_FALSE(locator->bucket.empty());
  EXPECT_TRUE(locator->key.ends_with("folder/data")) << printable(locator->key);
}

TEST_P(SourceConformance, ACancelledContextEndsEveryCall) {
  fixture().put("data", sample_content(100'000, 3), {});
  Source& source = fixture().source();
  const Item item = only_item(source, "data", context());
  std::vector<std::byte> out(100'000);
  const std::map<std::string, std::function<void(Context&)>> calls = {
      {"check", [&](Context& c) { source.check(c); }},
      {"list", [&](Context& c) { list_all(source, {}, c); }},
      {"read", [&](Context& c) { if (source.capabilities().positioned) source.read(item, 0, out, c); }},
      {"stream", [&](Context& c) { read_stream(*source.stream(item, c), 4096, c); }},
      {"stat", [&](Context& c) { source.stat(item.id, c); }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    testing::TestContext cancelled;
    cancelled.cancel();
    const auto begin = std::chrono::steady_clock::now();
    const auto error = error_of([&] { call(cancelled); });
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
    if (error) {
      EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << error->message();
    }
  }
}

TEST_P(SourceConformance, EveryCallThatHangsEndsWithinASecondOfItsCancellation) {
  fixture().put("data", sample_content(100'000, 3), {});
  // The stream is destroyed before what it borrows is.
  struct Calls {
    Source& source;
    Item item;
    std::vector<std::byte> out = std::vector<std::byte>(100'000);
  };
  const auto state = std::make_shared<Calls>(Calls{fixture().source(), only_item(fixture().source(), "data", context())});
  if (!fixture().stall()) GTEST_SKIP() << "calls to this store cannot be made to hang";
  const std::map<std::string, std::function<void(Context&)>> calls = {
      {"check", [state](Context& c) { state->source.check(c); }},
      {"list", [state](Context& c) { list_all(state->source, {}, c); }},
      {"read",
       [state](Context& c) {
         if (state->source.capabilities().positioned) state->source.read(state->item, 0, state->out, c);
       }},
      {"stream", [state](Context& c) { read_stream(*state->source.stream(state->item, c), 4096, c); }},
      {"stat", [state](Context& c) { state->source.stat(state->item.id, c); }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    if (name == "list" && !fixture().lists_from_store()) continue;
    if (name == "read" && !state->source.capabilities().positioned) continue;
    const auto error = cancel_during(call, 300ms);
    if (name == "check" && !error) continue;  // the default asks nobody
    ASSERT_TRUE(error) << "it was not hanging";
    EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << error->message();
    EXPECT_FALSE(error->retryable());
  }
  fixture().resume();
  EXPECT_EQ(read_stream(*state->source.stream(state->item, context()), 4096, context()).size(), 100'000U)
      << "the store works again, so must the source";
}

TEST_P(SourceConformance, ADeadlineEndsACallThatHangs) {
  fixture().put("data", "x", {});
  Source& source = fixture().source();
  const Item item = only_item(source, "data", context());
  if (!fixture().stall()) GTEST_SKIP() << "calls to this store cannot be made to hang";
  testing::TestContext late;
  late.set_deadline(Context::Clock::now() + 300ms);
  const auto begin = std::chrono::steady_clock::now();
  const auto error = error_of([&] { read_stream(*source.stream(item, late), 4096, late); });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1300ms);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::deadline_exceeded) << error->message();
  fixture().resume();
}

}  // namespace waybill::conformance
