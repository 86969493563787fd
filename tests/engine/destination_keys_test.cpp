// SPDX-License-Identifier: Apache-2.0
//
// Whole runs with a key template: where items go, and what becomes of those that want one key.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/accounts_source.hpp"
#include "engine/key_template.hpp"
#include "engine/support.hpp"

namespace waybill::testing {
namespace {

constexpr const char* by_name = "uploads/{partition_name|slug}/{name}";

class DestinationKeys : public ::testing::Test {
 protected:
  std::shared_ptr<AccountsSource> accounts = std::make_shared<AccountsSource>();
  std::string to = "memory://" + unique_name("to");
  TemporaryFolder folder;
  std::string ledger = folder.path("waybill.db");
  std::string key_template = by_name;
  Hook destination_hook = [](const std::string&, const Key&, Context&) {};

  void add(const std::string& account, const Key& key, const std::string& name = "Acme") {
    accounts->files[{account, key}] = {account + " " + key, name};
  }
  Migration migration() {
    Migration result(accounts, std::make_shared<ScriptedDestination>(open_destination(to), destination_hook), open_tracker(ledger));
    if (!key_template.empty()) result.set_key_template(key_template);
    return result;
  }
  static Options quick() {
    Options options;
    options.commit_interval_ms = 10;
    options.retry_base_ms = 1;
    options.retry_cap_ms = 20;
    return options;
  }
  Report copy(const Options& options = quick()) { return migration().run(options); }
  std::optional<ItemRecord> row(const ItemId& id) { return open_tracker(ledger, OpenMode::read_only)->lookup({&id, 1}).front(); }
  static Key suffixed(const Key& key, const ItemId& id) { return internal::with_own_suffix(key, id); }
  /// What is to be at the destination: each file at the key that the ledger names.
  std::map<Key, std::string> wanted() {
    std::map<Key, std::string> all;
    for (const auto& [id, file] : accounts->files) {
      const std::optional<ItemRecord> known = row({id.first, id.second, ""});
      if (!known || known->state != ItemState::copied) continue;
      EXPECT_TRUE(all.emplace(known->destination_key, file.content).second) << known->destination_key << " is of two items";
    }
    return all;
  }
};

TEST_F(DestinationKeys, ItemsGoWhereTheTemplateSays) {
  add("001", "a/report.pdf");
  add("002", "b/report.pdf", "Söhne & Co");
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get_all(to), (std::map<Key, std::string>{{"uploads/Acme/report.pdf", "001 a/report.pdf"},
                                                     {"uploads/S_hne_Co/report.pdf", "002 b/report.pdf"}}));
  EXPECT_EQ(row({"001", "a/report.pdf", ""})->destination_key, "uploads/Acme/report.pdf");
  // Once more: nothing is moved, nothing is asked for again, and the template need not be said.
  key_template.clear();
  std::atomic<int> puts{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) { puts += operation == "put"; };
  const Report again = copy();
  EXPECT_EQ(again.snapshot.items.unchanged, 2) << again.message;
  EXPECT_EQ(puts, 0);
  key_template = "{id}";
  try {
    copy();
    ADD_FAILURE() << "a template is part of the migration's identity";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::configuration);
    EXPECT_NE(error.message().find(by_name), std::string::npos) << error.message();
  }
}

TEST_F(DestinationKeys, AllOfOneNameGetSuffixesWhateverTheOrder) {
  for (int i = 0; i < 40; ++i) {
    const std::string names[] = {"same.pdf", "other", "f" + std::to_string(i)};
    add("00" + std::to_string(i % 4), "d" + std::to_string(i) + "/" + names[i % 3]);
  }
  std::map<Key, std::string> first;
  for (unsigned order = 0; order < 4; ++order) {
    to = "memory://" + unique_name("to");
    ledger = folder.path("waybill" + std::to_string(order) + ".db");
    accounts->order = order;
    accounts->page_size = 1 + order * 7;
    // No key is anybody's before all are known.
    std::atomic<bool> is_listed{false};
    std::atomic<int> early{0};
    accounts->before_page = [&](bool is_last) { is_listed = is_listed || is_last; };
    destination_hook = [&](const std::string& operation, const Key&, Context&) { early += operation == "put" && !is_listed; };
    const Report report = copy();
    ASSERT_EQ(report.exit_code, 0) << report.message;
    EXPECT_EQ(early, 0);
    const std::map<Key, std::string> there = get_all(to);
    EXPECT_EQ(there, wanted());
    EXPECT_EQ(there.size(), 40u);
    EXPECT_FALSE(there.contains("uploads/Acme/same.pdf"));
    EXPECT_TRUE(there.contains(suffixed("uploads/Acme/same.pdf", {"000", "d0/same.pdf", ""})));
    EXPECT_TRUE(there.contains("uploads/Acme/f2"));
    if (order == 0) first = there;
    EXPECT_EQ(there, first) << order;
  }
}

