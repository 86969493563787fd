// SPDX-License-Identifier: Apache-2.0
//
// HttpClient against a raw socket server: what it sends, what it makes of answers, and how it ends.
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

#include "net/raw_server.hpp"
#include "net/retry_after.hpp"

namespace waybill::internal {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(HttpClient, ReturnsStatusHeadersAndText) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag:  \"abc\" \r\nX-Empty:\r\n\r\nhello");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  const HttpResponse response = client.perform(get(server.url("/x?y=1")), context);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.text, "hello");
  EXPECT_EQ(response.body_bytes, 5u);
  EXPECT_EQ(response.content_length, 5u);
  EXPECT_TRUE(response.length_verified);
  EXPECT_EQ(response.header("etag"), "\"abc\"");
  EXPECT_TRUE(response.has_header("x-empty"));
  EXPECT_EQ(response.header("x-empty"), "");
  EXPECT_FALSE(response.has_header("x-missing"));
  EXPECT_TRUE(recorder.last().starts_with("GET /x?y=1 HTTP/1.1\r\n")) << recorder.last();
  EXPECT_NE(recorder.last().find("User-Agent: waybill/"), std::string::npos);
  EXPECT_EQ(recorder.last().find("Accept-Encoding"), std::string::npos);
  EXPECT_EQ(context.requests(), 1);
}

TEST(HttpClient, SendsPathsExactlyAsGiven) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  for (const std::string path : {"/b/a/../../etc/x", "/b//k//", "/b/./x", "/b/%2e%2e/x", "/b/a+b%20c", "/b/.."}) {
    client.perform(get(server.url(path)), context);
    EXPECT_TRUE(recorder.last().starts_with("GET " + path + " HTTP/1.1\r\n")) << recorder.last();
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, FillsTheCallersMemory) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  std::vector<std::byte> memory(5);
  HttpRequest request = get(server.url());
  request.out = memory;
  const HttpResponse response = client.perform(request, context);
  EXPECT_EQ(response.body_bytes, 5u);
  EXPECT_TRUE(response.text.empty());
  EXPECT_FALSE(response.overflow);
  EXPECT_EQ(std::memcmp(memory.data(), "hello", 5), 0);
}

TEST(HttpClient, FlagsABodyLongerThanTheCallersMemory) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  std::vector<std::byte> memory(3);
  HttpRequest request = get(server.url());
  request.out = memory;
  const HttpResponse response = client.perform(request, context);
  EXPECT_TRUE(response.overflow);
  EXPECT_EQ(response.body_bytes, 3u);
  EXPECT_EQ(std::memcmp(memory.data(), "hel", 3), 0);
  EXPECT_EQ(response.content_length, 5u);
  // The client is as good as before.
  EXPECT_EQ(client.perform(get(server.url()), context).text, "hello");
}

TEST(HttpClient, CollectsErrorTextAlthoughMemoryWasGiven) {
  Recorder recorder("HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\n<Error>");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  std::vector<std::byte> memory(100, std::byte{1});
  HttpRequest request = get(server.url());
  request.out = memory;
  const HttpResponse response = client.perform(request, context);
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.text, "<Error>");
  EXPECT_EQ(memory[0], std::byte{1});
}

TEST(HttpClient, CutsErrorTextAndRefusesAnswersThatAreTooLong) {
  const std::string big(200'000, 'x');
  RawServer server([&](Peer& peer, int) {
    for (std::string request = peer.request(); !request.empty(); request = peer.request()) {
      const bool is_error = request.starts_with("GET /error");
      peer.send((is_error ? "HTTP/1.1 500 No\r\nContent-Length: 200000\r\n\r\n"
                          : "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n") +
                big);
    }
  });
  HttpClient client;
  TestContext context;
  const HttpResponse response = client.perform(get(server.url("/error")), context);
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.text.size(), 65'536u);
  HttpRequest request = get(server.url("/ok"));
  request.max_response_bytes = 100'000;
  const Error error = error_of([&] { client.perform(request, context); });
  EXPECT_EQ(error.error_class(), ErrorClass::server);
  EXPECT_FALSE(error.retryable());
  request.max_response_bytes = 200'000;
  EXPECT_EQ(client.perform(request, context).text, big);
}

TEST(HttpClient, ReusesItsConnection) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(client.perform(i % 2 == 0 ? get(server.url()) : put(server.url(), "data"), context).text, "ok");
  }
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(client.idle_connections(), 1u);
}

