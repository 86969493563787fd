// SPDX-License-Identifier: Apache-2.0
//
// The ledger and the death of processes: two owners, a stopped owner, kill -9 in the middle of commits, fork, a full
// disk. Children open the ledger themselves, report through a pipe, and are ended by their id.
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "base/accounts.hpp"
#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

using internal::open_sqlite_tracker;
using std::chrono::milliseconds;

/// A child that runs `body` and says one line to its parent through `say`.
class Child {
 public:
  using Body = std::function<void(const std::function<void(const std::string&)>& say)>;

  explicit Child(const Body& body) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      int code = 0;
      try {
        body([&](const std::string& line) {
          const std::string text = line + "\n";
          if (::write(ends[1], text.data(), text.size()) < 0) ::_exit(3);
        });
      } catch (const Error& error) {
        const std::string text = std::string("error ") + to_string(error.error_class()) + " " + error.message() + "\n";
        code = ::write(ends[1], text.data(), text.size()) < 0 ? 3 : 1;
      }
      ::_exit(code);
    }
    ::close(ends[1]);
    in_ = ::fdopen(ends[0], "r");
  }
  ~Child() {
    kill(SIGKILL);
    wait();
    ::fclose(in_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  /// The next line; "" at the end.
  std::string line() {
    char text[512] = {};
    if (::fgets(text, sizeof text, in_) == nullptr) return "";
    return std::string(text).substr(0, std::string(text).find('\n'));
  }
  void kill(int signal) {
    if (!is_over_) ::kill(pid_, signal);
  }
  int wait() {
    if (!is_over_) ::waitpid(pid_, &status_, 0);
    is_over_ = true;
    return status_;
  }

 private:
  pid_t pid_ = -1;
  FILE* in_ = nullptr;
  bool is_over_ = false;
  int status_ = 0;
};

class SqliteProcessTest : public ::testing::Test {
 protected:
  std::string path() const { return folder / "ledger.db"; }

  /// Owns the ledger, says "ready", and beats until it is killed or fenced.
  Child::Body owner(milliseconds lease = milliseconds(30'000)) {
    return [this, lease](const auto& say) {
      const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
      tracker->bind(migration_info());
      LeaseOptions options;
      options.lease = lease;
      const uint64_t epoch = tracker->acquire(options);
      tracker->commit(epoch, run_batch(1));
      say("ready");
      for (int i = 0;; ++i) {
        Batch batch;
        batch.live.emplace();
        batch.items.push_back(change_of(pending_record({"", "key " + std::to_string(i), ""}, 1)));
        try {
          tracker->commit(epoch, batch);
        } catch (const Error& error) {
          say(to_string(error.error_class()));
          return;
        }
        std::this_thread::sleep_for(milliseconds(10));
      }
    };
  }

  TemporaryFolder folder;
};

TEST_F(SqliteProcessTest, TheSecondOwnerIsToldWhoTheFirstOneIs) {
  Child first(owner());
  ASSERT_EQ(first.line(), "ready");
  const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
  const auto start = std::chrono::steady_clock::now();
  std::string message;
  EXPECT_EQ(class_thrown([&] { tracker->acquire({}); }, &message), ErrorClass::locked);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1000));
  EXPECT_NE(message.find("process " + std::to_string(first.pid())), std::string::npos) << message;
  EXPECT_NE(message.find("heartbeat"), std::string::npos) << message;
  EXPECT_EQ(tracker->snapshot().state, RunState::running);

  // It dies: seen at once, and the ledger can be had at once.
  first.kill(SIGKILL);
  first.wait();
  const Snapshot dead = tracker->snapshot();
  EXPECT_EQ(dead.state, RunState::interrupted);
  EXPECT_NE(dead.reason.find(std::to_string(first.pid())), std::string::npos) << dead.reason;
  EXPECT_EQ(tracker->runs(1).at(0).state, RunState::running) << "a reader writes nothing down";
  EXPECT_GT(tracker->acquire({}), 1u);
  EXPECT_EQ(tracker->runs(1).at(0).state, RunState::interrupted);
}

