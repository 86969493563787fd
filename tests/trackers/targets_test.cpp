// SPDX-License-Identifier: Apache-2.0
//
// Destination keys that a template made: rows keep them, and are found in their order.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "trackers/sqlite/database.hpp"
#include "trackers/tracker_fixture.hpp"
#include "waybill/maintenance.hpp"

namespace waybill {
namespace {

using namespace testing;

using Targets = std::multimap<Key, ItemId>;

class TargetsTest : public TrackerTest {
 protected:
  static ItemRecord record_of(ItemId id, Key destination_key) {
    ItemRecord record = pending_record(id, 1);
    record.destination_key = std::move(destination_key);
    return record;
  }
  void commit(std::vector<ItemRecord> records) {
    Batch batch;
    for (ItemRecord& record : records) batch.items.push_back(change_of(std::move(record)));
    tracker->commit(epoch, batch);
  }
  Targets all(const Key& from = "", size_t limit = 3) {
    Targets found;
    std::string resume;
    Key last;
    std::set<ItemId> seen;
    for (;;) {
      const TargetPage page = tracker->scan_targets(from, resume, limit);
      EXPECT_LE(page.items.size(), limit);
      for (const ItemRecord& record : page.items) {
        EXPECT_LE(last, record.destination_key);
        EXPECT_TRUE(seen.insert(record.id).second) << record.id.key;
        last = record.destination_key;
        found.emplace(record.destination_key, record.id);
      }
      if (page.is_last) return found;
      resume = page.resume;
    }
  }
};

TEST_P(TargetsTest, RowsAreFoundInOrderOfTheirDestinationKeys) {
  start();
  commit({record_of({"p", "1", ""}, "b"), record_of({"q", "2", "v:1"}, "a:0"), record_of({"p", "3", ""}, ""),
          record_of({"", std::string("4\0:", 3), ""}, "b"), record_of({"p", "5", ""}, std::string("\xff\0", 2))});
  const Targets wanted = {{"a:0", {"q", "2", "v:1"}},
                          {"b", {"", std::string("4\0:", 3), ""}},
                          {"b", {"p", "1", ""}},
                          {std::string("\xff\0", 2), {"p", "5", ""}}};
  const auto as_set = [](const Targets& targets) { return std::set<std::pair<Key, ItemId>>(targets.begin(), targets.end()); };
  for (const size_t limit : {size_t{1}, size_t{2}, size_t{100}}) EXPECT_EQ(as_set(all("", limit)), as_set(wanted)) << limit;
  EXPECT_EQ(all("b").size(), 3u);
  EXPECT_EQ(all("b!").size(), 1u);
  const ItemId known{"q", "2", "v:1"};
  EXPECT_EQ(tracker->lookup({&known, 1}).front()->destination_key, "a:0");
  reopen();
  EXPECT_EQ(as_set(all()), as_set(wanted));
  EXPECT_EQ(class_thrown([&] { tracker->scan_targets("", "nonsense", 1); }), ErrorClass::configuration);
}

TEST_P(TargetsTest, AKeyThatChangesIsFoundAtItsNewPlaceOnly) {
  start();
  std::mt19937 random(11);
  std::map<ItemId, Key> model;
  for (int round = 0; round < 60; ++round) {
    std::map<ItemId, Key> batch;
    for (int i = 0; i < 20; ++i) {
      const ItemId id{"p" + std::to_string(random() % 3), "k" + std::to_string(random() % 60), ""};
      batch[id] = random() % 5 == 0 ? Key() : "d" + std::to_string(random() % 30);
    }
    std::vector<ItemRecord> records;
    for (const auto& [id, key] : batch) {
      records.push_back(record_of(id, key));
      if (random() % 2 == 0) records.back() = copied_record(records.back());
      model[id] = key;
    }
    commit(std::move(records));
    // Outcomes of claimed rows keep what the rows had.
    std::vector<ItemRecord> done;
    for (Claimed& claimed : tracker->claim(epoch, 5)) {
      EXPECT_EQ(claimed.record.destination_key, model[claimed.record.id]);
      done.push_back(copied_record(std::move(claimed.record)));
    }
    commit(std::move(done));
    if (round % 20 == 10) {
      reopen();
      epoch = tracker->acquire({});
    }
    std::set<std::pair<Key, ItemId>> wanted;
    for (const auto& [id, key] : model) {
      if (!key.empty()) wanted.emplace(key, id);
    }
    const Targets found = all("", 7);
    ASSERT_EQ((std::set<std::pair<Key, ItemId>>(found.begin(), found.end())), wanted) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Trackers, TargetsTest, ::testing::Values("sqlite", "memory"), [](const auto& kind) { return kind.param; });

class SqliteTargetsTest : public TargetsTest {
 protected:
  int64_t number(const char* sql) {
    internal::Database database(path(), internal::Database::Access::read_only);
    return database.value_of(sql);
  }
};

TEST_P(SqliteTargetsTest, RowsWithoutATemplateAreAsSmallAsEver) {
  start();
  commit({pending_record({"", "a", ""}, 1), copied_record(pending_record({"", "b", ""}, 1))});
  EXPECT_EQ(number("SELECT count(*) FROM items WHERE more IS NOT NULL"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM targets"), 0);
}

TEST_P(SqliteTargetsTest, CheckAndRecoveryKnowThem) {
  start();
  commit({record_of({"p", "1", ""}, "b"), record_of({"p", "2", ""}, "a")});
  const Targets before = all();
  tracker.reset();
  EXPECT_TRUE(check_ledger(path()).problems.empty());
  const std::string recovered = folder / "recovered.db";
  recover_ledger(path(), recovered);
  tracker = internal::open_sqlite_tracker(recovered, OpenMode::existing);
  EXPECT_EQ(all(), before);
  tracker.reset();
  {
    internal::Database database(path(), internal::Database::Access::read_write);
    database.execute("INSERT INTO targets VALUES (x'63', 1, x'39', x'')");
  }
  EXPECT_FALSE(check_ledger(path()).problems.empty());
}

INSTANTIATE_TEST_SUITE_P(Trackers, SqliteTargetsTest, ::testing::Values("sqlite"), [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace waybill