TEST(HttpClient, SendsBodiesAndForgetsThemAgain) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  HttpRequest request = put(server.url("/k"), "hello");
  request.headers = {{"x-amz-date", "today"}, {"x-empty", ""}};
  client.perform(request, context);
  EXPECT_TRUE(recorder.last().starts_with("PUT /k HTTP/1.1\r\n")) << recorder.last();
  EXPECT_TRUE(recorder.last().ends_with("\r\n\r\nhello")) << recorder.last();
  EXPECT_NE(recorder.last().find("\r\nx-amz-date: today\r\n"), std::string::npos);
  EXPECT_NE(recorder.last().find("\r\nx-empty:\r\n"), std::string::npos);
  EXPECT_NE(recorder.last().find("\r\nContent-Length: 5\r\n"), std::string::npos);
  EXPECT_EQ(recorder.last().find("Expect"), std::string::npos);
  EXPECT_EQ(recorder.last().find("Content-Type"), std::string::npos);

  client.perform(put(server.url("/empty"), ""), context);
  EXPECT_NE(recorder.last().find("\r\nContent-Length: 0\r\n"), std::string::npos) << recorder.last();

  HttpRequest bare = get(server.url("/d"));
  bare.method = "DELETE";
  client.perform(bare, context);
  EXPECT_TRUE(recorder.last().starts_with("DELETE /d HTTP/1.1\r\n")) << recorder.last();
  EXPECT_EQ(recorder.last().find("Content-Length"), std::string::npos) << recorder.last();
  EXPECT_EQ(recorder.last().find("x-amz-date"), std::string::npos) << recorder.last();

  bare.method = "POST";
  client.perform(bare, context);
  EXPECT_TRUE(recorder.last().starts_with("POST /d HTTP/1.1\r\n")) << recorder.last();
  EXPECT_NE(recorder.last().find("\r\nContent-Length: 0\r\n"), std::string::npos) << recorder.last();

  bare.method = "HEAD";
  client.perform(bare, context);
  EXPECT_TRUE(recorder.last().starts_with("HEAD /d HTTP/1.1\r\n")) << recorder.last();
  client.perform(get(server.url("/g")), context);
  EXPECT_TRUE(recorder.last().starts_with("GET /g HTTP/1.1\r\n")) << recorder.last();
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, HeadKnowsTheLengthOfWhatIsNotSent) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  HttpRequest request = get(server.url());
  request.method = "HEAD";
  const HttpResponse response = client.perform(request, context);
  EXPECT_EQ(response.content_length, 12345u);
  EXPECT_EQ(response.body_bytes, 0u);
  EXPECT_TRUE(response.length_verified);
}

TEST(HttpClient, SendsABigBodyAfter100Continue) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Final: yes\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  const std::string big(3 << 20, 'b');
  const HttpResponse response = client.perform(put(server.url(), big), context);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("x-final"), "yes");
  EXPECT_NE(recorder.last().find("Expect: 100-continue"), std::string::npos);
  EXPECT_TRUE(recorder.last().ends_with(big));
}

// H1: a server that does not know the question is waited for once.
TEST(HttpClient, H1DoesNotAskAServerAgainThatNeverSaysGoOn) {
  for (const bool is_windowed : {false, true}) {
    std::mutex mutex;
    std::vector<std::string> heads;
    RawServer server([&](Peer& peer, int) {
      for (;;) {
        const std::string request = peer.request(false);
        if (request.empty()) return;
        {
          const std::lock_guard lock(mutex);
          heads.push_back(request.substr(0, request.find("\r\n\r\n")));
        }
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      }
    });
    HttpClient client;
    TestContext context;
    const std::string big(3 << 20, 'b');
    const Body body(big.size(), [&](uint64_t offset, std::span<std::byte> out) {
      const size_t count = std::min<size_t>(out.size(), big.size() - offset);
      std::memcpy(out.data(), big.data() + offset, count);
      return count;
    });
    HttpRequest request = put(server.url(), big);
    if (is_windowed) request.body = &body;
    for (int n = 0; n < 3; ++n) EXPECT_EQ(client.perform(request, context).status, 200);
    const std::lock_guard lock(mutex);
    ASSERT_EQ(heads.size(), 3u);
    EXPECT_NE(heads[0].find("Expect: 100-continue"), std::string::npos);
    EXPECT_EQ(heads[1].find("Expect"), std::string::npos) << heads[1];
    EXPECT_EQ(heads[2].find("Expect"), std::string::npos) << heads[2];
  }
}

