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
constexpr uint64_t largest_part = uint64_t{64} << 20;

/// What is known of the source's own stream on its way into the transform. Outlives the stream, which a transform may
/// let go of when it likes.
struct Tap {
  Crc64 crc = 0;
  uint64_t count = 0;
  bool has_failed = false;
  std::optional<Sha256Hasher> sha256;
  SourceStamp stamp;
  Attributes attributes;
};

class TappedStream final : public Stream {
 public:
  TappedStream(std::unique_ptr<Stream> inner, Tap& tap) : inner_(std::move(inner)), tap_(tap) { look(); }

  size_t read(std::span<std::byte> out, Context& context) override {
    try {
      const size_t count = inner_->read(out, context);
      tap_.crc = crc64nvme(out.first(count), tap_.crc);
      if (tap_.sha256) tap_.sha256->update(out.first(count));
      tap_.count += count;
      look();
      return count;
    } catch (const Error&) {
      tap_.has_failed = true;
      throw;
    }
  }
  std::optional<uint64_t> size() const override { return inner_->size(); }
  SourceStamp stamp() const override { return inner_->stamp(); }
  Attributes attributes() const override { return inner_->attributes(); }

 private:
  void look() {
    tap_.stamp = inner_->stamp();
    if (tap_.count == 0) tap_.attributes = inner_->attributes();
  }

  std::unique_ptr<Stream> inner_;
  Tap& tap_;
};

}  // namespace

/// One pass over an item's stream.
class Transfer::StreamedItem {
 public:
  StreamedItem(Transfer& transfer, const Task& task, CallContext& context, Side& side)
      : transfer_(transfer), task_(task), context_(context), side_(side), item_(item_of(task->record)) {}

  void open() {
    stream_.reset();
    tap_ = Tap{};
    if (transfer_.options_.digest == DigestChoice::sha256) tap_.sha256.emplace();
    side_ = Side::source;
    std::unique_ptr<Stream> tapped = std::make_unique<TappedStream>(transfer_.source_.stream(item_, context_), tap_);
    source_size_ = tapped->size();
    stream_ = transfer_.transform_ == nullptr
                  ? std::move(tapped)
                  : guarded([&] { return transfer_.transform_->apply(item_, std::move(tapped), context_); });
  }

  /// What the source says of its size; nothing where it cannot tell before its end.
  std::optional<uint64_t> source_size() const noexcept { return source_size_; }

  /// Fills `out` from the stream; less only at its end.
  size_t fill(std::span<std::byte> out) {
    side_ = Side::source;
    return guarded([&] {
      size_t filled = 0;
      while (filled < out.size()) {
        context_.check();
        const size_t count = stream_->read(out.subspan(filled), context_);
        if (count == 0) break;
        filled += count;
      }
      return filled;
    });
  }

  /// The source's digest, once the stream is at its end; what was read must be the whole of the revision that was listed.
  Digest finish() {
    side_ = Side::source;
    transfer_.check_stamp(*task_, tap_.stamp);
    task_->read_stamp = tap_.stamp;
    const std::optional<uint64_t> size = task_->record.stamp.size;
    if (size && tap_.count != *size) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                  "has " + std::to_string(tap_.count) + " bytes, and was listed with " + std::to_string(*size))
          .set_retryable();
    }
    Digest digest;
    digest.crc64nvme = tap_.crc;
    if (tap_.sha256) digest.sha256 = tap_.sha256->finish();
    return digest;
  }

  Attributes attributes() {
    if (transfer_.transform_ == nullptr) return tap_.attributes;
    return guarded([&] { return transfer_.transform_->attributes(item_, tap_.attributes); });
  }

 private:
  /// Errors of the transform get its class; those of the source stay what they are.
  template <typename Call>
  auto guarded(const Call& call) -> decltype(call()) {
    try {
      return call();
    } catch (const Error& error) {
      if (transfer_.transform_ == nullptr || tap_.has_failed || error.error_class() == ErrorClass::cancelled) throw;
      throw Error(error.code(), ErrorClass::transform, transfer_.transform_->identity() + ": " + error.message())
          .set_retryable(error.retryable());
    } catch (const std::exception& error) {
      if (transfer_.transform_ == nullptr) throw;
      throw Error(ErrorCode::unknown, ErrorClass::transform, transfer_.transform_->identity() + ": " + error.what());
    }
  }

  Transfer& transfer_;
  const Task& task_;
  CallContext& context_;
  Side& side_;
  const Item item_;
  Tap tap_;
  std::unique_ptr<Stream> stream_;
  std::optional<uint64_t> source_size_;
};

