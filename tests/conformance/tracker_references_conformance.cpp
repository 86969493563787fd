// SPDX-License-Identifier: Apache-2.0
//
// What every Tracker keeps of references, the journal of their switches, and plans. A tracker that keeps none (it says
// unimplemented) is skipped.
#include <algorithm>
#include <map>
#include <random>

#include "conformance/conformance.hpp"
#include "conformance/tracker_support.hpp"

namespace waybill::conformance {

namespace {

using Rows = std::map<ReferenceId, ReferenceRecord>;

bool keeps_references(Tracker& tracker) {
  const auto error = error_of([&] { tracker.cutover_plan(); });
  return !error || error->code() != ErrorCode::unimplemented;
}

#define WAYBILL_SKIP_WITHOUT_REFERENCES(tracker) \
  if (!keeps_references(tracker)) GTEST_SKIP() << "the tracker keeps no references"

ReferenceId id_of(const std::string& record, const std::string& field = "url", const std::string& catalog = "sql:a") {
  return {catalog, record, field};
}

ReferenceRecord reference(const ReferenceId& id, ReferenceState state = ReferenceState::original,
                          const std::string& partition = "") {
  ReferenceRecord row;
  row.id = id;
  row.partition = partition;
  row.value = "https://old.example/" + id.record;
  row.item = {partition, *row.value, ""};
  row.stamp = "2026-11-01";
  row.state = state;
  row.seen = 1;
  return row;
}

/// The run in force has come to its end with it.
ReferenceChange settled(ReferenceRecord row, uint32_t attempts = 1, uint32_t attempts_failed = 0) {
  return {std::move(row), true, attempts, attempts_failed};
}

JournalRecord intention(const ReferenceId& id, uint32_t generation = 1) {
  JournalRecord record;
  record.id = id;
  record.generation = generation;
  record.run = 2;
  record.partition = "p";
  record.old = "https://old.example/" + id.record;
  record.intended = "https://new.example/" + id.record;
  record.at_ms = 1'790'000'000'001;
  return record;
}

void expect_equal(const ReferenceRecord& got, const ReferenceRecord& want) {
  SCOPED_TRACE(printable(want.id.record));
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.partition, want.partition);
  EXPECT_EQ(got.partition_name, want.partition_name);
  EXPECT_EQ(got.item, want.item);
  EXPECT_EQ(got.value, want.value);
  EXPECT_EQ(got.stamp, want.stamp);
  EXPECT_EQ(got.state, want.state);
  EXPECT_EQ(got.intended, want.intended);
  EXPECT_EQ(got.error_class, want.error_class);
  EXPECT_EQ(got.reason, want.reason);
  EXPECT_EQ(got.generation, want.generation);
  EXPECT_EQ(got.seen, want.seen);
  EXPECT_EQ(got.run, want.run);
}

void expect_equal(const JournalRecord& got, const JournalRecord& want) {
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.generation, want.generation);
  EXPECT_EQ(got.run, want.run);
  EXPECT_EQ(got.partition, want.partition);
  EXPECT_EQ(got.old, want.old);
  EXPECT_EQ(got.intended, want.intended);
  EXPECT_EQ(got.observed, want.observed);
  EXPECT_EQ(got.state, want.state);
  EXPECT_EQ(got.at_ms, want.at_ms);
}

void commit(const Owned& owned, const std::vector<ReferenceChange>& changes) {
  Batch batch;
  batch.references = changes;
  owned.tracker->commit(owned.epoch, batch);
}

void commit(const Owned& owned, const JournalRecord& record) {
  Batch batch;
  batch.journal = {record};
  owned.tracker->commit(owned.epoch, batch);
}

void begin_run(const Owned& owned, uint64_t run, Phase phase, std::optional<uint64_t> references = std::nullopt) {
  Batch batch = run_batch(run, RunState::running, phase);
  batch.run->references = references;
  owned.tracker->commit(owned.epoch, batch);
}

