// SPDX-License-Identifier: Apache-2.0
//
// Runs over some of the items: those that failed, those that are named, those with findings, the first few, those of a
// partition, those that filters leave; and waiving. With what history says of them afterwards.
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using Operations = std::map<std::string, int>;

class Selection : public Stores {
 protected:
  /// Reads of these keys fail for good, with a class.
  void forbid(std::map<Key, ErrorClass> keys) {
    source_hook = [this, keys = std::move(keys)](const std::string& operation, const Key& key, Context&) {
      const std::lock_guard lock(mutex_);
      ++asked_[operation];
      const auto forbidden = keys.find(key);
      if (operation == "read" && forbidden != keys.end()) {
        throw Error(ErrorCode::permission_denied, forbidden->second, "no");
      }
    };
  }
  void allow() { forbid({}); }
  Operations asked() {
    const std::lock_guard lock(mutex_);
    return std::exchange(asked_, {});
  }
  std::vector<RunSummary> history() { return open_tracker(ledger, OpenMode::read_only)->history(100); }
  static Options failed_only(std::vector<std::string> classes = {}) {
    Options options = quick();
    options.failed_only = true;
    options.error_classes = std::move(classes);
    return options;
  }
  static Options only(std::vector<std::string> keys) {
    Options options = quick();
    options.keys = std::move(keys);
    return options;
  }

 private:
  std::mutex mutex_;
  Operations asked_;
};

TEST_F(Selection, RetryTakesOnlyWhatFailedAndListsNothing) {
  fill(20);
  forbid({{"k000003", ErrorClass::permission}, {"k000007", ErrorClass::unsupported}});
  EXPECT_EQ(copy().exit_code, 3);
  EXPECT_EQ(failure("k000003")->endpoint, open_source(from)->endpoint());
  put(from, "new", "unlisted");
  allow();
  (void)asked();
  const Report report = copy(failed_only());
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.eligible, 2) << "the frame of the run is what it took up";
  EXPECT_EQ(report.snapshot.items.created, 2);
  EXPECT_EQ(report.snapshot.migration_items.done, 20);
  EXPECT_EQ(report.snapshot.migration_items.failed, 0);
  EXPECT_EQ(asked()["list"], 0);
  EXPECT_FALSE(row("new")) << "nothing was listed";
  EXPECT_EQ(get(to, "k000003"), get(from, "k000003"));
  EXPECT_NE(report.snapshot.reason.find("selected"), std::string::npos) << report.snapshot.reason;
}

TEST_F(Selection, RetryByClassLeavesTheOthersFailed) {
  fill(5);
  forbid({{"k000001", ErrorClass::permission}, {"k000002", ErrorClass::unsupported}});
  EXPECT_EQ(copy().exit_code, 3);
  allow();
  const Report report = copy(failed_only({"permission"}));
  EXPECT_EQ(report.snapshot.items.eligible, 1);
  EXPECT_EQ(row("k000001")->state, ItemState::copied);
  EXPECT_EQ(row("k000002")->state, ItemState::failed);
  EXPECT_EQ(report.snapshot.migration_items.failed, 1);
}

TEST_F(Selection, ForceCopiesAgainWhatIsDone) {
  fill(3);
  EXPECT_EQ(copy().exit_code, 0);
  put(to, "k000001", "broken.....");
  Options options = only({"k000001"});
  EXPECT_EQ(copy(options).snapshot.items.failed, 1) << "it is not what this ledger wrote, so it is kept";
  EXPECT_EQ(get(to, "k000001"), "broken.....");
  options.force = true;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.eligible, 1);
  EXPECT_EQ(get(to, "k000001"), get(from, "k000001"));

  Options again = failed_only();
  again.force = true;
  EXPECT_EQ(copy(again).snapshot.items.updated, 3) << "force takes up everything that is done";
}

TEST_F(Selection, ANamedItemIsCopiedWithoutAListing) {
  fill(10);
  allow();
  const Report report = copy(only({"k000004", "k000006"}));
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(asked()["list"], 0);
  EXPECT_EQ(get_all(to).size(), 2u);
  EXPECT_EQ(report.snapshot.items.created, 2);
  // The run that follows lists, and moves the rest.
  EXPECT_EQ(copy().snapshot.items.created, 8);
  EXPECT_EQ(get_all(to), get_all(from));
}

