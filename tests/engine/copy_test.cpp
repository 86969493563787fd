// SPDX-License-Identifier: Apache-2.0
//
// Whole copies between stores in memory, with stores that fail, hang and change at chosen moments.

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using Copy = Stores;
using std::chrono::milliseconds;

TEST_F(Copy, MovesEverythingAndTheAccountsAddUp) {
  fill(2500);
  put(from, "folder/", "");
  put(from, "empty", "");
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(get_all(to), get_all(from));
  const ItemAccounts& items = report.snapshot.items;
  EXPECT_EQ(items.discovered, 2502);
  EXPECT_EQ(items.done, 2502);
  EXPECT_EQ(items.created, 2502);
  EXPECT_EQ(report.snapshot.bytes_done, 25000u);
  EXPECT_EQ(report.snapshot.attempts_total, 2502u);
  EXPECT_EQ(report.snapshot.progress(), 1.0);
  EXPECT_EQ(report.snapshot.state, RunState::completed);
  EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
}

TEST_F(Copy, NothingToMoveIsComplete) {
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.progress(), 1.0);
}

TEST_F(Copy, SecondRunMovesOnlyWhatIsNewOrChanged) {
  fill(50);
  copy();
  put(from, "k000007", "changed content");
  put(from, "zzz", "new");
  std::atomic<int> puts{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) { puts += operation == "put"; };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(puts, 2);
  EXPECT_EQ(report.snapshot.items.created, 1);
  EXPECT_EQ(report.snapshot.items.updated, 1);
  EXPECT_EQ(report.snapshot.items.unchanged, 49);
  EXPECT_EQ(get(to, "k000007"), "changed content");
  EXPECT_EQ(row("k000007")->revision, 2u);
}

TEST_F(Copy, ItemsGoneFromTheSourceStayCopiedAndAreMarked) {
  fill(3);
  copy();
  open_destination(from)->remove("k000001", Context::background());
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_TRUE(row("k000001")->gone_at_source);
  EXPECT_EQ(row("k000001")->state, ItemState::copied);
  EXPECT_EQ(report.snapshot.items.eligible, 2);
  EXPECT_EQ(report.snapshot.migration_items.done, 3);
  EXPECT_TRUE(get(to, "k000001"));
}

TEST_F(Copy, ForeignObjectSurvivesAndIsListedAsOccupied) {
  fill(3);
  put(to, "k000001", "not ours, longer");
  put(to, "k000002", "0123456789");  // the same size as ours
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.snapshot.items.failed, 2);
  EXPECT_EQ(report.snapshot.failed_by_class.at("occupied"), 2);
  EXPECT_EQ(get(to, "k000001"), "not ours, longer");
  EXPECT_EQ(get(to, "k000002"), "0123456789");
  Options options = quick();
  options.overwrite = Overwrite::always;
  EXPECT_EQ(copy(options).exit_code, 0);
  EXPECT_EQ(get_all(to), get_all(from));
}

TEST_F(Copy, ObjectThatIsThereAlreadyAndTheSameIsNotMoved) {
  fill(2);
  put(to, "k000000", *get(from, "k000000"));
  std::atomic<int> puts{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) { puts += operation == "put"; };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(puts, 1);
  EXPECT_EQ(row("k000000")->basis, Basis::matched_checksum);
  EXPECT_EQ(report.snapshot.items.unchanged, 1);
}

TEST_F(Copy, PassingFailuresAreTriedAgain) {
  fill(20);
  std::mutex mutex;
  std::map<Key, int> tries;
  destination_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation != "put") return;
    std::scoped_lock lock(mutex);
    if (++tries[key] <= 2) throw Error(ErrorCode::unavailable, ErrorClass::server, "try again").set_retryable();
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.attempts_total, 60u);
  EXPECT_EQ(report.snapshot.attempts_failed, 40u);
  EXPECT_EQ(get_all(to), get_all(from));
}