TEST_F(DestinationKeys, WhatIsCopiedStaysAndALaterOneGetsTheSuffix) {
  add("001", "a/x.txt");
  ASSERT_EQ(copy().exit_code, 0);
  add("001", "b/x.txt");
  add("001", "c/x.txt");
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get_all(to), (std::map<Key, std::string>{{"uploads/Acme/x.txt", "001 a/x.txt"},
                                                     {suffixed("uploads/Acme/x.txt", {"001", "b/x.txt", ""}), "001 b/x.txt"},
                                                     {suffixed("uploads/Acme/x.txt", {"001", "c/x.txt", ""}), "001 c/x.txt"}}));
  // Its new content goes to its old place, though another one would like to be there.
  accounts->files[{"001", "a/x.txt"}].content = "new content";
  add("001", "d/x.txt");
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get(to, "uploads/Acme/x.txt"), "new content");
  EXPECT_EQ(get_all(to), wanted());
}

TEST_F(DestinationKeys, ARenamedAccountKeepsItsPath) {
  add("001", "a.txt", "Old name");
  ASSERT_EQ(copy().exit_code, 0);
  for (auto& [id, file] : accounts->files) file = {"changed", "New name"};
  add("001", "b.txt", "New name");
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get_all(to), (std::map<Key, std::string>{{"uploads/Old_name/a.txt", "changed"}, {"uploads/New_name/b.txt", "001 b.txt"}}));
}

TEST_F(DestinationKeys, WithItsIdInTheTemplateNoItemWaits) {
  key_template = "{partition}/{id}-{name}";
  for (int i = 0; i < 6; ++i) add("001", "d" + std::to_string(i) + "/x");
  accounts->page_size = 2;
  std::atomic<int> puts{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) { puts += operation == "put"; };
  // The last page comes only once something has been written.
  accounts->before_page = [&](bool is_last) {
    while (is_last && puts == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get_all(to), wanted());
  EXPECT_EQ(get_all(to).size(), 6u);
}

TEST_F(DestinationKeys, AFieldThatIsEmptyFailsItsItemAlone) {
  add("001", "a", "Acme");
  add("002", "b", "");
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  const std::optional<ItemRecord> refused = row({"002", "b", ""});
  EXPECT_EQ(refused->state, ItemState::failed);
  EXPECT_EQ(refused->error_class, ErrorClass::unsupported);
  Query query;
  query.partition = "002";
  EXPECT_NE(open_tracker(ledger)->scan(query, "", 1).rows.front().failure->message.find("{partition_name}"), std::string::npos);
  EXPECT_EQ(get_all(to).size(), 1u);
  // With its name, also a retry of failed items alone finds its way.
  accounts->files[{"002", "b"}].account_name = "Beta";
  Options failed = quick();
  failed.failed_only = true;
  EXPECT_EQ(copy(failed).exit_code, 0);
  EXPECT_EQ(get(to, "uploads/Beta/b"), "002 b");
}

TEST_F(DestinationKeys, AFileAndAFolderOfOneName) {
  TemporaryFolder tree;
  to = "file://" + tree.path();
  key_template = "{key}";
  add("001", "a");
  add("001", "a/b");
  add("002", "a/c/d");
  add("002", "a!");
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get_all(to), (std::map<Key, std::string>{{suffixed("a", {"001", "a", ""}), "001 a"},
                                                     {"a!", "002 a!"},
                                                     {"a/b", "001 a/b"},
                                                     {"a/c/d", "002 a/c/d"}}));
  // A file that is there already stays a file: what would need a folder in its place says so.
  add("003", "a!/x");
  const Report report = copy();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(row({"003", "a!/x", ""})->error_class, ErrorClass::collision);
  EXPECT_EQ(get(to, "a!"), "002 a!");
}

