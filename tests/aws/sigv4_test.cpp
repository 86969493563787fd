// SPDX-License-Identifier: Apache-2.0
//
// The signer against AWS's published values, and what S3 needs beyond them.
#include "aws/sigv4.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "aws/sigv4_vectors.hpp"
#include "base/hash.hpp"
#include "base/uri.hpp"
#include "waybill/error.hpp"

namespace waybill::aws {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr int64_t vector_time = 1'440'938'160;  // 2015-08-30T12:36:00Z

Credentials example_credentials(std::string_view token = {}) {
  Credentials credentials;
  credentials.access_key_id = "AKIDEXAMPLE";
  credentials.secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
  credentials.session_token = Secret(token);
  return credentials;
}

std::string hash_of(std::string_view text) { return internal::hex_encode(internal::sha256(internal::as_bytes(text))); }

class PublishedVectors : public testing::TestWithParam<SigV4Vector> {
 protected:
  PublishedVectors() : each_(GetParam()), signer_("us-east-1", "service", {!each_.normalizes_path, each_.signs_body}) {
    // The signer encodes a path that it normalises, and takes the other kind as it is sent.
    path_ = each_.normalizes_path ? each_.path : internal::encode_path(each_.path);
    query_ = canonical_query(each_.parameters);
    payload_hash_ = hash_of(each_.body);
  }
  SigningInput input() const { return {each_.method, path_, query_, each_.headers, payload_hash_}; }

