// SPDX-License-Identifier: Apache-2.0
//
// Promises of tests/requirements.csv that no single part of the engine keeps: what a run does with a tracker that fails,
// what others see of it meanwhile, and what it leaves of its host's process.

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <clocale>
#include <set>
#include <thread>

#include "engine/large_object.hpp"
#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using Gap = Stores;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

template <typename Condition>
::testing::AssertionResult comes(Condition condition) {
  for (const auto end = Clock::now() + std::chrono::seconds(10); Clock::now() < end;) {
    if (condition()) return ::testing::AssertionSuccess();
    std::this_thread::sleep_for(milliseconds(2));
  }
  return ::testing::AssertionFailure() << "not within ten seconds";
}

MigrationInfo some_migration() {
  MigrationInfo info;
  info.fingerprint = "f";
  return info;
}

Batch running_since(int64_t started_at_ms) {
  Batch batch;
  batch.run.emplace();
  batch.run->run = 1;
  batch.run->state = RunState::running;
  batch.run->started_at_ms = started_at_ms;
  batch.run->listing_complete = true;
  return batch;
}

/// Passes everything on to another tracker, with a hook before each commit and claim and one after each commit.
class ScriptedTracker final : public Tracker {
 public:
  explicit ScriptedTracker(std::shared_ptr<Tracker> tracker) : inner(std::move(tracker)) {}

  MigrationInfo bind(const MigrationInfo& wanted) override { return inner->bind(wanted); }
  std::optional<MigrationInfo> migration() override { return inner->migration(); }
  uint64_t acquire(const LeaseOptions& options) override { return inner->acquire(options); }
  void release(uint64_t epoch) noexcept override { inner->release(epoch); }
  uint64_t commit(uint64_t epoch, const Batch& batch) override {
    before_commit(batch);
    const uint64_t seq = inner->commit(epoch, batch);
    after_commit(batch);
    return seq;
  }
  std::vector<Claimed> claim(uint64_t epoch, size_t limit) override {
    before_claim();
    return inner->claim(epoch, limit);
  }
  std::vector<std::optional<ItemRecord>> lookup(std::span<const ItemId> ids) override { return inner->lookup(ids); }
  ScanPage scan(const Query& query, const std::string& resume, size_t limit) override {
    return inner->scan(query, resume, limit);
  }
  std::vector<UploadRecord> uploads() override { return inner->uploads(); }
  std::optional<UploadRecord> upload(const ItemId& id) override { return inner->upload(id); }
  std::vector<ListingRecord> listings() override { return inner->listings(); }
  std::vector<Finding> findings(uint64_t run, uint64_t offset, size_t limit) override {
    return inner->findings(run, offset, limit);
  }
  std::vector<Event> events(uint64_t after, size_t limit) override { return inner->events(after, limit); }
  std::vector<RunRecord> runs(size_t limit) override { return inner->runs(limit); }
  Snapshot snapshot() override { return inner->snapshot(); }
  void request(Verb verb, std::string_view who) override { inner->request(verb, who); }
  std::vector<Request> requests() override { return inner->requests(); }

  std::shared_ptr<Tracker> inner;
  std::function<void(const Batch&)> before_commit = [](const Batch&) {};
  std::function<void(const Batch&)> after_commit = [](const Batch&) {};
  std::function<void()> before_claim = [] {};
};

class TrackerGap : public Stores {
 protected:
  std::unique_ptr<waybill::Run> start(const std::shared_ptr<ScriptedTracker>& tracker, const Options& options,
                                      Callbacks callbacks = {}) {
    return Migration(std::make_shared<ScriptedSource>(open_source(from), source_hook), open_destination(to), tracker)
        .start(options, std::move(callbacks));
  }
  /// Rows of a query on the ledger's file, as "a|b".
  std::vector<std::string> sql(const std::string& query) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open(ledger.c_str(), &database), SQLITE_OK);
    std::vector<std::string> rows;
    const auto add = [](void* found, int count, char** values, char**) {
      std::string row;
      for (int i = 0; i < count; ++i) row += (i == 0 ? "" : "|") + std::string(values[i] == nullptr ? "" : values[i]);
      static_cast<std::vector<std::string>*>(found)->push_back(row);
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database, query.c_str(), add, &rows, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
    return rows;
  }
};