void Transfer::move_streamed(const Task& task, CallContext& context, Side& side) {
  const uint64_t part_size = std::min(choose_part_size(0, options_.part_size_bytes, destination_can_), largest_part);
  const uint64_t expected = task->record.stamp.size.value_or(part_size);
  uint64_t capacity = std::clamp(expected + expected / 8 + smallest_buffer, smallest_buffer, part_size);
  StreamedItem streamed(*this, task, context, side);
  BodyBuffer buffer;
  size_t filled = 0;
  // A transform may grow an item beyond the estimate; it is then read again into the largest buffer.
  for (;;) {
    buffer = BodyBuffer();
    buffer = scope_.bodies.take(capacity, scope_.cancel);
    streamed.open();
    if (settle_excluded(task, streamed.source_size())) return;
    filled = streamed.fill(buffer.bytes());
    if (filled < capacity || capacity == part_size) break;
    capacity = part_size;
  }
  if (filled == capacity) return stream_parts(task, streamed, buffer.bytes(), context, side);
  const Digest source_digest = streamed.finish();
  const auto data = buffer.bytes().first(filled);
  Digest digest;
  digest.crc64nvme = crc64nvme(data);
  put(task, Body(data, digest), source_digest, streamed.attributes(), context, side);
}

// `buffer` is full of the first part.
void Transfer::stream_parts(const Task& task, StreamedItem& streamed, std::span<std::byte> buffer, CallContext& context, Side& side) {
  if (!destination_can_.parts) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                "more than " + std::to_string(buffer.size()) + " bytes of unknown length, and the destination takes no parts");
  }
  WriteOptions write{streamed.attributes(), condition(*task)};
  if (task->maybe_ours && task->is_answer_lost) write.condition = Condition{};
  side = Side::destination;
  // What an earlier process left of this item cannot be gone on with: a stream starts again.
  if (const std::optional<UploadRecord> old = tracker_.upload(task->record.id); old && !old->upload_id.empty()) {
    try {
      destination_.begin_parts(task->destination_key, PartPlan{std::nullopt, old->part_size, old->upload_id}, write, context)->abort(context);
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::missing) throw;
    }
  }
  const std::unique_ptr<PartUpload> upload = begin_upload(task, PartPlan{std::nullopt, buffer.size(), ""}, write, context);
  std::optional<Error> problem;
  Digest source_digest;
  std::vector<PartInfo> parts;
  Crc64 crc = 0;
  uint64_t size = 0;
  try {
    for (size_t filled = buffer.size(); filled > 0; filled = filled < buffer.size() ? 0 : streamed.fill(buffer)) {
      if (parts.size() == destination_can_.max_parts) {
        throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                    "does not fit into " + std::to_string(parts.size()) + " parts of " + std::to_string(buffer.size()) + " bytes; larger parts would do");
      }
      const auto data = buffer.first(filled);
      const auto number = static_cast<uint32_t>(parts.size()) + 1;
      Digest digest;
      digest.crc64nvme = crc64nvme(data);
      side = Side::destination;
      WAYBILL_FAULT_POINT("write");
      PartInfo info = upload->write(number, size, Body(data, digest), context);
      WAYBILL_FAULT_POINT("part");
      info.number = number;
      info.size = filled;
      info.digest = digest;
      crc = crc64nvme_combine(crc, *digest.crc64nvme, filled);
      size += filled;
      parts.push_back(std::move(info));
      task->bytes_done = size;
      concurrency_.moved(filled);
      end_trial();
    }
    source_digest = streamed.finish();
    side = Side::destination;
    Stored stored = upload->complete(parts, context);
    WAYBILL_FAULT_POINT("complete");
    if (stored.size != size) {
      throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the destination stored something else than was sent").set_retryable();
    }
    stored.digest.crc64nvme = crc;
    ledger_.upload_ended(task->record.id);
    return copied(task, Basis::written, source_digest, std::move(stored));
  } catch (...) {
    problem = current_error();
  }
  if (problem->error_class() != ErrorClass::cancelled) {
    upload->abort(context);
    ledger_.upload_ended(task->record.id);
  }
  if (problem->error_class() != ErrorClass::conflict) throw *problem;
  if (settle_conflict(task, size, crc, source_digest, context, side)) return;
  task->is_answer_lost = true;  // ours to replace: the next try does
  throw Error(ErrorCode::aborted, ErrorClass::conflict, "the destination changed while it was written").set_retryable();
}

}  // namespace waybill::internal
