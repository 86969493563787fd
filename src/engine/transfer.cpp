// SPDX-License-Identifier: Apache-2.0

#include "engine/transfer.hpp"

#include <algorithm>

#include "base/fault_point.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "engine/decide.hpp"
#include "engine/filter.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

constexpr int most_source_changes = 5;
// After a change the source gets time to come to rest.
constexpr milliseconds after_change{300};
constexpr std::chrono::seconds probe_pause{2};
// Small enough not to be drawn from the budget for bodies, which whoever compares already holds a share of.
constexpr size_t window_bytes = 256 << 10;
constexpr uint64_t largest_contiguous = uint64_t{64} << 20;

// What is known of a revision before it is read, where listings tell none.
SourceStamp size_alone(const SourceStamp& stamp) {
  SourceStamp alone;
  alone.size = stamp.size;
  return alone;
}

}  // namespace

bool is_folder(const ItemRecord& record) { return record.id.key.ends_with('/') && record.stamp.size == uint64_t{0}; }

Item item_of(const ItemRecord& record) {
  Item item;
  item.id = record.id;
  item.stamp = record.stamp;
  return item;
}

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    return Error(ErrorCode::internal, ErrorClass::internal, std::string("the connector threw: ") + error.what());
  } catch (...) {
    return Error(ErrorCode::internal, ErrorClass::internal, "the connector threw something that is not an exception");
  }
}

Crc64 crc_by_reading(const std::function<ReadResult(uint64_t, std::span<std::byte>)>& read, uint64_t size) {
  std::vector<std::byte> buffer(std::min<uint64_t>(size, window_bytes));
  return crc_by_reading(read, size, buffer);
}

Crc64 crc_by_reading(const std::function<ReadResult(uint64_t, std::span<std::byte>)>& read, uint64_t size,
                     std::span<std::byte> buffer) {
  Crc64 crc = 0;
  for (uint64_t offset = 0; offset < size;) {
    const auto window = buffer.first(std::min<uint64_t>(buffer.size(), size - offset));
    const size_t count = read(offset, window).count;
    if (count == 0) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                  "ended after " + std::to_string(offset) + " of " + std::to_string(size) + " bytes")
          .set_retryable();
    }
    crc = crc64nvme(window.first(count), crc);
    offset += count;
  }
  return crc;
}

bool has_content(Destination& destination, const Item& there, uint64_t size, Crc64 crc, Context& context) {
  if (there.refused != ErrorClass::none || there.stamp.size != size) return false;
  const auto read = [&](uint64_t offset, std::span<std::byte> out) { return destination.read(there, offset, out, context); };
  return crc == (there.digest.crc64nvme ? *there.digest.crc64nvme : crc_by_reading(read, size));
}

Transfer::Transfer(const Parts& parts)
    : source_(parts.source),
      destination_(parts.destination),
      transform_(parts.transform),
      tracker_(parts.tracker),
      ledger_(parts.ledger),
      queue_(parts.queue),
      retries_(parts.retries),
      concurrency_(parts.concurrency),
      scope_(parts.scope),
      options_(parts.options),
      source_can_(parts.source.capabilities()),
      destination_can_(parts.destination.capabilities()),
      is_one_store_(options_.server_side_copy && transform_ == nullptr && options_.digest != DigestChoice::sha256 &&
                    destination_can_.copies && source_.endpoint() == destination_.endpoint()),
      broken_(parts.broken) {}

void Transfer::run(const Work& work) {
  try {
    run_work(work);
  } catch (...) {
    broken_(std::current_exception());
  }
}

void Transfer::run_work(const Work& work) {
  if (work.object != nullptr) return work.part == 0 ? complete_object(work) : run_part(work);
  Side side = Side::source;
  std::optional<Error> problem;
  try {
    ++work.item->attempts;
    move_item(work.item, side);
  } catch (...) {
    problem = current_error();
  }
  if (problem) failed(work, *problem, side);
}

