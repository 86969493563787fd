// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/hash.hpp"
#include "connectors/memory/memory.hpp"
#include "support/test_context.hpp"

namespace waybill::memory {
namespace {

using testing::TestContext;

Body body_of(std::string_view content) { return Body(internal::as_bytes(content), {}); }

ErrorClass class_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.error_class();
  }
  return ErrorClass::none;
}

class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override { Store::named("test")->clear(); }

  Stored put(const Key& key, std::string_view content, const WriteOptions& options = {}) {
    return destination_.put(key, body_of(content), options, context_);
  }
  std::vector<Key> list(const ListRequest& request) {
    std::vector<Key> keys;
    const auto lister = source_.list(request, context_);
    for (bool is_last = false; !is_last;) {
      const Page page = lister->next(context_);
      for (const Item& item : page.items) keys.push_back(item.key());
      is_last = page.is_last;
    }
    return keys;
  }
  std::string content(const Key& key) {
    std::string out(1000, '\0');
    const Item item = source_.stat({"", key, ""}, context_).value_or(Item{});
    out.resize(source_.read(item, 0, std::as_writable_bytes(std::span(out)), context_).count);
    return out;
  }

  MemorySource source_{"test"};
  MemoryDestination destination_{"test"};
  TestContext context_;
};

TEST_F(MemoryTest, BothEndsSeeOneStore) {
  WriteOptions options;
  options.attributes.mtime_ns = 7;
  options.attributes.metadata = {{"colour", "blue"}};
  const Stored stored = put("a", "content", options);
  EXPECT_EQ(stored.size, 7U);
  EXPECT_EQ(stored.mtime_ns, 7);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes("content")));
  const std::optional<Item> item = source_.stat({"", "a", ""}, context_);
  ASSERT_TRUE(item);
  EXPECT_EQ(item->stamp.etag, stored.etag);
  std::byte buffer[3];
  const ReadResult result = source_.read(*item, 5, buffer, context_);
  EXPECT_EQ(result.count, 2U);
  EXPECT_EQ(result.total_size, 7U);
  EXPECT_EQ(result.stamp, item->stamp);
  EXPECT_EQ(result.attributes, options.attributes);
  EXPECT_EQ(source_.read(*item, 99, buffer, context_).count, 0U);
  EXPECT_FALSE(MemorySource("another").stat({"", "a", ""}, context_));
}

