// SPDX-License-Identifier: Apache-2.0
//
// An object that is being written in parts: which parts are handed out, done, or lost. Parts are works of the same queue
// as whole items; nobody waits for another, and who finishes the last part completes the object.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/hash.hpp"
#include "engine/work_queue.hpp"
#include "waybill/destination.hpp"

namespace waybill::internal {

/// How an object of `size` bytes is cut: parts of at least `wished` bytes, grown so that they fit. Errors: too_large.
uint64_t choose_part_size(uint64_t size, uint64_t wished, const Destination::Capabilities& can);

/// *Thread safety:* any thread.
class LargeObject {
 public:
  /// `done`: parts that an earlier process finished. `in_order`: one part at a time, for a digest that cannot be
  /// combined; parts in `done` are then read again.
  LargeObject(std::shared_ptr<ItemTask> task, std::unique_ptr<PartUpload> upload, uint64_t size, uint64_t part_size,
              std::vector<PartInfo> done, bool in_order, SourceStamp stamp);

  /// Of the revision that every part has to be of.
  const SourceStamp& stamp() const noexcept { return stamp_; }
  bool is_in_order() const noexcept { return in_order_; }
  const std::shared_ptr<ItemTask>& task() const noexcept { return task_; }
  PartUpload& upload() const noexcept { return *upload_; }
  uint64_t size() const noexcept { return size_; }
  uint64_t offset(uint32_t part) const noexcept { return (part - 1) * part_size_; }
  uint64_t length(uint32_t part) const noexcept { return std::min(part_size_, size_ - offset(part)); }

  /// The next part to move, or 0 where there is none to hand out now.
  uint32_t next_part();
  /// Whether an earlier process has written this part, so that it only has to be read for the digest.
  bool is_written(uint32_t part) const;
  /// What the thread that ended a part does next.
  enum class Next { nothing, complete, close };
  /// A part is done. `complete` exactly once, for the last part of an object that did not fail.
  Next finished(PartInfo part, std::span<const std::byte> hashed);
  /// A part is given up, or dropped because another one was. `close` exactly once, when nothing of a failed object is in
  /// work any more (also from finished()); error() then says why.
  Next gave_up(std::optional<Error> error);
  /// The object is given up though all of its parts are done.
  void gave_up_whole(Error error);
  /// Whether every part was there already.
  bool is_whole() const;
  bool has_failed() const;
  Error error() const;
  /// All parts in order, after finished() said so.
  const std::vector<PartInfo>& parts() const noexcept { return parts_; }
  /// The digest of the whole object, after finished() said so; the same at every call.
  Digest digest();

 private:
  const std::shared_ptr<ItemTask> task_;
  const std::unique_ptr<PartUpload> upload_;
  const uint64_t size_;
  const uint64_t part_size_;
  const bool in_order_;
  const SourceStamp stamp_;
  mutable std::mutex mutex_;
  std::vector<PartInfo> parts_;   // by number − 1; number 0: not there yet; guarded by mutex_ until all are done
  uint32_t next_ = 1;             // guarded by mutex_
  uint32_t missing_ = 0;          // guarded by mutex_
  uint32_t in_work_ = 0;          // guarded by mutex_
  std::optional<Sha256Hasher> sha256_;
  std::optional<Digest> digest_;
  std::optional<Error> error_;    // guarded by mutex_
};

}  // namespace waybill::internal
