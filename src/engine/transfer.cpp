// SPDX-License-Identifier: Apache-2.0

#include "engine/transfer.hpp"

#include <algorithm>

#include "base/fault_point.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "engine/decide.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

constexpr int most_source_changes = 5;
// After a change the source gets time to come to rest.
constexpr milliseconds after_change{300};
constexpr std::chrono::seconds probe_pause{2};
constexpr size_t window_bytes = 1 << 20;

Error wrap_unknown(const std::exception& error) {
  return Error(ErrorCode::internal, ErrorClass::internal, std::string("the connector threw: ") + error.what());
}

Failure failure_of(const Error& error, uint32_t attempts) {
  Failure failure;
  failure.error_class = error.error_class();
  failure.code = error.code();
  failure.message = error.message();
  failure.retryable = error.retryable();
  failure.http_status = error.http_status();
  failure.provider_code = error.provider_code();
  failure.request_id = error.request_id();
  failure.attempts = attempts;
  failure.at_ms = now_ms();
  return failure;
}

bool is_folder(const ItemRecord& record) { return record.id.key.ends_with('/') && record.stamp.size == uint64_t{0}; }

}  // namespace

Item item_of(const ItemRecord& record) {
  Item item;
  item.id = record.id;
  item.stamp = record.stamp;
  return item;
}

Crc64 crc_by_reading(const std::function<ReadResult(uint64_t, std::span<std::byte>)>& read, uint64_t size, const RunScope& scope) {
  BodyBuffer buffer = scope.bodies.take(std::min<uint64_t>(std::max<uint64_t>(size, 1), window_bytes), scope.cancel);
  Crc64 crc = 0;
  for (uint64_t offset = 0; offset < size;) {
    const auto window = buffer.bytes().first(std::min<uint64_t>(window_bytes, size - offset));
    const size_t count = read(offset, window).count;
    if (count == 0) {
      throw Error(ErrorCode::data_loss, ErrorClass::network, "ended after " + std::to_string(offset) + " of " +
                                                                 std::to_string(size) + " bytes").set_retryable();
    }
    crc = crc64nvme(window.first(count), crc);
    offset += count;
  }
  return crc;
}

bool has_same_content(Source& source, const Item& item, std::optional<Crc64> source_crc, Destination& destination,
                      const Item& there, const RunScope& scope, Context& context) {
  if (there.refused != ErrorClass::none || !item.stamp.size || item.stamp.size != there.stamp.size) return false;
  const uint64_t size = *item.stamp.size;
  const auto of_source = [&](uint64_t offset, std::span<std::byte> out) { return source.read(item, offset, out, context); };
  const auto of_there = [&](uint64_t offset, std::span<std::byte> out) { return destination.read(there, offset, out, context); };
  const Crc64 expected = source_crc ? *source_crc : crc_by_reading(of_source, size, scope);
  return expected == (there.digest.crc64nvme ? *there.digest.crc64nvme : crc_by_reading(of_there, size, scope));
}

Transfer::Transfer(const Parts& parts)
    : source_(parts.source),
      destination_(parts.destination),
      transform_(parts.transform),
      tracker_(parts.tracker),
      ledger_(parts.ledger),
      queue_(parts.queue),
      retry_(parts.retry),
      concurrency_(parts.concurrency),
      scope_(parts.scope),
      options_(parts.options),
      source_can_(parts.source.capabilities()),
      destination_can_(parts.destination.capabilities()) {}

void Transfer::run(const Work& work) {
  if (work.object != nullptr) return run_part(work.object, work.part);
  Side side = Side::source;
  try {
    ++work.item->attempts;
    move_item(work.item, side);
  } catch (const Error& error) {
    failed(work.item, error, side);
  } catch (const std::exception& error) {
    failed(work.item, wrap_unknown(error), side);
  }
}

void Transfer::move_item(const Task& task, Side& side) {
  CallContext context(scope_, static_cast<int>(task->attempts.load()));
  context.check();
  if (look_closer(task, context, side)) return;
  side = Side::source;
  if (transform_ != nullptr && !is_folder(task->record)) return move_streamed(task, context, side);
  if (!source_can_.positioned || !task->record.stamp.size) return move_streamed(task, context, side);
  if (*task->record.stamp.size > options_.part_threshold_bytes && destination_can_.parts) return begin_object(task, context, side);
  move_small(task, context, side);
}

