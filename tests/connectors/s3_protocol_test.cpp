// SPDX-License-Identifier: Apache-2.0
//
// The S3 connector against answers that a sound server never gives, and the fallbacks for stores that know less.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/s3/multipart.hpp"
#include "connectors/s3/s3.hpp"
#include "connectors/s3_scripted_server.hpp"
#include "support/test_context.hpp"

namespace waybill::s3 {
namespace {

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

std::string entry(const std::string& key, int size = 1, const std::string& more = "") {
  return "<Contents><Key>" + key + "</Key><Size>" + std::to_string(size) + "</Size><ETag>\"e\"</ETag>" + more +
         "</Contents>";
}

ScriptedAnswer page(const std::string& entries, const std::string& token = "") {
  return {200, "",
          "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>" +
              std::string(token.empty() ? "false" : "true") + "</IsTruncated>" +
              (token.empty() ? "" : "<NextContinuationToken>" + token + "</NextContinuationToken>") + entries +
              "</ListBucketResult>"};
}

ScriptedAnswer refusal(int status, const std::string& code) {
  return {status, "x-amz-request-id: req-7\r\n", "<Error><Code>" + code + "</Code><Message>m</Message></Error>"};
}

Body body_of(const std::string& text) { return Body(internal::as_bytes(text), Digest{}); }

class S3Protocol : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"}) ::unsetenv(name);
    ::setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    ::setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    ::setenv("AWS_CONFIG_FILE", "/dev/null", 1);
  }

  void serve(ScriptedServer::Answer answer, const std::string& more = "") {
    server_ = std::make_unique<ScriptedServer>(std::move(answer));
    const Url url = Url::parse("s3://bucket/p?endpoint=http://127.0.0.1:" + std::to_string(server_->port()) + more);
    source_ = s3_connector().open_source(url);
    destination_ = s3_connector().open_destination(url);
  }

  std::vector<Item> list_all() {
    std::vector<Item> items;
    const auto lister = source_->list({}, context_);
    for (int pages = 0; pages < 100; ++pages) {
      Page page = lister->next(context_);
      for (Item& item : page.items) items.push_back(std::move(item));
      if (page.is_last) return items;
    }
    ADD_FAILURE() << "no end";
    return items;
  }

  std::optional<Error> listing_error(const std::vector<ScriptedAnswer>& pages) {
    auto n = std::make_shared<size_t>(0);
    serve([pages, n](const ScriptedRequest&) { return pages[std::min((*n)++, pages.size() - 1)]; });
    return error_of([&] { list_all(); });
  }

  static Item item(const Key& key, uint64_t size, const std::string& etag) {
    Item item;
    item.id.key = key;
    item.stamp.size = size;
    item.stamp.etag = etag;
    return item;
  }

  TestContext context_;
  std::unique_ptr<ScriptedServer> server_;
  std::shared_ptr<Source> source_;
  std::shared_ptr<Destination> destination_;
};

TEST_F(S3Protocol, ListingsThatBreakTheContractAreErrors) {
  const std::vector<std::vector<ScriptedAnswer>> broken = {
      {page(entry("p/b") + entry("p/a"))},                   // not ascending
      {page(entry("p/b"), "t1"), page(entry("p/a"))},        // not ascending across pages
      {page(entry("q/a"))},                                  // not below the prefix
      {page(entry("p/a"), "t1"), page(entry("p/b"), "t1")},  // the token again
      {page("", "t1"), page("", "t2"), page("", "t1")},      // in a circle
      {page(entry("p/%zz"))},                                // no encoded key
      {{200, "", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}},  // more, but not how
      {{200, "", "<html>welcome</html>"}},
      {{200, "", ""}},
  };
  for (size_t n = 0; n < broken.size(); ++n) {
    const auto error = listing_error(broken[n]);
    ASSERT_TRUE(error) << n;
    EXPECT_EQ(error->error_class(), ErrorClass::server) << error->message();
    EXPECT_NE(error->message().find("s3://bucket/p/"), std::string::npos) << error->message();
  }
}

