// SPDX-License-Identifier: Apache-2.0
//
// The queue at a size where segments are made and split: every row is handed out exactly once, whatever the order in
// which rows come and outcomes are written, and the segments in the file are what a recount of the rows says.
#include <sqlite3.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

class QueueTest : public TrackerTest {
 protected:
  /// Rows of a query as "a|b|…", through a connection of its own.
  std::vector<std::string> sql(const std::string& query) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open_v2(path().c_str(), &database, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    std::vector<std::string> rows;
    const auto add = [](void* to, int count, char** values, char**) {
      std::string row;
      for (int i = 0; i < count; ++i) row += (i == 0 ? "" : "|") + std::string(values[i] == nullptr ? "" : values[i]);
      static_cast<std::vector<std::string>*>(to)->push_back(row);
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database, query.c_str(), add, &rows, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
    return rows;
  }

  /// Segments whose numbers are not those of their rows.
  std::vector<std::string> wrong_segments() {
    return sql(
        "WITH s AS (SELECT *, lead(first_key) OVER (PARTITION BY partition ORDER BY first_key) AS end FROM segments) "
        "SELECT partition, hex(first_key), n_rows, n_pending FROM s WHERE "
        "n_rows <> (SELECT count(*) FROM items i WHERE i.partition = s.partition AND i.key >= s.first_key AND "
        "           (s.end IS NULL OR i.key < s.end)) OR "
        "n_pending <> (SELECT count(*) FROM items i WHERE i.partition = s.partition AND i.key >= s.first_key AND "
        "           (s.end IS NULL OR i.key < s.end) AND i.status & 2055 = 0 AND "
        "           i.status >> 24 = (SELECT max(run) FROM runs)) OR "
        "last_key < (SELECT max(key) FROM items i WHERE i.partition = s.partition AND i.key >= s.first_key AND "
        "           (s.end IS NULL OR i.key < s.end))");
  }
};

std::string key_of(int number) {
  char text[16];
  std::snprintf(text, sizeof text, "k%07d", number);
  return text;
}

TEST_P(QueueTest, EveryRowIsHandedOutOnceWhileRowsComeInAnyOrder) {
  constexpr int n_rows = 130'000;
  start();
  std::mt19937 random(7);
  std::vector<int> order(n_rows);
  for (int i = 0; i < n_rows; ++i) order[static_cast<size_t>(i)] = i;
  // Half in key order, half shuffled in between them.
  std::stable_partition(order.begin(), order.end(), [](int number) { return number % 2 == 0; });
  std::shuffle(order.begin() + n_rows / 2, order.end(), random);

  std::map<Key, int> handed_out;
  std::vector<ItemRecord> in_hand;
  size_t inserted = 0;
  while (handed_out.size() < n_rows) {
    Batch batch;
    for (int i = 0; i < 2'000 && inserted < order.size(); ++i) {
      batch.items.push_back(change_of(pending_record({"", key_of(order[inserted++]), ""}, 1)));
    }
    std::shuffle(in_hand.begin(), in_hand.end(), random);
    for (size_t i = 0; i < 1'500 && !in_hand.empty(); ++i) {
      batch.items.push_back(change_of(copied_record(in_hand.back()), 1));
      in_hand.pop_back();
    }
    tracker->commit(epoch, batch);
    for (Claimed& claimed : tracker->claim(epoch, 1'500)) {
      EXPECT_FALSE(claimed.maybe_in_flight);
      ASSERT_EQ(++handed_out[claimed.record.id.key], 1) << claimed.record.id.key;
      in_hand.push_back(std::move(claimed.record));
    }
    ASSERT_FALSE(batch.items.empty() && in_hand.empty()) << "rows are pending that nobody is given";
  }
  EXPECT_TRUE(tracker->claim(epoch, 10).empty());
  if (!is_sqlite()) return;
  EXPECT_GT(std::stoi(sql("SELECT count(*) FROM segments")[0]), 1);
  EXPECT_EQ(wrong_segments(), std::vector<std::string>{});
}

TEST_P(QueueTest, ARowThatStaysPendingIsHandedOutAgainAndOthersAreNot) {
  start();
  Batch batch;
  for (int i = 0; i < 100; ++i) batch.items.push_back(change_of(pending_record({"", key_of(i), ""}, 1)));
  tracker->commit(epoch, batch);
  const std::vector<Claimed> all = tracker->claim(epoch, 1000);
  ASSERT_EQ(all.size(), 100u);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(),
                             [](const Claimed& a, const Claimed& b) { return a.record.id < b.record.id; }));
  batch.items = {change_of(all[70].record, 1, 1), change_of(all[3].record, 1, 1)};
  batch.items.push_back(change_of(pending_record({"", "0 before all", ""}, 1)));
  tracker->commit(epoch, batch);
  std::set<Key> again;
  for (const Claimed& claimed : tracker->claim(epoch, 1000)) again.insert(claimed.record.id.key);
  EXPECT_EQ(again, (std::set<Key>{"0 before all", key_of(3), key_of(70)}));
}

