// SPDX-License-Identifier: Apache-2.0
//
// Who asks, where, and by whose clock: regions, credentials that end, clocks that differ, rights that lack.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <future>
#include <set>
#include <thread>

#include "aws/aws_environment.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/s3/client.hpp"
#include "connectors/s3/s3.hpp"
#include "connectors/s3_scripted_server.hpp"
#include "support/test_context.hpp"

namespace waybill::s3 {
namespace {

using testing::CleanAwsEnvironment;
using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;
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

ScriptedAnswer empty_page() {
  return {200, "",
          "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated></ListBucketResult>"};
}

ScriptedAnswer refusal(int status, const std::string& code, const std::string& more = "",
                       const std::string& headers = "") {
  return {status, headers, "<Error><Code>" + code + "</Code><Message>m</Message>" + more + "</Error>"};
}

Body body_of(const std::string& text) { return Body(internal::as_bytes(text), Digest{}); }

/// The region that a request is signed for; "" if it is not signed.
std::string region_of(const ScriptedRequest& request) {
  const std::string authorization = request.header("authorization");
  const size_t day = authorization.find('/');
  if (day == std::string::npos) return {};
  const size_t begin = authorization.find('/', day + 1) + 1;
  return authorization.substr(begin, authorization.find('/', begin) - begin);
}

std::string key_id_of(const ScriptedRequest& request) {
  const std::string authorization = request.header("authorization");
  const size_t begin = authorization.find("Credential=");
  if (begin == std::string::npos) return {};
  return authorization.substr(begin + 11, authorization.find('/') - begin - 11);
}

class S3Identity : public CleanAwsEnvironment {
 protected:
  void SetUp() override {
    CleanAwsEnvironment::SetUp();
    ::setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  }

  void serve(ScriptedServer::Answer answer, const std::string& more = "", const std::string& host = "127.0.0.1") {
    server_ = std::make_unique<ScriptedServer>(std::move(answer));
    const Url url = Url::parse("s3://bucket/p?endpoint=http://" + host + ":" + std::to_string(server_->port()) + more);
    source_ = s3_connector().open_source(url);
    destination_ = s3_connector().open_destination(url);
  }
  std::vector<ScriptedRequest> requests() const { return server_->requests(); }
  std::optional<Item> stat() { return source_->stat({"", "k", ""}, context_); }

