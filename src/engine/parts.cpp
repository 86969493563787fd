// SPDX-License-Identifier: Apache-2.0
//
// Large objects of Transfer: begun once, with the upload's id committed before its first part; each part read and
// written by one work; resumed inside after a crash from what ledger and store agree on.

#include <algorithm>

#include "base/fault_point.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

constexpr uint64_t largest_contiguous = uint64_t{64} << 20;
constexpr uint64_t window_bytes = uint64_t{1} << 20;

}  // namespace

void Transfer::begin_object(const Task& task, CallContext& context, Side& side) {
  ItemRecord& record = task->record;
  const uint64_t size = *record.stamp.size;
  const uint64_t part_size = choose_part_size(size, options_.part_size_bytes, destination_can_);
  // One byte tells the revision and the attributes that the object is begun with.
  std::byte first{};
  const ReadResult head = source_.read(item_of(record), 0, {&first, 1}, context);
  check_stamp(*task, head.stamp);

  side = Side::destination;
  WriteOptions write{head.attributes, condition(*task)};
  if (task->maybe_ours) write.condition = Condition{};
  std::vector<PartInfo> done;
  std::unique_ptr<PartUpload> upload = resume_upload(task, part_size, write, done, context);
  if (upload == nullptr) {
    upload = destination_.begin_parts(record.id.key, PartPlan{size, part_size, ""}, write, context);
    UploadRecord begun;
    begun.id = record.id;
    begun.upload_id = upload->id();
    begun.part_size = part_size;
    begun.stamp = record.stamp;
    if (!ledger_.begin_upload(std::move(begun))) {
      throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the run stops");
    }
  }
  task->bytes_done = 0;
  const bool in_order = options_.digest == DigestChoice::sha256;
  auto object = std::make_shared<LargeObject>(task, std::move(upload), size, part_size, std::move(done), in_order);
  if (object->is_whole()) return queue_.retry(Work{nullptr, object, 0}, std::chrono::milliseconds(0));
  queue_.add_object(std::move(object));
}

// The upload that an earlier process left open, if it is of this revision and still there; `done` are the parts that
// ledger and store agree on.
std::unique_ptr<PartUpload> Transfer::resume_upload(const Task& task, uint64_t part_size, const WriteOptions& options,
                                                    std::vector<PartInfo>& done, CallContext& context) {
  const std::optional<UploadRecord> known = tracker_.upload(task->record.id);
  if (!known) return nullptr;
  std::unique_ptr<PartUpload> upload;
  try {
    upload = destination_.begin_parts(task->record.id.key, PartPlan{task->record.stamp.size, known->part_size, known->upload_id},
                                      options, context);
    if (known->stamp != task->record.stamp || known->part_size != part_size) {
      upload->abort(context);
      ledger_.upload_ended(task->record.id);
      return nullptr;
    }
    const std::vector<PartInfo> held = upload->existing(context);
    for (const PartInfo& part : known->parts) {
      const auto same = [&](const PartInfo& other) {
        return other.number == part.number && other.size == part.size && other.etag == part.etag;
      };
      if (!destination_can_.lists_parts || std::any_of(held.begin(), held.end(), same)) done.push_back(part);
    }
    return upload;
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::missing) throw;
    ledger_.upload_ended(task->record.id);
    return nullptr;
  }
}

void Transfer::run_part(const Object& object, uint32_t part) {
  if (part == 0) return complete_object(object);
  Side side = Side::source;
  LargeObject::Next next = LargeObject::Next::nothing;
  std::optional<Error> problem;
  try {
    if (object->has_failed()) {
      next = object->gave_up(std::nullopt);
    } else {
      CallContext context(scope_, static_cast<int>(object->task()->attempts.load()));
      context.check();
      BodyBuffer buffer;
      const bool was_written = object->is_written(part);
      PartInfo info = object->length(part) > largest_contiguous ? move_windowed_part(*object, part, context, side)
                                                                : move_part(*object, part, buffer, context, side);
      WAYBILL_FAULT_POINT("part");
      object->task()->bytes_done += info.size;
      concurrency_.moved(info.size);
      retry_.succeeded();
      if (!was_written) ledger_.part_done(object->task()->record.id, info);
      next = object->finished(std::move(info), buffer.bytes());
      if (next == LargeObject::Next::nothing) queue_.add_object(object);  // hands out nothing unless parts go in order
    }
  } catch (const Error& error) {
    problem = error;
  } catch (const std::exception& error) {
    problem = Error(ErrorCode::internal, ErrorClass::internal, std::string("the connector threw: ") + error.what());
  }
  if (problem) {
    ItemTask& task = *object->task();
    if (problem->error_class() == ErrorClass::throttled) concurrency_.throttled();
    std::optional<std::chrono::milliseconds> wait;
    if (problem->error_class() != ErrorClass::cancelled && problem->error_class() != ErrorClass::source_changed) {
      ++task.attempts_failed;
      ++task.attempts;
      try {
        wait = next_try(task, *problem, side);
      } catch (const Error& stopped) {
        problem = stopped;
      }
    }
    if (problem->error_class() == ErrorClass::cancelled && !queue_.is_stopped()) wait = std::chrono::milliseconds(0);
    if (wait) return queue_.retry(Work{nullptr, object, part}, *wait);
    next = object->gave_up(std::move(problem));
  }
  if (next == LargeObject::Next::complete) complete_object(object);
  if (next == LargeObject::Next::close) close_object(object);
}

