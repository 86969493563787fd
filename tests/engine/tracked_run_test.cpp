// SPDX-License-Identifier: Apache-2.0
//
// A program's own work as a run: what is handed out, what is not handed out again, and what the accounts say of it.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <thread>

#include "engine/support.hpp"
#include "waybill/track.hpp"

namespace waybill::testing {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class Track : public ::testing::Test {
 protected:
  TemporaryFolder folder;
  const std::string ledger = folder.path("work.db");

  static Options quick() {
    Options options;
    options.commit_interval_ms = 10;
    return options;
  }
  std::unique_ptr<TrackedRun> begin(const Options& options = quick(), std::optional<uint64_t> expected = std::nullopt) const {
    return track("convert", ledger, options, expected);
  }
  static TrackedItem item(const Key& key, const std::string& revision = "", std::optional<uint64_t> size = std::nullopt) {
    return TrackedItem{{"", key, ""}, revision, size};
  }
  static TrackedRun::Ticket claim(TrackedRun& run, const TrackedItem& one) { return run.claim({&one, 1}).value().front(); }
  /// Claims an item, does it, and says whether it was to be done.
  static bool work(TrackedRun& run, const TrackedItem& one, const TrackedOutcome& outcome = TrackedOutcome::done()) {
    const TrackedRun::Ticket ticket = claim(run, one);
    if (ticket == TrackedRun::settled) return false;
    run.begin(ticket);
    EXPECT_TRUE(run.finish(ticket, outcome));
    return true;
  }
  static Report end(TrackedRun& run) {
    run.complete();
    return run.run().wait();
  }
  std::shared_ptr<Tracker> read() const { return open_tracker(ledger, OpenMode::read_only); }
  ItemRecord row(const Key& key) const {
    const ItemId id{"", key, ""};
    return read()->lookup({&id, 1}).front().value();
  }
  static ErrorClass class_thrown(const std::function<void()>& call, std::string* message = nullptr) {
    try {
      call();
    } catch (const Error& error) {
      if (message != nullptr) *message = error.message();
      return error.error_class();
    }
    return ErrorClass::none;
  }
  /// Waits until a snapshot, as another process reads it, is as `wanted`.
  void expect_seen(const std::function<bool(const Snapshot&)>& wanted) const {
    const auto until = Clock::now() + std::chrono::seconds(20);
    const auto tracker = read();
    while (!wanted(tracker->snapshot())) {
      ASSERT_LT(Clock::now(), until) << to_json(tracker->snapshot());
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  static Error boom() { return {ErrorCode::unknown, ErrorClass::callback, "ValueError: boom"}; }
};

TEST_F(Track, WorksEachItemOnceAndKnowsItAgain) {
  const std::vector<TrackedItem> items = {item("a", "1", 10), item("b", "1", 20), item("c", "1")};
  {
    const auto run = begin();
    for (const TrackedItem& one : items) EXPECT_TRUE(work(*run, one));
    const Report report = end(*run);
    EXPECT_EQ(report.snapshot.state, RunState::completed);
    EXPECT_EQ(report.exit_code, 0);
    EXPECT_EQ(report.snapshot.phase, Phase::track);
    EXPECT_EQ(report.snapshot.name, "convert");
    EXPECT_EQ(report.snapshot.items.created, 3);
    EXPECT_EQ(report.snapshot.bytes_done, 30U);
    EXPECT_EQ(report.snapshot.progress(), 1.0);
    EXPECT_EQ(report.snapshot.attempts_total, 3U);
    EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
  }
  const auto run = begin();
  EXPECT_FALSE(work(*run, items[0]));
  EXPECT_TRUE(work(*run, item("b", "2", 21))) << "another revision";
  EXPECT_TRUE(work(*run, item("d")));
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.run, 2U);
  EXPECT_EQ(report.snapshot.state, RunState::completed);
  EXPECT_EQ(report.snapshot.items.unchanged, 1);
  EXPECT_EQ(report.snapshot.items.updated, 1);
  EXPECT_EQ(report.snapshot.items.created, 1);
  EXPECT_EQ(report.snapshot.migration_items.done, 4);
  EXPECT_TRUE(row("c").gone_at_source);
  EXPECT_EQ(row("c").state, ItemState::copied);
  EXPECT_EQ(row("b").revision, 2U);
}

TEST_F(Track, FailedAndExcludedItemsAreDoneByTheNextRun) {
  {
    const auto run = begin();
    EXPECT_TRUE(work(*run, item("bad"), TrackedOutcome::failed(boom())));
    EXPECT_TRUE(work(*run, item("dull"), TrackedOutcome::excluded("nothing in it")));
    EXPECT_TRUE(work(*run, item("good")));
    const Report report = end(*run);
    EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
    EXPECT_EQ(report.snapshot.items.failed, 1);
    EXPECT_EQ(report.snapshot.items.excluded, 1);
    EXPECT_EQ(report.snapshot.failed_by_class.at("callback"), 1);
    EXPECT_EQ(report.snapshot.attempts_failed, 1U);
  }
  const ScanPage page = read()->scan({}, "", 10);
  EXPECT_EQ(page.rows.at(0).failure->message, "ValueError: boom");
  EXPECT_EQ(page.rows.at(1).failure->message, "nothing in it");
  bool is_told = false;
  for (const Event& event : read()->events(0, 100)) is_told |= event.kind == EventKind::error && event.text == "bad: ValueError: boom";
  EXPECT_TRUE(is_told);
  const auto run = begin();
  EXPECT_TRUE(work(*run, item("bad")));
  EXPECT_TRUE(work(*run, item("dull")));
  EXPECT_FALSE(work(*run, item("good")));
  EXPECT_EQ(end(*run).snapshot.state, RunState::completed);
}

TEST_F(Track, AFailedItemMayBeTriedAgainInItsRunAndProgressDoesNotFall) {
  const auto run = begin();
  const TrackedItem one = item("a");
  ASSERT_TRUE(run->declare({&one, 1}));
  run->end_listing();
  TrackedRun::Ticket ticket = run->claim({&one, 1}, true)->front();
  run->begin(ticket);
  run->finish(ticket, TrackedOutcome::failed(boom()));
  expect_seen([](const Snapshot& now) { return now.items.failed == 1 && now.progress() == 1.0; });
  ticket = claim(*run, one);
  ASSERT_NE(ticket, TrackedRun::settled);
  run->begin(ticket);
  expect_seen([](const Snapshot& now) { return now.live.in_flight.size() == 1 && now.progress() == 1.0; });
  run->finish(ticket, TrackedOutcome::done());
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.state, RunState::completed);
  EXPECT_EQ(report.snapshot.attempts_total, 2U);
  EXPECT_EQ(report.snapshot.attempts_failed, 1U);
}

TEST_F(Track, ARunThatWasLeftIsCarriedOn) {
  {
    const auto run = begin();
    EXPECT_TRUE(work(*run, item("a")));
    run->begin(claim(*run, item("b")));
    run->leave("the loop was left");
    const Report report = run->run().wait();
    EXPECT_EQ(report.snapshot.state, RunState::interrupted);
    EXPECT_EQ(report.snapshot.reason, "the loop was left");
    EXPECT_EQ(report.snapshot.items.done, 1);
    EXPECT_EQ(report.snapshot.items.pending, 1);
  }
  const auto run = begin();
  EXPECT_EQ(run->run().id(), 1U);
  EXPECT_FALSE(work(*run, item("a")));
  EXPECT_TRUE(work(*run, item("b")));
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.state, RunState::completed);
  EXPECT_EQ(report.snapshot.items.created, 2);
}

