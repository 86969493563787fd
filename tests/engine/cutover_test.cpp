// SPDX-License-Identifier: Apache-2.0
//
// Cutover and rollback, whole runs against a system of record in memory: what is switched, what is kept, and what a lost
// answer, an edit or a refusal leaves behind.

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/cutover_json.hpp"
#include "engine/cutover_support.hpp"

namespace waybill::testing {
namespace {

using Status = UpdateResult::Status;

Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::ok, ErrorClass::none, "nothing was thrown");
}

TEST_F(Cutovers, SwitchesEveryReferenceAndKeepsWhatItReplaced) {
  back_up(250);
  const CutoverPlan plan = this->plan();
  ASSERT_TRUE(plan.is_ready) << to_json(plan);
  EXPECT_EQ(plan.references.pending, 250);
  EXPECT_EQ(catalog->writes(), 0u);
  const Report report = cut_over(plan.hash);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(holding(new_url), 250);
  EXPECT_EQ(catalog->writes(), 250u);
  EXPECT_EQ(report.snapshot.phase, Phase::cutover);
  EXPECT_EQ(report.snapshot.run_references.updated, 250);
  EXPECT_EQ(report.snapshot.run_references.pending, 0);
  EXPECT_EQ(report.snapshot.progress(), 1.0);
  EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
  const std::vector<JournalRecord> entries = journal(record(7));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].old, old_url(key(7)));
  EXPECT_EQ(entries[0].intended, new_url(key(7)));
  EXPECT_EQ(entries[0].observed, new_url(key(7)));
  EXPECT_EQ(entries[0].state, JournalState::applied);
  EXPECT_EQ(entries[0].run, report.snapshot.run);
}

TEST_F(Cutovers, ACopyNeverAsksTheCatalogForAnUpdate) {
  catalog->set_hook([](const std::string& step, const std::string&, Context&) {
    EXPECT_NE(step, "batch");
    EXPECT_NE(step, "update");
  });
  back_up(20);
  EXPECT_TRUE(plan().is_ready);
  EXPECT_EQ(catalog->writes(), 0u);
}

TEST_F(Cutovers, APlanSaysWhyAReferenceStaysAsItIs) {
  fill(6);
  put(from, "bad", "x");
  put(from, "waived", "x");
  put(from, "excluded", "x");
  destination_hook = [](const std::string& operation, const Key& key, Context&) {
    if (operation == "put" && (key == "bad" || key == "waived")) throw Error(ErrorCode::permission_denied, ErrorClass::unsupported, "no");
  };
  Options copying = quick();
  copying.exclude = {"excluded"};
  EXPECT_EQ(migration().run(copying).exit_code, 3);
  Options waived;
  waived.keys = {"waived"};
  ASSERT_EQ(migration().waive(waived, "me", "not wanted"), 1);
  migration().verify(VerifyLevel::checksum, quick());
  put(from, "new", "x");
  catalog->put("a", {old_url(key(0)), "p", "", {}});
  catalog->put("b", {old_url(key(0)), "q", "", {}});
  catalog->put("bad", {old_url("bad"), "p", "", {}});
  catalog->put("empty", {"", "p", "", {}});
  catalog->put("excluded", {old_url("excluded"), "p", "", {}});
  catalog->put("foreign", {"https://elsewhere.example.com/x", "p", "", {}});
  catalog->put("new", {old_url("new"), "p", "", {}});
  catalog->put("null", {std::nullopt, "p", "", {}});
  catalog->put("there", {new_url("x"), "p", "", {}});
  catalog->put("waived", {old_url("waived"), "p", "", {}});
  const CutoverPlan plan = this->plan();
  EXPECT_FALSE(plan.is_ready);
  const std::map<std::string, ReferenceState> want = {
      {"a", ReferenceState::pending},         {"b", ReferenceState::pending},    {"bad", ReferenceState::original},
      {"empty", ReferenceState::excluded},    {"excluded", ReferenceState::excluded}, {"foreign", ReferenceState::excluded},
      {"new", ReferenceState::original},      {"null", ReferenceState::excluded}, {"there", ReferenceState::excluded},
      {"waived", ReferenceState::excluded}};
  for (const auto& [name, expected] : want) EXPECT_STREQ(to_string(state(name)), to_string(expected)) << name;
  EXPECT_EQ(reference("null")->reason, "its field is null");
  EXPECT_EQ(reference("empty")->reason, "its field is empty");
  EXPECT_EQ(reference("foreign")->reason, "points at nothing of the source");
  EXPECT_EQ(reference("there")->reason, "points at the new place already");
  EXPECT_EQ(gate(plan, "delta").count, 1);
  EXPECT_EQ(gate(plan, "failed").count, 1);
  EXPECT_EQ(gate(plan, "items").count, 1);
  EXPECT_TRUE(gate(plan, "verified").is_passed);
  EXPECT_EQ(plan.references.total, 10);
  EXPECT_EQ(plan.references.pending, 2);
  EXPECT_EQ(plan.unswitched.size(), 8u);
}

