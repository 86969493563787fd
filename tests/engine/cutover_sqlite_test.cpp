// SPDX-License-Identifier: Apache-2.0
//
// Cutover and rollback on a table of SQLite: what users write meanwhile stays, what was there comes back to the byte.
#include <filesystem>
#include <fstream>

#include "connectors/sql_catalog/connection.hpp"
#include "engine/cutover_support.hpp"

namespace waybill::testing {
namespace {

using sql_catalog::Connection;
using sql_catalog::Statement;

class SqliteCutovers : public Cutovers {
 protected:
  static constexpr int count = 1'200;  // more than a page of the listing, and than two batches

  void SetUp() override {
    Cutovers::SetUp();
    const std::string path = std::filesystem::path(ledger).parent_path() / "crm.db";
    std::ofstream(path, std::ios::app).close();
    users.emplace(path, Connection::Access::write, Context::background());
    run("PRAGMA synchronous = OFF");
    run("CREATE TABLE documents (id INTEGER PRIMARY KEY, url TEXT COLLATE NOCASE CHECK (length(url) <= 60), account TEXT)");
    table = open_catalog("sqlite://" + path + "?table=documents&id=id&url=url&partition=account");
    fill(count);
    run("BEGIN");
    for (int i = 0; i < count; ++i) insert(i, old_url(key(i)));
    // Several records on one file, a null, an empty one, and one that points elsewhere.
    insert(count, old_url(key(7)));
    insert(count + 1, std::nullopt);
    insert(count + 2, "");
    insert(count + 3, "https://elsewhere.example.com/x");
    run("COMMIT");
    copy_and_verify();
  }

  Migration migration() {
    Migration made = Cutovers::migration();
    made.set_catalog(table);
    return made;
  }
  void run(const std::string& sql) { users->execute(sql.c_str()); }
  void insert(int id, const std::optional<std::string>& url) {
    Statement statement(*users, "INSERT INTO documents VALUES (?1, ?2, 'account ' || (?1 % 5))");
    statement.bind(1, int64_t{id});
    statement.bind(2, url);
    statement.step();
  }
  std::vector<std::optional<std::string>> values() {
    Statement statement(*users, "SELECT url FROM documents ORDER BY id");
    std::vector<std::optional<std::string>> all;
    while (statement.step()) all.push_back(statement.optional_text(0));
    return all;
  }

  std::optional<Connection> users;
  std::shared_ptr<Catalog> table;
};

TEST_F(SqliteCutovers, every_value_is_switched_and_comes_back_but_what_users_wrote) {
  const auto before = values();
  const CutoverPlan plan = migration().plan_cutover(options());
  ASSERT_TRUE(plan.is_ready) << to_json(plan);
  EXPECT_EQ(plan.references.pending, count + 1);
  EXPECT_EQ(plan.conditional, Catalog::Conditional::exact);
  EXPECT_EQ(values(), before) << "a plan changed something";

  // Users edit after the plan: another place, another case of the same letters, null.
  run("UPDATE documents SET url = 'https://users.example.com/1' WHERE id = 1");
  run("UPDATE documents SET url = upper(url) WHERE id = 2");
  run("UPDATE documents SET url = NULL WHERE id = 3");
  run("DELETE FROM documents WHERE id = 4");
  const Report switched = migration().start_cutover(plan.hash, options(), quick())->wait();
  EXPECT_EQ(switched.snapshot.run_references.updated, count + 1 - 4) << switched.message;
  EXPECT_EQ(switched.exit_code, 3) << "edits are differences";
  auto now = values();
  const std::vector<std::optional<std::string>> edited = {"https://users.example.com/1", "OLD://K000002", std::nullopt};
  EXPECT_EQ(std::vector(now.begin() + 1, now.begin() + 4), edited);
  EXPECT_EQ(now[0], new_url(key(0)));
  EXPECT_EQ(now[4], new_url(key(5)));
  EXPECT_EQ(now[count - 1], new_url(key(7))) << "two records on one file";
  EXPECT_EQ(now.back(), "https://elsewhere.example.com/x");

  // And again before all is taken back.
  run("UPDATE documents SET url = upper(url) WHERE id = 10");
  const Report restored = migration().start_rollback({}, quick())->wait();
  EXPECT_EQ(restored.snapshot.run_references.restored, count + 1 - 5) << restored.message;
  auto want = before;
  for (size_t i = 1; i <= 3; ++i) want[i] = edited[i - 1];
  want[10] = "HTTPS://FILES.EXAMPLE.COM/K000010";
  want.erase(want.begin() + 4);
  EXPECT_EQ(values(), want);
}

TEST_F(SqliteCutovers, a_value_that_the_field_refuses_fails_alone) {
  run("CREATE TRIGGER guard BEFORE UPDATE ON documents WHEN old.id = 600 BEGIN SELECT RAISE(ROLLBACK, 'not this one'); END");
  const CutoverPlan plan = migration().plan_cutover(options());
  const Report switched = migration().start_cutover(plan.hash, options(), quick())->wait();
  EXPECT_EQ(switched.exit_code, 3) << switched.message;
  EXPECT_EQ(switched.snapshot.run_references.updated, count);
  EXPECT_EQ(switched.snapshot.run_references.failed, 1);
  const ReferenceId id{table->identity(), "600", "url"};
  const auto failed = open_tracker(ledger, OpenMode::read_only)->lookup_references({&id, 1}).front();
  ASSERT_TRUE(failed);
  EXPECT_NE(failed->reason.find("not this one"), std::string::npos) << failed->reason;
  EXPECT_EQ(values()[600], old_url(key(600)));
}

}  // namespace
}  // namespace waybill::testing
