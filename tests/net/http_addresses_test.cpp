// SPDX-License-Identifier: Apache-2.0
//
// Addresses behind a name, which a test changes under the client's hands.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "net/http_client.hpp"
#include "support/name_service.hpp"
#include "support/test_context.hpp"
#include "waybill/error.hpp"

namespace {

std::mutex names_mutex;
std::string addresses;  // with commas between; guarded by names_mutex
int lookups = 0;        // guarded by names_mutex

std::string find_addresses(const std::string&) {
  const std::lock_guard lock(names_mutex);
  ++lookups;
  return addresses;
}

}  // namespace

namespace waybill::internal {
namespace {

void set_addresses(const std::vector<std::string>& now) {
  const std::lock_guard lock(names_mutex);
  addresses.clear();
  for (const std::string& address : now) addresses += (addresses.empty() ? "" : ",") + address;
}

int lookups_so_far() {
  const std::lock_guard lock(names_mutex);
  return lookups;
}

/// Answers every request at one address with 200 and closes the connection.
class Listener {
 public:
  explicit Listener(uint32_t address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    socklen_t size = sizeof place;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &size);
    port_ = ntohs(place.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Listener() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }
  std::string url() const { return "http://store.waybill.invalid:" + std::to_string(port_) + "/"; }

 private:
  void serve() const {
    for (;;) {
      const int peer = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) return;
      std::string head;
      char buffer[4096];
      while (head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = recv(peer, buffer, sizeof buffer, 0);
        if (count <= 0) break;
        head.append(buffer, static_cast<size_t>(count));
      }
      constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      close(peer);
    }
  }

  int fd_;
  uint16_t port_ = 0;
  std::thread thread_;
};

constexpr uint32_t second_address = INADDR_LOOPBACK + 1;

// H9: of several addresses one that answers is found, without an error.
TEST(HttpAddresses, H9OneOfSeveralIsEnough) {
  const Listener listener(second_address);
  set_addresses({"127.0.0.1", "127.0.0.2"});
  const testing::NameService names(find_addresses);
  HttpClient client;
  testing::TestContext context;
  HttpRequest request;
  request.method = "GET";
  request.url = listener.url();
  EXPECT_EQ(client.perform(request, context).status, 200);
}

// H9: a name that has moved is looked up again as soon as nobody answers any more, and not before.
TEST(HttpAddresses, H9AreAskedForAgainWhenNobodyAnswers) {
  const Listener listener(second_address);
  set_addresses({"127.0.0.2"});
  const testing::NameService names(find_addresses);
  HttpClient client;
  testing::TestContext context;
  HttpRequest request;
  request.method = "GET";
  request.url = listener.url();
  const int before = lookups_so_far();
  for (int n = 0; n < 5; ++n) EXPECT_EQ(client.perform(request, context).status, 200);
  EXPECT_EQ(lookups_so_far(), before + 1) << "each connection is a new one, and none asks again";

  HttpClient moved;
  set_addresses({"127.0.0.1"});
  try {
    moved.perform(request, context);
    ADD_FAILURE() << "nobody is there";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::network) << error.message();
    EXPECT_TRUE(error.retryable());
  }
  set_addresses({"127.0.0.2"});
  const int moved_before = lookups_so_far();
  for (int n = 0; n < 5; ++n) EXPECT_EQ(moved.perform(request, context).status, 200);
  EXPECT_GE(lookups_so_far(), moved_before + 1);
  EXPECT_LE(lookups_so_far(), moved_before + 2) << "what is found is kept again, by curl from the second time on";
}

}  // namespace
}  // namespace waybill::internal