TEST_F(Selection, AnItemThatNobodyKnowsEndsTheRunWithItsName) {
  fill(1);
  const Report report = copy(only({"nowhere"}));
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_NE(report.message.find("nowhere"), std::string::npos) << report.message;
}

TEST_F(Selection, WhatVerifyFoundIsRepaired) {
  fill(6);
  EXPECT_EQ(copy().exit_code, 0);
  put(to, "k000001", "short");
  put(to, "k000002", "another...");
  open_destination(to)->remove("k000003", Context::background());
  put(to, "extra", "extra");
  const Report found = migration().verify(VerifyLevel::checksum, quick());
  EXPECT_EQ(found.exit_code, 3);
  EXPECT_EQ(found.snapshot.findings.at("extra"), 1);
  Options options = quick();
  options.findings_of = found.snapshot.run;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.eligible, 3) << "the extra object is no item";
  auto there = get_all(to);
  EXPECT_EQ(there.erase("extra"), 1u) << "nothing is deleted that nobody asked to delete";
  EXPECT_EQ(there, get_all(from));
}

TEST_F(Selection, ALimitedRunMovesTheFirstItemsAndCompletesNothing) {
  fill(30);
  EXPECT_EQ(copy(only({"k000000"})).exit_code, 0);
  Options options = quick();
  options.limit = 5;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.created, 5);
  EXPECT_FALSE(report.snapshot.listing_complete) << "what was not exhausted is not complete";
  EXPECT_FALSE(report.snapshot.progress()) << "of an unknown whole";
  EXPECT_NE(report.snapshot.reason.find("limit of 5"), std::string::npos) << report.snapshot.reason;
  EXPECT_EQ(get_all(to).rbegin()->first, "k000005") << "the first, beside the one that was there";
  // A trial never blocks the run that follows, which sees everything.
  const Report whole = copy();
  EXPECT_EQ(whole.snapshot.items.created, 24);
  EXPECT_TRUE(whole.snapshot.listing_complete);
  EXPECT_EQ(get_all(to), get_all(from));
}

/// Items are of the partition that their key begins with, up to the slash.
class PartitionedSource final : public ScriptedSource {
 public:
  using ScriptedSource::ScriptedSource;
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    return std::make_unique<Named>(ScriptedSource::list(request, context));
  }

 private:
  class Named final : public Lister {
   public:
    explicit Named(std::unique_ptr<Lister> inner) : inner_(std::move(inner)) {}
    Page next(Context& context) override {
      Page page = inner_->next(context);
      for (Item& item : page.items) item.id.partition = item.id.key.substr(0, item.id.key.find('/'));
      return page;
    }

   private:
    std::unique_ptr<Lister> inner_;
  };
};

TEST_F(Selection, APartitionIsMovedAloneAndSaysNothingOfTheOthers) {
  for (const char* key : {"a/1", "a/2", "b/1", "b/2", "b/3"}) put(from, key, key);
  const auto run = [&](std::vector<std::string> partitions) {
    Options options = quick();
    options.partitions = std::move(partitions);
    return Migration(std::make_shared<PartitionedSource>(open_source(from), source_hook), open_destination(to), open_tracker(ledger))
        .run(options);
  };
  const auto row_of = [&](const std::string& partition, const Key& key) {
    const ItemId id{partition, key, ""};
    return open_tracker(ledger, OpenMode::read_only)->lookup({&id, 1}).front();
  };
  const Report part = run({"b"});
  EXPECT_EQ(part.exit_code, 0) << part.message;
  EXPECT_EQ(part.snapshot.items.discovered, 3);
  EXPECT_EQ(get_all(to).size(), 3u);
  EXPECT_FALSE(row_of("a", "a/1"));

  const Report whole = run({});
  EXPECT_EQ(whole.snapshot.items.created, 2);
  EXPECT_EQ(whole.snapshot.items.unchanged, 3);

  open_destination(from)->remove("a/2", Context::background());
  EXPECT_EQ(run({"b"}).snapshot.items.unchanged, 3);
  EXPECT_FALSE(row_of("a", "a/2")->gone_at_source) << "nobody has looked";
  EXPECT_EQ(run({}).exit_code, 0);
  EXPECT_TRUE(row_of("a", "a/2")->gone_at_source);

  const Report unknown = run({"B"});
  EXPECT_EQ(unknown.exit_code, 1) << "nothing was moved of what was asked for";
  EXPECT_NE(unknown.snapshot.reason.find("\"B\""), std::string::npos) << unknown.snapshot.reason;
}

