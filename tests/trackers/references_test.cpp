// SPDX-License-Identifier: Apache-2.0
//
// References in the SQLite ledger as a file: the room they take, pages of a scan where few match, what people see in the
// views, what a check finds, and what maintenance and recovery leave of a journal.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "trackers/tracker_fixture.hpp"
#include "waybill/maintenance.hpp"

namespace waybill::testing {
namespace {

using internal::open_sqlite_tracker;

class ReferencesTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "ledger.db"; }

  /// A record of a system with ids of 18 characters, links of about a hundred and a stamp.
  static ReferenceRecord reference(int i, ReferenceState state = ReferenceState::pending) {
    char id[32];
    std::snprintf(id, sizeof id, "a0B5g00000%08d", i);
    char value[160];
    std::snprintf(value, sizeof value, "https://files.example.com/sfc/servlet.shepherd/version/download/0685g00000%08d?asPdf=false", i);
    char intended[160];
    std::snprintf(intended, sizeof intended, "https://cdn.example.org/uploads/account-%06d/a-document-of-theirs-%08d.pdf", i / 100, i);
    ReferenceRecord row;
    row.id = {"salesforce:00D5g000004abcd", id, "document_url__c"};
    row.partition = "0015g00000" + std::to_string(10'000'000 + i / 100);
    row.partition_name = "Account " + std::to_string(i / 100);
    row.value = value;
    row.item = {row.partition, value, ""};
    row.stamp = "2026-11-21T10:00:00.000Z";
    row.state = state;
    row.intended = intended;
    row.seen = 1;
    return row;
  }
  static JournalRecord journal_of(const ReferenceRecord& row) {
    JournalRecord record;
    record.id = row.id;
    record.run = 2;
    record.partition = row.partition;
    record.old = row.value;
    record.intended = row.intended;
    record.at_ms = 1'763'600'000'000;
    return record;
  }
  static ReferenceRecord updated(ReferenceRecord row) {
    row.state = ReferenceState::updated;
    row.value = row.intended;
    row.generation = 1;
    return row;
  }
  /// A plan of `n` references, of which the first `n_switched` are switched by run 2.
  void make_ledger(int n, int n_switched) {
    const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
    tracker->bind(migration_info());
    const uint64_t epoch = tracker->acquire({});
    tracker->commit(epoch, run_batch(1, RunState::completed));
    for (int i = 0; i < n;) {
      Batch batch;
      for (const int end = std::min(n, i + 1'000); i < end; ++i) batch.references.push_back({reference(i), false, 0, 0});
      batch.plan = CutoverPlanRecord{"0123456789abcdef", 1, 1'763'600'000'000, n, true, "[]", "{}"};
      tracker->commit(epoch, batch);
    }
    Batch begin = run_batch(2, RunState::running, Phase::cutover);
    begin.run->references = static_cast<uint64_t>(n_switched);
    tracker->commit(epoch, begin);
    for (int i = 0; i < n_switched;) {
      Batch intentions;
      Batch outcomes;
      for (const int end = std::min(n_switched, i + 200); i < end; ++i) {
        const ReferenceRecord row = reference(i);
        intentions.journal.push_back(journal_of(row));
        intentions.references.push_back({row, false, 0, 0});
        intentions.references.back().record.state = ReferenceState::intended;
        intentions.references.back().record.generation = 1;
        outcomes.journal.push_back(journal_of(row));
        outcomes.journal.back().observed = row.intended;
        outcomes.journal.back().state = JournalState::applied;
        outcomes.references.push_back({updated(row), true, 1, 0});
      }
      tracker->commit(epoch, intentions);
      tracker->commit(epoch, outcomes);
    }
    begin.run->state = RunState::completed;
    tracker->commit(epoch, begin);
  }
  void execute(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  /// Each value followed by a space.
  std::string query(const std::string& sql) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open_v2(path().c_str(), &database, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    std::string found;
    const auto add = [](void* to, int count, char** values, char**) {
      for (int i = 0; i < count; ++i) *static_cast<std::string*>(to) += std::string(values[i] ? values[i] : "null") + " ";
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), add, &found, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
    return found;
  }
  static std::vector<ReferenceRecord> all(Tracker& tracker) {
    std::vector<ReferenceRecord> rows;
    std::string resume;
    while (true) {
      const ReferenceRecordPage page = tracker.scan_references({}, resume, 1'000);
      rows.insert(rows.end(), page.references.begin(), page.references.end());
      if (page.is_last) return rows;
      resume = page.resume;
    }
  }

  TemporaryFolder folder_;
};

// Of these, 151 are its id, value and stamp, and 80 what it is to hold. A switch adds a journal row with both values.
TEST_F(ReferencesTest, AReferenceTakesLittleMoreThanItsValues) {
  constexpr int n = 20'000;
  make_ledger(n, 0);
  const double planned = static_cast<double>(std::filesystem::file_size(path())) / n;
  std::filesystem::remove(path());
  make_ledger(n, n);
  const double switched = static_cast<double>(std::filesystem::file_size(path())) / n;
  RecordProperty("bytes_planned", std::to_string(planned));
  RecordProperty("bytes_switched", std::to_string(switched));
  EXPECT_LE(planned, 310.0);
  EXPECT_LE(switched, 590.0);
}

TEST_F(ReferencesTest, AScanWhereFewMatchIsOnePassOfShortPages) {
  constexpr int n = 60'000;
  make_ledger(n, 0);
  const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
  const uint64_t epoch = tracker->acquire({});
  Batch batch;
  batch.references.push_back({reference(n - 1, ReferenceState::failed), false, 0, 0});
  tracker->commit(epoch, batch);
  ReferenceQuery query;
  query.states = {ReferenceState::failed};
  size_t found = 0;
  int empty = 0;
  int pages = 0;
  std::string resume;
  for (bool is_last = false; !is_last; ++pages) {
    const ReferenceRecordPage page = tracker->scan_references(query, resume, 1'000);
    found += page.references.size();
    if (page.references.empty() && !page.is_last) ++empty;
    ASSERT_TRUE(page.is_last || page.resume > resume);
    resume = page.resume;
    is_last = page.is_last;
  }
  EXPECT_EQ(found, 1U);
  EXPECT_EQ(empty, 1) << "of 50,000 rows that were looked at";
  EXPECT_EQ(pages, 2);
}

TEST_F(ReferencesTest, ViewsSayItInWords) {
  make_ledger(2, 1);
  EXPECT_EQ(query("SELECT catalog, record, field, partition, partition_name, item_partition, state, error_class, generation, seen, "
                  "run, value = item_key, intended = value FROM reference_view ORDER BY record"),
            "salesforce:00D5g000004abcd a0B5g0000000000000 document_url__c 0015g0000010000000 Account 0 0015g0000010000000 updated "
            "null 1 1 2 0 1 "
            "salesforce:00D5g000004abcd a0B5g0000000000001 document_url__c 0015g0000010000000 Account 0 0015g0000010000000 pending "
            "null 0 1 null 1 0 ");
  EXPECT_EQ(query("SELECT record, generation, run, partition, old, intended = observed, state, at FROM journal_view"),
            "a0B5g0000000000000 1 2 0015g0000010000000 "
            "https://files.example.com/sfc/servlet.shepherd/version/download/0685g0000000000000?asPdf=false 1 applied "
            "2025-11-20T00:53:20.000Z ");
  EXPECT_EQ(query("SELECT hash, pass, at, reference_count, is_ready, gates, options FROM plan_view"),
            "0123456789abcdef 1 2025-11-20T00:53:20.000Z 2 1 [] {} ");
  EXPECT_EQ(query("SELECT frame, run, partition, is_total, state, count FROM reference_account_view ORDER BY frame, is_total, state"),
            "migration null 0015g0000010000000 0 pending 1 migration null 0015g0000010000000 0 updated 1 "
            "migration null null 1 pending 1 migration null null 1 updated 1 run 2 null 1 updated 1 ");
  EXPECT_EQ(query("SELECT reference_count FROM run_view ORDER BY run"), "null 1 ");
}

TEST_F(ReferencesTest, ACheckFindsWhatContradictsTheRows) {
  make_ledger(300, 100);
  EXPECT_EQ(check_ledger(path()).problems, std::vector<std::string>());
  std::ifstream file(path(), std::ios::binary);
  const std::string sound((std::istreambuf_iterator<char>(file)), {});
  const std::pair<const char*, const char*> cases[] = {
      {"UPDATE reference_counts SET n = n + 1 WHERE frame = 0 AND partition = 0 AND state = 1", "numbers of references are wrong"},
      {"UPDATE reference_counts SET n = n + 1 WHERE frame = 0 AND partition = 2", "numbers of references are wrong"},
      {"UPDATE refs SET status = status + 1 WHERE run = 0", "numbers of references are wrong"},
      {"UPDATE reference_counts SET n = n - 1 WHERE frame = 2", "numbers of references that the run settled are wrong"},
      {"DELETE FROM journal WHERE record = (SELECT max(record) FROM journal)", "1 references have no journal of their switch"},
      {"DELETE FROM catalogs", "1 catalogs have no name"},
  };
  for (const auto& [sql, problem] : cases) {
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path() + suffix);
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << sound;
    execute(sql);
    std::string found;
    for (const std::string& line : check_ledger(path()).problems) found += line + "\n";
    EXPECT_NE(found.find(problem), std::string::npos) << sql << ": " << found;
  }
}

TEST_F(ReferencesTest, RecoveryKeepsReferencesTheirJournalAndPlans) {
  make_ledger(300, 100);
  // Every count is wrong, and names are lost: the ways back are there all the same.
  execute("UPDATE reference_counts SET n = 7; DELETE FROM catalogs; DELETE FROM partitions WHERE partition = 1");
  const std::string into = folder_ / "new.db";
  const Recovery recovery = recover_ledger(path(), into);
  EXPECT_EQ(recovery.notes, (std::vector<std::string>{"the names of 1 partitions of references are lost", "the names of 1 catalogs are lost"}));
  EXPECT_EQ(check_ledger(into).problems, std::vector<std::string>());
  const auto made = open_sqlite_tracker(into, OpenMode::existing);
  const Snapshot snapshot = made->snapshot();
  EXPECT_EQ(snapshot.references.total, 300);
  EXPECT_EQ(snapshot.references.updated, 100);
  EXPECT_EQ(snapshot.run_references.updated, 100);
  EXPECT_EQ(made->cutover_plan()->hash, "0123456789abcdef");
  const std::vector<ReferenceRecord> rows = all(*made);
  ASSERT_EQ(rows.size(), 300U);
  EXPECT_EQ(rows[0].id.catalog, "(its name is lost: 1)");
  EXPECT_EQ(rows[0].partition, "(its name is lost: 1)");
  EXPECT_EQ(rows[299].partition, reference(299).partition);
  for (int i = 0; i < 100; ++i) {
    const auto kept = made->journal(rows[static_cast<size_t>(i)].id);
    ASSERT_EQ(kept.size(), 1U);
    EXPECT_EQ(kept[0].old, reference(i).value);
    EXPECT_EQ(kept[0].observed, reference(i).intended);
    EXPECT_EQ(kept[0].state, JournalState::applied);
  }
}

TEST_F(ReferencesTest, RecoveryMakesReferencesOfTheirJournal) {
  make_ledger(30, 20);
  execute("DELETE FROM refs WHERE CAST(substr(record, -2) AS INTEGER) IN (1, 2, 3, 4); "
          "DELETE FROM journal WHERE CAST(substr(record, -2) AS INTEGER) IN (9, 10); "
          "UPDATE journal SET status = 0, observed = NULL WHERE CAST(substr(record, -2) AS INTEGER) = 2; "
          "UPDATE journal SET status = 3, observed = x'6d696e65' WHERE CAST(substr(record, -2) AS INTEGER) = 3; "
          "UPDATE journal SET status = 14 WHERE CAST(substr(record, -2) AS INTEGER) = 4");
  const std::string into = folder_ / "new.db";
  EXPECT_EQ(recover_ledger(path(), into).notes,
            (std::vector<std::string>{"how 1 switches ended is lost", "4 references are known by their journal alone",
                                      "the journal of 2 switches is lost: they cannot be taken back"}));
  EXPECT_EQ(check_ledger(into).problems, std::vector<std::string>());
  const auto made = open_sqlite_tracker(into, OpenMode::existing);
  const std::vector<ReferenceRecord> rows = all(*made);
  ASSERT_EQ(rows.size(), 30U);
  EXPECT_EQ(rows[1].state, ReferenceState::updated);
  EXPECT_EQ(rows[1].value, reference(1).intended);
  EXPECT_EQ(rows[1].partition, reference(1).partition);
  EXPECT_EQ(rows[2].state, ReferenceState::intended);
  EXPECT_EQ(rows[2].value, reference(2).value) << "whether it was switched has to be read";
  EXPECT_EQ(rows[3].state, ReferenceState::conflict);
  EXPECT_EQ(rows[3].value, "mine");
  EXPECT_EQ(rows[4].state, ReferenceState::intended);
  for (size_t i = 1; i <= 4; ++i) {
    EXPECT_EQ(rows[i].intended, reference(static_cast<int>(i)).intended);
    EXPECT_EQ(rows[i].generation, 1U);
    EXPECT_EQ(rows[i].item, ItemId{});
    EXPECT_EQ(made->journal(rows[i].id).at(0).old, reference(static_cast<int>(i)).value);
  }
  EXPECT_EQ(rows[9].generation, 0U);
  EXPECT_EQ(made->snapshot().references.total, 30);
  EXPECT_EQ(violated_invariant(made->snapshot()), std::nullopt);
}

TEST_F(ReferencesTest, RecoveryOfALostRunKnowsItFromTheJournal) {
  make_ledger(10, 10);
  execute("DELETE FROM runs");
  recover_ledger(path(), folder_ / "new.db");
  EXPECT_EQ(open_sqlite_tracker(folder_ / "new.db", OpenMode::existing)->snapshot().run, 2U);
}

TEST_F(ReferencesTest, RetentionLeavesReferencesJournalAndPlans) {
  make_ledger(20, 10);
  const std::string kept = query("SELECT count(*), sum(length(old)) FROM journal") + query("SELECT count(*) FROM plans") +
                           query("SELECT count(*) FROM refs");
  {
    const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
    const uint64_t epoch = tracker->acquire({});
    Batch batch;
    batch.events.push_back({0, 1, 2, EventKind::log, LogLevel::info, "old", ""});
    batch.events.push_back({0, 1, 2, EventKind::audit, LogLevel::info, "switched", ""});
    tracker->commit(epoch, batch);
  }
  EXPECT_EQ(prune_events(path(), {.since_ms = {}, .last = 0}, "me"), 1);
  vacuum_ledger(path());
  EXPECT_EQ(query("SELECT count(*), sum(length(old)) FROM journal") + query("SELECT count(*) FROM plans") +
                query("SELECT count(*) FROM refs"),
            kept);
  EXPECT_EQ(query("SELECT count(*) FROM events WHERE text = 'switched'"), "1 ");
}

}  // namespace
}  // namespace waybill::testing
