// SPDX-License-Identifier: Apache-2.0
//
// What every Tracker keeps (include/waybill/tracker.hpp): binding, leases and fencing, the queue, rows and pages, and
// accounts that equal a recount of the rows after every commit. What runs, events, requests and uploads keep is in
// tracker_records_conformance.cpp.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "conformance/conformance.hpp"
#include "conformance/tracker_support.hpp"

namespace waybill::conformance {

using namespace std::chrono_literals;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrackerConformance);

namespace {

/// A recount of the rows by the definitions of include/waybill/progress.hpp, written apart from the library's own.
struct Recount {
  ItemAccounts items;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  std::map<std::string, int64_t> failed_by_class;

  void add(const ItemRecord& row) {
    const uint64_t size = row.stamp.size.value_or(0);
    ++items.discovered;
    if (row.state == ItemState::excluded) {
      ++items.excluded;
      return;
    }
    ++items.eligible;
    bytes_total += size;
    const bool done = row.state == ItemState::copied || row.state == ItemState::verified;
    if (done) {
      ++items.done;
      bytes_done += size;
      if (row.state == ItemState::verified) ++items.verified;
      if (row.change == Change::created) ++items.created;
      if (row.change == Change::updated) ++items.updated;
      if (row.change == Change::unchanged) ++items.unchanged;
    } else if (row.waived) {
      ++items.waived;
    } else if (row.state == ItemState::failed) {
      ++items.failed;
      ++failed_by_class[to_string(row.error_class)];
    } else if (row.state == ItemState::vanished) {
      ++items.vanished;
    } else {
      ++items.pending;
    }
    items.outstanding = items.eligible - items.done;
    items.settled = items.done + items.failed + items.waived + items.vanished;
  }
};

std::vector<ScanRow> scan_all(Tracker& tracker, const Query& query, size_t limit) {
  std::vector<ScanRow> rows;
  std::string resume;
  for (int pages = 0; pages < 100'000; ++pages) {
    ScanPage page = tracker.scan(query, resume, limit);
    EXPECT_LE(page.rows.size(), limit);
    rows.insert(rows.end(), std::make_move_iterator(page.rows.begin()), std::make_move_iterator(page.rows.end()));
    if (page.is_last) return rows;
    resume = page.resume;
  }
  ADD_FAILURE() << "the scan has no last page";
  return rows;
}

void expect_counters_equal_rows(Tracker& tracker, uint64_t run) {
  Recount of_run;
  Recount of_migration;
  for (const ScanRow& row : scan_all(tracker, {}, 1'000)) {
    if (row.record.left) continue;
    of_migration.add(row.record);
    if (row.record.run == run) of_run.add(row.record);
  }
  const Snapshot snapshot = tracker.snapshot();
  EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
  EXPECT_EQ(snapshot.items, of_run.items);
  EXPECT_EQ(snapshot.migration_items, of_migration.items);
  EXPECT_EQ(snapshot.bytes_total, of_run.bytes_total);
  EXPECT_EQ(snapshot.bytes_done, of_run.bytes_done);
  std::map<std::string, int64_t> classes;
  for (const auto& [name, count] : snapshot.failed_by_class) {
    if (count != 0) classes[name] = count;
  }
  EXPECT_EQ(classes, of_run.failed_by_class);
}

std::vector<Key> keys_of(const std::vector<Claimed>& claimed) {
  std::vector<Key> keys;
  for (const Claimed& item : claimed) keys.push_back(item.record.id.key);
  return keys;
}

}  // namespace

TEST_P(TrackerConformance, TheFirstBindMakesTheLedgerOurs) {
  const auto tracker = fixture().open();
  EXPECT_FALSE(tracker->migration());
  const MigrationInfo bound = tracker->bind(wanted_migration());
  EXPECT_EQ(bound.id.size(), 16U);
  EXPECT_EQ(bound.id.find_first_not_of("0123456789abcdef"), std::string::npos) << bound.id;
  EXPECT_EQ(bound.fingerprint, wanted_migration().fingerprint);
  EXPECT_GT(bound.created_at_ms, 1'600'000'000'000);
  EXPECT_EQ(tracker->bind(wanted_migration()).id, bound.id);
  const auto found = tracker->migration();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, bound.id);
  EXPECT_EQ(found->name, "a name");
  EXPECT_EQ(found->source, "memory://from");
  EXPECT_EQ(found->destination, "memory://to");
  EXPECT_EQ(found->source_url, "memory://from?x=***");
}