void Transfer::move_item(const Task& task, Side& side) {
  CallContext context(scope_, static_cast<int>(task->attempts.load()));
  context.check();
  if (look_closer(task, context, side) || settle_unchanged(task, context, side)) return;
  side = Side::source;
  if (transform_ != nullptr && !is_folder(task->record)) return move_streamed(task, context, side);
  if (!source_can_.positioned || !task->record.stamp.size) return move_streamed(task, context, side);
  if (is_one_store_ && copy_inside(task, context, side)) return;
  try {
    return move_by_size(task, context, side);
  } catch (const Error& error) {
    if (side != Side::source || error.code() != ErrorCode::unimplemented) throw;
  }
  move_streamed(task, context, side);  // a source that positions, but not in this item
}

void Transfer::move_by_size(const Task& task, CallContext& context, Side& side) {
  if (*task->record.stamp.size > options_.part_threshold_bytes && destination_can_.parts) return begin_object(task, context, side);
  move_small(task, context, side);
}

// Where listings tell no revisions, an item that was copied comes here to be asked for: true if the source still has what
// was copied, and it is there. What it has else is moved as any other revision.
bool Transfer::settle_unchanged(const Task& task, CallContext& context, Side& side) {
  ItemRecord& record = task->record;
  const bool is_claimed = record.basis == Basis::matched_weak && !tells_revision(record.stamp);
  const bool is_asked = !source_can_.lists_stamps && !task->is_looked_at && record.copied_at_ms && record.stored &&
                        record.seen == DestinationSeen::ours && (is_claimed || tells_revision(record.stamp));
  task->is_looked_at = true;
  if (!is_asked) return false;
  side = Side::source;
  const std::optional<Item> now = source_.stat(record.id, context);
  if (!now) throw Error(ErrorCode::not_found, ErrorClass::missing, shown_key(record.id.key) + " is not at the source any more");
  if (!(is_claimed ? is_as_imported(record, *now) : proves_same(record.stamp, now->stamp))) {
    queue_.set_stamp(*task, size_alone(now->stamp));
    record.digest = {};
    record.basis = Basis::none;
    record.verified_at_ms.reset();
    record.change = Change::updated;
    ++record.revision;
    return false;
  }
  queue_.leave(*task);
  ItemChange change;
  change.record = std::move(record);
  if (is_claimed) change.record.stamp = now->stamp;
  change.record.state = change.record.verified_at_ms ? ItemState::verified : ItemState::copied;
  change.record.change = Change::unchanged;
  change.record.error_class = ErrorClass::none;
  change.attempts = task->attempts;
  change.attempts_failed = task->attempts_failed;
  retries_.succeeded();
  ledger_.outcome(std::move(change));
  end_trial();
  return true;
}

// Where listings tell no sizes, a limit is looked at once the source answers: true if it leaves the item out.
bool Transfer::settle_excluded(const Task& task, std::optional<uint64_t> size) {
  if (task->record.stamp.size || task->record.stored || !size) return false;
  Item item = item_of(task->record);
  item.stamp.size = size;
  const std::optional<std::string> rule = excluding_rule(item, options_);
  if (!rule) return false;
  queue_.leave(*task);
  ItemChange change;
  change.record = std::move(task->record);
  change.record.stamp.size = size;
  change.record.state = ItemState::excluded;
  change.record.error_class = ErrorClass::none;
  change.failure = refusal(ErrorClass::none, *rule);
  change.attempts = task->attempts;
  change.attempts_failed = task->attempts_failed;
  retries_.succeeded();
  ledger_.outcome(std::move(change));
  end_trial();
  return true;
}

Crc64 Transfer::crc_of_source(const Task& task, CallContext& context) {
  const Item item = item_of(task->record);
  const auto read = [&](uint64_t offset, std::span<std::byte> out) {
    ReadResult result = source_.read(item, offset, out, context);
    check_stamp(*task, result.stamp);
    task->read_stamp = result.stamp;
    return result;
  };
  try {
    return crc_by_reading(read, *item.stamp.size);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unimplemented) throw;
  }
  const std::unique_ptr<Stream> stream = source_.stream(item, context);
  const auto next = [&](uint64_t, std::span<std::byte> out) { return ReadResult{stream->read(out, context), {}, {}, {}}; };
  const Crc64 crc = crc_by_reading(next, *item.stamp.size);
  task->read_stamp = stream->stamp();
  return crc;
}

