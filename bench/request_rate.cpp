// SPDX-License-Identifier: Apache-2.0
//
// How many requests a second a server on loopback answers: PUT and then GET of 4 KiB over keep-alive connections, one
// request under way on each, by one thread over epoll. For the servers of our own tests and benches, so that nobody
// takes their limit for a client's.
//
// Usage: request_rate PORT BUCKET [REQUESTS [CONNECTIONS]]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t object_bytes = 4096;

struct Connection {
  int socket = -1;
  std::string in;
};

[[noreturn]] void fail(const char* what) { throw std::runtime_error(std::string(what) + ": " + std::strerror(errno)); }

int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

class Load {
 public:
  Load(int port, std::string bucket, size_t connections) : bucket_(std::move(bucket)), connections_(connections) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < connections; ++i) {
      connections_[i].socket = connect_to(port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].socket, &event) != 0) fail("epoll_ctl");
    }
  }
  ~Load() {
    for (const Connection& connection : connections_) close(connection.socket);
    close(epoll_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Requests a second.
  double run(std::string_view method, size_t requests) {
    const auto begin = std::chrono::steady_clock::now();
    size_t sent = 0;
    size_t answered = 0;
    for (Connection& connection : connections_) {
      if (sent < requests) ask(connection, method, sent++);
    }
    while (answered < requests) {
      epoll_event events[64];
      const int count = epoll_wait(epoll_, events, 64, 10'000);
      if (count <= 0) throw std::runtime_error("no answer within 10 s");
      for (int i = 0; i < count; ++i) {
        Connection& connection = connections_[events[i].data.u64];
        if (!take(connection)) continue;
        ++answered;
        if (sent < requests) ask(connection, method, sent++);
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(requests) / seconds.count();
  }

 private:
  void ask(const Connection& connection, std::string_view method, size_t number) const {
    std::string text(method);
    text +=
        " /" + bucket_ + "/some/folder/object-" + std::to_string(number % 10'000) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    if (method == "PUT") text += "Content-Length: " + std::to_string(object_bytes) + "\r\n";
    text += "\r\n";
    if (method == "PUT") text.append(object_bytes, 'x');
    if (send(connection.socket, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
      fail("send");
  }

  // Whether the answer is whole.
  static bool take(Connection& connection) {
    char buffer[16 << 10];
    const ssize_t got = recv(connection.socket, buffer, sizeof buffer, 0);
    if (got <= 0) throw std::runtime_error("the server closed a connection");
    connection.in.append(buffer, static_cast<size_t>(got));
    const size_t end = connection.in.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    if (!connection.in.starts_with("HTTP/1.1 200")) throw std::runtime_error(connection.in.substr(0, 40));
    const size_t at = connection.in.find("Content-Length: ");
    const size_t length = at < end ? std::strtoul(connection.in.c_str() + at + 16, nullptr, 10) : 0;
    if (connection.in.size() < end + 4 + length) return false;
    connection.in.clear();
    return true;
  }

  std::string bucket_;
  std::vector<Connection> connections_;
  int epoll_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 3) throw std::runtime_error("usage: request_rate PORT BUCKET [REQUESTS [CONNECTIONS]]");
    const size_t requests = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 100'000;
    Load load(std::atoi(argv[1]), argv[2], argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 32);
    std::printf("PUT %.0f requests/s\n", load.run("PUT", requests));
    std::printf("GET %.0f requests/s\n", load.run("GET", requests));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "request_rate: %s\n", error.what());
    return 1;
  }
}