// Settles an item whose key is taken: true if that is its end, false if it is to be moved.
bool Transfer::look_closer(const Task& task, CallContext& context, Side& side) {
  ItemRecord& record = task->record;
  if (options_.overwrite == Overwrite::always) return false;
  if (record.seen != DestinationSeen::present && record.seen != DestinationSeen::unknown) return false;
  side = Side::destination;
  const std::optional<Item> there = destination_.stat(record.id.key, context);
  if (!there) {
    record.seen = DestinationSeen::absent;
    return false;
  }
  if (record.stored && is_still_stored(*record.stored, *there) && options_.overwrite == Overwrite::own) {
    record.seen = DestinationSeen::ours;
    return false;
  }
  Basis basis = Basis::none;
  Digest digest;
  const bool is_same_size = record.stamp.size && record.stamp.size == there->stamp.size && there->refused == ErrorClass::none;
  if (transform_ == nullptr && is_same_size) {
    if (record.stamp.mtime_ns && record.stamp.mtime_ns == there->stamp.mtime_ns) {
      basis = Basis::matched_weak;
    } else if (source_can_.positioned) {
      CallContext reading(scope_, context.attempt());
      side = Side::source;
      const Item item = item_of(record);
      const auto read = [&](uint64_t offset, std::span<std::byte> out) { return source_.read(item, offset, out, reading); };
      digest.crc64nvme = crc_by_reading(read, *record.stamp.size, scope_);
      side = Side::destination;
      if (has_same_content(source_, item, digest.crc64nvme, destination_, *there, scope_, context)) basis = Basis::matched_checksum;
    }
  }
  if (basis == Basis::none) {
    if (task->maybe_ours) return false;
    throw Error(ErrorCode::already_exists, ErrorClass::occupied, occupied_reason(*there));
  }
  record.change = Change::unchanged;
  Stored stored;
  stored.size = there->stamp.size.value_or(0);
  stored.etag = there->stamp.etag;
  stored.mtime_ns = there->stamp.mtime_ns;
  copied(task, basis, digest, std::move(stored));
  return true;
}

void Transfer::check_stamp(const ItemTask& task, const SourceStamp& stamp) const {
  if (!source_can_.lists_stamps || stamp == SourceStamp{} || stamp == task.record.stamp) return;
  throw Error(ErrorCode::aborted, ErrorClass::source_changed, "changed at the source while it was moved").set_retryable();
}

void Transfer::move_small(const Task& task, CallContext& context, Side& side) {
  const uint64_t size = *task->record.stamp.size;
  if (size > destination_can_.max_put_bytes) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                std::to_string(size) + " bytes are more than the destination takes in one piece");
  }
  const Item item = item_of(task->record);
  BodyBuffer buffer = scope_.bodies.take(size, scope_.cancel);
  const ReadResult result = source_.read(item, 0, buffer.bytes(), context);
  check_stamp(*task, result.stamp);
  if (result.count != size || (result.total_size && *result.total_size != size)) {
    throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                "has " + std::to_string(result.total_size.value_or(result.count)) + " bytes, and was listed with " + std::to_string(size))
        .set_retryable();
  }
  Digest digest;
  digest.crc64nvme = crc64nvme(buffer.bytes());
  if (options_.digest == DigestChoice::sha256) digest.sha256 = sha256(buffer.bytes());
  put(task, Body(buffer.bytes(), digest), digest, result.attributes, context, side);
}

Condition Transfer::condition(const ItemTask& task) const {
  Condition condition;
  if (options_.overwrite == Overwrite::always || task.record.seen == DestinationSeen::present) return condition;
  if (task.record.seen == DestinationSeen::ours && task.record.stored) {
    condition.kind = Condition::Kind::unchanged;
    condition.etag = task.record.stored->etag;
    condition.size = task.record.stored->size;
    condition.mtime_ns = task.record.stored->mtime_ns;
  } else {
    condition.kind = Condition::Kind::absent;
  }
  return condition;
}