// Settles an item whose key is taken by something that this ledger did not write: true if that is its end, false if the
// key turned out to be free, or to hold what an earlier revision of the item left there.
bool Transfer::look_closer(const Task& task, CallContext& context, Side& side) {
  ItemRecord& record = task->record;
  if (options_.overwrite == Overwrite::always) return false;
  if (record.seen != DestinationSeen::present && record.seen != DestinationSeen::unknown) return false;
  side = Side::destination;
  const std::optional<Item> there = destination_.stat(task->destination_key, context);
  if (!there) {
    record.seen = DestinationSeen::absent;
    return false;
  }
  if (record.stored && is_still_stored(*record.stored, *there) && options_.overwrite == Overwrite::own) {
    record.seen = DestinationSeen::ours;
    return false;
  }
  // What has no size before it is read cannot be compared yet. Its write wants the key free: it is refused, and compares.
  if (!record.stamp.size && transform_ == nullptr && there->refused == ErrorClass::none) {
    record.seen = DestinationSeen::absent;
    return false;
  }
  Basis basis = Basis::none;
  Digest digest;
  const bool is_same_size = record.stamp.size && record.stamp.size == there->stamp.size && there->refused == ErrorClass::none;
  if (transform_ == nullptr && is_same_size) {
    if (record.stamp.mtime_ns && record.stamp.mtime_ns == there->stamp.mtime_ns) {
      basis = Basis::matched_weak;
    } else if (source_can_.positioned) {
      side = Side::source;
      digest.crc64nvme = crc_of_source(task, context);
      side = Side::destination;
      if (has_content(destination_, *there, *record.stamp.size, *digest.crc64nvme, context)) basis = Basis::matched_checksum;
    }
  }
  if (basis == Basis::none) throw Error(ErrorCode::already_exists, ErrorClass::occupied, occupied_reason(*there));
  // A process that died has put it there before it could say so.
  const bool is_ours = task->maybe_ours && basis == Basis::matched_checksum;
  if (!is_ours) record.change = Change::unchanged;
  copied(task, is_ours ? Basis::written : basis, digest, stored_from(*there));
  return true;
}

void Transfer::check_stamp(const ItemTask& task, const SourceStamp& stamp) const {
  if (source_can_.lists_stamps) check_same(task.record.stamp, stamp);
}

void Transfer::check_same(const SourceStamp& expected, const SourceStamp& stamp) {
  if (stamp == SourceStamp{} || stamp == expected) return;
  throw Error(ErrorCode::aborted, ErrorClass::source_changed, "changed at the source while it was moved").set_retryable();
}

void Transfer::move_small(const Task& task, CallContext& context, Side& side) {
  const uint64_t size = *task->record.stamp.size;
  if (size > destination_can_.max_put_bytes) {
    throw Error(ErrorCode::out_of_range, ErrorClass::too_large,
                std::to_string(size) + " bytes are more than the destination takes in one piece");
  }
  if (size > largest_contiguous) return put_large_body(task, context, side);
  const Item item = item_of(task->record);
  BodyBuffer buffer = scope_.bodies.take(size, scope_.cancel);
  const ReadResult result = source_.read(item, 0, buffer.bytes(), context);
  check_stamp(*task, result.stamp);
  task->read_stamp = result.stamp;
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

// An object beyond 64 MiB for a destination without parts: pulled through a window, and so hashed on its way.
void Transfer::put_large_body(const Task& task, CallContext& context, Side& side) {
  const uint64_t size = *task->record.stamp.size;
  std::byte first{};
  const ReadResult head = source_.read(item_of(task->record), 0, {&first, 1}, context);
  check_stamp(*task, head.stamp);
  task->read_stamp = head.stamp;
  const Ticket ticket = scope_.bodies.acquire(window_bytes, scope_.cancel);
  Crc64 crc = 0;
  uint64_t hashed = 0;
  side = Side::destination;
  WAYBILL_FAULT_POINT("write");
  task->is_write_begun = true;
  Stored stored = destination_.put(task->destination_key, Body(size, pulling(task, head.stamp, 0, size, crc, hashed, context, side)),
                                   WriteOptions{head.attributes, condition(*task)}, context);
  if (stored.size != size || hashed != size || (stored.digest.crc64nvme && *stored.digest.crc64nvme != crc)) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the destination stored something else than was sent").set_retryable();
  }
  Digest digest;
  stored.digest.crc64nvme = digest.crc64nvme = crc;
  concurrency_.moved(size);
  copied(task, Basis::written, digest, std::move(stored));
}