TEST_F(Cutovers, IsRefusedWhereThePlanIsNotReadyOrNotTheNewest) {
  back_up(3);
  EXPECT_NE(error_of([&] { cut_over("0123456789abcdef"); }).message().find("no cutover was planned"), std::string::npos);
  const std::string first = plan().hash;
  catalog->set(record(1), old_url(key(2)));
  const std::string second = plan().hash;
  EXPECT_NE(first, second);
  const Error stale = error_of([&] { cut_over(first); });
  EXPECT_EQ(stale.error_class(), ErrorClass::locked);
  EXPECT_NE(stale.message().find("not the newest"), std::string::npos);
  put(from, "never copied", "x");
  catalog->set(record(1), old_url("never copied"));
  const CutoverPlan blocked = plan();
  EXPECT_FALSE(blocked.is_ready);
  EXPECT_NE(error_of([&] { cut_over(blocked.hash); }).message().find("delta ("), std::string::npos);
  catalog->set(record(1), old_url(key(1)));
  EXPECT_EQ(plan().hash, first) << "the same references, values and new values are the same plan";
  migration().run(quick());
  EXPECT_NE(error_of([&] { cut_over(first); }).message().find("copy run"), std::string::npos);
  CutoverOptions impatient = options();
  const std::string last = plan().hash;
  impatient.max_plan_age_ms = 1;
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_NE(error_of([&] { cut_over(last, impatient); }).message().find("too old"), std::string::npos);
  EXPECT_EQ(catalog->writes(), 0u);
}

TEST_F(Cutovers, EditsBetweenPlanAndUpdateAreKeptAndTold) {
  back_up(20);
  const std::string hash = plan().hash;
  catalog->set(record(3), "https://elsewhere.example.com/mine");
  catalog->remove(record(4));
  const Report report = cut_over(hash);
  EXPECT_EQ(report.exit_code, 3) << report.message;
  EXPECT_EQ(catalog->value(record(3)), "https://elsewhere.example.com/mine");
  EXPECT_EQ(state(record(3)), ReferenceState::conflict);
  EXPECT_EQ(state(record(4)), ReferenceState::vanished);
  EXPECT_EQ(journal(record(3)).at(0).state, JournalState::conflict);
  EXPECT_EQ(report.snapshot.run_references.updated, 18);
  EXPECT_EQ(report.snapshot.run_references.conflict, 1);
  EXPECT_EQ(report.snapshot.run_references.vanished, 1);
}

TEST_F(Cutovers, AnAnswerThatIsLostCostsAReadAndNoSecondWrite) {
  back_up(30);
  std::atomic<int> lost{0};
  catalog->set_hook([&](const std::string& step, const std::string&, Context&) {
    if (step == "answer" && lost++ == 0) throw Error(ErrorCode::unavailable, ErrorClass::network, "the answer got lost").set_retryable();
  });
  const Report report = cut_over();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(holding(new_url), 30);
  EXPECT_EQ(catalog->writes(), 30u);
}

TEST_F(Cutovers, OfABatchThatBrokeOffOnlyTheRestIsAskedForAgain) {
  back_up(30);
  std::atomic<int> broken{0};
  catalog->set_hook([&](const std::string& step, const std::string& name, Context&) {
    if (step == "update" && name == record(12) && broken++ == 0) throw Error(ErrorCode::unavailable, ErrorClass::server, "half done").set_retryable();
  });
  EXPECT_EQ(cut_over().exit_code, 0);
  EXPECT_EQ(catalog->writes(), 30u);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(catalog->writes(record(i)), 1u);
}