TEST_F(Copy, LastingFailureFailsTheItemAloneWithItsClass) {
  fill(5);
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read" && key == "k000003") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right to read it");
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.snapshot.items.done, 4);
  EXPECT_EQ(report.snapshot.items.failed, 1);
  ASSERT_TRUE(failure("k000003"));
  EXPECT_EQ(failure("k000003")->error_class, ErrorClass::permission);
  EXPECT_EQ(failure("k000003")->attempts, 1u);
  source_hook = [](const std::string&, const Key&, Context&) {};
  EXPECT_EQ(copy().exit_code, 0);
  EXPECT_FALSE(failure("k000003"));
}

TEST_F(Copy, RetriesOfOneItemEnd) {
  fill(5);
  Options options = quick();
  options.max_attempts = 4;
  std::atomic<int> tries{0};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation != "read" || key != "k000003") return;
    ++tries;
    throw Error(ErrorCode::unavailable, ErrorClass::server, "always").set_retryable();
  };
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_GE(tries, 4);
  EXPECT_LE(tries, 8) << "failures that blame the endpoint count once the endpoint is known to answer";
}

TEST_F(Copy, ItemThatGoesBetweenListingAndReadingHasVanished) {
  fill(3);
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read" && key == "k000001") open_destination(from)->remove(key, Context::background());
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.snapshot.items.vanished, 1);
  EXPECT_EQ(row("k000001")->state, ItemState::vanished);
  source_hook = [](const std::string&, const Key&, Context&) {};
  const Report second = copy();
  EXPECT_EQ(second.exit_code, 0) << "a vanished item leaves the frame after the run that found it";
  EXPECT_EQ(second.snapshot.items.discovered, 2);
}

TEST_F(Copy, ItemThatChangesWhileItIsMovedIsMovedAgainWhole) {
  fill(3);
  std::atomic<int> changes{0};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read" && key == "k000001" && changes++ == 0) put(from, key, "a longer content, later");
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(get(to, "k000001"), "a longer content, later");
}

TEST_F(Copy, ItemThatNeverRestsFailsAsChanged) {
  fill(3);
  std::atomic<int> changes{0};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read" && key == "k000001") put(from, key, "revision " + std::to_string(changes++));
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(row("k000001")->error_class, ErrorClass::source_changed);
  EXPECT_FALSE(get(to, "k000001"));
}

TEST_F(Copy, LostAnswerOfAPutIsNotAFailureNorAnOverwrite) {
  fill(10);
  std::mutex mutex;
  std::set<Key> lost;
  destination_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation != "put_done") return;
    std::scoped_lock lock(mutex);
    if (lost.insert(key).second) throw Error(ErrorCode::unavailable, ErrorClass::network, "the answer was lost").set_retryable();
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.done, 10);
  EXPECT_EQ(get_all(to), get_all(from));
}

TEST_F(Copy, LargeObjectsGoInPartsAndAreWhole) {
  Options options = quick();
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = uint64_t{5} << 20;
  std::string content(12 << 20, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 2654435761u >> 24);
  put(from, "large", content);
  std::atomic<int> parts{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) { parts += operation == "write_part"; };
  for (const DigestChoice digest : {DigestChoice::crc64nvme, DigestChoice::sha256}) {
    options.digest = digest;
    options.overwrite = Overwrite::always;
    parts = 0;
    const Report report = copy(options);
    EXPECT_EQ(report.exit_code, 0) << report.message;
    EXPECT_EQ(parts, 3);
    EXPECT_EQ(get(to, "large"), content);
    EXPECT_EQ(row("large")->digest.crc64nvme, internal::crc64nvme(internal::as_bytes(content)));
    if (digest == DigestChoice::sha256) {
      EXPECT_EQ(row("large")->digest.sha256, internal::sha256(internal::as_bytes(content)));
    }
    open_destination(to)->remove("large", Context::background());
  }
}

