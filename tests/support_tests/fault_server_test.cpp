// SPDX-License-Identifier: Apache-2.0
//
// The fault server in-process: what cases in C++ use of it, while a client is busy on other threads. What it says over
// the wire is proven in fault_server_test.py.
#include "support/fault_server/fault_server.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

namespace waybill::testing {
namespace {

// Sends a request over a connection of its own and gives what comes until the server closes.
std::string ask(uint16_t port, const std::string& request) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[65536];
  for (ssize_t got = 0; (got = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  ::close(fd);
  return answer;
}

std::string request(const std::string& method, const std::string& target, const std::string& body = "") {
  return method + " " + target +
         " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string get_body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

TEST(FaultServer, HoldsWhatIsPutFromEitherSide) {
  FaultServer server;
  server.make_bucket("bucket");
  server.put("bucket", "a//b", "content");
  EXPECT_EQ(get_body(ask(server.port(), request("GET", "/bucket/a//b"))), "content");
  EXPECT_NE(ask(server.port(), request("PUT", "/bucket/x", "more")).find("200 OK"), std::string::npos);
  EXPECT_EQ(fault::read_all(*server.get("bucket", "x")->content), "more");
  EXPECT_EQ(server.keys("bucket"), (std::vector<std::string>{"a//b", "x"}));
  const auto log = server.requests();
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[1].op, "PutObject");
  EXPECT_EQ(log[1].key, "x");
  EXPECT_EQ(log[1].bytes_in, 4u);
  EXPECT_EQ(log[1].header("content-length"), "4");
}

TEST(FaultServer, RulesFireAsOftenAsTheySay) {
  FaultServer server;
  server.make_bucket("bucket");
  server.put("bucket", "key", "content");
  const uint64_t rule = server.add_rule({.op = "GetObject", .key = "k*", .nth = 2, .action = fault::Action::status});
  EXPECT_EQ(get_body(ask(server.port(), request("GET", "/bucket/key"))), "content");
  EXPECT_NE(ask(server.port(), request("GET", "/bucket/key")).find("503"), std::string::npos);
  EXPECT_EQ(get_body(ask(server.port(), request("GET", "/bucket/key"))), "content");
  EXPECT_EQ(server.fired(rule), 1u);
  server.clear_rules();
  server.add_rule({.action = fault::Action::cut, .after = 3});
  EXPECT_EQ(get_body(ask(server.port(), request("GET", "/bucket/key"))), "con");
  EXPECT_EQ(server.counts()["GetObject"].statuses[503], 1u);
}

TEST(FaultServer, CanBeLookedAtWhileItIsBusy) {
  FaultServer server;
  server.make_bucket("bucket");
  server.generate("bucket", {.shape = fault::KeyShape::hex, .prefix = "made/", .count = 1000, .size = 100});
  server.set_latency(std::chrono::milliseconds(1));
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&server, client] {
      for (int n = 0; n < 25; ++n) {
        const std::string key = "/bucket/" + std::to_string(client) + "-" + std::to_string(n);
        EXPECT_NE(ask(server.port(), request("PUT", key, "x")).find("200 OK"), std::string::npos);
      }
    });
  }
  while (server.counts()["PutObject"].requests < 100) {
    EXPECT_GE(server.keys("bucket").size(), 1000u);
    const uint64_t rule = server.add_rule({.op = "GetObject", .action = fault::Action::reset});
    server.remove_rule(rule);
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(server.keys("bucket").size(), 1100u);
  EXPECT_EQ(server.accepted_connections(), 100u);
}

TEST(FaultServer, EndsWithConnectionsThatStall) {
  FaultServer server;
  server.make_bucket("bucket");
  server.put("bucket", "key", "content");
  server.add_rule({.action = fault::Action::stall, .after = 3});
  std::string got;
  std::thread client([&] { got = ask(server.port(), request("GET", "/bucket/key")); });
  while (server.requests().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  server.go_down(std::chrono::milliseconds(1));
  client.join();
  EXPECT_EQ(get_body(got), "con");
}

}  // namespace
}  // namespace waybill::testing