TEST_F(Cutovers, WhatTheCatalogRefusesIsFailedWithItsReasonAndTheRestGoesOn) {
  back_up(10);
  const std::string hash = plan().hash;
  catalog->fail(record(2), {Status::failed, ErrorClass::too_large, "it is too long for the field", false});
  catalog->fail(record(3), {Status::failed, ErrorClass::server, "the row is locked", true}, 2);
  const Report report = cut_over(hash);
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(state(record(2)), ReferenceState::failed);
  EXPECT_EQ(reference(record(2))->reason, "it is too long for the field");
  EXPECT_EQ(reference(record(2))->error_class, ErrorClass::too_large);
  EXPECT_EQ(journal(record(2)).at(0).state, JournalState::not_applied);
  EXPECT_EQ(catalog->value(record(2)), old_url(key(2)));
  EXPECT_EQ(state(record(3)), ReferenceState::updated);
  EXPECT_EQ(report.snapshot.attempts_total, 12u);
  EXPECT_EQ(report.snapshot.attempts_failed, 3u);
}

TEST_F(Cutovers, ARightThatLacksEndsTheRunAndLeavesEverythingOwed) {
  back_up(10);
  const std::string hash = plan().hash;
  catalog->set_hook([](const std::string& step, const std::string&, Context&) {
    if (step == "batch") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right to update");
  });
  const Report report = cut_over(hash);
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_NE(report.message.find("no right to update"), std::string::npos);
  EXPECT_EQ(report.snapshot.references.pending, 10);
  EXPECT_EQ(holding(old_url), 10);
  catalog->set_hook(nullptr);
  EXPECT_EQ(cut_over(hash).exit_code, 0);
  EXPECT_EQ(holding(new_url), 10);
}

TEST_F(Cutovers, AWindowMustBeAcceptedAndIsLookedInto) {
  MemoryCatalog::Options weak;
  weak.conditional = Catalog::Conditional::none;
  catalog = std::make_shared<MemoryCatalog>(weak);
  back_up(10);
  CutoverPlan refused = plan();
  EXPECT_FALSE(refused.is_ready);
  EXPECT_FALSE(gate(refused, "window").is_passed);
  CutoverOptions accepting = options();
  accepting.accept_window = true;
  const CutoverPlan accepted = migration().plan_cutover(accepting);
  EXPECT_TRUE(accepted.is_ready);
  EXPECT_EQ(error_of([&] { cut_over(accepted.hash); }).error_class(), ErrorClass::locked);
  catalog->set(record(5), "edited");
  EXPECT_EQ(cut_over(accepted.hash, accepting).exit_code, 3);
  EXPECT_EQ(catalog->value(record(5)), "edited");
  EXPECT_EQ(catalog->writes(record(5)), 0u);
  EXPECT_EQ(holding(new_url), 9);
}

TEST_F(Cutovers, AWindowIsMeasuredAndWhatIsLostIsLostInsideItAlone) {
  using Steady = std::chrono::steady_clock;
  MemoryCatalog::Options none;
  none.conditional = Catalog::Conditional::none;
  none.max_batch = 5;
  catalog = std::make_shared<MemoryCatalog>(none);
  back_up(20);
  CutoverOptions accepting = options();
  accepting.accept_window = true;
  const std::string hash = migration().plan_cutover(accepting).hash;
  std::mutex mutex;
  std::map<std::string, Steady::time_point> looked_at;
  std::optional<Steady::duration> lost;
  catalog->set_hook([&](const std::string& step, const std::string& name, Context&) {
    const std::scoped_lock lock(mutex);
    // The first read of each is the one before its update.
    if (step == "read" && looked_at.try_emplace(name, Steady::now()).second && name == record(3)) {
      catalog->set(record(4), "edited before it was looked at");
    }
    if (step == "compared" && name == record(7)) {
      catalog->set(name, "edited between look and write");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      lost = Steady::now() - looked_at.at(name);
    }
    if (step == "answer" && looked_at.contains(record(9)) && catalog->value(record(9)) == new_url(key(9))) catalog->set(record(9), "edited after the write");
  });
  const Report report = cut_over(hash, accepting);
  catalog->set_hook(nullptr);
  EXPECT_EQ(report.exit_code, 3) << report.message;
  EXPECT_EQ(catalog->value(record(4)), "edited before it was looked at");
  EXPECT_EQ(catalog->value(record(9)), "edited after the write");
  EXPECT_EQ(catalog->value(record(7)), new_url(key(7))) << "lost, as was accepted";
  ASSERT_TRUE(lost);
  EXPECT_NE(report.message.find("unguarded window: 19 updates, "), std::string::npos) << report.message;
  std::optional<internal::UnguardedWindow> measured;
  for (const Event& event : open_tracker(ledger, OpenMode::read_only)->events(0, 1000)) {
    const auto window = internal::unguarded_window_from(event.data);
    if (!window) continue;
    EXPECT_FALSE(measured) << "one event of a run";
    EXPECT_EQ(event.kind, EventKind::audit);
    EXPECT_EQ(event.run, report.snapshot.run);
    measured = window;
  }
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->updates, 19u);
  EXPECT_GE(measured->longest_us, std::chrono::duration_cast<std::chrono::microseconds>(*lost).count()) << "the edit that was lost is inside";
  EXPECT_GT(measured->shortest_us, 0);
  EXPECT_LE(measured->shortest_us * 19, measured->total_us);
  EXPECT_GE(measured->longest_us * 19, measured->total_us);
  RollbackOptions back;
  back.accept_window = true;
  const Report restored = roll_back(back);
  EXPECT_NE(restored.message.find("unguarded window: 18 updates"), std::string::npos) << restored.message;
}

