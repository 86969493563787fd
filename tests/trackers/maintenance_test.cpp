// SPDX-License-Identifier: Apache-2.0
//
// The file of a ledger in order: what a check finds, backups beside a live owner, vacuum and retention, and what is
// recovered of a damaged one.
#include "waybill/maintenance.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

using internal::open_sqlite_tracker;

Event event_of(EventKind kind, int64_t at_ms, const std::string& text = "something") {
  Event event;
  event.kind = kind;
  event.at_ms = at_ms;
  event.run = 1;
  event.text = text;
  return event;
}

class Maintenance : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "ledger.db"; }

  /// A ledger of a run that has ended: done, failed, waived and pending items, findings and events.
  void make_ledger(int n_rows = 10, RunState end = RunState::completed_with_differences) {
    const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
    tracker->bind(migration_info());
    const uint64_t epoch = tracker->acquire({});
    tracker->commit(epoch, run_batch(1));
    Batch batch;
    for (int i = 0; i < n_rows; ++i) {
      char key[32];
      std::snprintf(key, sizeof key, "folder/key %08d", i);
      ItemRecord record = pending_record({i % 2 == 0 ? "even" : "odd", key, ""}, 1, static_cast<uint64_t>(i));
      if (i % 10 == 3) {
        record.state = ItemState::failed;
        record.error_class = ErrorClass::permission;
      } else if (i % 10 != 5) {
        record = copied_record(record);
      }
      ItemChange change = change_of(record, 2, 1);
      if (record.state == ItemState::failed) change.failure.emplace().error_class = ErrorClass::permission;
      batch.items.push_back(std::move(change));
    }
    batch.findings.push_back({.run = 1, .kind = FindingKind::missing, .id = {"odd", "folder/key 00000001", ""}, .detail = ""});
    batch.events = {event_of(EventKind::run, 1000), event_of(EventKind::audit, 2000), event_of(EventKind::log, 3000),
                    event_of(EventKind::error, 4000)};
    tracker->commit(epoch, batch);
    Batch waiver;
    ItemRecord waived = pending_record({"odd", "folder/key 00000003", ""}, 1, 3);
    waived.state = ItemState::failed;
    waived.error_class = ErrorClass::permission;
    waived.waived = true;
    ItemChange change = change_of(waived);
    change.waiver = Waiver{.who = "me@here", .why = "not wanted", .at_ms = 5000};
    waiver.items.push_back(change);
    tracker->commit(epoch, waiver);
    if (end != RunState::running) tracker->commit(epoch, run_batch(1, end));
  }
  void execute(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  static std::string content(const std::string& of) {
    std::ifstream file(of, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
  /// Overwrites leaf pages of the items, `n` of them spread over the file. Their number is returned.
  int damage_leaves(int n) {
    std::string bytes = content(path());
    constexpr size_t page = 8192;
    std::vector<size_t> leaves;
    for (size_t at = page; at + page <= bytes.size(); at += page) {
      if (bytes[at] == '\x0a' && bytes.find("folder/key ", at) < at + page) leaves.push_back(at);
    }
    for (int i = 1; i <= n; ++i) {
      const size_t at = leaves.at(leaves.size() * static_cast<size_t>(i) / static_cast<size_t>(n + 1));
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), page, '\xa5');
    }
    std::ofstream(path(), std::ios::binary) << bytes;
    return n;
  }

  TemporaryFolder folder_;
};

