// SPDX-License-Identifier: Apache-2.0

#include "engine/decide.hpp"

#include <gtest/gtest.h>

namespace waybill::internal {
namespace {

constexpr const char* md5_a = "0cc175b9c0f1b6a831c399e269772661";
constexpr const char* md5_b = "92eb5ffee6ae2fec3ad71c777531578f";

Item item(uint64_t size, const char* etag = "", std::optional<int64_t> mtime = {}) {
  Item result;
  result.id.key = "k";
  result.stamp.size = size;
  result.stamp.etag = etag;
  result.stamp.mtime_ns = mtime;
  return result;
}

ItemRecord copied(const Item& source, const Item& stored) {
  ItemRecord record;
  record.id = source.id;
  record.stamp = source.stamp;
  record.state = ItemState::copied;
  record.basis = Basis::written;
  record.run = 1;
  record.copied_at_ms = 1000;
  Stored there;
  there.size = *stored.stamp.size;
  there.etag = stored.stamp.etag;
  there.mtime_ns = stored.stamp.mtime_ns;
  record.stored = there;
  return record;
}

AtDestination nothing() { return {true, std::nullopt}; }
AtDestination there(const Item& one) { return {true, one}; }

TEST(Decide, NewItemIsPendingAndItsKeyIsKnownToBeFree) {
  const ItemChange change = decide(item(5), std::nullopt, nothing(), {}, 7);
  EXPECT_EQ(change.record.state, ItemState::pending);
  EXPECT_EQ(change.record.seen, DestinationSeen::absent);
  EXPECT_EQ(change.record.change, Change::created);
  EXPECT_EQ(change.record.run, 7u);
  EXPECT_FALSE(change.failure);
}

TEST(Decide, RefusedItemFailsWithItsClassAndReason) {
  Item fifo = item(0);
  fifo.refused = ErrorClass::unsupported;
  fifo.reason = "a FIFO";
  const ItemChange change = decide(fifo, std::nullopt, nothing(), {}, 1);
  EXPECT_EQ(change.record.state, ItemState::failed);
  EXPECT_EQ(change.record.error_class, ErrorClass::unsupported);
  ASSERT_TRUE(change.failure);
  EXPECT_EQ(change.failure->message, "a FIFO");
}

TEST(Decide, UnchangedItemStaysCopiedWithoutARequest) {
  const Item source = item(5, md5_a);
  const ItemChange change = decide(source, copied(source, item(5, md5_a)), there(item(5, md5_a)), {}, 2);
  EXPECT_EQ(change.record.state, ItemState::copied);
  EXPECT_EQ(change.record.change, Change::unchanged);
  EXPECT_EQ(change.record.basis, Basis::written);
  EXPECT_EQ(change.record.revision, 1u);
  EXPECT_EQ(change.record.run, 2u);
}

TEST(Decide, ChangedItemIsANewRevisionThatMayReplaceWhatWeWrote) {
  const ItemChange change = decide(item(6, md5_b), copied(item(5, md5_a), item(5, md5_a)), there(item(5, md5_a)), {}, 2);
  EXPECT_EQ(change.record.state, ItemState::pending);
  EXPECT_EQ(change.record.seen, DestinationSeen::ours);
  EXPECT_EQ(change.record.change, Change::updated);
  EXPECT_EQ(change.record.revision, 2u);
  ASSERT_TRUE(change.record.stored);
  EXPECT_EQ(change.record.stored->etag, md5_a);
}

TEST(Decide, CopiedItemThatIsNoLongerThereIsMovedAgain) {
  const Item source = item(5, md5_a);
  const ItemChange change = decide(source, copied(source, item(5, md5_a)), nothing(), {}, 2);
  EXPECT_EQ(change.record.state, ItemState::pending);
  EXPECT_EQ(change.record.seen, DestinationSeen::absent);
  EXPECT_EQ(change.record.revision, 1u);
}

TEST(Decide, WhatSomebodyElseWroteOverOursIsOccupied) {
  const Item source = item(5, md5_a);
  const ItemRecord ours = copied(source, item(5, md5_a));
  const ItemChange change = decide(source, ours, there(item(9, md5_b)), {}, 2);
  EXPECT_EQ(change.record.state, ItemState::failed);
  EXPECT_EQ(change.record.error_class, ErrorClass::occupied);
  DecideRules always;
  always.overwrite = Overwrite::always;
  EXPECT_EQ(decide(source, ours, there(item(9, md5_b)), always, 2).record.state, ItemState::pending);
}

TEST(Decide, ForeignObjectOfAnotherSizeIsOccupiedAtOnce) {
  const ItemChange change = decide(item(5), std::nullopt, there(item(6)), {}, 1);
  EXPECT_EQ(change.record.state, ItemState::failed);
  EXPECT_EQ(change.record.error_class, ErrorClass::occupied);
}

TEST(Decide, ForeignObjectOfTheSameSizeIsLookedAtByTheTransfer) {
  const ItemChange change = decide(item(5, md5_a), std::nullopt, there(item(5, md5_b)), {}, 1);
  EXPECT_EQ(change.record.state, ItemState::pending);
  EXPECT_EQ(change.record.seen, DestinationSeen::present);
}

TEST(Decide, SameMd5IsMatchedByChecksumSameSizeAndTimeWeakly) {
  EXPECT_EQ(decide(item(5, md5_a), std::nullopt, there(item(5, md5_a)), {}, 1).record.basis, Basis::matched_checksum);
  EXPECT_EQ(decide(item(5, "", 99), std::nullopt, there(item(5, "", 99)), {}, 1).record.basis, Basis::matched_weak);
  // Equal ETags of objects in parts are no MD5 and prove nothing.
  EXPECT_EQ(decide(item(5, "abc-2"), std::nullopt, there(item(5, "abc-2")), {}, 1).record.basis, Basis::none);
  // After a transform the two sides cannot be compared.
  DecideRules transformed;
  transformed.is_transformed = true;
  EXPECT_EQ(decide(item(5, "", 99), std::nullopt, there(item(5, "", 99)), transformed, 1).record.error_class, ErrorClass::occupied);
}

TEST(Decide, NeverReplacesWhatThisLedgerWroteWhenToldSo) {
  DecideRules never;
  never.overwrite = Overwrite::never;
  const ItemChange change = decide(item(6, md5_b), copied(item(5, md5_a), item(5, md5_a)), there(item(5, md5_a)), never, 2);
  EXPECT_EQ(change.record.state, ItemState::failed);
  EXPECT_EQ(change.record.error_class, ErrorClass::occupied);
}

TEST(Decide, FilterLeavesOutWhatIsOwedButDoesNotUndoWhatIsDone) {
  DecideRules rules;
  rules.excluded_by = "exclude *.tmp";
  const ItemChange fresh = decide(item(5), std::nullopt, nothing(), rules, 1);
  EXPECT_EQ(fresh.record.state, ItemState::excluded);
  ASSERT_TRUE(fresh.failure);
  EXPECT_EQ(fresh.failure->message, "exclude *.tmp");
  const Item source = item(5, md5_a);
  EXPECT_EQ(decide(source, copied(source, item(5, md5_a)), there(item(5, md5_a)), rules, 2).record.state, ItemState::copied);
}

TEST(Decide, ItemThatIsListedAgainIsNoLongerGone) {
  const Item source = item(5, md5_a);
  ItemRecord known = copied(source, item(5, md5_a));
  known.gone_at_source = true;
  EXPECT_FALSE(decide(source, known, there(item(5, md5_a)), {}, 2).record.gone_at_source);
}

TEST(Decide, FailedItemOfAnEarlierRunIsTriedAgain) {
  ItemRecord failed;
  failed.id.key = "k";
  failed.state = ItemState::failed;
  failed.error_class = ErrorClass::network;
  failed.stamp = item(5).stamp;
  const ItemChange change = decide(item(5), failed, nothing(), {}, 2);
  EXPECT_EQ(change.record.state, ItemState::pending);
  EXPECT_EQ(change.record.error_class, ErrorClass::none);
}

}  // namespace
}  // namespace waybill::internal