TEST_F(Cutovers, ARunInSeveralProcessesTellsTheWindowOfAll) {
  MemoryCatalog::Options none;
  none.conditional = Catalog::Conditional::none;
  none.max_batch = 5;
  catalog = std::make_shared<MemoryCatalog>(none);
  back_up(40);
  CutoverOptions accepting = options();
  accepting.accept_window = true;
  const std::string hash = migration().plan_cutover(accepting).hash;
  std::unique_ptr<waybill::Run> run;
  std::mutex mutex;
  std::atomic<int> batches{0};
  catalog->set_hook([&](const std::string& step, const std::string&, Context&) {
    if (step != "answer" || ++batches != 3) return;
    const std::scoped_lock lock(mutex);
    run->interrupt();
  });
  {
    Migration moving = migration();
    std::unique_lock lock(mutex);
    run = moving.start_cutover(hash, accepting, quick());
    lock.unlock();
    EXPECT_EQ(run->wait().exit_code, 130);
  }
  catalog->set_hook(nullptr);
  EXPECT_LT(holding(new_url), 40);
  const Report rest = cut_over(hash, accepting);
  EXPECT_EQ(rest.exit_code, 0) << rest.message;
  EXPECT_NE(rest.message.find("unguarded window: 40 updates"), std::string::npos) << rest.message;
}

TEST_F(Cutovers, WhereTheConditionIsExactThereIsNoWindowToTell) {
  back_up(3);
  const Report report = cut_over();
  EXPECT_EQ(report.message.find("window"), std::string::npos) << report.message;
}

TEST_F(Cutovers, ContentThatChangedBehindItsUrlIsNotSwitched) {
  back_up(10);
  const std::string hash = plan().hash;
  put(from, key(6), "something else");
  const Report report = cut_over(hash);
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(state(record(6)), ReferenceState::failed);
  EXPECT_EQ(reference(record(6))->error_class, ErrorClass::source_changed);
  EXPECT_TRUE(journal(record(6)).empty());
  EXPECT_EQ(catalog->value(record(6)), old_url(key(6)));
  copy_and_verify();
  EXPECT_EQ(cut_over().exit_code, 0);
  EXPECT_EQ(holding(new_url), 10);
}

TEST_F(Cutovers, TheFinalListingFindsWhatCameAndWhatWasChangedMeanwhile) {
  back_up(10);
  const std::string hash = plan().hash;
  std::atomic<bool> is_first{true};
  catalog->set_hook([&](const std::string& step, const std::string&, Context&) {
    if (step != "answer" || !is_first.exchange(false)) return;
    catalog->put("zz new", {old_url(key(1)), "account 0", "", {}});
  });
  const Report report = cut_over(hash);
  EXPECT_EQ(report.exit_code, 3) << report.message;
  EXPECT_EQ(state("zz new"), ReferenceState::original);
  EXPECT_NE(report.message.find("1 that are not"), std::string::npos) << report.message;
  EXPECT_EQ(cut_over().exit_code, 0);
  EXPECT_EQ(catalog->value("zz new"), new_url(key(1)));
}

