// SPDX-License-Identifier: Apache-2.0
//
// HttpClient on networks that are slow, silent, or between it and its server: time limits, names, proxies.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "net/raw_server.hpp"
#include "support/name_service.hpp"

namespace waybill::internal {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using testing::NameService;

// Short where a test waits for it to pass; long where something else has to come first. Between the two lies what a
// slow machine may take.
constexpr int short_ms = 300;
constexpr int long_ms = 120'000;
constexpr auto patience = 60s;

using Variable = std::pair<std::string, std::string>;

/// Sets variables of the environment, and those of proxies that are not named to nothing, until it ends.
class Environment {
 public:
  explicit Environment(const std::vector<Variable>& set = {}) {
    for (const char* name :
         {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"}) {
      unsetenv(name);
    }
    for (const auto& [name, value] : set) {
      setenv(name.c_str(), value.c_str(), 1);
      names_.push_back(name);
    }
  }
  ~Environment() {
    for (const std::string& name : names_) unsetenv(name.c_str());
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::vector<std::string> names_;
};

/// A port on loopback whose queue of new connections is full: who connects to it gets no answer.
class SilentPort {
 public:
  SilentPort() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_, reinterpret_cast<sockaddr*>(&address_), sizeof address_);
    listen(listener_, 0);
    socklen_t size = sizeof address_;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address_), &size);
    while (connects()) {
    }
  }
  ~SilentPort() {
    for (const int fd : open_) close(fd);
    close(listener_);
  }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(ntohs(address_.sin_port)) + "/"; }

 private:
  // Whether one more connection finds a place in the queue.
  bool connects() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    open_.push_back(fd);
    connect(fd, reinterpret_cast<sockaddr*>(&address_), sizeof address_);
    pollfd wait{fd, POLLOUT, 0};
    return poll(&wait, 1, 300) == 1;
  }

  int listener_;
  sockaddr_in address_{};
  std::vector<int> open_;
};

void expect_timeout(const char* what, const HttpRequest& request, int connect_ms, int stall_ms) {
  HttpOptions options;
  options.connect_timeout_ms = connect_ms;
  options.stall_timeout_ms = stall_ms;
  HttpClient client(options);
  TestContext context;
  const auto start = Clock::now();
  const Error error = error_of([&] { client.perform(request, context); });
  const auto taken = Clock::now() - start;
  EXPECT_EQ(error.error_class(), ErrorClass::timeout) << what << ": " << error.what();
  EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded) << what;
  EXPECT_TRUE(error.retryable()) << what;
  EXPECT_NE(error.message().find("127.0.0.1"), std::string::npos) << error.what();
  EXPECT_GE(taken, 300ms) << what;
  EXPECT_LT(taken, patience) << what;
}

// F40
TEST(HttpClientNetwork, ConnectionsThatAreNotMadeAreGivenUpInTheirTime) {
  const SilentPort silent;
  expect_timeout("connecting", get(silent.url()), short_ms, long_ms);
  RawServer mute([](Peer& peer, int) { peer.stall(); });
  expect_timeout("TLS", get("https" + mute.url().substr(4)), short_ms, long_ms);
}

// F40
TEST(HttpClientNetwork, CallsThatMoveNothingAreGivenUpInTheirTime) {
  RawServer mute([](Peer& peer, int) {
    peer.request();
    peer.stall();
  });
  expect_timeout("the first byte", get(mute.url()), long_ms, short_ms);
  RawServer half([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    peer.stall();
  });
  expect_timeout("the body", get(half.url()), long_ms, short_ms);
  std::promise<void> over;
  RawServer deaf([wait = over.get_future().share()](Peer&, int) { wait.wait(); });
  const std::string big(32 << 20, 'b');
  expect_timeout("the body that is sent", put(deaf.url(), big), long_ms, short_ms);
  over.set_value();
}

