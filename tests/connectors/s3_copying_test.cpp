// SPDX-License-Identifier: Apache-2.0
//
// Copies inside a store, with the store as the judge: what it was asked, what it holds, and what is streamed instead.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.hpp"
#include "engine/support.hpp"
#include "support/fault_server/fault_server.hpp"
#include "waybill/waybill.hpp"

namespace waybill::testing {
namespace {

class S3Copying : public ::testing::Test {
 protected:
  S3Copying() { begin_anew(); }

  void begin_anew() {
    server_.reset();
    server_.make_bucket("from");
    server_.make_bucket("to");
  }

  std::string url(const std::string& bucket, const std::string& more = "") const {
    return "s3://" + bucket + "/?anonymous=true&endpoint=" + server_.endpoint() + more;
  }
  Report run(Options options = {}) {
    Migration migration(url("from"), url("to"), folder_.path("ledger.db"));
    return migration.run(options);
  }
  void put_object(const std::string& key, const std::string& content, const fault::Headers& headers,
                  const fault::Tags& tags = {}) {
    server_.put("from", key, content);
    fault::Object object = *server_.get("from", key);
    object.headers = headers;
    object.tags = tags;
    server_.put("from", key, object);
  }
  /// Without the one that is ours.
  std::map<std::string, std::string> headers_of(const std::string& bucket, const std::string& key) const {
    const fault::Headers headers = server_.get(bucket, key)->headers;
    std::map<std::string, std::string> found(headers.begin(), headers.end());
    found.erase("x-amz-meta-waybill-crc64nvme");
    return found;
  }
  void put_objects(int count) {
    for (int n = 0; n < count; ++n) server_.put("from", key_of(n), "content " + std::to_string(n));
  }
  void expect_same(int count) {
    ASSERT_EQ(server_.keys("to"), server_.keys("from"));
    for (int n = 0; n < count; ++n) {
      const std::string key = key_of(n);
      EXPECT_EQ(server_.get("to", key)->crc64, server_.get("from", key)->crc64) << key;
    }
  }
  static std::string key_of(int n) { return "k+ ö/" + std::to_string(n); }
  void set_class(int n, const char* name) {
    fault::Object object = *server_.get("from", key_of(n));
    object.storage_class = name;
    server_.put("from", key_of(n), object);
  }
  std::string class_of(int n) const { return server_.get("to", key_of(n))->storage_class; }
  uint64_t asked(const char* operation) const {
    const auto counts = server_.counts();
    const auto found = counts.find(operation);
    return found == counts.end() ? 0 : found->second.requests;
  }
  uint64_t asked_in_all() const {
    uint64_t requests = 0;
    for (const auto& [name, count] : server_.counts()) requests += count.requests;
    return requests;
  }

  /// Copies that are made a second time, and refused, to see whether conditions are heeded.
  static constexpr uint64_t repeated = 1;

