// SPDX-License-Identifier: Apache-2.0
//
// Transfer of items that are read in order: through a Transform, or from a source that cannot position. The first
// buffer decides: what ends within it is one put, what does not goes in parts, one after the other. A retry starts
// again.

#include <algorithm>

#include "base/fault_point.hpp"
#include "base/hash.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

constexpr uint64_t smallest_buffer = uint64_t{64} << 10;

// The source's own stream, hashed and counted on its way into the transform.
class TappedStream final : public Stream {
 public:
  TappedStream(std::unique_ptr<Stream> inner, bool with_sha256) : inner_(std::move(inner)) {
    if (with_sha256) sha256_.emplace();
  }

  size_t read(std::span<std::byte> out, Context& context) override {
    try {
      const size_t count = inner_->read(out, context);
      crc_ = crc64nvme(out.first(count), crc_);
      if (sha256_) sha256_->update(out.first(count));
      size_ += count;
      is_at_end_ = count == 0 && !out.empty();
      return count;
    } catch (const Error&) {
      failed_ = true;
      throw;
    }
  }
  std::optional<uint64_t> size() const override { return inner_->size(); }
  SourceStamp stamp() const override { return inner_->stamp(); }
  Attributes attributes() const override { return inner_->attributes(); }

  Digest digest() {
    Digest digest;
    digest.crc64nvme = crc_;
    if (sha256_) digest.sha256 = sha256_->finish();
    return digest;
  }
  uint64_t count() const { return size_; }
  bool failed() const { return failed_; }
  bool is_at_end() const { return is_at_end_; }

 private:
  std::unique_ptr<Stream> inner_;
  std::optional<Sha256Hasher> sha256_;
  Crc64 crc_ = 0;
  uint64_t size_ = 0;
  bool failed_ = false;
  bool is_at_end_ = false;
};

}  // namespace

