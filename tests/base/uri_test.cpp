// SPDX-License-Identifier: Apache-2.0
//
// Percent encoding, URLs taken apart, and what may be shown of them.
#include "base/uri.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "waybill/connectors.hpp"
#include "waybill/error.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

TEST(PercentEncoding, KeepsUnreservedOnly) {
  const std::string kept = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  EXPECT_EQ(encode_path(kept + "/"), kept + "/");
  EXPECT_EQ(encode_query(kept + "/"), kept + "%2F");
  EXPECT_EQ(encode_path(" !\"#$%&'()*+,:;<=>?@[\\]^`{|}"),
            "%20%21%22%23%24%25%26%27%28%29%2A%2B%2C%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E%60%7B%7C%7D");
  EXPECT_EQ(encode_path("\xe1\x88\xb4//../"), "%E1%88%B4//../");
}

TEST(PercentEncoding, RoundTripsEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percent_decode(encode_path(all)), all);
  EXPECT_EQ(percent_decode(encode_query(all)), all);
  EXPECT_EQ(percent_decode("a+b%2b%2B"), "a+b++");
  for (const char* wrong : {"%", "%2", "%zz", "a%2", "%%20"}) EXPECT_FALSE(percent_decode(wrong).has_value()) << wrong;
}

TEST(Url, TakesUrlsApart) {
  const Url s3 = Url::parse("S3://bucket/a%20b/c%2Fd?endpoint=http%3A%2F%2F127.0.0.1:9000&region=us-east-1&x=");
  EXPECT_EQ(s3.scheme, "s3");
  EXPECT_EQ(s3.host, "bucket");
  EXPECT_EQ(s3.path, "/a b/c/d");
  EXPECT_EQ(s3.query, (std::map<std::string, std::string>{
                          {"endpoint", "http://127.0.0.1:9000"}, {"region", "us-east-1"}, {"x", ""}}));
  EXPECT_EQ(Url::parse("s3://b?endpoint=http://h:1/").query.at("endpoint"), "http://h:1/");
  EXPECT_EQ(Url::parse("s3://b").path, "");
  EXPECT_EQ(Url::parse("file:///a%20b").path, "/a b");
  EXPECT_EQ(Url::parse("file:///a%20b").host, "");
  EXPECT_EQ(Url::parse("memory://name").host, "name");
}

TEST(Url, TakesAPlainPathAsItIs) {
  for (const char* path : {"/a b/%20?x#y", "relative/p", "C:x", "memory:", "://x", "1a://x"}) {
    const Url url = Url::parse(path);
    EXPECT_EQ(url.scheme, "file");
    EXPECT_EQ(url.path, path);
    EXPECT_TRUE(url.query.empty());
  }
}

TEST(Url, RefusesWhatIsWrongWithoutShowingIt) {
  for (const char* text : {"", "s3://user:CANARY@bucket/", "s3://CANARY@bucket", "s3://b/%zz?token=CANARY",
                           "s3://b?x=%z", "s3://b?region=a&region=b", "s3://b/x#CANARY"}) {
    try {
      Url::parse(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::configuration);
      EXPECT_EQ(error.message().find("CANARY"), std::string::npos) << error.what();
    }
  }
}

TEST(Url, ShowsHarmlessParametersOnly) {
  EXPECT_EQ(Url::parse("s3://b/p%20q/?region=us-east-1&endpoint=http://127.0.0.1:9000&secret=CANARY").redacted(),
            "s3://b/p%20q/?endpoint=http%3A//127.0.0.1%3A9000&region=us-east-1&secret=***");
  EXPECT_EQ(Url::parse("s3://b?endpoint=http://u:CANARY@h").redacted(), "s3://b?endpoint=***");
  EXPECT_EQ(Url::parse("relative/p\n").redacted(), "relative/p\\x0a");
  EXPECT_EQ(Url::parse("/abs/p").redacted(), "file:///abs/p");
}