  FaultServer server_;
  TemporaryFolder folder_;
};

TEST_F(S3Copying, OneRequestAnObjectAndNoBodies) {
  put_objects(1000);
  const Report report = run();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.created, 1000);
  expect_same(1000);
  EXPECT_EQ(asked("CopyObject"), 1000u + repeated);
  EXPECT_EQ(asked("GetObject") + asked("PutObject"), 0u);
  EXPECT_EQ(asked("HeadObject"), 3u) << "of the first one, its place and its copy";
  EXPECT_LE(asked_in_all(), 1010u);
  // A verification rests on the store's word; a second run finds nothing to do.
  Migration migration(url("from"), url("to"), folder_.path("ledger.db"));
  EXPECT_EQ(migration.verify().exit_code, 0);
  EXPECT_EQ(migration.run().snapshot.items.created, 0);
  EXPECT_EQ(asked("CopyObject"), 1000u + repeated);
}

TEST_F(S3Copying, MetadataHeadersAndTagsGoWithIt) {
  fault::Object object;
  server_.put("from", "page", "content");
  object = *server_.get("from", "page");
  object.headers = {{"content-type", "text/html"}, {"cache-control", "private"}, {"x-amz-meta-owner", "somebody"}};
  object.tags = {{"class", "a b"}};
  server_.put("from", "page", object);
  EXPECT_EQ(run().exit_code, 0);
  const fault::ObjectPtr there = server_.get("to", "page");
  ASSERT_NE(there, nullptr);
  EXPECT_EQ(there->headers, object.headers);
  EXPECT_EQ(there->tags, object.tags);
  EXPECT_EQ(asked("CopyObject"), 1u + repeated);
}

TEST_F(S3Copying, OneStorageClassGoesWithItWithoutAQuestion) {
  put_objects(20);
  for (int n = 0; n < 20; ++n) set_class(n, "STANDARD_IA");
  EXPECT_EQ(run().exit_code, 0);
  for (int n = 0; n < 20; ++n) EXPECT_EQ(class_of(n), "STANDARD_IA") << n;
  EXPECT_EQ(asked("CopyObject"), 20u + repeated);
  EXPECT_EQ(asked("GetObject"), 0u);
}

TEST_F(S3Copying, SeveralStorageClassesAreAskedFor) {
  put_objects(20);
  for (int n = 0; n < 10; ++n) set_class(n, "GLACIER_IR");
  EXPECT_EQ(run().exit_code, 0);
  for (int n = 0; n < 20; ++n) EXPECT_EQ(class_of(n), n < 10 ? "GLACIER_IR" : "STANDARD") << n;
  EXPECT_EQ(asked("CopyObject"), 20u + repeated);
  EXPECT_EQ(asked("HeadObject"), 22u) << "each one, and the place and the copy of the first";
  EXPECT_EQ(asked("GetObject"), 0u);
}

// A store whose copies lose something is told everything; the object that showed it is mended.
TEST_F(S3Copying, WhatACopyLosesIsFoundOutWithTheFirstAndSentWithEach) {
  const fault::Headers headers = {{"Content-Type", "text/html"},
                                  {"Content-Language", "de"},
                                  {"Expires", "Tue, 06 May 2031 07:08:09 GMT"},
                                  {"x-amz-meta-owner", "somebody"},
                                  {"x-amz-meta-mtime", "1700000000.500000000"}};
  for (int n = 0; n < 20; ++n) put_object(key_of(n), "content " + std::to_string(n), headers, {{"class", "a b"}});
  server_.change_bucket("to", [](fault::BucketSettings& settings) { settings.copies_lose = {"expires"}; });
  EXPECT_EQ(run().exit_code, 0);
  expect_same(20);
  for (const std::string& key : server_.keys("to")) {
    EXPECT_EQ(headers_of("to", key), headers_of("from", key)) << key;
    EXPECT_EQ(server_.get("to", key)->tags, (fault::Tags{{"class", "a b"}})) << key;
  }
  EXPECT_EQ(asked("CopyObject"), 21u + repeated);
  EXPECT_EQ(asked("HeadObject"), 23u);
  EXPECT_EQ(asked("GetObject") + asked("PutObject"), 0u);
}

// MinIO is known by its name, or behind a proxy by the form of its ids: nothing depends on what the first object has.
TEST_F(S3Copying, AStoreThatIsKnownToLoseExpiresIsToldAllFromTheBeginning) {
  for (const auto& [name, id_2] : {std::pair("MinIO", ""), std::pair("nginx", "0123456789abcdef")}) {
    begin_anew();
    server_.change_bucket("to", [](fault::BucketSettings& bucket) { bucket.copies_lose = {"expires"}; });
    fault::ServerSettings settings;
    settings.name = name;
    for (int n = 0; n < 4; ++n) settings.id_2 += id_2;
    server_.set_server(settings);
    put_objects(20);
    put_object(key_of(7), "content 7", {{"Expires", "soon"}, {"Content-Type", "text/html"}});
    Migration migration(url("from"), url("to"), folder_.path(settings.name + ".db"));
    EXPECT_EQ(migration.run().exit_code, 0);
    EXPECT_EQ(headers_of("to", key_of(7)), headers_of("from", key_of(7))) << name;
    expect_same(20);
    EXPECT_EQ(asked("CopyObject"), 20u + repeated);
    EXPECT_EQ(asked("HeadObject"), 21u);
  }
}

// The only attribute that CopyObject never keeps. A bucket that is no website has no use for it, but for the empty
// objects that redirects are usually made of.
TEST_F(S3Copying, RedirectsOfAWebsiteGoWithIt) {
  const fault::Headers headers = {{"Content-Type", "text/html"}, {"x-amz-website-redirect-location", "/elsewhere"}};
  enum class Bucket { website, unknown, plain };
  for (const Bucket bucket : {Bucket::website, Bucket::unknown, Bucket::plain}) {
    begin_anew();
    server_.change_bucket("from", [&](fault::BucketSettings& settings) {
      settings.website = bucket == Bucket::website;
      if (bucket == Bucket::unknown) settings.denied = {"GetBucketWebsite"};
    });
    put_objects(10);
    put_object("empty", "", headers);
    put_object("page", "content", headers);
    Migration migration(url("from"), url("to"), folder_.path(std::to_string(static_cast<int>(bucket)) + ".db"));
    EXPECT_EQ(migration.run().exit_code, 0);
    EXPECT_EQ(asked("GetBucketWebsite"), 1u);
    EXPECT_EQ(headers_of("to", "empty"), headers_of("from", "empty"));
    EXPECT_EQ(asked("CopyObject"), 11u + repeated);
    EXPECT_EQ(asked("HeadObject"), bucket == Bucket::plain ? 3u : 13u);
    if (bucket == Bucket::plain) continue;
    EXPECT_EQ(headers_of("to", "page"), headers_of("from", "page"));
  }
}

TEST_F(S3Copying, TagsAreLeftOutWhereOneOfTheUrlsSaysSo) {
  for (const auto& [source, destination] : {std::pair("&tags=false", ""), std::pair("", "&tags=false"), std::pair("", "")}) {
    begin_anew();
    for (int n = 0; n < 5; ++n) put_object(key_of(n), "content", {{"Content-Type", "text/html"}}, {{"class", "a b"}});
    const std::string ledger = std::string("tags") + source + destination + ".db";
    Migration migration(url("from", source), url("to", destination), folder_.path(ledger));
    EXPECT_EQ(migration.run().exit_code, 0);
    const bool are_kept = ledger == "tags.db";
    for (int n = 0; n < 5; ++n) {
      EXPECT_EQ(server_.get("to", key_of(n))->tags.size(), are_kept ? 1u : 0u) << ledger;
      EXPECT_EQ(headers_of("to", key_of(n)), headers_of("from", key_of(n)));
    }
    EXPECT_EQ(asked("CopyObject"), 5u + repeated);
    EXPECT_EQ(asked("PutObject"), 0u);
  }
}

TEST_F(S3Copying, AStoreThatKnowsNoCopiesIsNotAskedForLong) {
  server_.change_bucket("to", [](fault::BucketSettings& settings) { settings.copy = false; });
  put_objects(200);
  Options options;
  options.concurrency = 4;
  EXPECT_EQ(run(options).exit_code, 0);
  expect_same(200);
  EXPECT_LE(asked("PutObject"), 201u);  // one more asks whether conditions are heeded
  EXPECT_LE(asked("CopyObject"), 16u);  // each of four threads may be at its second try, with and without the condition
}

TEST_F(S3Copying, ARightThatLacksForCopiesAloneIsNoFailure) {
  server_.change_bucket("to", [](fault::BucketSettings& settings) { settings.denied = {"CopyObject"}; });
  put_objects(50);
  const Report report = run();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  expect_same(50);
}

TEST_F(S3Copying, AnErrorInsideASuccessIsTriedAgainOrStreamed) {
  put_objects(20);
  server_.add_rule({.op = "CopyObject", .nth = 3, .action = fault::Action::error_in_200, .code = "InternalError"});
  server_.add_rule({.op = "CopyObject", .nth = 6, .action = fault::Action::error_in_200, .code = "InvalidRequest"});
  const Report report = run();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  expect_same(20);
  EXPECT_LE(asked("PutObject"), 2u);  // the second asks whether conditions are heeded
  EXPECT_EQ(report.snapshot.attempts_failed, 1);
}

TEST_F(S3Copying, ALostAnswerIsNotAnObjectInTheWay) {
  put_objects(20);
  server_.add_rule({.op = "CopyObject", .nth = 3, .action = fault::Action::reset, .place = fault::Place::answer});
  const Report report = run();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.created, 20);
  expect_same(20);
}