void Transfer::put(const Task& task, const Body& body, const Digest& source_digest, const Attributes& attributes,
                   CallContext& context, Side& side) {
  side = Side::destination;
  WriteOptions write{attributes, condition(*task)};
  Stored stored;
  WAYBILL_FAULT_POINT("write");
  try {
    stored = destination_.put(task->record.id.key, body, write, context);
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::conflict) throw;
    if (settle_conflict(task, transform_ == nullptr ? source_digest.crc64nvme : std::nullopt, context, side)) return;
    write.condition = Condition{};
    stored = destination_.put(task->record.id.key, body, write, context);
  }
  WAYBILL_FAULT_POINT("put_done");
  if (stored.size != body.size() ||
      (stored.digest.crc64nvme && body.digest().crc64nvme && stored.digest.crc64nvme != body.digest().crc64nvme)) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the destination stored something else than was sent").set_retryable();
  }
  if (!stored.digest.crc64nvme) stored.digest.crc64nvme = body.digest().crc64nvme;
  task->bytes_done = body.size();
  concurrency_.moved(body.size());
  copied(task, Basis::written, source_digest, std::move(stored));
}

// The condition of a write was not met. True if the item is settled: what is there is the same, by an earlier try whose
// answer was lost or by somebody else. False if what is there is ours to replace. Errors: occupied.
bool Transfer::settle_conflict(const Task& task, std::optional<Crc64> source_crc, CallContext& context, Side& side) {
  side = Side::destination;
  const std::optional<Item> there = destination_.stat(task->record.id.key, context);
  if (!there) {
    task->record.seen = DestinationSeen::absent;
    throw Error(ErrorCode::aborted, ErrorClass::conflict, "the destination changed while it was written").set_retryable();
  }
  const Item item = item_of(task->record);
  const bool can_compare = transform_ == nullptr && (source_crc || source_can_.positioned);
  if (can_compare && has_same_content(source_, item, source_crc, destination_, *there, scope_, context)) {
    Stored stored;
    stored.size = there->stamp.size.value_or(0);
    stored.etag = there->stamp.etag;
    stored.mtime_ns = there->stamp.mtime_ns;
    Digest digest;
    digest.crc64nvme = source_crc;
    stored.digest = digest;
    copied(task, task->maybe_ours ? Basis::written : Basis::matched_checksum, digest, std::move(stored));
    return true;
  }
  if (!task->maybe_ours) throw Error(ErrorCode::already_exists, ErrorClass::occupied, occupied_reason(*there));
  return false;
}

void Transfer::copied(const Task& task, Basis basis, const Digest& digest, Stored stored) {
  ItemChange change;
  change.record = task->record;
  change.record.state = ItemState::copied;
  change.record.basis = basis;
  change.record.error_class = ErrorClass::none;
  change.record.digest = digest;
  change.record.stored = std::move(stored);
  change.record.seen = DestinationSeen::ours;
  change.record.copied_at_ms = now_ms();
  change.attempts = task->attempts;
  change.attempts_failed = task->attempts_failed;
  retry_.succeeded();
  queue_.leave(*task);
  ledger_.outcome(std::move(change));
}

void Transfer::failed(const Task& task, const Error& error, Side side) {
  if (error.error_class() == ErrorClass::cancelled) return put_back(Work{task, nullptr, 0}, *task);
  ++task->attempts_failed;
  if (error.error_class() == ErrorClass::throttled) concurrency_.throttled();
  try {
    const bool is_of_source = side == Side::source;
    if (is_of_source && (error.error_class() == ErrorClass::missing || error.error_class() == ErrorClass::source_changed)) {
      if (!refresh(task, error)) return;
    } else if (side == Side::destination && blames_endpoint(error.error_class())) {
      task->maybe_ours = true;  // a write without an answer may have happened
    }
    if (const auto wait = next_try(*task, error, side)) return queue_.retry(Work{task, nullptr, 0}, *wait);
    settle_failed(task, error);
  } catch (const Error& second) {
    if (second.error_class() == ErrorClass::cancelled) return put_back(Work{task, nullptr, 0}, *task);
    settle_failed(task, second);
  }
}