TEST_F(S3Protocol, ListingsDecodeBothFormsOfASpace) {
  EXPECT_FALSE(listing_error({page(entry("p/a%20b") + entry("p/c+d"))}));
  serve([](const ScriptedRequest&) { return page(entry("p/a%20b") + entry("p/c+d")); });
  EXPECT_EQ(list_all()[1].id.key, "c+d");
  serve([](const ScriptedRequest&) { return page(entry("p/%0A%01%EF%BF%BD") + entry("p/a+b%2Bc")); });
  const std::vector<Item> items = list_all();
  EXPECT_EQ(items[0].id.key, "\n\x01\xEF\xBF\xBD");
  EXPECT_EQ(items[0].refused, ErrorClass::none);
  EXPECT_EQ(items[1].id.key, "a b+c");
}

TEST_F(S3Protocol, ListingsSayWhatCannotMove) {
  serve([](const ScriptedRequest&) {
    const std::string restoring = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>";
    return page(entry("p/", 5) + entry("p/cold", 1, "<StorageClass>GLACIER</StorageClass>" + restoring) +
                entry("p/deep", 1, "<StorageClass>DEEP_ARCHIVE</StorageClass>") +
                entry("p/quick", 1, "<StorageClass>GLACIER_IR</StorageClass>"));
  });
  const std::vector<Item> items = list_all();
  ASSERT_EQ(items.size(), 4U);
  EXPECT_EQ(items[0].id.key, "");
  EXPECT_EQ(items[0].refused, ErrorClass::unsupported);
  EXPECT_EQ(items[1].refused, ErrorClass::archived);
  EXPECT_EQ(items[1].reason, "in storage class GLACIER: its restore is under way");
  EXPECT_EQ(items[2].refused, ErrorClass::none) << "it may have been restored: only reading tells";
  EXPECT_EQ(items[3].refused, ErrorClass::none);
}

TEST_F(S3Protocol, APageThatFailedCanBeAskedForAgain) {
  int calls = 0;
  serve([&](const ScriptedRequest& request) {
    ++calls;
    if (calls == 2) return refusal(503, "SlowDown");
    if (calls == 3) return ScriptedAnswer{200, "", "<ListBucketResult><IsTrunc"};
    return request.target.find("continuation-token=t1") != std::string::npos ? page(entry("p/b"))
                                                                             : page(entry("p/a"), "t1");
  });
  const auto lister = source_->list({}, context_);
  EXPECT_EQ(lister->next(context_).items.at(0).id.key, "a");
  const auto slow = error_of([&] { lister->next(context_); });
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->error_class(), ErrorClass::throttled);
  EXPECT_TRUE(slow->retryable());
  const auto cut = error_of([&] { lister->next(context_); });
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->retryable());
  const Page last = lister->next(context_);
  EXPECT_EQ(last.items.at(0).id.key, "b");
  EXPECT_TRUE(last.is_last);
}

