// SPDX-License-Identifier: Apache-2.0
//
// An HTTP server on loopback that answers what a test's function says, one request at a time: for answers that a sound
// S3 server never gives.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.hpp"

namespace waybill::testing {

struct ScriptedRequest {
  std::string method;
  std::string target;  ///< path and query as sent
  std::string head;    ///< the header lines as sent
  std::string body;

  /// The value of a header, "" if there is none.
  std::string header(std::string_view name) const {
    for (size_t at = 0; at < head.size();) {
      const size_t end = head.find("\r\n", at);
      const std::string_view line = std::string_view(head).substr(at, end - at);
      const size_t colon = line.find(':');
      if (colon != std::string_view::npos && internal::equals_ignoring_case(line.substr(0, colon), name)) {
        return std::string(internal::trim(line.substr(colon + 1)));
      }
      if (end == std::string::npos) break;
      at = end + 2;
    }
    return {};
  }
};

struct ScriptedAnswer {
  int status = 200;
  std::string headers;  ///< lines, each ended by CRLF
  std::string body;
  bool has_length = true;  ///< without it, only the end of the connection ends the body
};

/// *Threads:* one of its own; `answer` runs on it. A request is never answered (the connection stays open) where
/// `answer` gives status 0.
class ScriptedServer {
 public:
  using Answer = std::function<ScriptedAnswer(const ScriptedRequest&)>;

  explicit ScriptedServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::system_error(errno, std::generic_category(), "a scripted server");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~ScriptedServer() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
    for (const int fd : held_) ::close(fd);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  uint16_t port() const noexcept { return port_; }
  std::vector<ScriptedRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void run() {
    while (!stop_) {
      pollfd wait{listener_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) serve(fd);
    }
  }

  void serve(int fd) {
    std::string text;
    size_t head_end = std::string::npos;
    size_t length = 0;
    char buffer[65536];
    while (head_end == std::string::npos || text.size() < head_end + 4 + length) {
      pollfd wait{fd, POLLIN, 0};
      if (stop_) break;
      if (::poll(&wait, 1, 20) <= 0) continue;
      const ssize_t count = ::recv(fd, buffer, sizeof buffer, 0);
      if (count <= 0) {
        ::close(fd);
        return;
      }
      text.append(buffer, static_cast<size_t>(count));
      if (head_end != std::string::npos) continue;
      head_end = text.find("\r\n\r\n");
      if (head_end == std::string::npos) continue;
      ScriptedRequest head;
      head.head = text.substr(0, head_end);
      length = static_cast<size_t>(internal::parse_uint(head.header("content-length")).value_or(0));
      if (internal::equals_ignoring_case(head.header("expect"), "100-continue")) {
        const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        ::send(fd, go_on.data(), go_on.size(), MSG_NOSIGNAL);
      }
    }
    if (stop_) {
      ::close(fd);
      return;
    }
    ScriptedRequest request;
    const size_t line_end = text.find("\r\n");
    const size_t space = text.find(' ');
    request.method = text.substr(0, space);
    request.target = text.substr(space + 1, text.find(' ', space + 1) - space - 1);
    request.head = line_end < head_end ? text.substr(line_end + 2, head_end - line_end - 2) : "";
    request.body = text.substr(head_end + 4);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const ScriptedAnswer answer = answer_(request);
    if (answer.status == 0) {
      held_.push_back(fd);
      return;
    }
    std::string out = "HTTP/1.1 " + std::to_string(answer.status) +
                      " X\r\nConnection: close\r\n" +
                      (answer.has_length ? "Content-Length: " + std::to_string(answer.body.size()) + "\r\n" : "") +
                      answer.headers + "\r\n";
    if (request.method != "HEAD") out += answer.body;
    ::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
    ::shutdown(fd, SHUT_WR);
    ::close(fd);
  }

  Answer answer_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::vector<int> held_;  // of the thread
  mutable std::mutex mutex_;
  std::vector<ScriptedRequest> requests_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace waybill::testing