std::vector<ReferenceRecord> scan_all(Tracker& tracker, const ReferenceQuery& query, size_t limit) {
  std::vector<ReferenceRecord> rows;
  std::string resume;
  for (int pages = 0; pages < 100'000; ++pages) {
    ReferenceRecordPage page = tracker.scan_references(query, resume, limit);
    EXPECT_LE(page.references.size(), limit);
    rows.insert(rows.end(), page.references.begin(), page.references.end());
    if (page.is_last) return rows;
    resume = page.resume;
  }
  ADD_FAILURE() << "the scan has no last page";
  return rows;
}

std::vector<std::string> records_of(const std::vector<ReferenceRecord>& rows) {
  std::vector<std::string> records;
  for (const ReferenceRecord& row : rows) records.push_back(row.id.record);
  return records;
}

/// Written apart from the library's own.
void count(ReferenceAccounts& accounts, ReferenceState state) {
  ++accounts.total;
  int64_t* const by_state[] = {&accounts.original, &accounts.pending,  &accounts.intended,
                               &accounts.updated,  &accounts.restored, &accounts.conflict,
                               &accounts.failed,   &accounts.vanished, &accounts.excluded};
  ++*by_state[static_cast<size_t>(state)];
}

}  // namespace

TEST_P(TrackerConformance, AReferenceComesBackAsItWasWritten) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  std::vector<ReferenceRecord> rows;
  ReferenceRecord plain = reference(id_of("plain"));
  rows.push_back(plain);
  const ReferenceId awkward = id_of(std::string("r\0\xff\n", 4), "f\xc3\xa9", "salesforce:x");
  ReferenceRecord full = reference(awkward, ReferenceState::failed, "account 1");
  full.partition_name = "The \"first\" account";
  full.item = {"another partition", std::string("k\0y", 3), "v7"};
  full.value = std::string("https://old\0/\xfe", 14);
  full.stamp = std::string("\0stamp", 6);
  full.intended = "https://new.example/a b";
  full.error_class = ErrorClass::permission;
  full.reason = "may not write the field";
  full.generation = 4'000'000'000;
  full.seen = 9'000'000'000;
  rows.push_back(full);
  ReferenceRecord null = reference(id_of("null"), ReferenceState::excluded, "p");
  null.value.reset();
  null.item = {};
  rows.push_back(null);
  ReferenceRecord empty = reference(id_of("empty"), ReferenceState::excluded, "p");
  empty.value = "";
  empty.intended = "";
  empty.item = {"p", "", ""};
  rows.push_back(empty);
  ReferenceRecord foreign = reference(id_of("foreign"), ReferenceState::excluded, "p");
  foreign.item = {};
  rows.push_back(foreign);
  ReferenceRecord switched = reference(id_of("switched"), ReferenceState::updated, "p");
  switched.intended = switched.value;
  rows.push_back(switched);
  ReferenceRecord versioned = reference(id_of("versioned"), ReferenceState::pending, "p");
  versioned.item.version = "2";
  versioned.intended = "";
  rows.push_back(versioned);

  for (int round = 0; round < 2; ++round) {  // inserted, then replaced
    std::vector<ReferenceChange> changes;
    for (const ReferenceRecord& row : rows) changes.push_back({row, false, 0, 0});
    commit(owned, changes);
    std::vector<ReferenceId> ids;
    for (const ReferenceRecord& row : rows) ids.push_back(row.id);
    ids.push_back(id_of("nobody"));
    ids.push_back(id_of("plain", "url", "another catalog"));
    const auto found = owned.tracker->lookup_references(ids);
    ASSERT_EQ(found.size(), ids.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_TRUE(found[i]) << i;
      expect_equal(*found[i], rows[i]);
    }
    EXPECT_FALSE(found[rows.size()]);
    EXPECT_FALSE(found[rows.size() + 1]);
    EXPECT_EQ(scan_all(*owned.tracker, {}, 100).size(), rows.size());
    std::swap(rows[0].value, rows[1].value);
    std::swap(rows[0].intended, rows[3].intended);
    std::swap(rows[4].item, rows[5].item);
  }
}

