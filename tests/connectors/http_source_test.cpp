// SPDX-License-Identifier: Apache-2.0
//
// The http connector: against nginx what a sound server does, against scripted and raw ones what the others do.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>

#include "base/text.hpp"
#include "connectors/http/http_url.hpp"
#include "connectors/s3_scripted_server.hpp"
#include "net/raw_server.hpp"
#include "support/name_service.hpp"
#include "support/nginx.hpp"
#include "support/test_context.hpp"
#include "waybill/connectors.hpp"

namespace waybill {
namespace {

using internal::Peer;
using internal::RawServer;
using testing::Nginx;
using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;
using testing::TestContext;

std::string content_of(size_t size) {
  std::string content(size, '\0');
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>('a' + (i * 31 + i / 97) % 26);
  return content;
}

Item item_at(const Key& key, SourceStamp stamp = {}) {
  Item item;
  item.id.key = key;
  item.stamp = std::move(stamp);
  return item;
}

std::string pull(Stream& stream, Context& context, size_t step = 50'000) {
  std::string content;
  std::vector<std::byte> buffer(step);
  while (const size_t count = stream.read(buffer, context))
    content.append(reinterpret_cast<const char*>(buffer.data()), count);
  return content;
}

std::string read_at(Source& source, const Item& item, uint64_t offset, size_t length, Context& context) {
  std::string out(length, '\0');
  const ReadResult result = source.read(item, offset, std::as_writable_bytes(std::span<char>(out)), context);
  out.resize(result.count);
  return out;
}

template <typename Call>
Error error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::internal, ErrorClass::none, "");
}

std::string base_of(const ScriptedServer& server) { return "http://127.0.0.1:" + std::to_string(server.port()); }

class HttpSource : public ::testing::Test {
 protected:
  TestContext context;
};

