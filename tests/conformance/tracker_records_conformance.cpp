// SPDX-License-Identifier: Apache-2.0
//
// What every Tracker keeps of runs, listings, uploads, findings, events and requests.
#include <algorithm>

#include "conformance/conformance.hpp"
#include "conformance/tracker_support.hpp"

namespace waybill::conformance {

namespace {

Batch events_batch(int count, const std::string& stem, uint64_t run = 1) {
  Batch batch;
  for (int i = 0; i < count; ++i) {
    Event event;
    event.at_ms = 1'790'000'000'000 + i;
    event.run = run;
    event.kind = EventKind::error;
    event.level = LogLevel::warning;
    event.text = stem + std::to_string(i);
    event.data = "{\"n\":1}";
    batch.events.push_back(event);
  }
  return batch;
}

PartInfo part(uint32_t number, uint64_t size) {
  PartInfo info;
  info.number = number;
  info.size = size;
  info.etag = "etag" + std::to_string(number);
  info.digest.crc64nvme = number;
  return info;
}

}  // namespace

TEST_P(TrackerConformance, RunsAreKeptNewestFirstAndReplaced) {
  Owned owned(fixture());
  owned.tracker->commit(owned.epoch, run_batch(1, RunState::completed));
  Batch second = run_batch(2, RunState::running, Phase::verify);
  second.run->options = "{\"a\":1}";
  owned.tracker->commit(owned.epoch, second);
  second.run->state = RunState::failed;
  second.run->reason = "because";
  second.run->ended_at_ms = 1'790'000'005'000;
  second.run->active_seconds = 2.5;
  second.run->listing_complete = true;
  second.run->expected_items = 7;
  owned.tracker->commit(owned.epoch, second);
  const std::vector<RunRecord> runs = owned.tracker->runs(10);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].run, 2U);
  EXPECT_EQ(runs[0].phase, Phase::verify);
  EXPECT_EQ(runs[0].state, RunState::failed);
  EXPECT_EQ(runs[0].reason, "because");
  EXPECT_EQ(runs[0].ended_at_ms, 1'790'000'005'000);
  EXPECT_EQ(runs[0].active_seconds, 2.5);
  EXPECT_TRUE(runs[0].listing_complete);
  EXPECT_EQ(runs[0].expected_items, 7U);
  EXPECT_EQ(runs[1].expected_items, std::nullopt);
  EXPECT_EQ(runs[0].options, "{\"a\":1}");
  EXPECT_EQ(runs[1].run, 1U);
  EXPECT_EQ(runs[1].state, RunState::completed);
  EXPECT_EQ(owned.tracker->runs(1).size(), 1U);
  const Snapshot snapshot = owned.tracker->snapshot();
  EXPECT_EQ(snapshot.run, 2U);
  EXPECT_EQ(snapshot.phase, Phase::verify);
  EXPECT_EQ(snapshot.state, RunState::failed);
  EXPECT_EQ(snapshot.name, "a name");
  EXPECT_EQ(snapshot.migration, owned.tracker->migration()->id);
}

TEST_P(TrackerConformance, ANewLedgerHasASnapshotWithoutARun) {
  const auto tracker = fixture().open();
  tracker->bind(wanted_migration());
  const Snapshot snapshot = tracker->snapshot();
  EXPECT_EQ(snapshot.run, 0U);
  EXPECT_EQ(snapshot.items, ItemAccounts{});
  EXPECT_FALSE(snapshot.owner);
  EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
  EXPECT_TRUE(tracker->runs(10).empty());
  EXPECT_TRUE(tracker->scan({}, "", 10).is_last);
}

TEST_P(TrackerConformance, ARunWhoseOwnerIsGoneIsInterruptedForEverybodyAndThenInTheLedger) {
  Owned owned(fixture());
  owned.commit_items({pending("a")});
  EXPECT_EQ(owned.tracker->snapshot().state, RunState::running);
  owned.tracker->release(owned.epoch);
  EXPECT_EQ(owned.tracker->snapshot().state, RunState::interrupted) << "derived from the lease, by any reader";
  const uint64_t epoch = owned.tracker->acquire({});
  EXPECT_EQ(owned.tracker->runs(1).at(0).state, RunState::interrupted);
  owned.tracker->release(epoch);
}

