// SPDX-License-Identifier: Apache-2.0
//
// Connections are known by number: events, timers and the ready list look them up, so that one that is closed meanwhile
// is simply not found. Number 0 is the listener, the largest one the wake-up.
#include "support/fault_server/loop.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "support/fault_server/connection.hpp"

namespace waybill::testing::fault {

namespace {

constexpr uint64_t listener_number = 0;
constexpr uint64_t wake_number = UINT64_MAX;
constexpr uint64_t down_number = UINT64_MAX - 1;  // a timer only: listen again
constexpr size_t buffer_bytes = 256 << 10;

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

void watch(int epoll, int fd, uint64_t number, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = number;
  checked(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

}  // namespace

Loop::Loop(Handler& handler, uint16_t port) : handler_(handler), port_(port), buffer_(buffer_bytes) {
  epoll_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  wake_ = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  watch(epoll_, wake_, wake_number, EPOLLIN);
  listen();
}

Loop::~Loop() {
  stop();
  connections_.clear();
  if (listener_ >= 0) ::close(listener_);
  ::close(wake_);
  ::close(epoll_);
}

void Loop::listen() {
  listener_ = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
  const int on = 1;
  checked(::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  checked(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), "bind");
  checked(::listen(listener_, 1024), "listen");
  checked(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  port_ = ntohs(address.sin_port);
  watch(epoll_, listener_, listener_number, EPOLLIN);
}

void Loop::start() {
  thread_ = std::thread([this] { run(); });
}

void Loop::stop() {
  if (!thread_.joinable()) return;
  stop_ = true;
  post([] {});
  thread_.join();
}

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
}

void Loop::go_down(std::chrono::milliseconds time) {
  post([this, time] {
    for (auto& [number, connection] : connections_) connection->reset();
    connections_.clear();
    if (listener_ >= 0) ::close(listener_);
    listener_ = -1;
    timers_.push({Clock::now() + time, down_number});
  });
}

void Loop::wake_at(const Connection& connection, Clock::time_point time) { timers_.push({time, connection.number()}); }

void Loop::again(const Connection& connection) { ready_.push_back(connection.number()); }

int Loop::wait_ms() const {
  if (!ready_.empty()) return 0;
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.top().time - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
}

void Loop::run() {
  std::array<epoll_event, 128> events;
  while (!stop_) {
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms());
    if (count < 0 && errno != EINTR) return;
    for (int i = 0; i < count; ++i) {
      const uint64_t number = events[static_cast<size_t>(i)].data.u64;
      if (number == listener_number) {
        accept_all();
      } else if (number == wake_number) {
        take_posted();
      } else if (const auto found = connections_.find(number); found != connections_.end()) {
        found->second->note(events[static_cast<size_t>(i)].events);
        carry_on(number);
      }
    }
    for (const uint64_t number : std::exchange(ready_, {})) carry_on(number);
    fire_timers();
  }
}

void Loop::carry_on(uint64_t number) {
  const auto found = connections_.find(number);
  if (found == connections_.end()) return;
  found->second->carry_on();
  if (found->second->is_closed()) connections_.erase(found);
}

void Loop::accept_all() {
  while (listener_ >= 0) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const uint64_t number = ++accepted_;
    connections_.emplace(number, std::make_unique<Connection>(fd, number, *this));
    watch(epoll_, fd, number, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

void Loop::take_posted() {
  uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t count = ::read(wake_, &ignored, sizeof ignored);
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& one : work) one();
}

void Loop::fire_timers() {
  if (timers_.empty()) return;
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.top().time <= now) {
    const uint64_t number = timers_.top().connection;
    timers_.pop();
    if (number == down_number) {
      if (listener_ < 0) listen();
    } else {
      carry_on(number);
    }
  }
}

}  // namespace waybill::testing::fault