TEST_F(Track, WhatACarriedOnRunIsNoLongerShownHasVanished) {
  {
    const auto run = begin();
    for (const char* key : {"a", "b", "c"}) claim(*run, item(key));
    run->leave("left");
    run->run().wait();
  }
  const auto run = begin();
  EXPECT_TRUE(work(*run, item("b")));
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
  EXPECT_EQ(report.snapshot.items.vanished, 2);
  EXPECT_EQ(report.snapshot.items.done, 1);
  EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
}

TEST_F(Track, AProcessThatIsKilledLosesNothingThatWasCommitted) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto run = begin();
    work(*run, item("a"));
    work(*run, item("b"));
    while (run->run().snapshot().items.done < 2) std::this_thread::sleep_for(milliseconds(2));
    run->begin(claim(*run, item("c")));
    while (run->run().snapshot().live.in_flight.empty()) std::this_thread::sleep_for(milliseconds(2));
    char told = 'x';
    if (write(pipes[1], &told, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char told = 0;
  close(pipes[1]);
  ASSERT_EQ(::read(pipes[0], &told, 1), 1);
  EXPECT_EQ(read()->snapshot().state, RunState::running);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  close(pipes[0]);
  const Snapshot left = read()->snapshot();
  EXPECT_EQ(left.state, RunState::interrupted);
  EXPECT_EQ(left.items.done, 2);
  EXPECT_EQ(left.items.pending, 1);

  const auto run = begin();
  EXPECT_EQ(run->run().id(), 1U);
  EXPECT_FALSE(work(*run, item("a")));
  EXPECT_TRUE(work(*run, item("c")));
  EXPECT_FALSE(work(*run, item("b")));
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.state, RunState::completed);
  EXPECT_EQ(report.snapshot.items.created, 3);
  EXPECT_EQ(report.snapshot.attempts_total, 3U);
}