PartInfo Transfer::move_part(LargeObject& object, uint32_t part, BodyBuffer& buffer, CallContext& context, Side& side) {
  const uint64_t offset = object.offset(part);
  const uint64_t length = object.length(part);
  buffer = scope_.bodies.take(length, scope_.cancel);
  const ReadResult result = source_.read(item_of(object.task()->record), offset, buffer.bytes(), context);
  check_stamp(*object.task(), result.stamp);
  if (result.count != length) {
    throw Error(ErrorCode::data_loss, ErrorClass::source_changed, "ended before byte " + std::to_string(offset + length)).set_retryable();
  }
  Digest digest;
  digest.crc64nvme = crc64nvme(buffer.bytes());
  side = Side::destination;
  PartInfo info;
  if (object.is_written(part)) {
    info = object.parts()[part - 1];
  } else {
    WAYBILL_FAULT_POINT("write");
    info = object.upload().write(part, offset, Body(buffer.bytes(), digest), context);
  }
  info.number = part;
  info.size = length;
  info.digest.crc64nvme = digest.crc64nvme;
  return info;
}

PartInfo Transfer::move_windowed_part(LargeObject& object, uint32_t part, CallContext& context, Side& side) {
  if (options_.digest == DigestChoice::sha256) {
    throw Error(ErrorCode::unimplemented, ErrorClass::unsupported,
                "no SHA-256 of an object whose parts are beyond 64 MiB; use --digest crc64nvme for it");
  }
  const uint64_t base = object.offset(part);
  const uint64_t length = object.length(part);
  const Item item = item_of(object.task()->record);
  const Ticket ticket = scope_.bodies.acquire(window_bytes, scope_.cancel);
  Crc64 crc = 0;
  uint64_t hashed = 0;
  const auto pull = [&](uint64_t offset, std::span<std::byte> out) {
    const auto window = out.first(std::min<uint64_t>(out.size(), length - offset));
    side = Side::source;
    const ReadResult result = source_.read(item, base + offset, window, context);
    check_stamp(*object.task(), result.stamp);
    if (result.count != window.size()) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed, "ended before byte " + std::to_string(base + offset + window.size()))
          .set_retryable();
    }
    side = Side::destination;
    if (offset == 0) crc = hashed = 0;
    if (offset == hashed) {
      crc = crc64nvme(window, crc);
      hashed += window.size();
    }
    return result.count;
  };
  side = Side::destination;
  WAYBILL_FAULT_POINT("write");
  PartInfo info = object.upload().write(part, base, Body(length, pull), context);
  if (hashed != length) {
    throw Error(ErrorCode::internal, ErrorClass::internal, "the destination did not read the part in order").set_retryable();
  }
  info.number = part;
  info.size = length;
  info.digest.crc64nvme = crc;
  return info;
}

void Transfer::complete_object(const Object& object) {
  const Task& task = object->task();
  Side side = Side::destination;
  try {
    CallContext context(scope_, static_cast<int>(task->attempts.load()));
    context.check();
    Digest digest = object->digest();
    Stored stored;
    try {
      stored = object->upload().complete(object->parts(), context);
      WAYBILL_FAULT_POINT("complete");
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::conflict) throw;
      // Something appeared at the key since the upload began. The same content: settled. Ours to replace: once more.
      const bool is_settled = settle_conflict(task, digest.crc64nvme, context, side);
      object->upload().abort(context);
      ledger_.upload_ended(task->record.id);
      if (!is_settled) queue_.retry(Work{task, nullptr, 0}, std::chrono::milliseconds(0));
      return;
    }
    if (stored.size != object->size() ||
        (stored.digest.crc64nvme && digest.crc64nvme && stored.digest.crc64nvme != digest.crc64nvme)) {
      throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the destination stored something else than was sent");
    }
    if (!stored.digest.crc64nvme) stored.digest.crc64nvme = digest.crc64nvme;
    ledger_.upload_ended(task->record.id);
    copied(task, Basis::written, digest, std::move(stored));
  } catch (const Error& error) {
    if (error.error_class() == ErrorClass::cancelled) return put_back(Work{nullptr, object, 0}, *task);
    ++task->attempts_failed;
    ++task->attempts;
    std::optional<std::chrono::milliseconds> wait;
    try {
      wait = next_try(*task, error, side);
    } catch (const Error&) {
      return put_back(Work{nullptr, object, 0}, *task);
    }
    if (wait && error.error_class() != ErrorClass::missing) return queue_.retry(Work{nullptr, object, 0}, *wait);
    try {
      CallContext context(scope_);
      object->upload().abort(context);
    } catch (const Error&) {
      // The ledger keeps nothing of it; the destination's sweep, or its lifecycle rule, removes the rest.
    }
    ledger_.upload_ended(task->record.id);
    settle_failed(task, error);
  }
}

// The last work of an object that failed: what is written of it is removed, unless the run stops and will go on with it.
void Transfer::close_object(const Object& object) {
  const Task& task = object->task();
  const Error error = object->error();
  if (error.error_class() == ErrorClass::cancelled) return queue_.leave(*task);
  try {
    CallContext context(scope_);
    object->upload().abort(context);
    ledger_.upload_ended(task->record.id);
  } catch (const Error& abort_error) {
    if (abort_error.error_class() == ErrorClass::cancelled) return queue_.leave(*task);
    // Stays in the ledger: the next run tries again.
  }
  task->bytes_done = 0;
  if (error.error_class() == ErrorClass::source_changed || error.error_class() == ErrorClass::missing) {
    return failed(task, error, Side::source);
  }
  settle_failed(task, error);
}

}  // namespace waybill::internal
