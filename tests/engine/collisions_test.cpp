// SPDX-License-Identifier: Apache-2.0
//
// Who gets a suffix, over rows drawn by chance: no order, no kill and no size of a group changes it.
#include "engine/collisions.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "engine/key_template.hpp"
#include "waybill/connectors.hpp"

namespace waybill::internal {
namespace {

using Keys = std::map<ItemId, std::pair<Key, ItemState>>;

/// A ledger in memory with rows, owned.
class Rows {
 public:
  Rows() {
    tracker->bind({});
    epoch = tracker->acquire({});
    Batch batch;
    batch.run.emplace();
    batch.run->run = 1;
    batch.run->state = RunState::running;
    tracker->commit(epoch, batch);
  }
  void add(const ItemId& id, const Key& key, ItemState state = ItemState::pending) {
    ItemRecord record;
    record.id = id;
    record.run = 1;
    record.state = state;
    record.destination_key = key;
    if (state == ItemState::copied) record.stored = Stored{};
    std::vector<ItemChange> changes(1);
    changes.front().record = std::move(record);
    commit(std::move(changes));
  }
  void commit(std::vector<ItemChange> changes) {
    Batch batch;
    batch.items = std::move(changes);
    tracker->commit(epoch, batch);
  }
  /// Stops before the `stop_at`-th commit.
  bool settle(Collisions& found, bool has_folders = false, int stop_at = -1) {
    const ListingSink sink = [&](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool wait) {
      EXPECT_TRUE(wait);
      if (stop_at-- == 0) return false;
      largest = std::max(largest, changes.size());
      commit(std::move(changes));
      return true;
    };
    return settle_collisions(*tracker, has_folders, sink, found);
  }
  Keys keys() const {
    Keys all;
    for (const ItemRecord& record : tracker->scan_targets("", "", SIZE_MAX).items) all[record.id] = {record.destination_key, record.state};
    return all;
  }

