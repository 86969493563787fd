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
    EXPECT_NE(error->message().find("pages in a row were empty"), std::string::npos) << error->message();
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

// L4: the latest version moves; delete markers and older versions are not in a listing of it; more is refused by name.
TEST_F(S3Listing, L4OfAVersionedBucketTheLatestVersionsAreListed) {
  change("from", [](auto& settings) { settings.versioning = "enabled"; });
  for (const char* text : {"first", "second!"}) server_.put("from", "twice", text);
  server_.put("from", "gone", "x");
  const auto remover = s3_connector().open_destination(url("from"));
  remover->remove("gone", context_);
  const std::vector<Item> items = list(*source_);
  ASSERT_EQ(keys_of(items), std::vector<Key>{"twice"});
  EXPECT_EQ(items[0].stamp.size, 7U);
  const auto error = error_of([&] { open("&versions=true"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::configuration);
  EXPECT_NE(error->message().find("versions"), std::string::npos);
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