TEST_P(QueueTest, PartitionsTakeTurns) {
  start();
  Batch batch;
  for (const char* partition : {"a", "b", "c"}) {
    const int count = partition == std::string("a") ? 1000 : 20;
    for (int i = 0; i < count; ++i) batch.items.push_back(change_of(pending_record({partition, key_of(i), ""}, 1)));
  }
  tracker->commit(epoch, batch);
  std::map<std::string, int> first, second;
  for (const Claimed& claimed : tracker->claim(epoch, 30)) ++first[claimed.record.id.partition];
  EXPECT_EQ(first, (std::map<std::string, int>{{"a", 10}, {"b", 10}, {"c", 10}}));
  // What two partitions do not have is taken from the third.
  for (const Claimed& claimed : tracker->claim(epoch, 60)) ++second[claimed.record.id.partition];
  EXPECT_EQ(second, (std::map<std::string, int>{{"a", 40}, {"b", 10}, {"c", 10}}));
  // One at a time: turns go round.
  std::map<std::string, int> turns;
  Batch more;
  for (const char* partition : {"b", "c"}) {
    more.items.push_back(change_of(pending_record({partition, "z", ""}, 1)));
  }
  tracker->commit(epoch, more);
  for (int i = 0; i < 3; ++i) ++turns[tracker->claim(epoch, 1).at(0).record.id.partition];
  EXPECT_EQ(turns, (std::map<std::string, int>{{"a", 1}, {"b", 1}, {"c", 1}}));
}

TEST_P(QueueTest, WhatAnEarlierOwnerTookIsMarkedForTheNextOne) {
  start();
  Batch batch;
  for (int i = 0; i < 100; ++i) batch.items.push_back(change_of(pending_record({"", key_of(i), ""}, 1)));
  tracker->commit(epoch, batch);
  std::vector<Claimed> taken = tracker->claim(epoch, 40);
  batch.items = {change_of(copied_record(taken[0].record), 1)};
  tracker->commit(epoch, batch);

  reopen();
  epoch = tracker->acquire({});
  EXPECT_EQ(tracker->snapshot().state, RunState::interrupted);
  tracker->commit(epoch, run_batch(1));
  const std::vector<Claimed> rest = tracker->claim(epoch, 1000);
  ASSERT_EQ(rest.size(), 99u);
  for (const Claimed& claimed : rest) {
    EXPECT_EQ(claimed.maybe_in_flight, claimed.record.id.key <= key_of(39)) << claimed.record.id.key;
  }
  // A new run begins without that past.
  tracker->commit(epoch, run_batch(1, RunState::failed));
  Batch next = run_batch(2);
  next.items.push_back(change_of(pending_record({"", key_of(5), ""}, 2)));
  tracker->commit(epoch, next);
  const std::vector<Claimed> fresh = tracker->claim(epoch, 1000);
  ASSERT_EQ(fresh.size(), 1u) << "only what the present run saw is its work";
  EXPECT_FALSE(fresh[0].maybe_in_flight);
}

INSTANTIATE_TEST_SUITE_P(Trackers, QueueTest, ::testing::Values("sqlite", "memory"),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace waybill::testing
