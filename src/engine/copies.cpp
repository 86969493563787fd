// SPDX-License-Identifier: Apache-2.0
//
// Items that the store copies by itself, because both sides are the same one.

#include "base/fault_point.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wait_step{10};
constexpr milliseconds longest_wait{2000};

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

// True if the store copied the item; false if it is to be streamed, or goes in parts.
bool Transfer::copy_inside(const Task& task, CallContext& context, Side& side) {
  const uint64_t size = *task->record.stamp.size;
  // An empty object takes no longer to stream, and is what redirects of websites are made of.
  if (size == 0 || size > destination_can_.max_copy_bytes || !destination_.capabilities().copies) return false;
  std::optional<Locator> from = locate(task->record);
  if (!from) return false;
  const auto turn = await_first_copy(context);
  if (!from->storage_class) from = locate(task->record);  // what it lacks may have been found out meanwhile
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
  std::optional<Stored> stored = destination_.copy(task->destination_key, *from, WriteOptions{{}, condition(*task)}, context);
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