TEST_F(SqliteProcessTest, OfTwoProcessesThatRaceExactlyOneOwns) {
  open_sqlite_tracker(path(), OpenMode::create)->bind(migration_info());
  for (int round = 0; round < 15; ++round) {
    const Child::Body racer = [this](const auto& say) {
      const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
      say("open");
      const uint64_t epoch = tracker->acquire({});
      say("owner " + std::to_string(epoch));
      ::pause();
    };
    Child one(racer), two(racer);
    ASSERT_EQ(one.line(), "open");
    ASSERT_EQ(two.line(), "open");
    const std::string first = one.line(), second = two.line();
    EXPECT_EQ(first.starts_with("owner") + second.starts_with("owner"), 1) << first << " / " << second;
    EXPECT_EQ(first.starts_with("error locked") + second.starts_with("error locked"), 1) << first << " / " << second;
  }
}

TEST_F(SqliteProcessTest, AStoppedOwnerIsTakenOverAndWritesNothingWhenItWakes) {
  // A process that is stopped inside a transaction holds SQLite's lock until it goes on or dies; that is another case.
  const auto stop_between_writes = [this](Child& owner_process) {
    for (int tries = 0; tries < 200; ++tries) {
      owner_process.kill(SIGSTOP);
      std::this_thread::sleep_for(milliseconds(20));
      sqlite3* other = nullptr;
      ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
      const bool is_free = sqlite3_exec(other, "BEGIN IMMEDIATE; ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK;
      sqlite3_close(other);
      if (is_free) return;
      owner_process.kill(SIGCONT);
      std::this_thread::sleep_for(milliseconds(5));
    }
    FAIL() << "the owner writes all the time";
  };

  Child first(owner(milliseconds(400)));
  ASSERT_EQ(first.line(), "ready");
  const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
  LeaseOptions take_over;
  take_over.lease = milliseconds(400);
  take_over.take_over = true;
  EXPECT_EQ(class_thrown([&] { tracker->acquire(take_over); }), ErrorClass::locked) << "it beats";

  stop_between_writes(first);
  ASSERT_EQ(tracker->snapshot().state, RunState::running);
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(tracker->snapshot().state, RunState::interrupted) << "its counter has not moved for a whole lease";
  const uint64_t epoch = tracker->acquire(take_over);
  tracker->commit(epoch, run_batch(1));
  const Snapshot before = tracker->snapshot();
  EXPECT_EQ(before.state, RunState::running);

  first.kill(SIGCONT);
  EXPECT_EQ(first.line(), "fenced");
  EXPECT_EQ(tracker->snapshot().items, before.items);
  EXPECT_EQ(tracker->snapshot().seq, before.seq);
  // The lock that counts is the new one.
  EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::existing)->acquire({}); }), ErrorClass::locked);
}

TEST_F(SqliteProcessTest, RequestsReachALiveOwnerAndAreCarriedOutWithoutOne) {
  auto tracker = open_sqlite_tracker(path(), OpenMode::create);
  tracker->bind(migration_info());
  EXPECT_NE(class_thrown([&] { tracker->request(Verb::pause, "me"); }), ErrorClass::none);
  {
    Child first(owner());
    ASSERT_EQ(first.line(), "ready");
    tracker->request(Verb::pause, "someone@host");
    ASSERT_EQ(tracker->requests().size(), 1u);
    EXPECT_EQ(tracker->requests()[0].who, "someone@host");
    EXPECT_EQ(tracker->snapshot().state, RunState::running) << "it is the owner's to obey";
  }
  tracker->request(Verb::pause, "someone@host");
  EXPECT_EQ(tracker->snapshot().state, RunState::paused);
  std::string message;
  EXPECT_NE(class_thrown([&] { tracker->request(Verb::pause, "me"); }, &message), ErrorClass::none);
  EXPECT_NE(message.find("paused already"), std::string::npos) << message;
  tracker->request(Verb::cancel, "someone@host");
  EXPECT_EQ(tracker->snapshot().state, RunState::cancelled);
  EXPECT_NE(class_thrown([&] { tracker->request(Verb::cancel, "me"); }), ErrorClass::none);
}