TEST_F(Cutovers, ACanarySwitchesTheFirstAndTheSamePlanGoesOn) {
  back_up(50);
  const std::string hash = plan().hash;
  CutoverOptions canary = options();
  canary.canary = 7;
  const Report first = cut_over(hash, canary);
  EXPECT_EQ(first.exit_code, 0) << first.message;
  EXPECT_EQ(holding(new_url), 7);
  EXPECT_EQ(first.snapshot.run_references.total, 7);
  EXPECT_NE(first.message.find("43 of the plan are left"), std::string::npos) << first.message;
  EXPECT_EQ(cut_over(hash).exit_code, 0);
  EXPECT_EQ(holding(new_url), 50);
  EXPECT_EQ(catalog->writes(), 50u);
}

TEST_F(Cutovers, ARollbackRestoresEveryValueButThoseThatWereEdited) {
  back_up(40);
  catalog->put("odd", {old_url(key(1)), "account 1", "", {}});
  ASSERT_EQ(cut_over().exit_code, 0);
  catalog->set(record(9), "mine");
  RollbackOptions one_account;
  one_account.partitions = {"account 2"};
  EXPECT_EQ(migration().plan_rollback(one_account).references, 8);
  EXPECT_EQ(roll_back(one_account).exit_code, 0);
  EXPECT_EQ(holding(old_url), 8);
  EXPECT_EQ(catalog->value(record(2)), old_url(key(2)));
  const Report report = roll_back();
  EXPECT_EQ(report.exit_code, 3) << report.message;
  EXPECT_EQ(holding(old_url), 39);
  EXPECT_EQ(catalog->value("odd"), old_url(key(1)));
  EXPECT_EQ(catalog->value(record(9)), "mine");
  EXPECT_EQ(state(record(9)), ReferenceState::conflict);
  EXPECT_EQ(state(record(2)), ReferenceState::restored);
  EXPECT_EQ(report.snapshot.run_references.restored, 32);
  EXPECT_EQ(report.snapshot.run_references.conflict, 1);
  EXPECT_EQ(journal(record(2)).at(0).state, JournalState::restored);
  EXPECT_EQ(error_of([&] { roll_back(); }).error_class(), ErrorClass::locked);
}

TEST_F(Cutovers, WhatWasTakenBackCanBeSwitchedAgainAndHistoryStays) {
  back_up(5);
  ASSERT_EQ(cut_over().exit_code, 0);
  ASSERT_EQ(roll_back().exit_code, 0);
  ASSERT_EQ(cut_over().exit_code, 0);
  EXPECT_EQ(holding(new_url), 5);
  const std::vector<JournalRecord> entries = journal(record(1));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].state, JournalState::restored);
  EXPECT_EQ(entries[1].state, JournalState::applied);
  EXPECT_EQ(entries[1].old, old_url(key(1)));
  EXPECT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(holding(old_url), 5);
}

TEST_F(Cutovers, OfOneRunAloneCanBeTakenBack) {
  back_up(10);
  const std::string hash = plan().hash;
  CutoverOptions canary = options();
  canary.canary = 4;
  const Report first = cut_over(hash, canary);
  ASSERT_EQ(cut_over(hash).exit_code, 0);
  RollbackOptions of_first;
  of_first.run = first.snapshot.run;
  EXPECT_EQ(roll_back(of_first).exit_code, 0);
  EXPECT_EQ(holding(old_url), 4);
  EXPECT_EQ(holding(new_url), 6);
}

TEST_F(Cutovers, ARunThatIsStoppedLeavesNothingOpenAndIsCarriedOnWith) {
  MemoryCatalog::Options small;
  small.max_batch = 5;
  catalog = std::make_shared<MemoryCatalog>(small);
  back_up(100);
  const std::string hash = plan().hash;
  std::unique_ptr<waybill::Run> run;
  std::mutex mutex;
  std::atomic<int> batches{0};
  catalog->set_hook([&](const std::string& step, const std::string&, Context&) {
    if (step != "answer" || ++batches != 5) return;
    std::scoped_lock lock(mutex);
    run->interrupt();
  });
  {
    Migration moving = migration();
    std::unique_lock lock(mutex);
    run = moving.start_cutover(hash, options(), quick());
    lock.unlock();
    const Report report = run->wait();
    EXPECT_EQ(report.exit_code, 130);
    EXPECT_EQ(report.snapshot.references.intended, 0);
    EXPECT_GT(report.snapshot.run_references.pending, 0);
    EXPECT_EQ(report.snapshot.run_references.updated, holding(new_url));
  }
  catalog->set_hook(nullptr);
  const Report rest = cut_over(hash);
  EXPECT_EQ(rest.exit_code, 0) << rest.message;
  EXPECT_EQ(rest.snapshot.run, run->id());
  EXPECT_EQ(rest.snapshot.run_references.updated, 100);
  EXPECT_EQ(holding(new_url), 100);
  EXPECT_EQ(catalog->writes(), 100u);
}