TEST_P(TrackerConformance, ANameOfAPartitionIsThatOfAllItsReferences) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  ReferenceRecord a = reference(id_of("a"), ReferenceState::original, "001");
  a.partition_name = "Ada";
  ReferenceRecord b = reference(id_of("b"), ReferenceState::original, "001");
  commit(owned, {{a, false, 0, 0}, {b, false, 0, 0}});
  const std::vector<ReferenceId> ids = {a.id, b.id};
  EXPECT_EQ(owned.tracker->lookup_references(ids)[1]->partition_name, "Ada");
  b.partition_name = "Ada & Co";
  commit(owned, {{b, false, 0, 0}});
  EXPECT_EQ(owned.tracker->lookup_references(ids)[0]->partition_name, "Ada & Co");
}

TEST_P(TrackerConformance, ReferencesAreCountedByStatePartitionAndRun) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  owned.commit_items({copied("a", 1, "p")});
  commit(owned, {{reference(id_of("a"), ReferenceState::pending, "p"), false, 0, 0},
                 {reference(id_of("b"), ReferenceState::pending, "p"), false, 0, 0},
                 {reference(id_of("c"), ReferenceState::excluded, "q"), false, 0, 0}});
  Snapshot snapshot = owned.tracker->snapshot();
  EXPECT_EQ(snapshot.references.total, 3);
  EXPECT_EQ(snapshot.references.pending, 2);
  EXPECT_EQ(snapshot.references.excluded, 1);
  EXPECT_EQ(snapshot.run_references, ReferenceAccounts{}) << "a copy settles no reference";

  owned.tracker->commit(owned.epoch, run_batch(1, RunState::completed));
  begin_run(owned, 2, Phase::cutover, 2);
  snapshot = owned.tracker->snapshot();
  EXPECT_EQ(snapshot.run_references.total, 2);
  EXPECT_EQ(snapshot.run_references.pending, 2) << "what it owes";
  EXPECT_EQ(owned.tracker->runs(1)[0].references, 2U);

  commit(owned, {{reference(id_of("a"), ReferenceState::intended, "p"), false, 0, 0}});
  EXPECT_EQ(owned.tracker->snapshot().run_references.pending, 2) << "an intention settles nothing";
  commit(owned, {settled(reference(id_of("a"), ReferenceState::updated, "p"), 3, 2),
                 settled(reference(id_of("b"), ReferenceState::conflict, "q"))});
  snapshot = owned.tracker->snapshot();
  EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
  EXPECT_EQ(snapshot.references.updated, 1);
  EXPECT_EQ(snapshot.references.conflict, 1);
  EXPECT_EQ(snapshot.run_references.updated, 1);
  EXPECT_EQ(snapshot.run_references.conflict, 1);
  EXPECT_EQ(snapshot.run_references.pending, 0);
  EXPECT_EQ(snapshot.attempts_total, 4U);
  EXPECT_EQ(snapshot.attempts_failed, 2U);
  EXPECT_EQ(owned.tracker->lookup_references(std::vector{id_of("a")})[0]->run, 2U);

  // It is counted once, as what it was settled in last; and a change that settles nothing leaves the run's account.
  commit(owned, {settled(reference(id_of("b"), ReferenceState::failed, "q"))});
  commit(owned, {{reference(id_of("a"), ReferenceState::conflict, "p"), false, 0, 0}});
  commit(owned, {settled(reference(id_of("b"), ReferenceState::updated, "q"))});
  commit(owned, {{reference(id_of("b"), ReferenceState::pending, "q"), false, 0, 0}});
  snapshot = owned.tracker->snapshot();
  EXPECT_EQ(snapshot.run_references.total, 2);
  EXPECT_EQ(snapshot.run_references.updated, 2);
  EXPECT_EQ(snapshot.references.conflict, 1);
  EXPECT_EQ(snapshot.references.pending, 1);
  EXPECT_EQ(owned.tracker->lookup_references(std::vector{id_of("b")})[0]->run, 2U) << "it settled it last";

  const std::vector<PartitionSummary> partitions = owned.tracker->partitions(std::nullopt, 10);
  ASSERT_EQ(partitions.size(), 2U);
  EXPECT_EQ(partitions[0].name, "p");
  EXPECT_EQ(partitions[0].references.total, 1);
  EXPECT_EQ(partitions[0].references.conflict, 1);
  EXPECT_EQ(partitions[0].migration_items.done, 1);
  EXPECT_EQ(partitions[1].name, "q") << "of references alone";
  EXPECT_EQ(partitions[1].references.total, 2);
  EXPECT_EQ(partitions[1].migration_items.discovered, 0);

  owned.tracker->commit(owned.epoch, run_batch(2, RunState::completed, Phase::cutover));
  begin_run(owned, 3, Phase::rollback, 1);
  commit(owned, {settled(reference(id_of("a"), ReferenceState::restored, "p"))});
  snapshot = owned.tracker->snapshot();
  EXPECT_EQ(snapshot.run_references.restored, 1);
  EXPECT_EQ(snapshot.run_references.total, 1);
  const std::vector<RunSummary> history = owned.tracker->history(10);
  ASSERT_EQ(history.size(), 3U);
  EXPECT_EQ(history[0].references.restored, 1);
  EXPECT_EQ(history[1].references.updated, 2) << "what a later run does is not an earlier one's";
  EXPECT_EQ(history[1].references.total, 2);
  EXPECT_EQ(history[2].references, ReferenceAccounts{});
}

