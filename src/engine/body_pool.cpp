// SPDX-License-Identifier: Apache-2.0

#include "engine/body_pool.hpp"

#include "engine/cancellation.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

// Buffers below this size come from the allocator each time: it is as fast as a list for them.
constexpr size_t smallest_kept = 256 << 10;
// Capacities are rounded up to this, so that buffers of nearly the same size serve each other.
constexpr size_t rounding = 64 << 10;

}  // namespace

BodyBuffer& BodyBuffer::operator=(BodyBuffer&& other) noexcept {
  if (this != &other) {
    if (memory_ && pool_ != nullptr) pool_->keep(std::move(memory_), capacity_);
    pool_ = other.pool_;
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    ticket_ = std::move(other.ticket_);
  }
  return *this;
}

BodyBuffer::~BodyBuffer() {
  if (memory_ && pool_ != nullptr) pool_->keep(std::move(memory_), capacity_);
}

Ticket BodyPool::acquire(uint64_t bytes, const CancelSource& cancel) {
  std::unique_lock lock(mutex_);
  const auto fits = [&] { return in_use_ == 0 || in_use_ + bytes <= budget_; };
  if (!queue_.empty() || !fits()) {
    const auto turn = queue_.insert(queue_.end(), next_turn_++);
    freed_.wait(lock, [&] { return cancel.fired() || (queue_.begin() == turn && fits()); });
    queue_.erase(turn);
    freed_.notify_all();
    if (cancel.fired()) throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "cancelled while waiting for memory");
  }
  in_use_ += bytes;
  return Ticket(this, [](void* pool, uint64_t given) noexcept { static_cast<BodyPool*>(pool)->release(given); }, bytes);
}

BodyBuffer BodyPool::take(size_t bytes, const CancelSource& cancel) {
  BodyBuffer buffer;
  buffer.ticket_ = acquire(bytes, cancel);
  buffer.pool_ = this;
  buffer.size_ = bytes;
  buffer.capacity_ = bytes < smallest_kept ? bytes : (bytes + rounding - 1) / rounding * rounding;
  if (bytes >= smallest_kept) {
    std::scoped_lock lock(mutex_);
    const auto found = idle_.find(buffer.capacity_);
    if (found != idle_.end()) {
      buffer.memory_ = std::move(found->second);
      idle_.erase(found);
      idle_bytes_ -= buffer.capacity_;
      return buffer;
    }
  }
  buffer.memory_ = std::make_unique_for_overwrite<std::byte[]>(buffer.capacity_);
  return buffer;
}

void BodyPool::wake() {
  std::scoped_lock lock(mutex_);
  freed_.notify_all();
}

void BodyPool::release(uint64_t bytes) noexcept {
  std::scoped_lock lock(mutex_);
  in_use_ -= bytes;
  if (!queue_.empty()) freed_.notify_all();
}

void BodyPool::keep(std::unique_ptr<std::byte[]> memory, size_t capacity) noexcept {
  if (capacity < smallest_kept) return;
  std::scoped_lock lock(mutex_);
  // Idle buffers stay within a quarter of the budget: enough to reuse, too little to matter.
  if (idle_bytes_ + capacity > budget_ / 4) return;
  try {
    idle_.emplace(capacity, std::move(memory));
    idle_bytes_ += capacity;
  } catch (const std::bad_alloc&) {
    // The buffer is freed instead of kept.
  }
}

}  // namespace waybill::internal
