// SPDX-License-Identifier: Apache-2.0
//
// Items that the store copies by itself, because both sides are the same one.

#include <algorithm>

#include "base/fault_point.hpp"
#include "engine/decide.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wait_step{10};
constexpr milliseconds longest_wait{2000};
// An item up to this size is read rather than asked about.
constexpr uint64_t small_bytes = 256 << 10;
constexpr uint64_t largest_buffer = uint64_t{16} << 20;

}  // namespace

// What a store does with copies is found out with the first one, at the cost of a few requests. The others wait for
// that, though not for long: one that goes ahead only asks more than it had to. The turn is of whoever goes first.
std::unique_ptr<std::atomic<bool>, Transfer::EndTurn> Transfer::await_first_copy(CallContext& context) {
  for (milliseconds waited{0}; !has_copied_ && waited < longest_wait; waited += wait_step) {
    if (!is_copying_first_.exchange(true)) return {&is_copying_first_, EndTurn{}};
    if (!context.sleep(wait_step)) context.check();
  }
  return nullptr;
}

std::optional<Locator> Transfer::locate(const ItemRecord& record) const {
  if (!is_one_store_) return std::nullopt;
  return source_.locator(item_of(record));
}

// The answer to an earlier copy was lost. True if what is there now is that copy, which settles the item; false if it is
// to be copied, whatever is there. The listing often tells that two contents are the same, and else the source's digest;
// a small item takes no longer to read than to ask about.
bool Transfer::settle_lost_copy(const Task& task, CallContext& context, Side& side) {
  side = Side::destination;
  const std::optional<Item> there = destination_.stat(task->destination_key, context);
  side = Side::source;
  Item item = item_of(task->record);
  if (!there || there->refused != ErrorClass::none || there->stamp.size != item.stamp.size) return false;
  const auto is_same = [&] { return matching_basis(item, *there) == Basis::matched_checksum; };
  if (!is_same() && *item.stamp.size > small_bytes) {
    if (const std::optional<Item> now = source_.stat(item.id, context); now && now->stamp == item.stamp) item.digest = now->digest;
  }
  if (!is_same() && there->digest.crc64nvme && !item.digest.crc64nvme) {
    const auto read = [&](uint64_t offset, std::span<std::byte> out) {
      ReadResult result = source_.read(item, offset, out, context);
      check_stamp(*task, result.stamp);
      return result;
    };
    BodyBuffer buffer = scope_.bodies.take(std::min({*item.stamp.size, options_.part_size_bytes, largest_buffer}), scope_.cancel);
    item.digest.crc64nvme = crc_by_reading(read, *item.stamp.size, buffer.bytes());
  }
  if (!is_same()) return false;
  task->bytes_done = *item.stamp.size;
  copied(task, Basis::written, item.digest, stored_from(*there));
  return true;
}

// True if the store copied the item; false if it is to be streamed, or goes in parts.
bool Transfer::copy_inside(const Task& task, CallContext& context, Side& side) {
  const uint64_t size = *task->record.stamp.size;
  // An empty object takes no longer to stream, and is what redirects of websites are made of.
  if (size == 0 || size > destination_can_.max_copy_bytes || !destination_.capabilities().copies) return false;
  std::optional<Locator> from = locate(task->record);
  if (!from) return false;
  const auto turn = await_first_copy(context);
  if (!from->storage_class) from = locate(task->record);  // what it lacks may have been found out meanwhile
  if (task->is_copy_lost && settle_lost_copy(task, context, side)) return true;
  task->is_copy_lost = false;
  const Destination::Capabilities can = destination_.capabilities();
  if (!from->storage_class || can.copies_need_attributes) {
    ReadResult head = source_.read(item_of(task->record), 0, {}, context);
    check_stamp(*task, head.stamp);
    from->storage_class = head.attributes.storage_class;
    from->attributes = std::move(head.attributes);
  }
  side = Side::destination;
  WAYBILL_FAULT_POINT("write");
  task->is_write_begun = true;
  std::optional<Stored> stored;
  try {
    stored = destination_.copy(task->destination_key, *from, WriteOptions{{}, condition(*task)}, context);
  } catch (const Error& error) {
    task->is_copy_lost = !is_refusal(error);
    throw;
  }
  side = Side::source;
  if (!stored) return false;
  has_copied_ = true;
  WAYBILL_FAULT_POINT("put_done");
  if (stored->size != size) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the store copied something else than it was asked for").set_retryable();
  }
  Digest digest;
  digest.crc64nvme = stored->digest.crc64nvme;
  task->bytes_done = size;
  concurrency_.moved(size);
  copied(task, Basis::written, digest, std::move(*stored));
  return true;
}

}  // namespace waybill::internal