TEST_F(DestinationKeys, VerifyComparesByTheKeysThatItemsWentTo) {
  for (int i = 0; i < 30; ++i) add("00" + std::to_string(i % 2), "d" + std::to_string(i) + "/f" + std::to_string(i / 2));
  ASSERT_EQ(copy().exit_code, 0);
  Report report = migration().verify(VerifyLevel::checksum, quick());
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.verified, 30);

  const Key lost = suffixed("uploads/Acme/f3", {"000", "d6/f3", ""});
  ASSERT_TRUE(get(to, lost));
  open_destination(to)->remove(lost, Context::background());
  put(to, "uploads/Acme/f3", "nobody's");
  put(to, "zzz", "nobody's");
  report = migration().verify(VerifyLevel::checksum, quick());
  EXPECT_EQ(report.exit_code, 3);
  std::map<std::string, std::string> found;
  for (const Finding& finding : open_tracker(ledger)->findings(report.snapshot.run, 0, 100)) {
    found[to_string(finding.kind) + std::string(" ") + finding.id.partition] += finding.id.key + ";";
  }
  EXPECT_EQ(found, (std::map<std::string, std::string>{{"missing 000", "d6/f3;"}, {"extra ", "uploads/Acme/f3;zzz;"}}));

  // What is extra goes, unless an item has come to be of that key since: and a key of an item never is extra.
  RemovalOptions all;
  all.max_share = 1;
  accounts->files[{"extra", "uploads/Acme/f3"}] = {"at the source by that key, and going elsewhere", "Acme"};
  const RemovalPlan plan = migration().plan_removal(all);
  EXPECT_EQ(plan.items, 2);
  const RemovalReport removed = migration().remove(all, plan.hash, "tester@host");
  EXPECT_EQ(removed.removed, 2);
  EXPECT_EQ(removed.kept, 0);
  EXPECT_EQ(get_all(to).size(), 29u);
  Options repair = quick();
  repair.findings_of = report.snapshot.run;
  EXPECT_EQ(copy(repair).exit_code, 0);
  EXPECT_TRUE(get(to, lost));
}

TEST_F(DestinationKeys, VerifyFindsOrphansBothWays) {
  for (const char* text : {by_name, ""}) {
    SCOPED_TRACE(text);
    key_template = text;
    to = "memory://" + unique_name("to");
    ledger = folder.path(unique_name("waybill.db"));
    accounts->files.clear();
    for (int i = 0; i < 20; ++i) add("00" + std::to_string(i % 2), "f" + std::to_string(i));
    ASSERT_EQ(copy().exit_code, 0);
    accounts->files.erase({"001", "f7"});
    for (int i = 0; i < 10; ++i) add("002", "new" + std::to_string(i));
    put(to, "nobody's", "x");
    const Report report = migration().verify(VerifyLevel::checksum, quick());
    EXPECT_EQ(report.exit_code, 3);
    std::map<std::string, int> found;
    for (const Finding& finding : open_tracker(ledger)->findings(report.snapshot.run, 0, 100)) {
      ++found[to_string(finding.kind) + std::string(" ") + finding.id.partition + (finding.kind == FindingKind::missing ? "" : finding.id.key)];
    }
    std::map<std::string, int> wanted = {{"missing 002", 10}, {"gone 001f7", 1}};
    if (!key_template.empty()) wanted["extra nobody's"] = 1;  // without, the listings are in no order to see it by
    EXPECT_EQ(found, wanted);
  }
}

TEST_F(DestinationKeys, TheSourceIsDeletedOnlyWhereItsCopyIsAtItsKey) {
  add("001", "a/x");
  add("001", "b/x");
  ASSERT_EQ(copy().exit_code, 0);
  ASSERT_EQ(migration().verify(VerifyLevel::content, quick()).exit_code, 0);
  open_destination(to)->remove(suffixed("uploads/Acme/x", {"001", "b/x", ""}), Context::background());
  RemovalOptions source;
  source.kind = RemovalKind::source;
  const RemovalReport report = migration().remove(source, migration().plan_removal(source).hash, "tester@host");
  EXPECT_EQ(report.removed, 1);
  EXPECT_EQ(report.kept, 1);
  EXPECT_TRUE(accounts->files.contains({"001", "b/x"}));
  EXPECT_FALSE(accounts->files.contains({"001", "a/x"}));
}

TEST_F(DestinationKeys, ThePlanShowsCollisionsAndRecordsNothing) {
  for (int i = 0; i < 5; ++i) add("001", std::to_string(i) + "/x.pdf");
  add("001", "y");
  add("002", "1/y");
  add("002", "z");
  Migration unknown(accounts, open_destination(to), folder.path("never.db"));
  unknown.set_key_template(by_name);
  Plan plan = unknown.plan(quick());
  EXPECT_EQ(plan.collisions, 2);
  EXPECT_EQ(plan.items_in_collisions, 7);
  ASSERT_EQ(plan.collision_examples.size(), 7u);
  for (const Plan::Collision& one : plan.collision_examples) EXPECT_EQ(one.destination_key, suffixed(one.wanted, one.id));
  EXPECT_NE(to_json(plan).find("\"collisions\":2"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder.path("never.db")));

  // A run does what the plan has shown; after it only who comes anew is one.
  ASSERT_EQ(copy().exit_code, 0);
  for (const Plan::Collision& one : plan.collision_examples) EXPECT_TRUE(get(to, one.destination_key)) << one.destination_key;
  add("002", "2/z");
  accounts->files.erase({"002", "z"});
  plan = migration().plan(quick());
  EXPECT_EQ(plan.collisions, 1) << "what is at the destination is in the way, though it is gone at the source";
  ASSERT_EQ(plan.items_in_collisions, 1);
  EXPECT_EQ(plan.collision_examples.front().wanted, "uploads/Acme/z");
}

