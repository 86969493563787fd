// SPDX-License-Identifier: Apache-2.0

#include "engine/cancellation.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "waybill/error.hpp"

namespace waybill::internal {

CancelSource::CancelSource() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw system_error(errno, "eventfd for cancellation");
}

CancelSource::~CancelSource() { ::close(fd_); }

void CancelSource::fire() noexcept {
  if (fired_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  (void)!::write(fd_, &one, sizeof one);
}

void CancelSource::rearm() noexcept {
  uint64_t drained = 0;
  (void)!::read(fd_, &drained, sizeof drained);
  fired_.store(false, std::memory_order_release);
}

bool CancelSource::sleep(std::chrono::milliseconds duration) const {
  const auto until = std::chrono::steady_clock::now() + duration;
  for (;;) {
    if (fired()) return false;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return true;
    pollfd waiter{fd_, POLLIN, 0};
    (void)::poll(&waiter, 1, static_cast<int>(std::min<int64_t>(left.count() + 1, 60'000)));
  }
}

}  // namespace waybill::internal
