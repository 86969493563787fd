// SPDX-License-Identifier: Apache-2.0
//
// Large objects of Transfer: begun once, with the upload's id committed before its first part; each part read and
// written by one work; resumed inside after a crash from what ledger and store agree on.

#include <algorithm>

#include "base/fault_point.hpp"
#include "base/text.hpp"
#include "engine/transfer.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr uint64_t largest_contiguous = uint64_t{64} << 20;
constexpr uint64_t window_bytes = uint64_t{1} << 20;

bool is_stopped(const Error& error) { return error.error_class() == ErrorClass::cancelled; }

Error run_stops() { return Error(ErrorCode::cancelled, ErrorClass::cancelled, "the run stops"); }

}  // namespace

bool is_refusal(const Error& error) {
  return (error.http_status() >= 400 && error.http_status() < 500) || error.http_status() == 503;
}

void Transfer::begin_object(const Task& task, CallContext& context, Side& side) {
  ItemRecord& record = task->record;
  const uint64_t size = *record.stamp.size;
  // A smaller one comes here because the store did not copy it whole: it is streamed, in parts of the usual size.
  const bool is_copied = size > destination_can_.max_copy_bytes && locate(record).has_value();
  const uint64_t wished = is_copied ? std::max(options_.part_size_bytes, destination_can_.copy_part_bytes) : options_.part_size_bytes;
  const uint64_t part_size = choose_part_size(size, wished, destination_can_);
  // One byte tells the revision and the attributes that the object is begun with.
  std::byte first{};
  const ReadResult head = source_.read(item_of(record), 0, {&first, 1}, context);
  check_stamp(*task, head.stamp);
  task->read_stamp = head.stamp;

  side = Side::destination;
  WriteOptions write{head.attributes, condition(*task)};
  std::vector<PartInfo> done;
  std::unique_ptr<PartUpload> upload = resume_upload(task, part_size, write, done, context);
  if (upload == nullptr) {
    if (task->maybe_ours && write.condition.kind == Condition::Kind::absent && destination_.stat(task->destination_key, context)) {
      // Completed by a process that died before it could say so, or not ours: only the content tells.
      const auto read = [&](uint64_t offset, std::span<std::byte> out) { return source_.read(item_of(record), offset, out, context); };
      Digest digest;
      side = Side::source;
      digest.crc64nvme = crc_by_reading(read, size);
      if (settle_conflict(task, size, digest.crc64nvme, digest, context, side)) return;
      write.condition = Condition{};
    }
    upload = begin_upload(task, PartPlan{size, part_size, ""}, write, context);
  }
  task->bytes_done = 0;
  const bool in_order = options_.digest == DigestChoice::sha256;
  auto object = std::make_shared<LargeObject>(task, std::move(upload), size, part_size, std::move(done), in_order, head.stamp);
  if (object->is_whole()) return queue_.retry(Work{nullptr, object, 0, 0, 0, {}}, std::chrono::milliseconds(0));
  queue_.add_object(std::move(object));
}

// Begins an upload so that none is ever left open without a trace: that one is about to begin at this key is committed
// before, and its id after, both before the first part.
std::unique_ptr<PartUpload> Transfer::begin_upload(const Task& task, const PartPlan& plan, const WriteOptions& options,
                                                   CallContext& context) {
  UploadRecord begun;
  begun.id = task->record.id;
  begun.part_size = plan.part_size;
  begun.stamp = task->record.stamp;
  if (!ledger_.begin_upload(begun)) throw run_stops();
  task->is_write_begun = true;
  std::unique_ptr<PartUpload> upload;
  try {
    upload = destination_.begin_parts(task->destination_key, plan, options, context);
  } catch (const Error& error) {
    task->is_upload_lost = !is_refusal(error);
    // Where nothing was begun, what is open at this key is somebody else's.
    if (!task->is_upload_lost) ledger_.upload_ended(task->record.id);
    throw;
  }
  WAYBILL_FAULT_POINT("write");
  begun.upload_id = upload->id();
  if (!ledger_.begin_upload(std::move(begun))) throw run_stops();
  return upload;
}

