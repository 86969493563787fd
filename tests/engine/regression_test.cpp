// SPDX-License-Identifier: Apache-2.0
//
// Cases that a hostile reading of the engine found; each of them once lost data, hung, or lied.

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include <thread>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using Regression = Stores;
using std::chrono::milliseconds;

TEST_F(Regression, ForeignObjectSurvivesAFailureOfTheQuestionWhoseItIs) {
  fill(1);
  put(to, "k000000", "0123456789");  // the same size, another content
  std::atomic<int> stats{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation == "stat" && stats++ == 0) throw Error(ErrorCode::unavailable, ErrorClass::server, "503").set_retryable();
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(get(to, "k000000"), "0123456789");
  EXPECT_GE(stats, 2);
}

TEST_F(Regression, ComparingNeedsNoMoreOfABudgetThatIsAllTaken) {
  Options options = quick();
  options.body_budget_bytes = uint64_t{8} << 20;
  for (int i = 0; i < 8; ++i) {
    const std::string content(6 << 20, static_cast<char>('a' + i));
    put(from, "k" + std::to_string(i), content);
  }
  // Somebody writes the same contents between listing and transfer.
  std::atomic<bool> is_done{false};
  source_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "read" || is_done.exchange(true)) return;
    for (int i = 0; i < 8; ++i) put(to, "k" + std::to_string(i), std::string(6 << 20, static_cast<char>('a' + i)));
  };
  const std::unique_ptr<waybill::Run> run = migration().start(options);
  const std::optional<Report> report = run->wait(std::chrono::seconds(20));
  ASSERT_TRUE(report) << "it hangs";
  EXPECT_EQ(report->exit_code, 0) << report->message;
}

TEST_F(Regression, ChildForkedFromAQuietMomentCanLetTheRunGo) {
  fill(20);
  std::atomic<int> entered{0};
  source_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation != "read") return;
    ++entered;
    while (context.sleep(milliseconds(1000))) {
    }
    context.check();
  };
  std::unique_ptr<waybill::Run> run = migration().start(quick());
  while (entered < 8) std::this_thread::sleep_for(milliseconds(5));
  std::this_thread::sleep_for(milliseconds(300));
  const pid_t child = fork();
  if (child == 0) {
    run.reset();
    _exit(0);
  }
  int status = -1;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (waitpid(child, &status, WNOHANG) == 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(milliseconds(10));
  if (status == -1) kill(child, SIGKILL);
  EXPECT_EQ(status, 0) << "the child hangs in the destructor";
  run->interrupt();
  EXPECT_EQ(run->wait().exit_code, 130);
}

TEST_F(Regression, FailuresOfManyPartsDoNotAddUpAgainstTheObject) {
  put(from, "large", std::string(60 << 20, 'x'));
  Options options = quick();
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = uint64_t{5} << 20;
  options.max_attempts = 3;
  std::mutex mutex;
  int calls = 0;
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "write_part") return;
    std::scoped_lock lock(mutex);
    // Each of the twelve parts fails once.
    if (++calls <= 12) throw Error(ErrorCode::unavailable, ErrorClass::server, "503").set_retryable();
  };
  options.concurrency = 1;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_GE(report.snapshot.attempts_failed, 12u);
}

TEST_F(Regression, WhateverAConnectorThrowsFailsItsItemAlone) {
  fill(4);
  source_hook = [](const std::string& operation, const Key& key, Context&) {
    if (key == "k000000" && operation == "read") throw 42;
    if (key == "k000001" && operation == "read") throw std::runtime_error("not an Error");
    if (key == "k000002" && operation == "read") throw Error(ErrorCode::not_found, ErrorClass::missing, "gone");
    if (key == "k000002" && operation == "stat") throw std::runtime_error("neither is this");
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.snapshot.items.failed, 3);
  EXPECT_EQ(report.snapshot.failed_by_class.at("internal"), 3);
  EXPECT_EQ(report.snapshot.items.done, 1);
}

TEST_F(Regression, CancelledRunLeavesNoUploadOpenAFailedOneKeepsItsParts) {
  put(from, "large", std::string(22 << 20, 'x'));
  Options options = quick();
  options.concurrency = 1;
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = uint64_t{5} << 20;
  options.drain_ms = 0;
  std::atomic<int> parts{0};
  std::atomic<int> aborts{0};
  std::atomic<bool> hang{true};
  destination_hook = [&](const std::string& operation, const Key&, Context& context) {
    aborts += operation == "abort";
    if (operation != "write_part" || ++parts <= 2 || !hang) return;
    while (context.sleep(milliseconds(100))) {
    }
    context.check();
  };
  const std::unique_ptr<waybill::Run> run = migration().start(options);
  while (parts < 3) std::this_thread::sleep_for(milliseconds(5));
  run->cancel();
  EXPECT_EQ(run->wait().snapshot.state, RunState::cancelled);
  EXPECT_EQ(aborts, 1);
  EXPECT_TRUE(open_tracker(ledger, OpenMode::read_only)->uploads().empty());
  hang = false;
  EXPECT_EQ(copy(options).exit_code, 0);
}

TEST_F(Regression, UploadIsAnnouncedBeforeItBegins) {
  put(from, "large", std::string(12 << 20, 'x'));
  Options options = quick();
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = uint64_t{5} << 20;
  std::vector<UploadRecord> seen;
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation == "begin_parts") seen = open_tracker(ledger, OpenMode::read_only)->uploads();
  };
  EXPECT_EQ(copy(options).exit_code, 0);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].id.key, "large");
  EXPECT_EQ(seen[0].upload_id, "");
}

TEST_F(Regression, InterruptReturnsThoughTheLedgerIsHeldByAnotherProgram) {
  fill(3000);
  source_hook = [](const std::string& operation, const Key&, Context& context) {
    if (operation == "read") context.sleep(milliseconds(2));
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick());
  std::this_thread::sleep_for(milliseconds(300));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(ledger.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  run->interrupt();
  // The tracker waits for the lock for some seconds; the run then gives up instead of trying for five minutes.
  const std::optional<Report> report = run->wait(std::chrono::seconds(12));
  sqlite3_close(other);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 130) << report->message;
  EXPECT_EQ(copy().exit_code, 0);
}

}  // namespace
}  // namespace waybill::testing