TEST_F(Cutovers, WhatADeadProcessLeftOpenIsReadAndNotWrittenTwice) {
  back_up(6);
  const std::string hash = plan().hash;
  // As a process leaves it that is killed after the updates of some references, and before any outcome.
  {
    const auto tracker = open_tracker(ledger);
    const uint64_t epoch = tracker->acquire({});
    Batch batch;
    for (int i = 0; i < 4; ++i) {
      ReferenceRecord known = reference(record(i)).value();
      JournalRecord entry;
      entry.id = known.id;
      entry.generation = known.generation = 1;
      entry.old = known.value;
      entry.intended = known.intended;
      known.state = ReferenceState::intended;
      batch.references.push_back({known});
      batch.journal.push_back(entry);
    }
    tracker->commit(epoch, batch);
    tracker->release(epoch);
  }
  catalog->set(record(0), new_url(key(0)));
  catalog->set(record(1), new_url(key(1)));
  catalog->set(record(2), "mine");
  const Report report = cut_over(hash);
  EXPECT_EQ(report.exit_code, 3) << report.message;
  EXPECT_EQ(catalog->writes(), 3u);
  EXPECT_EQ(state(record(0)), ReferenceState::updated);
  EXPECT_EQ(state(record(2)), ReferenceState::conflict);
  EXPECT_EQ(catalog->value(record(3)), new_url(key(3)));
  EXPECT_EQ(journal(record(3)).size(), 2u);
  EXPECT_EQ(report.snapshot.run_references.total, 6);
  EXPECT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(catalog->value(record(0)), old_url(key(0))) << "what was journalled before the kill is what comes back";
  EXPECT_EQ(holding(old_url), 5);
}

TEST_F(Cutovers, WhatAnotherProgramSwitchedIsConfirmedByReadingAndCanBeTakenBack) {
  back_up(4);
  catalog->set(record(0), "https://my-bucket.example.com/a file.pdf");
  catalog->set(record(2), "edited since");
  const auto said = [](int number) {
    return ImportedReference{record(number), "account", "", old_url(key(number)), "https://my-bucket.example.com/a file.pdf", "{\"id\":1}"};
  };
  const std::vector<ImportedReference> switched = {said(0), said(1), said(2)};
  const ImportOrigin origin{"migration_tracking.db", std::string(64, 'a'), "s1", "me@here"};
  {
    Migration importing = migration();
    const auto import = importing.begin_import(origin);
    import->add_references(switched);
    const ImportReport report = import->finish();
    EXPECT_EQ(report.references, 3);
    EXPECT_EQ(report.references_confirmed, 1);
    EXPECT_EQ(report.references_refuted, 2);
  }
  EXPECT_EQ(state(record(0)), ReferenceState::updated);
  EXPECT_EQ(state(record(1)), ReferenceState::original);
  EXPECT_EQ(state(record(2)), ReferenceState::conflict);
  EXPECT_EQ(catalog->writes(), 0u);
  EXPECT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(catalog->value(record(0)), old_url(key(0)));
  EXPECT_EQ(catalog->value(record(2)), "edited since");
  EXPECT_EQ(catalog->writes(), 1u);
}

TEST_F(Cutovers, WhatAnotherProgramSwitchedBelongsToTheItemAndThePartitionThatTheCatalogSays) {
  back_up(2);
  catalog->set(record(0), "https://my-bucket.example.com/0");
  const std::vector<ImportedReference> switched = {
      {record(0), "account of old", "", old_url(key(0)), "https://my-bucket.example.com/0", ""},
      {record(0), "account of old", "", "said twice", "https://my-bucket.example.com/0", ""}};
  Migration importing = migration();
  const auto import = importing.begin_import({"old.db", std::string(64, 'a'), "s1", "me@here"});
  import->add_references(switched);
  const ImportReport report = import->finish();
  EXPECT_EQ(report.references_confirmed, 1);
  EXPECT_EQ(report.references_known, 1);
  EXPECT_EQ(reference(record(0))->partition, catalog->records().at(record(0)).partition);
  EXPECT_EQ(reference(record(0))->item.key, key(0));
  EXPECT_EQ(reference(record(0))->item.partition, "") << "where the copy has it";
  ASSERT_EQ(journal(record(0)).size(), 1u);
  EXPECT_EQ(journal(record(0))[0].old, old_url(key(0)));
}

