// SPDX-License-Identifier: Apache-2.0
//
// The ways a run ends before its end: cancel, pause, interrupt, a callback that throws, a lost lease, a fork.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <thread>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using Stop = Stores;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// Every read hangs until it is cancelled.
Hook stalled(std::atomic<int>& entered) {
  return [&entered](const std::string& operation, const Key&, Context& context) {
    if (operation != "read") return;
    ++entered;
    while (context.sleep(milliseconds(1000))) {
    }
    context.check();
  };
}

void wait_for(const std::atomic<int>& counter, int at_least) {
  const auto until = Clock::now() + std::chrono::seconds(10);
  while (counter < at_least && Clock::now() < until) std::this_thread::sleep_for(milliseconds(2));
  ASSERT_GE(counter, at_least);
}

TEST_F(Stop, InterruptReturnsWithinTwoSecondsThoughEveryTransferHangs) {
  fill(100);
  std::atomic<int> entered{0};
  source_hook = stalled(entered);
  const std::unique_ptr<waybill::Run> run = migration().start(quick());
  wait_for(entered, 8);
  const auto began = Clock::now();
  run->interrupt();
  const Report report = run->wait();
  EXPECT_LT(Clock::now() - began, milliseconds(2000));
  EXPECT_EQ(report.exit_code, 130);
  EXPECT_EQ(report.snapshot.state, RunState::interrupted);
  source_hook = [](const std::string&, const Key&, Context&) {};
  const Report second = copy();
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_EQ(second.snapshot.run, report.snapshot.run) << "the same run is carried on";
  EXPECT_EQ(second.snapshot.items.done, 100);
}

TEST_F(Stop, TransfersInFlightMayEndWithinTheDrainTime) {
  fill(4);
  std::atomic<int> entered{0};
  source_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation != "read") return;
    ++entered;
    context.sleep(milliseconds(300));
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick());
  wait_for(entered, 4);
  run->interrupt();
  EXPECT_EQ(run->wait().snapshot.items.done, 4);
}

TEST_F(Stop, WhatWasPutBeforeTheInterruptIsFlushedAndKept) {
  fill(40);
  std::atomic<int> puts{0};
  std::atomic<int> entered{0};
  destination_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation == "put_done") ++puts;
    if (operation == "flush") {
      context.check();  // as the folders' flush does
      context.sleep(milliseconds(100));
    }
  };
  source_hook = [&](const std::string& operation, const Key& key, Context& context) {
    if (operation != "read" || key < "k000020") return;
    ++entered;
    while (context.sleep(milliseconds(1000))) {
    }
    context.check();
  };
  Options options = quick();
  options.drain_ms = 0;
  const std::unique_ptr<waybill::Run> run = migration().start(options);
  wait_for(entered, 1);
  wait_for(puts, 20);
  run->interrupt();
  const Report report = run->wait();
  EXPECT_EQ(report.snapshot.state, RunState::interrupted) << report.message;
  EXPECT_EQ(report.snapshot.items.done, 20);
}

TEST_F(Stop, CancelEndsTheRunAndTheNextOneIsNew) {
  fill(50);
  std::atomic<int> entered{0};
  source_hook = stalled(entered);
  const std::unique_ptr<waybill::Run> run = migration().start(quick());
  wait_for(entered, 1);
  run->cancel();
  const Report report = run->wait();
  EXPECT_EQ(report.exit_code, 130);
  EXPECT_EQ(report.snapshot.state, RunState::cancelled);
  source_hook = [](const std::string&, const Key&, Context&) {};
  const Report second = copy();
  EXPECT_EQ(second.snapshot.run, report.snapshot.run + 1);
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_EQ(second.snapshot.items.done, 50);
}

TEST_F(Stop, PauseSurvivesARestart) {
  fill(50);
  std::atomic<int> entered{0};
  source_hook = stalled(entered);
  {
    const std::unique_ptr<waybill::Run> run = migration().start(quick());
    wait_for(entered, 1);
    run->pause();
    const Report report = run->wait();
    EXPECT_EQ(report.exit_code, 130);
    EXPECT_EQ(report.snapshot.state, RunState::paused);
  }
  source_hook = [](const std::string&, const Key&, Context&) {};
  try {
    copy();
    FAIL() << "a paused migration is refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::locked);
    EXPECT_NE(error.message().find("paused"), std::string::npos);
  }
  Options options = quick();
  options.resume_paused = true;
  EXPECT_EQ(copy(options).exit_code, 0);
}

TEST_F(Stop, CancelAndPauseThroughTheLedgerAreObeyed) {
  for (const Verb verb : {Verb::pause, Verb::cancel}) {
    fill(50);
    std::atomic<int> entered{0};
    source_hook = stalled(entered);
    Options options = quick();
    options.resume_paused = true;
    options.overwrite = Overwrite::always;
    const std::unique_ptr<waybill::Run> run = migration().start(options);
    wait_for(entered, 1);
    // A handle of its own knows nothing of the run but what is in the file, as in another process.
    open_tracker(ledger)->request(verb, "somebody@elsewhere");
    const auto began = Clock::now();
    const Report report = run->wait();
    EXPECT_LT(Clock::now() - began, milliseconds(options.heartbeat_ms));
    EXPECT_EQ(report.snapshot.state, verb == Verb::pause ? RunState::paused : RunState::cancelled);
    EXPECT_NE(report.snapshot.reason.find("somebody@elsewhere"), std::string::npos);
  }
}