TEST_P(TrackerConformance, TheJournalNeverRewritesWhatWasHeldAndIntended) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  const ReferenceId id = id_of("a");
  EXPECT_TRUE(owned.tracker->journal(id).empty());
  EXPECT_FALSE(owned.tracker->lookup_journal(std::vector{id})[0]);
  const JournalRecord first = intention(id);
  commit(owned, first);
  expect_equal(owned.tracker->journal(id).at(0), first);

  JournalRecord rewritten = first;
  rewritten.old = "https://new.example/a";  // as a run would that took our own value for the old one
  rewritten.intended = "somewhere else";
  rewritten.observed = first.intended;
  rewritten.state = JournalState::applied;
  rewritten.run = 3;
  rewritten.at_ms += 5;
  commit(owned, rewritten);
  JournalRecord wanted = rewritten;
  wanted.old = first.old;
  wanted.intended = first.intended;
  ASSERT_EQ(owned.tracker->journal(id).size(), 1U);
  expect_equal(owned.tracker->journal(id)[0], wanted);

  for (const std::optional<std::string>& observed :
       {std::optional<std::string>("a third"), std::optional<std::string>(), std::optional<std::string>("")}) {
    rewritten.observed = wanted.observed = observed;
    rewritten.state = wanted.state = JournalState::conflict;
    commit(owned, rewritten);
    expect_equal(owned.tracker->journal(id)[0], wanted);
  }
  // In one batch, too.
  Batch batch;
  JournalRecord second = intention(id, 2);
  second.old.reset();
  second.intended.reset();
  batch.journal = {second, intention(id, 2), intention(id_of("b", "url", "another"), 7)};
  batch.journal[1].state = JournalState::not_applied;
  batch.journal[1].observed.reset();
  owned.tracker->commit(owned.epoch, batch);
  second.state = JournalState::not_applied;
  const std::vector<JournalRecord> all = owned.tracker->journal(id);
  ASSERT_EQ(all.size(), 2U);
  expect_equal(all[0], wanted);
  expect_equal(all[1], second);
  const auto newest = owned.tracker->lookup_journal(std::vector{id_of("nobody"), id, id_of("b", "url", "another")});
  ASSERT_EQ(newest.size(), 3U);
  EXPECT_FALSE(newest[0]);
  EXPECT_EQ(newest[1]->generation, 2U);
  EXPECT_EQ(newest[2]->generation, 7U);
}

