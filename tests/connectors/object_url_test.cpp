// SPDX-License-Identifier: Apache-2.0
//
// Which item a URL points at, for stores whose URLs people have written down.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "waybill/connectors.hpp"

namespace waybill {
namespace {

struct Case {
  std::string url;
  std::string key;  ///< "" where it is no item
  std::string version = {};
};

void expect_all(const Source& source, const std::vector<Case>& cases) {
  for (const Case& each : cases) {
    SCOPED_TRACE(each.url);
    const auto id = source.item_at(each.url);
    ASSERT_EQ(id.has_value(), !each.key.empty());
    if (!id) continue;
    EXPECT_EQ(id->key, each.key);
    EXPECT_EQ(id->version, each.version);
    EXPECT_EQ(id->partition, "");
  }
}

TEST(ItemAtUrl, OfABucketAtAws) {
  const auto source = open_source("s3://docs.example/up?region=eu-west-1");
  const std::string host = ".amazonaws.com/";
  expect_all(*source,
             {
                 {"s3://docs.example/up/a%20b.pdf", "a b.pdf"},
                 {"S3://docs.example/up/a+b", "a+b"},
                 {"https://docs.example.s3.eu-west-1" + host + "up/a%2Fb//c", "a/b//c"},
                 {"https://docs.example.s3" + host + "up/x?X-Amz-Signature=abc&versionId=v%2F1&x=y", "x", "v/1"},
                 {"HTTP://DOCS.EXAMPLE.S3-EU-WEST-1" + host + "up/x#page=2", "x"},
                 {"https://docs.example.s3.dualstack.us-east-1" + host + "up/x", "x"},
                 {"https://docs.example.s3-fips.us-gov-west-1" + host + "up/x", "x"},
                 {"https://docs.example.s3-accelerate" + host + "up/x", "x"},
                 {"https://docs.example.s3-accelerate.dualstack" + host + "up/x", "x"},
                 {"https://s3" + host + "docs.example/up/x", "x"},
                 {"https://s3.eu-west-1.amazonaws.com:443/docs.example/up/%C3%A4", "\xc3\xa4"},
                 {"https://s3-us-west-2" + host + "docs%2Eexample/up/x", "x"},
                 // Somebody else's, or nobody's.
                 {"https://s3-accelerate" + host + "docs.example/up/x", ""},
                 {"https://docs.example.s3-website-us-east-1" + host + "up/x", ""},
                 {"https://s3" + host + "other/up/x", ""},
                 {"https://other.s3" + host + "up/x", ""},
                 {"https://evil.docs.example.s3" + host + "up/x", ""},
                 {"https://docs.example.s3.amazonaws.com.evil.com/up/x", ""},
                 {"https://docs.example.s3.amazonaws.com.cn/up/x", ""},
                 {"https://docs.example.s3.amazonaws.com:8443/up/x", ""},
                 {"https://docs.example.s3.amazonaws.com@evil.com/up/x", ""},
                 {"https://evil.com/docs.example.s3.amazonaws.com/up/x", ""},
                 {"https://docs.example.s3" + host + "uploads/x", ""},
                 {"https://docs.example.s3" + host + "up", ""},
                 {"https://docs.example.s3" + host + "up/", ""},
                 {"https://docs.example.s3" + host + "up/../up/x", ""},
                 {"https://docs.example.s3" + host + "up/%2e%2E/up/x", ""},
                 {"https://docs.example.s3" + host + "up/%zz", ""},
                 {"https://docs.example.s3" + host + "up/x%4", ""},
                 {"https://docs.example.s3" + host + "up/x?versionId=a&versionId=b", ""},
                 {"https://docs.example.s3.eu-west-1.extra" + host + "up/x", ""},
                 {"ftp://docs.example.s3" + host + "up/x", ""},
                 {"s3://docs.example", ""},
                 {"s3://docs.example/", ""},
                 {"s3://other/up/x", ""},
                 {"s3:///up/x", ""},
                 {"", ""},
                 {"://", ""},
                 {"https://", ""},
                 {"up/x", ""},
                 {std::string("\0s3://docs.example/up/x", 23), ""},
             });
}

TEST(ItemAtUrl, OfABucketAtAnotherStore) {
  const auto source = open_source("s3://docs?endpoint=http://127.0.0.1:9000&region=us-east-1");
  expect_all(*source, {
                          {"http://127.0.0.1:9000/docs/a%20b?X-Amz-Signature=x", "a b"},
                          {"s3://docs/a", "a"},
                          {"https://127.0.0.1:9000/docs/a", ""},
                          {"http://127.0.0.1:9001/docs/a", ""},
                          {"http://127.0.0.1:9000/docs", ""},
                          {"http://127.0.0.1:9000/docs/", ""},
                          {"http://127.0.0.1:9000//docs/a", ""},
                          {"http://127.0.0.1:9000/Docs/a", ""},
                          {"https://docs.s3.amazonaws.com/a", ""},
                          {"https://s3.amazonaws.com/docs/a", ""},
                      });
  const auto named = open_source("s3://docs/p?endpoint=https://store.example.com&addressing=virtual&region=us-east-1");
  expect_all(*named, {
                         {"https://docs.store.example.com/p/a", "a"},
                         {"https://store.example.com/docs/p/a", "a"},
                         {"https://DOCS.Store.Example.com:443/p/a", "a"},
                         {"https://docs.store.example.com.evil.com/p/a", ""},
                         {"http://docs.store.example.com/p/a", ""},
                     });
}

TEST(ItemAtUrl, OfAFolder) {
  const auto source = open_source("/data/files");
  expect_all(*source, {
                          {"file:///data/files/a%20b", "a b"},
                          {"FILE://localhost/data/files/x/y", "x/y"},
                          {"file:///data/files", ""},
                          {"file:///data/files/", ""},
                          {"file:///data/filesystem/x", ""},
                          {"file:///data/files/../x", ""},
                          {"file:///data/files/%2e%2e/x", ""},
                          {"file:///data/files/a//b", ""},
                          {"file:///data/files/a%00b", ""},
                          {"file://server/data/files/x", ""},
                          {"file:///data/files/x?y", ""},
                          {"/data/files/x", ""},
                          {"", ""},
                      });
}

}  // namespace
}  // namespace waybill
