// SPDX-License-Identifier: Apache-2.0
//
// One poll loop over all connections. Each direction has one buffer; a direction reads only into an empty buffer, so
// that a slow side slows the other one as a real connection does.
#include "support/stall_proxy.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <list>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace waybill::testing {

namespace {

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

sockaddr_in address_of(const std::string& host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) throw std::invalid_argument("not an address: " + host);
  return address;
}

struct Direction {
  int from = -1;
  int to = -1;
  std::array<char, 65536> buffer;
  size_t begin = 0;
  size_t end = 0;
  bool ended = false;  // `from` is at its end, and `to` has been told

  bool wants_read() const { return !ended && begin == end; }
  bool wants_write() const { return begin != end; }

  // False if the connection broke.
  bool read_some() {
    const ssize_t n = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
      ended = true;
      ::shutdown(to, SHUT_WR);
      return true;
    }
    begin = 0;
    end = static_cast<size_t>(n);
    return true;
  }
  bool write_some() {
    const ssize_t n = ::send(to, buffer.data() + begin, end - begin, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN || errno == EINPROGRESS;
    begin += static_cast<size_t>(n);
    return true;
  }
};

struct Connection {
  int client = -1;
  int server = -1;
  Direction up, down;

  ~Connection() {
    ::close(client);
    ::close(server);
  }
  bool is_over() const { return up.ended && down.ended && !up.wants_write() && !down.wants_write(); }
};

}  // namespace

struct StallProxy::Impl {
  sockaddr_in upstream{};
  int listener = -1;
  int wake_fd = -1;
  uint16_t port = 0;
  std::atomic<uint64_t> accepted{0};
  std::list<Connection> connections;  // of the thread

  std::mutex mutex;
  std::condition_variable changed;
  bool frozen = false;        // guarded by mutex
  bool is_frozen = false;     // guarded by mutex; what the thread obeys now
  bool reset = false;         // guarded by mutex
  bool stop = false;          // guarded by mutex
  std::thread thread;

  void wake() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd, &one, sizeof one);
  }

  void accept_one() {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server < 0 || (::connect(server, reinterpret_cast<const sockaddr*>(&upstream), sizeof upstream) != 0 &&
                       errno != EINPROGRESS)) {
      ::close(client);
      if (server >= 0) ::close(server);
      return;
    }
    const int one = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection& connection = connections.emplace_back();
    connection.client = client;
    connection.server = server;
    connection.up.from = connection.down.to = client;
    connection.up.to = connection.down.from = server;
    ++accepted;
  }

  // Takes over what was asked; false once it is time to stop.
  bool obey() {
    uint64_t drained = 0;
    [[maybe_unused]] const ssize_t n = ::read(wake_fd, &drained, sizeof drained);
    const std::lock_guard lock(mutex);
    is_frozen = frozen;
    if (std::exchange(reset, false)) {
      const linger hard{1, 0};
      for (const Connection& connection : connections) {
        ::setsockopt(connection.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        ::setsockopt(connection.server, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      }
      connections.clear();
    }
    changed.notify_all();
    return !stop;
  }

  static bool move_bytes(Connection& connection, short client_events, short server_events) {
    const auto ready = [](short events, short bit) { return (events & (bit | POLLHUP | POLLERR)) != 0; };
    bool ok = true;
    if (connection.up.wants_read() && ready(client_events, POLLIN)) ok = ok && connection.up.read_some();
    if (connection.down.wants_read() && ready(server_events, POLLIN)) ok = ok && connection.down.read_some();
    if (connection.up.wants_write() && ready(server_events, POLLOUT)) ok = ok && connection.up.write_some();
    if (connection.down.wants_write() && ready(client_events, POLLOUT)) ok = ok && connection.down.write_some();
    return ok && !connection.is_over();
  }

  void loop() {
    std::vector<pollfd> fds;
    while (obey()) {
      bool moving = false;
      {
        const std::lock_guard lock(mutex);
        moving = !is_frozen;
      }
      fds.assign({{wake_fd, POLLIN, 0}, {listener, POLLIN, 0}});
      if (moving) {
        for (const Connection& c : connections) {
          const auto events = [](const Direction& in, const Direction& out) {
            return static_cast<short>((in.wants_read() ? POLLIN : 0) | (out.wants_write() ? POLLOUT : 0));
          };
          const short client_events = events(c.up, c.down);
          const short server_events = events(c.down, c.up);
          // A side that nothing is wanted of is left out: POLLHUP could not be masked and would spin.
          fds.push_back({client_events != 0 ? c.client : -1, client_events, 0});
          fds.push_back({server_events != 0 ? c.server : -1, server_events, 0});
        }
      }
      ::poll(fds.data(), fds.size(), -1);
      if (moving) {
        size_t at = 2;
        for (auto it = connections.begin(); it != connections.end(); at += 2) {
          it = move_bytes(*it, fds[at].revents, fds[at + 1].revents) ? std::next(it) : connections.erase(it);
        }
      }
      if ((fds[1].revents & POLLIN) != 0) accept_one();
    }
    connections.clear();
  }

  void ask_freeze(bool wanted) {
    std::unique_lock lock(mutex);
    frozen = wanted;
    wake();
    changed.wait(lock, [&] { return is_frozen == wanted; });
  }
};

StallProxy::StallProxy(const std::string& host, uint16_t port) : impl_(std::make_unique<Impl>()) {
  impl_->upstream = address_of(host, port);
  impl_->listener = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
  sockaddr_in own = address_of("127.0.0.1", 0);
  socklen_t length = sizeof own;
  checked(::bind(impl_->listener, reinterpret_cast<sockaddr*>(&own), sizeof own), "bind");
  checked(::listen(impl_->listener, 512), "listen");
  checked(::getsockname(impl_->listener, reinterpret_cast<sockaddr*>(&own), &length), "getsockname");
  impl_->port = ntohs(own.sin_port);
  impl_->wake_fd = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  impl_->thread = std::thread([this] { impl_->loop(); });
}

StallProxy::~StallProxy() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake();
  impl_->thread.join();
  ::close(impl_->listener);
  ::close(impl_->wake_fd);
}

uint16_t StallProxy::port() const noexcept { return impl_->port; }
void StallProxy::freeze() { impl_->ask_freeze(true); }
void StallProxy::thaw() { impl_->ask_freeze(false); }
uint64_t StallProxy::accepted() const noexcept { return impl_->accepted; }

void StallProxy::reset_connections() {
  std::unique_lock lock(impl_->mutex);
  impl_->reset = true;
  impl_->wake();
  impl_->changed.wait(lock, [this] { return !impl_->reset; });
}

}  // namespace waybill::testing