TEST_F(TrackerGap, ATrackerThatCannotBeWrittenPausesTheRunUntilItCan) {
  fill(5000);
  const auto tracker = std::make_shared<ScriptedTracker>(open_tracker(ledger));
  std::atomic<bool> is_full{false};
  std::atomic<int> refused{0};
  std::atomic<int> claims_while_full{0};
  tracker->before_commit = [&](const Batch& batch) {
    if (!batch.items.empty() && batch.items.front().record.state == ItemState::copied && refused == 0) is_full = true;
    if (!is_full) return;
    ++refused;
    throw Error(ErrorCode::resource_exhausted, ErrorClass::tracker, "the disk is full").set_retryable();
  };
  tracker->before_claim = [&] { claims_while_full += is_full; };
  std::atomic<bool> was_told{false};
  Callbacks callbacks;
  callbacks.on_progress = [&](const Snapshot& told) {
    if (told.state == RunState::paused && told.reason == "tracker") was_told = true;
  };
  const std::unique_ptr<waybill::Run> run = start(tracker, quick(), callbacks);
  ASSERT_TRUE(comes([&] { return run->snapshot().reason == "tracker"; })) << "the state says why";
  EXPECT_EQ(run->snapshot().state, RunState::paused);
  EXPECT_TRUE(comes([&] { return was_told.load(); })) << "though nothing is committed";
  EXPECT_TRUE(comes([&] { return refused >= 3; }));
  EXPECT_EQ(claims_while_full, 0);
  is_full = false;
  const Report report = run->wait();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.done, 5000);
  EXPECT_EQ(report.snapshot.attempts_failed, 0u);
}

TEST_F(TrackerGap, OneThreadWritesAndTheEndComesWithTheLastCounters) {
  fill(2000);
  const auto tracker = std::make_shared<ScriptedTracker>(open_tracker(ledger));
  std::mutex mutex;
  std::set<std::thread::id> writers;
  int after_the_end = 0;
  std::optional<Snapshot> end;
  tracker->after_commit = [&](const Batch& batch) {
    std::scoped_lock lock(mutex);
    if (!batch.items.empty()) writers.insert(std::this_thread::get_id());
    after_the_end += end.has_value();
    if (batch.run && is_ended(batch.run->state)) end = tracker->inner->snapshot();
  };
  EXPECT_EQ(start(tracker, quick())->wait().exit_code, 0);
  EXPECT_EQ(writers.size(), 1u);
  ASSERT_TRUE(end) << "no commit ended the run";
  EXPECT_EQ(end->state, RunState::completed);
  EXPECT_EQ(end->items.done, 2000);
  EXPECT_EQ(after_the_end, 0);
}

TEST_F(TrackerGap, NeitherAgeNorVolumeMakesARunDeadOrComplete) {
  const auto tracker = open_tracker(ledger);
  tracker->bind(some_migration());
  const uint64_t epoch = tracker->acquire({});
  Batch batch = running_since(1);
  for (int i = 0; i < 20'000; ++i) {
    ItemChange change;
    change.record.id.key = std::to_string(i);
    change.record.state = ItemState::copied;
    change.record.run = 1;
    batch.items.push_back(std::move(change));
  }
  tracker->commit(epoch, batch);
  EXPECT_EQ(tracker->snapshot().progress(), 1.0);
  EXPECT_EQ(tracker->snapshot().state, RunState::running) << "begun in 1970 and all done, but its owner lives";
  tracker->release(epoch);
  EXPECT_EQ(tracker->snapshot().state, RunState::interrupted) << "it never said that it was complete";
}

