// SPDX-License-Identifier: Apache-2.0
//
// What a live run says of the time it will take, and of standing still.
#include <thread>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Live : public Stores {
 protected:
  std::atomic<bool> is_stuck_{false};

  std::unique_ptr<waybill::Run> start(int count) {
    fill(count);
    destination_hook = [this](const std::string& operation, const Key&, Context& context) {
      if (operation != "put") return;
      context.sleep(milliseconds(30));
      while (is_stuck_ && context.sleep(milliseconds(20))) {
      }
      context.check();
    };
    Options options = quick();
    options.concurrency = 1;
    options.heartbeat_ms = 200;
    options.drain_ms = 0;
    return migration().start(options);
  }
  static bool comes(const std::function<bool()>& what, seconds at_most) {
    const auto end = std::chrono::steady_clock::now() + at_most;
    while (std::chrono::steady_clock::now() < end) {
      if (what()) return true;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return what();
  }
};

TEST_F(Live, TheTimeLeftIsARangeOnceItCanBeTold) {
  const std::unique_ptr<waybill::Run> run = start(3'000);
  const Snapshot first = run->snapshot();
  EXPECT_FALSE(first.live.eta_low_seconds) << "after so few items nothing can be told";
  ASSERT_TRUE(comes([&] { return run->snapshot().live.eta_low_seconds.has_value(); }, seconds(30)));
  for (int i = 0; i < 20; ++i) {
    const Snapshot snapshot = run->snapshot();
    ASSERT_TRUE(snapshot.live.eta_high_seconds);
    EXPECT_GE(*snapshot.live.eta_low_seconds, 0);
    EXPECT_GE(*snapshot.live.eta_high_seconds, *snapshot.live.eta_low_seconds);
    // Items take 30 ms at least, one after the other.
    EXPECT_GE(*snapshot.live.eta_high_seconds, 0.03 * static_cast<double>(snapshot.items.outstanding) * 0.5);
    EXPECT_FALSE(snapshot.live.stalled_since_ms);
    std::this_thread::sleep_for(milliseconds(50));
  }
  run->cancel();
  EXPECT_FALSE(run->wait().snapshot.live.eta_low_seconds);
}

TEST_F(Live, StandingStillIsShownWithItsBeginning) {
  const std::unique_ptr<waybill::Run> run = start(2'000);
  ASSERT_TRUE(comes([&] { return run->snapshot().items.done > 10; }, seconds(30)));
  const auto wall_ms = [] {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
  const int64_t before = wall_ms();
  is_stuck_ = true;
  ASSERT_TRUE(comes([&] { return run->snapshot().live.stalled_since_ms.has_value(); }, seconds(120)));
  const Snapshot stalled = run->snapshot();
  ASSERT_TRUE(stalled.live.stalled_since_ms);
  EXPECT_GE(*stalled.live.stalled_since_ms, before - 5'000);
  EXPECT_LE(*stalled.live.stalled_since_ms, wall_ms());
  EXPECT_FALSE(stalled.live.eta_low_seconds) << "nobody knows how long it will stand still";
  EXPECT_EQ(stalled.state, RunState::running) << "a run that stands still is alive";
  is_stuck_ = false;
  EXPECT_TRUE(comes([&] { return !run->snapshot().live.stalled_since_ms.has_value(); }, seconds(30)));
  run->cancel();
  run->wait();
}

}  // namespace
}  // namespace waybill::testing
