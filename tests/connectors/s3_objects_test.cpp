// SPDX-License-Identifier: Apache-2.0
//
// What belongs to an object besides its bytes, and the sizes at which things change (peers.md, lines O1 to O5).
#include "connectors/s3_fault_fixture.hpp"

namespace waybill::s3 {
namespace {

using testing::fault::Object;

class S3Objects : public S3Fault {
 protected:
  Object object(const std::string& content) {
    Object made;
    made.content = testing::fault::held_content(content);
    return made;
  }
  std::string header_of(const std::string& key, const std::string& name) const {
    const auto found = server_.get("to", key);
    if (!found) return "(no object)";
    for (const auto& [each, value] : found->headers) {
      if (each == name) return value;
    }
    return "(none)";
  }
};

// O1: an empty object and both kinds of folder markers; read by plain GETs, never in ranges.
TEST_F(S3Objects, O1EmptyObjectsAndMarkersMoveWithoutRanges) {
  for (const auto& [key, content] :
       std::vector<std::pair<std::string, std::string>>{{"empty", ""}, {"folder/", ""}, {"marker/", "with bytes"}}) {
    server_.put("from", key, content);
    copy(item(key));
    EXPECT_EQ(content_at("to", key), content) << key;
  }
  for (const auto& record : server_.requests()) {
    EXPECT_TRUE(record.op != "GetObject" || record.head.find("range:") == std::string::npos) << record.head;
    EXPECT_NE(record.op, "CreateMultipartUpload");
  }
}

// O2: metadata, tags and storage class go along, in one PUT and in parts; a request more only where there are tags.
TEST_F(S3Objects, O2TagsClassAndMetadataAreKept) {
  Object made = object("content");
  made.headers = {{"x-amz-meta-title", "=?UTF-8?B?w7xiZXI=?="}, {"x-amz-website-redirect-location", "/there"}};
  made.tags = {{"a key", "a+value=&"}, {"\xC3\xBC", ""}};
  made.storage_class = "STANDARD_IA";
  server_.put("from", "tagged", made);
  server_.put("from", "plain", "content");
  copy(item("plain"));
  const uint64_t probes = requests("GetObjectTagging");
  EXPECT_EQ(probes, 1U) << "whether tags can be read is asked once";
  copy(item("plain"));
  EXPECT_EQ(requests("GetObjectTagging"), probes);
  copy(item("tagged"));
  EXPECT_EQ(requests("GetObjectTagging"), probes + 1);

  std::string content(7, '\0');
  const Attributes attributes = read(item("tagged"), content).attributes;
  EXPECT_EQ(attributes.metadata.at("title"), "über");
  EXPECT_EQ(attributes.tags.at("a key"), "a+value=&");
  const auto upload = destination_->begin_parts("large", PartPlan{7, 7, ""}, WriteOptions{attributes, {}}, context_);
  std::vector<PartInfo> parts = {upload->write(1, 0, Body(internal::as_bytes(content), {}), context_)};
  upload->complete(parts, context_);
  for (const char* key : {"tagged", "large"}) {
    const auto there = server_.get("to", key);
    ASSERT_TRUE(there) << key;
    EXPECT_EQ(testing::fault::read_all(*there->content), "content");
    testing::fault::Tags tags = there->tags;
    std::sort(tags.begin(), tags.end());
    EXPECT_EQ(tags, made.tags) << key;
    EXPECT_EQ(there->storage_class, "STANDARD_IA") << key;
    EXPECT_EQ(header_of(key, "x-amz-meta-title"), "=?UTF-8?B?w7xiZXI=?=") << key;
  }
}

// O2: without the right to read tags, a tagged object fails by that name; unless they are not wanted.
TEST_F(S3Objects, O2TagsThatCannotBeReadAreNotLostInSilence) {
  Object made = object("content");
  made.tags = {{"a", "b"}};
  server_.put("from", "tagged", made);
  server_.put("from", "plain", "content");
  change("from", [](auto& settings) { settings.denied = {"GetObjectTagging"}; });
  copy(item("plain"));
  EXPECT_EQ(logged("s3:GetObjectTagging"), 1U) << "without that right a store may not say that there are tags";
  copy(item("plain"));
  EXPECT_EQ(logged("s3:GetObjectTagging"), 1U);
  const auto error = error_of([&] { copy(item("tagged")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::permission) << error->message();
  EXPECT_NE(error->message().find("s3:GetObjectTagging"), std::string::npos) << error->message();
  EXPECT_NE(error->message().find("tags=false"), std::string::npos) << error->message();
  EXPECT_FALSE(server_.get("to", "tagged"));

  open("&tags=false");
  server_.clear_log();
  copy(item("tagged"));
  EXPECT_EQ(requests("GetObjectTagging"), 0U);
  EXPECT_TRUE(server_.get("to", "tagged")->tags.empty());
}

// O2: a store that has tags, but does not count them in the answer to a GET.
TEST_F(S3Objects, O2UncountedTagsAreAskedForEachObject) {
  server_.put("from", "a", "content");
  server_.put("from", "b", "content");
  server_.add_rule({.op = "GetObjectTagging",
                    .status = 200,
                    .body = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"});
  copy(item("a"));
  copy(item("b"));
  const testing::fault::Tags tags = {{"k", "v"}};
  EXPECT_EQ(server_.get("to", "a")->tags, tags);
  EXPECT_EQ(server_.get("to", "b")->tags, tags);
  EXPECT_EQ(requests("GetObjectTagging"), 2U);
}

// O2: a destination that refuses tags says what to do; told to leave them out, it gets none.
TEST_F(S3Objects, O2ADestinationWithoutTagsSaysSo) {
  Object made = object("content");
  made.tags = {{"a", "b"}};
  server_.put("from", "tagged", made);
  const uint64_t rule = server_.add_rule({.op = "PutObject", .status = 501, .code = "NotImplemented"});
  const auto error = error_of([&] { copy(item("tagged")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
  EXPECT_NE(error->message().find("tags=false"), std::string::npos) << error->message();
  server_.remove_rule(rule);
  open("", "&tags=false");
  copy(item("tagged"));
  EXPECT_TRUE(server_.get("to", "tagged")->tags.empty());
}

// O2: the class of the source where the store takes it; otherwise its default, said once; or the one the user names.
TEST_F(S3Objects, O2AStorageClassThatIsNotKnownIsForgoneOnceAndForAll) {
  Object made = object("content");
  made.storage_class = "STANDARD_IA";
  for (const char* key : {"a", "b", "c"}) server_.put("from", key, made);
  const uint64_t rule =
      server_.add_rule({.op = "PutObject", .key = "a", .first = 1, .status = 400, .code = "InvalidStorageClass"});
  copy(item("a"));
  EXPECT_EQ(server_.get("to", "a")->storage_class, "STANDARD");
  EXPECT_EQ(logged("storage class"), 1U);
  server_.clear_log();
  copy(item("b"));
  EXPECT_EQ(requests("PutObject"), 1U);
  EXPECT_EQ(server_.get("to", "b")->storage_class, "STANDARD");
  EXPECT_EQ(server_.fired(rule), 1U);

  open("", "&storage_class=GLACIER_IR");
  copy(item("c"));
  EXPECT_EQ(server_.get("to", "c")->storage_class, "GLACIER_IR");
  server_.add_rule({.op = "PutObject", .status = 400, .code = "InvalidStorageClass"});
  const auto error = error_of([&] { copy(item("c")); });
  ASSERT_TRUE(error) << "a class that the user named is not replaced by another one";
  EXPECT_EQ(error->provider_code(), "InvalidStorageClass");
}

// O2: an ACL only where one is named.
TEST_F(S3Objects, O2AnAclIsAnOption) {
  server_.put("from", "a", "content");
  copy(item("a"));
  EXPECT_EQ(server_.get("to", "a")->acl, "private");
  open("", "&acl=bucket-owner-full-control");
  copy(item("a"));
  EXPECT_EQ(server_.get("to", "a")->acl, "bucket-owner-full-control");
  EXPECT_EQ(error_of([&] { open("", "&acl=everybody"); })->error_class(), ErrorClass::configuration);
  EXPECT_EQ(error_of([&] { open("", "&storage_class=cold one"); })->error_class(), ErrorClass::configuration);
  EXPECT_EQ(error_of([&] { open("&acl=private"); })->error_class(), ErrorClass::configuration);
}

// O2: what the store holds and no header can say is not lost in silence.
TEST_F(S3Objects, O2MetadataThatCannotBeHadFailsTheObject) {
  server_.put("from", "a", "content");
  server_.add_rule({.op = "GetObject",
                    .status = 200,
                    .body = "content",
                    .headers = {{"ETag", "\"" + item("a").stamp.etag + "\""}, {"x-amz-missing-meta", "2"}}});
  const auto error = error_of([&] { copy(item("a")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
}

// O3: stored as it is, never inflated; every header of the content goes along.
TEST_F(S3Objects, O3EncodedContentAndItsHeadersStayAsTheyAre) {
  const std::string gzip("\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x04\0\x43\xbe\xb7\xe8\x01\0\0\0", 21);
  Object made = object(gzip);
  made.headers = {{"Content-Type", "text/plain"},
                  {"Content-Encoding", "gzip"},
                  {"Content-Language", "de-AT"},
                  {"Content-Disposition", "attachment; filename=\"a b.txt\""},
                  {"Cache-Control", "max-age=60, private"},
                  {"Expires", "Fri, 20 Nov 2026 18:43:53 GMT"}};
  server_.put("from", "a.gz", made);
  copy(item("a.gz"));
  EXPECT_EQ(content_at("to", "a.gz"), gzip);
  for (const auto& [name, value] : made.headers) EXPECT_EQ(header_of("a.gz", name), value) << name;
  for (const auto& record : server_.requests()) {
    EXPECT_TRUE(record.op != "GetObject" || record.head.find("ccept-Encoding: gzip") == std::string::npos);
  }
  // How a request was sent is no encoding of the content.
  made.headers = {{"Content-Encoding", "aws-chunked, gzip"}};
  server_.put("from", "b.gz", made);
  copy(item("b.gz"));
  EXPECT_EQ(header_of("b.gz", "Content-Encoding"), "gzip");
}

// O4: an archived object is that, with what to do; a restored one and an instant one are read.
TEST_F(S3Objects, O4ArchivedObjectsAreReportedAndRestoredOnesRead) {
  for (const char* name : {"GLACIER", "DEEP_ARCHIVE"}) {
    Object made = object("content");
    made.storage_class = name;
    server_.put("from", std::string("cold/") + name, made);
    made.restore = "ongoing-request=\"true\"";
    server_.put("from", std::string("thawing/") + name, made);
    made.restore = "ongoing-request=\"false\", expiry-date=\"Fri, 20 Nov 2030 00:00:00 GMT\"";
    server_.put("from", std::string("restored/") + name, made);
    for (const char* state : {"cold/", "thawing/"}) {
      const Item listed = item(std::string(state) + name);
      const auto error = error_of([&] { copy(listed); });
      ASSERT_TRUE(error) << state << name;
      EXPECT_EQ(error->error_class(), ErrorClass::archived) << error->message();
      EXPECT_NE(error->message().find("restore"), std::string::npos) << error->message();
      EXPECT_FALSE(error->retryable());
    }
    EXPECT_FALSE(error_of([&] { copy(item(std::string("restored/") + name)); })) << name;
  }
  Object instant = object("content");
  instant.storage_class = "GLACIER_IR";
  server_.put("from", "instant", instant);
  EXPECT_FALSE(error_of([&] { copy(item("instant")); }));
  // The archive tiers of intelligent tiering show in no listing.
  server_.put("from", "tiered", "content");
  server_.add_rule({.op = "GetObject", .key = "tiered", .status = 403, .code = "InvalidObjectState"});
  EXPECT_EQ(error_of([&] { copy(item("tiered")); })->error_class(), ErrorClass::archived);
}

// O5: what is replaced in a bucket that keeps versions stays there, and that is said, once; nothing else of ours does.
TEST_F(S3Objects, O5AnOverwriteInAVersionedBucketIsKnownForWhatItCosts) {
  const auto versions = [&] {
    const auto all = s3_connector().open_source(url("to", "&versions=true"));
    return list(*all).size();
  };
  change("to", [](auto& settings) { settings.versioning = "enabled"; });
  for (const char* key : {"a", "b"}) put(key, "first", absent());
  EXPECT_EQ(logged("keeps versions"), 0U) << "nothing was replaced";
  for (const char* key : {"a", "b"}) {
    WriteOptions options;
    options.condition.kind = Condition::Kind::unchanged;
    options.condition.etag = server_.get("to", key)->etag;
    put(key, "second", options);
  }
  EXPECT_EQ(logged("noncurrent version"), 1U) << "once a store";
  EXPECT_EQ(context_.counter("noncurrent_versions"), 2U);
  EXPECT_EQ(versions(), 4U);
  open();
  put("c", "whatever is there");
  EXPECT_EQ(logged("noncurrent version"), 2U);
  // A key that has to be proved first is no version more than it is.
  EXPECT_EQ(versions(), 5U);
  put("d/../e", "proved", absent());
  EXPECT_EQ(requests("DeleteObject"), 1U);
  EXPECT_EQ(versions(), 6U);
  EXPECT_EQ(logged("delete markers"), 0U);
}

// O5: an object that is locked at the destination is a right that lacks, said by the store, and nothing is replaced.
TEST_F(S3Objects, O5ALockAtTheDestinationIsAClearRefusal) {
  server_.put("from", "a", "new");
  server_.put("to", "a", "locked");
  server_.add_rule({.op = "PutObject", .status = 403, .code = "AccessDenied"});
  const auto error = error_of([&] { copy(item("a")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::permission);
  EXPECT_FALSE(error->retryable());
  EXPECT_EQ(content_at("to", "a"), "locked");
}

}  // namespace
}  // namespace waybill::s3
