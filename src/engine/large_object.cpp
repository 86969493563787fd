// SPDX-License-Identifier: Apache-2.0

#include "engine/large_object.hpp"

#include <algorithm>

namespace waybill::internal {
namespace {

constexpr uint64_t mebibyte = uint64_t{1} << 20;

}  // namespace

uint64_t choose_part_size(uint64_t size, uint64_t wished, const Destination::Capabilities& can) {
  if (size > can.max_object_bytes) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                std::to_string(size) + " bytes are more than the destination holds in one object (" +
                    std::to_string(can.max_object_bytes) + ")");
  }
  uint64_t part_size = std::clamp(wished, can.min_part_bytes, can.max_part_bytes);
  const uint64_t needed = (size + can.max_parts - 1) / can.max_parts;
  if (needed > part_size) part_size = (needed + mebibyte - 1) / mebibyte * mebibyte;
  if (part_size > can.max_part_bytes) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                std::to_string(size) + " bytes do not fit into " + std::to_string(can.max_parts) + " parts");
  }
  return part_size;
}

LargeObject::LargeObject(std::shared_ptr<ItemTask> task, std::unique_ptr<PartUpload> upload, uint64_t size, uint64_t part_size,
                         std::vector<PartInfo> done, bool in_order, SourceStamp stamp)
    : task_(std::move(task)),
      upload_(std::move(upload)),
      size_(size),
      part_size_(part_size),
      in_order_(in_order),
      stamp_(std::move(stamp)) {
  const auto count = static_cast<uint32_t>((size + part_size - 1) / part_size);
  parts_.resize(count);
  missing_ = count;
  if (in_order) sha256_.emplace();
  for (PartInfo& part : done) {
    if (part.number == 0 || part.number > count) continue;
    if (!in_order) {
      --missing_;
      task_->bytes_done += part.size;
    }
    parts_[part.number - 1] = std::move(part);
  }
}

uint32_t LargeObject::next_part() {
  std::scoped_lock lock(mutex_);
  if (error_ || (in_order_ && in_work_ > 0)) return 0;
  while (!in_order_ && next_ <= parts_.size() && parts_[next_ - 1].number != 0) ++next_;
  if (next_ > parts_.size()) return 0;
  ++in_work_;
  return next_++;
}

bool LargeObject::is_written(uint32_t part) const {
  std::scoped_lock lock(mutex_);
  return parts_[part - 1].number != 0;
}

LargeObject::Next LargeObject::finished(PartInfo part, std::span<const std::byte> hashed) {
  std::scoped_lock lock(mutex_);
  --in_work_;
  if (sha256_) sha256_->update(hashed);
  const uint32_t number = part.number;
  parts_[number - 1] = std::move(part);
  --missing_;
  if (error_) return in_work_ == 0 ? Next::close : Next::nothing;
  return missing_ == 0 ? Next::complete : Next::nothing;
}

LargeObject::Next LargeObject::gave_up(std::optional<Error> error) {
  std::scoped_lock lock(mutex_);
  --in_work_;
  if (error && !error_) error_ = std::move(error);
  return error_ && in_work_ == 0 ? Next::close : Next::nothing;
}

void LargeObject::gave_up_whole(Error error) {
  std::scoped_lock lock(mutex_);
  error_ = std::move(error);
}

bool LargeObject::is_whole() const {
  std::scoped_lock lock(mutex_);
  return missing_ == 0;
}

bool LargeObject::has_failed() const {
  std::scoped_lock lock(mutex_);
  return error_.has_value();
}

Error LargeObject::error() const {
  std::scoped_lock lock(mutex_);
  return *error_;
}

Digest LargeObject::digest() {
  if (digest_) return *digest_;
  Digest digest;
  Crc64 crc = 0;
  for (const PartInfo& part : parts_) {
    if (!part.digest.crc64nvme) return {};
    crc = crc64nvme_combine(crc, *part.digest.crc64nvme, part.size);
  }
  digest.crc64nvme = crc;
  if (sha256_) digest.sha256 = sha256_->finish();
  digest_ = digest;
  return digest;
}

}  // namespace waybill::internal