  const SigV4Vector& each_;
  Signer signer_;
  std::string path_;
  std::string query_;
  std::string payload_hash_;
};

TEST_P(PublishedVectors, InHeaders) {
  const Credentials credentials = example_credentials(each_.token);
  const Signer::Steps steps = signer_.explain(input(), credentials, vector_time);
  EXPECT_EQ(hash_of(steps.canonical_request), each_.header_request_hash) << steps.canonical_request;
  EXPECT_EQ(steps.signature, each_.header_signature) << steps.string_to_sign;
  Headers headers = each_.headers;
  signer_.sign({each_.method, path_, query_, headers, payload_hash_}, credentials, vector_time, headers);
  EXPECT_EQ(headers.back().first, "authorization");
  EXPECT_TRUE(headers.back().second.ends_with(std::string("Signature=") + each_.header_signature));
}

TEST_P(PublishedVectors, InTheQuery) {
  const Credentials credentials = example_credentials(each_.token);
  const Signer::Steps steps = signer_.explain_presign(input(), credentials, vector_time, 3600);
  EXPECT_EQ(hash_of(steps.canonical_request), each_.query_request_hash) << steps.canonical_request;
  EXPECT_EQ(steps.signature, each_.query_signature) << steps.string_to_sign;
  EXPECT_EQ(signer_.presign(input(), credentials, vector_time, 3600),
            steps.query + "&X-Amz-Signature=" + each_.query_signature);
}

INSTANTIATE_TEST_SUITE_P(SigV4, PublishedVectors, testing::ValuesIn(sigv4_vectors), [](const auto& each) {
  std::string name = each.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(SigV4, HasEveryPublishedVector) { EXPECT_EQ(sigv4_vectors.size(), 38u); }

// The worked example "GET Object" of the S3 API reference, "Signature Calculations for the Authorization Header".
TEST(SigV4, MatchesTheS3ReferenceExample) {
  Credentials credentials;
  credentials.access_key_id = "AKIAIOSFODNN7EXAMPLE";
  credentials.secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
  const Signer signer("us-east-1", "s3");
  Headers headers = {{"Host", "examplebucket.s3.amazonaws.com"}, {"Range", "bytes=0-9"}};
  signer.sign({"GET", "/test.txt", "", headers, empty_payload_hash}, credentials, 1'369'353'600, headers);
  ASSERT_EQ(headers.size(), 5u);
  EXPECT_EQ(headers[2], std::make_pair(std::string("x-amz-date"), std::string("20130524T000000Z")));
  EXPECT_EQ(headers[3].first, "x-amz-content-sha256");
  EXPECT_EQ(headers[4].second,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, S3SignsThePathAsItIsSent) {
  const Signer signer("us-east-1", "s3");
  const Headers headers = {{"host", "h"}};
  for (const std::string path : {"/b/a/../x", "/b//k//", "/b/./x", "/b/a%20b%2Bc", "/b/%25"}) {
    const auto steps = signer.explain({"GET", path, "", headers, unsigned_payload}, example_credentials(), vector_time);
    EXPECT_TRUE(steps.canonical_request.starts_with("GET\n" + path + "\n\n")) << steps.canonical_request;
  }
}

TEST(SigV4, OtherServicesEncodeTheSentPathAgain) {
  const Signer signer("us-east-1", "dynamodb");
  const Headers headers = {{"host", "h"}};
  const auto steps =
      signer.explain({"POST", "/a%20b//c/./d/", "", headers, empty_payload_hash}, example_credentials(), vector_time);
  EXPECT_TRUE(steps.canonical_request.starts_with("POST\n/a%2520b/c/d/\n")) << steps.canonical_request;
}

TEST(SigV4, CanonicalQueriesSortByNameThenValue) {
  EXPECT_EQ(canonical_query(Headers{{"b", "2"}, {"a-1", "x"}, {"a", "z"}, {"a", "y"}, {"uploads", ""}}),
            "a=y&a=z&a-1=x&b=2&uploads=");
  EXPECT_EQ(canonical_query(Headers{{"prefix", "a/b +~\xe1\x88\xb4"}}), "prefix=a%2Fb%20%2B~%E1%88%B4");
  EXPECT_EQ(canonical_query({}), "");
}

TEST(SigV4, LeavesOutHeadersThatIntermediariesChange) {
  const Signer signer("us-east-1", "s3");
  const Headers headers = {{"host", "h"}, {"User-Agent", "x"}, {"Expect", "100-continue"}, {"Connection", "close"}};
  const auto steps = signer.explain({"GET", "/", "", headers, unsigned_payload}, example_credentials(), vector_time);
  EXPECT_EQ(steps.signed_headers, "host;x-amz-content-sha256;x-amz-date");
}

TEST(SigV4, RefusesARequestWithoutHost) {
  const Signer signer("us-east-1", "s3");
  EXPECT_THROW(signer.explain({"GET", "/", "", {}, unsigned_payload}, example_credentials(), vector_time), Error);
}

TEST(SigV4, KeepsNoKeyOfAnotherDayOrSecret) {
  const Signer used("us-east-1", "s3");
  const Headers headers = {{"host", "h"}};
  const SigningInput input{"GET", "/", "", headers, unsigned_payload};
  Credentials other = example_credentials();
  other.secret_access_key = Secret("another");
  struct Case {
    Credentials credentials;
    int64_t seconds;
  };
  for (const Case& each : {Case{example_credentials(), vector_time}, Case{example_credentials(), vector_time + 86'400},
                           Case{other, vector_time + 86'400}, Case{example_credentials(), vector_time}}) {
    const Signer fresh("us-east-1", "s3");
    EXPECT_EQ(used.explain(input, each.credentials, each.seconds).signature,
              fresh.explain(input, each.credentials, each.seconds).signature);
  }
}

TEST(SigV4, SignsTheSameOnManyThreads) {
  const Signer signer("us-east-1", "s3");
  const Headers headers = {{"host", "h"}};
  const SigningInput input{"GET", "/", "", headers, unsigned_payload};
  const std::string expected = signer.explain(input, example_credentials(), vector_time).signature;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const int64_t day = (t + i) % 2 * 86'400;
        const std::string signature = signer.explain(input, example_credentials(), vector_time + day).signature;
        wrong += (signature == expected) == (day == 0) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace waybill::aws