TEST_F(SqliteProcessTest, KillsInTheMiddleOfCommitsLoseAndInventNothing) {
  std::mt19937 random(5);
  int64_t acknowledged = 0;
  for (int round = 0; round < 25; ++round) {
    Child child([this, &acknowledged](const auto& say) {
      const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
      tracker->bind(migration_info());
      const uint64_t epoch = tracker->acquire({});
      tracker->commit(epoch, run_batch(1));
      for (int64_t next = acknowledged;; next += 50) {
        Batch batch;
        for (int64_t i = next; i < next + 50; ++i) {
          batch.items.push_back(change_of(pending_record({"", "key " + std::to_string(i), ""}, 1)));
        }
        for (const Claimed& claimed : tracker->claim(epoch, 30)) {
          batch.items.push_back(change_of(copied_record(claimed.record), 1));
        }
        tracker->commit(epoch, batch);
        say(std::to_string(next + 50));
      }
    });
    const size_t lines = random() % 12;
    for (size_t i = 0; i < lines; ++i) acknowledged = std::max(acknowledged, std::stol("0" + child.line()));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    child.kill(SIGKILL);
    child.wait();
    for (std::string line = child.line(); !line.empty(); line = child.line()) acknowledged = std::stol("0" + line);

    if (!std::filesystem::exists(path())) continue;
    std::shared_ptr<Tracker> tracker = open_sqlite_tracker(path(), OpenMode::create);
    internal::Counters counted;
    int64_t rows = 0;
    for (const ScanRow& row : all_rows(*tracker)) {
      counted += internal::contribution(row.record);
      ++rows;
    }
    EXPECT_GE(rows, acknowledged) << "what was committed is there";
    EXPECT_EQ(rows % 50, 0) << "a batch is there as a whole";
    acknowledged = rows;
    const Snapshot snapshot = tracker->snapshot();
    EXPECT_EQ(snapshot.items, internal::to_accounts(counted, 0));
    EXPECT_EQ(snapshot.items, snapshot.migration_items);
    EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
  }
  EXPECT_GT(acknowledged, 0);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
  std::string result;
  sqlite3_exec(
      database, "PRAGMA integrity_check",
      [](void* to, int, char** values, char**) {
        *static_cast<std::string*>(to) += values[0];
        return 0;
      },
      &result, nullptr);
  sqlite3_close(database);
  EXPECT_EQ(result, "ok");
}

TEST_F(SqliteProcessTest, AForkedChildCanDoNothingWithTheHandleAndTheParentIsUnharmed) {
  auto tracker = open_sqlite_tracker(path(), OpenMode::create);
  tracker->bind(migration_info());
  const uint64_t epoch = tracker->acquire({});
  tracker->commit(epoch, run_batch(1));
  tracker->snapshot();
  Child child([&](const auto& say) {
    std::string classes;
    classes += to_string(class_thrown([&] { tracker->snapshot(); }));
    classes += to_string(class_thrown([&] { tracker->commit(epoch, {}); }));
    classes += to_string(class_thrown([&] { tracker->claim(epoch, 1); }));
    classes += to_string(class_thrown([&] { tracker->requests(); }));
    classes += to_string(class_thrown([&] { tracker->request(Verb::pause, "child"); }));
    tracker->release(epoch);
    tracker.reset();
    say(classes);
  });
  EXPECT_EQ(child.line(), "forkedforkedforkedforkedforked");
  EXPECT_EQ(child.wait(), 0);
  Batch batch;
  batch.items.push_back(change_of(pending_record({"", "a", ""}, 1)));
  tracker->commit(epoch, batch);
  EXPECT_EQ(tracker->snapshot().items.pending, 1);
  EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::existing)->acquire({}); }), ErrorClass::locked);
}