TEST_F(S3Protocol, ReadsThatAreNotWhatWasAskedAreErrors) {
  std::string out(10, '\0');
  const auto read = [&](uint64_t offset) {
    return error_of(
        [&] { source_->read(item("k", 100, "e"), offset, std::as_writable_bytes(std::span(out)), context_); });
  };
  const auto answer = [](int status, const std::string& range, const std::string& etag, size_t size) {
    return [=](const ScriptedRequest&) {
      return ScriptedAnswer{status,
                            "ETag: \"" + etag + "\"\r\n" + (range.empty() ? "" : "Content-Range: " + range + "\r\n"),
                            std::string(size, 'x')};
    };
  };
  serve(answer(206, "bytes 20-29/100", "e", 10));
  EXPECT_FALSE(read(20));
  EXPECT_EQ(server_->requests().at(0).header("range"), "bytes=20-29");
  EXPECT_EQ(server_->requests().at(0).header("if-match"), "\"e\"");
  serve(answer(206, "bytes 10-19/100", "e", 10));
  EXPECT_EQ(read(20)->error_class(), ErrorClass::server);
  serve(answer(206, "bytes 20-24/100", "e", 5));
  EXPECT_EQ(read(20)->error_class(), ErrorClass::network);
  serve(answer(206, "", "e", 10));
  EXPECT_EQ(read(20)->error_class(), ErrorClass::server);
  serve(answer(206, "bytes 20-29/100", "other", 10));
  EXPECT_EQ(read(20)->error_class(), ErrorClass::source_changed);
  serve(answer(206, "bytes 20-29/100", "", 10));
  EXPECT_EQ(read(20)->error_class(), ErrorClass::server) << "nothing says that it changed";
  serve(answer(200, "", "e", 100));
  EXPECT_EQ(read(20)->error_class(), ErrorClass::server);
  EXPECT_FALSE(read(0)) << "a store that ignores ranges can be read from the beginning";
  serve([](const ScriptedRequest&) { return refusal(403, "InvalidObjectState"); });
  EXPECT_EQ(read(20)->error_class(), ErrorClass::archived);
  serve([](const ScriptedRequest&) { return refusal(412, "PreconditionFailed"); });
  EXPECT_EQ(read(20)->error_class(), ErrorClass::source_changed);
}

TEST_F(S3Protocol, ABodyThatOnlyTheConnectionEndsIsComparedWithTheListedSize) {
  std::string out(200, '\0');
  const auto read = [&](std::optional<uint64_t> size, uint64_t offset, size_t wanted) {
    Item listed = item("k", 0, "e");
    listed.stamp.size = size;
    ReadResult result;
    const auto error = error_of([&] {
      result = source_->read(listed, offset, std::as_writable_bytes(std::span(out).first(wanted)), context_);
    });
    if (!error) {
      EXPECT_EQ(result.count, wanted);
    }
    return error;
  };
  const auto answer = [](int status, const std::string& range, size_t size) {
    return [=](const ScriptedRequest&) {
      return ScriptedAnswer{status, "ETag: \"e\"\r\n" + range, std::string(size, 'x'), false};
    };
  };
  serve(answer(200, "", 100));
  EXPECT_FALSE(read(100, 0, 100)) << "as many bytes as were listed";
  serve(answer(200, "", 60));
  std::optional<Error> error = read(100, 0, 100);
  ASSERT_TRUE(error) << "cut off, and taken for whole";
  EXPECT_EQ(error->error_class(), ErrorClass::network);
  EXPECT_TRUE(error->retryable());
  EXPECT_NE(error->message().find("60 bytes"), std::string::npos) << error->message();
  serve(answer(200, "", 0));
  EXPECT_TRUE(read(100, 0, 100)) << "not even a byte";
  serve(answer(200, "", 60));
  EXPECT_TRUE(read(std::nullopt, 0, 200)) << "no size was listed: nothing says that this is all";
  serve(answer(206, "Content-Range: bytes 20-29/100\r\n", 10));
  EXPECT_FALSE(read(100, 20, 10));
  serve(answer(206, "Content-Range: bytes 20-29/100\r\n", 6));
  error = read(100, 20, 10);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::network);
}