// At most three requests: the copy, a look at what is there, and where its ETag tells nothing one to the source.
TEST_F(S3Copying, ALostAnswerCostsALook) {
  struct Case {
    const char* name;
    bool is_opaque;
    size_t size;
    uint64_t more;  // requests than without it
  };
  for (const Case& each :
       {Case{"md5", false, 100, 1}, Case{"opaque and small", true, 100, 2}, Case{"opaque and large", true, 300'000, 2}}) {
    uint64_t requests[2] = {};
    for (const bool is_lost : {false, true}) {
      begin_anew();
      server_.change_bucket("to", [&](fault::BucketSettings& settings) { settings.etag = each.is_opaque ? "opaque" : "md5"; });
      for (int n = 0; n < 5; ++n) server_.put("from", key_of(n), std::string(each.size, static_cast<char>('a' + n)));
      if (is_lost) server_.add_rule({.op = "CopyObject", .nth = 3, .action = fault::Action::reset, .place = fault::Place::answer});
      Migration migration(url("from"), url("to"), folder_.path(each.name + std::string(is_lost ? ".lost" : ".db")));
      const Report report = migration.run();
      EXPECT_EQ(report.exit_code, 0) << each.name << ": " << report.message;
      EXPECT_EQ(report.snapshot.items.created, 5) << each.name;
      EXPECT_EQ(asked("CopyObject"), 5u + repeated) << each.name;
      EXPECT_EQ(asked("PutObject"), 0u) << each.name;
      expect_same(5);
      // Whether the endpoint is still there is asked by a listing, once in two seconds at most.
      requests[is_lost] = asked_in_all() - asked("ListObjectsV2");
    }
    EXPECT_EQ(requests[1], requests[0] + each.more) << each.name;
  }
}

TEST_F(S3Copying, ACopyThatWasLostBeforeItWasCarriedOutIsMadeAgain) {
  put_objects(3);
  server_.add_rule({.op = "CopyObject", .nth = 3, .action = fault::Action::reset, .place = fault::Place::request});
  EXPECT_EQ(run().exit_code, 0);
  expect_same(3);
  EXPECT_EQ(asked("CopyObject"), 4u + repeated);
  EXPECT_EQ(asked("PutObject"), 0u);
}

TEST_F(S3Copying, ARevisionThatWasNotListedIsNotCopied) {
  put_objects(1);
  bool is_changed = false;
  Callbacks callbacks;
  Options options;
  server_.add_rule({.op = "CopyObject", .nth = 1, .action = fault::Action::delay, .delay_ms = 300});
  std::thread writer([&] {
    while (asked("ListObjectsV2") < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server_.put("from", "k+ ö/0", "another content");
    is_changed = true;
  });
  const Report report = run(options);
  writer.join();
  ASSERT_TRUE(is_changed);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  expect_same(1);
}

TEST_F(S3Copying, WhatIsInTheWayStaysThere) {
  put_objects(3);
  // Appears after the listing, which is when the copy is asked for.
  server_.add_rule({.op = "CopyObject", .action = fault::Action::delay, .delay_ms = 300});
  std::thread writer([&] {
    while (asked("ListObjectsV2") < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server_.put("to", "k+ ö/1", "somebody else's");
  });
  const Report report = run();
  writer.join();
  EXPECT_EQ(server_.get("to", "k+ ö/1")->size(), std::string("somebody else's").size());
  EXPECT_EQ(report.snapshot.items.failed, 1) << report.message;
  EXPECT_EQ(report.snapshot.items.created, 2);
}

TEST_F(S3Copying, ADigestThatIsWantedNeedsTheBytes) {
  put_objects(10);
  Options options;
  options.digest = DigestChoice::sha256;
  EXPECT_EQ(run(options).exit_code, 0);
  EXPECT_EQ(asked("CopyObject"), 0u);
  expect_same(10);
}

TEST_F(S3Copying, CanBeSwitchedOff) {
  put_objects(10);
  Options options;
  options.server_side_copy = false;
  EXPECT_EQ(run(options).exit_code, 0);
  EXPECT_EQ(asked("CopyObject"), 0u);
  expect_same(10);
}

TEST_F(S3Copying, ASuccessWithoutAnETagIsNone) {
  put_objects(10);
  server_.add_rule({.op = "CopyObject", .nth = 2, .status = 200, .body = "<CopyObjectResult/>"});
  server_.add_rule({.op = "CopyObject", .nth = 4, .status = 200, .body = ""});
  const Report report = run();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  expect_same(10);
  EXPECT_EQ(report.snapshot.attempts_failed, 2);
  EXPECT_EQ(asked("CopyObject"), 12u);
}

// Above the bound of one copy the parts are copied, each by the store; one of them is refused, and streamed. What an
// upload would lose is sent with its beginning.
TEST_F(S3Copying, LargeObjectsAreCopiedInParts) {
  fault::GeneratedKeys keys;
  keys.count = 1;
  keys.size = (uint64_t{1} << 30) + 5;
  server_.generate("from", keys);
  const std::string key = server_.keys("from").at(0);
  fault::Object object = *server_.get("from", key);
  object.headers = {{"content-type", "text/html"}, {"cache-control", "private"}, {"x-amz-meta-owner", "somebody"}};
  object.tags = {{"class", "a b"}};
  object.storage_class = "STANDARD_IA";
  server_.put("from", key, object);
  server_.change_bucket("to", [](fault::BucketSettings& settings) { settings.digest_only = true; });
  server_.add_rule({.op = "UploadPartCopy", .nth = 3, .action = fault::Action::status, .status = 400, .code = "InvalidRequest"});
  server_.add_rule({.op = "UploadPartCopy", .nth = 5, .action = fault::Action::status, .status = 503, .code = "SlowDown"});
  server_.add_rule({.op = "UploadPartCopy", .nth = 7, .status = 200, .body = "<CopyPartResult/>"});
  const Report report = run();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(asked("UploadPartCopy"), 19u);  // 17 parts of 64 MiB, two of them twice
  EXPECT_EQ(asked("UploadPart"), 1u);
  EXPECT_EQ(asked("CopyObject"), 0u);
  const fault::ObjectPtr there = server_.get("to", server_.keys("to").at(0));
  EXPECT_EQ(there->size(), keys.size);
  for (const auto& [name, value] : object.headers) {
    const bool is_there = std::any_of(there->headers.begin(), there->headers.end(), [&](const auto& header) {
      return internal::equals_ignoring_case(header.first, name) && header.second == value;
    });
    EXPECT_TRUE(is_there) << name;
  }
  EXPECT_EQ(there->tags, object.tags);
  EXPECT_EQ(there->storage_class, "STANDARD_IA");
  EXPECT_EQ(server_.open_uploads("to").size(), 0u);
}

}  // namespace
}  // namespace waybill::testing