TEST_F(Selection, FiltersLeaveOutWithTheirRule) {
  put(from, "a/report.PDF", std::string(100, 'x'));
  put(from, "a/small.pdf", "x");
  put(from, "a/notes.txt", std::string(100, 'x'));
  put(from, "pdf", std::string(100, 'x'));
  Options options = quick();
  options.extensions = {"pdf"};
  options.min_size_bytes = 10;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.snapshot.items.excluded, 3);
  EXPECT_EQ(get_all(to).begin()->first, "a/report.PDF");
  EXPECT_EQ(failure("a/small.pdf")->message, "min-size 10");
  EXPECT_EQ(failure("a/notes.txt")->message, "extension");
  EXPECT_EQ(failure("pdf")->message, "extension") << "a name without a dot has none";

  Options later = quick();
  later.modified_since_ms = 4'102'444'800'000;  // 2100
  EXPECT_EQ(copy(later).snapshot.items.created, 0);
  EXPECT_EQ(failure("pdf")->message, "modified-since 2100-01-01T00:00:00.000Z");
}

TEST_F(Selection, OptionsThatExcludeEachOtherAreRefused) {
  const auto refused = [](auto change) {
    Options options;
    change(options);
    try {
      validate(options);
    } catch (const Error& error) {
      return error.error_class() == ErrorClass::configuration;
    }
    return false;
  };
  EXPECT_TRUE(refused([](Options& o) { o.force = true; }));
  EXPECT_TRUE(refused([](Options& o) { o.error_classes = {"permission"}; }));
  EXPECT_TRUE(refused([](Options& o) { o.failed_only = true, o.error_classes = {"nonsense"}; }));
  EXPECT_TRUE(refused([](Options& o) { o.failed_only = true, o.keys = {"a"}; }));
  EXPECT_TRUE(refused([](Options& o) { o.min_size_bytes = 2, o.max_size_bytes = 1; }));
  EXPECT_TRUE(refused([](Options& o) { o.modified_since_ms = 2, o.modified_before_ms = 2; }));
  EXPECT_TRUE(refused([](Options& o) { o.extensions = {""}; }));
  EXPECT_FALSE(refused([](Options& o) { o.failed_only = o.force = true; }));
}

TEST_F(Selection, WaivedIsNeitherFailedNorDoneAndSaysWho) {
  fill(4);
  forbid({{"k000001", ErrorClass::permission}, {"k000002", ErrorClass::unsupported}});
  EXPECT_EQ(copy().exit_code, 3);
  Options of_class;
  of_class.failed_only = true;
  of_class.error_classes = {"unsupported"};
  EXPECT_EQ(migration().waive(of_class, "ada@host", "pipes are no data"), 1);
  EXPECT_EQ(migration().waive(of_class, "ada@host", "again"), 0) << "it is waived already";
  EXPECT_THROW(migration().waive(of_class, "ada@host", ""), Error);
  const auto tracker = open_tracker(ledger, OpenMode::read_only);
  EXPECT_EQ(tracker->snapshot().items.failed, 1);
  EXPECT_EQ(tracker->snapshot().items.waived, 1);
  EXPECT_EQ(tracker->snapshot().failed_by_class.count("unsupported"), 0u);
  EXPECT_EQ(violated_invariant(tracker->snapshot()), std::nullopt);
  Query query;
  query.states = {ItemState::failed};
  const ScanPage page = tracker->scan(query, "", 10);
  ASSERT_EQ(page.rows.size(), 2u);
  EXPECT_FALSE(page.rows[0].waiver);
  ASSERT_TRUE(page.rows[1].waiver);
  EXPECT_EQ(page.rows[1].waiver->who, "ada@host");
  EXPECT_EQ(page.rows[1].waiver->why, "pipes are no data");
  const std::vector<Event> events = tracker->events(0, 1000);
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const Event& event) {
    return event.kind == EventKind::audit && event.text == "1 item waived by ada@host: pipes are no data";
  }));

  // A retry leaves it alone; naming it takes it up again, and the waiver goes.
  EXPECT_EQ(copy(failed_only()).snapshot.items.eligible, 1);
  allow();
  EXPECT_EQ(copy(only({"k000002"})).snapshot.items.created, 1);
  EXPECT_FALSE(row("k000002")->waived);
}

