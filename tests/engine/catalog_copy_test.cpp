// SPDX-License-Identifier: Apache-2.0
//
// Two phases over a catalog source: what is copied is what references point at, also after some of them were switched.

#include <filesystem>
#include <fstream>

#include "connectors/sql_catalog/connection.hpp"
#include "engine/cutover_support.hpp"

namespace waybill::testing {
namespace {

class CatalogCopies : public Cutovers {
 protected:
  Migration migration() {
    const auto contents = std::make_shared<LinkedSource>(open_source(from), source_hook);
    Migration result(open_catalog_source(catalog, {contents}), open_destination(to), open_tracker(ledger));
    result.set_catalog(catalog);
    result.set_key_template("files/{id}");
    return result;
  }

  void back_up(int count) {
    fill(count);
    for (int i = 0; i < count; ++i) catalog->put(record(i), {old_url(key(i)), "account " + std::to_string(i % 5), "", {}});
    ASSERT_EQ(migration().run(quick()).exit_code, 0);
    verify();
  }
  void verify() { ASSERT_EQ(migration().verify(VerifyLevel::checksum, quick()).exit_code, 0); }
  CutoverPlan plan() { return migration().plan_cutover(options()); }
  Report cut_over(uint64_t canary = 0) {
    CutoverOptions cutover = options();
    cutover.canary = canary;
    return migration().start_cutover(plan().hash, cutover, quick())->wait();
  }
  Report roll_back() { return migration().start_rollback({}, quick())->wait(); }

  std::optional<ItemRecord> item(const std::string& partition, const Key& key) {
    const ItemId id{partition, key, ""};
    return open_tracker(ledger, OpenMode::read_only)->lookup({&id, 1}).front();
  }
};

TEST_F(CatalogCopies, WhatWasSwitchedStandsForItsOldItem) {
  back_up(20);
  ASSERT_EQ(cut_over(7).snapshot.references.updated, 7);
  const Report again = migration().run(quick());
  EXPECT_EQ(again.exit_code, 0) << again.message;
  EXPECT_EQ(again.snapshot.migration_items.discovered, 20) << "no new value became an item";
  EXPECT_EQ(again.snapshot.items.created, 0);
  EXPECT_FALSE(item("account 0", old_url(key(0))).value().gone_at_source) << "its reference is still there";
  verify();
  const Report rest = cut_over();
  EXPECT_EQ(rest.exit_code, 0) << rest.message;
  EXPECT_EQ(rest.snapshot.references.updated, 20);
  EXPECT_EQ(migration().run(quick()).snapshot.migration_items.discovered, 20);
  ASSERT_EQ(roll_back().exit_code, 0);
  EXPECT_EQ(holding(old_url), 20);
  EXPECT_EQ(migration().run(quick()).snapshot.migration_items.discovered, 20);
}

TEST_F(CatalogCopies, AnOpenSwitchStandsForItsOldItemEitherWay) {
  back_up(4);
  // The update is made, and nobody hears of it: the run ends amid the switch.
  catalog->set_hook([this](const std::string& step, const std::string&, Context& context) {
    if (step != "answer") return;
    while (context.sleep(std::chrono::milliseconds(10))) continue;
    throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "the run stops");
  });
  auto run = migration().start_cutover(plan().hash, options(), quick());
  while (catalog->writes() < 4) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  run->interrupt();
  run->wait();
  run.reset();
  catalog->set_hook(nullptr);
  ASSERT_EQ(open_tracker(ledger, OpenMode::read_only)->snapshot().references.intended, 4);
  const Plan plan = migration().plan(quick());
  EXPECT_EQ(plan.items, 4);
  EXPECT_EQ(plan.to_create, 0);
}

TEST_F(CatalogCopies, ACopiedRecordAtTheNewPlaceIsExcludedAndSaysSo) {
  back_up(3);
  ASSERT_EQ(cut_over().exit_code, 0);
  const std::string made = catalog->value(record(1)).value();
  catalog->put("clone", {made, "account 1", "", {}});       // a user has copied the record
  catalog->set(record(2), "old://" + key(0));               // and set another one to an old value by hand
  const Report again = migration().run(quick());
  EXPECT_EQ(again.exit_code, 0) << again.message;
  const std::optional<ItemRecord> clone = item("account 1", made);
  ASSERT_TRUE(clone);
  EXPECT_EQ(clone->state, ItemState::excluded);
  EXPECT_TRUE(item("account 2", old_url(key(0)))) << "a value of its own again is an item of its own";
  EXPECT_EQ(again.snapshot.items.excluded, 1);
}

TEST_F(CatalogCopies, ItsUrlIsKeptInTheLedgerWithoutSecrets) {
  const std::string folder_url = "file://" + folder.path("old");
  std::filesystem::create_directory(folder.path("old"));
  std::ofstream(folder.path("old/a")) << "content";
  const std::string database = folder.path("crm.db");
  std::ofstream(database).close();
  {
    using sql_catalog::Connection;
    Connection users(database, Connection::Access::write, Context::background());
    users.execute("CREATE TABLE d (id TEXT PRIMARY KEY, url TEXT)");
    users.execute(("INSERT INTO d VALUES ('1', '" + folder_url + "/a')").c_str());
  }
  const std::string url = "sqlite://" + database + "?table=d&id=id&url=url&contents=file%3A%2F%2F" + folder.path("old");
  Migration moving(url, to, ledger);
  moving.set_key_template("{name}");
  EXPECT_EQ(moving.run(quick()).exit_code, 0);
  const MigrationInfo info = open_tracker(ledger, OpenMode::read_only)->migration().value();
  Migration again(info.source_url, info.destination_url, ledger);
  EXPECT_EQ(again.run(quick()).snapshot.migration_items.discovered, 1);
}

}  // namespace
}  // namespace waybill::testing
