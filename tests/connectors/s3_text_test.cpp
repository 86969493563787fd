// SPDX-License-Identifier: Apache-2.0
//
// What S3 needs of text: URLs, attributes in headers, and the table of errors.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "base/hash.hpp"
#include "connectors/s3/attributes.hpp"
#include "connectors/s3/config.hpp"
#include "connectors/s3/errors.hpp"
#include "connectors/s3/multipart.hpp"

namespace waybill::s3 {
namespace {

template <typename Call>
std::optional<Error> error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

class S3Config : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}) ::unsetenv(name);
    ::setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    ::setenv("AWS_CONFIG_FILE", "/dev/null", 1);
  }
  static Config parse(std::string_view text) { return parse_config(Url::parse(text)); }
};

TEST_F(S3Config, PrefixesAreFoldersAndBytes) {
  EXPECT_EQ(parse("s3://bucket").prefix, "");
  EXPECT_EQ(parse("s3://bucket/").prefix, "");
  EXPECT_EQ(parse("s3://bucket/p").prefix, "p/");
  EXPECT_EQ(parse("s3://bucket/p/").prefix, "p/");
  EXPECT_EQ(parse("s3://bucket/a//../b%20c%2Fd").prefix, "a//../b c/d/");
  EXPECT_EQ(parse("s3://bucket/p").identity(), "s3://bucket/p/");
  EXPECT_EQ(parse("s3://bucket").identity(), "s3://bucket/");
}

