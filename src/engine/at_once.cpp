// SPDX-License-Identifier: Apache-2.0

#include "engine/at_once.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <vector>

#include "base/thread.hpp"

namespace waybill::internal {

void each_at_once(size_t n, size_t width, const std::function<void(size_t)>& call) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr first;  // guarded by mutex
  const auto work = [&] {
    for (size_t i = next++; i < n; i = next++) {
      try {
        call(i);
      } catch (...) {
        next = n;
        const std::scoped_lock lock(mutex);
        if (!first) first = std::current_exception();
      }
    }
  };
  std::vector<Thread> threads;
  const size_t wanted = std::min(width, n);
  for (size_t i = 1; i < wanted; ++i) threads.emplace_back("wb-look", work);
  work();
  for (Thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace waybill::internal