TEST(Redaction, HidesWhatIsNotKnownToBeHarmless) {
  const std::pair<const char*, const char*> cases[] = {
      {"http://h/p", "http://h/p"},
      {"s3://KEY:CANARY/with/slashes@h:9/p", "s3://h:9/p"},
      {"s3://u@KEY:CANARY/x@h/p", "s3://h/p"},
      {"http://h:80/p@q", "http://h:80/p@q"},
      {"http://[::1]:80/p@q", "http://[::1]:80/p@q"},
      {"http://h:1/p?list-type=2&prefix=a%2Fb", "http://h:1/p?list-type=2&prefix=a%2Fb"},
      {"https://h/k?X-Amz-Date=1&X-Amz-Credential=C&X-Amz-Signature=S&X-Amz-Security-Token=T",
       "https://h/k?X-Amz-Date=1&X-Amz-Credential=***&X-Amz-Signature=***&X-Amz-Security-Token=***"},
      {"http://h/?Signature=S&sig=S&token=T&key=K&AWSAccessKeyId=A",
       "http://h/?Signature=***&sig=***&token=***&key=***&AWSAccessKeyId=***"},
      {"http://h/?uploads&versionId=3", "http://h/?uploads&versionId=3"},
      {"http://h/?s3cr3t", "http://h/?***"},
      {"http://h/?region%3Dx=y", "http://h/?region%3Dx=***"},
      {"http://h/?prefix=%zz", "http://h/?prefix=***"},
      {"http://user:pass@h/p@q", "http://h/p@q"},
      {"http://a@b@h/p", "http://h/p"},
      {"http://h/p#frag", "http://h/p"},
      {"http://h/a\r\nb c", "http://h/a%0D%0Ab%20c"},
      {"no url?x=y", "no%20url"},
      {"", ""},
  };
  for (const auto& [url, shown] : cases) EXPECT_EQ(redact_url(url), shown);
}

TEST(Redaction, KeysThatAreUrlsShowNoSecrets) {
  const std::pair<const char*, const char*> cases[] = {
      {"folder/what?a=b#c@d", "folder/what?a=b#c@d"},
      {"two\nlines?x=y", "two\\x0alines?x=y"},
      {"https://h/a b%20\\", "https://h/a b%20\\\\"},
      {"https://h/p?token=T&versionId=3", "https://h/p?token=***&versionId=3"},
      {"ftp://user:pass@h/p#S", "ftp://h/p"},
  };
  for (const auto& [key, shown] : cases) EXPECT_EQ(shown_key(key), shown);
}

TEST(Redaction, OfACatalogKeepsWhatOpensItAgain) {
  const std::pair<const char*, const char*> cases[] = {
      {"sqlite:///data/crm.db?table=documents&id=id&url=url&partition=account&partition_name=name&stamp=at&names=a,b",
       "sqlite:///data/crm.db?table=documents&id=id&url=url&partition=account&partition_name=name&stamp=at&names=a,b"},
      {"postgresql+psycopg://clerk:CANARY@h:5432/crm?table=t&password=CANARY", "postgresql+psycopg://clerk@h:5432/crm?table=t&password=***"},
      {"postgresql://clerk@h/crm", "postgresql://clerk@h/crm"},
      {"postgresql://clerk:CAN/ARY@h/crm", "postgresql://clerk@h/crm"},
      {"postgresql://:CANARY@h/crm", "postgresql://h/crm"},
      {"sqlite:///crm.db?table=t&contents=s3%3A%2F%2Fold%3Fprofile%3Dcrm%26secret%3DCANARY%20https%3A%2F%2Fu%3ACANARY%40h%2F",
       "sqlite:///crm.db?table=t&contents=s3%3A%2F%2Fold%3Fprofile%3Dcrm%26secret%3D%2A%2A%2A%20https%3A%2F%2Fh%2F"},
      {"manifest:///list.csv?format=csv&key=name&base=s3%3A%2F%2Fold%3Fprofile%3Dcrm&id=CANARY",
       "manifest:///list.csv?format=csv&key=name&base=s3%3A%2F%2Fold%3Fprofile%3Dcrm&id=***"},
      {"s3://old/p?profile=crm&key=CANARY", "s3://old/p?profile=crm&key=***"},
      {"", ""},
  };
  for (const auto& [url, shown] : cases) {
    EXPECT_EQ(redact_store_url(url), shown);
    EXPECT_EQ(redact_store_url(shown), shown);
  }
  EXPECT_EQ(redact_url("https://h/p?id=CANARY&url=CANARY&base=CANARY"), "https://h/p?id=***&url=***&base=***");
}

TEST(Redaction, ChangesNothingTheSecondTime) {
  Random random(7);
  constexpr std::string_view alphabet = "ab:/?#&=%@\\\n\xff 2Fprefix";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = random.below(2) == 0 ? "http://h/" : "";
    for (uint64_t n = random.below(24); n > 0; --n) text += alphabet[random.below(alphabet.size())];
    const std::string once = redact_url(text);
    ASSERT_EQ(redact_url(once), once) << text;
  }
}

}  // namespace
}  // namespace waybill::internal