TEST_F(MemoryTest, ListsInOrderBetweenBoundsAndGoesOn) {
  std::vector<Key> keys;
  for (int i = 0; i < 2'500; ++i) keys.push_back("k" + std::to_string(i));
  for (const Key& key : keys) put(key, "");
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(list({}), keys);
  EXPECT_EQ(list({"", keys[10], keys[20], ""}), std::vector<Key>(keys.begin() + 11, keys.begin() + 20));
  EXPECT_TRUE(list({"", "z", "a", ""}).empty());
  const Page first = source_.list({}, context_)->next(context_);
  EXPECT_EQ(first.items.size(), 1000U);
  EXPECT_EQ(list({"", "", "", first.resume}), std::vector<Key>(keys.begin() + 1000, keys.end()));
}

TEST_F(MemoryTest, ConditionsAreOneStepWithTheWrite) {
  WriteOptions absent;
  absent.condition.kind = Condition::Kind::absent;
  std::atomic<int> winners{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      if (class_of([&] { put("race", std::to_string(t), absent); }) == ErrorClass::none) ++winners;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(winners, 1);
  WriteOptions unchanged;
  unchanged.condition.kind = Condition::Kind::unchanged;
  unchanged.condition.etag = put("a", "first").etag;
  put("a", "second", unchanged);
  EXPECT_EQ(class_of([&] { put("a", "third", unchanged); }), ErrorClass::conflict);
  destination_.remove("a", context_);
  EXPECT_EQ(class_of([&] { put("a", "third", unchanged); }), ErrorClass::conflict);
  EXPECT_EQ(class_of([&] { put("", "x"); }), ErrorClass::unsupported);
  EXPECT_EQ(class_of([&] { put(Key(65'536, 'k'), "x"); }), ErrorClass::unsupported);
}

TEST_F(MemoryTest, WrongDigestsAndShortBodiesAreRefused) {
  Digest wrong;
  wrong.crc64nvme = 1;
  EXPECT_EQ(class_of([&] { destination_.put("a", Body(internal::as_bytes("x"), wrong), {}, context_); }),
            ErrorClass::checksum);
  const Body ended(100, [](uint64_t, std::span<std::byte>) { return size_t{3}; });
  EXPECT_EQ(class_of([&] { destination_.put("a", ended, {}, context_); }), ErrorClass::source_changed);
  EXPECT_FALSE(destination_.stat("a", context_));
}

TEST_F(MemoryTest, PartsCanBeResumedAndAreSwept) {
  std::string id;
  PartInfo second;
  {
    const auto upload = destination_.begin_parts("large", {}, {}, context_);
    id = upload->id();
    second = upload->write(2, 3, body_of("def"), context_);
  }
  PartPlan plan;
  plan.upload_id = id;
  const auto upload = destination_.begin_parts("large", plan, {}, context_);
  EXPECT_EQ(upload->existing(context_), std::vector<PartInfo>{second});
  const std::vector<PartInfo> parts = {upload->write(1, 0, body_of("abc"), context_), second};
  const Stored stored = upload->complete(parts, context_);
  EXPECT_EQ(upload->complete(parts, context_), stored);
  EXPECT_EQ(content("large"), "abcdef");
  EXPECT_EQ(class_of([&] { destination_.begin_parts("large", plan, {}, context_); }), ErrorClass::missing);

  const auto kept = destination_.begin_parts("kept", {}, {}, context_);
  const auto swept = destination_.begin_parts("swept", {}, {}, context_);
  const std::vector<OpenUpload> keep = {{"kept", kept->id()}};
  destination_.sweep(keep, context_);
  EXPECT_TRUE(kept->existing(context_).empty());
  EXPECT_EQ(class_of([&] { swept->existing(context_); }), ErrorClass::missing);
  EXPECT_EQ(class_of([&] { swept->write(1, 0, body_of("x"), context_); }), ErrorClass::missing);
}

TEST_F(MemoryTest, CopiesInsideTheStore) {
  put("from", "content");
  Item item = *source_.stat({"", "from", ""}, context_);
  MemoryDestination other("test-other");
  const auto stored = other.copy("to", *source_.locator(item), {}, context_);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->etag, item.stamp.etag);
  EXPECT_TRUE(other.stat("to", context_));
  put("from", "changed");
  EXPECT_EQ(class_of([&] { other.copy("to", *source_.locator(item), {}, context_); }), ErrorClass::source_changed);
  item.id.key = "gone";
  EXPECT_EQ(class_of([&] { other.copy("to", *source_.locator(item), {}, context_); }), ErrorClass::missing);
  EXPECT_FALSE(other.copy("to", Locator{"s3", "", "", "k", "", ""}, {}, context_));
}

TEST_F(MemoryTest, UrlsNameAStoreAndNothingElse) {
  const Connector connector = memory_connector();
  Url url;
  url.scheme = "memory";
  url.host = "test";
  put("a", "x");
  EXPECT_TRUE(connector.open_source(url)->stat({"", "a", ""}, context_));
  EXPECT_EQ(connector.open_destination(url)->identity(), "memory://test");
  Url wrong = url;
  wrong.query["colour"] = "blue";
  EXPECT_EQ(class_of([&] { connector.open_source(wrong); }), ErrorClass::configuration);
  wrong = url;
  wrong.host.clear();
  EXPECT_EQ(class_of([&] { connector.open_source(wrong); }), ErrorClass::configuration);
  wrong = url;
  wrong.path = "/prefix";
  EXPECT_EQ(class_of([&] { connector.open_destination(wrong); }), ErrorClass::configuration);
}

}  // namespace
}  // namespace waybill::memory
