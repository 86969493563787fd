// SPDX-License-Identifier: Apache-2.0
//
// Headers that have to be on every request that needs them (peers.md, line H8): who pays, whose bucket it is, how what
// is written is encrypted, and the key of one's own. The store's log, and what it holds, are the judge.
#include <algorithm>

#include "base/text.hpp"
#include "connectors/s3_fault_fixture.hpp"

namespace waybill::s3 {
namespace {

constexpr const char* account = "222222222222";
// 32 bytes each, in base64.
constexpr const char* one_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
constexpr const char* another_key = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
constexpr const char* one_key_md5 = "hRasmdxgYDKV3nvbahU1MA==";

constexpr size_t part_bytes = 5 << 20;

class S3Encryption : public S3Fault {
 protected:
  void SetUp() override {
    ::setenv("WAYBILL_TEST_KEY", one_key, 1);
    ::setenv("WAYBILL_TEST_OTHER_KEY", another_key, 1);
    S3Fault::SetUp();
    server_.configure_log(100'000, true);
  }

  /// One object as a whole and one in two parts, read and written, looked at, listed, and the first one removed again.
  void use_everything() {
    source_->check(context_);
    destination_->check(context_);
    copy(item("small"));
    ASSERT_TRUE(destination_->stat("small", context_));
    std::string content(5, '\0');
    for (const Item& each : list(*destination_)) {
      if (each.id.key == "small") read_back(each, content);
    }
    EXPECT_EQ(content, "small");
    write_parts("parts");
    destination_->remove("small", context_);
  }

  void read_back(const Item& item, std::string& content) {
    destination_->read(item, 0, std::as_writable_bytes(std::span(content)), context_);
  }

  Stored write_parts(const Key& key) {
    const std::string part(part_bytes, 'p');
    const std::string last = "end";
    const auto upload = destination_->begin_parts(key, {part_bytes + 3, part_bytes, ""}, {}, context_);
    std::vector<PartInfo> parts = {upload->write(1, 0, Body(internal::as_bytes(part), {}), context_)};
    // Another process goes on with it.
    const auto resumed = destination_->begin_parts(key, {part_bytes + 3, part_bytes, upload->id()}, {}, context_);
    EXPECT_EQ(resumed->existing(context_).size(), 1U);
    parts.push_back(resumed->write(2, part_bytes, Body(internal::as_bytes(last), {}), context_));
    return resumed->complete(parts, context_);
  }

  /// As a copy locates: what a listing does not tell is read first.
  std::optional<Locator> locate(const Key& key) {
    const Item found = item(key);
    std::optional<Locator> locator = source_->locator(found);
    if (!locator || locator->storage_class) return locator;
    std::byte first{};
    locator->attributes = source_->read(found, 0, {&first, 1}, context_).attributes;
    locator->storage_class = locator->attributes->storage_class;
    return locator;
  }

  /// Requests whose head has `text`, in lower case, of those with `op`.
  size_t requests_with(const std::string& text, const std::string& op = "") const {
    size_t count = 0;
    for (const auto& record : server_.requests()) {
      if (!op.empty() && record.op != op) continue;
      count += internal::to_lower(record.head).find(text) != std::string::npos ? 1 : 0;
    }
    return count;
  }

  testing::fault::Encryption encryption_of(const Key& key) const { return server_.get("to", key)->encryption; }
};

// H8: everybody who asks pays, also for what the store copies from the source's bucket by itself.
TEST_F(S3Encryption, H8TheRequesterPaysForCopiesToo) {
  server_.put("from", "small", "small");
  change("from", [](auto& settings) { settings.requester_pays = true; });
  open("&requester_pays=true");
  EXPECT_TRUE(destination_->copy("copied", *locate("small"), {}, context_));
  EXPECT_EQ(requests_with("x-amz-request-payer: requester", "CopyObject"), 1U);
  use_everything();
  open();
  EXPECT_EQ(error_of([&] { source_->check(context_); })->error_class(), ErrorClass::permission);
}

// H8: a bucket of somebody else is not read and not written, whichever request comes first.
TEST_F(S3Encryption, H8TheExpectedOwnerIsOnEveryRequest) {
  const std::string expects = std::string("&expected_bucket_owner=") + account;
  server_.put("from", "small", "small");
  for (const char* bucket : {"from", "to"}) change(bucket, [](auto& settings) { settings.owner = account; });
  open(expects, expects);
  server_.clear_log();
  use_everything();
  EXPECT_TRUE(destination_->copy("copied", *locate("small"), {}, context_));
  EXPECT_EQ(requests_with(std::string("x-amz-expected-bucket-owner: ") + account), server_.requests().size());
  EXPECT_EQ(requests_with(std::string("x-amz-source-expected-bucket-owner: ") + account, "CopyObject"), 1U);

  // The buckets have gone to somebody else: the source's is not copied from, though the destination's is still ours.
  const Locator from = *locate("small");
  change("from", [](auto& settings) { settings.owner = "333333333333"; });
  EXPECT_FALSE(destination_->copy("stolen", from, {}, context_));
  EXPECT_FALSE(server_.get("to", "stolen"));
  EXPECT_EQ(error_of([&] { source_->check(context_); })->error_class(), ErrorClass::permission);
  change("to", [](auto& settings) { settings.owner = "333333333333"; });
  EXPECT_EQ(error_of([&] { put("stolen", "x"); })->error_class(), ErrorClass::permission);
  EXPECT_EQ(error_of([&] { open("&expected_bucket_owner=me"); })->error_class(), ErrorClass::configuration);
}

// H8: what a policy of the bucket demands, of objects in one piece, in parts and copied.
TEST_F(S3Encryption, H8WhatIsWrittenIsEncryptedAsTheUrlSays) {
  server_.put("from", "small", "small");
  change("to", [](auto& settings) { settings.demands_encryption = "aws:kms"; });
  EXPECT_EQ(error_of([&] { put("small", "x"); })->error_class(), ErrorClass::permission);
  open("", "&sse=aws:kms&sse_kms_key_id=arn:aws:kms:eu-west-1:1:key/a&bucket_key=true");
  use_everything();
  put("small", "small");
  EXPECT_TRUE(destination_->copy("copied", *locate("small"), {}, context_));
  for (const char* key : {"small", "parts", "copied"}) {
    EXPECT_EQ(encryption_of(key).algorithm, "aws:kms") << key;
    EXPECT_EQ(encryption_of(key).kms_key_id, "arn:aws:kms:eu-west-1:1:key/a") << key;
    EXPECT_TRUE(encryption_of(key).bucket_key) << key;
  }
  EXPECT_EQ(requests_with("x-amz-server-side-encryption", "UploadPart"), 0U) << "a part takes it from its upload";
  EXPECT_EQ(requests_with("x-amz-server-side-encryption", "GetObject"), 0U) << "refused by stores";
  change("to", [](auto& settings) { settings.demands_encryption.clear(); });
  open("", "&sse=AES256");
  put("s3", "x");
  EXPECT_EQ(encryption_of("s3").algorithm, "AES256");
  open();
  put("plain", "x");
  EXPECT_EQ(encryption_of("plain").algorithm, "");
}

// H8: with a key of one's own objects are written and read, by whoever has it, and by nobody else.
TEST_F(S3Encryption, H8AKeyOfOnesOwnIsOnEveryRequestForContent) {
  server_.put("from", "small", "small");
  open("", "&sse_c_key=env:WAYBILL_TEST_KEY");
  use_everything();
  put("small", "small");
  for (const char* key : {"small", "parts"}) EXPECT_EQ(encryption_of(key).customer_key_md5, one_key_md5) << key;
  EXPECT_TRUE(destination_->copy("copied", *locate("small"), {}, context_)) << "the source is not encrypted so";
  EXPECT_EQ(encryption_of("copied").customer_key_md5, one_key_md5);
  for (const char* op : {"ListObjectsV2", "DeleteObject", "GetObjectTagging"}) {
    EXPECT_EQ(requests_with("customer-key", op), 0U) << op;
  }

  // As a source.
  source_ = s3_connector().open_source(url("to", "&sse_c_key=env:WAYBILL_TEST_KEY"));
  std::string content(5, '\0');
  EXPECT_EQ(read(item("small"), content).count, 5U);
  EXPECT_EQ(content, "small");
  ASSERT_TRUE(source_->stat(item("parts").id, context_));
  EXPECT_FALSE(source_->locator(item("small"))) << "its key is not handed to another store";
  source_ = s3_connector().open_source(url("to", "&sse_c_key=env:WAYBILL_TEST_OTHER_KEY"));
  EXPECT_EQ(error_of([&] { read(item("small"), content); })->error_class(), ErrorClass::permission);
  source_ = s3_connector().open_source(url("to"));
  const auto error = error_of([&] { read(item("small"), content); });
  EXPECT_NE(error->message().find("Server Side Encryption"), std::string::npos) << error->message();
}

// H8: the key is in a variable, and nowhere else.
TEST_F(S3Encryption, H8AKeyOfOnesOwnIsNotShown) {
  open("", "&sse_c_key=env:WAYBILL_TEST_KEY");
  server_.add_rule({.op = "PutObject",
                    .status = 400,
                    .body = std::string("<Error><Code>InvalidArgument</Code><Message>not with ") + one_key + "</Message></Error>"});
  const auto refused = error_of([&] { put("small", "x"); });
  ASSERT_TRUE(refused);
  EXPECT_NE(refused->message().find("not with ***"), std::string::npos) << refused->message();
  EXPECT_EQ(logged(one_key), 0U);
  EXPECT_EQ(url("to", "&sse_c_key=env:WAYBILL_TEST_KEY").redacted(), url("to").redacted() + "&sse_c_key=env%3AWAYBILL_TEST_KEY");
  EXPECT_EQ(url("to", std::string("&sse_c_key=") + internal::encode_query(one_key)).redacted().find(one_key), std::string::npos);

  ::setenv("WAYBILL_TEST_BAD_KEY", "c2hvcnQ=", 1);
  ::unsetenv("WAYBILL_TEST_NO_KEY");
  const std::string encoded = internal::encode_query(one_key);
  for (const std::string& value : {encoded, std::string("env:"), std::string("env:WAYBILL_TEST_BAD_KEY"),
                                   std::string("env:WAYBILL_TEST_NO_KEY"), std::string("env:WAYBILL_TEST_KEY&sse=AES256"),
                                   std::string("env:WAYBILL_TEST_KEY&anonymous=true")}) {
    const auto error = error_of([&] { open("", "&sse_c_key=" + value); });
    ASSERT_TRUE(error) << value;
    EXPECT_EQ(error->error_class(), ErrorClass::configuration) << value;
    EXPECT_EQ(error->message().find(one_key), std::string::npos) << error->message();
    EXPECT_EQ(error->message().find("c2hvcnQ="), std::string::npos) << error->message();
  }
  const auto in_clear = error_of([&] {
    s3_connector().open_destination(
        Url::parse("s3://b/?endpoint=http://store.example&allow_http=true&sse_c_key=env:WAYBILL_TEST_KEY"));
  });
  ASSERT_TRUE(in_clear);
  EXPECT_NE(in_clear->message().find("https"), std::string::npos);
}

// H8: options that say nothing together, or belong to the other end.
TEST_F(S3Encryption, H8OptionsThatDoNotFitAreRefused) {
  for (const char* destination : {"&sse=rot13", "&sse_kms_key_id=k", "&sse=AES256&sse_kms_key_id=k", "&bucket_key=true",
                                  "&sse=aws:kms:dsse&bucket_key=true", "&sse=aws:kms&sse_kms_key_id=a%20b"}) {
    const auto error = error_of([&] { open("", destination); });
    ASSERT_TRUE(error) << destination;
    EXPECT_EQ(error->error_class(), ErrorClass::configuration) << destination;
  }
  for (const char* source : {"&sse=AES256", "&sse=aws:kms&sse_kms_key_id=k", "&bucket_key=false"}) {
    EXPECT_EQ(error_of([&] { open(source); })->error_class(), ErrorClass::configuration) << source;
  }
}

}  // namespace
}  // namespace waybill::s3