// H1: one that says it goes on being asked.
TEST(HttpClient, H1AsksAServerThatSaysGoOn) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  const std::string big(3 << 20, 'b');
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(client.perform(put(server.url(), big), context).status, 200);
    EXPECT_NE(recorder.last().find("Expect: 100-continue"), std::string::npos) << n;
  }
}

TEST(HttpClient, PullsAWindowedBodyInOrder) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  std::string big(300'000, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>('a' + i / 1000 % 26);
  uint64_t expected = 0;
  const Body body(big.size(), [&](uint64_t offset, std::span<std::byte> out) {
    EXPECT_EQ(offset, expected);
    const size_t count = std::min(out.size(), big.size() - offset);
    std::memcpy(out.data(), big.data() + offset, count);
    expected = offset + count;
    return count;
  });
  HttpRequest request;
  request.method = "PUT";
  request.url = server.url();
  request.body = &body;
  EXPECT_EQ(client.perform(request, context).status, 200);
  EXPECT_TRUE(recorder.last().ends_with("\r\n\r\n" + big));
}

TEST(HttpClient, PassesOnWhatABodysReaderThrows) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  const Body body(100'000, [](uint64_t offset, std::span<std::byte> out) -> size_t {
    if (offset > 0) throw Error(ErrorCode::aborted, ErrorClass::source_changed, "the source changed");
    return std::min<size_t>(out.size(), 1000);
  });
  HttpRequest request;
  request.method = "PUT";
  request.url = server.url();
  request.body = &body;
  EXPECT_EQ(error_of([&] { client.perform(request, context); }).error_class(), ErrorClass::source_changed);
  const Body short_body(100'000, [](uint64_t, std::span<std::byte>) -> size_t { return 0; });
  request.body = &short_body;
  EXPECT_EQ(error_of([&] { client.perform(request, context); }).code(), ErrorCode::data_loss);
  EXPECT_EQ(client.perform(put(server.url(), "fine"), context).status, 200);
}