TEST_P(TrackerConformance, TheNewestPlanIsTheOneThatCounts) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  EXPECT_FALSE(owned.tracker->cutover_plan());
  Batch batch;
  batch.plan = CutoverPlanRecord{"ffff000011112222", 3, 1'790'000'000'000, 17, false, R"([{"name":"copy"}])",
                                 R"({"canary":0})"};
  owned.tracker->commit(owned.epoch, batch);
  batch.plan->hash = "0000000000000001";
  batch.plan->pass = 4;
  batch.plan->is_ready = true;
  batch.plan->references = 18;
  owned.tracker->commit(owned.epoch, batch);
  owned.beat();  // what says nothing of a plan leaves it
  const auto plan = owned.tracker->cutover_plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->hash, "0000000000000001");
  EXPECT_EQ(plan->pass, 4U);
  EXPECT_EQ(plan->at_ms, 1'790'000'000'000);
  EXPECT_EQ(plan->references, 18);
  EXPECT_TRUE(plan->is_ready);
  EXPECT_EQ(plan->gates, R"([{"name":"copy"}])");
  EXPECT_EQ(plan->options, R"({"canary":0})");
}

TEST_P(TrackerConformance, AFencedOrRefusedBatchLeavesNoReference) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  commit(owned, {{reference(id_of("a"), ReferenceState::pending, "p"), false, 0, 0}});
  const Snapshot before = owned.tracker->snapshot();
  Batch batch;
  batch.references = {settled(reference(id_of("a"), ReferenceState::updated, "p")), settled(reference(id_of("b")))};
  batch.journal = {intention(id_of("a"))};
  batch.plan = CutoverPlanRecord{};
  const auto stale = error_of([&] { owned.tracker->commit(owned.epoch + 1, batch); });
  ASSERT_TRUE(stale);
  EXPECT_EQ(stale->error_class(), ErrorClass::fenced);
  batch.run = run_batch(1, RunState::created).run;  // a run that runs cannot go there
  EXPECT_TRUE(error_of([&] { owned.tracker->commit(owned.epoch, batch); }));
  const Snapshot after = owned.tracker->snapshot();
  EXPECT_EQ(after.seq, before.seq);
  EXPECT_EQ(after.references, before.references);
  EXPECT_EQ(after.attempts_total, before.attempts_total);
  const auto found = owned.tracker->lookup_references(std::vector{id_of("a"), id_of("b")});
  EXPECT_EQ(found[0]->state, ReferenceState::pending);
  EXPECT_FALSE(found[1]);
  EXPECT_TRUE(owned.tracker->journal(id_of("a")).empty());
  EXPECT_FALSE(owned.tracker->cutover_plan());
  // What was remembered of the batch that failed does not harm the next one.
  batch.run.reset();
  owned.tracker->commit(owned.epoch, batch);
  EXPECT_EQ(owned.tracker->snapshot().references.total, 2);
  EXPECT_EQ(owned.tracker->lookup_references(std::vector{id_of("b")})[0]->partition, "");
}

