// SPDX-License-Identifier: Apache-2.0

#include "engine/work_queue.hpp"

#include <gtest/gtest.h>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using internal::ConcurrencyController;
using internal::Work;
using internal::WorkQueue;
using std::chrono::milliseconds;
using std::chrono::seconds;

class WorkQueueTest : public ::testing::Test {
 protected:
  ConcurrencyController concurrency{Options{}};
  WorkQueue queue{concurrency, [] {}};

  void add(int count) {
    std::vector<Claimed> claimed(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) claimed[static_cast<size_t>(i)].record.id.key = std::to_string(i);
    queue.add(std::move(claimed));
    queue.end_trial();
  }
  milliseconds time_of_next(std::optional<Work>& work) {
    const auto begin = WorkQueue::Clock::now();
    work = queue.next();
    return std::chrono::duration_cast<milliseconds>(WorkQueue::Clock::now() - begin);
  }
};

// An outage of five minutes is found out about some sixty times, whatever the number of items that wait for its end.
TEST_F(WorkQueueTest, WhileEndpointsFailOneWorkAtATimeIsHandedOutEverMoreRarely) {
  add(10);
  queue.probe(true);
  std::atomic<bool> is_over{false};
  std::thread ticking([&] {
    for (; !is_over; std::this_thread::sleep_for(milliseconds(10))) queue.tick();
  });
  milliseconds waited{0};
  for (int i = 0; i < 4; ++i) {
    std::optional<Work> work;
    waited += time_of_next(work);
    ASSERT_TRUE(work);
    EXPECT_EQ(queue.running(), 1);
    queue.done();
  }
  EXPECT_GE(waited, milliseconds(250 + 500 + 1000));
  is_over = true;
  ticking.join();
}

TEST_F(WorkQueueTest, WhatWaitsForItsNextTryGoesAtOnceWhenTheOutageIsOver) {
  add(3);
  queue.probe(true);
  for (int i = 0; i < 3; ++i) {
    std::optional<Work> work = queue.next();
    queue.retry(std::move(*work), seconds(3600));
    queue.done();
    queue.probe(false);
    queue.probe(true);
  }
  queue.probe(false);
  EXPECT_EQ(queue.backlog(), 3u);
  for (int i = 0; i < 3; ++i) {
    std::optional<Work> work;
    EXPECT_LT(time_of_next(work), seconds(60)) << "an hour was to be waited";
    EXPECT_TRUE(work);
  }
}

}  // namespace
}  // namespace waybill::testing
