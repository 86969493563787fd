// SPDX-License-Identifier: Apache-2.0
//
// Stores that are broken or mean harm: listings without bounds, bodies that are not as long as they were said to be,
// ETags of every kind, keys that a store takes for others. The engine is on top where the outcome is its.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

#include "base/hash.hpp"
#include "base/uri.hpp"
#include "connectors/s3_fault_fixture.hpp"
#include "connectors/s3_scripted_server.hpp"
#include "engine/support.hpp"
#include "waybill/waybill.hpp"

namespace waybill::s3 {
namespace {

using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;

struct Entry {
  std::string key;
  std::string size = "1";
  std::string etag = "\"e\"";
};

std::string contents(const std::vector<Entry>& entries) {
  std::string xml;
  for (const Entry& one : entries) {
    xml += "<Contents><Key>" + one.key + "</Key><Size>" + one.size + "</Size>" +
           (one.etag.empty() ? "" : "<ETag>" + one.etag + "</ETag>") + "</Contents>";
  }
  return xml;
}

ScriptedAnswer page(const std::string& entries, const std::string& token = "") {
  return {200, "",
          "<ListBucketResult><EncodingType>url</EncodingType><KeyCount>1</KeyCount><IsTruncated>" +
              std::string(token.empty() ? "false" : "true") + "</IsTruncated>" +
              (token.empty() ? "" : "<NextContinuationToken>" + token + "</NextContinuationToken>") + entries +
              "</ListBucketResult>"};
}

bool is_listing(const ScriptedRequest& request) { return request.target.find("list-type=2") != std::string::npos; }

/// "k" of "/bucket/k".
std::string key_of(const ScriptedRequest& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  return path.size() > 8 ? path.substr(8) : "";
}

class S3Hostile : public S3Fault {
 protected:
  void serve(ScriptedServer::Answer answer, const std::string& more = "") {
    scripted_ = std::make_unique<ScriptedServer>(std::move(answer));
    url_ = "s3://bucket?endpoint=http://127.0.0.1:" + std::to_string(scripted_->port()) + more;
    source_ = s3_connector().open_source(Url::parse(url_));
    destination_ = s3_connector().open_destination(Url::parse(url_));
  }
  std::optional<Error> listing_error() {
    return error_of([&] { list(*source_); });
  }
  size_t asked() const { return scripted_->requests().size(); }

  /// Moves everything from the scripted store into memory.
  Report move() {
    Migration migration(url_, to_, folder_.path("ledger.db"));
    Options options;
    options.retry_base_ms = 1;
    options.retry_cap_ms = 2;
    return migration.run(options);
  }