// Takes "short " and a record for the record.
class ShortIds final : public Catalog {
 public:
  explicit ShortIds(std::shared_ptr<MemoryCatalog> catalog) : catalog_(std::move(catalog)) {}
  Capabilities capabilities() const override { return catalog_->capabilities(); }
  std::string identity() const override { return catalog_->identity(); }
  std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) override { return catalog_->list(since, context); }
  std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) override {
    return catalog_->update(updates, context);
  }
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) override {
    std::vector<ReferenceId> whole(ids.begin(), ids.end());
    for (ReferenceId& id : whole) {
      if (id.record.starts_with("short ")) id.record.erase(0, 6);
    }
    return catalog_->read(whole, context);
  }

 private:
  const std::shared_ptr<MemoryCatalog> catalog_;
};

TEST_F(Cutovers, WhatAnotherProgramSwitchedIsNamedAsTheCatalogNamesIt) {
  back_up(2);
  catalog->set(record(0), "https://my-bucket.example.com/0");
  const std::vector<ImportedReference> switched = {
      {"short " + record(0), "", "", old_url(key(0)), "https://my-bucket.example.com/0", ""},
      {record(0), "", "", old_url(key(0)), "https://my-bucket.example.com/0", ""}};
  {
    Migration importing = migration();
    importing.set_catalog(std::make_shared<ShortIds>(catalog));
    const auto import = importing.begin_import({"old.db", std::string(64, 'a'), "s1", "me@here"});
    import->add_references(switched);
    const ImportReport report = import->finish();
    EXPECT_EQ(report.references_confirmed, 1);
    EXPECT_EQ(report.references_known, 1);
  }
  EXPECT_EQ(state(record(0)), ReferenceState::updated);
  EXPECT_FALSE(reference("short " + record(0)));
  EXPECT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(catalog->value(record(0)), old_url(key(0)));
}

TEST_F(Cutovers, WhatWasOnlySaidAtFirstIsTakenOverOnceItIsSo) {
  back_up(3);
  const std::vector<ImportedReference> switched = {{record(0), "", "", old_url(key(0)), "https://my-bucket.example.com/0", ""}};
  const auto imported = [&](char digest) {
    Migration importing = migration();
    const auto import = importing.begin_import({"old.db", std::string(64, digest), "s1", "me@here"});
    EXPECT_FALSE(import->is_repeated());
    import->add_references(switched);
    return import->finish();
  };
  EXPECT_EQ(imported('a').references_refuted, 1);
  EXPECT_EQ(imported('b').references_known, 1);
  catalog->set(record(0), "https://my-bucket.example.com/0");
  EXPECT_EQ(imported('c').references_confirmed, 1);
  EXPECT_EQ(journal(record(0)).size(), 2u);
  EXPECT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(catalog->value(record(0)), old_url(key(0)));
  EXPECT_EQ(imported('d').references_known, 1) << "what was taken back is not switched because a ledger says so";
}

TEST_F(Cutovers, ACatalogWithNoneOfTheRecordsIsNotWhatWasSwitched) {
  back_up(2);
  const std::vector<ImportedReference> elsewhere = {{"a0B1", "", "", old_url(key(0)), "https://my-bucket.example.com/0", ""}};
  const ImportOrigin origin{"old.db", std::string(64, 'a'), "s1", "me@here"};
  {
    Migration importing = migration();
    const auto import = importing.begin_import(origin);
    const Error error = error_of([&] { import->add_references(elsewhere); });
    EXPECT_EQ(error.error_class(), ErrorClass::configuration);
    EXPECT_NE(error.message().find("none of the first 1 records"), std::string::npos) << error.message();
    EXPECT_FALSE(reference("a0B1"));
    import->finish();
  }
  Migration importing = migration();
  EXPECT_TRUE(importing.begin_import(origin)->is_repeated());
}

