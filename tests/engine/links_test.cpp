// SPDX-License-Identifier: Apache-2.0
//
// Sources of links: dead ones vanish alone, and what changed behind an unchanged link is found though no listing tells.
#include <set>

#include "engine/support.hpp"

namespace waybill {
namespace {

using namespace testing;

class StamplessLister final : public Lister {
 public:
  explicit StamplessLister(std::unique_ptr<Lister> inner) : inner_(std::move(inner)) {}
  Page next(Context& context) override {
    Page page = inner_->next(context);
    for (Item& item : page.items) {
      item.stamp = SourceStamp{};
      item.digest = {};
    }
    return page;
  }

 private:
  std::unique_ptr<Lister> inner_;
};

class LinkSource final : public ScriptedSource {
 public:
  LinkSource(std::shared_ptr<Source> inner, Hook hook, bool positions)
      : ScriptedSource(std::move(inner), std::move(hook)), positions_(positions) {}
  Capabilities capabilities() const override {
    Capabilities can = ScriptedSource::capabilities();
    can.lists_stamps = false;
    can.links = true;
    return can;
  }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    return std::make_unique<StamplessLister>(ScriptedSource::list(request, context));
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    const bool is_whole = offset == 0 && item.stamp.size && out.size() >= *item.stamp.size;
    if (!positions_ && !is_whole) throw Error(ErrorCode::unimplemented, ErrorClass::unsupported, "only in order");
    return ScriptedSource::read(item, offset, out, context);
  }

 private:
  const bool positions_;
};

class Links : public Stores {
 protected:
  bool positions = true;
  std::atomic<int> reads{0};
  std::atomic<int> stats{0};

  Report copy_links(const Options& options = quick()) {
    reads = stats = 0;
    return links().run(options);
  }
  Migration links() {
    const Hook counting = [this](const std::string& operation, const Key& key, Context& context) {
      reads += operation == "stream" || operation == "read" ? 1 : 0;
      stats += operation == "stat" ? 1 : 0;
      source_hook(operation, key, context);
    };
    return Migration(std::make_shared<LinkSource>(open_source(from), counting, positions),
                     std::make_shared<ScriptedDestination>(open_destination(to), destination_hook), open_tracker(ledger));
  }
};

Error refusal(ErrorClass error_class, int status) {
  return Error(ErrorCode::permission_denied, error_class, "GET link answered " + std::to_string(status))
      .set_http_status(status);
}

TEST_F(Links, LinksThatAreAllRefusedVanishEachAndStopNothing) {
  fill(30);
  for (const auto& [error_class, status] :
       std::map<ErrorClass, int>{{ErrorClass::permission, 403}, {ErrorClass::auth, 401}, {ErrorClass::missing, 410}}) {
    source_hook = [error_class = error_class, status = status](const std::string& operation, const Key&, Context&) {
      if (operation == "stream") throw refusal(error_class, status);
    };
    const Report report = copy_links();
    EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
    EXPECT_EQ(report.snapshot.items.vanished, 30);
    EXPECT_EQ(report.snapshot.items.failed, 0);
    ASSERT_TRUE(failure("k000007"));
    EXPECT_EQ(failure("k000007")->error_class, error_class);
    EXPECT_EQ(failure("k000007")->http_status, status);
    EXPECT_EQ(row("k000007")->error_class, error_class);
  }
  source_hook = [](const std::string&, const Key&, Context&) {};
  const Report report = copy_links();
  EXPECT_EQ(report.snapshot.state, RunState::completed) << "they are tried again";
  EXPECT_EQ(report.snapshot.items.done, 30);
  EXPECT_FALSE(failure("k000007"));
}

TEST_F(Links, ARetryByKeyGoesPastLinksThatAreRefused) {
  fill(3);
  source_hook = [](const std::string& operation, const Key& key, Context&) {
    if (key == "k000001" && operation != "list") throw refusal(ErrorClass::permission, 403);
  };
  EXPECT_EQ(copy_links().snapshot.items.vanished, 1);
  Options again = quick();
  again.keys = {"k000000", "k000001", "k000002"};
  again.force = true;
  const Report report = copy_links(again);
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences) << report.message;
  EXPECT_EQ(report.snapshot.items.done, 2);
  EXPECT_EQ(report.snapshot.items.vanished, 1);
  EXPECT_EQ(row("k000001")->error_class, ErrorClass::permission);
}