TEST_F(DestinationKeys, AnInterruptedRunGivesTheSameKeys) {
  for (int i = 0; i < 60; ++i) add("001", "d" + std::to_string(i) + "/x" + std::to_string(i % 20));
  ASSERT_EQ(copy().exit_code, 0);
  const std::map<Key, std::string> whole = get_all(to);
  for (const bool is_while_listing : {true, false}) {
    to = "memory://" + unique_name("to");
    ledger = folder.path(is_while_listing ? "listing.db" : "moving.db");
    std::shared_ptr<waybill::Run> run;
    std::atomic<bool> is_due{false};
    std::atomic<int> calls{0};
    accounts->before_page = [&](bool) { is_due = is_due || (is_while_listing && ++calls == 7); };
    destination_hook = [&](const std::string& operation, const Key&, Context&) { is_due = is_due || (operation == "put" && ++calls == 7); };
    run = migration().start(quick());
    while (!is_due && !run->wait(std::chrono::milliseconds(1))) continue;
    run->interrupt();
    run->wait();
    run.reset();
    accounts->before_page = [](bool) {};
    destination_hook = [](const std::string&, const Key&, Context&) {};
    accounts->order = 9;
    ASSERT_EQ(copy().exit_code, 0);
    EXPECT_EQ(get_all(to), whole) << is_while_listing;
  }
}

TEST_F(DestinationKeys, AnUploadIsGoneOnWithAtItsKey) {
  constexpr size_t part_size = size_t{5} << 20;
  add("001", "a/large");
  accounts->files.begin()->second.content = std::string(2 * part_size, 'a') + "end";
  Options options = quick();
  options.concurrency = 1;
  options.part_threshold_bytes = options.part_size_bytes = part_size;
  options.drain_ms = 0;
  std::atomic<int> parts{0};
  destination_hook = [&](const std::string& operation, const Key& key, Context& context) {
    if (operation != "write_part") return;
    EXPECT_EQ(key, "uploads/Acme/large");
    if (++parts < 2) return;
    while (context.sleep(std::chrono::milliseconds(50))) continue;
    context.check();
  };
  {
    const std::unique_ptr<waybill::Run> run = migration().start(options);
    const auto recorded = [&] { return open_tracker(ledger, OpenMode::read_only)->uploads(); };
    while (recorded().empty() || recorded().front().parts.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    run->interrupt();
    run->wait();
  }
  parts = 0;
  destination_hook = [&](const std::string& operation, const Key&, Context&) { parts += operation == "write_part"; };
  ASSERT_EQ(copy(options).exit_code, 0);
  EXPECT_EQ(parts, 2) << "the part that was recorded is not written again";
  EXPECT_EQ(get_all(to), wanted());
}

TEST_F(DestinationKeys, ImportedItemsStayWhereTheOtherProgramPutThem) {
  add("", "a/x");
  add("", "b/x");
  put(to, "uploads/Other_Name/x", " a/x");
  Migration job = migration();
  {
    const std::unique_ptr<Import> import = job.begin_import({"old.db", std::string(64, 'a'), "s1", "tester@host"});
    ImportedItem item;
    item.key = "a/x";
    item.state = ItemState::copied;
    item.size = 4;
    item.copied_at_ms = 1;
    item.destination_key = "uploads/Other_Name/x";
    import->add({&item, 1});
    EXPECT_EQ(import->finish().confirmed, 1);
  }
  EXPECT_EQ(row({"", "a/x", ""})->destination_key, "uploads/Other_Name/x");
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_EQ(get_all(to), (std::map<Key, std::string>{{"uploads/Acme/x", " b/x"}, {"uploads/Other_Name/x", " a/x"}}));
}

TEST_F(DestinationKeys, AnotherItemAtTheKeyOfAnIdIsACollision) {
  key_template = "{id}";
  add("", "b");
  const Key key = internal::short_id({"", "b", ""});
  put(to, key, "of a");
  Migration job = migration();
  {
    const std::unique_ptr<Import> import = job.begin_import({"old.db", std::string(64, 'a'), "s1", "tester@host"});
    ImportedItem item;
    item.key = "a";
    item.state = ItemState::copied;
    item.size = 4;
    item.destination_key = key;
    import->add({&item, 1});
    import->finish();
  }
  EXPECT_EQ(copy().exit_code, 3);
  EXPECT_EQ(row({"", "b", ""})->error_class, ErrorClass::collision);
  EXPECT_EQ(get(to, key), "of a");
}

}  // namespace
}  // namespace waybill::testing
