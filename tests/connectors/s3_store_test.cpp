// SPDX-License-Identifier: Apache-2.0
//
// The S3 connector against a real server that checks signatures and checksums.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/hash.hpp"
#include "connectors/s3/client.hpp"
#include "connectors/s3/s3.hpp"
#include "connectors/s3/s3_destination.hpp"
#include "support/s3_server.hpp"
#include "support/test_context.hpp"

namespace waybill::s3 {
namespace {

using testing::S3Server;
using testing::TestContext;

template <typename Call>
std::optional<Error> error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

std::string pattern(size_t size, uint32_t seed = 1) {
  std::string text(size, '\0');
  uint32_t state = seed * 2654435761U + 1;
  for (char& c : text) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

Body body_of(const std::string& text) { return Body(internal::as_bytes(text), Digest{}); }

template <typename Store>
std::vector<Item> list_all(Store& store, const ListRequest& request, Context& context) {
  std::vector<Item> items;
  const auto lister = store.list(request, context);
  for (;;) {
    Page page = lister->next(context);
    for (Item& item : page.items) items.push_back(std::move(item));
    if (page.is_last) return items;
  }
}

std::vector<Key> keys_of(const std::vector<Item>& items) {
  std::vector<Key> keys;
  for (const Item& item : items) keys.push_back(item.id.key);
  return keys;
}

class S3Store : public ::testing::Test {
 protected:
  void SetUp() override { open(server_.make_bucket("bucket"), ""); }

  void open(const std::string& bucket, const std::string& prefix) {
    bucket_ = bucket;
    source_ = s3_connector().open_source(server_.url(bucket, prefix));
    destination_ = s3_connector().open_destination(server_.url(bucket, prefix));
  }

  Stored put(const Key& key, const std::string& text, const WriteOptions& options = {}) {
    return destination_->put(key, body_of(text), options, context_);
  }

  std::string get(const Key& key) {
    Item item;
    item.id.key = key;
    const auto stat = source_->stat(item.id, context_);
    if (!stat) return "(nothing)";
    std::string text(static_cast<size_t>(*stat->stamp.size), '\0');
    const ReadResult result = read(*stat, 0, text);
    EXPECT_EQ(result.count, text.size());
    return text;
  }

  ReadResult read(const Item& item, uint64_t offset, std::string& out) {
    return source_->read(item, offset, std::as_writable_bytes(std::span(out)), context_);
  }

  Item item(const Key& key) {
    for (const Item& each : list_all(*source_, {}, context_)) {
      if (each.id.key == key) return each;
    }
    ADD_FAILURE() << "not listed: " << printable(key);
    return {};
  }

  S3Server& server_ = S3Server::shared();
  TestContext context_;
  std::string bucket_;
  std::shared_ptr<Source> source_;
  std::shared_ptr<Destination> destination_;
};

TEST_F(S3Store, KeysComeBackByteForByte) {
  open(bucket_, "prefix with space+/sub%2F");
  const std::vector<Key> keys = {
      "space key",
      "plus+plus",
      "percent%",
      "escaped%2Fslash",
      "quest?ion",
      "hash#",
      "amp&ersand",
      "equal=s",
      "single'quote",
      "double\"quote",
      "back\\slash",
      "star*!()'~",
      "semi;colon:",
      "<angle>",
      "new\nline",
      "return\rfeed",
      "tab\t",
      "del\x7f",
      "emoji-\xF0\x9F\x98\x80",
      "nfc-\xC3\xBC",
      "nfd-u\xCC\x88",
      "line\xE2\x80\xA8separator",
      ".hidden",
      "a.",
      "...",
      "deep/er/and/deeper",
      " leading",
      "trailing ",
      "folder/",
  };
  for (const Key& key : keys) {
    const std::string content = key.ends_with('/') ? "" : "content of " + key;
    const auto error = error_of([&] { put(key, content); });
    ASSERT_FALSE(error) << printable(key) << ": " << error->message();
    EXPECT_EQ(get(key), content) << printable(key);
  }
  std::vector<Key> sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(keys_of(list_all(*source_, {}, context_)), sorted);
  EXPECT_EQ(keys_of(list_all(*destination_, {}, context_)), sorted);
}

// This server keeps objects in folders, and would take some of these for other keys without a word.
TEST_F(S3Store, KeysThatTheStoreWouldChangeAreRefusedAndNothingIsTouched) {
  put("b", "mine");
  put("a/c", "mine too");
  for (const Key key :
       {"a/../b", "a//c", "./b", "a/./c", "/b", "x/../new", "new//one", "a//", "..", "../b", "a/.", "a/.."}) {
    const auto error = error_of([&] { put(key, "x"); });
    ASSERT_TRUE(error) << key;
    EXPECT_TRUE(error->error_class() == ErrorClass::unsupported || error->http_status() >= 400) << error->message();
    EXPECT_FALSE(error->retryable()) << error->message();
    EXPECT_TRUE(error_of([&] { destination_->begin_parts(key, PartPlan{}, {}, context_); })) << key;
    EXPECT_FALSE(destination_->stat(key, context_)) << key;
    destination_->remove(key, context_);
  }
  const std::vector<Key> untouched = {"a/c", "b"};
  EXPECT_EQ(keys_of(list_all(*source_, {}, context_)), untouched);
  EXPECT_EQ(get("b"), "mine");
  EXPECT_EQ(get("a/c"), "mine too");
}

TEST_F(S3Store, AFolderAndAnObjectOfOneNameIsTheItemsError) {
  put("file", "x");
  const auto error = error_of([&] { put("file/below", "x"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
  EXPECT_EQ(error->provider_code(), "ObjectParentIsFile");
  EXPECT_EQ(keys_of(list_all(*source_, {}, context_)), std::vector<Key>{"file"});
}

// This server ignores encoding-type=url: what XML cannot say comes out of its listings as something else.
TEST_F(S3Store, KeysThatTheStoreCannotListAreRefused) {
  put("before check\x1b", "x");
  const std::vector<Item> items = list_all(*source_, {}, context_);
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].refused, ErrorClass::unsupported);
  EXPECT_FALSE(items[0].reason.empty());
  destination_->check(context_);
  for (const Key key : {"esc\x1b[0m", "bell\x07", "\xEF\xBF\xBF"}) {
    const auto error = error_of([&] { put(key, "x"); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
  }
}

TEST_F(S3Store, KeysThatNoS3CanHoldAreRefusedHere) {
  open(bucket_, "p");
  for (const Key& key : {Key(), Key("\xff"), Key("a\xC3"), Key("n\0l", 3), Key(1023, 'k')}) {
    const auto error = error_of([&] { put(key, "x"); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::unsupported);
    EXPECT_EQ(error->http_status(), 0);
    EXPECT_FALSE(destination_->stat(key, context_));
  }
  Key longest;
  while (longest.size() < 1000) longest += std::string(199, 'k') + "/";
  longest += std::string(1022 - longest.size(), 'k');
  put(longest, "x");
  EXPECT_EQ(get(longest), "x");
}

TEST_F(S3Store, ReadsRangesAndWholes) {
  const std::string content = pattern(100'000);
  put("object", content);
  const Item listed = item("object");
  ASSERT_EQ(listed.stamp.size, content.size());
  ASSERT_FALSE(listed.stamp.etag.empty());

  std::string whole(content.size(), '\0');
  const ReadResult result = read(listed, 0, whole);
  EXPECT_EQ(result.count, content.size());
  EXPECT_EQ(result.total_size, content.size());
  EXPECT_EQ(result.stamp, listed.stamp);
  EXPECT_EQ(whole, content);

  std::string middle(1000, '\0');
  const ReadResult ranged = read(listed, 5'000, middle);
  EXPECT_EQ(ranged.count, 1000U);
  EXPECT_EQ(ranged.total_size, content.size());
  EXPECT_EQ(ranged.stamp, listed.stamp);
  EXPECT_EQ(middle, content.substr(5'000, 1000));

  std::string tail(1000, '\0');
  EXPECT_EQ(read(listed, content.size() - 10, tail).count, 10U);
  EXPECT_EQ(tail.substr(0, 10), content.substr(content.size() - 10));

  EXPECT_EQ(read(listed, content.size(), tail).count, 0U);
  EXPECT_EQ(read(listed, content.size() + 5, tail).count, 0U);
  std::string nothing;
  const ReadResult looked = read(listed, 0, nothing);
  EXPECT_EQ(looked.count, 0U);
  EXPECT_EQ(looked.stamp, listed.stamp);

  Item unlisted;
  unlisted.id.key = "object";
  EXPECT_EQ(read(unlisted, content.size() + 5, tail).count, 0U);
  EXPECT_EQ(read(unlisted, 0, whole).total_size, content.size());
  EXPECT_EQ(destination_->read(listed, 5'000, std::as_writable_bytes(std::span(middle)), context_).count, 1000U);
}

TEST_F(S3Store, EmptyObjectsAreReadWithoutARange) {
  put("empty", "");
  put("folder/", "");
  for (const Key key : {"empty", "folder/"}) {
    const Item listed = item(key);
    EXPECT_EQ(listed.stamp.size, 0U);
    EXPECT_EQ(listed.refused, ErrorClass::none);
    for (const size_t room : {0U, 10U}) {
      std::string out(room, '\0');
      const ReadResult result = read(listed, 0, out);
      EXPECT_EQ(result.count, 0U);
      EXPECT_EQ(result.total_size, 0U);
      EXPECT_EQ(result.stamp, listed.stamp);
    }
    Item unlisted;
    unlisted.id.key = key;
    std::string out(10, '\0');
    EXPECT_EQ(read(unlisted, 0, out).total_size, 0U);
  }
}

TEST_F(S3Store, AChangedObjectIsSourceChangedAndAGoneOneIsMissing) {
  put("object", pattern(1000, 1));
  const Item listed = item("object");
  put("object", pattern(1000, 2));
  std::string out(1000, '\0');
  for (const uint64_t offset : {0U, 10U}) {
    const auto error = error_of([&] { read(listed, offset, out); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::source_changed) << error->message();
    EXPECT_TRUE(error->retryable());
  }
  // Grown, and no ETag to notice it by: what fitted is there, with the size it has now.
  Item without_etag = listed;
  without_etag.stamp.etag.clear();
  put("object", pattern(500'000, 3));
  const ReadResult grown = read(without_etag, 0, out);
  EXPECT_EQ(grown.count, 1000U);
  EXPECT_EQ(grown.total_size, 500'000U);
  EXPECT_EQ(out, pattern(500'000, 3).substr(0, 1000));

  destination_->remove("object", context_);
  destination_->remove("object", context_);
  const auto error = error_of([&] { read(listed, 0, out); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing);
  EXPECT_EQ(error->provider_code(), "NoSuchKey");
  EXPECT_FALSE(source_->stat(listed.id, context_));
  EXPECT_FALSE(destination_->stat("object", context_));
}

TEST_F(S3Store, AttributesTravel) {
  WriteOptions options;
  Attributes& attributes = options.attributes;
  attributes.content_type = "text/x-test; charset=utf-8";
  attributes.content_encoding = "gzip";
  attributes.content_language = "de";
  attributes.content_disposition = "attachment; filename=\"a b.txt\"";
  attributes.cache_control = "max-age=60";
  attributes.expires = "Fri, 20 Nov 2026 18:43:53 GMT";
  attributes.metadata = {{"author", "plain  text"}, {"title", "grüße 日本"}, {"path", "a=b;c,d"}};
  attributes.mode = 0640;
  attributes.mtime_ns = 1'700'000'000'123'456'789;
  const Stored stored = put("object", "content", options);
  const auto found = destination_->stat("object", context_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->stamp.mtime_ns, attributes.mtime_ns);
  EXPECT_EQ(found->stamp.etag, stored.etag);
  EXPECT_EQ(found->digest.crc64nvme, internal::crc64nvme(internal::as_bytes("content")));
  EXPECT_EQ(stored.digest.crc64nvme, found->digest.crc64nvme);

  std::string out(7, '\0');
  const ReadResult result = read(item("object"), 0, out);
  Attributes expected = attributes;
  expected.storage_class = result.attributes.storage_class;  // the server may name its default
  EXPECT_EQ(result.attributes, expected);
  EXPECT_EQ(out, "content");
}

TEST_F(S3Store, TheStoreItselfChecksTheContent) {
  const std::string content = pattern(5000);
  Digest wrong;
  wrong.sha256 = internal::sha256(internal::as_bytes("something else"));
  const auto error =
      error_of([&] { destination_->put("object", Body(internal::as_bytes(content), wrong), {}, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::checksum) << error->message();
  EXPECT_TRUE(error->retryable());
  EXPECT_FALSE(destination_->stat("object", context_));
}

// The server ignores the conditions of copies, though it heeds those of PUT.
TEST_F(S3Store, ACopyReplacesNobodysObject) {
  const auto copies = s3_connector().open_destination(server_.url(bucket_, "copies"));
  WriteOptions absent;
  absent.condition.kind = Condition::Kind::absent;
  const auto copy = [&](const Key& key) {
    put(key, "content of " + key);
    const Item from = item(key);
    std::optional<Locator> locator = source_->locator(from);
    locator->attributes = source_->read(from, 0, {}, context_).attributes;
    return copies->copy(key, *locator, absent, context_);
  };
  ASSERT_TRUE(copy("first"));
  EXPECT_EQ(get("copies/first"), "content of first");
  put("copies/second", "theirs");
  EXPECT_FALSE(copy("second"));
  EXPECT_EQ(get("copies/second"), "theirs");
}

TEST_F(S3Store, ConditionsAreTheStores) {
  WriteOptions absent;
  absent.condition.kind = Condition::Kind::absent;
  const Stored first = put("object", "one", absent);
  const auto second = error_of([&] { put("object", "two", absent); });
  ASSERT_TRUE(second);
  EXPECT_EQ(second->error_class(), ErrorClass::conflict) << second->message();
  EXPECT_EQ(second->code(), ErrorCode::failed_precondition);
  EXPECT_EQ(get("object"), "one");

  WriteOptions unchanged;
  unchanged.condition.kind = Condition::Kind::unchanged;
  unchanged.condition.etag = first.etag;
  const Stored third = put("object", "three", unchanged);
  EXPECT_EQ(get("object"), "three");
  const auto stale = error_of([&] { put("object", "four", unchanged); });
  ASSERT_TRUE(stale);
  EXPECT_EQ(stale->error_class(), ErrorClass::conflict) << stale->message();
  const auto gone = error_of([&] { put("nothing there", "four", unchanged); });
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->error_class(), ErrorClass::conflict) << gone->message();

  // A second try of a write whose answer was lost finds its own work.
  context_.set_attempt(2);
  EXPECT_EQ(put("object", "three", absent).etag, third.etag);
  EXPECT_TRUE(error_of([&] { put("object", "three, but other", absent); }));
}

TEST_F(S3Store, WindowedBodiesAreReadTwiceAndArriveWhole) {
  const std::string content = pattern(3'000'001);
  int passes = 0;
  const Body body(content.size(), [&](uint64_t offset, std::span<std::byte> out) {
    if (offset == 0) ++passes;
    const size_t count = std::min<size_t>(out.size(), content.size() - static_cast<size_t>(offset));
    std::copy_n(reinterpret_cast<const std::byte*>(content.data()) + offset, count, out.begin());
    return count;
  });
  const Stored stored = destination_->put("windowed", body, {}, context_);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes(content)));
  EXPECT_EQ(passes, 2);
  EXPECT_EQ(get("windowed"), content);
}

class S3Upload : public S3Store {
 protected:
  static constexpr size_t part_size = 5 * 1024 * 1024;

  std::unique_ptr<PartUpload> begin(const std::string& id = "", const WriteOptions& options = {}) {
    return destination_->begin_parts("large", PartPlan{content_.size(), part_size, id}, options, context_);
  }
  std::string part(uint32_t number) const { return content_.substr((number - 1) * part_size, part_size); }
  PartInfo write(PartUpload& upload, uint32_t number) {
    const std::string text = part(number);
    return upload.write(number, (number - 1) * part_size, body_of(text), context_);
  }

  std::string content_ = pattern(2 * part_size + 12'345);
};

TEST_F(S3Upload, IsResumedByAnotherProcess) {
  std::string id;
  PartInfo first, second;
  WriteOptions options;
  options.attributes.content_type = "text/x-large";
  options.attributes.mtime_ns = 5;
  {
    const auto upload = begin("", options);
    id = upload->id();
    ASSERT_FALSE(id.empty());
    EXPECT_TRUE(upload->existing(context_).empty());
    second = write(*upload, 2);
    first = write(*upload, 1);
    EXPECT_EQ(first.size, part_size);
  }
  EXPECT_FALSE(destination_->stat("large", context_));
  destination_ = s3_connector().open_destination(server_.url(bucket_));
  const auto upload = begin(id);
  EXPECT_EQ(upload->id(), id);
  const std::vector<PartInfo> existing = upload->existing(context_);
  ASSERT_EQ(existing.size(), 2U);
  EXPECT_EQ(existing[0].number, 1U);
  EXPECT_EQ(existing[0].etag, first.etag);
  EXPECT_EQ(existing[0].size, part_size);
  EXPECT_EQ(existing[1].etag, second.etag);
  const PartInfo parts[] = {first, second, write(*upload, 3)};
  const Stored stored = upload->complete(parts, context_);
  EXPECT_EQ(stored.size, content_.size());
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes(content_)));
  EXPECT_EQ(get("large"), content_);
  EXPECT_EQ(item("large").stamp.etag, stored.etag);
  const auto found = destination_->stat("large", context_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->stamp.mtime_ns, 5);
  EXPECT_EQ(found->digest.crc64nvme, stored.digest.crc64nvme);

  // The answer was lost, and complete is called again.
  EXPECT_EQ(upload->complete(parts, context_), stored);
}

TEST_F(S3Upload, KeepsTheCondition) {
  WriteOptions absent;
  absent.condition.kind = Condition::Kind::absent;
  const auto upload = begin("", absent);
  const PartInfo parts[] = {write(*upload, 1), write(*upload, 2), write(*upload, 3)};
  put("large", "foreign");
  const auto error = error_of([&] { upload->complete(parts, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::conflict) << error->message();
  EXPECT_EQ(get("large"), "foreign");
  upload->abort(context_);
}

TEST_F(S3Upload, AbortLeavesNothing) {
  const auto upload = begin();
  write(*upload, 1);
  upload->abort(context_);
  upload->abort(context_);
  EXPECT_EQ(error_of([&] { upload->existing(context_); })->error_class(), ErrorClass::missing);
  EXPECT_EQ(error_of([&] { write(*upload, 2); })->error_class(), ErrorClass::missing);
  const auto resumed = error_of([&] { begin(upload->id()); });
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->error_class(), ErrorClass::missing) << resumed->message();
  EXPECT_EQ(resumed->provider_code(), "NoSuchUpload");
  EXPECT_FALSE(destination_->stat("large", context_));
}

TEST_F(S3Upload, AWrongPartIsNotCompleted) {
  const auto upload = begin();
  PartInfo parts[] = {write(*upload, 1), write(*upload, 2), write(*upload, 3)};
  parts[1].etag = parts[0].etag;
  const auto error = error_of([&] { upload->complete(parts, context_); });
  ASSERT_TRUE(error);
  EXPECT_FALSE(destination_->stat("large", context_));
  upload->abort(context_);
}

TEST_F(S3Store, ListsThousandsInOrder) {
  std::vector<Key> keys;
  for (int n = 0; n < 2'350; ++n) {
    keys.push_back((n % 3 == 0   ? "dir/"
                    : n % 3 == 1 ? "dir-"
                                 : "dir.x/") +
                   std::to_string(n) + (n % 7 == 0 ? " ü+" : ""));
  }
  // As another tool would have put them there, for speed.
  std::filesystem::create_directories(server_.folder() / bucket_ / "top" / "dir");
  std::filesystem::create_directories(server_.folder() / bucket_ / "top" / "dir.x");
  for (const Key& key : keys) std::ofstream(server_.folder() / bucket_ / "top" / key) << key;
  open(bucket_, "top");
  std::sort(keys.begin(), keys.end());
  const std::vector<Item> items = list_all(*source_, {}, context_);
  EXPECT_EQ(keys_of(items), keys);
  EXPECT_EQ(items[0].stamp.size, keys[0].size());

  for (const size_t at : {0U, 999U, 1000U, 2'349U}) {
    ListRequest request;
    request.after = keys[at];
    EXPECT_EQ(keys_of(list_all(*destination_, request, context_)), std::vector<Key>(keys.begin() + at + 1, keys.end()));
  }
  ListRequest bounded;
  bounded.after = keys[10];
  bounded.before = keys[1'500];
  EXPECT_EQ(keys_of(list_all(*source_, bounded, context_)), std::vector<Key>(keys.begin() + 11, keys.begin() + 1'500));
  // A bound that no S3 key can be: not UTF-8, or too long.
  ListRequest odd;
  odd.after = keys[100] + "\xff\xfe";
  EXPECT_EQ(list_all(*source_, odd, context_).front().id.key, keys[101]);
  odd.after = keys[100] + std::string(2'000, '\x01');
  EXPECT_EQ(list_all(*source_, odd, context_).front().id.key, keys[101]);
}

TEST_F(S3Store, TheFolderItselfIsNoItem) {
  open(bucket_, "");
  put("p/", "");
  put("p/x", "1");
  put("q", "1");
  open(bucket_, "p");
  EXPECT_EQ(keys_of(list_all(*source_, {}, context_)), std::vector<Key>{"x"});
  open(bucket_, "nothing/here");
  EXPECT_TRUE(list_all(*source_, {}, context_).empty());
  source_->check(context_);
}

TEST_F(S3Store, ChecksTellTheCausesApart) {
  source_->check(context_);
  destination_->check(context_);

  const auto missing = error_of([&] { s3_connector().open_source(server_.url("no-such-bucket"))->check(context_); });
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->error_class(), ErrorClass::missing);
  EXPECT_NE(missing->message().find("s3://no-such-bucket:"), std::string::npos) << missing->message();
  const auto gone = error_of([&] {
    s3_connector().open_source(server_.url("no-such-bucket"))->stat(ItemId{"", "key", ""}, context_);
  });
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->error_class(), ErrorClass::missing);

  ::setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
  const auto wrong_secret = error_of([&] { s3_connector().open_destination(server_.url(bucket_))->check(context_); });
  ::setenv("AWS_SECRET_ACCESS_KEY", S3Server::secret_key, 1);
  ASSERT_TRUE(wrong_secret);
  EXPECT_EQ(wrong_secret->error_class(), ErrorClass::auth);
  EXPECT_EQ(wrong_secret->provider_code(), "SignatureDoesNotMatch");

  ::setenv("AWS_ACCESS_KEY_ID", "nobody", 1);
  const auto wrong_key = error_of([&] { s3_connector().open_source(server_.url(bucket_))->check(context_); });
  ::setenv("AWS_ACCESS_KEY_ID", S3Server::access_key, 1);
  ASSERT_TRUE(wrong_key);
  EXPECT_EQ(wrong_key->error_class(), ErrorClass::auth);

  const auto anonymous = error_of([&] {
    s3_connector().open_source(server_.url(bucket_, "", 0, {{"anonymous", "true"}}))->check(context_);
  });
  ASSERT_TRUE(anonymous);
  EXPECT_EQ(anonymous->error_class(), ErrorClass::permission) << anonymous->message();

  const auto unreachable = error_of([&] { s3_connector().open_source(server_.url(bucket_, "", 1))->check(context_); });
  ASSERT_TRUE(unreachable);
  EXPECT_EQ(unreachable->error_class(), ErrorClass::network) << unreachable->message();
  EXPECT_TRUE(unreachable->retryable());
  EXPECT_NE(unreachable->message().find("127.0.0.1:1"), std::string::npos) << unreachable->message();
  for (const auto& error : {missing, gone, wrong_secret, wrong_key, anonymous, unreachable}) {
    EXPECT_EQ(error->message().find('\n'), std::string::npos);
    EXPECT_EQ(error->message().find("list-type"), std::string::npos) << error->message();
  }
}

// Over https bodies are not signed: the store checks a CRC header instead, and composes the one of a large object.
TEST_F(S3Store, OverHttpsTheStoreChecksTheCrc) {
  S3Server server(true);
  const std::string bucket = server.make_bucket("secure");
  const auto untrusted = error_of([&] { s3_connector().open_source(server.url(bucket))->check(context_); });
  ASSERT_TRUE(untrusted);
  EXPECT_EQ(untrusted->error_class(), ErrorClass::network);
  EXPECT_FALSE(untrusted->retryable()) << untrusted->message();
  ::setenv("AWS_CA_BUNDLE", server.certificate().c_str(), 1);
  destination_ = s3_connector().open_destination(server.url(bucket));
  source_ = s3_connector().open_source(server.url(bucket));
  ::unsetenv("AWS_CA_BUNDLE");

  const std::string content = pattern(11'000'000);
  put("object", content.substr(0, 5'000));
  EXPECT_EQ(get("object"), content.substr(0, 5'000));
  Digest wrong;
  wrong.crc64nvme = 5;
  const auto error =
      error_of([&] { destination_->put("wrong", Body(internal::as_bytes(content), wrong), {}, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::checksum) << error->message();
  EXPECT_FALSE(destination_->stat("wrong", context_));

  const std::string first = content.substr(0, 6'000'000), second = content.substr(6'000'000);
  const auto upload = destination_->begin_parts("large", PartPlan{content.size(), first.size(), ""}, {}, context_);
  const PartInfo parts[] = {upload->write(1, 0, body_of(first), context_),
                            upload->write(2, first.size(), body_of(second), context_)};
  EXPECT_EQ(upload->existing(context_).at(0).digest.crc64nvme, parts[0].digest.crc64nvme);
  const Stored stored = upload->complete(parts, context_);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes(content)));
  EXPECT_EQ(destination_->stat("large", context_)->digest.crc64nvme, stored.digest.crc64nvme);
  EXPECT_EQ(get("large"), content);
}

TEST_F(S3Store, IdentityAndEndpoint) {
  open(bucket_, "a/b");
  EXPECT_EQ(source_->identity(), "s3://" + bucket_ + "/a/b/");
  EXPECT_EQ(destination_->identity(), source_->identity());
  EXPECT_EQ(source_->endpoint(), server_.endpoint());
  Item item;
  item.id.key = "k";
  const auto locator = source_->locator(item);
  ASSERT_TRUE(locator);
  EXPECT_EQ(locator->bucket, bucket_);
  EXPECT_EQ(locator->key, "a/b/k");
}

}  // namespace
}  // namespace waybill::s3