TEST_F(Links, WhatIsThereAlreadyIsComparedThoughNoListingTellsItsSize) {
  fill(3);
  put(to, "k000000", get(from, "k000000").value());
  put(to, "k000001", "something else");
  const Report report = copy_links();
  EXPECT_EQ(report.snapshot.items.done, 2);
  EXPECT_EQ(row("k000000")->basis, Basis::matched_checksum);
  EXPECT_EQ(row("k000001")->error_class, ErrorClass::occupied);
  EXPECT_EQ(get(to, "k000001"), "something else");
}

TEST_F(Links, WhatWasCopiedStaysWhenItsLinkDies) {
  fill(5);
  EXPECT_EQ(copy_links().snapshot.items.done, 5);
  source_hook = [](const std::string& operation, const Key& key, Context&) {
    if (operation == "stat" && key == "k000002") throw refusal(ErrorClass::permission, 403);
  };
  const Report report = copy_links();
  EXPECT_EQ(report.snapshot.items.done, 5);
  EXPECT_EQ(report.snapshot.items.vanished, 0);
  EXPECT_TRUE(row("k000002")->gone_at_source);
  EXPECT_EQ(get(to, "k000002"), std::string(10, 'c'));
  source_hook = [](const std::string&, const Key&, Context&) {};
  EXPECT_EQ(copy_links().snapshot.items.done, 5);
  EXPECT_FALSE(row("k000002")->gone_at_source);
}

TEST_F(Links, EachKnownItemIsAskedForOnceAndReadOnlyIfItChanged) {
  fill(20);
  EXPECT_EQ(copy_links().snapshot.items.created, 20);
  EXPECT_TRUE(row("k000000")->stamp.size) << "the stamp that was read";
  Report report = copy_links();
  EXPECT_EQ(report.snapshot.items.unchanged, 20);
  EXPECT_EQ(report.snapshot.items.done, 20);
  EXPECT_EQ(stats, 20);
  EXPECT_EQ(reads, 0);
  const uint64_t revision = row("k000004")->revision;
  put(from, "k000004", std::string(10, 'X'));
  report = copy_links();
  EXPECT_EQ(report.snapshot.items.updated, 1);
  EXPECT_EQ(report.snapshot.items.unchanged, 19);
  EXPECT_EQ(get(to, "k000004"), std::string(10, 'X'));
  EXPECT_EQ(row("k000004")->revision, revision + 1);
  EXPECT_EQ(copy_links().snapshot.items.unchanged, 20);
  EXPECT_EQ(reads, 0);
}

TEST_F(Links, WhatIsOnlyLookedAtIsNotCountedAsToMove) {
  fill(5);
  ASSERT_EQ(copy_links().snapshot.items.created, 5);
  put(from, "k9", "new");
  const Plan plan = links().plan(quick());
  EXPECT_EQ(plan.items, 6);
  EXPECT_EQ(plan.to_look_at, 5);
  EXPECT_EQ(plan.to_create, 1);
  EXPECT_EQ(plan.to_update + plan.to_compare, 0);
  EXPECT_EQ(plan.requests.source_looks, 5);
  EXPECT_EQ(plan.requests.reads, 1);
  EXPECT_EQ(plan.bytes_to_move, 0u) << "the listing does not tell the size of the new one";
}

// A trial goes on with items that were never moved; it neither asks about the others, nor takes them for gone.
TEST_F(Links, ATrialDoesNotAskAboutWhatWasCopiedBefore) {
  fill(10);
  Options trial = quick();
  trial.limit = 4;
  EXPECT_EQ(copy_links(trial).snapshot.items.done, 4);
  EXPECT_EQ(links().plan(trial).to_look_at, 0);
  stats = 0;
  Report report = copy_links(trial);
  EXPECT_EQ(report.snapshot.items.created, 4);
  EXPECT_EQ(stats, 0);
  EXPECT_EQ(get_all(to).size(), 8u);
  report = copy_links(trial);
  EXPECT_EQ(report.snapshot.items.created, 2) << "there are no more";
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_NE(report.snapshot.reason.find("does not ask"), std::string::npos) << report.snapshot.reason;
  for (const char* key : {"k000000", "k000005", "k000009"}) EXPECT_FALSE(row(key)->gone_at_source) << key;
  report = copy_links();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.discovered, 10);
  EXPECT_EQ(report.snapshot.items.unchanged, 10);
  EXPECT_EQ(stats, 10);
}

