// SPDX-License-Identifier: Apache-2.0
//
// The accounts of both trackers through long random histories: after every few commits all rows are read and counted,
// and both frames must say the same; what is read back must be what was written.
#include <map>
#include <random>

#include "base/accounts.hpp"
#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

using internal::Counter;
using internal::Counters;

class History {
 public:
  History(Tracker& tracker, uint64_t epoch, uint64_t seed) : tracker_(tracker), epoch_(epoch), random_(seed) {}

  void step() {
    Batch batch;
    const bool begins_run = run_ == 0 || below(40) == 0;
    if (begins_run) {
      if (run_ != 0) tracker_.commit(epoch_, run_batch(run_, RunState::completed));
      batch = run_batch(++run_);
      attempts_run_ = attempts_failed_run_ = 0;
    }
    const size_t n_items = below(60);
    for (size_t i = 0; i < n_items; ++i) batch.items.push_back(random_change());
    seq_is_growing(tracker_.commit(epoch_, batch));
    for (const ItemChange& change : batch.items) model_[change.record.id] = change.record;
  }

  void check() {
    Counters run, migration;
    std::map<std::string, int64_t> by_class;
    std::map<ItemId, ItemRecord> found;
    for (const ScanRow& row : all_rows(tracker_, {}, 97)) {
      migration += internal::contribution(row.record);
      const ErrorClass failed = internal::failed_class(row.record);
      if (internal::in_run_frame(row.record, run_)) {
        run += internal::contribution(row.record);
        if (failed != ErrorClass::none) ++by_class[to_string(failed)];
      }
      const bool is_bad = row.record.state == ItemState::failed || row.record.state == ItemState::vanished ||
                          row.record.state == ItemState::excluded;
      EXPECT_EQ(row.failure.has_value(), is_bad);
      EXPECT_TRUE(found.emplace(row.record.id, row.record).second) << "a row came twice";
    }
    ASSERT_EQ(found.size(), model_.size());
    for (const auto& [id, record] : model_) expect_same(record, found.at(id));

    const Snapshot snapshot = tracker_.snapshot();
    EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
    EXPECT_EQ(snapshot.items, internal::to_accounts(run, 0));
    EXPECT_EQ(snapshot.migration_items, internal::to_accounts(migration, 0));
    EXPECT_EQ(snapshot.bytes_total, static_cast<uint64_t>(run[Counter::bytes_total]));
    EXPECT_EQ(snapshot.bytes_done, static_cast<uint64_t>(run[Counter::bytes_done]));
    EXPECT_EQ(snapshot.failed_by_class, by_class);
    EXPECT_EQ(snapshot.attempts_total, attempts_run_);
    EXPECT_EQ(snapshot.attempts_failed, attempts_failed_run_);
    EXPECT_EQ(snapshot.seq, seq_);
  }

 private:
  size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }
  bool chance(size_t one_in) { return below(one_in) == 0; }
  std::string hex(size_t length) {
    std::string text;
    while (text.size() < length) text += "0123456789abcdef"[below(16)];
    return text;
  }

  void seq_is_growing(uint64_t seq) {
    EXPECT_GT(seq, seq_);
    seq_ = seq;
  }

  std::string random_etag() {
    switch (below(6)) {
      case 0:
        return "";
      case 1:
        return hex(32) + "-17";
      case 2:
        return "ABCDEF0123456789ABCDEF";
      case 3:
        return std::string("\xff\x00 raw", 6);
      case 4:
        return hex(15);
      default:
        return hex(32);
    }
  }

  Digest random_digest() {
    Digest digest;
    if (!chance(4)) digest.crc64nvme = random_();
    if (chance(4)) {
      digest.sha256.emplace();
      for (std::byte& byte : *digest.sha256) byte = static_cast<std::byte>(below(256));
    }
    return digest;
  }

  ItemChange random_change() {
    ItemRecord record;
    record.id.partition = std::vector<std::string>{"", "p", "q", std::string("\0\xff", 2)}[below(4)];
    record.id.key = "k" + std::to_string(below(400)) + (chance(10) ? std::string("\0\n\xfe", 3) : "");
    if (chance(10)) record.id.version = "v" + std::to_string(below(3));
    if (!chance(8)) record.stamp.size = below(1'000'000);
    record.stamp.etag = random_etag();
    if (chance(2)) record.stamp.mtime_ns = static_cast<int64_t>(random_() >> 2) * (chance(2) ? 1 : -1);
    if (chance(8)) record.stamp.version = "version-" + std::to_string(below(9));
    if (chance(4)) record.stamp.opaque = std::string("o\0p", 3);
    record.state = static_cast<ItemState>(below(6));
    record.change = static_cast<Change>(below(3));
    record.seen = static_cast<DestinationSeen>(below(4));
    record.gone_at_source = chance(5);
    record.waived = chance(4);
    record.left = record.state == ItemState::vanished && chance(3);
    record.run = chance(6) && run_ > 1 ? run_ - 1 : run_;
    record.revision = static_cast<uint32_t>(1 + below(300));
    if (record.state == ItemState::failed) record.error_class = static_cast<ErrorClass>(1 + below(26));
    if (chance(3) || record.state == ItemState::copied || record.state == ItemState::verified) fill_copy(record);
    ItemChange change = change_of(record, static_cast<uint32_t>(below(5)));
    change.attempts_failed = static_cast<uint32_t>(below(change.attempts + 1));
    attempts_run_ += change.attempts;
    attempts_failed_run_ += change.attempts_failed;
    return change;
  }

  void fill_copy(ItemRecord& record) {
    record.basis = static_cast<Basis>(1 + below(3));
    record.digest = random_digest();
    record.copied_at_ms = 1'763'600'000'000 + static_cast<int64_t>(below(100'000)) * 1000;
    if (chance(2)) record.verified_at_ms = 1'763'700'000'000;
    Stored stored;
    stored.size = chance(2) ? record.stamp.size.value_or(7) : below(1000);
    stored.etag = chance(2) ? record.stamp.etag : random_etag();
    if (chance(2)) stored.mtime_ns = record.stamp.mtime_ns;
    if (chance(4)) stored.mtime_ns = -5;
    if (chance(4)) stored.version = "stored-version";
    stored.digest = chance(2) ? record.digest : random_digest();
    record.stored = stored;
  }

  static void expect_same(const ItemRecord& wanted, const ItemRecord& found) {
    EXPECT_EQ(wanted.stamp, found.stamp);
    EXPECT_EQ(wanted.state, found.state);
    EXPECT_EQ(wanted.basis, found.basis);
    EXPECT_EQ(wanted.change, found.change);
    EXPECT_EQ(wanted.seen, found.seen);
    EXPECT_EQ(wanted.gone_at_source, found.gone_at_source);
    EXPECT_EQ(wanted.waived, found.waived);
    EXPECT_EQ(wanted.left, found.left);
    EXPECT_EQ(wanted.error_class, found.error_class);
    EXPECT_EQ(wanted.revision, found.revision);
    EXPECT_EQ(wanted.run, found.run);
    EXPECT_EQ(wanted.digest, found.digest);
    EXPECT_EQ(wanted.stored, found.stored);
    EXPECT_EQ(wanted.copied_at_ms, found.copied_at_ms);
    EXPECT_EQ(wanted.verified_at_ms, found.verified_at_ms);
  }

  Tracker& tracker_;
  uint64_t epoch_;
  std::mt19937_64 random_;
  std::map<ItemId, ItemRecord> model_;
  uint64_t run_ = 0;
  uint64_t attempts_run_ = 0;
  uint64_t attempts_failed_run_ = 0;
  uint64_t seq_ = 0;
};

class AccountsTest : public TrackerTest {};

TEST_P(AccountsTest, CountersEqualARecountThroughRandomHistories) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    tracker.reset();
    if (is_sqlite()) std::filesystem::remove(path());
    open();
    tracker->bind(migration_info());
    epoch = tracker->acquire({});
    History history(*tracker, epoch, seed);
    for (int i = 0; i < 200; ++i) {
      history.step();
      if (i % 20 == 19) history.check();
    }
    if (HasFailure()) return;
  }
}