TEST_F(Track, AnItemThatComesTwiceIsRefused) {
  const auto run = begin();
  std::string message;
  const std::vector<TrackedItem> twice = {item("a"), item("a")};
  EXPECT_EQ(class_thrown([&] { run->declare(twice); }, &message), ErrorClass::configuration);
  EXPECT_NE(message.find("a comes twice"), std::string::npos) << message;
  EXPECT_EQ(class_thrown([&] { run->claim(twice); }), ErrorClass::configuration);
  EXPECT_TRUE(work(*run, item("a")));
  EXPECT_EQ(class_thrown([&] { claim(*run, item("a")); }), ErrorClass::configuration) << "before it is committed";
  expect_seen([](const Snapshot& now) { return now.items.done == 1; });
  EXPECT_EQ(class_thrown([&] { claim(*run, item("a")); }), ErrorClass::configuration) << "and after";
  const TrackedItem other{{"elsewhere", "a", ""}, "", std::nullopt};
  EXPECT_TRUE(work(*run, other)) << "another partition is another item";
  run->leave("left");
  run->run().wait();

  // Who carries on may claim what its predecessor was handed, once.
  const auto next = begin();
  EXPECT_FALSE(work(*next, item("a")));
  expect_seen([&](const Snapshot&) { return row("a").stamp.version != ""; });
  EXPECT_EQ(class_thrown([&] { claim(*next, item("a")); }), ErrorClass::configuration);
}

TEST_F(Track, AnItemThatIsLetGoMayBeClaimedAgain) {
  const auto run = begin();
  for (int i = 0; i < 2; ++i) {
    const TrackedRun::Ticket ticket = claim(*run, item("a"));
    ASSERT_NE(ticket, TrackedRun::settled);
    run->begin(ticket);
    run->let_go(ticket);
    if (i == 0) expect_seen([&](const Snapshot& now) { return now.items.pending == 1 && now.live.in_flight.empty(); });
  }
  run->complete();
  const Report report = run->run().wait();
  EXPECT_EQ(report.snapshot.state, RunState::interrupted) << "it has no outcome";
  EXPECT_EQ(report.snapshot.reason, "1 item was left without an outcome");
}

TEST_F(Track, DeclaredItemsMakeTheTotalsKnownBeforeTheWork) {
  const auto run = begin();
  std::vector<TrackedItem> items;
  for (int i = 0; i < 3000; ++i) items.push_back(item("k" + std::to_string(i)));
  for (size_t i = 0; i < items.size(); i += 1000) ASSERT_TRUE(run->declare(std::span(items).subspan(i, 1000)));
  run->end_listing();
  expect_seen([](const Snapshot& now) { return now.items.pending == 3000 && now.progress() == 0.0; });
  double last = 0;
  for (size_t i = 0; i < items.size(); i += 100) {
    const std::vector<TrackedRun::Ticket> tickets = run->claim(std::span(items).subspan(i, 100), true).value();
    for (const TrackedRun::Ticket ticket : tickets) {
      run->begin(ticket);
      ASSERT_TRUE(run->finish(ticket, TrackedOutcome::done(1)));
    }
    const Snapshot now = run->run().snapshot();
    EXPECT_EQ(violated_invariant(now), std::nullopt);
    EXPECT_GE(now.progress().value(), last);
    last = now.progress().value();
  }
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.items.created, 3000);
  EXPECT_EQ(report.snapshot.bytes_done, 3000U);
}

