// SPDX-License-Identifier: Apache-2.0
//
// The counters behind WAYBILL_FAULT_POINT. The environment is read once, at the first event. This file is empty without
// WAYBILL_FAULTS.
#include "base/fault_point.hpp"

#if defined(WAYBILL_FAULTS)

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace waybill::internal {

namespace {

constexpr size_t n_events = sizeof(fault_events) / sizeof(fault_events[0]);

struct Plan {
  size_t kill_event = n_events;  // none
  uint64_t kill_at = 0;
  std::atomic<uint64_t>* counts = nullptr;
};

size_t event_index(std::string_view event) noexcept {
  size_t index = 0;
  while (index < n_events && event != fault_events[index]) ++index;
  return index;
}

// Shared memory of the file, so that what was counted is there after SIGKILL; private memory without a file.
std::atomic<uint64_t>* map_counts(const char* path) noexcept {
  constexpr size_t bytes = n_events * sizeof(uint64_t);
  static_assert(sizeof(std::atomic<uint64_t>) == sizeof(uint64_t));
  int fd = path == nullptr ? -1 : ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    ::close(fd);
    fd = -1;
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (fd >= 0) ::close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<std::atomic<uint64_t>*>(memory);
}

Plan read_plan() noexcept {
  Plan plan;
  plan.counts = map_counts(std::getenv("WAYBILL_FAULT_COUNTS"));
  const char* text = std::getenv("WAYBILL_FAULT_KILL");
  const char* colon = text == nullptr ? nullptr : std::strchr(text, ':');
  if (colon != nullptr) {
    plan.kill_event = event_index({text, static_cast<size_t>(colon - text)});
    plan.kill_at = std::strtoull(colon + 1, nullptr, 10);
  }
  return plan;
}

}  // namespace

void fault_point(const char* event) noexcept {
  static const Plan plan = read_plan();
  const size_t index = event_index(event);
  if (index == n_events || plan.counts == nullptr) return;
  const uint64_t count = plan.counts[index].fetch_add(1) + 1;
  if (index != plan.kill_event || count != plan.kill_at) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();  // the signal may arrive a moment later; this thread does nothing more
}

}  // namespace waybill::internal

#endif