void Transfer::move_streamed(const Task& task, CallContext& context, Side& side) {
  const ItemRecord& record = task->record;
  const Item item = item_of(record);
  const uint64_t part_size = choose_part_size(0, options_.part_size_bytes, destination_can_);
  const uint64_t expected = record.stamp.size.value_or(part_size);
  uint64_t capacity = std::clamp(expected + expected / 8 + smallest_buffer, smallest_buffer, part_size);

  TappedStream* tap = nullptr;
  std::unique_ptr<Stream> stream;
  const auto open = [&] {
    side = Side::source;
    auto tapped = std::make_unique<TappedStream>(source_.stream(item, context), options_.digest == DigestChoice::sha256);
    tap = tapped.get();
    stream = std::move(tapped);
    if (transform_ != nullptr) stream = transform_->apply(item, std::move(stream), context);
  };
  const auto guarded = [&](const auto& call) {
    if (transform_ == nullptr) return call();
    try {
      return call();
    } catch (const Error& error) {
      if (tap == nullptr || tap->failed() || error.error_class() == ErrorClass::cancelled) throw;
      throw Error(error.code(), ErrorClass::transform, transform_->identity() + ": " + error.message()).set_retryable(error.retryable());
    } catch (const std::exception& error) {
      throw Error(ErrorCode::unknown, ErrorClass::transform, transform_->identity() + ": " + error.what());
    }
  };
  const auto fill = [&](std::span<std::byte> out) {
    return guarded([&] {
      size_t filled = 0;
      while (filled < out.size()) {
        context.check();
        const size_t count = stream->read(out.subspan(filled), context);
        if (count == 0) break;
        filled += count;
      }
      return filled;
    });
  };
  const auto finish_source = [&] {
    side = Side::source;
    std::array<std::byte, 1> more{};
    if (!tap->is_at_end() && transform_ == nullptr) tap->read(more, context);
    check_stamp(*task, tap->stamp());
    if (record.stamp.size && transform_ == nullptr && tap->count() != *record.stamp.size) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                  "has " + std::to_string(tap->count()) + " bytes, and was listed with " + std::to_string(*record.stamp.size))
          .set_retryable();
    }
    return tap->digest();
  };
  const auto attributes = [&] {
    return transform_ != nullptr ? transform_->attributes(item, tap->attributes()) : tap->attributes();
  };

  // A transform may grow a small item beyond the estimate; it is then read again into the largest buffer.
  BodyBuffer buffer;
  size_t filled = 0;
  for (;;) {
    buffer = BodyBuffer();
    buffer = scope_.bodies.take(capacity, scope_.cancel);
    guarded([&] { open(); return 0; });
    filled = fill(buffer.bytes());
    if (filled < capacity || capacity == part_size) break;
    capacity = part_size;
  }
  if (filled < capacity) {
    const Digest source_digest = finish_source();
    const auto data = buffer.bytes().first(filled);
    Digest digest;
    digest.crc64nvme = crc64nvme(data);
    return put(task, Body(data, digest), source_digest, attributes(), context, side);
  }
  if (!destination_can_.parts) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large, "more than " + std::to_string(part_size) +
                                                                    " bytes, and the destination takes no parts");
  }

  side = Side::destination;
  WriteOptions write{attributes(), condition(*task)};
  if (task->maybe_ours) write.condition = Condition{};
  if (const std::optional<UploadRecord> old = tracker_.upload(record.id)) {
    try {
      destination_.begin_parts(record.id.key, PartPlan{std::nullopt, old->part_size, old->upload_id}, write, context)->abort(context);
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::missing) throw;
    }
  }
  const std::unique_ptr<PartUpload> upload =
      destination_.begin_parts(record.id.key, PartPlan{std::nullopt, part_size, ""}, write, context);
  UploadRecord begun{record.id, upload->id(), part_size, record.stamp, {}};
  if (!ledger_.begin_upload(std::move(begun))) throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the run stops");
  try {
    std::vector<PartInfo> parts;
    Crc64 crc = 0;
    uint64_t size = 0;
    while (filled > 0) {
      if (parts.size() == destination_can_.max_parts) {
        throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                    "does not fit into " + std::to_string(parts.size()) + " parts of " + std::to_string(part_size) + " bytes; larger parts would do");
      }
      const auto data = buffer.bytes().first(filled);
      Digest digest;
      digest.crc64nvme = crc64nvme(data);
      side = Side::destination;
      WAYBILL_FAULT_POINT("write");
      PartInfo info = upload->write(static_cast<uint32_t>(parts.size()) + 1, size, Body(data, digest), context);
      WAYBILL_FAULT_POINT("part");
      info.number = static_cast<uint32_t>(parts.size()) + 1;
      info.size = filled;
      info.digest = digest;
      crc = crc64nvme_combine(crc, *digest.crc64nvme, filled);
      size += filled;
      parts.push_back(std::move(info));
      task->bytes_done = size;
      concurrency_.moved(filled);
      side = Side::source;
      filled = filled < part_size ? 0 : fill(buffer.bytes());
    }
    const Digest source_digest = finish_source();
    side = Side::destination;
    Stored stored = upload->complete(parts, context);
    WAYBILL_FAULT_POINT("complete");
    if (stored.size != size) {
      throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the destination stored something else than was sent").set_retryable();
    }
    stored.digest.crc64nvme = crc;
    ledger_.upload_ended(record.id);
    copied(task, Basis::written, source_digest, std::move(stored));
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::cancelled) {
      upload->abort(context);
      ledger_.upload_ended(record.id);
    }
    if (error.error_class() == ErrorClass::conflict && !settle_conflict(task, std::nullopt, context, side)) {
      throw Error(ErrorCode::aborted, ErrorClass::conflict, "the destination changed while it was written").set_retryable();
    }
    if (error.error_class() != ErrorClass::conflict) throw;
  }
}

}  // namespace waybill::internal