TEST_F(Track, AnotherProcessCancelsAndPauses) {
  const auto run = begin();
  EXPECT_TRUE(work(*run, item("a")));
  const TrackedRun::Ticket ticket = claim(*run, item("b"));
  run->begin(ticket);
  expect_seen([](const Snapshot& now) { return now.live.in_flight.size() == 1 && now.live.in_flight[0].key == "b"; });
  open_tracker(ledger, OpenMode::existing)->request(Verb::pause, "ada@host");
  while (!run->is_stopping()) std::this_thread::sleep_for(milliseconds(5));
  std::string message;
  EXPECT_EQ(class_thrown([&] { claim(*run, item("c")); }, &message), ErrorClass::cancelled);
  EXPECT_EQ(message, "the run has stopped: paused by ada@host");
  // What is in work may end.
  EXPECT_FALSE(run->run().wait(milliseconds(0)));
  EXPECT_TRUE(run->finish(ticket, TrackedOutcome::done()));
  const Report report = run->run().wait();
  EXPECT_EQ(report.snapshot.state, RunState::paused);
  EXPECT_EQ(report.snapshot.items.done, 2);

  EXPECT_EQ(class_thrown([&] { begin(); }, &message), ErrorClass::locked);
  EXPECT_NE(message.find("paused by ada@host"), std::string::npos) << message;
  Options options = quick();
  options.resume_paused = true;
  const auto next = begin(options);
  EXPECT_EQ(next->run().id(), 1U);
  EXPECT_FALSE(work(*next, item("b")));
  open_tracker(ledger, OpenMode::existing)->request(Verb::cancel, "ada@host");
  EXPECT_EQ(next->run().wait().snapshot.state, RunState::cancelled);
  EXPECT_EQ(class_thrown([&] { claim(*next, item("c")); }), ErrorClass::cancelled);
  const auto third = begin();
  EXPECT_EQ(third->run().id(), 2U) << "a cancelled run is over";
}

TEST_F(Track, AHostThatFailsEndsTheRunWithItsWords) {
  const auto run = begin();
  EXPECT_TRUE(work(*run, item("a"), TrackedOutcome::failed(boom())));
  run->run().fail("ValueError: boom");
  const Report report = run->run().wait();
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_EQ(report.snapshot.reason, "callback: ValueError: boom");
  EXPECT_EQ(report.snapshot.items.failed, 1) << "what had an outcome keeps it";
  EXPECT_EQ(class_thrown([&] { claim(*run, item("b")); }), ErrorClass::callback);
}