TEST_P(TrackerConformance, AScanOfReferencesGoesInOrderAndFilters) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  std::vector<ReferenceChange> changes;
  Rows rows;
  const ReferenceState states[] = {ReferenceState::original, ReferenceState::pending, ReferenceState::failed};
  // Catalogs come in another order than they were met in.
  for (const std::string& catalog : {std::string("sql:b"), std::string("sql:a"), std::string("sql:a\xff")}) {
    for (int i = 0; i < 40; ++i) {
      const std::string record = i % 7 == 0 ? std::string("r\0", 2) + std::to_string(i) : "r" + std::to_string(i);
      for (const char* field : {"url", "thumb"}) {
        ReferenceRecord row = reference({catalog, record, field}, states[i % 3], i % 2 == 0 ? "even" : "odd");
        row.seen = static_cast<uint64_t>(i % 5);
        rows[row.id] = row;
        changes.push_back({row, i % 4 == 0, 0, 0});
        if (i % 4 == 0) rows[row.id].run = 1;
      }
    }
  }
  commit(owned, changes);
  const auto expect_scan = [&](const ReferenceQuery& query, const std::function<bool(const ReferenceRecord&)>& wants) {
    std::vector<ReferenceRecord> want;
    for (const auto& [id, row] : rows) {
      if (wants(row)) want.push_back(row);
    }
    EXPECT_FALSE(want.empty());
    for (const size_t limit : {1U, 7U, 1'000U}) {
      const std::vector<ReferenceRecord> got = scan_all(*owned.tracker, query, limit);
      ASSERT_EQ(records_of(got), records_of(want)) << "by " << limit;
      for (size_t i = 0; i < got.size(); ++i) expect_equal(got[i], want[i]);
    }
  };
  expect_scan({}, [](const ReferenceRecord&) { return true; });
  ReferenceQuery query;
  query.states = {ReferenceState::failed, ReferenceState::pending};
  expect_scan(query, [](const auto& row) { return row.state != ReferenceState::original; });
  query.partition = "odd";
  expect_scan(query, [](const auto& row) { return row.state != ReferenceState::original && row.partition == "odd"; });
  query = {};
  query.not_seen_since = 3;
  expect_scan(query, [](const auto& row) { return row.seen < 3; });
  query.run = 1;
  expect_scan(query, [](const auto& row) { return row.seen < 3 && row.run == 1; });
  query = {};
  query.run = 0;
  expect_scan(query, [](const auto& row) { return row.run == 0; });
  query = {};
  query.partition = "nowhere";
  EXPECT_TRUE(scan_all(*owned.tracker, query, 10).empty());
  const auto error = error_of([&] { owned.tracker->scan_references({}, "no position of ours", 10); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::invalid_argument) << error->message();
}

TEST_P(TrackerConformance, AScanOfReferencesGoesOnWhileRowsChange) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  std::vector<ReferenceChange> changes;
  for (int i = 10; i < 99; ++i) {
    changes.push_back({reference(id_of(std::to_string(i)), ReferenceState::pending), false, 0, 0});
  }
  commit(owned, changes);
  ReferenceQuery query;
  query.states = {ReferenceState::pending};
  std::vector<std::string> met;
  std::string resume;
  for (bool is_last = false; !is_last;) {
    const ReferenceRecordPage page = owned.tracker->scan_references(query, resume, 10);
    std::vector<ReferenceChange> done;
    for (ReferenceRecord row : page.references) {
      met.push_back(row.id.record);
      row.state = ReferenceState::updated;  // as a run does with what it has scanned: they match no longer
      done.push_back(settled(row));
    }
    done.push_back({reference(id_of("00" + std::to_string(met.size())), ReferenceState::pending), false, 0, 0});  // behind
    commit(owned, done);
    resume = page.resume;
    is_last = page.is_last;
    ASSERT_LT(met.size(), 1'000U);
  }
  ASSERT_EQ(met.size(), 89U) << "each once";
  EXPECT_TRUE(std::is_sorted(met.begin(), met.end()));
}

TEST_P(TrackerConformance, ASecondHandleSeesReferencesAndTheirJournal) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  const auto other = fixture().open();
  if (other == nullptr) GTEST_SKIP() << "the ledger cannot be opened twice";
  for (int i = 0; i < 3; ++i) {
    Batch batch;
    batch.references = {{reference(id_of(std::to_string(i)), ReferenceState::intended, "p"), false, 0, 0}};
    batch.journal = {intention(id_of(std::to_string(i)))};
    batch.plan = CutoverPlanRecord{};
    batch.plan->pass = static_cast<uint64_t>(i) + 1;
    owned.tracker->commit(owned.epoch, batch);
    EXPECT_EQ(scan_all(*other, {}, 10).size(), static_cast<size_t>(i) + 1);
    EXPECT_EQ(other->snapshot().references.intended, i + 1);
    EXPECT_EQ(other->journal(id_of(std::to_string(i))).size(), 1U);
    EXPECT_EQ(other->cutover_plan()->pass, static_cast<uint64_t>(i) + 1);
  }
  const auto reader = fixture().open_read_only();
  if (reader == nullptr) return;
  EXPECT_EQ(reader->lookup_references(std::vector{id_of("2")})[0]->state, ReferenceState::intended);
}