// The upload that an earlier process left open, if it is of this revision and still there; `done` are the parts that
// ledger and store agree on.
std::unique_ptr<PartUpload> Transfer::resume_upload(const Task& task, uint64_t part_size, const WriteOptions& options,
                                                    std::vector<PartInfo>& done, CallContext& context) {
  const std::optional<UploadRecord> known = tracker_.upload(task->record.id);
  if (!known) return nullptr;
  if (known->upload_id.empty()) {
    if (task->is_upload_lost) drop_announced(*task, context);
    task->is_upload_lost = false;
    return nullptr;
  }
  std::unique_ptr<PartUpload> upload;
  try {
    upload = destination_.begin_parts(task->destination_key, PartPlan{task->record.stamp.size, known->part_size, known->upload_id},
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

// The answer to an earlier try's beginning was lost: what it has begun is open under an id that nobody was told.
void Transfer::drop_announced(const ItemTask& task, CallContext& context) {
  const OpenUpload announced{task.destination_key, ""};
  try {
    destination_.sweep({&announced, 1}, context);
  } catch (const Error& error) {
    if (error.retryable() || is_stopped(error)) throw;
    ledger_.event(EventKind::log, LogLevel::warning, "an upload of " + shown_key(announced.key) + " may stay open: " + error.message());
  }
}

void Transfer::run_part(const Work& work) {
  const Object& object = work.object;
  const uint32_t part = work.part;
  Side side = Side::source;
  LargeObject::Next next = LargeObject::Next::nothing;
  std::optional<Error> problem;
  try {
    if (object->has_failed()) {
      next = object->gave_up(std::nullopt);
    } else {
      CallContext context(scope_, work.failures + 1);
      context.check();
      BodyBuffer buffer;
      const bool was_written = object->is_written(part);
      std::optional<PartInfo> copied = copy_part(*object, part, context, side);
      PartInfo info = copied                                      ? std::move(*copied)
                      : object->length(part) > largest_contiguous ? move_windowed_part(*object, part, context, side)
                                                                  : move_part(*object, part, buffer, context, side);
      WAYBILL_FAULT_POINT("part");
      object->task()->bytes_done += info.size;
      concurrency_.moved(info.size);
      retries_.succeeded();
      end_trial();
      if (!was_written) ledger_.part_done(object->task()->record.id, info);
      next = object->finished(std::move(info), buffer.bytes());
      if (next == LargeObject::Next::nothing && object->is_in_order()) queue_.add_object(object);
    }
  } catch (...) {
    problem = current_error();
  }
  if (problem && part_failed(work, *problem, side, next)) return;
  if (next == LargeObject::Next::complete) complete_object(Work{nullptr, object, 0, 0, 0, {}});
  if (next == LargeObject::Next::close) close_object(object);
}

// True if the part is tried again; else the object is given up, and `next` says what that leaves to do.
bool Transfer::part_failed(Work work, Error problem, Side side, LargeObject::Next& next) {
  ItemTask& task = *work.object->task();
  if (problem.error_class() == ErrorClass::throttled) concurrency_.throttled();
  std::optional<std::chrono::milliseconds> wait;
  task.is_source_to_blame = side == Side::source;
  if (!is_dead_link(problem, side) && ends_run(problem)) problem = run_stops();
  if (is_stopped(problem)) {
    if (!queue_.is_stopped()) wait = std::chrono::milliseconds(0);
  } else if (problem.error_class() != ErrorClass::source_changed) {
    ++task.attempts_failed;
    ++task.attempts;
    try {
      wait = next_try(work, problem, side);
    } catch (...) {
      problem = current_error();
    }
  }
  if (wait) {
    queue_.retry(std::move(work), *wait);
    return true;
  }
  next = work.object->gave_up(std::move(problem));
  return false;
}

// A part that the store copies by itself, where it can.
std::optional<PartInfo> Transfer::copy_part(LargeObject& object, uint32_t part, CallContext& context, Side& side) {
  const std::optional<Locator> from = locate(object.task()->record);
  if (!from || object.is_written(part)) return std::nullopt;
  side = Side::destination;
  WAYBILL_FAULT_POINT("write");
  std::optional<PartInfo> info = object.upload().copy(part, *from, object.offset(part), object.length(part), context);
  side = Side::source;
  if (!info) return std::nullopt;
  info->number = part;
  info->size = object.length(part);
  return info;
}

PartInfo Transfer::move_part(LargeObject& object, uint32_t part, BodyBuffer& buffer, CallContext& context, Side& side) {
  const uint64_t offset = object.offset(part);
  const uint64_t length = object.length(part);
  buffer = scope_.bodies.take(length, scope_.cancel);
  const ReadResult result = source_.read(item_of(object.task()->record), offset, buffer.bytes(), context);
  check_same(object.stamp(), result.stamp);
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
  const uint64_t length = object.length(part);
  const Ticket ticket = scope_.bodies.acquire(window_bytes, scope_.cancel);
  Crc64 crc = 0;
  uint64_t hashed = 0;
  side = Side::destination;
  WAYBILL_FAULT_POINT("write");
  PartInfo info = object.upload().write(
      part, object.offset(part),
      Body(length, pulling(object.task(), object.stamp(), object.offset(part), length, crc, hashed, context, side)), context);
  if (hashed != length) {
    throw Error(ErrorCode::internal, ErrorClass::internal, "the destination did not read the part in order").set_retryable();
  }
  info.number = part;
  info.size = length;
  info.digest.crc64nvme = crc;
  return info;
}

// A windowed body: reads `length` bytes of the source from `base` on as the destination pulls them, and hashes them.
std::function<size_t(uint64_t, std::span<std::byte>)> Transfer::pulling(const Task& task, const SourceStamp& stamp, uint64_t base,
                                                                        uint64_t length, Crc64& crc, uint64_t& hashed,
                                                                        CallContext& context, Side& side) {
  return [this, item = item_of(task->record), stamp, base, length, &crc, &hashed, &context, &side](uint64_t offset,
                                                                                                   std::span<std::byte> out) {
    const auto window = out.first(std::min<uint64_t>(out.size(), length - offset));
    side = Side::source;
    const ReadResult result = source_.read(item, base + offset, window, context);
    check_same(stamp, result.stamp);
    if (result.count != window.size()) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed, "ended before byte " + std::to_string(base + offset + window.size()))
          .set_retryable();
    }
    side = Side::destination;
    if (offset == 0) crc = hashed = 0;  // a repeated write starts again
    if (offset == hashed) {
      crc = crc64nvme(window, crc);
      hashed += window.size();
    }
    return result.count;
  };
}

void Transfer::complete_object(const Work& work) {
  const Object& object = work.object;
  const Task& task = object->task();
  Side side = Side::destination;
  std::optional<Error> problem;
  try {
    CallContext context(scope_, work.failures + 1);
    context.check();
    const Digest digest = object->digest();
    Stored stored;
    try {
      stored = object->upload().complete(object->parts(), context);
      WAYBILL_FAULT_POINT("complete");
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::conflict) throw;
      if (!complete_conflicted(object, digest, context, side)) queue_.retry(Work{task, nullptr, 0, 0, 0, {}}, std::chrono::milliseconds(0));
      return;
    }
    if (stored.size != object->size() ||
        (stored.digest.crc64nvme && digest.crc64nvme && stored.digest.crc64nvme != digest.crc64nvme)) {
      throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the destination stored something else than was sent");
    }
    if (!stored.digest.crc64nvme) stored.digest.crc64nvme = digest.crc64nvme;
    ledger_.upload_ended(task->record.id);
    return copied(task, Basis::written, digest, std::move(stored));
  } catch (...) {
    problem = current_error();
  }
  if (is_stopped(*problem) || ends_run(*problem)) return put_back(work);
  ++task->attempts_failed;
  ++task->attempts;
  task->is_source_to_blame = side == Side::source;
  if (blames_endpoint(problem->error_class())) task->maybe_ours = task->is_answer_lost = true;
  Work again = work;
  std::optional<std::chrono::milliseconds> wait;
  try {
    wait = next_try(again, *problem, side);
  } catch (...) {
    return put_back(work);
  }
  if (wait) return queue_.retry(std::move(again), *wait);
  object->gave_up_whole(*problem);
  close_object(object);
}