TEST_F(TrackerGap, AnOwnerOnAnotherHostLivesUntilItWasWatchedForALease) {
  const auto owner = open_tracker(ledger);
  owner->bind(some_migration());
  LeaseOptions options;
  options.lease = milliseconds(400);
  const uint64_t epoch = owner->acquire(options);
  owner->commit(epoch, running_since(1'700'000'000'000));
  sql("UPDATE lease SET host = 'elsewhere', boot_id = 'of another kernel'");
  const std::vector<std::string> before = sql("SELECT state, reason FROM runs");
  const auto reader = open_tracker(ledger, OpenMode::existing);
  EXPECT_EQ(reader->snapshot().state, RunState::running);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(reader->snapshot().state, RunState::running);
  std::this_thread::sleep_for(milliseconds(400));
  EXPECT_EQ(reader->snapshot().state, RunState::interrupted) << "it has not beaten for a lease on our own clock";
  EXPECT_EQ(sql("SELECT state, reason FROM runs"), before) << "whoever looks writes nothing down";
}

TEST_F(TrackerGap, ALedgerIsOneStrictFileWithAVersionAndTimesAsNumbers) {
  fill(10);
  EXPECT_EQ(copy().exit_code, 0);
  EXPECT_EQ(sql("PRAGMA journal_mode"), std::vector<std::string>{"wal"});
  EXPECT_EQ(sql("PRAGMA user_version"), std::vector<std::string>{"4"});
  const std::string tables = " FROM pragma_table_list t WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
  EXPECT_GT(std::stoi(sql("SELECT count(*)" + tables)[0]), 10);
  EXPECT_EQ(sql("SELECT t.name" + tables + " AND t.strict = 0"), std::vector<std::string>{});
  const std::string columns = " FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND "
                              "(c.name LIKE '%\\_at' ESCAPE '\\' OR c.name LIKE '%\\_ms' ESCAPE '\\' OR c.name LIKE '%\\_ns' ESCAPE '\\')";
  EXPECT_GT(std::stoi(sql("SELECT count(*)" + columns)[0]), 8);
  EXPECT_EQ(sql("SELECT t.name, c.name" + columns + " AND c.type <> 'INTEGER'"), std::vector<std::string>{});
}

TEST_F(Gap, AStalledRunBeatsShowsWhatHangsAndIsSeenCancelling) {
  fill(50);
  source_hook = [](const std::string& operation, const Key& key, Context& context) {
    if (operation != "read" || key < "k000020") return;
    while (context.sleep(milliseconds(1000))) {
    }
    context.check();
  };
  Options options = quick();
  options.heartbeat_ms = 50;
  options.lease_ms = 3000;
  const std::unique_ptr<waybill::Run> run = migration().start(options);
  ASSERT_TRUE(comes([&] { return run->snapshot().items.done == 20 && run->snapshot().live.in_flight.size() >= 8; }));
  const Snapshot stalled = run->snapshot();
  EXPECT_TRUE(comes([&] { return *run->snapshot().heartbeat_at_ms >= *stalled.heartbeat_at_ms + 200; }));
  EXPECT_EQ(run->snapshot().items.settled, 20) << "heartbeats go by time: nothing has ended";
  run->cancel();
  EXPECT_TRUE(comes([&] { return run->snapshot().state != RunState::running; }));
  EXPECT_EQ(run->snapshot().state, RunState::cancelling);
  const Report report = run->wait();
  EXPECT_EQ(report.snapshot.state, RunState::cancelled);
  EXPECT_EQ(report.snapshot.items.done, 20);
  EXPECT_EQ(report.snapshot.progress(), stalled.progress());
}