// A work that was cancelled: where the run stops, the row stays pending; where only what was in flight had to stop
// because the lease could not be renewed, it is tried again once that is over.
void Transfer::put_back(const Work& work, ItemTask& task) {
  if (queue_.is_stopped()) return queue_.leave(task);
  queue_.retry(work, milliseconds(0));
}

// Looks at the source again after it changed, or was gone, under our hands. False if the item is settled by it.
bool Transfer::refresh(const Task& task, const Error& error) {
  CallContext context(scope_, static_cast<int>(task->attempts.load()));
  std::optional<Item> now;
  try {
    now = source_.stat(task->record.id, context);
  } catch (const Error& stat_error) {
    if (stat_error.error_class() == ErrorClass::cancelled || stat_error.retryable()) throw;
    settle_failed(task, stat_error);
    return false;
  }
  if (!now) {
    settle_vanished(task);
    return false;
  }
  if (now->refused != ErrorClass::none) {
    settle_failed(task, Error(ErrorCode::failed_precondition, now->refused, now->reason));
    return false;
  }
  if (++task->source_changes > most_source_changes) {
    settle_failed(task, Error(ErrorCode::aborted, error.error_class(),
                              "kept changing: " + std::to_string(most_source_changes) + " tries met a different revision each"));
    return false;
  }
  task->record.stamp = now->stamp;
  queue_.retry(Work{task, nullptr, 0}, after_change * task->source_changes);
  return false;
}

// An endpoint that is down for everybody must not use up the attempts of whoever asks it first: such failures count only
// once something has succeeded since, or the store answers a check.
bool Transfer::counts_against_item(ItemTask& task, const Error& error, Side side) {
  if (!blames_endpoint(error.error_class())) return true;
  retry_.endpoint_failed();
  if (retry_.succeeded_since(task.first_failure)) return true;
  std::scoped_lock lock(probe_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - probed_at_ < probe_pause) return probe_answered_;
  try {
    CallContext context(scope_);
    side == Side::source ? source_.check(context) : destination_.check(context);
    probe_answered_ = true;
  } catch (const Error& probe) {
    if (probe.error_class() == ErrorClass::cancelled) throw;
    probe_answered_ = !blames_endpoint(probe.error_class());
  }
  probed_at_ = std::chrono::steady_clock::now();
  return probe_answered_;
}

std::optional<milliseconds> Transfer::next_try(ItemTask& task, const Error& error, Side side) {
  if (!error.retryable()) return std::nullopt;
  if (task.first_failure == std::chrono::steady_clock::time_point{}) task.first_failure = std::chrono::steady_clock::now();
  if (counts_against_item(task, error, side)) ++task.tries_counted;
  if (task.tries_counted >= static_cast<uint32_t>(options_.max_attempts)) return std::nullopt;
  return retry_.delay(static_cast<int>(task.attempts_failed), error);
}

void Transfer::settle_failed(const Task& task, const Error& error) {
  ItemChange change;
  change.record = task->record;
  change.record.state = ItemState::failed;
  change.record.error_class = error.error_class();
  change.attempts = task->attempts;
  change.attempts_failed = std::max<uint32_t>(task->attempts_failed, 1);
  change.failure = failure_of(error, task->attempts);
  queue_.leave(*task);
  ledger_.event(EventKind::error, LogLevel::error, printable(task->record.id.key) + ": " + error.message());
  ledger_.outcome(std::move(change));
}

void Transfer::settle_vanished(const Task& task) {
  ItemChange change;
  change.record = task->record;
  const bool was_copied = change.record.copied_at_ms.has_value();
  change.record.error_class = ErrorClass::missing;
  change.record.state = was_copied ? ItemState::copied : ItemState::vanished;
  change.record.gone_at_source = was_copied;
  change.attempts = task->attempts;
  change.attempts_failed = task->attempts_failed;
  change.failure = refusal(ErrorClass::missing, "listed, and gone from the source before it was copied");
  queue_.leave(*task);
  ledger_.outcome(std::move(change));
}

}  // namespace waybill::internal