TEST_P(TrackerConformance, ALedgerOfAnotherMigrationIsRefusedAndBothAreNamed) {
  const auto tracker = fixture().open();
  const std::string id = tracker->bind(wanted_migration()).id;
  MigrationInfo other = wanted_migration();
  other.fingerprint = "another one";
  other.source = "memory://elsewhere";
  const auto error = error_of([&] { tracker->bind(other); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::configuration);
  EXPECT_NE(error->message().find("memory://from"), std::string::npos) << error->message();
  EXPECT_NE(error->message().find("memory://elsewhere"), std::string::npos) << error->message();
  EXPECT_EQ(error->message().find('\n'), std::string::npos);
  EXPECT_EQ(tracker->migration()->id, id);
}

TEST_P(TrackerConformance, ALedgerThatWasCommittedIsThereForTheNextProcess) {
  if (!fixture().is_durable()) GTEST_SKIP() << "the ledger dies with its process";
  Snapshot before;
  std::string id;
  {
    Owned owned(fixture());
    owned.commit_items({pending("a"), copied("b", 5), failed("c", ErrorClass::permission)});
    before = owned.tracker->snapshot();
    id = owned.tracker->migration()->id;
  }
  const auto tracker = fixture().open();
  EXPECT_EQ(tracker->migration()->id, id);
  const Snapshot after = tracker->snapshot();
  EXPECT_EQ(after.items, before.items);
  EXPECT_EQ(after.seq, before.seq);
  EXPECT_EQ(scan_all(*tracker, {}, 10).size(), 3U);
}

TEST_P(TrackerConformance, EveryOwnerHasAHigherEpoch) {
  const auto tracker = fixture().open();
  tracker->bind(wanted_migration());
  const uint64_t first = tracker->acquire({});
  tracker->release(first);
  const uint64_t second = tracker->acquire({});
  EXPECT_GT(second, first);
  tracker->release(first);  // it is lost already: nothing happens
  tracker->commit(second, run_batch(1));
  tracker->release(second);
  EXPECT_GT(tracker->acquire({}), second);
}

TEST_P(TrackerConformance, ASecondOwnerIsRefusedWithinASecondAndToldWhoHoldsTheLedger) {
  Owned owned(fixture());
  const auto other = fixture().open();
  if (other == nullptr) GTEST_SKIP() << "the ledger cannot be opened twice";
  const auto begin = std::chrono::steady_clock::now();
  const auto error = error_of([&] { other->acquire({}); });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::locked) << error->message();
  EXPECT_EQ(error->code(), ErrorCode::aborted);
  EXPECT_NE(error->message().find(std::to_string(::getpid())), std::string::npos) << error->message();
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  EXPECT_NE(error->message().find(host), std::string::npos) << error->message();
  owned.commit_items({pending("a")});  // the refused one disturbed nothing
  owned.tracker->release(owned.epoch);
  EXPECT_GT(other->acquire({}), owned.epoch);
}

TEST_P(TrackerConformance, AnOwnerThatBeatsIsNotTakenOver) {
  Owned owned(fixture(), 600ms);
  const auto other = fixture().open();
  if (other == nullptr) GTEST_SKIP() << "the ledger cannot be opened twice";
  std::atomic<bool> stop{false};
  std::thread heart([&] {
    while (!stop) {
      owned.beat();
      std::this_thread::sleep_for(100ms);
    }
  });
  LeaseOptions options;
  options.lease = 600ms;
  options.take_over = true;
  const auto error = error_of([&] { other->acquire(options); });
  stop = true;
  heart.join();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::locked) << error->message();
}