TEST_F(Gap, AListingThatBreaksOffMarksNothingBehindTheGap) {
  class Cut final : public ScriptedSource {
   public:
    using ScriptedSource::ScriptedSource;
    std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
      class Once final : public Lister {
       public:
        explicit Once(std::unique_ptr<Lister> lister) : inner(std::move(lister)) {}
        Page next(Context& calling) override {
          if (was_asked) throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right to list any more");
          was_asked = true;
          Page page = inner->next(calling);
          page.items.resize(10);
          page.is_last = false;
          return page;
        }
        std::unique_ptr<Lister> inner;
        bool was_asked = false;
      };
      return std::make_unique<Once>(ScriptedSource::list(request, context));
    }
  };
  fill(100);
  EXPECT_EQ(copy().exit_code, 0);
  const Report report = Migration(std::make_shared<Cut>(open_source(from), source_hook),
                                  std::make_shared<ScriptedDestination>(open_destination(to), destination_hook), open_tracker(ledger))
                            .run(quick());
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_FALSE(report.snapshot.listing_complete);
  EXPECT_EQ(report.snapshot.progress(), std::nullopt);
  EXPECT_FALSE(row("k000099")->gone_at_source);
  EXPECT_EQ(copy().snapshot.items.unchanged, 100) << "the next run lists all of it";
}

TEST_F(Gap, ACarriedOnRunListsNothingAgainAndEndsInItsTrueState) {
  fill(50);
  std::atomic<int> hanging{0};
  source_hook = [&](const std::string& operation, const Key& key, Context& context) {
    if (operation != "read" || key < "k000020") return;
    ++hanging;
    while (context.sleep(milliseconds(1000))) {
    }
    context.check();
  };
  const std::unique_ptr<waybill::Run> first = migration().start(quick());
  ASSERT_TRUE(comes([&] { return hanging > 0 && first->snapshot().items.done == 20; }));
  first->interrupt();
  EXPECT_EQ(first->wait().snapshot.state, RunState::interrupted);
  std::atomic<int> listings{0};
  std::atomic<int> reads{0};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    listings += operation == "list";
    reads += operation == "read";
    if (operation == "read" && key == "k000030") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right");
  };
  const int64_t before = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const Report report = copy();
  EXPECT_EQ(listings, 0);
  EXPECT_EQ(reads, 30);
  EXPECT_EQ(report.snapshot.run, 1u);
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences) << "recomputed from the items";
  EXPECT_GE(report.snapshot.ended_at_ms.value_or(0), before) << "the time at which it truly ended";
}

TEST_F(Gap, RunsInManyThreadsLeaveTheirHostAsItIs) {
  const auto signals = [] {
    std::vector<void (*)(int)> handlers;
    for (int number = 1; number < 32; ++number) {
      struct sigaction action {};
      sigaction(number, nullptr, &action);
      handlers.push_back(action.sa_handler);
    }
    return handlers;
  };
  fill(300);
  const auto handlers = signals();
  const mode_t mask = umask(027);
  const std::filesystem::path folder_before = std::filesystem::current_path();
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  std::atomic<int> completed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const std::string mine = folder.path("ledger-" + std::to_string(i) + ".db");
      Migration moving(from, to + "-" + std::to_string(i), mine);
      completed += moving.run(quick()).exit_code == 0 && moving.verify().exit_code == 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(::testing::internal::GetCapturedStdout() + ::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(completed, 6);
  EXPECT_EQ(signals(), handlers);
  EXPECT_EQ(umask(mask), mode_t{027});
  EXPECT_EQ(std::filesystem::current_path(), folder_before);
  EXPECT_EQ(std::setlocale(LC_ALL, nullptr), locale);
}

TEST_F(Gap, PartsInFlightFitTheBudgetAndThrottlingLowersConcurrency) {
  put(from, "large", std::string(60 << 20, 'x'));
  Options options = quick();
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = uint64_t{5} << 20;
  options.body_budget_bytes = uint64_t{10} << 20;
  std::atomic<int> writing{0};
  std::atomic<int> most{0};
  destination_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation != "write_part") return;
    const int now = ++writing;
    if (now > most) most = now;
    context.sleep(milliseconds(20));
    --writing;
  };
  EXPECT_EQ(copy(options).exit_code, 0);
  EXPECT_LE(most, 2) << "twelve parts of 5 MiB, and 10 MiB for bodies";

  fill(300);
  std::atomic<int> reads{0};
  source_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "read" || ++reads > 40) return;
    throw Error(ErrorCode::unavailable, ErrorClass::throttled, "slow down").set_retryable();
  };
  int64_t lowest = 1000;
  const std::unique_ptr<waybill::Run> run = migration().start(quick());
  while (!run->wait(milliseconds(1))) {
    if (const int64_t now = run->snapshot().live.concurrency; now > 0) lowest = std::min(lowest, now);
  }
  EXPECT_EQ(run->wait().exit_code, 0);
  EXPECT_LE(lowest, 8) << "16 at the beginning";
}