TEST_P(TrackerConformance, ListingsBelongToTheRunInForce) {
  Owned owned(fixture());
  EXPECT_TRUE(owned.tracker->listings().empty());
  Batch batch;
  batch.listings.push_back({"", "page 1", "p", std::string("a\0b", 3), false});
  const std::string scope("k\0\xFF", 3);  // names of ranges are keys, and those are bytes
  batch.listings.push_back({scope, "", "", scope, false});
  owned.tracker->commit(owned.epoch, batch);
  batch.listings = {{"", "page 2", "p", "c", true}};
  owned.tracker->commit(owned.epoch, batch);
  std::vector<ListingRecord> listings = owned.tracker->listings();
  std::sort(listings.begin(), listings.end(), [](const auto& a, const auto& b) { return a.scope < b.scope; });
  ASSERT_EQ(listings.size(), 2U);
  EXPECT_EQ(listings[0].resume, "page 2");
  EXPECT_EQ(listings[0].partition, "p");
  EXPECT_EQ(listings[0].last_key, "c");
  EXPECT_TRUE(listings[0].is_listed);
  EXPECT_EQ(listings[1].scope, scope);
  EXPECT_EQ(listings[1].last_key, scope);
  EXPECT_FALSE(listings[1].is_listed);
  owned.tracker->commit(owned.epoch, run_batch(1, RunState::completed));
  owned.tracker->commit(owned.epoch, run_batch(2));
  EXPECT_TRUE(owned.tracker->listings().empty()) << "a new run lists anew";
}

TEST_P(TrackerConformance, UploadsBeginGrowAreReplacedAndEnd) {
  Owned owned(fixture());
  owned.commit_items({pending("big"), pending("other")});
  const ItemId id{"", "big", ""};
  UploadChange begin;
  begin.id = id;
  begin.begin = UploadRecord{};
  begin.begin->id = id;
  begin.begin->upload_id = "upload 1";
  begin.begin->part_size = 5 << 20;
  begin.begin->stamp.size = 20 << 20;
  begin.begin->stamp.etag = "etag";
  UploadChange other = begin;
  other.id = other.begin->id = {"", "other", ""};
  Batch batch;
  batch.uploads = {begin, other};
  owned.tracker->commit(owned.epoch, batch);
  UploadChange parts;
  parts.id = id;
  parts.parts = {part(3, 5 << 20), part(1, 5 << 20)};
  batch.uploads = {parts};
  owned.tracker->commit(owned.epoch, batch);
  parts.parts = {part(2, 5 << 20)};
  batch.uploads = {parts};
  owned.tracker->commit(owned.epoch, batch);
  const auto found = owned.tracker->upload(id);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->upload_id, "upload 1");
  EXPECT_EQ(found->part_size, 5U << 20);
  EXPECT_EQ(found->stamp, begin.begin->stamp);
  EXPECT_EQ(found->parts, (std::vector<PartInfo>{part(1, 5 << 20), part(2, 5 << 20), part(3, 5 << 20)}));
  EXPECT_EQ(owned.tracker->uploads().size(), 2U);
  EXPECT_EQ(owned.tracker->uploads()[0].id.key, "big");

  begin.begin->upload_id = "upload 2";
  batch.uploads = {begin};
  owned.tracker->commit(owned.epoch, batch);
  EXPECT_EQ(owned.tracker->upload(id)->upload_id, "upload 2");
  EXPECT_TRUE(owned.tracker->upload(id)->parts.empty()) << "the parts were the older upload's";

  UploadChange ended;
  ended.id = id;
  ended.ended = true;
  batch.uploads = {ended};
  owned.tracker->commit(owned.epoch, batch);
  owned.tracker->commit(owned.epoch, batch);  // it is gone: nothing happens
  EXPECT_FALSE(owned.tracker->upload(id));
  EXPECT_EQ(owned.tracker->uploads().size(), 1U);
}

