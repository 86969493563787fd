// SPDX-License-Identifier: Apache-2.0
//
// The memory that bodies in flight may take: a budget that transfers draw tickets from by known size, first come first
// served, and the buffers themselves, large ones kept for the next transfer so that their pages are touched once.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "waybill/context.hpp"

namespace waybill::internal {

class CancelSource;
class BodyPool;

/// A buffer of a body, with its share of the budget. Move-only; given back when destroyed. Contents are undefined.
class BodyBuffer {
 public:
  BodyBuffer() = default;
  BodyBuffer(BodyBuffer&&) noexcept = default;
  BodyBuffer& operator=(BodyBuffer&&) noexcept;
  ~BodyBuffer();

  std::span<std::byte> bytes() const noexcept { return {memory_.get(), size_}; }

 private:
  friend class BodyPool;
  BodyPool* pool_ = nullptr;
  std::unique_ptr<std::byte[]> memory_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  Ticket ticket_;
};

/// *Thread safety:* any thread. *Lifetime:* outlives its tickets and buffers.
class BodyPool {
 public:
  explicit BodyPool(uint64_t budget_bytes) : budget_(budget_bytes) {}

  /// Waits for `bytes` of the budget; more than all of it is granted alone. Errors: cancelled.
  Ticket acquire(uint64_t bytes, const CancelSource& cancel);
  /// acquire() and a buffer of that size.
  BodyBuffer take(size_t bytes, const CancelSource& cancel);
  /// Wakes waiters, so that they see that their CancelSource has fired.
  void wake();

 private:
  friend class BodyBuffer;
  void release(uint64_t bytes) noexcept;
  void keep(std::unique_ptr<std::byte[]> memory, size_t capacity) noexcept;

  const uint64_t budget_;
  std::mutex mutex_;
  std::condition_variable freed_;
  uint64_t in_use_ = 0;        // guarded by mutex_
  uint64_t next_turn_ = 0;     // guarded by mutex_
  std::list<uint64_t> queue_;  // turns that wait, oldest first; guarded by mutex_
  std::multimap<size_t, std::unique_ptr<std::byte[]>> idle_;  // by capacity; guarded by mutex_
  uint64_t idle_bytes_ = 0;    // guarded by mutex_
};

}  // namespace waybill::internal