TEST_F(Copy, InterruptedLargeObjectGoesOnWithTheMissingParts) {
  Options options = quick();
  options.concurrency = 1;
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = uint64_t{5} << 20;
  options.drain_ms = 0;
  put(from, "large", std::string(22 << 20, 'x'));
  std::atomic<int> parts{0};
  std::unique_ptr<waybill::Run> run;
  std::atomic<bool> hang{true};
  destination_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation != "write_part" || ++parts <= 2 || !hang) return;
    while (context.sleep(milliseconds(100))) {
    }
    context.check();
  };
  run = migration().start(options);
  while (parts < 3) std::this_thread::sleep_for(milliseconds(5));
  run->interrupt();
  EXPECT_EQ(run->wait().exit_code, 130);
  run.reset();
  hang = false;
  parts = 0;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(parts, 3) << "two of the five parts were written before";
  EXPECT_EQ(get(to, "large")->size(), size_t{22 << 20});
}

TEST_F(Copy, PutThenFlushThenCommit) {
  fill(300);
  std::mutex mutex;
  std::set<Key> put_keys;
  std::set<Key> flushed;
  destination_hook = [&](const std::string& operation, const Key& key, Context&) {
    std::scoped_lock lock(mutex);
    if (operation == "put_done") put_keys.insert(key);
    if (operation == "flush") flushed = put_keys;
  };
  Callbacks callbacks;
  std::atomic<int> checked{0};
  callbacks.on_progress = [&](const Snapshot& snapshot) {
    std::scoped_lock lock(mutex);
    EXPECT_LE(snapshot.items.done, static_cast<int64_t>(flushed.size()));
    ++checked;
  };
  EXPECT_EQ(migration().run(quick(), callbacks).exit_code, 0);
  EXPECT_GT(checked, 0);
}

TEST_F(Copy, AccountsHoldAtEverySnapshotAndProgressNeverFalls) {
  fill(3000);
  std::atomic<int> n{0};
  source_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation == "read" && ++n % 7 == 0) throw Error(ErrorCode::unavailable, ErrorClass::server, "x").set_retryable();
    if (operation == "read") context.sleep(milliseconds(1));
  };
  Migration moving = migration();
  const std::unique_ptr<waybill::Run> run = moving.start(quick());
  double last = 0;
  uint64_t seq = 0;
  int seen = 0;
  int live = 0;
  while (!run->wait(milliseconds(1))) {
    const Snapshot snapshot = run->snapshot();
    ASSERT_EQ(violated_invariant(snapshot), std::nullopt);
    ASSERT_GE(snapshot.seq, seq);
    seq = snapshot.seq;
    live += snapshot.items.in_progress > 0;
    if (!snapshot.progress()) continue;
    ASSERT_GE(*snapshot.progress(), last);
    last = *snapshot.progress();
    ++seen;
  }
  EXPECT_GT(seen, 5);
  EXPECT_GT(live, 0);
  EXPECT_EQ(run->wait().exit_code, 0);
}

TEST_F(Copy, PlanCountsWithoutTouchingAnything) {
  fill(10);
  put(to, "k000001", "something else entirely");
  put(from, "big", std::string(5000, 'x'));
  Options options = quick();
  options.max_size_bytes = 1000;
  const Plan plan = migration().plan(options);
  EXPECT_EQ(plan.items, 11);
  EXPECT_EQ(plan.to_create, 9);
  EXPECT_EQ(plan.occupied, 1);
  EXPECT_EQ(plan.excluded, 1);
  EXPECT_EQ(plan.bytes_to_move, 90u);
  ASSERT_EQ(plan.examples.size(), 1u);
  EXPECT_EQ(plan.examples[0].key, "k000001");
  EXPECT_EQ(get_all(to).size(), 1u);
  EXPECT_TRUE(open_tracker(ledger, OpenMode::read_only)->runs(10).empty());
}