TEST_P(AccountsTest, ANewRunsFrameBeginsAtZeroAndTheMigrationsFrameStays) {
  start();
  Batch batch;
  batch.items.push_back(change_of(copied_record(pending_record({"", "a", ""}, 1)), 2, 1));
  batch.items.push_back(change_of(pending_record({"", "b", ""}, 1)));
  tracker->commit(epoch, batch);
  tracker->commit(epoch, run_batch(1, RunState::completed));
  tracker->commit(epoch, run_batch(2));
  Snapshot snapshot = tracker->snapshot();
  EXPECT_EQ(snapshot.items, ItemAccounts{});
  EXPECT_EQ(snapshot.attempts_total, 0u);
  EXPECT_EQ(snapshot.migration_items.done, 1);
  EXPECT_EQ(snapshot.migration_items.pending, 1);

  // Seen again: the row moves into the frame, and is counted once.
  ItemRecord seen = copied_record(pending_record({"", "a", ""}, 2));
  seen.change = Change::unchanged;
  batch.items = {change_of(seen)};
  tracker->commit(epoch, batch);
  snapshot = tracker->snapshot();
  EXPECT_EQ(snapshot.items.unchanged, 1);
  EXPECT_EQ(snapshot.migration_items.unchanged, 1);
  EXPECT_EQ(snapshot.migration_items.done, 1);
}

TEST_P(AccountsTest, PendingIsWithoutWhatTheOwnerSaysIsInProgress) {
  start();
  Batch batch;
  for (const char* key : {"a", "b", "c"}) batch.items.push_back(change_of(pending_record({"", key, ""}, 1)));
  batch.live.emplace();
  batch.live->in_progress = 2;
  batch.live->in_flight.push_back({"", "a", 5, 10, 1, 1'700'000'000'000});
  tracker->commit(epoch, batch);
  Snapshot snapshot = tracker->snapshot();
  EXPECT_EQ(snapshot.state, RunState::running);
  EXPECT_EQ(snapshot.items.in_progress, 2);
  EXPECT_EQ(snapshot.items.pending, 1);
  EXPECT_EQ(snapshot.items.eligible, 3);
  ASSERT_EQ(snapshot.live.in_flight.size(), 1u);
  EXPECT_EQ(snapshot.live.in_flight[0].key, "a");
  EXPECT_EQ(violated_invariant(snapshot), std::nullopt);

  // Nobody works any more: nothing is in progress, and the run does not say that it is alive.
  tracker->release(epoch);
  snapshot = tracker->snapshot();
  EXPECT_EQ(snapshot.state, RunState::interrupted);
  EXPECT_FALSE(snapshot.reason.empty());
  EXPECT_EQ(snapshot.items.in_progress, 0);
  EXPECT_EQ(snapshot.items.pending, 3);
  EXPECT_FALSE(snapshot.owner.has_value());
}

INSTANTIATE_TEST_SUITE_P(Trackers, AccountsTest, ::testing::Values("sqlite", "memory"),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace waybill::testing