Condition Transfer::condition(const ItemTask& task) const {
  Condition condition;
  if (options_.overwrite == Overwrite::always) return condition;
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
  task->is_write_begun = true;
  try {
    stored = destination_.put(task->destination_key, body, write, context);
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::conflict) throw;
    if (settle_conflict(task, body.size(), body.digest().crc64nvme, source_digest, context, side)) return;
    write.condition = Condition{};
    stored = destination_.put(task->destination_key, body, write, context);
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

// The condition of a write was not met. True if the item is settled: what is there has the content (`size`, `crc`) that
// was to be written, by an earlier try whose answer was lost, by a process that died, or by somebody else. False if what
// is there is ours to replace: this process tried to write it, or it is the revision that was claimed by one that died.
// Errors: occupied.
bool Transfer::settle_conflict(const Task& task, uint64_t size, std::optional<Crc64> crc, const Digest& source_digest,
                               CallContext& context, Side& side) {
  side = Side::destination;
  const std::optional<Item> there = destination_.stat(task->destination_key, context);
  if (!there) {
    task->record.seen = DestinationSeen::absent;
    throw Error(ErrorCode::aborted, ErrorClass::conflict, "the destination changed while it was written").set_retryable();
  }
  if (crc && has_content(destination_, *there, size, *crc, context)) {
    Stored stored = stored_from(*there);
    stored.digest.crc64nvme = crc;
    if (!task->maybe_ours) task->record.change = Change::unchanged;
    copied(task, task->maybe_ours ? Basis::written : Basis::matched_checksum, source_digest, std::move(stored));
    return true;
  }
  if (task->maybe_ours && (task->is_answer_lost || looks_like(task->listed_stamp, *there))) {
    // Should the item fail now, the next run still knows whose it is.
    task->record.stored = stored_from(*there);
    return false;
  }
  throw Error(ErrorCode::already_exists, ErrorClass::occupied, occupied_reason(*there));
}

// The end of an item: its record goes on to the ledger, whose thread made it, and is empty here.
void Transfer::copied(const Task& task, Basis basis, const Digest& digest, Stored stored) {
  queue_.leave(*task);  // first, so that the live view no longer looks at it
  ItemChange change;
  change.record = std::move(task->record);
  if (!source_can_.lists_stamps && task->read_stamp != SourceStamp{}) change.record.stamp = std::move(task->read_stamp);
  change.record.state = ItemState::copied;
  change.record.basis = basis;
  change.record.error_class = ErrorClass::none;
  change.record.digest = digest;
  change.record.stored = std::move(stored);
  change.record.seen = DestinationSeen::ours;
  change.record.copied_at_ms = now_ms();
  change.attempts = task->attempts;
  change.attempts_failed = task->attempts_failed;
  retries_.succeeded();
  ledger_.outcome(std::move(change));
  end_trial();
}

void Transfer::failed(Work work, const Error& error, Side side) {
  ItemTask& task = *work.item;
  const bool is_dead = is_dead_link(error, side);
  if (!is_dead && (error.error_class() == ErrorClass::cancelled || ends_run(error))) {
    --task.attempts;
    return put_back(std::move(work));
  }
  ++task.attempts_failed;
  task.is_source_to_blame = side == Side::source;
  if (is_dead) return settle_vanished(work.item, &error);
  if (keep_back(work.item, error)) return;
  if (error.error_class() == ErrorClass::throttled) concurrency_.throttled();
  std::optional<Error> second;
  try {
    const bool has_moved_on = error.error_class() == ErrorClass::missing || error.error_class() == ErrorClass::source_changed;
    if (side == Side::source && has_moved_on) return refresh(std::move(work), error);
    if (side == Side::destination && task.is_write_begun && blames_endpoint(error.error_class())) {
      task.maybe_ours = task.is_answer_lost = true;  // a write without an answer may have happened
    }
    if (const auto wait = next_try(work, error, side)) return queue_.retry(std::move(work), *wait);
  } catch (...) {
    second = current_error();
  }
  if (second && second->error_class() == ErrorClass::cancelled) return put_back(std::move(work));
  settle_failed(work.item, second ? *second : error);
}

// Credentials are the same for every item: where they are refused, and could not be renewed, the run ends at once and no
// item has failed.
bool Transfer::ends_run(const Error& error) {
  if (error.error_class() != ErrorClass::auth) return false;
  broken_(std::make_exception_ptr(error));
  return true;
}

// A right that lacks may be that of one item, or of all. Until one has come to another end, items that a store forbids
// wait for that to be known; where the first few are all of that kind, the run ends with one error, and none has failed.
bool Transfer::keep_back(const Task& task, const Error& error) {
  const bool is_forbidden = error.error_class() == ErrorClass::permission && error.http_status() != 0;
  if (!is_forbidden || !is_on_trial_) return false;
  std::scoped_lock lock(trial_mutex_);
  if (!is_on_trial_) return false;
  refused_.emplace_back(task, error);
  queue_.keep_back(refused_.size());
  if (refused_.size() < WorkQueue::trial_items) return true;
  Error one = error;
  one.prepend("none of the first " + std::to_string(refused_.size()) + " items may be moved; nothing else was tried");
  broken_(std::make_exception_ptr(one));
  for (const auto& [item, ignored] : refused_) queue_.leave(*item);
  refused_.clear();
  return true;
}

// Not everything is forbidden: what was kept back are failures of their own.
void Transfer::end_trial() {
  if (!is_on_trial_) return;
  {
    std::scoped_lock lock(trial_mutex_);
    is_on_trial_ = false;
  }
  queue_.end_trial();
  settle_refused();
}

void Transfer::settle_refused() {
  std::vector<std::pair<Task, Error>> refused;
  {
    std::scoped_lock lock(trial_mutex_);
    refused.swap(refused_);
    queue_.keep_back(0);
  }
  for (const auto& [task, error] : refused) queue_.is_stopped() ? queue_.leave(*task) : settle_failed(task, error);
}

// A work that was cancelled: where the run stops, the row stays pending; where only what was in flight had to stop
// because the lease could not be renewed, it is tried again once that is over.
void Transfer::put_back(Work work) {
  ItemTask& task = work.object != nullptr ? *work.object->task() : *work.item;
  if (task.is_write_begun) task.maybe_ours = task.is_answer_lost = true;
  if (queue_.is_stopped()) return queue_.leave(task);
  queue_.retry(std::move(work), milliseconds(0));
}

// Looks at the source again after it changed, or was gone, under our hands.
void Transfer::refresh(Work work, const Error& error) {
  const Task task = work.item;
  CallContext context(scope_, static_cast<int>(task->attempts.load()));
  std::optional<Item> now;
  try {
    now = source_.stat(task->record.id, context);
  } catch (...) {
    const Error stat_error = current_error();
    if (stat_error.error_class() == ErrorClass::cancelled) throw stat_error;
    if (is_dead_link(stat_error, Side::source)) return settle_vanished(task, &stat_error);
    if (ends_run(stat_error)) return put_back(std::move(work));
    if (const auto wait = next_try(work, stat_error, Side::source)) return queue_.retry(std::move(work), *wait);
    return settle_failed(task, stat_error);
  }
  if (!now) return settle_vanished(task);
  if (now->refused != ErrorClass::none) {
    return settle_failed(task, Error(ErrorCode::failed_precondition, now->refused, now->reason));
  }
  if (++task->source_changes > most_source_changes) {
    const std::string tries = std::to_string(most_source_changes) + " tries";
    return settle_failed(task, Error(ErrorCode::aborted, error.error_class(),
                                     error.error_class() == ErrorClass::missing
                                         ? "is there, but not for reading; the last of " + tries + ": " + error.message()
                                         : "kept changing: " + tries + " met a different revision each"));
  }
  // Where listings have no stamps, a row's is that of what was copied.
  queue_.set_stamp(*task, source_can_.lists_stamps ? now->stamp : size_alone(now->stamp));
  queue_.retry(std::move(work), after_change * task->source_changes);
}

// An endpoint that is down for everybody must not use up the attempts of whoever asks it first: such failures count only
// once something has succeeded since, or the store answers a check.
bool Transfer::counts_against_item(const Work& work, const Error& error, Side side) {
  if (!blames_endpoint(error.error_class())) return true;
  RetryPolicy& retry = retries_.of(side);
  retry.endpoint_failed();
  if (retry.succeeded_since(work.first_failure)) return true;
  std::scoped_lock lock(probe_mutex_);
  Probe& last = side == Side::source ? source_probe_ : destination_probe_;
  const auto now = std::chrono::steady_clock::now();
  if (now - last.at < probe_pause) return last.is_answered;
  try {
    CallContext context(scope_);
    side == Side::source ? source_.check(context) : destination_.check(context);
    last.is_answered = true;
  } catch (...) {
    const Error probe = current_error();
    if (probe.error_class() == ErrorClass::cancelled) throw probe;
    last.is_answered = !blames_endpoint(probe.error_class());
  }
  last.at = std::chrono::steady_clock::now();
  return last.is_answered;
}

std::optional<milliseconds> Transfer::next_try(Work& work, const Error& error, Side side) {
  if (!error.retryable()) return std::nullopt;
  if (++work.failures == 1) work.first_failure = std::chrono::steady_clock::now();
  if (counts_against_item(work, error, side)) ++work.tries_counted;
  if (work.tries_counted >= options_.max_attempts) return std::nullopt;
  return retries_.of(side).delay(work.failures, error);
}

// Whether what is in the way is another item of this migration. Keys that a template makes with {id} are not compared before
// they are written: two such items are never expected.
bool Transfer::is_of_another_item(const ItemRecord& record) {
  if (record.destination_key.empty()) return false;
  for (const ItemRecord& other : tracker_.scan_targets(record.destination_key, "", 2).items) {
    if (other.destination_key == record.destination_key && other.id != record.id) return true;
  }
  return false;
}

void Transfer::settle_failed(const Task& task, const Error& error) {
  if (error.error_class() == ErrorClass::occupied && is_of_another_item(task->record)) {
    return settle_failed(task, Error(ErrorCode::already_exists, ErrorClass::collision,
                                     "another item has the destination key \"" + shown_key(task->destination_key) + "\" as well"));
  }
  ItemChange change;
  change.record = task->record;
  change.record.state = ItemState::failed;
  change.record.error_class = error.error_class();
  change.attempts = task->attempts;
  change.attempts_failed = std::max<uint32_t>(task->attempts_failed.load(), 1);
  change.failure = failure_of(error, task->attempts);
  change.failure->endpoint = task->is_source_to_blame ? source_.endpoint() : destination_.endpoint();
  queue_.leave(*task);
  ledger_.event(EventKind::error, LogLevel::error, shown_key(task->destination_key) + ": " + error.message());
  ledger_.outcome(std::move(change));
  if (error.error_class() != ErrorClass::permission) end_trial();
}

void Transfer::take_up_what_was_left(const Task& task, ItemRecord& record) {
  CallContext context(scope_);
  const std::optional<Item> there = destination_.stat(task->destination_key, context);
  if (!there || !looks_like(task->listed_stamp, *there) || (record.stored && is_still_stored(*record.stored, *there))) return;
  record.stored = stored_from(*there);
  record.digest = {};
}

bool Transfer::is_dead_link(const Error& error, Side side) const {
  return side == Side::source && internal::is_dead_link(source_, error);
}

void Transfer::settle_vanished(const Task& task, const Error* why) {
  ItemChange change;
  change.record = task->record;
  change.attempts = task->attempts;
  change.attempts_failed = task->attempts_failed;
  if (change.record.copied_at_ms) {
    // An earlier revision was copied and stays, unless a process that died has put the listed one there. That one is at
    // the source no more, so no listing may match it again.
    if (task->maybe_ours) take_up_what_was_left(task, change.record);
    change.record.state = ItemState::copied;
    change.record.change = Change::unchanged;
    change.record.gone_at_source = true;
    change.record.stamp = SourceStamp{};
    change.record.stamp.opaque = "gone";
    change.record.error_class = ErrorClass::none;
  } else {
    change.record.state = ItemState::vanished;
    change.record.error_class = why != nullptr ? why->error_class() : ErrorClass::missing;
    change.failure = why != nullptr ? failure_of(*why, task->attempts)
                                    : refusal(ErrorClass::missing, "listed, and gone from the source before it was copied");
  }
  queue_.leave(*task);
  ledger_.outcome(std::move(change));
  end_trial();
}

}  // namespace waybill::internal