TEST_F(S3Config, AddressesAwsByTheHostAndOthersByThePath) {
  EXPECT_EQ(parse("s3://bucket").host(), "bucket.s3.us-east-1.amazonaws.com");
  EXPECT_EQ(parse("s3://bucket?region=eu-west-1").host(), "bucket.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(parse("s3://bucket?region=cn-north-1").host(), "bucket.s3.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(parse("s3://bucket").endpoint(), "https://s3.us-east-1.amazonaws.com:443");
  for (const char* url : {"s3://with.dots", "s3://soap", "s3://UpperCase?addressing=path", "s3://under_score?addressing=path",
                          "s3://bucket?addressing=path"}) {
    EXPECT_EQ(parse(url).host(), "s3.us-east-1.amazonaws.com") << url;
  }
  EXPECT_EQ(parse("s3://with.dots?addressing=virtual").host(), "with.dots.s3.us-east-1.amazonaws.com");
  const Config custom = parse("s3://bucket?endpoint=http://127.0.0.1:9000");
  EXPECT_EQ(custom.host(), "127.0.0.1:9000");
  EXPECT_EQ(custom.endpoint(), "http://127.0.0.1:9000");
  EXPECT_TRUE(custom.path_style);
  EXPECT_EQ(parse("s3://bucket?endpoint=https://store.example/").endpoint(), "https://store.example:443");
  EXPECT_EQ(parse("s3://bucket?endpoint=https://store.example:443").host(), "store.example");
  EXPECT_EQ(parse("s3://bucket?endpoint=http://[::1]:9000").host(), "[::1]:9000");
  EXPECT_EQ(parse("s3://bucket?endpoint=http://localhost").endpoint(), "http://localhost:80");
  EXPECT_EQ(parse("s3://bucket?endpoint=https://store.example:8443&addressing=virtual").host(),
            "bucket.store.example:8443");
  EXPECT_EQ(parse("s3://bucket?endpoint=https://store.example&addressing=virtual").endpoint(),
            "https://store.example:443") << "one endpoint, whatever the bucket";
  // Another door to AWS is an endpoint like any other.
  EXPECT_EQ(parse("s3://bucket?endpoint=https://s3.dualstack.eu-west-1.amazonaws.com&region=eu-west-1").host(),
            "s3.dualstack.eu-west-1.amazonaws.com");
}

TEST_F(S3Config, AnotherRegionIsAnotherHostOnlyAtAws) {
  Config aws = parse("s3://bucket");
  aws.set_region("cn-north-1");
  EXPECT_EQ(aws.host(), "bucket.s3.cn-north-1.amazonaws.com.cn");
  Config custom = parse("s3://bucket?endpoint=https://store.example");
  custom.set_region("eu-west-1");
  EXPECT_EQ(custom.host(), "store.example");
  EXPECT_EQ(custom.region, "eu-west-1");
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
TEST_F(S3Config, BucketsThatCannotBeAreRefusedBeforeAnybodyIsAsked) {
  const std::map<std::string, std::string> at_aws = {
      {"ab", "3 to 63"},
      {std::string(64, 'a'), "3 to 63"},
      {"Upper", "lower-case"},
      {"under_score", "addressing=path"},
      {"-dash", "begin and end"},
      {"dash-", "begin and end"},
      {".dot", "begin and end"},
      {"dot.", "begin and end"},
      {"two..dots", "two dots"},
      {"192.168.0.1", "IP address"},
      {"my--use1-az4--x-s3", "directory buckets"},
      {"m123.mrap", "multi-region"},
  };
  for (const auto& [bucket, why] : at_aws) {
    const auto error = error_of([&] { parse("s3://" + bucket + "/p"); });
    ASSERT_TRUE(error) << bucket;
    EXPECT_EQ(error->error_class(), ErrorClass::configuration);
    EXPECT_NE(error->message().find(why), std::string::npos) << error->message();
    EXPECT_NE(error->message().find("'" + bucket + "'"), std::string::npos) << error->message();
  }
  for (const std::string& bucket : {std::string("abc"), std::string(63, 'a'), std::string("a.b-c"), std::string("1.2.3"),
                                   std::string("alias-abc-s3alias"), std::string("a--b")}) {
    EXPECT_FALSE(error_of([&] { parse("s3://" + bucket); })) << bucket;
    EXPECT_FALSE(error_of([&] { parse("s3://" + bucket + "?endpoint=https://store.example"); })) << bucket;
  }
  // Other stores have other rules; what no store has is refused there, too.
  for (const char* bucket : {"ab", "Upper", "under_score", "two..dots"}) {
    EXPECT_FALSE(error_of([&] { parse(std::string("s3://") + bucket + "?endpoint=https://store.example"); })) << bucket;
  }
  for (const char* bucket : {"..", ".", "a%2Fb", "a%00b"}) {
    EXPECT_TRUE(error_of([&] { parse(std::string("s3://") + bucket + "?endpoint=https://store.example"); })) << bucket;
  }
  const auto arn = error_of([&] { parse("s3://arn%3Aaws%3As3%3Aus-west-2%3A123456789012%3Aaccesspoint%2Fmy/p"); });
  ASSERT_TRUE(arn);
  EXPECT_NE(arn->message().find("alias"), std::string::npos) << arn->message();
}

TEST_F(S3Config, TakesTheRegionFromTheUrlThenTheEnvironment) {
  EXPECT_EQ(parse("s3://bucket").region, "us-east-1");
  ::setenv("AWS_REGION", "eu-north-1", 1);
  EXPECT_EQ(parse("s3://bucket").region, "eu-north-1");
  EXPECT_EQ(parse("s3://bucket?region=ap-south-1").region, "ap-south-1");
  ::unsetenv("AWS_REGION");
}

TEST_F(S3Config, WrongUrlsAreNamed) {
  const std::map<std::string, std::string> cases = {
      {"s3://", "names a bucket"},
      {"s3://bu%20cket", "bu cket"},
      {"s3://bucket?regoin=x", "'regoin'"},
      {"s3://bucket?accelerate=true", "known are endpoint, region, profile, addressing, anonymous, requester_pays"},
      {"s3://bucket?anonymous=1", "'anonymous'"},
      {"s3://bucket?requester_pays=yes", "'requester_pays'"},
      {"s3://bucket?requester_pays=true&anonymous=true", "exclude each other"},
      {"s3://bucket?profile=p&anonymous=true", "exclude each other"},
      {"s3://bucket?addressing=host", "'path' or 'virtual'"},
      {"s3://bucket?addressing=virtual&endpoint=http://127.0.0.1:9000", "an endpoint with a name"},
      {"s3://bucket?addressing=virtual&endpoint=http://[::1]:9000", "an endpoint with a name"},
      {"s3://under_score?addressing=virtual&endpoint=https://store.example", "cannot be part of a host"},
      {"s3://bucket?region=a%0Ab", "region"},
      {"s3://bucket?endpoint=ftp://x", "neither http nor https"},
      {"s3://bucket?endpoint=localhost:9000", "no URL"},
      {"s3://bucket?endpoint=https://x/path", "path"},
      {"s3://bucket?endpoint=https://x:99999", "port"},
      {"s3://bucket?endpoint=https://", "host"},
      {"s3://bucket?endpoint=https://user:secret@x", "credentials"},
      {"s3://bucket?endpoint=http://store.example", "allow_http=true"},
      {"s3://bucket?endpoint=http://127.example.com", "allow_http=true"},
  };
  for (const auto& [url, word] : cases) {
    const auto error = error_of([&] { parse(url); });
    ASSERT_TRUE(error) << url;
    EXPECT_EQ(error->error_class(), ErrorClass::configuration) << url;
    EXPECT_NE(error->message().find(word), std::string::npos) << error->message();
    EXPECT_EQ(error->message().find("secret"), std::string::npos) << error->message();
  }
  EXPECT_EQ(parse("s3://bucket?endpoint=http://store.example&allow_http=true").scheme, "http");
}

std::map<std::string, std::string> written(const Attributes& attributes, bool is_folder = false) {
  std::vector<internal::HttpHeader> headers;
  write_attributes(attributes, std::nullopt, is_folder, headers);
  return {headers.begin(), headers.end()};
}

TEST(S3Attributes, TravelInHeaders) {
  Attributes attributes;
  attributes.content_type = "text/plain; charset=utf-8";
  attributes.content_encoding = "gzip";
  attributes.cache_control = "no-cache";
  attributes.storage_class = "STANDARD_IA";
  attributes.metadata = {{"author", "a  b"}, {"empty", ""}};
  attributes.tags = {{"a b", "c&d"}, {"e", "f"}};
  attributes.mode = 0640;
  attributes.mtime_ns = -500'000'000;
  const std::map<std::string, std::string> expected = {
      {"content-type", "text/plain; charset=utf-8"},
      {"content-encoding", "gzip"},
      {"cache-control", "no-cache"},
      {"x-amz-meta-author", "a  b"},
      {"x-amz-meta-empty", ""},
      {"x-amz-meta-mode", "100640"},
      {"x-amz-meta-mtime", "-0.500000000"},
  };
  EXPECT_EQ(written(attributes), expected);
  EXPECT_EQ(written(attributes, true).at("x-amz-meta-mode"), "040640");
  EXPECT_EQ(encode_tags(attributes.tags), "a%20b=c%26d&e=f");
}

TEST(S3Attributes, OurChecksumIsNeverCopied) {
  Attributes attributes;
  attributes.metadata = {{"waybill-crc64nvme", "0000000000000001"}};
  EXPECT_TRUE(written(attributes).empty());
  std::vector<internal::HttpHeader> headers;
  write_attributes(attributes, 0xae8b14860a799888ULL, false, headers);
  ASSERT_EQ(headers.size(), 1U);
  EXPECT_EQ(headers[0].second, "ae8b14860a799888");
}

TEST(S3Attributes, MetadataValuesComeBackAsTheyWere) {
  for (const std::string value : {"plain", "", " edge", "edge ", "grüße", "日本 語", "=?UTF-8?B?eA==?=", "=?", "a=?b",
                                  "emoji \xF0\x9F\x98\x80", "tilde~"}) {
    const std::string encoded = encode_metadata_value("name", value);
    EXPECT_EQ(decode_metadata_value(encoded), value);
    for (const char c : encoded) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << encoded;
  }
  EXPECT_EQ(encode_metadata_value("name", "plain text"), "plain text");
  EXPECT_EQ(decode_metadata_value("=?UTF-8?Q?gr=C3=BC_e?="), "grü e");
  EXPECT_EQ(decode_metadata_value("=?utf-8?b?eA==?= =?UTF-8?Q?y?="), "xy");
  for (const char* odd :
       {"=?", "=?UTF-8?", "=?UTF-8?B?", "=?UTF-8?B?%%?=", "=?UTF-8?Q?=Z?=", "=?latin1?Q?x?=", "=?UTF-8?B?eA==?=x"}) {
    EXPECT_EQ(decode_metadata_value(odd), odd);
  }
}

TEST(S3Attributes, WhatNoHeaderCanHoldIsRefusedByName) {
  const auto refused = [](const Attributes& attributes) {
    const auto error = error_of([&] { written(attributes); });
    return error && error->error_class() == ErrorClass::unsupported ? error->message() : std::string();
  };
  const auto metadata = [](const char* name, const char* value) {
    Attributes attributes;
    attributes.metadata[name] = value;
    return attributes;
  };
  EXPECT_NE(refused(metadata("note", "a\r\nb")).find("'note'"), std::string::npos);
  EXPECT_NE(refused(metadata("note", "\xff")).find("'note'"), std::string::npos);
  EXPECT_NE(refused(metadata("a b", "x")).find("'a b'"), std::string::npos);
  EXPECT_NE(refused(metadata("Upper", "x")).find("'Upper'"), std::string::npos);
  EXPECT_NE(refused(metadata("", "x")), "");
  Attributes type;
  type.content_type = "a\nb";
  EXPECT_NE(refused(type).find("'content-type'"), std::string::npos);
  Attributes disposition;
  disposition.content_disposition = "filename=\"grüße\"";
  EXPECT_NE(refused(disposition).find("'content-disposition'"), std::string::npos);
}

TEST(S3Attributes, ReadsModes) {
  EXPECT_EQ(parse_mode("100644"), 0644U);
  EXPECT_EQ(parse_mode("0644"), 0644U);
  EXPECT_EQ(parse_mode("644"), 0644U);
  EXPECT_EQ(parse_mode("104755"), 04755U);
  EXPECT_EQ(parse_mode("040755"), 0755U);
  for (const char* bad : {"", "rw-", "0o644", "33188888", "689", "-644"}) EXPECT_FALSE(parse_mode(bad)) << bad;
}

TEST(S3Errors, TheTable) {
  struct Case {
    int status;
    const char* provider_code;
    ErrorClass error_class;
    ErrorCode code;
    bool retryable;
  };
  using C = ErrorClass;
  using E = ErrorCode;
  const Case cases[] = {
      {500, "InternalError", C::server, E::internal, true},
      {500, "", C::server, E::unavailable, true},
      {502, "", C::server, E::unavailable, true},
      {503, "SlowDown", C::throttled, E::unavailable, true},
      {503, "", C::throttled, E::unavailable, true},
      {504, "", C::server, E::unavailable, true},
      {429, "", C::throttled, E::resource_exhausted, true},
      {400, "RequestTimeout", C::timeout, E::deadline_exceeded, true},
      {409, "OperationAborted", C::server, E::aborted, true},
      {409, "ConditionalRequestConflict", C::conflict, E::aborted, true},
      {412, "PreconditionFailed", C::conflict, E::failed_precondition, false},
      {400, "BadDigest", C::checksum, E::data_loss, true},
      {400, "XAmzContentSHA256Mismatch", C::checksum, E::data_loss, true},
      {400, "ExpiredToken", C::auth, E::unauthenticated, false},
      {403, "InvalidAccessKeyId", C::auth, E::unauthenticated, false},
      {403, "SignatureDoesNotMatch", C::auth, E::unauthenticated, false},
      {403, "AccessDenied", C::permission, E::permission_denied, false},
      {403, "", C::permission, E::permission_denied, false},
      {403, "InvalidObjectState", C::archived, E::failed_precondition, false},
      {404, "NoSuchBucket", C::missing, E::not_found, false},
      {404, "NoSuchKey", C::missing, E::not_found, false},
      {404, "", C::missing, E::not_found, false},
      {301, "PermanentRedirect", C::configuration, E::failed_precondition, false},
      {400, "AuthorizationHeaderMalformed", C::configuration, E::invalid_argument, false},
      {400, "EntityTooLarge", C::too_large, E::out_of_range, false},
      {400, "KeyTooLongError", C::unsupported, E::invalid_argument, false},
      {400, "XMinioInvalidResourceName", C::unsupported, E::invalid_argument, false},
      {400, "SomethingNew", C::server, E::invalid_argument, false},
      {501, "NotImplemented", C::unsupported, E::unimplemented, false},
      {200, "SlowDown", C::throttled, E::unavailable, true},
      {200, "SomethingNew", C::server, E::internal, true},
  };
  for (const Case& each : cases) {
    const Error error = to_error("s3://b/k", "PUT", {each.status, {each.provider_code, "", "", ""}, std::nullopt});
    const std::string what = std::to_string(each.status) + " " + each.provider_code;
    EXPECT_EQ(error.error_class(), each.error_class) << what;
    EXPECT_EQ(error.code(), each.code) << what;
    EXPECT_EQ(error.retryable(), each.retryable) << what;
    EXPECT_EQ(error.http_status(), each.status) << what;
    EXPECT_EQ(error.provider_code(), each.provider_code) << what;
  }
}

TEST(S3Errors, MessagesAreOneLineAndSayWhatToDo) {
  const Error denied =
      to_error("s3://b/a\\x0ab", "PUT", {403, {"AccessDenied", "No.\nReally", "req-1", ""}, std::chrono::seconds(3)});
  EXPECT_EQ(denied.message(),
            "s3://b/a\\x0ab: PUT answered 403 AccessDenied: No.\\x0aReally; the credentials lack this right");
  EXPECT_EQ(denied.request_id(), "req-1");
  EXPECT_EQ(denied.retry_after(), std::chrono::milliseconds(3000));
  const Refusal unwritable{403, {"AccessDenied", "", "", ""}, std::nullopt, "s3:PutObject", false};
  EXPECT_EQ(to_error("s3://b/k", "PUT", unwritable).message(),
            "s3://b/k: PUT answered 403 AccessDenied; the credentials lack s3:PutObject, the right to write here");
  const Refusal anonymous{403, {"AccessDenied", "", "", ""}, std::nullopt, "s3:ListBucket", true};
  EXPECT_NE(to_error("s3://b", "GET", anonymous).message().find("anonymous requests may not"), std::string::npos);
  // A HEAD says no more than 403, which may also be the key.
  const Refusal head{403, {}, std::nullopt, "s3:GetObject", false};
  EXPECT_NE(to_error("s3://b/k", "HEAD", head).message().find("the credentials are wrong or lack s3:GetObject"),
            std::string::npos);
  const Error region = to_error("s3://b", "GET", {301, {"PermanentRedirect", "", "", "eu-west-1"}, std::nullopt});
  EXPECT_NE(region.message().find("the bucket is in region eu-west-1"), std::string::npos);
}

// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
TEST(S3Errors, EveryRequestHasItsRight) {
  EXPECT_EQ(right_for("GET", false, "encoding-type=url&list-type=2"), "s3:ListBucket");
  EXPECT_EQ(right_for("HEAD", false, ""), "s3:ListBucket");
  EXPECT_EQ(right_for("GET", false, "prefix=uploads&uploads="), "s3:ListBucketMultipartUploads");
  EXPECT_EQ(right_for("GET", false, "list-type=2&prefix=uploads"), "s3:ListBucket");
  EXPECT_EQ(right_for("GET", true, ""), "s3:GetObject");
  EXPECT_EQ(right_for("HEAD", true, ""), "s3:GetObject");
  EXPECT_EQ(right_for("GET", true, "versionId=7"), "s3:GetObjectVersion");
  EXPECT_EQ(right_for("GET", true, "tagging="), "s3:GetObjectTagging");
  EXPECT_EQ(right_for("GET", true, "max-parts=1&uploadId=u"), "s3:ListMultipartUploadParts");
  EXPECT_EQ(right_for("PUT", true, ""), "s3:PutObject");
  EXPECT_EQ(right_for("PUT", true, "partNumber=1&uploadId=u"), "s3:PutObject");
  EXPECT_EQ(right_for("POST", true, "uploads="), "s3:PutObject");
  EXPECT_EQ(right_for("DELETE", true, ""), "s3:DeleteObject");
  EXPECT_EQ(right_for("DELETE", true, "uploadId=u"), "s3:AbortMultipartUpload");
}

TEST(S3Multipart, ComposesWhatTheStoreComposes) {
  const std::string a = "hello ", b = "world";
  const auto part = [](uint32_t number, const std::string& text) {
    PartInfo info{number, text.size(), internal::hex_encode(internal::md5(internal::as_bytes(text))), {}};
    info.digest.crc64nvme = internal::crc64nvme(internal::as_bytes(text));
    return info;
  };
  PartInfo parts[] = {part(1, a), part(2, b)};
  const auto first = internal::md5(internal::as_bytes(a));
  const auto second = internal::md5(internal::as_bytes(b));
  std::vector<std::byte> both(first.begin(), first.end());
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_EQ(composed_etag(parts), internal::hex_encode(internal::md5(both)) + "-2");
  EXPECT_EQ(composed_crc64(parts), internal::crc64nvme(internal::as_bytes(a + b)));
  parts[1].etag = "opaque";
  parts[1].digest = {};
  EXPECT_EQ(composed_etag(parts), "");
  EXPECT_FALSE(composed_crc64(parts));
}

}  // namespace
}  // namespace waybill::s3