TEST_F(S3Protocol, AnswersBecomeErrorsOfTheItem) {
  serve([](const ScriptedRequest&) {
    ScriptedAnswer answer = refusal(503, "SlowDown");
    answer.headers += "Retry-After: 7\r\n";
    return answer;
  });
  const auto error = error_of([&] { destination_->put("a\nb", body_of("x"), {}, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::throttled);
  EXPECT_EQ(error->retry_after(), std::chrono::seconds(7));
  EXPECT_EQ(error->request_id(), "req-7");
  EXPECT_EQ(error->http_status(), 503);
  EXPECT_EQ(error->message().find("s3://bucket/p/a\\x0ab: PUT answered 503 SlowDown: m"), 0U) << error->message();
  EXPECT_EQ(server_->requests().size(), 1U) << "retries are the engine's";
}

TEST_F(S3Protocol, TheClockOfTheStoreIsLearntOnce) {
  const int64_t ahead = 3 * 3600;
  serve([&](const ScriptedRequest& request) {
    const std::string now = internal::format_iso8601_basic(internal::now_ms() / 1000 + ahead);
    ScriptedAnswer answer = request.header("x-amz-date").substr(0, 11) == now.substr(0, 11)
                                ? page(entry("p/a"))
                                : refusal(403, "RequestTimeTooSkewed");
    answer.headers += "Date: " + internal::format_http_date(internal::now_ms() / 1000 + ahead) + "\r\n";
    return answer;
  });
  source_->check(context_);
  EXPECT_EQ(server_->requests().size(), 2U);
  EXPECT_EQ(list_all().size(), 1U);
  EXPECT_EQ(server_->requests().size(), 3U);

  serve([&](const ScriptedRequest&) {
    ScriptedAnswer answer = refusal(403, "SignatureDoesNotMatch");
    answer.headers += "Date: " + internal::format_http_date(internal::now_ms() / 1000) + "\r\n";
    return answer;
  });
  EXPECT_EQ(error_of([&] { source_->check(context_); })->error_class(), ErrorClass::auth);
  EXPECT_EQ(server_->requests().size(), 1U);
}

TEST_F(S3Protocol, ConditionsFallBackToALook) {
  bool is_there = false;
  serve([&](const ScriptedRequest& request) {
    if (request.method == "HEAD")
      return is_there ? ScriptedAnswer{200, "ETag: \"old\"\r\n", "xyz"} : ScriptedAnswer{404, "", ""};
    if (!request.header("if-none-match").empty() || !request.header("if-match").empty())
      return refusal(501, "NotImplemented");
    return ScriptedAnswer{200, "ETag: \"new\"\r\n", ""};
  });
  WriteOptions absent;
  absent.condition.kind = Condition::Kind::absent;
  EXPECT_EQ(destination_->put("k", body_of("x"), absent, context_).etag, "new");
  EXPECT_EQ(server_->requests().size(), 3U);  // PUT refused, HEAD, PUT
  destination_->put("k", body_of("x"), absent, context_);
  EXPECT_EQ(server_->requests().size(), 5U);  // HEAD, PUT
  is_there = true;
  EXPECT_EQ(error_of([&] { destination_->put("k", body_of("x"), absent, context_); })->error_class(),
            ErrorClass::conflict);
  WriteOptions unchanged;
  unchanged.condition.kind = Condition::Kind::unchanged;
  unchanged.condition.etag = "old";
  EXPECT_EQ(destination_->put("k", body_of("x"), unchanged, context_).etag, "new");
  unchanged.condition.etag = "other";
  EXPECT_EQ(error_of([&] { destination_->put("k", body_of("x"), unchanged, context_); })->error_class(),
            ErrorClass::conflict);
}

TEST_F(S3Protocol, AConflictInFlightIsRetryable) {
  serve([](const ScriptedRequest&) { return refusal(409, "ConditionalRequestConflict"); });
  WriteOptions absent;
  absent.condition.kind = Condition::Kind::absent;
  const auto error = error_of([&] { destination_->put("k", body_of("x"), absent, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::conflict);
  EXPECT_EQ(error->code(), ErrorCode::aborted);
  EXPECT_TRUE(error->retryable());
}

// Anonymous requests have no signature over the body, as requests over https: a checksum header goes with it.
TEST_F(S3Protocol, UnsignedBodiesCarryAChecksum) {
  serve([](const ScriptedRequest&) { return ScriptedAnswer{200, "ETag: \"new\"\r\n", ""}; }, "&anonymous=true");
  destination_->put("k", body_of("123456789"), {}, context_);
  const ScriptedRequest request = server_->requests().at(0);
  EXPECT_EQ(request.header("x-amz-checksum-crc64nvme"), "rosUhgp5mIg=");
  EXPECT_EQ(request.header("authorization"), "");
  EXPECT_EQ(request.header("x-amz-meta-waybill-crc64nvme"), "ae8b14860a799888");
  EXPECT_EQ(request.body, "123456789");

  serve([](const ScriptedRequest&) {
    return ScriptedAnswer{200, "ETag: \"new\"\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n", ""};
  });
  const auto error = error_of([&] { destination_->put("k", body_of("123456789"), {}, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::checksum);
  serve([](const ScriptedRequest&) { return ScriptedAnswer{200, "", ""}; });
  EXPECT_EQ(error_of([&] { destination_->put("k", body_of("x"), {}, context_); })->error_class(), ErrorClass::server);
}

class S3Complete : public S3Protocol {
 protected:
  // The answers of a store to the end of an upload of the parts "hello " and "world", and to HEAD.
  std::optional<Error> complete(ScriptedAnswer answer, ScriptedAnswer head, Stored* stored = nullptr) {
    serve([=](const ScriptedRequest& request) {
      if (request.method == "HEAD") return head;
      if (request.method == "POST" && request.target.find("uploads=") != std::string::npos) {
        return ScriptedAnswer{200, "",
                              "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
      }
      return answer;
    });
    const auto upload = destination_->begin_parts("k", PartPlan{}, {}, context_);
    return error_of([&] {
      const Stored result = upload->complete(parts(), context_);
      if (stored != nullptr) *stored = result;
    });
  }

  static std::vector<PartInfo> parts() {
    std::vector<PartInfo> parts;
    for (const std::string text : {"hello ", "world"}) {
      PartInfo part{static_cast<uint32_t>(parts.size() + 1),
                    text.size(),
                    internal::hex_encode(internal::md5(internal::as_bytes(text))),
                    {}};
      part.digest.crc64nvme = internal::crc64nvme(internal::as_bytes(text));
      parts.push_back(part);
    }
    return parts;
  }

  static ScriptedAnswer done(const std::string& more = "") {
    return {200, "",
            " \n <CompleteMultipartUploadResult><ETag>\"x-2\"</ETag>" + more + "</CompleteMultipartUploadResult>"};
  }
};

TEST_F(S3Complete, AnErrorInsideASuccessIsAnError) {
  const ScriptedAnswer whole{200, "ETag: \"x-2\"\r\n", "hello world"};
  Stored stored;
  EXPECT_FALSE(complete(done(), whole, &stored));
  EXPECT_EQ(stored.etag, "x-2");
  EXPECT_EQ(stored.size, 11U);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes("hello world")));

  const auto error = complete({200, "", "\n\n<Error><Code>InternalError</Code><Message>m</Message></Error>"}, {});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::server);
  EXPECT_TRUE(error->retryable());
  EXPECT_EQ(complete({200, "", "<Error><Code>AccessDenied</Code></Error>"}, {})->error_class(), ErrorClass::permission);
  EXPECT_TRUE(complete({200, "", ""}, {})->retryable());
  const auto wrong = complete(done("<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>"), {});
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->error_class(), ErrorClass::checksum);
  // A success that is none: nothing there, or another object.
  EXPECT_EQ(complete(done(), {404, "", ""})->error_class(), ErrorClass::missing);
  EXPECT_EQ(complete(done(), {200, "ETag: \"x-2\"\r\n", "hello"})->error_class(), ErrorClass::missing);
  EXPECT_EQ(complete(done(), {200, "ETag: \"y\"\r\n", "hello world"})->error_class(), ErrorClass::missing);
}

TEST_F(S3Complete, ALostAnswerIsLookedUp) {
  const std::string etag = composed_etag(parts());
  const auto head = [](const std::string& tag, size_t size, const std::string& more = "") {
    return ScriptedAnswer{200, "ETag: \"" + tag + "\"\r\n" + more, std::string(size, 'x')};
  };
  Stored stored;
  EXPECT_FALSE(complete(refusal(404, "NoSuchUpload"), head(etag, 11), &stored));
  EXPECT_EQ(stored.etag, etag);
  EXPECT_FALSE(complete(refusal(412, "PreconditionFailed"), head(etag, 11)));
  const std::string crc = internal::crc64_to_base64(internal::crc64nvme(internal::as_bytes("hello world")));
  EXPECT_FALSE(complete(refusal(404, "NoSuchUpload"), head("opaque", 11, "x-amz-checksum-crc64nvme: " + crc + "\r\n")));

  EXPECT_EQ(complete(refusal(404, "NoSuchUpload"), head(etag, 12))->error_class(), ErrorClass::missing);
  EXPECT_EQ(complete(refusal(404, "NoSuchUpload"), head("opaque", 11))->error_class(), ErrorClass::missing);
  EXPECT_EQ(complete(refusal(404, "NoSuchUpload"), {404, "", ""})->error_class(), ErrorClass::missing);
  EXPECT_EQ(complete(refusal(412, "PreconditionFailed"), head("foreign", 11))->error_class(), ErrorClass::conflict);
}

TEST_F(S3Protocol, AbortIsRepeatedUntilTheUploadIsGone) {
  int deletes = 0;
  serve([&](const ScriptedRequest& request) {
    if (request.method == "DELETE") {
      ++deletes;
      return ScriptedAnswer{204, "", ""};
    }
    if (deletes >= 3) return refusal(404, "NoSuchUpload");
    return ScriptedAnswer{200, "", "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"};
  });
  destination_->begin_parts("k", PartPlan{{}, 0, "u"}, {}, context_)->abort(context_);
  EXPECT_EQ(deletes, 3);
}

TEST_F(S3Protocol, EveryCallEndsWithinASecondOfItsCancellation) {
  std::atomic<bool> is_silent{false};
  serve([&](const ScriptedRequest& request) {
    if (is_silent) return ScriptedAnswer{0, "", ""};
    if (request.method == "POST") {
      return ScriptedAnswer{200, "",
                            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
    }
    return page("");
  });
  const auto upload = destination_->begin_parts("k", PartPlan{}, {}, context_);
  is_silent = true;
  std::string out(10, '\0');
  const std::vector<PartInfo> parts(1, PartInfo{1, 1, "e", {}});
  const std::vector<std::pair<const char*, std::function<void(Context&)>>> calls = {
      {"check", [&](Context& context) { source_->check(context); }},
      {"list", [&](Context& context) { source_->list({}, context)->next(context); }},
      {"read",
       [&](Context& context) {
         source_->read(item("k", 10, "e"), 0, std::as_writable_bytes(std::span(out)), context);
       }},
      {"stat", [&](Context& context) { destination_->stat("k", context); }},
      {"put", [&](Context& context) { destination_->put("k", body_of("x"), {}, context); }},
      {"odd key", [&](Context& context) { destination_->put("a/../k", body_of("x"), {}, context); }},
      {"remove", [&](Context& context) { destination_->remove("k", context); }},
      {"begin", [&](Context& context) { destination_->begin_parts("k", PartPlan{}, {}, context); }},
      {"existing", [&](Context& context) { upload->existing(context); }},
      {"part", [&](Context& context) { upload->write(1, 0, body_of("x"), context); }},
      {"complete", [&](Context& context) { upload->complete(parts, context); }},
      {"abort", [&](Context& context) { upload->abort(context); }},
  };
  for (const auto& [name, call] : calls) {
    TestContext context;
    std::chrono::steady_clock::time_point cancelled_at;
    std::thread canceller([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      cancelled_at = std::chrono::steady_clock::now();
      context.cancel();
    });
    const auto error = error_of([&] { call(context); });
    const auto ended_at = std::chrono::steady_clock::now();
    canceller.join();
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->error_class(), ErrorClass::cancelled) << name << ": " << error->message();
    EXPECT_LT(ended_at - cancelled_at, std::chrono::seconds(1)) << name;
  }
}

}  // namespace
}  // namespace waybill::s3