TEST_F(HttpSource, AServerWithRangesIsReadAtAnyPosition) {
  Nginx server;
  const std::string content = content_of(300'001);
  server.put("folder/a b.txt", content);
  const auto source = open_source(server.url());
  const std::optional<Item> item = source->stat({"", "folder/a b.txt", ""}, context);
  ASSERT_TRUE(item);
  EXPECT_EQ(item->stamp.size, content.size());
  EXPECT_FALSE(item->stamp.etag.empty());
  EXPECT_EQ(read_at(*source, *item, 1'000, 65'536, context), content.substr(1'000, 65'536));
  EXPECT_EQ(read_at(*source, *item, 300'000, 10, context), content.substr(300'000));
  EXPECT_EQ(read_at(*source, *item, 300'001, 10, context), "");
  EXPECT_EQ(read_at(*source, *item, 0, 400'000, context), content);
  EXPECT_EQ(read_at(*source, item_at("folder/a b.txt"), 300'001, 10, context), "") << "its size is not known";
  const ReadResult head = source->read(*item, 0, {}, context);
  EXPECT_EQ(head.attributes.content_type, "text/plain");
  EXPECT_EQ(head.attributes.cache_control, "max-age=60");
  EXPECT_TRUE(head.attributes.mtime_ns);
  EXPECT_EQ(head.stamp, item->stamp);
}

TEST_F(HttpSource, AnItemOfUnknownSizeCostsOneRequest) {
  Nginx server;
  const std::string content = content_of(3'000'003);
  server.put("big", content);
  const auto source = open_source(server.url());
  const std::unique_ptr<Stream> stream = source->stream(item_at("big"), context);
  EXPECT_EQ(stream->size(), content.size());
  EXPECT_TRUE(pull(*stream, context) == content);
  EXPECT_EQ(context.counter("http_requests"), 1U);
  EXPECT_EQ(stream->stamp(), source->stat({"", "big", ""}, context)->stamp) << "a later look can compare";
  server.put("empty", "");
  EXPECT_EQ(pull(*source->stream(item_at("empty"), context), context), "");
  EXPECT_EQ(source->stat({"", "empty", ""}, context)->stamp.size, 0U);
}

TEST_F(HttpSource, WhatChangedIsNotReadAsWhatWasListed) {
  Nginx server;
  server.put("data", std::string(1'000, 'a'), 100);
  const auto source = open_source(server.url());
  const Item listed = *source->stat({"", "data", ""}, context);
  server.put("data", std::string(1'000, 'b'), 50);
  EXPECT_NE(source->stat({"", "data", ""}, context)->stamp, listed.stamp);
  for (const auto& [offset, length] : std::map<uint64_t, size_t>{{0, 1'000}, {10, 10}}) {
    const Error error = error_of([&] { read_at(*source, listed, offset, length, context); });
    EXPECT_EQ(error.error_class(), ErrorClass::source_changed) << error.message();
    EXPECT_TRUE(error.retryable());
  }
  EXPECT_EQ(error_of([&] { source->stream(listed, context); }).error_class(), ErrorClass::source_changed);
}

TEST_F(HttpSource, ASignedLinkGoesOutByteForByteAndIsNeverShown) {
  const std::string signature = "%2Bsecret%2f+a==";
  ScriptedServer server([](const ScriptedRequest& request) {
    return request.target.starts_with("/gone")
               ? ScriptedAnswer{403, "", "<Error><Code>AccessDenied</Code></Error>", true}
               : ScriptedAnswer{200, "", "x", true};
  });
  const auto source = open_source(base_of(server) + "/files/");
  const std::string link = base_of(server) + "/a%20b/./%E4/c?X-Amz-Signature=" + signature + "&x=%zz";
  EXPECT_EQ(pull(*source->stream(item_at(link), context), context), "x");
  EXPECT_EQ(server.requests().back().target, "/a%20b/./%E4/c?X-Amz-Signature=" + signature + "&x=%zz");
  EXPECT_EQ(server.requests().back().header("accept-encoding"), "identity");
  pull(*source->stream(item_at("d e\xc3\xa4\x01.txt?v=1#page"), context), context);
  EXPECT_EQ(server.requests().back().target, "/files/d%20e%C3%A4%01.txt?v=1");
  const Error error = error_of([&] { source->stream(item_at(base_of(server) + "/gone?sig=" + signature), context); });
  EXPECT_EQ(error.error_class(), ErrorClass::permission);
  EXPECT_EQ(error.provider_code(), "AccessDenied");
  EXPECT_EQ(error.message().find("secret"), std::string::npos) << error.message();
  EXPECT_NE(error.message().find("/gone?sig=***"), std::string::npos) << error.message();
}

TEST_F(HttpSource, KeysOfOtherPlacesAreRefused) {
  ScriptedServer server([](const ScriptedRequest&) { return ScriptedAnswer{200, "", "x", true}; });
  const auto source = open_source(base_of(server) + "/base");
  for (const std::string key :
       {"http://127.0.0.1:1/x", "https://example.com/x", "//example.com/x", "file:///etc/passwd", "../x", "a/../../x",
        "%2e%2e/x", "a\\..\\..\\x", "http://user:pw@127.0.0.1/x"}) {
    const Error error = error_of([&] { source->stat({"", key, ""}, context); });
    EXPECT_EQ(error.error_class(), ErrorClass::unsupported) << key << ": " << error.message();
    EXPECT_EQ(error.message().find("pw@"), std::string::npos) << error.message();
  }
  EXPECT_TRUE(server.requests().empty());
  EXPECT_EQ(error_of([&] { source->list({}, context); }).code(), ErrorCode::unimplemented);
  EXPECT_NE(error_of([&] { source->list({}, context); }).message().find("manifest"), std::string::npos);
  EXPECT_EQ(error_of([&] { open_source("https://host/base?token=abc"); }).message().find("abc"), std::string::npos);
}

TEST_F(HttpSource, ItemsAreKnownByUrlsBeneathTheBaseAlone) {
  const auto source = open_source("https://Files.example.com:443/base/");
  const std::map<std::string, bool> table = {
      {"https://files.example.com/base/a%20b?x=1", true},
      {"HTTPS://FILES.EXAMPLE.COM/base/a", true},
      {"https://files.example.com/base", false},
      {"https://files.example.com/other/a", false},
      {"http://files.example.com/base/a", false},
      {"https://files.example.com:8443/base/a", false},
      {"https://files.example.com.evil.com/base/a", false},
      {"https://user@files.example.com/base/a", false},
      {"https://files.example.com/base/../secret", false},
      {"https://files.example.com/base/%2e%2E/secret", false},
      {"", false},
      {"base/a", false},
      {"https:/files.example.com/base/a", false},
      {"https://files.example.com\\@evil.com/base/a", false},
  };
  for (const auto& [url, is_known] : table) {
    const auto id = source->item_at(url);
    EXPECT_EQ(id.has_value(), is_known) << url;
    if (id) {
      EXPECT_EQ(id->key, url);
    }
  }
}

TEST_F(HttpSource, RefusalsHaveTheirClass) {
  struct Case {
    int status;
    ErrorClass error_class;
    bool retryable;
    std::string headers = {};
    std::string body = {};
  };
  for (const Case& each :
       std::vector<Case>{{404, ErrorClass::missing, false},
                         {410, ErrorClass::missing, false},
                         {401, ErrorClass::auth, false},
                         {403, ErrorClass::permission, false},
                         {451, ErrorClass::permission, false},
                         {400, ErrorClass::permission, false, "", "<Error><Code>ExpiredToken</Code></Error>"},
                         {400, ErrorClass::server, false},
                         {408, ErrorClass::timeout, true},
                         {500, ErrorClass::server, true},
                         {204, ErrorClass::server, false},
                         {429, ErrorClass::throttled, true, "Retry-After: 7\r\n"}}) {
    SCOPED_TRACE(each.status);
    ScriptedServer server([&](const ScriptedRequest&) {
      return ScriptedAnswer{each.status, each.headers, each.body, true};
    });
    const auto source = open_source(base_of(server));
    const Error error = error_of([&] { source->stream(item_at("x?sig=abc"), context); });
    EXPECT_EQ(error.error_class(), each.error_class) << error.message();
    EXPECT_EQ(error.retryable(), each.retryable);
    EXPECT_EQ(error.http_status(), each.status);
    if (each.status == 429) {
      EXPECT_EQ(error.retry_after(), std::chrono::seconds(7));
    }
    if (each.error_class == ErrorClass::missing) {
      EXPECT_FALSE(source->stat({"", "x", ""}, context));
    }
  }
}

TEST_F(HttpSource, RetryAfterMayBeADate) {
  ScriptedServer server([](const ScriptedRequest&) {
    return ScriptedAnswer{503, "Retry-After: " + internal::format_http_date(internal::now_ms() / 1000 + 600) + "\r\n",
                          "", true};
  });
  const auto source = open_source(base_of(server));
  const Error error = error_of([&] { source->stream(item_at("x"), context); });
  EXPECT_EQ(error.error_class(), ErrorClass::throttled);
  ASSERT_TRUE(error.retry_after());
  EXPECT_GT(*error.retry_after(), std::chrono::seconds(60));
  EXPECT_EQ(error_of([&] { source->check(context); }).error_class(), ErrorClass::throttled);
}

TEST_F(HttpSource, RedirectsAreFollowedToTheEndAndNoFurther) {
  ScriptedServer other([](const ScriptedRequest& request) {
    EXPECT_EQ(request.header("cookie"), "");
    return ScriptedAnswer{200, "ETag: \"e\"\r\n", "from " + request.target, true};
  });
  ScriptedServer server([&](const ScriptedRequest& request) {
    const auto to = [](const std::string& where) {
      return ScriptedAnswer{302, "Set-Cookie: a=b\r\nLocation: " + where + "\r\n", "moved", true};
    };
    if (request.target == "/a/start") return to("../b/./next?x=1");
    if (request.target == "/b/next?x=1") return to(base_of(other) + "/there");
    if (request.target == "/circle") return to("/circle2");
    if (request.target == "/circle2") return to("/circle");
    if (request.target.starts_with("/on")) return to(request.target + "n");
    if (request.target == "/file") return to("file:///etc/passwd");
    if (request.target == "/ftp") return to("ftp://127.0.0.1/x");
    if (request.target == "/nowhere") return ScriptedAnswer{302, "", "", true};
    return to("http://user:secret@127.0.0.1/x");
  });
  const auto source = open_source(base_of(server));
  EXPECT_EQ(pull(*source->stream(item_at("a/start"), context), context), "from /there");
  EXPECT_EQ(source->stat({"", "a/start", ""}, context)->stamp.etag, "e");
  for (const char* key : {"circle", "on", "file", "ftp", "nowhere", "credentials"}) {
    SCOPED_TRACE(key);
    const size_t before = server.requests().size();
    const Error error = error_of([&] { source->stream(item_at(key), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::unsupported) << error.message();
    EXPECT_FALSE(error.retryable());
    EXPECT_EQ(error.message().find("secret"), std::string::npos) << error.message();
    EXPECT_LE(server.requests().size() - before, 6U);
  }
}

TEST_F(HttpSource, NoLinkLeadsToAMetadataService) {
  const testing::NameService names([](const std::string& name) {
    return name.starts_with("v6") ? "fe80::1" : name.starts_with("aws6") ? "fd00:ec2::254" : "169.254.169.254";
  });
  ScriptedServer server([&](const ScriptedRequest& request) {
    const std::string where = request.target == "/number" ? "http://169.254.169.254/latest/" : "http://rebound.waybill.invalid/latest/";
    return ScriptedAnswer{302, "Location: " + where + "\r\n", "moved", true};
  });
  const auto expect_denied = [&](Source& source, const Key& key) {
    SCOPED_TRACE(key);
    const Error error = error_of([&] { source.stream(item_at(key), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::permission) << error.message();
    EXPECT_FALSE(error.retryable());
    EXPECT_NE(error.message().find("metadata"), std::string::npos) << error.message();
  };
  for (const char* base : {"http://169.254.169.254/", "http://[::ffff:169.254.169.254]/", "http://100.100.100.200/", "http://168.63.129.16/",
                           "http://named.waybill.invalid/", "http://v6.waybill.invalid/", "http://aws6.waybill.invalid/"}) {
    expect_denied(*open_source(base), "latest/meta-data/iam/security-credentials/");
  }
  const auto redirected = open_source(base_of(server));
  expect_denied(*redirected, "number");
  expect_denied(*redirected, "name");
}

TEST_F(HttpSource, AHeaderOfOnesOwnGoesToTheHostItIsForAlone) {
  ScriptedServer other([](const ScriptedRequest&) { return ScriptedAnswer{200, "ETag: \"e\"\r\n", "elsewhere", true}; });
  ScriptedServer server([&](const ScriptedRequest& request) {
    if (request.header("authorization") != "Bearer planted-secret") return ScriptedAnswer{401, "", "", true};
    if (request.target == "/moved") return ScriptedAnswer{302, "Location: " + base_of(other) + "/there\r\n", "", true};
    if (request.target == "/near") return ScriptedAnswer{302, "Location: /here\r\n", "", true};
    return ScriptedAnswer{200, "ETag: \"e\"\r\n", "here", true};
  });
  const auto anonymous = open_source(base_of(server) + "/");
  EXPECT_EQ(error_of([&] { anonymous->stream(item_at("a"), context); }).error_class(), ErrorClass::auth);
  ::setenv("WAYBILL_TEST_HEADER", "authorization:  Bearer planted-secret ", 1);
  const auto source = open_source(base_of(server) + "/?header=env:WAYBILL_TEST_HEADER");
  EXPECT_EQ(source->identity(), base_of(server) + "/");
  EXPECT_EQ(pull(*source->stream(item_at("a"), context), context), "here");
  EXPECT_EQ(pull(*source->stream(item_at("near"), context), context), "here") << "the same host";
  EXPECT_EQ(pull(*source->stream(item_at("moved"), context), context), "elsewhere");
  ASSERT_FALSE(other.requests().empty());
  for (const ScriptedRequest& request : other.requests()) EXPECT_EQ(request.header("authorization"), "") << "a redirect drops it";
  ::setenv("WAYBILL_TEST_HEADER", "Authorization: Bearer another-planted-secret", 1);
  const auto refused = open_source(base_of(server) + "/?header=env:WAYBILL_TEST_HEADER");
  const Error error = error_of([&] { refused->stream(item_at("a"), context); });
  EXPECT_NE(error.message().find("does not take the header"), std::string::npos) << error.message();
  EXPECT_EQ(error.message().find("planted-secret"), std::string::npos) << error.message();
  for (const char* wrong : {"", "planted-secret", "Bearer planted-secret", ": planted-secret", "A: planted\r\nB: secret", "A b: planted-secret", "A:"}) {
    ::setenv("WAYBILL_TEST_HEADER", wrong, 1);
    const Error bad = error_of([&] { open_source(base_of(server) + "/?header=env:WAYBILL_TEST_HEADER"); });
    EXPECT_EQ(bad.error_class(), ErrorClass::configuration) << wrong;
    EXPECT_EQ(bad.message().find("planted"), std::string::npos) << bad.message();
  }
  ::unsetenv("WAYBILL_TEST_HEADER");
  EXPECT_NE(error_of([&] { open_source(base_of(server) + "/?header=env:WAYBILL_TEST_HEADER"); }).message().find("no variable WAYBILL_TEST_HEADER"),
            std::string::npos);
  const Error inlined = error_of([&] { open_source(base_of(server) + "/?header=planted-secret"); });
  EXPECT_EQ(inlined.error_class(), ErrorClass::configuration);
  EXPECT_EQ(inlined.message().find("planted"), std::string::npos) << inlined.message();
  const Error plain = error_of([&] { open_source("http://files.example.com/?header=env:HOME"); });
  EXPECT_NE(plain.message().find("needs https"), std::string::npos) << plain.message();
}

TEST_F(HttpSource, FromHttpsNoRedirectToPlainHttpIsFollowed) {
  Nginx server;
  server.put("a.txt", "content");
  ::setenv("AWS_CA_BUNDLE", server.certificate().c_str(), 1);
  const auto secure = open_source(server.secure_url());
  const auto plain = open_source(server.url());
  ::unsetenv("AWS_CA_BUNDLE");
  EXPECT_EQ(pull(*secure->stream(item_at("a.txt"), context), context), "content");
  EXPECT_EQ(pull(*secure->stream(item_at("to-https/a.txt"), context), context), "content");
  EXPECT_EQ(pull(*plain->stream(item_at("to-https/a.txt"), context), context), "content");
  EXPECT_EQ(pull(*plain->stream(item_at("to-http/a.txt"), context), context), "content");
  const size_t before = server.requests();
  for (const auto& call : std::vector<std::function<void()>>{[&] { secure->stream(item_at("to-http/a.txt"), context); },
                                                            [&] { secure->stat({"", "to-http/a.txt", ""}, context); }}) {
    const Error error = error_of(call);
    EXPECT_EQ(error.error_class(), ErrorClass::unsupported) << error.message();
    EXPECT_FALSE(error.retryable());
    EXPECT_NE(error.message().find("from https to plain http"), std::string::npos) << error.message();
  }
  EXPECT_LE(server.requests() - before, 2U) << "the redirects alone: nothing went out over http";
}

TEST(HttpUrl, ResolvesAsBrowsersDo) {
  const auto base = http::HttpUrl::parse("https://Host:443/a/b/c?d");
  ASSERT_TRUE(base);
  const std::map<std::string, std::string> table = {
      {"x", "https://host/a/b/x"},      {"./x", "https://host/a/b/x"}, {"../x?y#z", "https://host/a/x?y"},
      {"../../../x", "https://host/x"}, {"/x", "https://host/x"},      {"//other:8443/x", "https://other:8443/x"},
      {"?y", "https://host/a/b/c?y"},   {"http://o", "http://o/"},     {"..", "https://host/a/"},
  };
  for (const auto& [location, wanted] : table) {
    const auto url = base->resolve(location);
    ASSERT_TRUE(url) << location;
    EXPECT_EQ(url->text(), wanted) << location;
  }
  for (const char* location : {"", "javascript:alert(1)", "file:///x", "http://", "http://a b/", "http://[::1/",
                               "http://h:99999/", "http://h:x/"}) {
    EXPECT_FALSE(base->resolve(location)) << location;
  }
}

TEST_F(HttpSource, AServerThatIgnoresRangesIsStreamed) {
  const std::string content = content_of(200'000);
  ScriptedServer server([&](const ScriptedRequest&) { return ScriptedAnswer{200, "ETag: \"e\"\r\n", content, true}; });
  const auto source = open_source(base_of(server));
  const Item item = *source->stat({"", "x", ""}, context);
  EXPECT_EQ(item.stamp.size, content.size());
  EXPECT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests().back().method, "GET") << "links that are signed for GET refuse HEAD";
  for (const uint64_t offset : {0, 100}) {
    EXPECT_EQ(error_of([&] { read_at(*source, item, offset, 10, context); }).code(), ErrorCode::unimplemented);
  }
  EXPECT_TRUE(read_at(*source, item, 0, content.size(), context) == content);
  EXPECT_TRUE(pull(*source->stream(item, context), context) == content);
}

TEST_F(HttpSource, RangesThatAreWrongAreNoContent) {
  std::string answer;
  std::string etag = "e";
  ScriptedServer server([&](const ScriptedRequest&) {
    return ScriptedAnswer{206, "Content-Range: " + answer + "\r\nETag: \"" + etag + "\"\r\n", "0123456789", true};
  });
  const auto source = open_source(base_of(server));
  SourceStamp stamp;
  stamp.size = 100;
  stamp.etag = "e";
  answer = "bytes 10-19/100";
  EXPECT_EQ(read_at(*source, item_at("x", stamp), 10, 10, context), "0123456789");
  EXPECT_EQ(server.requests().back().header("if-range"), "\"e\"");
  for (const char* wrong :
       {"bytes 0-9/100", "bytes 10-18/100", "bytes 10-19", "", "bytes 10-19/15", "items 10-19/100"}) {
    answer = wrong;
    const Error error = error_of([&] { read_at(*source, item_at("x", stamp), 10, 10, context); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << wrong << ": " << error.message();
    EXPECT_TRUE(error.retryable());
  }
  answer = "bytes 10-19/101";
  EXPECT_EQ(error_of([&] { read_at(*source, item_at("x", stamp), 10, 10, context); }).error_class(),
            ErrorClass::source_changed);
  answer = "bytes 10-19/100";
  etag = "other";
  EXPECT_EQ(error_of([&] { read_at(*source, item_at("x", stamp), 10, 10, context); }).error_class(),
            ErrorClass::source_changed);
  etag = "e";
  EXPECT_EQ(error_of([&] { source->stream(item_at("x", stamp), context); }).error_class(), ErrorClass::server)
      << "a part was not asked for";
}

TEST_F(HttpSource, ABodyThatEndsEarlyIsNeverDone) {
  std::string answer;
  RawServer server([&](Peer& peer, int) {
    if (peer.request().empty()) return;
    peer.send(answer);
  });
  const auto source = open_source(server.url());
  for (const char* cut : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf", "HTTP/1.1 200 OK\r\n"}) {
    answer = cut;
    const Error error = error_of([&] { pull(*source->stream(item_at("x"), context), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << cut << ": " << error.message();
    EXPECT_TRUE(error.retryable());
  }
  answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall or half";
  const Error error = error_of([&] { pull(*source->stream(item_at("x"), context), context); });
  EXPECT_EQ(error.code(), ErrorCode::data_loss) << "nothing says where it ends";
  EXPECT_FALSE(error.retryable());
  SourceStamp stamp;
  stamp.size = 11;
  EXPECT_EQ(pull(*source->stream(item_at("x", stamp), context), context), "all or half")
      << "but the size that was listed";
}

TEST_F(HttpSource, ABrokenStreamGoesOnBehindItsLastByte) {
  const std::string content = content_of(3'000'000);
  std::string etag = "e";
  std::vector<std::string> ranges;
  RawServer server([&](Peer& peer, int number) {
    const std::string request = peer.request();
    if (request.empty()) return;
    if (number % 2 == 1) {
      peer.send("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nAccept-Ranges: bytes\r\nContent-Length: 3000000\r\n\r\n" +
                content.substr(0, 1'500'000));
      return;
    }
    const size_t at = request.find("Range: bytes=") + 13;
    const size_t from = std::stoul(request.substr(at));
    ranges.push_back(request.substr(at, request.find("\r\n", at) - at) +
                     (request.find("If-Range: \"e\"") != std::string::npos ? "" : " without If-Range"));
    peer.send("HTTP/1.1 206 Partial Content\r\nETag: \"" + etag + "\"\r\nContent-Range: bytes " + std::to_string(from) +
              "-2999999/3000000\r\nContent-Length: " + std::to_string(3'000'000 - from) + "\r\n\r\n" +
              content.substr(from));
  });
  const auto source = open_source(server.url());
  EXPECT_TRUE(pull(*source->stream(item_at("x"), context), context, 700'000) == content);
  EXPECT_EQ(ranges, std::vector<std::string>{"1400000-"}) << "what a broken read has brought is asked for again";
  etag = "other";
  EXPECT_EQ(error_of([&] { pull(*source->stream(item_at("x"), context), context); }).error_class(),
            ErrorClass::source_changed);
}

TEST_F(HttpSource, WhatAServerEncodesAllTheSameIsKeptAsItIs) {
  const std::string packed("\x1f\x8b\x08\x00 packed \xff", 14);
  ScriptedServer server([&](const ScriptedRequest&) {
    return ScriptedAnswer{200, "Content-Encoding: gzip\r\nContent-Language: de\r\nContent-Disposition: attachment\r\n",
                          packed, true};
  });
  const auto source = open_source(base_of(server));
  const std::unique_ptr<Stream> stream = source->stream(item_at("x"), context);
  EXPECT_EQ(pull(*stream, context), packed);
  EXPECT_EQ(stream->attributes().content_encoding, "gzip");
  EXPECT_EQ(stream->attributes().content_language, "de");
  EXPECT_EQ(stream->attributes().content_disposition, "attachment");
}

}  // namespace
}  // namespace waybill