  std::shared_ptr<Tracker> tracker = open_tracker("memory:");
  uint64_t epoch = 0;
  size_t largest = 0;
};

ItemId id_of(int number) { return {"p" + std::to_string(number % 3), "k" + std::to_string(number), ""}; }

TEST(Collisions, WhoIsAloneKeepsItsKey) {
  Rows rows;
  for (int i = 0; i < 3000; ++i) rows.add(id_of(i), "key " + std::to_string(i));
  const Keys before = rows.keys();
  Collisions found;
  EXPECT_TRUE(rows.settle(found));
  EXPECT_EQ(rows.keys(), before);
  EXPECT_EQ(found.keys, 0);
}

TEST(Collisions, AHugeGroupMovesInSmallCommitsAndAKillBetweenThemChangesNothing) {
  constexpr int n_items = 3500;
  const auto fill = [](Rows& rows) {
    for (int i = 0; i < n_items; ++i) rows.add(id_of(i), "same.pdf");
    rows.add({"", "alone", ""}, "alone");
  };
  Rows whole;
  fill(whole);
  Collisions found;
  ASSERT_TRUE(whole.settle(found));
  EXPECT_EQ(found.keys, 1);
  EXPECT_EQ(found.items, n_items);
  EXPECT_EQ(found.examples.size(), 1000u);
  EXPECT_LE(whole.largest, 1002u);
  for (const auto& [id, key] : whole.keys()) EXPECT_EQ(key.first, id.key == "alone" ? "alone" : with_own_suffix("same.pdf", id));
  for (int stop_at = 0; stop_at < 5; ++stop_at) {
    Rows killed;
    fill(killed);
    Collisions ignored;
    killed.settle(ignored, false, stop_at);
    ASSERT_TRUE(killed.settle(ignored));
    EXPECT_EQ(killed.keys(), whole.keys()) << stop_at;
  }
}

TEST(Collisions, WhatIsAtTheDestinationStays) {
  Rows rows;
  rows.add(id_of(1), "x", ItemState::copied);
  rows.add(id_of(2), "x");
  rows.add(id_of(3), "y", ItemState::failed);
  rows.add(id_of(4), "y");
  rows.add(id_of(5), "z", ItemState::vanished);
  rows.add(id_of(6), "z", ItemState::excluded);
  rows.add(id_of(7), "z");
  Collisions found;
  ASSERT_TRUE(rows.settle(found));
  const Keys keys = rows.keys();
  EXPECT_EQ(keys.at(id_of(1)).first, "x");
  EXPECT_EQ(keys.at(id_of(2)).first, with_own_suffix("x", id_of(2)));
  EXPECT_EQ(keys.at(id_of(3)), (std::pair(with_own_suffix("y", id_of(3)), ItemState::failed)));
  EXPECT_EQ(keys.at(id_of(4)).first, with_own_suffix("y", id_of(4)));
  EXPECT_EQ(keys.at(id_of(7)).first, "z") << "nobody who may ever be moved wants it as well";
  EXPECT_EQ(found.keys, 2);
  EXPECT_EQ(found.items, 3);
}

TEST(Collisions, ANameMadeToLookLikeASuffixMovesOn) {
  Rows rows;
  rows.add(id_of(1), "x.txt");
  rows.add(id_of(2), "x.txt");
  rows.add(id_of(3), with_own_suffix("x.txt", id_of(1)));
  Collisions found;
  ASSERT_TRUE(rows.settle(found));
  const Keys keys = rows.keys();
  EXPECT_EQ(keys.at(id_of(1)).first, with_own_suffix("x.txt", id_of(1)));
  EXPECT_EQ(keys.at(id_of(3)).first, with_own_suffix(with_own_suffix("x.txt", id_of(1)), id_of(3)));
  // Where it is at the destination already, the other one cannot be told from it.
  Rows taken;
  taken.add(id_of(1), "x.txt");
  taken.add(id_of(2), "x.txt");
  taken.add(id_of(3), with_own_suffix("x.txt", id_of(1)), ItemState::copied);
  Collisions failed;
  ASSERT_TRUE(taken.settle(failed));
  EXPECT_EQ(taken.keys().at(id_of(1)).second, ItemState::failed);
  EXPECT_EQ(taken.keys().at(id_of(2)).second, ItemState::pending);
  EXPECT_EQ(failed.failed, 1);
}

TEST(Collisions, FilesAboveOthersMoveWhereThereAreFolders) {
  const auto fill = [](Rows& rows) {
    rows.add(id_of(1), "a");
    rows.add(id_of(2), "a!");
    rows.add(id_of(3), "a/b");
    rows.add(id_of(4), "a/b/c");
    rows.add(id_of(5), "a/b/d");
    rows.add(id_of(6), "ab");
    rows.add(id_of(7), "e/");
    rows.add(id_of(8), "e/f");
  };
  Rows without;
  fill(without);
  Collisions none;
  ASSERT_TRUE(without.settle(none, false));
  EXPECT_EQ(none.items, 0);
  Rows rows;
  fill(rows);
  Collisions found;
  ASSERT_TRUE(rows.settle(found, true));
  std::set<Key> keys;
  for (const auto& [id, key] : rows.keys()) keys.insert(key.first);
  EXPECT_EQ(keys, (std::set<Key>{with_own_suffix("a", id_of(1)), "a!", with_own_suffix("a/b", id_of(3)), "a/b/c", "a/b/d", "ab", "e/", "e/f"}));
  EXPECT_EQ(found.keys, 2);
  EXPECT_EQ(found.items, 2);
}

// No two rows that may be moved, or are there, have one key; none is above another; and the same rows give the same keys.
TEST(Collisions, AnyRowsEndWithKeysOfTheirOwn) {
  for (unsigned seed = 0; seed < 150; ++seed) {
    std::mt19937 random(seed);
    const bool has_folders = seed % 2 == 0;
    std::vector<std::pair<ItemId, Key>> items;
    std::set<Key> taken;
    std::map<ItemId, ItemState> states;
    const char* names[] = {"a", "a/b", "a/b/c.x", "a.x", "b", "a~", "c/", "c/d", "a!"};
    for (int i = 0; i < 30; ++i) {
      Key key = names[random() % 9];
      if (random() % 8 == 0) key = with_own_suffix(key, id_of(static_cast<int>(random() % 30)));
      items.emplace_back(id_of(i), key);
      states[id_of(i)] = random() % 5 == 0 && !has_folders && taken.insert(key).second ? ItemState::copied : ItemState::pending;
    }
    Keys first;
    for (int round = 0; round < 3; ++round) {
      std::shuffle(items.begin(), items.end(), random);
      Rows rows;
      for (const auto& [id, key] : items) rows.add(id, key, states[id]);
      Collisions found;
      for (int stop_at = 0; round > 0 && !rows.settle(found, has_folders, stop_at % 2); ++stop_at) continue;
      ASSERT_TRUE(rows.settle(found, has_folders)) << seed;
      const Keys keys = rows.keys();
      std::map<Key, ItemId> owners;
      for (const auto& [id, key] : keys) {
        EXPECT_TRUE(states[id] != ItemState::copied || key.second == ItemState::copied);
        if (key.second == ItemState::failed) continue;
        EXPECT_TRUE(owners.emplace(key.first, id).second) << seed << ": " << key.first;
      }
      for (auto owner = owners.begin(); has_folders && owner != owners.end(); ++owner) {
        const auto below = owners.lower_bound(owner->first + "/");
        const bool is_above = !owner->first.ends_with('/') && below != owners.end() && below->first.starts_with(owner->first + "/");
        EXPECT_FALSE(is_above) << seed << ": " << owner->first;
      }
      if (round == 0) first = keys;
      EXPECT_EQ(keys, first) << seed;
    }
  }
}

}  // namespace
}  // namespace waybill::internal