TEST_F(Cutovers, ACatalogThatChangesWhatItIsGivenEndsTheRunWithItsFirstBatch) {
  MemoryCatalog::Options small;
  small.max_batch = 5;
  catalog = std::make_shared<MemoryCatalog>(small);
  back_up(50);
  const std::string hash = plan().hash;
  catalog->set_hook([this](const std::string& step, const std::string&, Context&) {
    if (step != "answer") return;
    for (const auto& [name, content] : catalog->records()) {
      if (content.value->starts_with("https")) catalog->set(name, "HTTPS" + content.value->substr(5));
    }
  });
  Options one_by_one = quick();
  one_by_one.concurrency = 1;
  const Report report = cut_over(hash, options(), one_by_one);
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_NE(report.message.find("none of them reads as it was written"), std::string::npos) << report.message;
  EXPECT_EQ(catalog->writes(), 5u);
  EXPECT_EQ(report.snapshot.references.conflict, 5);
  EXPECT_EQ(report.snapshot.references.pending, 45);
}

// Which partitions the updates under way belong to.
class Partitions {
 public:
  void begin(const std::string& partition) {
    const std::scoped_lock lock(mutex_);
    std::set<std::string>& mine = of_[std::this_thread::get_id()];
    mine.insert(partition);
    for (const auto& [thread, others] : of_) {
      if (thread != std::this_thread::get_id() && others.contains(partition)) ++shared;
    }
    most_at_once = std::max(most_at_once, of_.size());
    changed_.notify_all();
  }
  void end() {
    const std::scoped_lock lock(mutex_);
    of_.erase(std::this_thread::get_id());
  }
  // Until updates are made by two threads at once, or could not be.
  void wait_for_another() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [this] { return most_at_once > 1; });
  }

  int shared = 0;
  size_t most_at_once = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::thread::id, std::set<std::string>> of_;
};

TEST_F(Cutovers, WhereACatalogLocksPartitionsTheUpdatesOfOneAreMadeInTurn) {
  MemoryCatalog::Options locking;
  locking.max_batch = 10;
  locking.locks_partitions = true;
  catalog = std::make_shared<MemoryCatalog>(locking);
  back_up(200);  // every fifth of one account
  const auto hash = plan().hash;
  Partitions partitions;
  catalog->set_hook([&](const std::string& step, const std::string& record, Context&) {
    if (step == "answer") return partitions.end();
    if (step != "update") return;
    partitions.begin(catalog->records().at(record).partition);
    partitions.wait_for_another();
  });
  EXPECT_EQ(cut_over(hash).exit_code, 0);
  EXPECT_EQ(partitions.shared, 0);
  EXPECT_GT(partitions.most_at_once, 1u);
  EXPECT_EQ(holding(new_url), 200);
  EXPECT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(partitions.shared, 0);
  EXPECT_EQ(catalog->writes(), 400u);
}

TEST_F(Cutovers, ABatchWhoseLookWasCutShortIsBegunAgainWhole) {
  back_up(6);
  const std::string hash = plan().hash;
  std::atomic<bool> is_first{true};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    // As a lease that is late makes of a call: the run goes on.
    if (operation == "stat" && key == this->key(3) && is_first.exchange(false)) throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "late");
  };
  const Report report = cut_over(hash);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_FALSE(is_first);
  EXPECT_EQ(holding(new_url), 6);
  EXPECT_EQ(catalog->writes(), 6u);
}

TEST_F(Cutovers, AValueOfOursIsNeverAnOldOne) {
  back_up(5);
  ASSERT_EQ(cut_over().exit_code, 0);
  catalog->put("copied record", {new_url(key(0)), "account 0", "", {}});
  const CutoverPlan again = plan();
  EXPECT_EQ(again.references.pending, 0);
  EXPECT_EQ(again.references.updated, 5);
  EXPECT_EQ(state("copied record"), ReferenceState::excluded);
}

TEST_F(Cutovers, AFieldTooShortForTheNewValueIsFoundBeforeAnythingIsWritten) {
  MemoryCatalog::Options narrow;
  narrow.max_value_length = 20;
  catalog = std::make_shared<MemoryCatalog>(narrow);
  back_up(3);
  const CutoverPlan plan = this->plan();
  EXPECT_FALSE(plan.is_ready);
  EXPECT_EQ(gate(plan, "values").count, 3);
  EXPECT_NE(gate(plan, "values").evidence.find("the field holds 20"), std::string::npos);
}

}  // namespace
}  // namespace waybill::testing