TEST_F(Gap, AFailedRunKeepsWhatItHasDone) {
  fill(2000);
  source_hook = [](const std::string& operation, const Key&, Context& context) {
    if (operation == "read") context.sleep(milliseconds(2));
  };
  Callbacks callbacks;
  callbacks.on_progress = [](const Snapshot& snapshot) {
    if (snapshot.items.done > 0) throw std::runtime_error("enough");
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick(), callbacks);
  EXPECT_THROW(run->wait(), std::runtime_error);
  const Snapshot failed = open_tracker(ledger, OpenMode::read_only)->snapshot();
  EXPECT_EQ(failed.state, RunState::failed);
  EXPECT_GT(failed.items.done, 0);
  EXPECT_LT(failed.items.done, 2000);
  const Report next = copy();
  EXPECT_EQ(next.exit_code, 0) << next.message;
  EXPECT_EQ(next.snapshot.items.unchanged, failed.items.done) << "what was finished stays usable";
}

TEST_F(Gap, ACallbackMayLookAndCancel) {
  fill(2000);
  source_hook = [](const std::string& operation, const Key&, Context& context) {
    if (operation == "read") context.sleep(milliseconds(2));
  };
  std::atomic<waybill::Run*> running{nullptr};
  std::atomic<bool> has_looked{false};
  Callbacks callbacks;
  callbacks.on_progress = [&](const Snapshot& told) {
    if (running == nullptr || told.items.done == 0) return;
    has_looked = running.load()->snapshot().seq >= told.seq;
    running.load()->cancel();
  };
  const std::unique_ptr<waybill::Run> run = migration().start(quick(), callbacks);
  running = run.get();
  EXPECT_EQ(run->wait().snapshot.state, RunState::cancelled);
  EXPECT_TRUE(has_looked);
}

TEST(PartsOfEverySize, AreValid) {
  Destination::Capabilities s3;
  s3.min_part_bytes = uint64_t{5} << 20;
  s3.max_part_bytes = uint64_t{5} << 30;
  s3.max_parts = 10'000;
  s3.max_object_bytes = uint64_t{5} << 40;
  const uint64_t wanted = uint64_t{16} << 20;
  const uint64_t edges[] = {1, s3.min_part_bytes, wanted, 2 * wanted, uint64_t{5} << 30, 10'000 * wanted, s3.max_object_bytes};
  for (const uint64_t edge : edges) {
    for (const uint64_t size : {edge - 1, edge, std::min(edge + 1, s3.max_object_bytes)}) {
      const uint64_t part = internal::choose_part_size(size, wanted, s3);
      EXPECT_GE(part, s3.min_part_bytes) << size;
      EXPECT_LE(part, s3.max_part_bytes) << size;
      EXPECT_LE((size + part - 1) / part, s3.max_parts) << size;
    }
  }
}

TEST(DeviceFiles, AreRefusedAsUnsupported) {
  const std::optional<Item> device = open_source("file:///dev")->stat(ItemId{"", "null", ""}, Context::background());
  ASSERT_TRUE(device);
  EXPECT_EQ(device->refused, ErrorClass::unsupported);
  EXPECT_NE(device->reason.find("device"), std::string::npos) << device->reason;
}

}  // namespace
}  // namespace waybill::testing
