// SPDX-License-Identifier: Apache-2.0
//
// Listings of stores that differ, and of stores that break their word (peers.md, lines L1 to L4).
#include <algorithm>

#include "connectors/s3/listing.hpp"
#include "connectors/s3_fault_fixture.hpp"
#include "connectors/s3_scripted_server.hpp"

namespace waybill::s3 {
namespace {

using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;

const std::vector<Key> odd_keys = {
    "+",    "a b",  "a%2Fb", "a%b", "a+b", "a/b",    "nfc-\xC3\xBC",        "nfd-u\xCC\x88", "\xF0\x9F\x98\x80",
    "\x01", "\r\n", "//",    "/a",  "a//", "a/../b", "&=?#~!'()*;:@,\"<>\\"};

class S3Listing : public S3Fault {
 protected:
  std::vector<Key> fill(std::vector<Key> keys, const std::string& prefix = "") {
    std::sort(keys.begin(), keys.end());
    for (const Key& key : keys) server_.put("from", prefix + key, "x");
    return keys;
  }

  void generate(uint64_t count, const std::string& prefix = "") {
    testing::fault::GeneratedKeys keys;
    keys.prefix = prefix;
    keys.count = count;
    server_.generate("from", keys);
  }

  void expect_whole(const std::vector<Key>& keys, const std::string& what) {
    EXPECT_EQ(keys_of(list(*source_)), keys) << what;
    ListRequest request;
    request.after = keys[keys.size() / 3];
    request.before = keys[keys.size() - 2];
    const std::vector<Key> middle(keys.begin() + static_cast<long>(keys.size() / 3) + 1, keys.end() - 2);
    EXPECT_EQ(keys_of(list(*source_, request)), middle) << what;
  }
};

// L1: pages of any size, also such that end on a key of several bytes a character; both versions.
TEST_F(S3Listing, L1PagesOfAnySizeInBothVersionsAreWhole) {
  const std::string prefix = "p +%2F/";
  const std::vector<Key> keys = fill(odd_keys, prefix);
  for (const char* version : {"yes", "not_implemented", "as_v1"}) {
    for (const uint64_t size : {1, 2, 3, 5, 16, 1000}) {
      change("from", [&](auto& settings) {
        settings.list_v2 = version;
        settings.page_size = size;
      });
      open("", "", prefix);
      expect_whole(keys, std::string(version) + " by " + std::to_string(size));
    }
  }
}

// L1: a store of version 1 is asked once, and then in its own way by every listing.
TEST_F(S3Listing, L1AStoreOfVersionOneIsLearntOnce) {
  generate(25);
  size_t said = 0;
  for (const char* version : {"not_implemented", "as_v1"}) {
    change("from", [&](auto& settings) {
      settings.list_v2 = version;
      settings.page_size = 10;
    });
    open();
    server_.clear_log();
    source_->check(context_);
    EXPECT_EQ(list(*source_).size(), 25U);
    EXPECT_EQ(list(*source_).size(), 25U);
    EXPECT_EQ(requests("ListObjectsV2"), 1U) << version;
    EXPECT_EQ(logged("version 1"), ++said) << "once a store";
    open();
    ListRequest request;
    request.after = keys_of(list(*source_))[12];
    open();
    EXPECT_EQ(list(*source_, request).size(), 12U)
        << version << ": the first request of all has to start in the middle";
    said += 2;
  }
}

// A refusal that has another cause stays what it is.
TEST_F(S3Listing, L1ARefusalOfBothVersionsIsTheStoresAnswer) {
  server_.add_rule({.op = "ListObjects*", .status = 400, .code = "InvalidArgument"});
  const auto error = error_of([&] { list(*source_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->provider_code(), "InvalidArgument");
  EXPECT_EQ(error->http_status(), 400);
  // Once version 2 has worked, nothing else is tried.
  server_.clear_rules();
  list(*source_);
  server_.add_rule({.op = "ListObjectsV2", .status = 501, .code = "NotImplemented"});
  server_.clear_log();
  EXPECT_TRUE(error_of([&] { list(*source_); }));
  EXPECT_EQ(requests("ListObjects"), 0U);
}

// L1: empty pages that are truncated are gone over; a store that gives nothing else is left.
TEST_F(S3Listing, L1EmptyTruncatedPagesAreNotTheEnd) {
  generate(95);
  for (const uint64_t every : {1, 2, 3}) {
    change("from", [&](auto& settings) {
      settings.page_size = 10;
      settings.empty_page_every = every;
    });
    open();
    if (every > 1) {
      EXPECT_EQ(list(*source_).size(), 95U);
      continue;
    }
    const auto lister = source_->list({}, context_);
    const auto error = error_of([&] {
      for (int n = 0; n < 20'000; ++n) lister->next(context_);
    });
    ASSERT_TRUE(error);
    EXPECT_NE(error->message().find("pages in a row had nothing new"), std::string::npos) << error->message();
  }
}

// L1: a token that comes back would go on for ever.
TEST_F(S3Listing, L1RepeatedTokensEndInAnError) {
  generate(100);
  change("from", [](auto& settings) {
    settings.page_size = 10;
    settings.repeats_token_after = 3;
  });
  const auto error = error_of([&] { list(*source_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::server);
  EXPECT_NE(error->message().find("came twice"), std::string::npos) << error->message();
}

// L2: in the form of forms (AWS), with %20, and one that only asking can tell.
TEST_F(S3Listing, L2WhatAPlusMeansIsFoundOut) {
  const std::vector<Key> keys = fill(odd_keys, "a b+/");
  for (const bool plus_for_space : {false, true}) {
    change("from", [&](auto& settings) { settings.plus_for_space = plus_for_space; });
    open("", "", "a b+/");
    EXPECT_EQ(keys_of(list(*source_)), keys);
  }
  // Nothing but a space in the listing: "+" without a %2B.
  for (const Key key : {"only spaces", "the/only/space here"}) {
    server_.put("to", key, "x");
  }
  change("to", [](auto& settings) { settings.plus_for_space = true; });
  server_.clear_log();
  const std::vector<Key> spaces = {"only spaces", "the/only/space here"};
  EXPECT_EQ(keys_of(list(*destination_)), spaces);
  EXPECT_EQ(requests("ListObjectsV2"), 2U) << "the page, and a question";
  EXPECT_EQ(keys_of(list(*destination_)), spaces);
  EXPECT_EQ(requests("ListObjectsV2"), 3U) << "asked once";
}

// L2: a store that writes '+' as it is, and spaces as %20, with nothing but '+' in the listing.
TEST_F(S3Listing, L2APlusThatIsItselfIsFoundOutByAsking) {
  const auto page = [](const std::string& key) {
    return ScriptedAnswer{200, "",
                          "<ListBucketResult><EncodingType>url</EncodingType><KeyCount>1</KeyCount><IsTruncated>false"
                          "</IsTruncated>" +
                              (key.empty() ? "" : "<Contents><Key>" + key + "</Key><Size>1</Size></Contents>") +
                              "</ListBucketResult>"};
  };
  for (const bool exists : {true, false}) {
    ScriptedServer server([&](const ScriptedRequest& request) {
      if (request.target.find("prefix=c%20%2B") != std::string::npos) return page("");
      if (request.target.find("prefix=c%20d") != std::string::npos) return page("");
      if (request.target.find("prefix=c%2Bd") != std::string::npos) return page(exists ? "c+d" : "");
      return page("c+d");
    });
    const auto source = s3_connector().open_source(
        Url::parse("s3://bucket?endpoint=http://127.0.0.1:" + std::to_string(server.port())));
    if (exists) {
      EXPECT_EQ(keys_of(list(*source)), std::vector<Key>{"c+d"});
      EXPECT_EQ(server.requests().size(), 3U);
    } else {
      const auto error = error_of([&] { list(*source); });
      ASSERT_TRUE(error) << "neither form is there: nothing is guessed";
      EXPECT_NE(error->message().find("cannot be found out"), std::string::npos) << error->message();
    }
  }
}

// L3: seen by the check before anything is promised; said once; and whole.
TEST_F(S3Listing, L3AStoreWithoutOrderIsListedWithoutIt) {
  generate(95);
  std::vector<Key> sorted = keys_of(list(*source_));
  for (const char* bucket : {"from", "to"}) {
    change(bucket, [](auto& settings) {
      settings.unordered = true;
      settings.page_size = 10;
    });
  }
  open();
  EXPECT_EQ(source_->capabilities().order, Order::byte_key);
  source_->check(context_);
  EXPECT_EQ(source_->capabilities().order, Order::none);
  EXPECT_FALSE(source_->capabilities().start_after);
  for (int n = 0; n < 2; ++n) {
    std::vector<Key> keys = keys_of(list(*source_));
    EXPECT_FALSE(std::is_sorted(keys.begin(), keys.end()));
    std::sort(keys.begin(), keys.end());
    EXPECT_EQ(keys, sorted);
  }
  EXPECT_EQ(logged("listed without order"), 1U);
  // An object is found though others come before it.
  server_.put("to", "k/1", "x");
  server_.put("to", "k", "x");
  destination_->check(context_);
  EXPECT_EQ(destination_->capabilities().order, Order::none);
  EXPECT_TRUE(destination_->stat("k", context_));
}

// L3: what shows only later ends the listing, with the way out; which is then taken without a probe.
TEST_F(S3Listing, L3DisorderThatShowsLaterNamesTheWayOut) {
  generate(95);
  const std::vector<Key> sorted = keys_of(list(*source_));
  open();
  source_->check(context_);
  change("from", [](auto& settings) {
    settings.unordered = true;
    settings.page_size = 10;
  });
  const auto error = error_of([&] { list(*source_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::server);
  EXPECT_NE(error->message().find("ordered=false"), std::string::npos) << error->message();
  open("&ordered=false");
  EXPECT_EQ(source_->capabilities().order, Order::none);
  std::vector<Key> keys = keys_of(list(*source_));
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, sorted);
}

// L4: unless all are asked for, the latest version is listed; delete markers and older ones are not.
TEST_F(S3Listing, L4OfAVersionedBucketTheLatestVersionsAreListed) {
  change("from", [](auto& settings) { settings.versioning = "enabled"; });
  for (const char* text : {"first", "second!"}) server_.put("from", "twice", text);
  server_.put("from", "gone", "x");
  const auto remover = s3_connector().open_destination(url("from"));
  remover->remove("gone", context_);
  const std::vector<Item> items = list(*source_);
  ASSERT_EQ(keys_of(items), std::vector<Key>{"twice"});
  EXPECT_EQ(items[0].stamp.size, 7U);
  EXPECT_EQ(items[0].id.version, "");
  const auto error = error_of([&] { open("", "&versions=true"); });
  ASSERT_TRUE(error) << "they are a source's";
  EXPECT_EQ(error->error_class(), ErrorClass::configuration);
}

class S3Versions : public S3Listing {
 protected:
  struct Version {
    Key key;
    std::string id;
    std::string content;
    bool operator==(const Version&) const = default;
  };

  void SetUp() override {
    S3Listing::SetUp();
    change("from", [](auto& settings) { settings.versioning = "suspended"; });
    write("b", "of old");  // "null"
    change("from", [](auto& settings) { settings.versioning = "enabled"; });
    remover_ = s3_connector().open_destination(url("from"));
    write("a b+%", "first");
    write("a b+%", "second");
    for (int n = 0; n < 7; ++n) write("b", "b" + std::to_string(n));
    write("c/", "");
    remover_->remove("b", context_);
    write("b", "again");
    write("gone", "last");
    remover_->remove("gone", context_);
    remover_->remove("never", context_);
    open("&versions=true");
  }

  void write(const Key& key, const std::string& content) {
    server_.put("from", key, content);
    const auto object = server_.get("from", key);
    versions_.push_back({key, object->version_id, content});
    written_at_[{key, object->version_id}] = object->modified_ms;
  }

  std::vector<Version> expected() const {
    std::vector<Version> sorted = versions_;
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return std::tie(a.key, a.id) < std::tie(b.key, b.id); });
    return sorted;
  }

  /// When a version was written, as a HEAD tells it.
  int64_t server_time(const ItemId& id) {
    return written_at_.at({id.key, id.version}) / 1000 * 1'000'000'000;
  }

  std::vector<Version> read_all(const std::vector<Item>& items) {
    std::vector<Version> found;
    for (const Item& item : items) {
      std::string content(static_cast<size_t>(item.stamp.size.value_or(0)), '\0');
      const ReadResult result = read(item, content);
      EXPECT_EQ(result.stamp, item.stamp) << item.id.version;
      EXPECT_EQ(result.attributes.mtime_ns, server_time(item.id)) << "the order of versions would be lost";
      EXPECT_EQ(source_->stat(item.id, context_)->stamp, item.stamp) << item.id.version;
      found.push_back({item.id.key, item.id.version, content});
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return std::tie(a.key, a.id) < std::tie(b.key, b.id); });
    return found;
  }

  std::vector<Version> versions_;
  std::map<std::pair<Key, std::string>, int64_t> written_at_;
  std::shared_ptr<Destination> remover_;
};

// L4: every version of every key, by both markers, whatever a page holds; delete markers are no content.
TEST_F(S3Versions, L4EveryVersionIsAnItemWithItsOwnContent) {
  for (const uint64_t size : {1, 2, 3, 7, 1000}) {
    for (const bool plus : {false, true}) {
      change("from", [&](auto& settings) {
        settings.page_size = size;
        settings.plus_for_space = plus;
      });
      open("&versions=true");
      EXPECT_EQ(read_all(list(*source_)), expected()) << size << " in a page";
    }
  }
  EXPECT_EQ(logged("3 delete markers"), 10U) << "each listing tells what it passed over";
  EXPECT_EQ(logged("2 keys are deleted"), 10U);
  EXPECT_EQ(source_->capabilities().order, Order::none);
  EXPECT_TRUE(source_->capabilities().versions);
  EXPECT_EQ(source_->identity(), "s3://from/") << "what moves is in the fingerprint, not in the place";
}

// L4: another process goes on behind a key that was listed to its end, even where a page ends among its versions.
TEST_F(S3Versions, L4AListingIsCarriedOnByAnotherProcess) {
  for (const uint64_t size : {1, 2, 3, 5}) {
    change("from", [&](auto& settings) { settings.page_size = size; });
    for (size_t stop = 1; stop < versions_.size(); ++stop) {
      std::vector<Item> items;
      ListRequest rest;
      const auto lister = source_->list({}, context_);
      bool is_over = false;
      for (size_t pages = 0; pages < stop && !is_over; ++pages) {
        Page page = lister->next(context_);
        std::move(page.items.begin(), page.items.end(), std::back_inserter(items));
        rest.resume = page.resume;
        is_over = page.is_last;
      }
      if (is_over) break;
      for (Item& item : list(*source_, rest)) items.push_back(std::move(item));
      std::vector<Version> found = read_all(items);
      found.erase(std::unique(found.begin(), found.end()), found.end());  // some may come again, none is missing
      EXPECT_EQ(found, expected()) << size << " in a page, stopped after " << stop;
    }
  }
}

// L4: a version that is gone, and one of a key that has others.
TEST_F(S3Versions, L4AVersionThatIsGoneIsGoneAlone) {
  const std::vector<Item> items = list(*source_);
  const auto item = std::find_if(items.begin(), items.end(), [](const Item& each) { return each.id.key == "b"; });
  ASSERT_NE(item, items.end());
  server_.add_rule({.op = "*Object", .key = "b", .first = 1, .status = 404, .code = "NoSuchVersion"});
  std::string content(static_cast<size_t>(*item->stamp.size), '\0');
  EXPECT_EQ(error_of([&] { read(*item, content); })->error_class(), ErrorClass::missing);
  EXPECT_TRUE(source_->stat(item->id, context_));
  ItemId gone = item->id;
  gone.version = "v0000000000000000";
  EXPECT_FALSE(source_->stat(gone, context_));
}

// L4: tags are those of the version.
TEST_F(S3Versions, L4EachVersionHasItsOwnTags) {
  for (const char* text : {"one", "two"}) {
    testing::fault::Object object;
    object.content = testing::fault::held_content(text);
    object.tags = {{"of", text}};
    server_.put("from", "tagged", object);
  }
  std::string content(3, '\0');
  size_t count = 0;
  for (const Item& item : list(*source_)) {
    if (item.id.key != "tagged") continue;
    const ReadResult result = read(item, content);
    EXPECT_EQ(result.attributes.tags.at("of"), content);
    ++count;
  }
  EXPECT_EQ(count, 2U);
}

// L4: a listing of versions that breaks its contract, and a store without one.
TEST(S3VersionsContract, L4WhatCannotBeTrustedIsAnError) {
  std::string body;
  ScriptedServer server([&](const ScriptedRequest&) { return ScriptedAnswer{200, "", body, true}; });
  testing::TestContext context;
  const auto listed = [&](const std::string& inside, bool is_truncated) {
    body = "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>" + std::string(is_truncated ? "true" : "false") +
           "</IsTruncated>" + inside + "</ListVersionsResult>";
    const auto source = s3_connector().open_source(
        Url::parse("s3://bucket/p?versions=true&anonymous=true&endpoint=http://127.0.0.1:" + std::to_string(server.port())));
    const auto lister = source->list({}, context);
    try {
      for (int pages = 0; pages < 5; ++pages) {
        if (lister->next(context).is_last) return std::string("whole");
      }
    } catch (const Error& error) {
      return error.message();
    }
    return std::string("no end");
  };
  const auto version = [](const std::string& key, const std::string& id) {
    return "<Version><Key>p/" + key + "</Key><VersionId>" + id + "</VersionId><IsLatest>true</IsLatest><Size>1</Size>" +
           "<LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>e</ETag></Version>";
  };
  EXPECT_EQ(listed(version("a", "2") + version("a", "1") + version("b", "1"), false), "whole");
  EXPECT_NE(listed(version("b", "1") + version("a", "1"), false).find("not ascending"), std::string::npos);
  EXPECT_NE(listed(version("a", "1"), true).find("not how to ask"), std::string::npos);
  const std::string markers = "<NextKeyMarker>p/a</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>";
  EXPECT_NE(listed(version("a", "1") + markers, true).find("circle"), std::string::npos);
  // Delete markers in a place of their own, as some stores have them.
  EXPECT_EQ(listed(version("b", "1") + "<DeleteMarker><Key>p/a</Key><VersionId>1</VersionId><IsLatest>true</IsLatest></DeleteMarker>",
                   false),
            "whole");
  body = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
  const auto source = s3_connector().open_source(
      Url::parse("s3://bucket/p?versions=true&anonymous=true&endpoint=http://127.0.0.1:" + std::to_string(server.port())));
  try {
    source->check(context);
    ADD_FAILURE() << "it ignores what it was asked for";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::configuration);
    EXPECT_NE(error.message().find("does not list versions"), std::string::npos) << error.message();
  }
}

// O4: only what the listing knows for sure is refused before it is read.
TEST(S3Archived, O4OnlyWhatIsKnownToBeArchivedIsRefused) {
  ListedObject object;
  object.storage_class = "GLACIER_IR";
  EXPECT_EQ(why_archived(object, true), nullptr);
  for (const char* name : {"GLACIER", "DEEP_ARCHIVE"}) {
    object = {};
    object.storage_class = name;
    EXPECT_STREQ(why_archived(object, true), "restore it first");
    EXPECT_EQ(why_archived(object, false), nullptr) << "the store was not asked what is restored: reading tells";
    object.is_restoring = true;
    EXPECT_STREQ(why_archived(object, false), "its restore is under way");
    object.is_restoring = false;
    object.is_restored = true;
    EXPECT_EQ(why_archived(object, true), nullptr);
  }
  std::string body =
      "<ListBucketResult><IsTruncated>false</IsTruncated>"
      "<Contents><Key>a</Key><Size>1</Size><StorageClass>GLACIER</StorageClass><RestoreStatus>"
      "<IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus></Contents>"
      "<Contents><Key>b</Key><Size>1</Size><StorageClass>GLACIER</StorageClass><RestoreStatus>"
      "<IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2030-01-01T00:00:00Z</RestoreExpiryDate>"
      "</RestoreStatus></Contents></ListBucketResult>";
  const ListedPage page = parse_list(body);
  EXPECT_TRUE(page.objects[0].is_restoring);
  EXPECT_FALSE(page.objects[0].is_restored);
  EXPECT_TRUE(page.objects[1].is_restored);
}

}  // namespace
}  // namespace waybill::s3