TEST_P(TrackerConformance, AccountsOfReferencesEqualARecountAfterAnyChange) {
  Owned owned(fixture());
  WAYBILL_SKIP_WITHOUT_REFERENCES(*owned.tracker);
  std::mt19937 random(20261121);  // NOLINT(cert-msc51-cpp): the same changes each time
  const auto draw = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  Rows rows;
  std::map<ReferenceId, std::map<uint32_t, JournalRecord>> journal;
  std::map<uint64_t, std::map<ReferenceId, ReferenceState>> settled_by_run;
  uint64_t run = 1;
  for (int round = 0; round < 60; ++round) {
    if (draw(10) == 0) {
      const Phase phase = run == 1 ? Phase::copy : Phase::cutover;
      owned.tracker->commit(owned.epoch, run_batch(run, RunState::completed, phase));
      begin_run(owned, ++run, Phase::cutover, 5);
    }
    Batch batch;
    for (int i = draw(20); i >= 0; --i) {
      const std::string record_id = std::to_string(draw(30));
      const ReferenceId id = id_of(record_id, draw(2) == 0 ? "url" : "thumb", "sql:" + std::to_string(draw(2)));
      ReferenceRecord row = reference(id, static_cast<ReferenceState>(draw(9)), std::to_string(draw(3)));
      if (draw(3) == 0) row.intended = row.value;
      if (draw(4) == 0) row.item = {};
      const bool is_settled = draw(2) == 0;
      batch.references.push_back({row, is_settled, 0, 0});
      row.run = rows.contains(id) ? rows[id].run : 0;
      if (is_settled) {
        row.run = run;
        settled_by_run[run][id] = row.state;
      }
      rows[id] = row;
      JournalRecord record = intention(id, static_cast<uint32_t>(1 + draw(3)));
      record.old = "old " + std::to_string(random());
      record.intended = "new " + std::to_string(draw(2));
      record.state = static_cast<JournalState>(draw(5));
      if (draw(2) == 0) record.observed = "new " + std::to_string(draw(2));
      batch.journal.push_back(record);
      const auto [known, is_new] = journal[id].try_emplace(record.generation, record);
      known->second.observed = record.observed;
      known->second.state = record.state;
    }
    owned.tracker->commit(owned.epoch, batch);

    const Snapshot snapshot = owned.tracker->snapshot();
    ASSERT_EQ(violated_invariant(snapshot), std::nullopt);
    ReferenceAccounts all;
    std::map<std::string, ReferenceAccounts> by_partition;
    for (const auto& [id, row] : rows) {
      count(all, row.state);
      count(by_partition[row.partition], row.state);
    }
    ASSERT_EQ(snapshot.references, all);
    for (const PartitionSummary& partition : owned.tracker->partitions(std::nullopt, 100)) {
      ASSERT_EQ(partition.references, by_partition[partition.name]) << partition.name;
    }
    for (const RunSummary& summary : owned.tracker->history(100)) {
      ReferenceAccounts settled_then;
      if (summary.record.phase == Phase::cutover) {
        for (const auto& [id, state] : settled_by_run[summary.record.run]) count(settled_then, state);
      }
      ASSERT_EQ(summary.references, settled_then) << "run " << summary.record.run;
    }
  }
  const std::vector<ReferenceRecord> found = scan_all(*owned.tracker, {}, 11);
  ASSERT_EQ(found.size(), rows.size());
  size_t at = 0;
  for (const auto& [id, row] : rows) expect_equal(found[at++], row);
  for (const auto& [id, generations] : journal) {
    const std::vector<JournalRecord> kept = owned.tracker->journal(id);
    ASSERT_EQ(kept.size(), generations.size());
    size_t n = 0;
    for (const auto& [generation, record] : generations) expect_equal(kept[n++], record);
  }
}

}  // namespace waybill::conformance