TEST_P(TrackerConformance, UploadsOutliveTheirOwner) {
  Owned owned(fixture());
  UploadChange begin;
  begin.id = {"", "big", ""};
  begin.begin = UploadRecord{};
  begin.begin->id = begin.id;
  begin.begin->upload_id = "upload 1";
  begin.parts = {part(1, 9)};
  Batch batch;
  batch.items.push_back({pending("big"), 0, 0, std::nullopt});
  batch.uploads = {begin};
  owned.tracker->commit(owned.epoch, batch);
  owned.tracker->release(owned.epoch);
  const uint64_t epoch = owned.tracker->acquire({});
  ASSERT_TRUE(owned.tracker->upload(begin.id));
  EXPECT_EQ(owned.tracker->upload(begin.id)->parts.size(), 1U);
  owned.tracker->release(epoch);
}

TEST_P(TrackerConformance, FindingsBelongToTheirRun) {
  Owned owned(fixture());
  owned.tracker->commit(owned.epoch, run_batch(1, RunState::completed));
  owned.tracker->commit(owned.epoch, run_batch(2, RunState::running, Phase::verify));
  Batch batch;
  for (int i = 0; i < 25; ++i) {
    Finding finding;
    finding.run = 2;
    finding.kind = i % 5 == 0 ? FindingKind::extra : FindingKind::size;
    finding.id = {"", std::string("k\0", 2) + std::to_string(100 + i), ""};
    finding.detail = "expected this, found that";
    batch.findings.push_back(finding);
  }
  owned.tracker->commit(owned.epoch, batch);
  EXPECT_TRUE(owned.tracker->findings(1, 0, 100).empty());
  const std::vector<Finding> all = owned.tracker->findings(2, 0, 100);
  ASSERT_EQ(all.size(), 25U);
  EXPECT_EQ(all[0].run, 2U);
  EXPECT_EQ(all[0].detail, "expected this, found that");
  std::vector<Finding> paged;
  for (uint64_t offset = 0; offset < 30; offset += 7) {
    for (const Finding& finding : owned.tracker->findings(2, offset, 7)) paged.push_back(finding);
  }
  ASSERT_EQ(paged.size(), 25U);
  for (size_t i = 0; i < 25; ++i) EXPECT_EQ(paged[i].id, all[i].id);
  const Snapshot snapshot = owned.tracker->snapshot();
  EXPECT_EQ(snapshot.findings.at("extra"), 5);
  EXPECT_EQ(snapshot.findings.at("size"), 20);
}

TEST_P(TrackerConformance, AWaiverIsKeptAsLongAsItsRowIsWaived) {
  Owned owned(fixture());
  ItemChange change;
  change.record = failed("pipe", ErrorClass::unsupported);
  change.record.waived = true;
  change.waiver = Waiver{"ada@host", "not wanted", 1'790'000'000'000};
  Batch batch;
  batch.items.push_back(change);
  owned.tracker->commit(owned.epoch, batch);
  const auto waiver = [&] { return owned.tracker->scan({}, "", 10).rows.at(0).waiver; };
  ASSERT_TRUE(waiver());
  EXPECT_EQ(waiver()->who, "ada@host");
  EXPECT_EQ(waiver()->why, "not wanted");
  EXPECT_EQ(waiver()->at_ms, 1'790'000'000'000);
  EXPECT_EQ(owned.tracker->snapshot().items.waived, 1);
  EXPECT_EQ(owned.tracker->snapshot().items.failed, 0);
  // Another outcome of the row that leaves it waived keeps who said so.
  owned.commit_items({change.record});
  EXPECT_TRUE(waiver());
  owned.commit_items({failed("pipe", ErrorClass::unsupported)});
  EXPECT_FALSE(waiver());
}

TEST_P(TrackerConformance, AResultIsKeptAsLongAsItsRowIsDone) {
  Owned owned(fixture());
  owned.commit_items({copied("a", 1), copied("c", 1)});
  ItemChange change;
  change.record = copied("b", 2);
  change.result = R"({"rows": 12})";
  Batch batch;
  batch.items.push_back(change);
  owned.tracker->commit(owned.epoch, batch);
  Query query;
  query.has_result = true;
  const auto with_result = [&] { return owned.tracker->scan(query, "", 10).rows; };
  ASSERT_EQ(with_result().size(), 1U);
  EXPECT_EQ(with_result()[0].record.id.key, "b");
  EXPECT_EQ(with_result()[0].record.stamp.size, 2U);
  EXPECT_EQ(with_result()[0].result, R"({"rows": 12})");
  EXPECT_EQ(owned.tracker->scan({}, "", 10).rows.at(1).result, "") << "it was not asked for";
  // Another look at the done row leaves it as it is; what has to be done again has none.
  owned.commit_items({change.record});
  EXPECT_EQ(with_result().size(), 1U);
  owned.commit_items({pending("b", 3)});
  EXPECT_TRUE(with_result().empty());
  owned.commit_items({change.record});
  EXPECT_TRUE(with_result().empty()) << "it was of another try";
  change.record = failed("a", ErrorClass::permission);
  batch.items = {change};
  owned.tracker->commit(owned.epoch, batch);
  EXPECT_TRUE(with_result().empty()) << "a failed item has none";
}