TEST_F(SqliteProcessTest, ATransactionOfAnotherProgramIsARetryableErrorWithinTenSeconds) {
  auto tracker = open_sqlite_tracker(path(), OpenMode::create);
  tracker->bind(migration_info());
  const uint64_t epoch = tracker->acquire({});
  tracker->commit(epoch, run_batch(1));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  Batch batch;
  batch.items.push_back(change_of(pending_record({"", "a", ""}, 1)));
  const auto start = std::chrono::steady_clock::now();
  try {
    tracker->commit(epoch, batch);
    ADD_FAILURE() << "committed";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::tracker);
    EXPECT_TRUE(error.retryable()) << error.message();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_EQ(tracker->snapshot().items.pending, 0) << "reading goes on";
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  tracker->commit(epoch, batch);
  EXPECT_EQ(tracker->snapshot().items.pending, 1);
  EXPECT_EQ(tracker->claim(epoch, 10).size(), 1u);
}

// In a mount namespace of a child's own, on a disk of 3 MB.
TEST_F(SqliteProcessTest, AFullDiskIsRetryableAndTheSameBatchGoesInOnceThereIsSpace) {
  Child child([this](const auto& say) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=3m") != 0) {
      say("cannot");
      return;
    }
    const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
    tracker->bind(migration_info());
    const uint64_t epoch = tracker->acquire({});
    tracker->commit(epoch, run_batch(1));
    std::ofstream(folder / "ballast") << std::string(1 << 20, 'b');
    int64_t rows = 0;
    int64_t copied = 0;
    std::optional<Error> full;
    Batch batch;
    while (!full) {
      batch = {};
      for (int i = 0; i < 500; ++i) {
        batch.items.push_back(change_of(pending_record({"", "key " + std::to_string(rows + i), ""}, 1)));
      }
      try {
        for (const Claimed& claimed : tracker->claim(epoch, 200)) {
          batch.items.push_back(change_of(copied_record(claimed.record), 1));
        }
        tracker->commit(epoch, batch);
        rows += 500;
        copied += static_cast<int64_t>(batch.items.size()) - 500;
      } catch (const Error& error) {
        full = error;
      }
    }
    const Snapshot while_full = tracker->snapshot();
    const bool is_told = full->error_class() == ErrorClass::tracker && full->retryable() &&
                         full->message().find("is full") != std::string::npos;
    if (!is_told) say("told: " + full->message());
    if (while_full.items.discovered != rows || while_full.items.done != copied) say("numbers while it is full");
    std::filesystem::remove(folder / "ballast");
    tracker->commit(epoch, batch);
    copied += static_cast<int64_t>(batch.items.size()) - 500;
    rows += 500;
    const Snapshot after = tracker->snapshot();
    if (after.items.discovered != rows || after.items.done != copied || violated_invariant(after)) say("numbers after");
    internal::Counters counted;
    for (const ScanRow& row : all_rows(*tracker)) counted += internal::contribution(row.record);
    if (internal::to_accounts(counted, 0) != after.items) say("recount");
    std::set<Key> keys;
    for (const Claimed& claimed : tracker->claim(epoch, 100'000)) {
      if (claimed.record.state != ItemState::pending) say("claimed what is done");
      keys.insert(claimed.record.id.key);
    }
    // Rows that a failed claim had taken are to be had again; the ones of the failed commit were released by it.
    if (static_cast<int64_t>(keys.size()) != after.items.pending) say("claims: " + std::to_string(keys.size()));
    say("done");
  });
  const std::string line = child.line();
  if (line == "cannot") GTEST_SKIP() << "no mount namespace here (needs root)";
  EXPECT_EQ(line, "done");
}

TEST_F(SqliteProcessTest, AnotherMigrationsLedgerIsRefusedAndBothAreNamed) {
  auto tracker = open_sqlite_tracker(path(), OpenMode::create);
  const MigrationInfo mine = tracker->bind(migration_info("mine"));
  EXPECT_EQ(mine.id.size(), 16u);
  EXPECT_EQ(tracker->bind(migration_info("mine")).id, mine.id);
  std::string message;
  EXPECT_EQ(class_thrown([&] { tracker->bind(migration_info("other")); }, &message), ErrorClass::configuration);
  for (const char* part : {"source of mine", "destination of mine", "source of other", "destination of other"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_NE(message.find(path()), std::string::npos) << message;
}

}  // namespace
}  // namespace waybill::testing