TEST_F(Copy, ExcludedItemsAreRecordedWithTheirRule) {
  fill(3);
  put(from, "secret.tmp", "x");
  Options options = quick();
  options.exclude = {"*.tmp"};
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.discovered, 4);
  EXPECT_EQ(report.snapshot.items.excluded, 1);
  EXPECT_EQ(report.snapshot.items.eligible, 3);
  EXPECT_EQ(row("secret.tmp")->state, ItemState::excluded);
  ASSERT_TRUE(failure("secret.tmp"));
  EXPECT_EQ(failure("secret.tmp")->message, "exclude *.tmp");
  EXPECT_EQ(copy().exit_code, 0) << "without the filter it is moved";
  EXPECT_EQ(get(to, "secret.tmp"), "x");
}

TEST_F(Copy, ListingThatBreaksItsOrderStopsTheRun) {
  class Disordered final : public ScriptedSource {
   public:
    using ScriptedSource::ScriptedSource;
    std::unique_ptr<Lister> list(const ListRequest&, Context&) override {
      class Two final : public Lister {
       public:
        Page next(Context&) override {
          Page page;
          for (const char* key : {"b", "a"}) {
            Item item;
            item.id.key = key;
            item.stamp.size = 0;
            page.items.push_back(item);
          }
          page.is_last = true;
          return page;
        }
      };
      return std::make_unique<Two>();
    }
  };
  Migration moving(std::make_shared<Disordered>(open_source(from), source_hook), open_destination(to), open_tracker(ledger));
  const Report report = moving.run(quick());
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_NE(report.message.find("not in byte order"), std::string::npos) << report.message;
}

TEST_F(Copy, AListingThatMakesNoSenseEndsTheRunInsteadOfBeingWaitedFor) {
  fill(3);
  std::atomic<int> tries{0};
  source_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "list") return;
    ++tries;
    throw Error(ErrorCode::data_loss, ErrorClass::server, "the store's listing answer is not valid: a page of a proxy").set_retryable();
  };
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_NE(report.snapshot.reason.find("a page of a proxy"), std::string::npos) << report.snapshot.reason;
  EXPECT_EQ(tries, 8);
}

// A source that answers says nothing of a destination that does not.
TEST_F(Copy, OneSidesOutageIsNotMeasuredByTheOther) {
  fill(8);
  std::atomic<int> reads_failed{0};
  std::atomic<int> source_checks{0};
  std::atomic<int> puts_failed{0};
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "check" && reads_failed > 0) ++source_checks;
    if (operation == "read" && key == "k000000" && reads_failed++ == 0)
      throw Error(ErrorCode::unavailable, ErrorClass::server, "not now").set_retryable();
  };
  destination_hook = [&](const std::string& operation, const Key&, Context& context) {
    if (operation == "put") {
      while (source_checks == 0) context.sleep(std::chrono::milliseconds(1));  // the source was asked, and answered
      if (puts_failed++ < 80) throw Error(ErrorCode::unavailable, ErrorClass::network, "nobody is there").set_retryable();
    }
    if (operation == "check" && source_checks > 0 && puts_failed < 80)
      throw Error(ErrorCode::unavailable, ErrorClass::network, "nobody is there").set_retryable();
  };
  Options options = quick();
  options.max_attempts = 4;
  const Report report = copy(options);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_GT(report.snapshot.attempts_failed, 80u);
}

TEST_F(Copy, DestinationInsideTheSourceIsRefused) {
  TemporaryFolder tree;
  std::filesystem::create_directories(tree.path("a"));
  std::filesystem::create_symlink(tree.path("a"), folder.path("alias"));
  for (const std::string& to_folder : {tree.path("a"), tree.path(), folder.path("alias"), folder.path("alias/not-there-yet")}) {
    Migration moving("file://" + tree.path(), "file://" + to_folder, ledger);
    try {
      moving.run(quick());
      ADD_FAILURE() << to_folder;
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::configuration);
    }
  }
}

}  // namespace
}  // namespace waybill::testing