TEST_F(Links, AVerifiedItemStaysVerifiedWhileItDoesNotChange) {
  fill(4);
  copy_links();
  Migration migration(std::make_shared<LinkSource>(open_source(from), source_hook, true), open_destination(to),
                      open_tracker(ledger));
  EXPECT_EQ(migration.verify(VerifyLevel::checksum, quick()).snapshot.state, RunState::completed);
  EXPECT_EQ(row("k000001")->state, ItemState::verified);
  copy_links();
  EXPECT_EQ(row("k000001")->state, ItemState::verified);
  put(from, "k000001", std::string(10, 'Y'));
  copy_links();
  EXPECT_EQ(row("k000001")->state, ItemState::copied);
  EXPECT_FALSE(row("k000001")->verified_at_ms);
}

TEST_F(Links, AChangeThatCouldNotBeCopiedIsTriedAgain) {
  fill(3);
  copy_links();
  put(from, "k000001", std::string(12, 'Z'));
  destination_hook = [](const std::string& operation, const Key&, Context&) {
    if (operation == "put") throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported, "not this");
  };
  EXPECT_EQ(copy_links().snapshot.items.failed, 1);
  destination_hook = [](const std::string&, const Key&, Context&) {};
  const Report report = copy_links();
  EXPECT_EQ(report.snapshot.items.done, 3);
  EXPECT_EQ(get(to, "k000001"), std::string(12, 'Z'));
}

// A manifest gives the size; that the server gives no ranges is found out by the first read.
TEST_F(Links, AnItemThatCannotBePositionedInIsStreamed) {
  positions = false;
  const std::string content(300'000, 'q');
  put(from, "big", content);
  Options options = quick();
  options.part_threshold_bytes = 100'000;
  source_hook = [](const std::string&, const Key&, Context&) {};
  Migration migration(std::make_shared<ScriptedSource>(
                          std::make_shared<LinkSource>(open_source(from), source_hook, false), source_hook),
                      open_destination(to), open_tracker(ledger));
  EXPECT_EQ(migration.run(options).snapshot.state, RunState::completed);
  EXPECT_EQ(get(to, "big"), content);
  put(from, "big", std::string(300'001, 'r'));
  EXPECT_EQ(migration.run(options).snapshot.items.updated, 1) << "its size is known by the look";
  EXPECT_EQ(get(to, "big"), std::string(300'001, 'r'));
}

TEST_F(Links, WhatAnotherProgramCopiedCostsARequestEachAndIsCopiedAgainOnlyWhereItChanged) {
  fill(12);
  const int64_t later_ms = 4'102'444'800'000;  // the year 2100
  const std::string changed = "k000003";
  std::vector<ImportedItem> items;
  for (const auto& [key, content] : get_all(from)) {
    ImportedItem item;
    item.key = key;
    item.state = ItemState::copied;
    item.size = content.size();
    item.copied_at_ms = later_ms;
    put(to, key, content);
    items.push_back(item);
  }
  {
    Migration migration(std::make_shared<LinkSource>(open_source(from), source_hook, positions), open_destination(to), open_tracker(ledger));
    const auto import = migration.begin_import({"old.db", std::string(64, 'a'), "s1", "me@here"});
    import->add(items);
    ASSERT_EQ(import->finish().confirmed, 12);
  }
  put(from, changed, "another size than it had then");
  const Report first = copy_links();
  EXPECT_EQ(first.exit_code, 0) << first.message;
  EXPECT_EQ(first.snapshot.items.unchanged, 11);
  EXPECT_EQ(first.snapshot.items.updated, 1);
  EXPECT_EQ(stats, 12);
  EXPECT_EQ(get(to, changed), "another size than it had then");
  const Report second = copy_links();
  EXPECT_EQ(second.snapshot.items.unchanged, 12);
  EXPECT_EQ(reads, 0) << "the revision is known by now";
}

}  // namespace
}  // namespace waybill
