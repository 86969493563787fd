// SPDX-License-Identifier: Apache-2.0
//
// The small mechanisms of the engine: memory budget, retry policy, concurrency, part bookkeeping.

#include <gtest/gtest.h>

#include <thread>

#include "engine/body_pool.hpp"
#include "engine/cancellation.hpp"
#include "engine/concurrency.hpp"
#include "engine/large_object.hpp"
#include "engine/retry.hpp"

namespace waybill::internal {
namespace {

using std::chrono::milliseconds;

TEST(BodyPool, HoldsItsBudgetAndServesInOrder) {
  CancelSource cancel;
  BodyPool pool(100);
  BodyBuffer first = pool.take(80, cancel);
  std::atomic<int> taken{0};
  const auto take = [&](size_t bytes) {
    BodyBuffer mine = pool.take(bytes, cancel);
    ++taken;
  };
  std::thread second(take, 60);
  std::this_thread::sleep_for(milliseconds(20));
  std::thread third(take, 10);  // would fit at once, but has to wait for its turn
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(taken, 0);
  first = BodyBuffer();
  second.join();
  third.join();
  // Everything was given back: all of it can be had at once. A wait that does not end is cancelled.
  std::thread all([&] { EXPECT_NO_THROW(take(100)); });
  for (int i = 0; taken < 3 && i < 1000; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(taken, 3);
  cancel.fire();
  pool.wake();
  all.join();
}

TEST(BodyPool, GrantsMoreThanTheBudgetAlone) {
  CancelSource cancel;
  BodyPool pool(100);
  BodyBuffer large = pool.take(1000, cancel);
  EXPECT_EQ(large.bytes().size(), 1000u);
}

TEST(BodyPool, WaitingEndsWithCancellation) {
  CancelSource cancel;
  BodyPool pool(100);
  BodyBuffer all = pool.take(100, cancel);
  std::thread waiter([&] { EXPECT_THROW((void)pool.take(1, cancel), Error); });
  std::this_thread::sleep_for(milliseconds(20));
  cancel.fire();
  pool.wake();
  waiter.join();
}

TEST(Retry, DelaysAreWithinFullJitterAndHonourRetryAfter) {
  Options options;
  options.retry_base_ms = 100;
  options.retry_cap_ms = 1000;
  RetryPolicy policy(options);
  const Error plain(ErrorCode::unavailable, ErrorClass::server, "x");
  for (int failures = 1; failures <= 10; ++failures) {
    EXPECT_LE(policy.delay(failures, plain).count(), std::min<int64_t>(1000, 100 << (failures - 1)));
  }
  Error throttled(ErrorCode::unavailable, ErrorClass::throttled, "x");
  throttled.set_retry_after(milliseconds(5000));
  EXPECT_GE(policy.delay(1, throttled), milliseconds(5000));
}

TEST(Retry, AnEmptyBudgetDelaysInsteadOfGivingUp) {
  Options options;
  options.retry_base_ms = 0;
  options.retry_cap_ms = 10'000;
  RetryPolicy policy(options);
  const Error error(ErrorCode::unavailable, ErrorClass::server, "x");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(policy.delay(1, error).count(), 0) << i;
  milliseconds last{0};
  for (int i = 0; i < 50; ++i) last = policy.delay(1, error);
  EXPECT_GT(last, milliseconds(1000));
}

TEST(Concurrency, DoublesWhileItPaysThenStops) {
  Options options;
  ConcurrencyController controller(options);
  EXPECT_EQ(controller.limit(), 16);
  auto now = std::chrono::steady_clock::now();
  const auto step = [&](int per_thread) {
    now += milliseconds(500);
    for (int i = 0; i < per_thread; ++i) controller.moved(4096);
    controller.tick(true, now);
  };
  step(1600);
  EXPECT_EQ(controller.limit(), 32);
  step(3200);
  EXPECT_EQ(controller.limit(), 64);
  step(3250);  // no better than before
  EXPECT_LE(controller.limit(), 64);
  EXPECT_GE(controller.limit(), 16);
}

TEST(Concurrency, ThrottlingHalvesOnceAMoment) {
  Options options;
  options.concurrency = 64;
  ConcurrencyController controller(options);
  controller.throttled();
  controller.throttled();
  EXPECT_EQ(controller.limit(), 32);
}

TEST(Concurrency, HalfOfWhatWasTooMuchIsReachedAgainByDoubling) {
  Options options;
  options.concurrency = 64;
  ConcurrencyController controller(options);
  auto now = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) {
    controller.throttled();
    std::this_thread::sleep_for(milliseconds(550));  // longer than what counts as one moment
  }
  EXPECT_EQ(controller.limit(), 8);
  now = std::chrono::steady_clock::now() + milliseconds(1000);
  const auto tick = [&] { controller.tick(true, now += milliseconds(500)); };
  tick();
  EXPECT_EQ(controller.limit(), 16);
  tick();
  EXPECT_EQ(controller.limit(), 32);
  tick();
  EXPECT_EQ(controller.limit(), 34) << "and then step by step";
  for (int i = 0; i < 40; ++i) tick();
  EXPECT_EQ(controller.limit(), 64);
}

TEST(PartSize, GrowsToFitAndRefusesWhatCannot) {
  Destination::Capabilities s3;
  s3.min_part_bytes = uint64_t{5} << 20;
  s3.max_part_bytes = uint64_t{5} << 30;
  s3.max_parts = 10'000;
  s3.max_object_bytes = uint64_t{5} << 40;
  EXPECT_EQ(choose_part_size(uint64_t{100} << 20, uint64_t{16} << 20, s3), uint64_t{16} << 20);
  EXPECT_EQ(choose_part_size(1, 1, s3), uint64_t{5} << 20);
  const uint64_t huge = uint64_t{5} << 40;
  const uint64_t part = choose_part_size(huge, uint64_t{16} << 20, s3);
  EXPECT_LE((huge + part - 1) / part, 10'000u);
  EXPECT_EQ(part % (1 << 20), 0u);
  EXPECT_THROW((void)choose_part_size(huge + 1, 1, s3), Error);
}

class NoUpload final : public PartUpload {
 public:
  std::string id() const override { return "x"; }
  std::vector<PartInfo> existing(Context&) override { return {}; }
  PartInfo write(uint32_t, uint64_t, const Body&, Context&) override { return {}; }
  Stored complete(std::span<const PartInfo>, Context&) override { return {}; }
  void abort(Context&) override {}
};

PartInfo part(uint32_t number, uint64_t size) {
  PartInfo info;
  info.number = number;
  info.size = size;
  info.digest.crc64nvme = 0;
  return info;
}

TEST(LargeObject, HandsOutWhatIsMissingAndCompletesOnce) {
  auto task = std::make_shared<ItemTask>(Claimed{});
  LargeObject object(task, std::make_unique<NoUpload>(), 25, 10, {part(2, 10)}, false, {});
  EXPECT_EQ(task->bytes_done, 10u);
  EXPECT_EQ(object.next_part(), 1u);
  EXPECT_EQ(object.next_part(), 3u);
  EXPECT_EQ(object.next_part(), 0u);
  EXPECT_EQ(object.length(3), 5u);
  EXPECT_EQ(object.finished(part(3, 5), {}), LargeObject::Next::nothing);
  EXPECT_EQ(object.finished(part(1, 10), {}), LargeObject::Next::complete);
}

TEST(LargeObject, ClosesOnceAfterAFailure) {
  auto task = std::make_shared<ItemTask>(Claimed{});
  LargeObject object(task, std::make_unique<NoUpload>(), 30, 10, {}, false, {});
  EXPECT_EQ(object.next_part(), 1u);
  EXPECT_EQ(object.next_part(), 2u);
  EXPECT_EQ(object.gave_up(Error(ErrorCode::internal, ErrorClass::server, "x")), LargeObject::Next::nothing);
  EXPECT_EQ(object.next_part(), 0u);
  EXPECT_EQ(object.finished(part(2, 10), {}), LargeObject::Next::close);
  EXPECT_EQ(object.error().error_class(), ErrorClass::server);
}

TEST(LargeObject, GoesInOrderForADigestThatCannotBeCombined) {
  auto task = std::make_shared<ItemTask>(Claimed{});
  LargeObject object(task, std::make_unique<NoUpload>(), 20, 10, {part(1, 10)}, true, {});
  EXPECT_EQ(object.next_part(), 1u);  // read again, though it is written
  EXPECT_TRUE(object.is_written(1));
  EXPECT_EQ(object.next_part(), 0u);
  std::vector<std::byte> bytes(10);
  EXPECT_EQ(object.finished(part(1, 10), bytes), LargeObject::Next::nothing);
  EXPECT_EQ(object.next_part(), 2u);
  EXPECT_EQ(object.finished(part(2, 10), bytes), LargeObject::Next::complete);
  bytes.resize(20);
  EXPECT_EQ(object.digest().sha256, sha256(bytes));
}

}  // namespace
}  // namespace waybill::internal