TEST_F(Stop, SecondOwnerIsRefusedAndToldWhoHoldsIt) {
  fill(10);
  std::atomic<int> entered{0};
  source_hook = stalled(entered);
  const std::unique_ptr<waybill::Run> run = migration().start(quick());
  wait_for(entered, 1);
  try {
    copy();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::locked);
    EXPECT_NE(error.message().find(std::to_string(getpid())), std::string::npos) << error.message();
  }
  run->interrupt();
  run->wait();
}

TEST_F(Stop, CallbackThatThrowsEndsTheRunAndIsThrownAgain) {
  fill(500);
  source_hook = [](const std::string& operation, const Key&, Context& context) {
    if (operation == "read") context.sleep(milliseconds(2));
  };
  Callbacks callbacks;
  callbacks.on_progress = [](const Snapshot& snapshot) {
    if (snapshot.items.done > 0) throw std::runtime_error("the host's own trouble");
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick(), callbacks);
  EXPECT_THROW(run->wait(), std::runtime_error);
  EXPECT_EQ(run->snapshot().state, RunState::failed);
  EXPECT_NE(run->snapshot().reason.find("the host's own trouble"), std::string::npos);
  EXPECT_EQ(run->snapshot().reason.rfind("callback: ", 0), 0u) << run->snapshot().reason;
}

TEST_F(Stop, CallbacksComeInOrderAndTheEndComesLast) {
  fill(200);
  std::vector<uint64_t> seqs;
  std::vector<std::string> order;
  Callbacks callbacks;
  callbacks.on_event = [&](const Event& event) {
    seqs.push_back(event.seq);
    order.push_back(event.text);
  };
  callbacks.on_progress = [&](const Snapshot&) { order.push_back("progress"); };
  const Report report = migration().run(quick(), callbacks);
  EXPECT_EQ(report.exit_code, 0);
  ASSERT_GE(order.size(), 3u);
  EXPECT_TRUE(std::is_sorted(seqs.begin(), seqs.end()));
  EXPECT_NE(order.front().find("started"), std::string::npos);
  EXPECT_NE(order.back().find("ended: completed"), std::string::npos);
  EXPECT_EQ(order[order.size() - 2], "progress");
}

TEST_F(Stop, SlowCallbackSlowsNobody) {
  fill(200);
  Callbacks callbacks;
  std::atomic<bool> is_released{false};
  callbacks.on_progress = [&](const Snapshot&) {
    while (!is_released) std::this_thread::sleep_for(milliseconds(1));
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick(), callbacks);
  const auto until = Clock::now() + std::chrono::seconds(10);
  while (run->snapshot().items.done < 200 && Clock::now() < until) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(run->snapshot().items.done, 200);
  is_released = true;
  EXPECT_EQ(run->wait().exit_code, 0);
}

TEST_F(Stop, WaitFromACallbackIsRefused) {
  fill(5);
  std::atomic<waybill::Run*> running{nullptr};
  std::atomic<int> refused{0};
  Callbacks callbacks;
  callbacks.on_progress = [&](const Snapshot&) {
    while (running == nullptr) std::this_thread::sleep_for(milliseconds(1));
    try {
      running.load()->wait(milliseconds(0));
    } catch (const Error& error) {
      refused += error.code() == ErrorCode::failed_precondition;
    }
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick(), callbacks);
  running = run.get();
  EXPECT_EQ(run->wait().exit_code, 0);
  EXPECT_GT(refused, 0);
}

TEST_F(Stop, DestroyingALiveRunInterruptsIt) {
  fill(20);
  std::atomic<int> entered{0};
  source_hook = stalled(entered);
  const auto began = Clock::now();
  {
    const std::unique_ptr<waybill::Run> run = migration().start(quick());
    wait_for(entered, 1);
  }
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(4));
  EXPECT_EQ(open_tracker(ledger, OpenMode::read_only)->snapshot().state, RunState::interrupted);
}

TEST_F(Stop, ForkedChildIsRefusedAndHarmsNothing) {
  fill(200);
  source_hook = [](const std::string& operation, const Key&, Context& context) {
    if (operation == "read") context.sleep(milliseconds(5));
  };
  std::unique_ptr<waybill::Run> run = migration().start(quick());
  const pid_t child = fork();
  if (child == 0) {
    int code = 1;
    try {
      run->snapshot();
    } catch (const Error& error) {
      code = error.error_class() == ErrorClass::forked ? 0 : 2;
    }
    run.reset();  // lets go of memory, touches neither threads nor ledger
    _exit(code);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(run->wait().exit_code, 0);
}

TEST_F(Stop, EndpointThatIsDownForEverybodyUsesUpNoAttempts) {
  fill(30);
  Options options = quick();
  options.max_attempts = 3;
  const auto until = Clock::now() + milliseconds(1500);
  const auto down = [&] { return Clock::now() < until; };
  std::atomic<bool> has_begun{false};
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation == "put") has_begun = true;
    if (has_begun && down()) throw Error(ErrorCode::unavailable, ErrorClass::network, "no route").set_retryable();
  };
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.failed, 0);
  EXPECT_GT(report.snapshot.attempts_failed, 0u);
}

TEST_F(Stop, ListingThatFailsForGoodFailsTheRunAndSaysWhy) {
  fill(5);
  source_hook = [](const std::string& operation, const Key&, Context&) {
    if (operation == "list") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right to list the source");
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_NE(report.message.find("no right to list the source"), std::string::npos) << report.message;
  EXPECT_EQ(report.snapshot.state, RunState::failed);
}

}  // namespace
}  // namespace waybill::testing