TEST_F(Selection, AnInterruptedRetryIsGoneOnWithByTheSameCommandOnly) {
  fill(50);
  std::map<Key, ErrorClass> all;
  for (const auto& [key, content] : get_all(from)) all[key] = ErrorClass::permission;
  forbid(all);
  EXPECT_EQ(copy().exit_code, 3);
  std::atomic<bool> is_stalled{true};
  source_hook = [&](const std::string& operation, const Key& key, Context& context) {
    while (is_stalled && operation == "read" && key >= "k000010" && context.sleep(std::chrono::milliseconds(5))) {}
    context.check();
  };
  {
    Migration migration = this->migration();
    const std::unique_ptr<waybill::Run> run = migration.start(failed_only());
    while (run->snapshot().items.done < 10) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    run->interrupt();
    EXPECT_EQ(run->wait().exit_code, 130);
  }
  is_stalled = false;
  try {
    (void)copy();
    FAIL() << "a listing would have been believed complete";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::locked);
    EXPECT_NE(error.message().find("resume"), std::string::npos) << error.message();
  }
  const Report report = copy(failed_only());
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.run, 2u);
  EXPECT_EQ(report.snapshot.items.done, 50);
}

TEST_F(Selection, HistoryKeepsEachRunWithItsAccountsOwnerAndRates) {
  fill(12);
  forbid({{"k000001", ErrorClass::permission}});
  EXPECT_EQ(copy().exit_code, 3);
  allow();
  EXPECT_EQ(copy(failed_only()).exit_code, 0);
  EXPECT_EQ(migration().verify(VerifyLevel::listing, quick()).exit_code, 0);
  const std::vector<RunSummary> runs = history();
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].record.phase, Phase::verify);
  EXPECT_EQ(runs[1].items.created, 1);
  EXPECT_EQ(runs[2].items.created, 11);
  EXPECT_EQ(runs[2].items.failed, 1);
  EXPECT_EQ(runs[2].failed_by_class.at("permission"), 1);
  EXPECT_EQ(runs[2].attempts_total, 12u);
  for (const RunSummary& run : runs) {
    EXPECT_EQ(run.record.pid, getpid());
    EXPECT_FALSE(run.record.host.empty());
  }
  const auto tracker = open_tracker(ledger, OpenMode::read_only);
  const std::vector<RateSample> rates = tracker->rates(1, -1, 10);
  ASSERT_EQ(rates.size(), 1u);
  EXPECT_EQ(rates[0].items, 12u);
  EXPECT_EQ(rates[0].attempts_failed, 1u);
  EXPECT_GT(runs[2].bytes_done, 0u);
  EXPECT_EQ(rates[0].bytes, runs[2].bytes_done) << "what failed was not moved";
  EXPECT_GT(rates[0].seconds, 0);
  const std::vector<PartitionSummary> partitions = tracker->partitions(std::nullopt, 10);
  ASSERT_EQ(partitions.size(), 1u);
  EXPECT_EQ(partitions[0].migration_items.done, 12);
  EXPECT_TRUE(tracker->partitions(partitions[0].name, 10).empty());
}

}  // namespace
}  // namespace waybill::testing