TEST_P(TrackerConformance, HistoryKeepsTheAccountsOfEveryRun) {
  Owned owned(fixture());
  owned.commit_items({copied("a", 3), failed("b", ErrorClass::permission)});
  Batch ended = run_batch(1, RunState::completed_with_differences);
  ended.run->host = "host";
  ended.run->pid = 7;
  owned.tracker->commit(owned.epoch, ended);
  owned.tracker->commit(owned.epoch, run_batch(2));
  ItemRecord again = copied("b", 5);
  again.run = 2;
  owned.commit_items({again});
  const std::vector<RunSummary> runs = owned.tracker->history(10);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].record.run, 2U);
  EXPECT_EQ(runs[0].items.done, 1);
  EXPECT_EQ(runs[0].bytes_done, 5U);
  EXPECT_EQ(runs[1].record.host, "host");
  EXPECT_EQ(runs[1].record.pid, 7);
  EXPECT_EQ(runs[1].items.done, 1);
  EXPECT_EQ(runs[1].items.failed, 1);
  EXPECT_EQ(runs[1].failed_by_class.at("permission"), 1);
  EXPECT_EQ(owned.tracker->history(1).size(), 1U);
}

TEST_P(TrackerConformance, PartitionsAreListedByNameWithTheirAccounts) {
  Owned owned(fixture());
  owned.commit_items({copied("a", 3, "north"), failed("b", ErrorClass::permission, "north"), copied("a", 4, "south")});
  const std::vector<PartitionSummary> all = owned.tracker->partitions(std::nullopt, 10);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "north");
  EXPECT_EQ(all[0].items.done, 1);
  EXPECT_EQ(all[0].items.failed, 1);
  EXPECT_EQ(all[0].bytes_done, 3U);
  EXPECT_EQ(all[1].name, "south");
  EXPECT_EQ(all[1].migration_items.done, 1);
  EXPECT_EQ(owned.tracker->partitions(std::nullopt, 1).size(), 1U);
  ASSERT_EQ(owned.tracker->partitions("north", 10).size(), 1U);
  EXPECT_EQ(owned.tracker->partitions("north", 10)[0].name, "south");
}