// Something appeared at the key since the upload began. True if the item is settled by what is there.
bool Transfer::complete_conflicted(const Object& object, const Digest& digest, CallContext& context, Side& side) {
  const Task& task = object->task();
  const ItemId id = task->record.id;  // a settled item has none any more
  const auto drop = [&] {
    try {
      object->upload().abort(context);
      ledger_.upload_ended(id);
    } catch (...) {
      // Stays in the ledger: tidied at the end of the run, or by the next one.
    }
  };
  bool is_settled = false;
  try {
    is_settled = settle_conflict(task, object->size(), digest.crc64nvme, digest, context, side);
  } catch (...) {
    drop();
    throw;
  }
  drop();
  return is_settled;
}

// The last work of an object that failed: what is written of it is removed, unless the run stops and will go on with it.
void Transfer::close_object(const Object& object) {
  const Task& task = object->task();
  const Error error = object->error();
  if (is_stopped(error)) return queue_.leave(*task);
  try {
    CallContext context(scope_);
    object->upload().abort(context);
    ledger_.upload_ended(task->record.id);
  } catch (...) {
    if (is_stopped(current_error())) return queue_.leave(*task);
    // Stays in the ledger: tidied at the end of the run, or by the next one.
  }
  task->bytes_done = 0;
  const bool has_moved_on = error.error_class() == ErrorClass::source_changed || error.error_class() == ErrorClass::missing;
  const Side side = task->is_source_to_blame ? Side::source : Side::destination;
  if (has_moved_on || is_dead_link(error, side)) return failed(Work{task, nullptr, 0, 0, 0, {}}, error, Side::source);
  settle_failed(task, error);
}

}  // namespace waybill::internal