TEST(HttpClient, ReportsATruncatedBody) {
  for (const bool is_chunked : {false, true}) {
    for (const bool is_reset : {false, true}) {
      RawServer server([&](Peer& peer, int) {
        peer.request();
        peer.send(is_chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly a part"
                             : "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
        std::this_thread::sleep_for(50ms);  // so that a reset does not overtake the bytes
        if (is_reset) peer.reset();
      });
      HttpClient client;
      TestContext context;
      std::vector<std::byte> memory(100);
      HttpRequest request = get(server.url("/k?X-Amz-Signature=secret"));
      request.out = memory;
      const Error error = error_of([&] { client.perform(request, context); });
      EXPECT_EQ(error.error_class(), ErrorClass::network) << error.what();
      EXPECT_TRUE(error.retryable());
      EXPECT_EQ(error.message().find("secret"), std::string::npos) << error.what();
      EXPECT_NE(error.message().find("GET " + server.url("/k")), std::string::npos) << error.what();
      EXPECT_EQ(context.requests(), 1);
    }
  }
}

TEST(HttpClient, SaysWhenNothingMarksTheEndOfABody) {
  RawServer server([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\n\r\nmaybe all");
  });
  HttpClient client;
  TestContext context;
  const HttpResponse response = client.perform(get(server.url()), context);
  EXPECT_EQ(response.text, "maybe all");
  EXPECT_FALSE(response.length_verified);
  EXPECT_FALSE(response.content_length.has_value());
}

TEST(HttpClient, HeadersThatEndWithTheConnectionAreNoAnswer) {
  for (const std::string head : {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETa",
                                 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n"}) {
    RawServer server([&](Peer& peer, int) {
      peer.request();
      peer.send(head);
    });
    HttpClient client;
    TestContext context;
    const Error error = error_of([&] { client.perform(get(server.url()), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << head << error.message();
    EXPECT_TRUE(error.retryable());
  }
  // Trailers come behind the body, and are no head.
  Recorder recorder("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-After: y\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  EXPECT_EQ(client.perform(get(server.url()), context).text, "abc");
}

TEST(HttpClient, KnowsThatChunksMarkTheEnd) {
  Recorder recorder("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  const HttpResponse response = client.perform(get(server.url()), context);
  EXPECT_EQ(response.text, "abcde");
  EXPECT_TRUE(response.length_verified);
}

TEST(HttpClient, DoesNotDecodeContent) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08X");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  EXPECT_EQ(client.perform(get(server.url()), context).text, "\x1f\x8b\x08X");
}

TEST(HttpClient, DoesNotFollowRedirects) {
  RawServer elsewhere([](Peer& peer, int) { peer.request(); });
  Recorder recorder("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + elsewhere.url("/stolen") +
                    "\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  HttpRequest request = get(server.url());
  request.headers = {{"X-Amz-Security-Token", "canary"}};
  const HttpResponse response = client.perform(request, context);
  EXPECT_EQ(response.status, 307);
  EXPECT_EQ(response.header("location"), elsewhere.url("/stolen"));
  EXPECT_EQ(elsewhere.connections(), 0);
}

TEST(HttpClient, ReplacesAConnectionThatDiedIdle) {
  for (const bool is_reset : {false, true}) {
    for (const bool is_windowed : {false, true}) {
      // The first connection takes a second request and dies without a byte of an answer.
      RawServer server([&](Peer& peer, int number) {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.request();
        if (number == 1) {
          if (is_reset) peer.reset();
          return;
        }
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      });
      HttpClient client;
      TestContext context;
      const Body body(4, [](uint64_t, std::span<std::byte> out) {
        std::memset(out.data(), 'x', out.size());
        return out.size();
      });
      HttpRequest request = put(server.url(), "data");
      if (is_windowed) request.body = &body;
      EXPECT_EQ(client.perform(request, context).text, "ok");
      EXPECT_EQ(client.perform(request, context).text, "ok");
      EXPECT_EQ(server.connections(), 2);
    }
  }
}

TEST(HttpClient, SendsOnceWhatIsToBeSentOnce) {
  for (const bool is_reset : {false, true}) {
    std::atomic<int> requests = 0;
    RawServer server([&](Peer& peer, int number) {
      if (peer.request().empty()) return;
      ++requests;
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      if (peer.request().empty()) return;
      ++requests;
      if (is_reset && number == 1) peer.reset();
    });
    HttpClient client;
    TestContext context;
    HttpRequest request = put(server.url(), "data");
    request.is_sent_once = true;
    EXPECT_EQ(client.perform(request, context).text, "ok");
    const Error error = error_of([&] { client.perform(request, context); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << error.message();
    EXPECT_TRUE(error.retryable());
    EXPECT_EQ(requests, 2);
    // The next call has a connection again.
    const HttpResponse next = client.perform(request, context);
    EXPECT_EQ(next.text, "ok");
    EXPECT_FALSE(next.maybe_resent);
  }
}

TEST(HttpClient, ReportsAFreshConnectionThatDies) {
  RawServer server([](Peer& peer, int) { peer.request(); });
  HttpClient client;
  TestContext context;
  const Error error = error_of([&] { client.perform(get(server.url()), context); });
  EXPECT_EQ(error.error_class(), ErrorClass::network);
  EXPECT_TRUE(error.retryable());
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, EndsAStalledCallWhenCancelled) {
  struct Case {
    const char* name;
    std::string answer;
    bool with_fd;
  };
  for (const Case& each :
       {Case{"before the status", "", true}, Case{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", true},
        Case{"without a descriptor", "", false}}) {
    RawServer server([&](Peer& peer, int) {
      peer.request();
      peer.send(each.answer);
      peer.stall();
    });
    HttpClient client;
    TestContext context(each.with_fd);
    Clock::time_point cancelled_at;
    std::thread canceller([&] {
      std::this_thread::sleep_for(150ms);
      cancelled_at = Clock::now();
      context.cancel();
    });
    const Error error = error_of([&] { client.perform(get(server.url()), context); });
    const auto returned_at = Clock::now();
    canceller.join();
    EXPECT_EQ(error.error_class(), ErrorClass::cancelled) << each.name;
    EXPECT_LT(returned_at - cancelled_at, 900ms) << each.name;
  }
}

TEST(HttpClient, EndsAStalledUploadWhenCancelled) {
  RawServer server([](Peer& peer, int) {
    std::this_thread::sleep_for(1s);  // reads nothing: the socket's buffers fill up
    peer.stall();
  });
  HttpClient client;
  TestContext context;
  std::thread canceller([&] {
    std::this_thread::sleep_for(500ms);
    context.cancel();
  });
  const std::string big(32 << 20, 'b');
  const auto start = Clock::now();
  EXPECT_EQ(error_of([&] { client.perform(put(server.url(), big), context); }).error_class(), ErrorClass::cancelled);
  EXPECT_LT(Clock::now() - start, 1400ms);
  canceller.join();
}

TEST(HttpClient, ObeysTheDeadline) {
  RawServer server([](Peer& peer, int) { peer.stall(); });
  HttpClient client;
  TestContext context;
  const auto start = Clock::now();
  context.set_deadline(start + 200ms);
  const Error error = error_of([&] { client.perform(get(server.url()), context); });
  EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(error.error_class(), ErrorClass::timeout);
  EXPECT_GE(Clock::now() - start, 200ms);
  EXPECT_LT(Clock::now() - start, 1200ms);
}

TEST(HttpClient, TimesOutWhereTooLittleMoves) {
  RawServer server([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 15; ++i) {  // ten bytes a second, never silent for long
      std::this_thread::sleep_for(100ms);
      peer.send("x");
    }
  });
  HttpOptions options;
  options.stall_timeout_ms = 400;
  HttpClient client(options);
  TestContext context;
  const auto start = Clock::now();
  const Error error = error_of([&] { client.perform(get(server.url()), context); });
  EXPECT_EQ(error.error_class(), ErrorClass::timeout) << error.what();
  EXPECT_TRUE(error.retryable());
  EXPECT_LT(Clock::now() - start, 1500ms);
}

TEST(HttpClient, WaitsForASlowAnswerWhereTheRequestAllowsIt) {
  RawServer server([](Peer& peer, int) {
    peer.request();
    std::this_thread::sleep_for(600ms);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
  });
  HttpOptions options;
  options.stall_timeout_ms = 200;
  HttpClient client(options);
  TestContext context;
  HttpRequest request = get(server.url());
  request.stall_timeout_ms = 5'000;
  EXPECT_EQ(client.perform(request, context).text, "done");
}

TEST(HttpClient, ReportsRefusedConnectionsAndUnknownHosts) {
  std::string closed_url;
  {
    RawServer server([](Peer&, int) {});
    closed_url = server.url("/k?token=secret");
  }
  HttpClient client;
  TestContext context;
  Error error = error_of([&] { client.perform(get(closed_url), context); });
  EXPECT_EQ(error.error_class(), ErrorClass::network);
  EXPECT_TRUE(error.retryable());
  EXPECT_EQ(error.message().find("secret"), std::string::npos) << error.what();
  error = error_of([&] { client.perform(get("http://no-such-host.invalid/"), context); });
  EXPECT_EQ(error.error_class(), ErrorClass::network);
  EXPECT_NE(error.message().find("no-such-host.invalid"), std::string::npos) << error.what();
}

TEST(HttpClient, RefusesOtherSchemesUserinfoAndHeaderInjection) {
  HttpClient client;
  TestContext context;
  for (const char* url :
       {"file:///etc/passwd", "gopher://x/", "ftp://x/", "no url", "http://", "http://user:pass@h/",
        "http://h/a b", "http://h/a\r\nX-Injected: 1", "http://h/a#b"}) {
    const Error error = error_of([&] { client.perform(get(url), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::configuration) << url;
    EXPECT_FALSE(error.retryable());
    EXPECT_EQ(error.message().find("pass@"), std::string::npos);
  }
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  RawServer server(std::ref(recorder));
  HttpRequest request = get(server.url());
  request.headers = {{"x-meta", "a\r\nX-Injected: 1"}};
  EXPECT_EQ(error_of([&] { client.perform(request, context); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(recorder.last(), "");
}

TEST(HttpClient, RefusesACancelledContextAndAMissingCaFile) {
  HttpClient client;
  TestContext context;
  context.cancel();
  EXPECT_EQ(error_of([&] { client.perform(get("http://127.0.0.1:1/"), context); }).code(), ErrorCode::cancelled);
  HttpOptions options;
  options.ca_file = "/nonexistent/ca.pem";
  EXPECT_EQ(error_of([&] { HttpClient other(options); }).error_class(), ErrorClass::configuration);
}

TEST(HttpClient, LoopbackIsNeverReachedThroughAProxy) {
  std::atomic<int> proxied{0};
  std::string asked;
  RawServer proxy([&](Peer& peer, int) {
    asked = peer.request();
    if (!asked.empty()) ++proxied;
    peer.send("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
  });
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  RawServer server(std::ref(recorder));
  setenv("http_proxy", proxy.url("").c_str(), 1);
  HttpClient client;
  unsetenv("http_proxy");
  TestContext context;
  EXPECT_EQ(client.perform(get(server.url()), context).text, "ok");
  EXPECT_EQ(proxied, 0);
  const std::string elsewhere = "http://waybill-test.invalid/a//b/../c?x=1";
  EXPECT_EQ(client.perform(get(elsewhere), context).status, 502);
  EXPECT_EQ(proxied, 1);
  // The proxy is told the whole URL, the server the path alone; the handle is the same one.
  EXPECT_NE(asked.find("GET " + elsewhere + " HTTP/1.1"), std::string::npos) << asked;
  EXPECT_EQ(client.perform(get(server.url("/a//b/../c?x=1")), context).text, "ok");
  EXPECT_NE(recorder.last().find("GET /a//b/../c?x=1 HTTP/1.1"), std::string::npos) << recorder.last();
}

TEST(HttpClient, ServesManyThreads) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  RawServer server(std::ref(recorder));
  HttpClient client;
  TestContext context;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) good += client.perform(put(server.url(), "data"), context).text == "ok" ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 400);
  EXPECT_LE(server.connections(), 8);
  EXPECT_LE(client.idle_connections(), 8u);
}

TEST(HttpClient, EndsHeadersThatNeverEnd) {
  RawServer server([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000; ++i) peer.send("X-Filler: " + std::string(500, 'x') + "\r\n");
  });
  HttpClient client;
  TestContext context;
  const Error error = error_of([&] { client.perform(get(server.url()), context); });
  EXPECT_TRUE(error.error_class() == ErrorClass::server || error.error_class() == ErrorClass::network) << error.what();
}

TEST(RetryAfter, ReadsSecondsAndDates) {
  constexpr int64_t now = 1'445'412'480;  // Wed, 21 Oct 2015 07:28:00 GMT
  EXPECT_EQ(parse_retry_after("120", now), 120s);
  EXPECT_EQ(parse_retry_after(" 0 ", now), 0s);
  EXPECT_EQ(parse_retry_after("Wed, 21 Oct 2015 07:29:30 GMT", now), 90s);
  EXPECT_EQ(parse_retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now), 0s);
  EXPECT_EQ(parse_retry_after("999999", now), 24h);
  EXPECT_EQ(parse_retry_after("99999999999999999999999", now), 24h);
  for (const char* wrong : {"", "soon", "-1", "1.5", "Wed, 21 Foo 2015 07:29:30 GMT"}) {
    EXPECT_FALSE(parse_retry_after(wrong, now).has_value()) << wrong;
  }
}

}  // namespace
}  // namespace waybill::internal