TEST_F(Maintenance, ASoundLedgerHasNoProblems) {
  make_ledger(1000);
  const LedgerCheck found = check_ledger(path());
  EXPECT_EQ(found.problems, std::vector<std::string>());
  EXPECT_EQ(found.items, 1000);
  EXPECT_EQ(found.events, 4);
  EXPECT_GT(found.file_bytes, 50'000);
  EXPECT_EQ(check_ledger("sqlite://" + path()).items, 1000);
  EXPECT_EQ(class_thrown([&] { check_ledger("memory:"); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { check_ledger(folder_ / "none.db"); }), ErrorClass::missing);
}

TEST_F(Maintenance, ACheckFindsEachKindOfContradiction) {
  const std::pair<const char*, const char*> cases[] = {
      {"UPDATE counters SET pending = pending + 1 WHERE frame = 0 AND partition = 0", "the accounts of the migration say"},
      {"UPDATE counters SET bytes_done = 0 WHERE frame = 1 AND partition = 1", "the accounts of partition 1 in run 1 say 0 bytes_done"},
      {"INSERT INTO counters SELECT frame, 99, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM counters WHERE frame = 0 AND partition = 0",
       "the accounts of the partitions sum to"},
      {"UPDATE segments SET n_rows = n_rows + 1", "the queue's index says"},
      {"UPDATE segments SET n_pending = 0", "the queue's index says"},
      {"UPDATE segments SET last_key = x'61'", "the queue's index has no place for key folder/key"},
      {"DELETE FROM segments", "the queue's index has no place for key folder/key"},
      {"UPDATE classes SET n = n + 1", "of class permission is wrong"},
      {"DELETE FROM items WHERE key = x'666f6c6465722f6b6579203030303030303030'", "the queue's index says"},
      {"DELETE FROM failures WHERE key = x'666f6c6465722f6b6579203030303030303133'", "1 failed or vanished items do not say why"},
      {"UPDATE failures SET key = x'78' WHERE key = x'666f6c6465722f6b6579203030303030303133'", "1 failures are of no item"},
      {"UPDATE waivers SET key = x'78'", "1 waivers are of no waived item"},
      {"INSERT INTO results SELECT partition, key, version, '{}' FROM items WHERE status & 7 = 0 LIMIT 1", "1 results are of no done item"},
      {"UPDATE finding_counts SET n = 2", "numbers of findings are wrong"},
      {"DELETE FROM findings", "numbers of findings are wrong"},
      {"UPDATE ledger SET seq = 1", "events are newer"},
      {"UPDATE items SET status = status | 6 WHERE key = x'666f6c6465722f6b6579203030303030303030'", "is damaged"},
      {"DELETE FROM partitions WHERE partition = 1", "1 partitions have no name"},
      {"DELETE FROM runs", "items are of run 1, which is not there"},
  };
  for (const auto& [sql, expected] : cases) {
    for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(path() + suffix);
    make_ledger(40);
    execute(sql);
    const std::vector<std::string> problems = check_ledger(path()).problems;
    const auto has = [&](const std::string& problem) { return problem.find(expected) != std::string::npos; };
    EXPECT_TRUE(std::any_of(problems.begin(), problems.end(), has)) << sql << ": " << (problems.empty() ? "none" : problems[0]);
    for (const std::string& problem : problems) EXPECT_EQ(problem.find('\n'), std::string::npos) << problem;
  }
}

TEST_F(Maintenance, DamagedPagesAreProblemsAndNoErrors) {
  make_ledger(50'000);  // large enough that opening does not look at every page
  damage_leaves(2);
  const LedgerCheck found = check_ledger(path());
  EXPECT_FALSE(found.problems.empty());
  EXPECT_LE(found.problems.size(), 100U);
}

TEST_F(Maintenance, ABackupBesideALiveOwnerIsTheLedgerAtOneInstant) {
  make_ledger(500);
  const auto owner = open_sqlite_tracker(path(), OpenMode::existing);
  const uint64_t epoch = owner->acquire({});
  const uint64_t seq = owner->snapshot().seq;
  std::filesystem::create_directory(folder_ / "backups");
  const LedgerBackup made = backup_ledger(path(), folder_ / "backups", std::nullopt);
  std::string shape = made.path.substr(made.path.find("/backups/"));
  std::replace_if(shape.begin(), shape.end(), [](char c) { return c >= '0' && c <= '9'; }, '0');
  EXPECT_EQ(shape, "/backups/ledger-00000000T000000Z.db");
  EXPECT_EQ(made.file_bytes, static_cast<int64_t>(std::filesystem::file_size(made.path)));
  EXPECT_EQ(std::filesystem::status(made.path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  // The owner goes on, and the backup does not change with it.
  Batch batch = run_batch(2);
  batch.items.push_back(change_of(pending_record({"", "new", ""}, 2)));
  owner->commit(epoch, batch);
  EXPECT_EQ(check_ledger(made.path).problems, std::vector<std::string>());
  const auto backup = open_sqlite_tracker(made.path, OpenMode::read_only);
  EXPECT_EQ(backup->snapshot().seq, seq);
  EXPECT_EQ(all_rows(*backup).size(), 500U);
  EXPECT_EQ(backup->migration()->fingerprint, "f");
  const auto restored = open_sqlite_tracker(made.path, OpenMode::existing);
  EXPECT_GT(restored->acquire({}), 0U) << "a backup is a ledger of its own: its original's owner does not own it";
}

TEST_F(Maintenance, BackupsRotateAndTouchNothingElse) {
  make_ledger();
  const std::vector<std::string> others = {"ledger-20200101T000000Z.db.txt", "ledger-2020.db", "other-20200101T000000Z.db",
                                           "ledger-20200101T000000Z-x.db", "ledger.db"};
  for (const std::string& name : others) {
    if (name != "ledger.db") std::ofstream(folder_ / name) << "mine";
  }
  for (const char* name : {"ledger-20200101T000000Z.db", "ledger-20210101T000000Z.db", "ledger-20210101T000000Z-2.db",
                           "ledger-20210101T000000Z-10.db"}) {
    std::ofstream(folder_ / name) << "older";
  }
  EXPECT_TRUE(backup_ledger(path(), "", std::nullopt).removed.empty()) << "nothing goes unasked";
  const LedgerBackup made = backup_ledger(path(), "", 3);
  EXPECT_EQ(made.removed, (std::vector<std::string>{folder_ / "ledger-20200101T000000Z.db", folder_ / "ledger-20210101T000000Z.db",
                                                    folder_ / "ledger-20210101T000000Z-2.db"}));
  const std::vector<std::string> left = names();
  for (const std::string& name : others) EXPECT_NE(std::find(left.begin(), left.end(), name), left.end()) << name;
  EXPECT_NE(std::find(left.begin(), left.end(), "ledger-20210101T000000Z-10.db"), left.end());
  EXPECT_EQ(class_thrown([&] { backup_ledger(path(), "", 0); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { backup_ledger(path(), folder_ / "none", 1); }), ErrorClass::missing);
  for (const std::string& name : names()) EXPECT_EQ(name.find(".partial"), std::string::npos) << name;
}

TEST_F(Maintenance, OfBackupsWithinASecondTheNewestStays) {
  make_ledger();
  std::string last;
  for (int i = 0; i < 8; ++i) {
    last = backup_ledger(path(), "", 1).path;
    EXPECT_TRUE(std::filesystem::exists(last));
    const std::vector<std::string> found = names();
    EXPECT_EQ(std::count_if(found.begin(), found.end(), [](const std::string& name) { return name.starts_with("ledger-"); }), 1);
  }
}

TEST_F(Maintenance, NoBackupIsMadeOfADamagedLedger) {
  make_ledger(50'000);
  damage_leaves(1);
  std::string message;
  EXPECT_EQ(class_thrown([&] { backup_ledger(path(), "", 1); }, &message), ErrorClass::tracker) << message;
  for (const std::string& name : names()) EXPECT_FALSE(name.starts_with("ledger-")) << name;
}

TEST_F(Maintenance, WhatWritesWaitsForNoOwner) {
  make_ledger();
  const auto owner = open_sqlite_tracker(path(), OpenMode::existing);
  const uint64_t epoch = owner->acquire({});
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { vacuum_ledger(path()); },
           [&] { prune_events(path(), {.since_ms = {}, .last = 0}, "me@here"); },
           [&] { recover_ledger(path(), folder_ / "new.db"); },
       }) {
    std::string message;
    EXPECT_EQ(class_thrown(call, &message), ErrorClass::locked);
    EXPECT_NE(message.find("process " + std::to_string(::getpid())), std::string::npos) << message;
  }
  owner->commit(epoch, run_batch(2));  // and it still is the owner
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new.db"));
}

TEST_F(Maintenance, VacuumGivesRoomBackAndFencesWhoWasOwner) {
  make_ledger(20'000);
  execute("DELETE FROM events; DELETE FROM findings; UPDATE runs SET options = printf('%.*c', 3000000, 'x')");
  execute("UPDATE runs SET options = ''");
  const auto before = open_sqlite_tracker(path(), OpenMode::existing);
  const uint64_t epoch = before->acquire({});
  before->release(epoch);
  const LedgerVacuum result = vacuum_ledger(path());
  EXPECT_GT(result.bytes_before, result.bytes_after + 2'000'000);
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path())), result.bytes_after);
  EXPECT_EQ(class_thrown([&] { before->commit(epoch, run_batch(2)); }), ErrorClass::fenced);
  const auto next = open_sqlite_tracker(path(), OpenMode::existing);
  EXPECT_GT(next->acquire({}), epoch) << "it is given up again";
  EXPECT_EQ(all_rows(*next).size(), 20'000U);
}

TEST_F(Maintenance, RetentionByAgeRemovesNoAuditEventAndNoRun) {
  make_ledger();
  EXPECT_EQ(prune_events(path(), {.since_ms = 4000, .last = {}}, "me@here\n"), 2);
  const auto tracker = open_sqlite_tracker(path(), OpenMode::read_only);
  const std::vector<Event> left = tracker->events(0, 100);
  ASSERT_EQ(left.size(), 3U);
  EXPECT_EQ(left[0].kind, EventKind::audit);
  EXPECT_EQ(left[1].at_ms, 4000);
  EXPECT_EQ(left[2].kind, EventKind::audit);
  EXPECT_EQ(left[2].text, "2 events removed by me@here\\x0a, from before 1970-01-01T00:00:04.000Z");
  EXPECT_EQ(tracker->runs(10).size(), 1U);
  EXPECT_EQ(all_rows(*tracker).size(), 10U);
  EXPECT_EQ(tracker->findings(1, 0, 10).size(), 1U);
  EXPECT_EQ(check_ledger(path()).problems, std::vector<std::string>());
}

TEST_F(Maintenance, RetentionByNumberKeepsTheNewest) {
  make_ledger();
  EXPECT_EQ(prune_events(path(), {.since_ms = {}, .last = 1}, "me"), 2);
  EXPECT_EQ(prune_events(path(), {.since_ms = {}, .last = 1}, "me"), 0);
  const auto kinds = [&] {
    std::multiset<EventKind> found;
    for (const Event& event : open_sqlite_tracker(path(), OpenMode::read_only)->events(0, 100)) found.insert(event.kind);
    return found;
  };
  EXPECT_EQ(kinds(), (std::multiset<EventKind>{EventKind::error, EventKind::audit, EventKind::audit}));
  EXPECT_EQ(prune_events(path(), {.since_ms = {}, .last = 0}, "me"), 1);
  EXPECT_EQ(kinds(), (std::multiset<EventKind>{EventKind::audit, EventKind::audit, EventKind::audit}));
  EXPECT_EQ(class_thrown([&] { prune_events(path(), {}, "me"); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { prune_events(path(), {.since_ms = {}, .last = -1}, "me"); }), ErrorClass::configuration);
}

TEST_F(Maintenance, RecoveryOfASoundLedgerLosesNothing) {
  make_ledger(1000);
  const std::string before = content(path());
  const std::string into = folder_ / "new.db";
  const Recovery recovery = recover_ledger(path(), into);
  EXPECT_EQ(content(path()), before);
  EXPECT_EQ(recovery.items, 1000);
  EXPECT_EQ(recovery.items_expected, 1000);
  EXPECT_EQ(recovery.notes, std::vector<std::string>());
  for (const Recovery::Table& table : recovery.tables) EXPECT_TRUE(table.is_whole) << table.name;
  EXPECT_EQ(check_ledger(into).problems, std::vector<std::string>());
  const auto old = open_sqlite_tracker(path(), OpenMode::read_only);
  const auto made = open_sqlite_tracker(into, OpenMode::existing);
  const std::vector<ScanRow> wanted = all_rows(*old);
  const std::vector<ScanRow> found = all_rows(*made);
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].record.id, wanted[i].record.id);
    EXPECT_EQ(found[i].record.copied_at_ms, wanted[i].record.copied_at_ms);
    EXPECT_EQ(found[i].failure.has_value(), wanted[i].failure.has_value());
    EXPECT_EQ(found[i].waiver.has_value(), wanted[i].waiver.has_value());
  }
  EXPECT_EQ(made->snapshot().items, old->snapshot().items);
  EXPECT_EQ(made->snapshot().migration_items, old->snapshot().migration_items);
  EXPECT_EQ(made->snapshot().attempts_total, 2000U);
  EXPECT_EQ(made->snapshot().failed_by_class, old->snapshot().failed_by_class);
  EXPECT_EQ(made->migration()->id, old->migration()->id);
  EXPECT_EQ(made->bind(migration_info()).id, old->migration()->id);
  EXPECT_GT(made->acquire({}), 1U);
  EXPECT_EQ(made->events(0, 10).back().kind, EventKind::audit);
}

// A table that a later schema adds is copied, or has a reason here.
TEST_F(Maintenance, RecoveryKnowsEveryTable) {
  make_ledger();
  std::set<std::string> known = {"ledger", "lease",    "segments",  "listings", "finding_counts", "requests",
                                 "live",   "in_flight", "words",     "targets"};  // counted or made anew, or an owner's, or written by the schema
  for (const Recovery::Table& table : recover_ledger(path(), folder_ / "new.db").tables) known.insert(table.name);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
  std::set<std::string> tables;
  const auto add = [](void* to, int, char** values, char**) {
    static_cast<std::set<std::string>*>(to)->insert(values[0]);
    return 0;
  };
  const char* sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
  EXPECT_EQ(sqlite3_exec(database, sql, add, &tables, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(known, tables);
}

TEST_F(Maintenance, RecoveryReadsAroundDamagedPages) {
  constexpr int n_rows = 50'000;
  make_ledger(n_rows, RunState::running);
  const int n_damaged = damage_leaves(4);
  const std::string before = content(path());
  const std::string into = folder_ / "new.db";
  const Recovery recovery = recover_ledger(path(), into);
  EXPECT_EQ(content(path()), before) << "never in place";
  EXPECT_EQ(recovery.items_expected, n_rows);
  EXPECT_LT(recovery.items, n_rows);
  EXPECT_GT(recovery.items, n_rows - n_damaged * 600) << "only what was in the damaged pages, and a little beside them";
  EXPECT_FALSE(std::all_of(recovery.tables.begin(), recovery.tables.end(), [](const auto& table) { return table.is_whole; }));
  EXPECT_EQ(check_ledger(into).problems, std::vector<std::string>());
  const auto made = open_sqlite_tracker(into, OpenMode::existing);
  EXPECT_EQ(made->snapshot().state, RunState::failed) << "so that the next run lists everything";
  EXPECT_EQ(violated_invariant(made->snapshot()), std::nullopt);
  // Work goes on in it: what was lost is found again, what was pending is claimed.
  const uint64_t epoch = made->acquire({});
  Batch batch = run_batch(2);
  for (const ScanRow& row : all_rows(*made)) {
    if (row.record.state != ItemState::pending) continue;
    ItemRecord record = row.record;
    record.run = 2;
    batch.items.push_back(change_of(record));
  }
  const size_t n_pending = batch.items.size();
  EXPECT_GT(n_pending, 1000U);
  made->commit(epoch, batch);
  EXPECT_EQ(made->claim(epoch, 100'000).size(), n_pending);
}

TEST_F(Maintenance, RecoverySaysWhereNothingCanBeDone) {
  make_ledger();
  std::ofstream(folder_ / "there.db") << "mine";
  EXPECT_EQ(class_thrown([&] { recover_ledger(path(), folder_ / "there.db"); }), ErrorClass::configuration);
  EXPECT_EQ(class_thrown([&] { recover_ledger(path(), path()); }), ErrorClass::configuration);
  EXPECT_EQ(content(folder_ / "there.db"), "mine");
  EXPECT_EQ(class_thrown([&] { recover_ledger(folder_ / "none.db", folder_ / "new.db"); }), ErrorClass::missing);
  std::ofstream(folder_ / "text.db") << std::string(100'000, 'x');
  std::filesystem::permissions(folder_ / "text.db", std::filesystem::perms::owner_all);
  EXPECT_EQ(class_thrown([&] { recover_ledger(folder_ / "text.db", folder_ / "new.db"); }), ErrorClass::tracker);
  execute("DELETE FROM ledger");
  std::string message;
  EXPECT_EQ(class_thrown([&] { recover_ledger(path(), folder_ / "new.db"); }, &message), ErrorClass::tracker);
  EXPECT_NE(message.find("not even what the ledger"), std::string::npos) << message;
  for (const std::string& name : names()) EXPECT_FALSE(name.starts_with("new.db")) << name;
}

}  // namespace
}  // namespace waybill::testing
