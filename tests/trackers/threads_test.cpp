// SPDX-License-Identifier: Apache-2.0
//
// One handle used by many threads at once: the writer, readers of every kind and a second writer of requests. What any
// thread sees holds its equations, and seq never falls. Meant for ThreadSanitizer above all.
#include <atomic>
#include <thread>

#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

class ThreadsTest : public TrackerTest {};

TEST_P(ThreadsTest, EveryMethodFromEveryThread) {
  start();
  std::atomic<bool> is_over = false;
  std::atomic<int> broken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      uint64_t seq = 0;
      while (!is_over) {
        const Snapshot snapshot = tracker->snapshot();
        if (violated_invariant(snapshot) || snapshot.seq < seq || snapshot.state != RunState::running) ++broken;
        seq = snapshot.seq;
        tracker->scan({}, "", 50);
        const std::vector<ItemId> ids{{"", "key 1", ""}, {"", "none", ""}};
        if (tracker->lookup(ids)[1]) ++broken;
        tracker->events(0, 10);
        tracker->listings();
        tracker->uploads();
      }
    });
  }
  threads.emplace_back([&] {
    while (!is_over) {
      tracker->request(Verb::pause, "somebody");
      for (const Request& request : tracker->requests()) {
        Batch batch;
        batch.served_requests.push_back(request.id);
        tracker->commit(epoch, batch);
      }
    }
  });
  for (int i = 0; i < 100; ++i) {
    Batch batch;
    batch.live.emplace();
    batch.live->in_progress = 3;
    for (int j = 0; j < 20; ++j) {
      batch.items.push_back(change_of(pending_record({"", "key " + std::to_string(i * 20 + j), ""}, 1)));
    }
    for (const Claimed& claimed : tracker->claim(epoch, 15)) {
      batch.items.push_back(change_of(copied_record(claimed.record), 1));
    }
    tracker->commit(epoch, batch);
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken, 0);
  EXPECT_EQ(tracker->snapshot().items.done, 99 * 15);
}

INSTANTIATE_TEST_SUITE_P(Trackers, ThreadsTest, ::testing::Values("sqlite", "memory"),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace waybill::testing
