// SPDX-License-Identifier: Apache-2.0
//
// A raw socket server on loopback that answers byte for byte what a test says, so that truncation, silence and resets
// are real; and what the tests of HttpClient share.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/http_client.hpp"
#include "waybill/context.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// One accepted connection, seen from the server's side.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}

  /// Waits for the head of the next request; false if the client closed.
  bool head() {
    while (buffer_.find("\r\n\r\n") == std::string::npos) {
      if (!receive()) return false;
    }
    return true;
  }
  /// The next request, head and body; "" if the client closed. Answers "Expect: 100-continue", unless told not to.
  std::string request(bool says_go_on = true) {
    if (!head()) return {};
    const size_t head_size = buffer_.find("\r\n\r\n") + 4;
    if (says_go_on && buffer_.substr(0, head_size).find("Expect: 100-continue") != std::string::npos)
      send("HTTP/1.1 100 Continue\r\n\r\n");
    size_t length = 0;
    if (const size_t at = buffer_.find("Content-Length: "); at != std::string::npos && at < head_size) {
      length = std::stoul(buffer_.substr(at + 16));
    }
    while (buffer_.size() < head_size + length) {
      if (!receive()) return {};
    }
    std::string request = buffer_.substr(0, head_size + length);
    buffer_.erase(0, head_size + length);
    return request;
  }
  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t count = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      text.remove_prefix(static_cast<size_t>(count));
    }
  }
  /// Closes with a reset rather than an orderly end.
  void reset() const {
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }
  /// Waits until the client is gone or the server ends.
  void stall() const {
    char byte = 0;
    while (::recv(fd_, &byte, 1, 0) > 0) {
    }
  }

 private:
  bool receive() {
    char chunk[65536];
    const ssize_t count = ::recv(fd_, chunk, sizeof chunk, 0);
    if (count <= 0) return false;
    buffer_.append(chunk, static_cast<size_t>(count));
    return true;
  }
  int fd_;
  std::string buffer_;
};

/// Calls `serve(peer, n)` on a thread of its own for the n-th connection, from 1.
class RawServer {
 public:
  explicit RawServer(std::function<void(Peer&, int)> serve) : serve_(std::move(serve)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_, 128);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~RawServer() {
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    close(listener_);
  }

  std::string url(std::string_view path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }
  int connections() const { return connections_; }

 private:
  void accept_all() {
    while (!stopping_) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int number = ++connections_;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd, number] {
        Peer peer(fd);
        serve_(peer, number);
        const std::lock_guard inner(mutex_);
        std::erase(open_, fd);
        close(fd);
      });
    }
  }

  std::function<void(Peer&, int)> serve_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::vector<int> open_;             // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_ until the acceptor has ended
  std::thread acceptor_;
};

/// A Context that a test cancels, with or without a descriptor, and that counts.
class TestContext final : public Context {
 public:
  explicit TestContext(bool with_fd = true) : fd_(with_fd ? eventfd(0, EFD_CLOEXEC) : -1) {}
  ~TestContext() override {
    if (fd_ >= 0) close(fd_);
  }
  void cancel() {
    is_cancelled_ = true;
    if (fd_ >= 0) eventfd_write(fd_, 1);
  }
  void set_deadline(Clock::time_point deadline) { deadline_ = deadline; }
  int requests() const { return requests_; }

  bool cancelled() const noexcept override { return is_cancelled_ || Clock::now() >= deadline_; }
  int cancel_fd() const noexcept override { return fd_; }
  Clock::time_point deadline() const noexcept override { return deadline_; }
  bool sleep(std::chrono::milliseconds) override { return !cancelled(); }
  Ticket acquire(uint64_t) override { return {}; }
  int attempt() const noexcept override { return 1; }
  uint64_t epoch() const noexcept override { return 1; }
  std::string_view migration() const noexcept override { return "test"; }
  void log(LogLevel, std::string_view) override {}
  void count(std::string_view name, uint64_t amount) override {
    if (name == "http_requests") requests_ += static_cast<int>(amount);
  }

 private:
  int fd_;
  std::atomic<bool> is_cancelled_{false};
  std::atomic<int> requests_{0};
  Clock::time_point deadline_ = Clock::time_point::max();
};

inline HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.url = url;
  return request;
}

inline HttpRequest put(const std::string& url, std::string_view body) {
  HttpRequest request;
  request.method = "PUT";
  request.url = url;
  request.body = bytes_of(body);
  return request;
}

/// The Error that `call` throws.
template <typename Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(ErrorCode::ok, ErrorClass::none, "");
}

/// Answers every request on a connection with the same text and remembers the requests.
struct Recorder {
  explicit Recorder(std::string text) : answer(std::move(text)) {}
  void operator()(Peer& peer, int) {
    for (std::string request = peer.request(); !request.empty(); request = peer.request()) {
      {
        const std::lock_guard lock(mutex);
        requests.push_back(std::move(request));
      }
      peer.send(answer);
    }
  }
  std::string last() {
    const std::lock_guard lock(mutex);
    return requests.empty() ? "" : requests.back();
  }
  std::string answer;
  std::mutex mutex;
  std::vector<std::string> requests;
};

}  // namespace waybill::internal