TEST_P(TrackerConformance, AStoppedOwnerIsTakenOverAndFenced) {
  Owned owned(fixture(), 400ms);
  owned.commit_items({pending("a"), pending("b")});
  ASSERT_EQ(owned.tracker->claim(owned.epoch, 1).size(), 1U);
  const auto other = fixture().open();
  if (other == nullptr) GTEST_SKIP() << "the ledger cannot be opened twice";
  LeaseOptions options;
  options.lease = 400ms;
  options.take_over = true;
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t epoch = other->acquire(options);  // the first one does not beat
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_GT(epoch, owned.epoch);
  // What the first one was doing is void, and it can do nothing more.
  Batch late;
  late.items.push_back({copied("a", 1), 1, 0, std::nullopt});
  const auto commit = error_of([&] { owned.tracker->commit(owned.epoch, late); });
  ASSERT_TRUE(commit);
  EXPECT_EQ(commit->error_class(), ErrorClass::fenced) << commit->message();
  const auto claim = error_of([&] { owned.tracker->claim(owned.epoch, 1); });
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->error_class(), ErrorClass::fenced) << claim->message();
  owned.tracker->release(owned.epoch);
  EXPECT_EQ(other->lookup(std::vector<ItemId>{{"", "a", ""}})[0]->state, ItemState::pending);
  other->commit(epoch, run_batch(1));
  EXPECT_EQ(keys_of(other->claim(epoch, 10)), (std::vector<Key>{"a", "b"}));
  other->release(epoch);
}

TEST_P(TrackerConformance, AStaleEpochWritesNothingOfItsBatch) {
  Owned owned(fixture());
  owned.commit_items({pending("a")});
  const Snapshot before = owned.tracker->snapshot();
  Batch batch;
  batch.items.push_back({copied("a", 5), 1, 0, std::nullopt});
  batch.items.push_back({pending("b"), 0, 0, std::nullopt});
  batch.events.push_back({});
  batch.events.back().text = "never";
  batch.live = LiveState{};
  for (const uint64_t epoch : {owned.epoch - 1, owned.epoch + 1, uint64_t{0}}) {
    const auto error = error_of([&] { owned.tracker->commit(epoch, batch); });
    ASSERT_TRUE(error) << epoch;
    EXPECT_EQ(error->error_class(), ErrorClass::fenced) << error->message();
  }
  const Snapshot after = owned.tracker->snapshot();
  EXPECT_EQ(after.seq, before.seq);
  EXPECT_EQ(after.items, before.items);
  EXPECT_FALSE(owned.tracker->lookup(std::vector<ItemId>{{"", "b", ""}})[0]);
  EXPECT_TRUE(owned.tracker->events(0, 100).empty());
}