TEST_P(TrackerConformance, RatesOfAMinuteAreReplacedAndReadInOrder) {
  Owned owned(fixture());
  const auto sample = [](int64_t at_ms, uint64_t items) {
    RateSample rate;
    rate.run = 1;
    rate.at_ms = at_ms;
    rate.seconds = 1.5;
    rate.items = items;
    rate.bytes = items * 10;
    rate.attempts_failed = 1;
    rate.concurrency = 16;
    return rate;
  };
  Batch batch;
  batch.rates = {sample(60'000, 1), sample(120'000, 5)};
  owned.tracker->commit(owned.epoch, batch);
  batch.rates = {sample(60'000, 2)};
  owned.tracker->commit(owned.epoch, batch);
  const std::vector<RateSample> rates = owned.tracker->rates(1, -1, 10);
  ASSERT_EQ(rates.size(), 2U);
  EXPECT_EQ(rates[0].at_ms, 60'000);
  EXPECT_EQ(rates[0].items, 2U);
  EXPECT_EQ(rates[0].bytes, 20U);
  EXPECT_EQ(rates[0].seconds, 1.5);
  EXPECT_EQ(rates[0].attempts_failed, 1U);
  EXPECT_EQ(rates[0].concurrency, 16);
  ASSERT_EQ(owned.tracker->rates(1, 60'000, 10).size(), 1U);
  EXPECT_TRUE(owned.tracker->rates(2, -1, 10).empty());
}

TEST_P(TrackerConformance, EventsAscendAndAreReadFromAnySeq) {
  Owned owned(fixture());
  owned.tracker->commit(owned.epoch, events_batch(5, "first "));
  owned.tracker->commit(owned.epoch, events_batch(5, "second "));
  const std::vector<Event> all = owned.tracker->events(0, 100);
  ASSERT_EQ(all.size(), 10U);
  for (size_t i = 1; i < all.size(); ++i) EXPECT_GT(all[i].seq, all[i - 1].seq);
  EXPECT_EQ(all[0].text, "first 0");
  EXPECT_EQ(all[9].text, "second 4");
  EXPECT_EQ(all[0].kind, EventKind::error);
  EXPECT_EQ(all[0].level, LogLevel::warning);
  EXPECT_EQ(all[0].data, "{\"n\":1}");
  EXPECT_EQ(all[0].run, 1U);
  EXPECT_EQ(owned.tracker->events(0, 3).size(), 3U);
  const std::vector<Event> rest = owned.tracker->events(all[6].seq, 100);
  ASSERT_EQ(rest.size(), 3U);
  EXPECT_EQ(rest[0].seq, all[7].seq);
  EXPECT_TRUE(owned.tracker->events(all[9].seq, 100).empty());
  EXPECT_LE(all[9].seq, owned.tracker->snapshot().seq);
}

TEST_P(TrackerConformance, RequestsWaitForALiveOwner) {
  Owned owned(fixture());
  EXPECT_TRUE(owned.tracker->requests().empty());
  const auto other = fixture().open();
  Tracker& asker = other == nullptr ? *owned.tracker : *other;
  asker.request(Verb::pause, "me@here");
  asker.request(Verb::cancel, "you@there");
  const std::vector<Request> requests = owned.tracker->requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_LT(requests[0].id, requests[1].id);
  EXPECT_EQ(requests[0].verb, Verb::pause);
  EXPECT_EQ(requests[0].who, "me@here");
  EXPECT_EQ(requests[1].verb, Verb::cancel);
  EXPECT_GT(requests[1].at_ms, 1'600'000'000'000);
  EXPECT_EQ(owned.tracker->snapshot().state, RunState::running) << "the owner decides";
  Batch batch;
  batch.served_requests = {requests[0].id};
  owned.tracker->commit(owned.epoch, batch);
  ASSERT_EQ(owned.tracker->requests().size(), 1U);
  EXPECT_EQ(owned.tracker->requests()[0].id, requests[1].id);
}

TEST_P(TrackerConformance, RequestsWithoutAnOwnerAreCarriedOutAtOnce) {
  Owned owned(fixture());
  owned.tracker->release(owned.epoch);
  owned.tracker->request(Verb::pause, "me@here");
  EXPECT_EQ(owned.tracker->snapshot().state, RunState::paused);
  owned.tracker->request(Verb::cancel, "me@here");
  EXPECT_EQ(owned.tracker->snapshot().state, RunState::cancelled);
  for (const Verb verb : {Verb::pause, Verb::cancel}) {
    const auto error = error_of([&] { owned.tracker->request(verb, "me@here"); });
    ASSERT_TRUE(error) << "the run has ended";
    EXPECT_EQ(error->code(), ErrorCode::failed_precondition) << error->message();
  }
}

TEST_P(TrackerConformance, WithoutARunThereIsNothingToPause) {
  const auto tracker = fixture().open();
  tracker->bind(wanted_migration());
  const auto error = error_of([&] { tracker->request(Verb::pause, "me@here"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::failed_precondition) << error->message();
}

TEST_P(TrackerConformance, APausedRunStaysPausedWithoutAnOwner) {
  Owned owned(fixture());
  owned.tracker->commit(owned.epoch, run_batch(1, RunState::paused));
  owned.tracker->release(owned.epoch);
  EXPECT_EQ(owned.tracker->snapshot().state, RunState::paused);
  const uint64_t epoch = owned.tracker->acquire({});
  EXPECT_EQ(owned.tracker->runs(1).at(0).state, RunState::paused);
  owned.tracker->release(epoch);
}

}  // namespace waybill::conformance
