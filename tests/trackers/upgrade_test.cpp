// SPDX-License-Identifier: Apache-2.0
//
// Ledgers of earlier schema versions, kept as the SQL that makes them (tests/data/ledgers), are opened by this one.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>
#include <iterator>

#include "trackers/sqlite/lock_file.hpp"
#include "trackers/sqlite/schema.hpp"
#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

using internal::open_sqlite_tracker;

class Upgrade : public ::testing::TestWithParam<int> {
 protected:
  TemporaryFolder folder_;
  const std::string path_ = folder_ / "old.db";

  void SetUp() override {
    std::ifstream file(WAYBILL_TEST_DATA_DIR "/ledgers/version_" + std::to_string(GetParam()) + ".sql");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(text.empty());
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(database, text.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_close(database);
  }

  // What the ledger held, whoever opens it.
  static void expect_everything(Tracker& tracker) {
    const Snapshot snapshot = tracker.snapshot();
    EXPECT_EQ(snapshot.name, "an old one");
    EXPECT_EQ(snapshot.run, 3U);
    EXPECT_EQ(snapshot.state, RunState::completed_with_differences);
    EXPECT_EQ(snapshot.items.done, 2);
    EXPECT_EQ(snapshot.items.failed, 1);
    EXPECT_EQ(snapshot.seq, 18U);
    EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
    const std::vector<RunSummary> runs = tracker.history(10);
    ASSERT_EQ(runs.size(), 3U);
    EXPECT_EQ(runs[2].items.created, 2);
    EXPECT_EQ(runs[2].record.host, "") << "an earlier waybill did not write it down";
    const ScanPage page = tracker.scan({}, "", 10);
    ASSERT_EQ(page.rows.size(), 3U);
    EXPECT_EQ(page.rows[0].record.id.key, "folder/two");
    EXPECT_EQ(page.rows[0].record.state, ItemState::verified);
    ASSERT_TRUE(page.rows[2].failure);
    EXPECT_EQ(page.rows[2].failure->message, "a FIFO (named pipe)");
    EXPECT_EQ(page.rows[2].failure->endpoint, "");
    EXPECT_TRUE(tracker.rates(1, -1, 10).empty());
    EXPECT_EQ(snapshot.references, ReferenceAccounts{});
    EXPECT_EQ(runs[0].record.references, std::nullopt);
    EXPECT_FALSE(tracker.cutover_plan());
  }
};

TEST_P(Upgrade, KeepsEverythingForWhoWrites) {
  const auto tracker = open_sqlite_tracker(path_, OpenMode::existing);
  expect_everything(*tracker);
  const uint64_t epoch = tracker->acquire({});
  Batch batch = run_batch(4);
  ItemChange waived;
  const ItemId pipe{"", "pipe", ""};
  waived.record = *tracker->lookup({&pipe, 1}).front();
  waived.record.waived = true;
  waived.waiver = Waiver{"ada@host", "a pipe is no data", 1};
  batch.items.push_back(waived);
  ItemChange done;
  const ItemId file{"", "folder/two", ""};
  done.record = *tracker->lookup({&file, 1}).front();
  done.result = R"({"rows": 2})";
  batch.items.push_back(done);
  batch.run->expected_items = 3;
  ReferenceChange reference;
  reference.record.id = {"sql:a", "1", "url"};
  reference.record.value = "https://old.example/1";
  reference.record.partition_name = "of none";
  reference.is_settled = true;
  batch.references.push_back(reference);
  batch.journal.emplace_back().id = reference.record.id;
  tracker->commit(epoch, batch);
  EXPECT_EQ(tracker->snapshot().references.original, 1);
  EXPECT_EQ(tracker->scan_references({}, "", 10).references.at(0).partition_name, "of none");
  EXPECT_EQ(tracker->journal(reference.record.id).size(), 1U);
  EXPECT_EQ(tracker->snapshot().migration_items.waived, 1);
  EXPECT_EQ(tracker->snapshot().expected_items, 3U);
  Query with_result;
  with_result.has_result = true;
  EXPECT_EQ(tracker->scan(with_result, "", 10).rows.at(0).result, R"({"rows": 2})");
  tracker->release(epoch);
}

TEST_P(Upgrade, KeepsEverythingForWhoReads) {
  expect_everything(*open_sqlite_tracker(path_, OpenMode::read_only));
  expect_everything(*open_sqlite_tracker(path_, OpenMode::read_only));
}

TEST_P(Upgrade, WaitsForAnOwnerThatKnowsTheOldLayout) {
  const std::optional<internal::LockFile> owner = internal::LockFile::try_lock(path_ + ".lock");
  ASSERT_TRUE(owner);
  try {
    (void)open_sqlite_tracker(path_, OpenMode::existing)->snapshot();
    FAIL() << "its tables were changed under its hands";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::tracker);
    EXPECT_NE(error.message().find("earlier waybill"), std::string::npos) << error.message();
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Upgrade, ::testing::Range(1, static_cast<int>(internal::ledger_schema_version)));

}  // namespace
}  // namespace waybill::testing