TEST_P(TrackerConformance, ClaimsComeInKeyOrderEachOnce) {
  Owned owned(fixture());
  std::vector<ItemRecord> rows;
  for (int i = 0; i < 500; ++i) rows.push_back(pending("k" + std::to_string(1'000 + (i * 7919) % 500)));
  rows.push_back(copied("k0", 1));
  rows.push_back(failed("k1", ErrorClass::server));
  owned.commit_items(rows);
  std::vector<Key> all;
  for (;;) {
    const std::vector<Claimed> claimed = owned.tracker->claim(owned.epoch, 64);
    EXPECT_LE(claimed.size(), 64U);
    if (claimed.empty()) break;
    for (const Claimed& item : claimed) {
      EXPECT_EQ(item.record.state, ItemState::pending);
      EXPECT_FALSE(item.maybe_in_flight);
      all.push_back(item.record.id.key);
    }
  }
  EXPECT_EQ(all.size(), 500U);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(std::set<Key>(all.begin(), all.end()).size(), all.size());
  EXPECT_TRUE(owned.tracker->claim(owned.epoch, 64).empty()) << "claimed twice";
}

TEST_P(TrackerConformance, ClaimsAreFairToPartitions) {
  Owned owned(fixture());
  std::vector<ItemRecord> rows;
  for (const std::string partition : {"p1", "p2", "p3"}) {
    for (int i = 0; i < 50; ++i) rows.push_back(pending("k" + std::to_string(100 + i), 1, partition));
  }
  owned.commit_items(rows);
  std::map<std::string, size_t> by_partition;
  for (int calls = 0; calls < 6; ++calls) {
    for (const Claimed& item : owned.tracker->claim(owned.epoch, 10)) ++by_partition[item.record.id.partition];
  }
  EXPECT_EQ(by_partition.size(), 3U) << "a partition waits until another one is finished";
}

TEST_P(TrackerConformance, RowsInsertedBehindTheClaimsAreClaimedToo) {
  Owned owned(fixture());
  owned.commit_items({pending("m"), pending("n")});
  EXPECT_EQ(keys_of(owned.tracker->claim(owned.epoch, 10)), (std::vector<Key>{"m", "n"}));
  owned.commit_items({pending("a"), pending("z")});
  // A queue that goes on from where it was may give what came in behind last.
  std::vector<Key> rest = keys_of(owned.tracker->claim(owned.epoch, 10));
  std::sort(rest.begin(), rest.end());
  EXPECT_EQ(rest, (std::vector<Key>{"a", "z"}));
}

TEST_P(TrackerConformance, AnOutcomeReleasesTheClaimAndARetryIsClaimedAgain) {
  Owned owned(fixture());
  owned.commit_items({pending("a"), pending("b")});
  ASSERT_EQ(owned.tracker->claim(owned.epoch, 10).size(), 2U);
  owned.commit_items({copied("a", 1), pending("b")});  // b goes back into the queue
  EXPECT_EQ(keys_of(owned.tracker->claim(owned.epoch, 10)), std::vector<Key>{"b"});
  owned.commit_items({pending("a")});  // a has a new revision
  EXPECT_EQ(keys_of(owned.tracker->claim(owned.epoch, 10)), std::vector<Key>{"a"});
}

TEST_P(TrackerConformance, OnlyTheFrameOfTheRunIsClaimed) {
  Owned owned(fixture());
  owned.commit_items({pending("old")});
  owned.tracker->commit(owned.epoch, run_batch(1, RunState::completed));
  owned.tracker->commit(owned.epoch, run_batch(2));
  EXPECT_TRUE(owned.tracker->claim(owned.epoch, 10).empty());
  ItemRecord row = pending("old");
  row.run = 2;
  owned.commit_items({row});
  EXPECT_EQ(keys_of(owned.tracker->claim(owned.epoch, 10)), std::vector<Key>{"old"});
}

TEST_P(TrackerConformance, ClaimsOfADeadOwnerAreVoidAndMarked) {
  Owned owned(fixture());
  owned.commit_items({pending("a"), pending("b"), pending("c")});
  ASSERT_EQ(owned.tracker->claim(owned.epoch, 2).size(), 2U);
  owned.tracker->release(owned.epoch);
  const uint64_t epoch = owned.tracker->acquire({});
  owned.tracker->commit(epoch, run_batch(1));
  const std::vector<Claimed> claimed = owned.tracker->claim(epoch, 10);
  EXPECT_EQ(keys_of(claimed), (std::vector<Key>{"a", "b", "c"}));
  for (const Claimed& item : claimed) {
    if (item.record.id.key != "c") {
      EXPECT_TRUE(item.maybe_in_flight) << item.record.id.key << " may have been written by the dead owner";
    }
  }
  owned.tracker->release(epoch);
}

TEST_P(TrackerConformance, EveryFieldOfARowComesBack) {
  Owned owned(fixture());
  ItemRecord row = copied("a\nkey\xff with \xf0\x9f\x9a\x9a", 12'345'678'901, "a partition");
  row.id.version = "v1";
  row.stamp.etag = "0123456789abcdef0123456789abcdef";
  row.stamp.mtime_ns = -1'234'567'890'123'456'789;
  row.stamp.version = "source version";
  row.stamp.opaque = std::string("opaque\0bytes\xff", 13);
  row.basis = Basis::matched_checksum;
  row.change = Change::updated;
  row.seen = DestinationSeen::ours;
  row.gone_at_source = true;
  row.revision = 7;
  row.digest.crc64nvme = 0xfedc'ba98'7654'3210;
  row.digest.sha256 = Sha256{};
  row.digest.sha256->fill(std::byte{0x5a});
  row.stored = Stored{};
  row.stored->size = 99;
  row.stored->etag = "not an md5-2";
  row.stored->mtime_ns = 1'700'000'000'000'000'001;
  row.stored->version = "stored version";
  row.stored->digest.crc64nvme = 0;
  row.copied_at_ms = 1'790'000'000'000;
  row.verified_at_ms = 1'790'000'060'000;
  row.state = ItemState::verified;
  ItemRecord plain = pending("plain");
  plain.stamp = {};
  ItemRecord waived = failed("waived", ErrorClass::archived);
  waived.waived = true;
  waived.stamp.etag = "\"odd\"-Etag";
  owned.commit_items({row, plain, waived});
  const auto got = owned.tracker->lookup(std::vector<ItemId>{row.id, {"", "absent", ""}, plain.id, waived.id});
  ASSERT_EQ(got.size(), 4U);
  ASSERT_TRUE(got[0]);
  EXPECT_FALSE(got[1]);
  expect_equal(*got[0], row);
  ASSERT_TRUE(got[2]);
  expect_equal(*got[2], plain);
  ASSERT_TRUE(got[3]);
  expect_equal(*got[3], waived);
  for (const ScanRow& scanned : scan_all(*owned.tracker, {}, 2)) {
    if (scanned.record.id == row.id) expect_equal(scanned.record, row);
  }
}

TEST_P(TrackerConformance, KeysAreBytes) {
  Owned owned(fixture());
  std::vector<Key> keys = awkward_keys();
  keys.push_back(std::string("nul\0inside", 10));
  keys.push_back(std::string("nul\0inside\0", 11));
  keys.push_back(std::string(65'535, 'k'));
  keys.push_back("\xff\xff");
  std::vector<ItemRecord> rows;
  for (const Key& key : keys) rows.push_back(pending(key));
  owned.commit_items(rows);
  std::sort(keys.begin(), keys.end());
  std::vector<Key> scanned;
  for (const ScanRow& row : scan_all(*owned.tracker, {}, 3)) scanned.push_back(row.record.id.key);
  EXPECT_EQ(scanned, keys);
  EXPECT_EQ(keys_of(owned.tracker->claim(owned.epoch, 1'000)), keys);
  for (const Key& key : keys) EXPECT_TRUE(owned.tracker->lookup(std::vector<ItemId>{{"", key, ""}})[0]) << printable(key);
}

TEST_P(TrackerConformance, ScansFilterAndKeepTheirOrder) {
  Owned owned(fixture());
  std::vector<ItemChange> changes;
  for (const std::string partition : {"", "p1", "p2"}) {
    for (int i = 0; i < 40; ++i) {
      const Key key = (i % 2 == 0 ? "even/" : "odd/") + std::to_string(100 + i);
      ItemRecord row = i % 4 == 0 ? failed(key, i % 8 == 0 ? ErrorClass::permission : ErrorClass::server, partition)
                       : i % 4 == 1 ? copied(key, 1, partition) : pending(key, 1, partition);
      ItemChange change{row, 1, 0, std::nullopt};
      if (row.state == ItemState::failed) {
        change.failure = Failure{};
        change.failure->error_class = row.error_class;
        change.failure->code = ErrorCode::permission_denied;
        change.failure->message = "why " + key;
        change.failure->attempts = 3;
        change.failure->http_status = 403;
        change.failure->provider_code = "AccessDenied";
        change.failure->request_id = "id";
        change.failure->at_ms = 1'790'000'000'000;
        change.failure->retryable = true;
      }
      changes.push_back(change);
    }
  }
  Batch batch;
  batch.items = changes;
  owned.tracker->commit(owned.epoch, batch);

  const auto check = [&](const Query& query, const std::function<bool(const ItemRecord&)>& matches) {
    std::vector<ItemId> want;
    for (const ItemChange& change : changes) {
      if (matches(change.record)) want.push_back(change.record.id);
    }
    std::sort(want.begin(), want.end());
    for (const size_t limit : {size_t{1}, size_t{7}, size_t{1'000}}) {
      std::vector<ItemId> got;
      for (const ScanRow& row : scan_all(*owned.tracker, query, limit)) got.push_back(row.record.id);
      EXPECT_TRUE(got == want) << got.size() << " rows instead of " << want.size() << " with limit " << limit;
    }
  };
  Query query;
  check(query, [](const ItemRecord&) { return true; });
  query.states = {ItemState::failed, ItemState::copied};
  check(query, [](const ItemRecord& r) { return r.state != ItemState::pending; });
  query.states = {ItemState::failed};
  query.error_class = ErrorClass::permission;
  check(query, [](const ItemRecord& r) { return r.error_class == ErrorClass::permission; });
  query = {};
  query.partition = "p1";
  check(query, [](const ItemRecord& r) { return r.id.partition == "p1"; });
  query.prefix = "even/";
  check(query, [](const ItemRecord& r) { return r.id.partition == "p1" && r.id.key.starts_with("even/"); });
  query.partition.reset();
  check(query, [](const ItemRecord& r) { return r.id.key.starts_with("even/"); });
  query = {};
  query.prefix = "\xff";
  check(query, [](const ItemRecord&) { return false; });
  query = {};
  query.not_seen_since = 1;
  check(query, [](const ItemRecord&) { return false; });
  query.not_seen_since = 2;
  check(query, [](const ItemRecord&) { return true; });

  query = {};
  query.states = {ItemState::failed};
  for (const ScanRow& row : scan_all(*owned.tracker, query, 10)) {
    ASSERT_TRUE(row.failure);
    EXPECT_EQ(row.failure->message, "why " + row.record.id.key);
    EXPECT_EQ(row.failure->error_class, row.record.error_class);
    EXPECT_EQ(row.failure->code, ErrorCode::permission_denied);
    EXPECT_EQ(row.failure->attempts, 3U);
    EXPECT_EQ(row.failure->http_status, 403);
    EXPECT_EQ(row.failure->provider_code, "AccessDenied");
    EXPECT_EQ(row.failure->request_id, "id");
    EXPECT_EQ(row.failure->at_ms, 1'790'000'000'000);
    EXPECT_TRUE(row.failure->retryable);
  }
}

TEST_P(TrackerConformance, AFailureIsForgottenOnceTheItemIsDone) {
  Owned owned(fixture());
  Batch batch;
  batch.items.push_back({failed("a", ErrorClass::server), 3, 3, Failure{}});
  owned.tracker->commit(owned.epoch, batch);
  ASSERT_TRUE(scan_all(*owned.tracker, {}, 10)[0].failure);
  owned.commit_items({copied("a", 1)});
  EXPECT_FALSE(scan_all(*owned.tracker, {}, 10)[0].failure);
  EXPECT_EQ(owned.tracker->snapshot().attempts_total, 3U);
  EXPECT_EQ(owned.tracker->snapshot().attempts_failed, 3U);
}

TEST_P(TrackerConformance, CountersEqualTheRowsAfterEveryCommit) {
  Owned owned(fixture());
  std::mt19937_64 random(20'261'120);
  const auto below = [&](uint64_t n) { return random() % n; };
  std::map<ItemId, ItemRecord> rows;
  uint64_t run = 1;
  uint64_t attempts = 0;
  uint64_t attempts_failed = 0;
  for (int step = 0; step < 60; ++step) {
    if (step == 20 || step == 40) {  // a new run: its frame begins empty
      owned.tracker->commit(owned.epoch, run_batch(run, RunState::completed_with_differences));
      owned.tracker->commit(owned.epoch, run_batch(++run));
      attempts = attempts_failed = 0;
    }
    Batch batch;
    std::set<ItemId> touched;
    for (uint64_t n = below(40); n > 0; --n) {
      ItemRecord row = pending("k" + std::to_string(below(300)), below(1'000'000), below(4) == 0 ? "p" : "");
      row.run = run;
      row.state = static_cast<ItemState>(below(6));
      if (below(50) == 0) row.stamp.size.reset();
      if (row.state == ItemState::copied || row.state == ItemState::verified) {
        row.basis = Basis::written;
        row.change = static_cast<Change>(below(3));
        row.gone_at_source = below(10) == 0;
        row.copied_at_ms = 1'790'000'000'000;
      }
      if (row.state == ItemState::failed) {
        row.error_class = static_cast<ErrorClass>(1 + below(18));
        row.waived = below(5) == 0;
      }
      if (row.state == ItemState::vanished) row.left = below(3) == 0;
      if (!touched.insert(row.id).second) continue;
      const auto tries = static_cast<uint32_t>(below(4));
      const auto failures = static_cast<uint32_t>(below(tries + 1));
      attempts += tries;
      attempts_failed += failures;
      rows[row.id] = row;
      batch.items.push_back({row, tries, failures, std::nullopt});
    }
    const uint64_t before = owned.tracker->snapshot().seq;
    const uint64_t seq = owned.tracker->commit(owned.epoch, batch);
    EXPECT_EQ(seq, owned.tracker->snapshot().seq);
    if (!batch.items.empty()) {
      EXPECT_GT(owned.tracker->snapshot().seq, before);
    }
    SCOPED_TRACE("step " + std::to_string(step));
    expect_counters_equal_rows(*owned.tracker, run);
    EXPECT_EQ(owned.tracker->snapshot().attempts_total, attempts);
    EXPECT_EQ(owned.tracker->snapshot().attempts_failed, attempts_failed);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(scan_all(*owned.tracker, {}, 100).size(), rows.size());
  for (const auto& [id, row] : rows) expect_equal(owned.tracker->lookup(std::vector<ItemId>{id})[0].value(), row);
}

TEST_P(TrackerConformance, WhatIsInProgressIsNotPendingInTheSameSnapshot) {
  Owned owned(fixture());
  owned.commit_items({pending("a"), pending("b"), pending("c"), copied("d", 10)});
  owned.tracker->claim(owned.epoch, 2);
  Batch batch;
  batch.live = LiveState{};
  batch.live->in_progress = 2;
  batch.live->in_flight.push_back({});
  batch.live->in_flight.back().key = "a";
  batch.live->in_flight.back().bytes_done = 3;
  batch.live->concurrency = 16;
  batch.live->items_per_second = 1.5;
  owned.tracker->commit(owned.epoch, batch);
  const Snapshot snapshot = owned.tracker->snapshot();
  EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
  EXPECT_EQ(snapshot.items.in_progress, 2);
  EXPECT_EQ(snapshot.items.pending, 1);
  EXPECT_EQ(snapshot.items.eligible, 4);
  ASSERT_EQ(snapshot.live.in_flight.size(), 1U);
  EXPECT_EQ(snapshot.live.in_flight[0].key, "a");
  EXPECT_EQ(snapshot.live.concurrency, 16);
  EXPECT_EQ(snapshot.live.items_per_second, 1.5);
  ASSERT_TRUE(snapshot.owner);
  EXPECT_EQ(snapshot.owner->pid, ::getpid());
  EXPECT_EQ(snapshot.owner->epoch, owned.epoch);
  EXPECT_TRUE(snapshot.heartbeat_at_ms);
  owned.tracker->release(owned.epoch);
  const Snapshot after = owned.tracker->snapshot();
  EXPECT_EQ(after.items.in_progress, 0) << "nobody is at work";
  EXPECT_EQ(after.items.pending, 3);
  EXPECT_FALSE(after.owner);
}

TEST_P(TrackerConformance, ReadersSeeWholeCommitsWhileOthersWrite) {
  Owned owned(fixture());
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> read{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&, t] {
      const auto own = t == 0 ? nullptr : fixture().open();
      Tracker& tracker = own == nullptr ? *owned.tracker : *own;
      uint64_t last = 0;
      while (!stop) {
        const Snapshot snapshot = tracker.snapshot();
        // Every commit adds ten items, whole.
        if (snapshot.items.discovered % 10 != 0 || snapshot.seq < last || violated_invariant(snapshot)) ++wrong;
        if (tracker.scan({}, "", 1'000'000).rows.size() % 10 != 0) ++wrong;
        last = snapshot.seq;
        ++read;
      }
    });
  }
  for (int i = 0; i < 60; ++i) {
    std::vector<ItemRecord> rows;
    for (int n = 0; n < 10; ++n) rows.push_back(pending("k" + std::to_string(i * 10 + n)));
    owned.commit_items(rows);
  }
  while (read < 10) std::this_thread::sleep_for(1ms);
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(owned.tracker->snapshot().items.discovered, 600);
}

TEST_P(TrackerConformance, AReadOnlyHandleReadsAndWritesNothing) {
  Owned owned(fixture());
  owned.commit_items({pending("a")});
  const auto reader = fixture().open_read_only();
  if (reader == nullptr) GTEST_SKIP() << "no read-only handles";
  EXPECT_EQ(reader->snapshot().items.discovered, 1);
  EXPECT_EQ(reader->snapshot().state, RunState::running) << "its owner is alive";
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { reader->acquire({}); }, [&] { reader->commit(owned.epoch, {}); }, [&] { reader->request(Verb::pause, "me"); }}) {
    const auto error = error_of(call);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::failed_precondition) << error->message();
  }
}

TEST_P(TrackerConformance, AHandleInAForkedChildThrowsForked) {
  Owned owned(fixture());
  owned.commit_items({pending("a")});
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = 0;
    const auto check = [&](const std::function<void()>& call) {
      const auto error = error_of(call);
      if (!error || error->error_class() != ErrorClass::forked) ++wrong;
    };
    check([&] { owned.tracker->snapshot(); });
    check([&] { owned.tracker->commit(owned.epoch, {}); });
    check([&] { owned.tracker->claim(owned.epoch, 1); });
    check([&] { owned.tracker->scan({}, "", 1); });
    check([&] { owned.tracker->acquire({}); });
    check([&] { owned.tracker->requests(); });
    ::_exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "calls in the child that did not throw `forked`";
  owned.commit_items({copied("a", 1)});  // the parent still owns it
}

}  // namespace waybill::conformance
