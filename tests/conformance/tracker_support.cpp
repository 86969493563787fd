// SPDX-License-Identifier: Apache-2.0
#include "conformance/tracker_support.hpp"

namespace waybill::conformance {

MigrationInfo wanted_migration() {
  MigrationInfo info;
  info.name = "a name";
  info.fingerprint = "memory://from memory://to plain";
  info.source = "memory://from";
  info.destination = "memory://to";
  info.source_url = "memory://from?x=***";
  info.destination_url = "memory://to";
  return info;
}

ItemRecord pending(const Key& key, uint64_t size, const std::string& partition) {
  ItemRecord row;
  row.id.partition = partition;
  row.id.key = key;
  row.stamp.size = size;
  row.stamp.mtime_ns = 1'600'000'000'000'000'001;
  row.run = 1;
  return row;
}

ItemRecord copied(const Key& key, uint64_t size, const std::string& partition) {
  ItemRecord row = pending(key, size, partition);
  row.state = ItemState::copied;
  row.basis = Basis::written;
  row.digest.crc64nvme = 0x1234;
  row.copied_at_ms = 1'790'000'000'000;
  return row;
}

ItemRecord failed(const Key& key, ErrorClass error_class, const std::string& partition) {
  ItemRecord row = pending(key, 1, partition);
  row.state = ItemState::failed;
  row.error_class = error_class;
  return row;
}

Batch run_batch(uint64_t run, RunState state, Phase phase) {
  Batch batch;
  batch.run = RunRecord{};
  batch.run->run = run;
  batch.run->phase = phase;
  batch.run->state = state;
  batch.run->started_at_ms = 1'790'000'000'000;
  if (is_ended(state)) batch.run->ended_at_ms = 1'790'000'001'000;
  batch.run->options = "{}";
  batch.run->engine_version = "0.1.0";
  return batch;
}

void expect_equal(const ItemRecord& got, const ItemRecord& want) {
  SCOPED_TRACE(printable(want.id.key));
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.stamp, want.stamp);
  EXPECT_EQ(got.state, want.state);
  EXPECT_EQ(got.basis, want.basis);
  EXPECT_EQ(got.change, want.change);
  EXPECT_EQ(got.seen, want.seen);
  EXPECT_EQ(got.gone_at_source, want.gone_at_source);
  EXPECT_EQ(got.waived, want.waived);
  EXPECT_EQ(got.left, want.left);
  EXPECT_EQ(got.error_class, want.error_class);
  EXPECT_EQ(got.revision, want.revision);
  EXPECT_EQ(got.run, want.run);
  EXPECT_EQ(got.digest, want.digest);
  EXPECT_EQ(got.stored, want.stored);
  EXPECT_EQ(got.copied_at_ms, want.copied_at_ms);
  EXPECT_EQ(got.verified_at_ms, want.verified_at_ms);
}

Owned::Owned(TrackerFixture& fixture, std::chrono::milliseconds lease) : tracker(fixture.open()) {
  tracker->bind(wanted_migration());
  LeaseOptions options;
  options.lease = lease;
  epoch = tracker->acquire(options);
  tracker->commit(epoch, run_batch(1));
}

void Owned::commit_items(const std::vector<ItemRecord>& rows) const {
  Batch batch;
  for (const ItemRecord& row : rows) batch.items.push_back({row, 0, 0, std::nullopt});
  tracker->commit(epoch, batch);
}

void Owned::beat() const {
  Batch batch;
  batch.live = LiveState{};
  tracker->commit(epoch, batch);
}

}  // namespace waybill::conformance