// F57
TEST(HttpClientNetwork, ANameThatIsNotFoundNowCanBeTriedAgain) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  RawServer server(std::ref(recorder));
  std::atomic<int> asked{0};
  const NameService names([&](const std::string&) { return ++asked <= 2 ? "" : "127.0.0.1"; });
  const std::string url = "http://flaps.waybill.invalid" + server.url().substr(server.url().rfind(':'));
  const Environment environment;
  HttpClient client;
  TestContext context;
  for (int n = 0; n < 2; ++n) {
    const Error error = error_of([&] { client.perform(get(url), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << error.what();
    EXPECT_TRUE(error.retryable());
    EXPECT_NE(error.message().find("flaps.waybill.invalid"), std::string::npos) << error.what();
  }
  EXPECT_EQ(client.perform(get(url), context).text, "ok");
  EXPECT_EQ(asked, 3) << "a failure is not kept";
  for (int n = 0; n < 3; ++n) EXPECT_EQ(client.perform(get(url), context).text, "ok");
  EXPECT_EQ(asked, 3) << "an address is";
}

// F57: a name server that says nothing costs every caller its own time limit, and not that of those before it.
TEST(HttpClientNetwork, ALookUpThatStallsHoldsNobodyForLong) {
  std::promise<void> over;
  const std::shared_future<void> wait = over.get_future().share();
  std::atomic<int> asked{0};
  const NameService names([&](const std::string&) {
    ++asked;
    wait.wait();
    return std::string();
  });
  const Environment environment;
  HttpOptions options;
  options.connect_timeout_ms = 1'000;
  options.stall_timeout_ms = long_ms;
  HttpClient client(options);
  constexpr int callers = 100;
  std::vector<std::future<ErrorClass>> calls;
  const auto start = Clock::now();
  for (int n = 0; n < callers; ++n) {
    calls.push_back(std::async(std::launch::async, [&] {
      TestContext context;
      const Error error = error_of([&] { client.perform(get("http://stalls.waybill.invalid/"), context); });
      EXPECT_TRUE(error.retryable());
      EXPECT_NE(error.message().find("stalls.waybill.invalid"), std::string::npos) << error.what();
      return error.error_class();
    }));
  }
  for (auto& call : calls) EXPECT_EQ(call.get(), ErrorClass::timeout);
  EXPECT_LT(Clock::now() - start, patience) << "one after the other they would take " << callers << " s";
  EXPECT_LT(asked, callers / 2) << "the resolver was asked by everybody at once";
  over.set_value();
}

// F57: cancelling does not wait for the name server either.
TEST(HttpClientNetwork, ALookUpThatStallsCanBeCancelled) {
  std::promise<void> over;
  std::promise<void> begun;
  const NameService names([&, wait = over.get_future().share()](const std::string&) {
    begun.set_value();
    wait.wait();
    return std::string();
  });
  const Environment environment;
  HttpOptions options;
  options.connect_timeout_ms = long_ms;
  HttpClient client(options);
  TestContext context;
  auto call = std::async(std::launch::async, [&] {
    return error_of([&] { client.perform(get("http://stalls.waybill.invalid/"), context); }).error_class();
  });
  begun.get_future().wait();
  context.cancel();
  ASSERT_EQ(call.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(call.get(), ErrorClass::cancelled);
  over.set_value();
}

/// Answers as a proxy that cannot reach anything, and keeps what it was asked.
struct Proxy {
  std::string url(const std::string& user = "") const {
    const std::string plain = server.url("");
    return user.empty() ? plain : "http://" + user + "@" + plain.substr(7);
  }
  Recorder recorder{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"};
  RawServer server{std::ref(recorder)};
};

// F59
TEST(HttpClientNetwork, ProxiesAreThoseOfTheEnvironment) {
  Proxy http;
  Proxy https;
  TestContext context;
  {
    const Environment environment(
        {{"http_proxy", http.url()}, {"HTTPS_PROXY", https.url()}, {"no_proxy", ".near.waybill.invalid"}});
    HttpClient client;
    HttpRequest request = get("http://far.waybill.invalid/k?q=1");
    request.headers = {{"Authorization", "canary"}};
    EXPECT_EQ(client.perform(request, context).status, 502);
    EXPECT_TRUE(http.recorder.last().starts_with("GET http://far.waybill.invalid/k?q=1 HTTP/1.1\r\n"))
        << http.recorder.last();
    EXPECT_EQ(https.recorder.last(), "");
    request.url = "https://far.waybill.invalid/k?q=1";
    EXPECT_EQ(error_of([&] { client.perform(request, context); }).error_class(), ErrorClass::network);
    // A tunnel is asked for, and nothing of the request is told to who makes it.
    EXPECT_TRUE(https.recorder.last().starts_with("CONNECT far.waybill.invalid:443 HTTP/1.1\r\n"))
        << https.recorder.last();
    EXPECT_EQ(https.recorder.last().find("canary"), std::string::npos) << https.recorder.last();
    EXPECT_EQ(https.recorder.last().find("q=1"), std::string::npos) << https.recorder.last();
    // What is near is asked without a proxy, and this machine does not know it.
    const NameService names([](const std::string&) { return ""; });
    const Error error = error_of([&] { client.perform(get("http://host.near.waybill.invalid/"), context); });
    EXPECT_NE(error.message().find("resolve host"), std::string::npos) << error.what();
    EXPECT_EQ(http.server.connections(), 1);
  }
  {
    const Environment environment({{"ALL_PROXY", http.url("user:p%40ss")}});
    HttpClient client;
    EXPECT_EQ(client.perform(get("http://far.waybill.invalid/"), context).status, 502);
    EXPECT_NE(http.recorder.last().find("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n"), std::string::npos)
        << http.recorder.last();
  }
  // In a CGI program HTTP_PROXY is the header "Proxy" of whoever asks.
  const int before = http.server.connections();
  const Environment environment({{"HTTP_PROXY", http.url()}});
  HttpClient client;
  const NameService names([](const std::string&) { return ""; });
  EXPECT_TRUE(error_of([&] { client.perform(get("http://far.waybill.invalid/"), context); }).retryable());
  EXPECT_EQ(http.server.connections(), before);
}

// F59
TEST(HttpClientNetwork, LoopbackUnderAnyNameNeedsNoProxy) {
  Recorder recorder("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  RawServer server(std::ref(recorder));
  Proxy proxy;
  const Environment environment({{"http_proxy", proxy.url()}, {"https_proxy", proxy.url()}});
  HttpClient client;
  TestContext context;
  const std::string port = server.url("").substr(server.url("").rfind(':'));
  for (const char* host : {"127.0.0.1", "localhost", "LOCALHOST", "bucket.localhost"}) {
    EXPECT_EQ(client.perform(get("http://" + std::string(host) + port + "/"), context).text, "ok") << host;
  }
  // Not every machine knows these, and nobody may listen there; what counts is who was not asked.
  for (const char* host : {"localhost.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "127.1.2.3"}) {
    try {
      client.perform(get("http://" + std::string(host) + port + "/"), context);
    } catch (const Error&) {
    }
  }
  EXPECT_EQ(proxy.server.connections(), 0);
  // "127.something" is a name like any other.
  EXPECT_EQ(client.perform(get("http://127.waybill.invalid/"), context).status, 502);
  EXPECT_EQ(client.perform(get("http://localhost.waybill.invalid/"), context).status, 502);
}

// F59: curl would repeat the whole of what it cannot use.
TEST(HttpClientNetwork, AProxyThatIsNoneIsNamedWithoutItsPassword) {
  TestContext context;
  for (const char* proxy : {"ftp://user:canary@proxy:1", "http://user:canary@proxy:123456",
                            "http://us er:canary@proxy:1", "http://user:can/canary@proxy:1", "canary://"}) {
    for (const char* variable : {"http_proxy", "ALL_PROXY"}) {
      const Environment environment({Variable(variable, proxy)});
      HttpClient client;
      const Error error = error_of([&] { client.perform(get("http://far.waybill.invalid/"), context); });
      EXPECT_EQ(error.error_class(), ErrorClass::configuration) << error.what();
      EXPECT_FALSE(error.retryable());
      EXPECT_EQ(error.message().find("canary"), std::string::npos) << error.what();
      EXPECT_NE(error.message().find(variable), std::string::npos) << error.what();
    }
  }
  // One that is not there is named by its host alone.
  const NameService names([](const std::string&) { return ""; });
  for (const char* proxy :
       {"http://user:canary@proxy.waybill.invalid:1", "user:canary@127.0.0.1:1", "socks5h://user:canary@127.0.0.1:1"}) {
    const Environment environment({Variable("http_proxy", proxy)});
    HttpClient client;
    const Error error = error_of([&] { client.perform(get("http://far.waybill.invalid/"), context); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << error.what();
    EXPECT_EQ(error.message().find("canary"), std::string::npos) << error.what();
  }
}

// F38: what comes behind the announced end is not the beginning of the next answer.
TEST(HttpClientNetwork, BytesBehindTheAnnouncedEndBelongToNoAnswer) {
  for (const bool is_late : {false, true}) {
    std::promise<void> sent;
    RawServer server([&](Peer& peer, int number) {
      peer.request();
      if (number > 1) return peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
      const std::string_view more = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + std::string(is_late ? "" : more));
      if (is_late) {
        std::this_thread::sleep_for(100ms);  // the first answer is over by then, or the case is that of the other one
        peer.send(more);
      }
      sent.set_value();
      peer.stall();
    });
    const Environment environment;
    HttpClient client;
    TestContext context;
    EXPECT_EQ(client.perform(get(server.url()), context).text, "hello");
    sent.get_future().wait();
    EXPECT_EQ(client.perform(get(server.url()), context).text, "good") << is_late;
    EXPECT_EQ(server.connections(), 2);
  }
}

// A request that went out once is not said to have gone out twice, or an upload of somebody else's is taken for a twin.
TEST(HttpClientNetwork, AConnectionThatIsNotKeptIsNotUsedAgain) {
  RawServer server([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  });
  const Environment environment;
  HttpClient client;
  TestContext context;
  for (int n = 1; n <= 3; ++n) {
    const HttpResponse response = client.perform(get(server.url()), context);
    EXPECT_EQ(response.text, "ok");
    EXPECT_FALSE(response.maybe_resent);
    EXPECT_EQ(server.connections(), n);
  }
  EXPECT_EQ(context.requests(), 3);
}

}  // namespace
}  // namespace waybill::internal