TEST_F(Track, ManyThreadsWorkAtOnce) {
  const auto run = begin();
  std::vector<std::thread> threads;
  std::atomic<int> worked{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        worked += work(*run, item(key), i % 10 == 0 ? TrackedOutcome::failed(boom()) : TrackedOutcome::done(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Report report = end(*run);
  EXPECT_EQ(worked, 1600);
  EXPECT_EQ(report.snapshot.items.created, 1440);
  EXPECT_EQ(report.snapshot.items.failed, 160);
  EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
}

TEST_F(Track, ResultsStayWithTheirItems) {
  {
    const auto run = begin();
    work(*run, item("a"), TrackedOutcome::done(std::nullopt, "{ \"rows\": 12 }"));
    work(*run, item("b"));
    end(*run);
  }
  Query query;
  query.has_result = true;
  const auto results = [&] { return read()->scan(query, "", 10).rows; };
  ASSERT_EQ(results().size(), 1U);
  EXPECT_EQ(results()[0].result, R"({"rows":12})");
  {
    const auto run = begin();
    EXPECT_FALSE(work(*run, item("a")));
    EXPECT_FALSE(work(*run, item("b")));
    end(*run);
  }
  EXPECT_EQ(results().size(), 1U) << "it is done still";
  const auto run = begin();
  EXPECT_TRUE(work(*run, item("a", "2")));
  end(*run);
  EXPECT_TRUE(results().empty()) << "of another revision";
}

TEST_F(Track, WhatIsExpectedIsShownAndInNoRatio) {
  const auto run = begin(quick(), 5);
  work(*run, item("a"));
  expect_seen([](const Snapshot& now) { return now.items.done == 1; });
  EXPECT_EQ(read()->snapshot().expected_items, 5U);
  EXPECT_EQ(read()->snapshot().progress(), std::nullopt);
  const Report report = end(*run);
  EXPECT_EQ(report.snapshot.progress(), 1.0);
  bool is_warned = false;
  for (const Event& event : read()->events(0, 100)) {
    is_warned |= event.level == LogLevel::warning && event.text == "1 items came where 5 were expected";
  }
  EXPECT_TRUE(is_warned);
}

TEST_F(Track, ALedgerIsOfOneWork) {
  {
    const auto run = begin();
    work(*run, item("a"));
    end(*run);
  }
  std::string message;
  EXPECT_EQ(class_thrown([&] { track("other", ledger); }, &message), ErrorClass::configuration);
  EXPECT_NE(message.find("tracked work \"convert\", wanted: tracked work \"other\""), std::string::npos) << message;
  const std::string from = "memory://" + unique_name("from");
  put(from, "x", "x");
  Migration migration(from, "memory://" + unique_name("to"), ledger);
  EXPECT_EQ(class_thrown([&] { migration.run(); }, &message), ErrorClass::configuration);
  EXPECT_NE(message.find("tracked work \"convert\""), std::string::npos) << message;
  EXPECT_EQ(class_thrown([&] { migration.verify(); }), ErrorClass::configuration);

  const std::string copied = folder.path("copy.db");
  EXPECT_EQ(Migration(from, "memory://" + unique_name("to"), copied).run().exit_code, 0);
  EXPECT_EQ(class_thrown([&] { track("convert", copied); }, &message), ErrorClass::configuration);
  EXPECT_NE(message.find("wanted: tracked work \"convert\""), std::string::npos) << message;
}

TEST_F(Track, RefusesWhatMeansNothing) {
  std::string message;
  EXPECT_EQ(class_thrown([&] { track("", ledger); }), ErrorClass::configuration);
  Options options;
  options.max_attempts = 3;
  EXPECT_EQ(class_thrown([&] { begin(options); }, &message), ErrorClass::configuration);
  EXPECT_NE(message.find("max_attempts"), std::string::npos) << message;
  const auto run = begin();
  EXPECT_EQ(class_thrown([&] { begin(); }), ErrorClass::locked);
  EXPECT_EQ(class_thrown([&] { claim(*run, item("")); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { claim(*run, item(std::string(65'536, 'k'))); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { claim(*run, item("k", std::string(256, 'r'))); }), ErrorClass::configuration);
  const TrackedItem versioned{{"", "k", "v"}, "", std::nullopt};
  EXPECT_EQ(class_thrown([&] { claim(*run, versioned); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { run->begin(7); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { run->finish(7, TrackedOutcome::done()); }), ErrorClass::configuration);
  const TrackedRun::Ticket ticket = claim(*run, item("k"));
  run->begin(ticket);
  EXPECT_EQ(class_thrown([&] { run->begin(ticket); }), ErrorClass::configuration);
  for (const char* result : {"12", "[1]", "{\"rows\":", "rows"}) {
    EXPECT_EQ(class_thrown([&] { run->finish(ticket, TrackedOutcome::done(std::nullopt, result)); }, &message), ErrorClass::configuration);
    EXPECT_NE(message.find("no JSON object"), std::string::npos) << message;
  }
  EXPECT_EQ(class_thrown([&] { run->complete(); }, &message), ErrorClass::configuration);
  EXPECT_NE(message.find("1 claimed items have no outcome"), std::string::npos) << message;
  run->finish(ticket, TrackedOutcome::done());
  EXPECT_EQ(end(*run).snapshot.items.done, 1);
}

TEST_F(Track, AForkedChildCannotUseIt) {
  const auto run = begin();
  const pid_t child = fork();
  if (child == 0) _exit(class_thrown([&] { claim(*run, item("a")); }) == ErrorClass::forked ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace waybill::testing