  TestContext context_;
  std::unique_ptr<ScriptedServer> server_;
  std::shared_ptr<Source> source_;
  std::shared_ptr<Destination> destination_;
};

// H2: each way in which a store says where the bucket is; asked again once, and remembered.
TEST_F(S3Identity, TheRegionIsLearntFromWhateverTellsIt) {
  const std::vector<ScriptedAnswer> ways = {
      refusal(301, "PermanentRedirect", "", "x-amz-bucket-region: eu-west-1\r\n"),
      refusal(301, "PermanentRedirect", "<Endpoint>bucket.s3-eu-west-1.amazonaws.com</Endpoint>"),
      refusal(301, "PermanentRedirect", "<Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint>"),
      refusal(307, "TemporaryRedirect", "<Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint>"),
      refusal(307, "TemporaryRedirect", "", "Location: https://bucket.s3-eu-west-1.amazonaws.com/?list-type=2\r\n"),
      refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
      refusal(400, "IllegalLocationConstraintException", "", "x-amz-bucket-region: eu-west-1\r\n"),
  };
  for (size_t n = 0; n < ways.size(); ++n) {
    serve([&](const ScriptedRequest& request) { return region_of(request) == "eu-west-1" ? empty_page() : ways[n]; });
    source_->check(context_);
    ASSERT_EQ(requests().size(), 2U) << n;
    EXPECT_EQ(region_of(requests()[0]), "us-east-1") << n;
    EXPECT_EQ(region_of(requests()[1]), "eu-west-1") << n;
    EXPECT_EQ(requests()[1].header("host"), "127.0.0.1:" + std::to_string(server_->port())) << "it keeps its host";
    source_->check(context_);
    EXPECT_EQ(requests().size(), 3U) << n;
  }
  ASSERT_FALSE(context_.lines().empty());
  EXPECT_NE(context_.lines()[0].second.find("is in region eu-west-1, not us-east-1"), std::string::npos);
}

TEST_F(S3Identity, ABodyIsSentAgainWhole) {
  serve([](const ScriptedRequest& request) {
    if (region_of(request) != "eu-west-1") {
      return refusal(307, "TemporaryRedirect", "<Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint>");
    }
    return ScriptedAnswer{200, "ETag: \"e\"\r\n", ""};
  });
  const std::string content(3 << 20, 'x');
  size_t reads = 0;
  const Body windowed(content.size(), [&](uint64_t offset, std::span<std::byte> out) {
    ++reads;
    const size_t count = std::min<size_t>(out.size(), content.size() - offset);
    std::memcpy(out.data(), content.data() + offset, count);
    return count;
  });
  EXPECT_EQ(destination_->put("k", windowed, {}, context_).etag, "e");
  ASSERT_EQ(requests().size(), 2U);
  EXPECT_EQ(requests()[1].body, content);
  EXPECT_NE(requests()[0].header("authorization"), requests()[1].header("authorization"));
  EXPECT_EQ(destination_->put("k", body_of("abc"), {}, context_).etag, "e");
  EXPECT_EQ(requests().at(2).body, "abc");
}

// A HEAD has no body to say why: a listing of the same bucket has.
TEST_F(S3Identity, AHeadIsExplainedByAListing) {
  for (const int status : {301, 400, 307}) {
    serve([&](const ScriptedRequest& request) {
      if (region_of(request) == "eu-west-1") return ScriptedAnswer{200, "ETag: \"e\"\r\n", "abc"};
      if (request.method == "HEAD") return ScriptedAnswer{status, "", ""};
      return refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
    });
    ASSERT_TRUE(stat()) << status;
    EXPECT_EQ(requests().size(), 3U) << status;
    EXPECT_TRUE(stat());
    EXPECT_EQ(requests().size(), 4U) << status;
  }
  // Where the header is there, nobody else is asked.
  serve([&](const ScriptedRequest& request) {
    if (region_of(request) == "eu-west-1") return ScriptedAnswer{200, "ETag: \"e\"\r\n", "abc"};
    return ScriptedAnswer{400, "x-amz-bucket-region: eu-west-1\r\n", ""};
  });
  ASSERT_TRUE(stat());
  EXPECT_EQ(requests().size(), 2U);
}

TEST_F(S3Identity, AStoreThatSendsInCirclesIsLeft) {
  // To and fro.
  serve([](const ScriptedRequest& request) {
    const std::string next = region_of(request) == "eu-west-1" ? "us-east-1" : "eu-west-1";
    return refusal(301, "PermanentRedirect", "", "x-amz-bucket-region: " + next + "\r\n");
  });
  auto error = error_of([&] { source_->check(context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::configuration);
  EXPECT_LE(requests().size(), 3U);
  // Always on.
  std::atomic<int> n{0};
  serve([&](const ScriptedRequest&) {
    return refusal(400, "AuthorizationHeaderMalformed", "<Region>region-" + std::to_string(++n) + "</Region>");
  });
  error = error_of([&] { source_->check(context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::configuration);
  EXPECT_LE(requests().size(), 3U);
  // To itself, to nowhere, and to what is no region.
  for (const char* region : {"us-east-1", "", "x/../y", "a b", "e\r\nX: 1"}) {
    serve([&](const ScriptedRequest&) {
      return refusal(301, "PermanentRedirect", "<Region>" + std::string(region) + "</Region>");
    });
    error = error_of([&] { source_->check(context_); });
    ASSERT_TRUE(error) << region;
    EXPECT_EQ(requests().size(), 1U) << region;
  }
  // To another machine: a signature, and maybe a body, that are not for it.
  ScriptedServer other([](const ScriptedRequest&) { return empty_page(); });
  serve([&](const ScriptedRequest&) {
    return ScriptedAnswer{307, "Location: http://127.0.0.1:" + std::to_string(other.port()) + "/bucket\r\n", ""};
  });
  EXPECT_TRUE(error_of([&] { source_->check(context_); }));
  EXPECT_EQ(requests().size(), 1U);
  EXPECT_EQ(other.requests().size(), 0U);
}

// F46: no kind of redirect is followed, whatever it is an answer to and wherever it leads; it is one clear error.
TEST_F(S3Identity, RedirectsElsewhereAreNotFollowed) {
  ScriptedServer other([](const ScriptedRequest&) { return ScriptedAnswer{200, "ETag: \"e\"\r\n", ""}; });
  const std::string there = "127.0.0.1:" + std::to_string(other.port());
  for (const int status : {301, 302, 303, 307, 308}) {
    const std::vector<std::string> locations = {
        "http://" + there + "/bucket/p/k", "https://" + there + "/bucket/p/k", "//" + there + "/bucket/p/k",
        "http://user:pass@" + there + "/", "http://s3.eu-west-1.amazonaws.com.evil.invalid/",
        "file:///etc/passwd",              "/bucket/p/k?again"};
    for (const std::string& location : locations) {
      const std::string what = std::to_string(status) + " to " + location;
      serve([&](const ScriptedRequest&) { return ScriptedAnswer{status, "Location: " + location + "\r\n", ""}; });
      std::byte out[3];
      Item item;
      item.id.key = "k";
      item.stamp.size = 3;
      const std::vector<std::function<void()>> calls = {
          [&] { source_->check(context_); },
          [&] { stat(); },
          [&] { source_->read(item, 0, out, context_); },
          [&] { destination_->put("k", body_of("abc"), {}, context_); },
          [&] { destination_->begin_parts("k", {}, {}, context_); },
          [&] { destination_->remove("k", context_); },
      };
      for (const auto& call : calls) {
        const auto error = error_of(call);
        ASSERT_TRUE(error) << what;
        EXPECT_EQ(error->error_class(), ErrorClass::configuration) << what << ": " << error->message();
        EXPECT_FALSE(error->retryable()) << what;
        EXPECT_EQ(error->message().find("pass@"), std::string::npos) << error->message();
      }
      EXPECT_EQ(requests().size(), 7U) << what << ": one for each call, and one that asks why a HEAD was refused";
    }
  }
  EXPECT_EQ(other.requests().size(), 0U);
}

// F46: where the host follows from the region, it is always one of AWS, and always over TLS.
TEST_F(S3Identity, ARegionNeverLeadsOutOfAws) {
  Config config = parse_config(Url::parse("s3://bucket/p"));
  EXPECT_EQ(config.scheme, "https");
  for (const char* region : {"eu-west-1", "cn-north-1", "evil", "x_y"}) {
    ASSERT_TRUE(is_region_name(region));
    config.set_region(region);
    EXPECT_EQ(config.scheme, "https");
    EXPECT_TRUE(config.host().ends_with(".amazonaws.com") || config.host().ends_with(".amazonaws.com.cn")) << config.host();
  }
  for (const char* region : {"evil.invalid/", "a.b", "a:80", "a@b", "a/b", "a?b", "a#b", "a\\b", "a%2fb", ""}) {
    EXPECT_FALSE(is_region_name(region)) << region;
  }
}

TEST_F(S3Identity, ManyThreadsLearnTheRegionTogether) {
  serve([](const ScriptedRequest& request) {
    return region_of(request) == "eu-west-1"
               ? empty_page()
               : refusal(301, "PermanentRedirect", "", "x-amz-bucket-region: eu-west-1\r\n");
  });
  std::vector<std::future<bool>> users;
  for (int i = 0; i < 12; ++i) {
    users.push_back(std::async(std::launch::async, [&] {
      TestContext context;
      return !error_of([&] { source_->check(context); });
    }));
  }
  for (auto& user : users) EXPECT_TRUE(user.get());
}

// H3: what is signed is what the client sends, port included.
TEST_F(S3Identity, TheHostIsSignedAsItIsSent) {
  serve([](const ScriptedRequest&) { return empty_page(); }, "&addressing=virtual", "localhost");
  source_->check(context_);
  const ScriptedRequest request = requests().at(0);
  EXPECT_EQ(request.header("host"), "bucket.localhost:" + std::to_string(server_->port()));
  EXPECT_TRUE(request.target.starts_with("/?")) << request.target;
  EXPECT_NE(request.header("authorization").find("SignedHeaders=host;"), std::string::npos);

  serve([](const ScriptedRequest&) { return empty_page(); }, "&addressing=path", "localhost");
  source_->check(context_);
  EXPECT_EQ(requests().at(0).header("host"), "localhost:" + std::to_string(server_->port()));
  EXPECT_TRUE(requests().at(0).target.starts_with("/bucket?")) << requests().at(0).target;
}

// H4, in both directions, and by many threads at once: none may add to what another has learnt.
TEST_F(S3Identity, ManyThreadsLearnTheClockTogether) {
  for (const int64_t off : {3 * 3600, -3 * 3600, 20 * 60, -20 * 60}) {
    serve([off](const ScriptedRequest& request) {
      const int64_t now = internal::now_ms() / 1000 + off;
      const auto signed_at = internal::parse_rfc3339([&] {
        const std::string text = request.header("x-amz-date");  // 20261120T184353Z
        return text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 5) + ":" + text.substr(11, 2) + ":" +
               text.substr(13, 3);
      }());
      const int64_t difference = signed_at ? *signed_at / 1000 - now : 1 << 20;
      ScriptedAnswer answer =
          difference > -900 && difference < 900 ? empty_page() : refusal(403, "RequestTimeTooSkewed");
      answer.headers += "Date: " + internal::format_http_date(now) + "\r\n";
      return answer;
    });
    std::vector<std::future<bool>> users;
    for (int i = 0; i < 12; ++i) {
      users.push_back(std::async(std::launch::async, [&] {
        TestContext context;
        return !error_of([&] { source_->check(context); });
      }));
    }
    for (auto& user : users) EXPECT_TRUE(user.get()) << off;
    const size_t before = requests().size();
    source_->check(context_);
    EXPECT_EQ(requests().size(), before + 1) << "remembered";
  }
}

// H4: after whatever has to be done first, which for a windowed body is to read it once.
TEST_F(S3Identity, RequestsAreSignedWhenTheyAreSent) {
  serve([](const ScriptedRequest&) { return ScriptedAnswer{200, "ETag: \"e\"\r\n", ""}; });
  const std::string content(300'000, 'x');
  std::atomic<int64_t> hashed_at{0};
  const Body windowed(content.size(), [&](uint64_t offset, std::span<std::byte> out) {
    const int64_t begun = internal::now_ms() / 1000;
    while (hashed_at == 0 && internal::now_ms() / 1000 == begun) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const size_t count = std::min<size_t>(out.size(), content.size() - offset);
    std::memcpy(out.data(), content.data() + offset, count);
    if (hashed_at == 0 && offset + count == content.size()) hashed_at = internal::now_ms() / 1000;
    return count;
  });
  destination_->put("k", windowed, {}, context_);
  ASSERT_EQ(requests().size(), 1U);
  EXPECT_EQ(requests()[0].body, content);
  EXPECT_GE(requests()[0].header("x-amz-date"), internal::format_iso8601_basic(hashed_at));
}

// H5
TEST_F(S3Identity, CredentialsThatEndAreRenewedOnce) {
  ::unsetenv("AWS_ACCESS_KEY_ID");
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  const auto write_key = [&](const std::string& key, const std::string& token) {
    write("credentials",
          "[default]\naws_access_key_id = " + key + "\naws_secret_access_key = s\naws_session_token = " + token + "\n");
  };
  for (const char* code : {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"}) {
    write_key("OLD", "t1");
    std::atomic<bool> is_over{false};
    serve([&](const ScriptedRequest& request) {
      if (is_over && key_id_of(request) != "NEW") {
        return request.method == "HEAD" ? ScriptedAnswer{400, "", ""} : refusal(400, code);
      }
      if (request.method == "GET") return empty_page();
      return ScriptedAnswer{200, "ETag: \"e\"\r\n", request.method == "HEAD" ? "abc" : ""};
    });
    destination_->put("k", body_of("abc"), {}, context_);
    EXPECT_TRUE(stat());
    is_over = true;
    write_key("NEW", "t2");
    EXPECT_EQ(destination_->put("k", body_of("abc"), {}, context_).etag, "e") << code;
    EXPECT_EQ(requests().back().body, "abc");
    EXPECT_EQ(requests().back().header("x-amz-security-token"), "t2");
    EXPECT_EQ(requests().size(), 4U) << "the refused one and its repetition";
    // A HEAD does not say why it was refused.
    EXPECT_TRUE(stat()) << code;
    EXPECT_EQ(requests().size(), 7U) << "the HEAD, what explains it, and its repetition";
  }
}

TEST_F(S3Identity, CredentialsThatEndForGoodAreOneError) {
  ::setenv("AWS_SESSION_TOKEN", "t", 1);
  for (const char* code : {"ExpiredToken", "InvalidToken"}) {
    serve([&](const ScriptedRequest& request) {
      return request.method == "HEAD" ? ScriptedAnswer{400, "", ""} : refusal(400, code);
    });
    for (int n = 1; n <= 3; ++n) {
      const auto error = error_of([&] { source_->check(context_); });
      ASSERT_TRUE(error);
      EXPECT_EQ(error->error_class(), ErrorClass::auth) << code;
      EXPECT_FALSE(error->retryable()) << code;
      EXPECT_NE(error->message().find("renew the credentials"), std::string::npos);
      EXPECT_EQ(requests().size(), static_cast<size_t>(n)) << "not asked again with the same";
    }
  }
}

// S01: a store that repeats the request in its errors, as they are or in a URL, in a refusal or inside a success.
TEST_F(S3Identity, WhatAStoreRepeatsOfARequestHoldsNoSecret) {
  const std::string token = "canary-Token//FwoGZXIvYXdzEJr+u8h2k5==";
  ::setenv("AWS_SESSION_TOKEN", token.c_str(), 1);
  std::string signature;
  const auto echo = [&](const ScriptedRequest& request) {
    const std::string authorization = request.header("authorization");
    signature = authorization.substr(authorization.find("Signature=") + 10);
    return "<Error><Code>Odd" + request.header("x-amz-security-token") + "</Code><Message>" +
           request.header("x-amz-security-token") + " " + internal::encode_query(token) + " " + authorization +
           "</Message><RequestId>" + token + "</RequestId></Error>";
  };
  serve([&](const ScriptedRequest& request) {
    const bool is_success = request.target.find("uploadId") != std::string::npos;
    return ScriptedAnswer{is_success ? 200 : 400, "", echo(request)};
  });
  const auto expect_nothing = [&](const std::optional<Error>& error) {
    ASSERT_TRUE(error);
    EXPECT_NE(error->message().find("***"), std::string::npos) << "repeated it was: " << error->message();
    for (const std::string& text : {error->message(), error->provider_code(), error->request_id()}) {
      for (const std::string& secret : {token, internal::encode_query(token), signature}) {
        EXPECT_EQ(text.find(secret), std::string::npos) << text;
      }
    }
  };
  expect_nothing(error_of([&] { source_->check(context_); }));
  expect_nothing(error_of([&] { destination_->put("k", body_of("abc"), {}, context_); }));
  const std::vector<PartInfo> parts(1, PartInfo{1, 1, "e", {}});
  serve([&](const ScriptedRequest& request) {
    if (request.method == "POST") return ScriptedAnswer{200, "", echo(request)};
    return ScriptedAnswer{200, "", "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"};
  });
  expect_nothing(
      error_of([&] { destination_->begin_parts("k", PartPlan{1, 5, "id"}, {}, context_)->complete(parts, context_); }));
}

TEST_F(S3Identity, WhatLacksIsSaidWithoutARequest) {
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  serve([](const ScriptedRequest&) { return empty_page(); });
  auto error = error_of([&] { source_->check(context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::auth);
  EXPECT_NE(error->message().find("only one is set"), std::string::npos);
  ::unsetenv("AWS_ACCESS_KEY_ID");
  serve([](const ScriptedRequest&) { return empty_page(); });
  error = error_of([&] { source_->check(context_); });
  ASSERT_TRUE(error);
  EXPECT_NE(error->message().find("no AWS credentials: tried environment (AWS_ACCESS_KEY_ID is not set)"),
            std::string::npos)
      << error->message();
  EXPECT_EQ(requests().size(), 0U);
}

// H5: each side its own.
TEST_F(S3Identity, EachSideHasItsOwnCredentials) {
  write("credentials",
        "[one]\naws_access_key_id = ONE\naws_secret_access_key = s\n[two]\naws_access_key_id = TWO\n"
        "aws_secret_access_key = s\n");
  ScriptedServer server([](const ScriptedRequest&) { return empty_page(); });
  const std::string base = "s3://bucket?endpoint=http://127.0.0.1:" + std::to_string(server.port());
  for (const char* more : {"&profile=one", "&profile=two", "", "&anonymous=true"}) {
    s3_connector().open_source(Url::parse(base + more))->check(context_);
  }
  const auto seen = server.requests();
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(key_id_of(seen[0]), "ONE");
  EXPECT_EQ(key_id_of(seen[1]), "TWO");
  EXPECT_EQ(key_id_of(seen[2]), "AKID");
  EXPECT_EQ(seen[3].header("authorization"), "");
}

// H8
TEST_F(S3Identity, TheRequesterPaysForEverything) {
  const auto answer = [](const ScriptedRequest& request) {
    if (request.method == "GET" && request.target.find("list-type") != std::string::npos) return empty_page();
    return ScriptedAnswer{200, "ETag: \"e\"\r\n", request.method == "PUT" ? "" : "abc"};
  };
  const auto use = [&] {
    source_->check(context_);
    ASSERT_TRUE(stat());
    std::byte out[3];
    Item item;
    item.id.key = "k";
    item.stamp.size = 3;
    source_->read(item, 0, out, context_);
    destination_->put("k", body_of("abc"), {}, context_);
  };
  serve(answer, "&requester_pays=true");
  use();
  std::set<std::string> methods;
  for (const ScriptedRequest& request : requests()) {
    methods.insert(request.method);
    EXPECT_EQ(request.header("x-amz-request-payer"), "requester") << request.method;
    EXPECT_NE(request.header("authorization").find("x-amz-request-payer"), std::string::npos) << "and it is signed";
  }
  EXPECT_EQ(methods, (std::set<std::string>{"GET", "HEAD", "PUT"}));
  serve(answer);
  use();
  for (const ScriptedRequest& request : requests()) EXPECT_EQ(request.header("x-amz-request-payer"), "");
}

// Each right is told from the others, and from a bucket that is elsewhere or nowhere.
TEST_F(S3Identity, WhatIsNotAllowedNamesTheRight) {
  std::string denied;
  const auto answer = [&](const ScriptedRequest& request) {
    if (denied == request.method) return refusal(403, "AccessDenied");
    return request.method == "GET" ? empty_page() : ScriptedAnswer{200, "ETag: \"e\"\r\n", ""};
  };
  const auto expect = [&](const std::optional<Error>& error, const char* right) {
    ASSERT_TRUE(error) << right;
    EXPECT_EQ(error->error_class(), ErrorClass::permission) << right;
    EXPECT_NE(error->message().find(right), std::string::npos) << error->message();
    EXPECT_FALSE(error->retryable());
  };
  serve(answer);
  denied = "GET";
  expect(error_of([&] { source_->check(context_); }), "lack s3:ListBucket, the right to list");
  std::byte out[3];
  Item item;
  item.id.key = "k";
  item.stamp.size = 3;
  expect(error_of([&] { source_->read(item, 0, out, context_); }), "lack s3:GetObject, the right to read");
  denied = "PUT";
  expect(error_of([&] { destination_->put("k", body_of("x"), {}, context_); }),
         "lack s3:PutObject, the right to write");
  denied = "DELETE";
  expect(error_of([&] { destination_->remove("k", context_); }), "lack s3:DeleteObject");
  denied = "POST";
  expect(error_of([&] { destination_->begin_parts("k", {}, {}, context_); }), "lack s3:PutObject");

  serve([](const ScriptedRequest&) { return refusal(404, "NoSuchBucket"); });
  const auto missing = error_of([&] { source_->check(context_); });
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->error_class(), ErrorClass::missing);
  EXPECT_NE(missing->message().find("create the bucket"), std::string::npos);
  serve([](const ScriptedRequest&) { return refusal(403, "SignatureDoesNotMatch"); });
  const auto wrong = error_of([&] { source_->check(context_); });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->error_class(), ErrorClass::auth);
  EXPECT_EQ(requests().size(), 1U);
}

// D21: a HEAD that was refused is explained by a listing that needs no more rights than the others.
TEST_F(S3Identity, WhatExplainsARefusalStaysBelowThePrefix) {
  serve([](const ScriptedRequest& request) {
    return request.method == "HEAD" ? ScriptedAnswer{400, "", ""} : refusal(400, "InvalidRequest");
  });
  EXPECT_TRUE(error_of([&] { stat(); }));
  ASSERT_EQ(requests().size(), 2U);
  EXPECT_NE(requests()[1].target.find("prefix=p%2F"), std::string::npos) << requests()[1].target;
}

// Once a request was accepted, a HEAD that is not allowed costs no second one.
TEST_F(S3Identity, ARightThatLacksIsNotExplainedEachTime) {
  serve([](const ScriptedRequest& request) {
    return request.method == "HEAD" ? ScriptedAnswer{403, "", ""} : empty_page();
  });
  source_->check(context_);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(error_of([&] { stat(); }));
  EXPECT_EQ(requests().size(), 6U);
}

}  // namespace
}  // namespace waybill::s3