  std::unique_ptr<ScriptedServer> scripted_;
  std::string url_;
  testing::TemporaryFolder folder_;
  const std::string to_ = "memory://" + testing::unique_name("to");
};

// F43: what a page may cost is bounded by its bytes and by its elements, and a key by its length.
TEST_F(S3Hostile, PagesWithoutBoundsAreRefused) {
  const std::string megabyte(1 << 20, 'k');
  const auto big = [](const std::string& one, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += one;
    return text;
  };
  struct Case {
    const char* what;
    std::string entries;
    const char* said;
    bool retryable;
  };
  const std::vector<Case> cases = {
      {"more bytes than the longest page has", big("<Owner>somebody</Owner>", 9 << 20), "longer than 8388608 bytes",
       false},
      {"elements that are short and many", big("<a/>", 7 << 20), "too many elements", false},
      {"a key of a megabyte", contents({{megabyte}}), "has 1048576 bytes", false},
      {"a key of several thousand bytes", contents({{std::string(4'097, 'k')}}), "has 4097 bytes", false},
      {"an ETag of a megabyte", contents({{"k", "1", megabyte}}), "longer than any", false},
      {"an encoded key of a megabyte that is none", contents({{megabyte + "%"}}), "not the encoded form", false},
      {"keys that are long, in no order", contents({{std::string(4'000, 'b')}, {std::string(4'000, 'a')}}),
       "not ascending", false},
  };
  for (const Case& one : cases) {
    serve([&](const ScriptedRequest&) { return page(one.entries); });
    const auto error = listing_error();
    ASSERT_TRUE(error) << one.what;
    EXPECT_EQ(error->error_class(), ErrorClass::server) << one.what;
    EXPECT_EQ(error->retryable(), one.retryable) << one.what;
    EXPECT_NE(error->message().find(one.said), std::string::npos)
        << one.what << ": " << error->message().substr(0, 2000);
    EXPECT_LT(error->message().size(), 2000U) << one.what;
  }
  // The longest that is sound: a thousand keys of 1,024 bytes, each written as %XX.
  std::vector<Entry> longest;
  for (int n = 0; n < 1000; ++n) {
    std::string key;
    for (int i = 0; i < 1020; ++i) key += "%41";
    longest.push_back({key + std::to_string(1000 + n)});
  }
  serve([&](const ScriptedRequest&) { return page(contents(longest)); });
  EXPECT_EQ(list(*source_).size(), 1000U);
}

// F43: whatever a listing without end is made of, it is left, with and without an order.
TEST_F(S3Hostile, ListingsWithoutAnEndAreLeft) {
  for (const bool ordered : {true, false}) {
    int n = 0;
    const auto go_on = [&](const std::string& entries) {
      return [&n, entries](const ScriptedRequest&) { return page(entries, "t" + std::to_string(++n)); };
    };
    // Always on, and always the same object.
    serve(go_on(contents({{"a"}})), ordered ? "" : "&ordered=false");
    const auto lister = source_->list({}, context_);
    const auto error = error_of([&] {
      for (int pages = 0; pages < 12'000; ++pages) lister->next(context_);
    });
    ASSERT_TRUE(error) << ordered;
    EXPECT_EQ(error->error_class(), ErrorClass::server);
    EXPECT_FALSE(error->retryable());
    EXPECT_LE(asked(), ordered ? 10'010U : 3U) << error->message();
    // Round and round.
    serve(
        [&](const ScriptedRequest&) {
          return page(contents({{"k" + std::to_string(++n)}}), "t" + std::to_string(n % 3));
        },
        ordered ? "" : "&ordered=false");
    EXPECT_TRUE(error_of([&] { list(*source_); })) << ordered;
    EXPECT_LE(asked(), 5U);
  }
}

// F43: the question whether a single key is listed has the same bounds.
TEST_F(S3Hostile, AQuestionAboutOneKeyEndsToo) {
  for (const bool ordered : {true, false}) {
    int n = 0;
    serve(
        [&](const ScriptedRequest& request) {
          if (!is_listing(request)) return ScriptedAnswer{200, "ETag: \"e\"\r\n", ""};
          return page(ordered ? "" : contents({{"other"}}), ++n % 2 == 0 ? "even" : "odd");
        },
        ordered ? "" : "&ordered=false");
    const auto error = error_of([&] { put("a//b", "x"); });
    ASSERT_TRUE(error) << ordered;
    EXPECT_NE(error->message().find("came twice"), std::string::npos) << error->message();
    EXPECT_LE(asked(), 6U);
  }
}

// F43: so has the list of an upload's parts.
TEST_F(S3Hostile, ListsOfPartsEndToo) {
  const auto parts = [](const std::string& numbers, const std::string& marker) {
    return ScriptedAnswer{200, "",
                          "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>" + marker +
                              "</NextPartNumberMarker>" + numbers + "</ListPartsResult>"};
  };
  const auto part = [](const std::string& number) {
    return "<Part><PartNumber>" + number + "</PartNumber><Size>5</Size><ETag>\"e\"</ETag></Part>";
  };
  int n = 0;
  const std::vector<std::pair<const char*, std::function<ScriptedAnswer()>>> hostile = {
      {"to and fro", [&] { return parts("", ++n % 2 == 0 ? "2" : "1"); }},
      {"words", [&] { return parts("", "m" + std::to_string(++n)); }},
      {"beyond the last number", [&] { return parts(part("10001"), "1"); }},
      {"the same part again", [&] { return parts(part("1"), std::to_string(++n)); }},
  };
  for (const auto& [what, answer] : hostile) {
    n = 0;
    bool is_opened = false;
    serve([&](const ScriptedRequest&) {
      if (std::exchange(is_opened, true)) return answer();
      return ScriptedAnswer{200, "", "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"};
    });
    const auto upload = destination_->begin_parts("k", PartPlan{10, 5, "id"}, {}, context_);
    const auto error = error_of([&] { upload->existing(context_); });
    ASSERT_TRUE(error) << what;
    EXPECT_EQ(error->error_class(), ErrorClass::server) << what << ": " << error->message();
    EXPECT_LE(asked(), 5U) << what;
  }
}

// F43: an object that comes twice is one item, on a page and across pages, in order and without; and a whole run counts
// it once.
TEST_F(S3Hostile, WhatIsListedTwiceIsOneItem) {
  for (const bool ordered : {true, false}) {
    // Across pages a store without an order shows it anywhere; then the ledger knows it.
    const std::vector<std::string> second =
        ordered ? std::vector<std::string>{"b", "c"} : std::vector<std::string>{"c", "a"};
    serve(
        [&](const ScriptedRequest& request) {
          if (!is_listing(request)) return ScriptedAnswer{200, "ETag: \"e\"\r\n", "x"};
          if (request.target.find("continuation-token") == std::string::npos) {
            return page(contents({{"a"}, {"a"}, {"b"}, {"b"}}), "t");
          }
          return page(contents({{second[0]}, {second[1]}, {second[1]}}));
        },
        ordered ? "" : "&ordered=false");
    std::vector<Key> keys = keys_of(list(*source_));
    const std::vector<Key> expected = ordered ? std::vector<Key>{"a", "b", "c"} : std::vector<Key>{"a", "b", "c", "a"};
    EXPECT_EQ(keys, expected);
    const testing::TemporaryFolder folder;
    Migration migration(url_, "memory://" + testing::unique_name("to"), folder.path("ledger.db"));
    const Report report = migration.run();
    EXPECT_EQ(report.exit_code, 0) << report.message;
    EXPECT_EQ(report.snapshot.items.discovered, 3) << ordered;
    EXPECT_EQ(report.snapshot.items.created, 3) << ordered;
    EXPECT_EQ(report.snapshot.bytes_total, 3U) << ordered;
  }
}

// F43: sizes that would not add up.
TEST_F(S3Hostile, SizesBeyondAnyStoreFailTheirItemAlone) {
  serve([&](const ScriptedRequest& request) {
    if (!is_listing(request)) return ScriptedAnswer{200, "ETag: \"e\"\r\n", "x"};
    return page(
        contents({{"a", "18446744073709551615"}, {"b", "9223372036854775807"}, {"c"}, {"d", "9223372036854775808"}}));
  });
  const Report report = move();
  EXPECT_EQ(report.exit_code, 3) << report.message;
  EXPECT_EQ(report.snapshot.items.discovered, 4);
  EXPECT_EQ(report.snapshot.items.failed, 3);
  EXPECT_EQ(report.snapshot.items.created, 1);
  EXPECT_EQ(report.snapshot.bytes_total, 1U);
  EXPECT_EQ(testing::get(to_, "c"), "x");
}

// F38: longer than listed, whichever way the answer says how long it is, and with or without an ETag to go by.
TEST_F(S3Hostile, ABodyLongerThanListedIsNeverDone) {
  for (const char* etag : {"\"e\"", ""}) {
    for (const char* way : {"length", "chunks", "the end of the connection"}) {
      const std::string what = std::string(way) + (*etag == '\0' ? ", without an ETag" : "");
      serve([&, way = std::string(way)](const ScriptedRequest& request) {
        if (is_listing(request)) return page(contents({{"k", "5", etag}}));
        ScriptedAnswer answer{200, *etag == '\0' ? "" : "ETag: \"e\"\r\n", "longer than that"};
        if (way != "length") answer.has_length = false;
        if (way == "chunks") {
          answer.headers += "Transfer-Encoding: chunked\r\n";
          answer.body = "10\r\nlonger than that\r\n0\r\n\r\n";
        }
        if (request.method == "HEAD") return ScriptedAnswer{200, *etag == '\0' ? "" : "ETag: \"e\"\r\n", "12345"};
        return answer;
      });
      Item listed = item("k");
      std::string out(5, '\0');
      ReadResult result;
      const auto error = error_of([&] { result = read(listed, out); });
      // The engine compares the stamp, unless nothing is in it.
      EXPECT_TRUE(error || (result.stamp != listed.stamp && result.stamp != SourceStamp{})) << what;
      if (way != std::string("chunks") || *etag != '\0') continue;
      const Report report = move();
      EXPECT_EQ(report.exit_code, 3) << report.message;
      EXPECT_EQ(report.snapshot.items.failed, 1);
      EXPECT_EQ(report.snapshot.failed_by_class.count("source_changed"), 1U);
      EXPECT_EQ(testing::get(to_, "k"), std::nullopt);
    }
  }
}

// F38: in a range, too; and a range that is none.
TEST_F(S3Hostile, RangesThatDoNotAddUpAreErrors) {
  Item listed;
  listed.id.key = "k";
  listed.stamp.size = 100;
  listed.stamp.etag = "e";
  for (const char* range : {"bytes 20-29/25", "bytes 20-18446744073709551615/100", "bytes 20-18446744073709551615/*",
                            "bytes 20-39/100", "bytes 0-9/100", "bytes 20-29/200", "bytes 20-29/*"}) {
    serve([&](const ScriptedRequest&) {
      return ScriptedAnswer{206, "ETag: \"e\"\r\nContent-Range: " + std::string(range) + "\r\n", std::string(20, 'x')};
    });
    std::string out(10, '\0');
    ReadResult result;
    const auto error = error_of([&] { result = read(listed, out, 20); });
    // The engine compares the stamp: an answer with another size in it is another revision.
    EXPECT_TRUE(error || result.stamp != listed.stamp) << range;
    EXPECT_TRUE(!error || error->retryable()) << range;
  }
}

// F42: every kind of ETag marks a revision, and none is taken for a digest of the content that it is not.
TEST_F(S3Hostile, EveryKindOfETagMarksARevision) {
  const std::string md5_of_something_else = "900150983cd24fb0d6963f7d28e17f72";
  const std::vector<std::string> kinds = {"\"" + md5_of_something_else + "\"",
                                          "\"" + md5_of_something_else + "-3\"",
                                          "\"900150983CD24FB0D6963F7D28E17F72\"",
                                          "\"opaque/../=\"",
                                          "W/\"weak\"",
                                          "unquoted",
                                          ""};
  for (const std::string& etag : kinds) {
    std::atomic<bool> is_changed{false};
    serve([&](const ScriptedRequest& request) {
      if (is_listing(request)) return page(contents({{"k", "7", etag}}));
      const std::string now = is_changed ? "\"another\"" : etag;
      // A weak ETag never meets a condition (RFC 9110, 13.1.1), nor does one that is not there.
      const std::string condition = request.header("if-match");
      const std::string quoted = now.starts_with('"') || now.starts_with("W/") ? now : "\"" + now + "\"";
      if (!condition.empty() && (condition != quoted || quoted.starts_with("W/"))) {
        return ScriptedAnswer{412, "", "<Error><Code>PreconditionFailed</Code></Error>"};
      }
      return ScriptedAnswer{200, now.empty() ? "" : "ETag: " + now + "\r\n", "content"};
    });
    const Item listed = item("k");
    std::string out(7, '\0');
    std::optional<Error> error = error_of([&] { EXPECT_EQ(read(listed, out).stamp, listed.stamp) << etag; });
    EXPECT_FALSE(error) << etag << ": " << error->message();
    EXPECT_EQ(out, "content") << etag;
    is_changed = true;
    if (!etag.empty()) {
      error = error_of([&] { read(listed, out); });
      ASSERT_TRUE(error) << etag;
      EXPECT_EQ(error->error_class(), ErrorClass::source_changed) << etag << ": " << error->message();
    } else {
      EXPECT_NE(read(listed, out).stamp, listed.stamp) << "the engine sees it";
    }
  }
}

// F42: what is replaced under a weak ETag is looked at instead of conditioned.
TEST_F(S3Hostile, AWeakETagIsNoCondition) {
  serve([&](const ScriptedRequest& request) {
    if (is_listing(request)) return page(contents({{"k", "3", "W/\"weak\""}}));
    if (request.method == "HEAD") return ScriptedAnswer{200, "ETag: W/\"weak\"\r\n", "old"};
    if (!request.header("if-match").empty())
      return ScriptedAnswer{412, "", "<Error><Code>PreconditionFailed</Code></Error>"};
    return ScriptedAnswer{200, "ETag: W/\"weaker\"\r\n", ""};
  });
  list(*destination_);
  WriteOptions options;
  options.condition.kind = Condition::Kind::unchanged;
  options.condition.etag = "weak";
  EXPECT_EQ(put("k", "new", options).etag, "weaker");
  options.condition.etag = "another";
  const auto error = error_of([&] { put("k", "new", options); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::conflict);
}

// A store that takes "a//b" for "a/b" is found out without a write to any object that somebody may have there.
TEST_F(S3Hostile, WhichKeysAreKeptIsFoundOutBesideThem) {
  std::mutex mutex;
  std::set<std::string> held = {"a/b"};
  std::vector<std::string> touched;
  const auto tidy = [](std::string key) {
    for (const char* part : {"//", "/./"}) {
      for (size_t at = key.find(part); at != std::string::npos; at = key.find(part))
        key.replace(at, std::strlen(part), "/");
    }
    for (size_t at = key.find("/../"); at != std::string::npos; at = key.find("/../")) {
      const size_t begin = at == 0 ? 0 : key.rfind('/', at - 1) + 1;
      key.erase(begin, at + 4 - begin);
    }
    return key;
  };
  serve([&](const ScriptedRequest& request) {
    const std::lock_guard lock(mutex);
    if (is_listing(request)) {
      std::vector<Entry> entries;
      const size_t at = request.target.find("prefix=");
      const std::string prefix =
          at == std::string::npos
              ? ""
              : *internal::percent_decode(request.target.substr(at + 7, request.target.find('&', at) - at - 7));
      for (const std::string& key : held) {
        if (key.starts_with(prefix)) entries.push_back({key});
      }
      return page(contents(entries));
    }
    const std::string key = tidy(key_of(request));
    if (request.method == "PUT" || request.method == "DELETE") touched.push_back(key);
    if (request.method == "PUT" && !request.header("if-none-match").empty() && held.contains(key)) {
      return ScriptedAnswer{412, "", "<Error><Code>PreconditionFailed</Code></Error>"};
    }
    if (request.method == "HEAD" && !held.contains(key)) return ScriptedAnswer{404, "", ""};
    if (request.method == "PUT") held.insert(key);
    if (request.method == "DELETE") held.erase(key);
    return ScriptedAnswer{request.method == "DELETE" ? 204 : 200, "ETag: \"e\"\r\n", ""};
  });
  for (const Key key : {"a//b", "a/./b", "x/../a/b", "../a/b"}) {
    const auto error = error_of([&] { put(key, "x"); });
    ASSERT_TRUE(error) << key;
    EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
    EXPECT_NE(error->message().find(key), std::string::npos) << error->message();
  }
  const std::lock_guard lock(mutex);
  EXPECT_FALSE(touched.empty());
  for (const std::string& key : touched) EXPECT_NE(key, "a/b") << "an object of this name may be written just now";
  EXPECT_EQ(held, std::set<std::string>{"a/b"}) << "and nothing is left behind";
}

// Tags of the first objects, which are read before it is known whether the store counts them.
TEST_F(S3Hostile, TagsAreNotLostWhileTheStoreIsFoundOut) {
  for (const int failures : {0, 2}) {
    std::atomic<int> asked{0};
    serve([&](const ScriptedRequest& request) {
      if (is_listing(request)) return page("");
      if (request.target.find("?tagging") == std::string::npos) return ScriptedAnswer{200, "ETag: \"e\"\r\n", "x"};
      if (++asked <= failures) return ScriptedAnswer{503, "", "<Error><Code>SlowDown</Code></Error>"};
      return ScriptedAnswer{200, "", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"};
    });
    Item listed;
    listed.id.key = "k";
    listed.stamp.size = 1;
    listed.stamp.etag = "e";
    std::atomic<int> without{0};
    std::atomic<int> failed{0};
    std::vector<std::thread> readers;
    for (int n = 0; n < 8; ++n) {
      readers.emplace_back([&] {
        std::byte out{};
        try {
          if (source_->read(listed, 0, {&out, 1}, context_).attributes.tags.empty()) ++without;
        } catch (const Error& error) {
          EXPECT_TRUE(error.retryable()) << error.what();
          ++failed;
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(without, 0) << "copied without its tags";
    EXPECT_EQ(failed, failures);
  }
}

// The right to list parts is one of its own: without it, a connection that broke stays what it was, an abort is one,
// and an upload that cannot be looked into is begun again.
TEST_F(S3Hostile, PartsAreWrittenWithoutTheRightToListThem) {
  change("to", [](auto& settings) { settings.denied = {"ListParts"}; });
  auto upload = destination_->begin_parts("k", PartPlan{10, 5, ""}, {}, context_);
  // Twice, because the client itself asks again where a connection that it has kept breaks.
  server_.add_rule({.op = "UploadPart",
                    .times = 2,
                    .action = testing::fault::Action::reset,
                    .place = testing::fault::Place::answer});
  const std::string text = "hello";
  const auto error = error_of([&] { upload->write(1, 0, Body(internal::as_bytes(text), {}), context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::network) << error->message();
  EXPECT_TRUE(error->retryable());
  upload->write(1, 0, Body(internal::as_bytes(text), {}), context_);
  const auto resumed = error_of([&] { destination_->begin_parts("k", PartPlan{10, 5, upload->id()}, {}, context_); });
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->error_class(), ErrorClass::missing) << resumed->message();
  EXPECT_EQ(server_.open_uploads("to").size(), 0U);
  upload = destination_->begin_parts("k", PartPlan{10, 5, ""}, {}, context_);
  EXPECT_FALSE(error_of([&] { upload->abort(context_); }));
  EXPECT_EQ(server_.open_uploads("to").size(), 0U);
}

// U1: of a request that may have begun two uploads the twin is aborted, and not what somebody had open at that key.
TEST_F(S3Hostile, AnUploadThatWasThereBeforeIsNoTwin) {
  open("", "&anonymous=true");
  testing::fault::ServerSettings settings = server_.server_settings();
  settings.clock_offset_s = -3600;
  server_.set_server(settings);
  const std::string theirs = destination_->begin_parts("k", PartPlan{10, 5, ""}, {}, context_)->id();
  settings.clock_offset_s = 0;
  server_.set_server(settings);
  // On a connection that was in use before, so that the client sends it again by itself.
  server_.add_rule({.op = "CreateMultipartUpload",
                    .times = 1,
                    .action = testing::fault::Action::reset,
                    .place = testing::fault::Place::answer});
  const std::string ours = destination_->begin_parts("k", PartPlan{10, 5, ""}, {}, context_)->id();
  EXPECT_EQ(requests("CreateMultipartUpload"), 3U);
  std::set<std::string> open;
  for (const auto& [id, key] : server_.open_uploads("to")) open.insert(id);
  EXPECT_EQ(open, (std::set<std::string>{ours, theirs}));
}

}  // namespace
}  // namespace waybill::s3
