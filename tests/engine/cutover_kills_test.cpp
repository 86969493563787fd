// SPDX-License-Identifier: Apache-2.0
//
// A cutover and a rollback of records in a SQLite database, killed at drawn steps all the way and carried on with. The
// database itself keeps a log of every update, by a trigger.

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include <fstream>

#include "base/random.hpp"
#include "base/uri.hpp"
#include "engine/support.hpp"

namespace waybill::testing {
namespace {

constexpr int n_records = 300;
constexpr int n_kills = 12;

class CutoverKills : public ::testing::Test {
 protected:
  TemporaryFolder folder;
  sqlite3* database_ = nullptr;
  internal::Random random{std::getenv("WAYBILL_SEED") != nullptr ? std::strtoull(std::getenv("WAYBILL_SEED"), nullptr, 10) : 20261121};
  std::map<std::string, std::string> original;
  std::map<std::string, std::string> edited;  // by users, since

  void SetUp() override {
    sqlite3_open(folder.path("crm.db").c_str(), &database_);
    execute("PRAGMA journal_mode = WAL");
    execute("CREATE TABLE documents (id TEXT PRIMARY KEY, account TEXT, url TEXT)");
    execute("CREATE TABLE log (n INTEGER PRIMARY KEY, id TEXT, old TEXT, new TEXT)");
    execute("CREATE TRIGGER logged AFTER UPDATE OF url ON documents BEGIN INSERT INTO log (id, old, new) VALUES (old.id, old.url, new.url); END");
    std::filesystem::create_directory(folder.path("files"));
    execute("BEGIN");
    for (int i = 0; i < n_records; ++i) {
      const std::string key = "file " + std::to_string(i / 2) + ".pdf";  // two records on one
      std::ofstream(folder.path("files/" + key)) << "content of " << key;
      const std::string id = "rec" + std::to_string(1000 + i);
      original[id] = "old://" + key;
      execute("INSERT INTO documents VALUES ('" + id + "', 'account " + std::to_string(i % 7) + "', 'old://" + key + "')");
    }
    execute("COMMIT");
  }
  void TearDown() override { sqlite3_close(database_); }

  void execute(const std::string& sql) {
    char* message = nullptr;
    ASSERT_EQ(sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << sql << ": " << (message ? message : "");
  }
  std::vector<std::vector<std::string>> query(const std::string& sql) {
    std::vector<std::vector<std::string>> rows;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sql;
    while (sqlite3_step(statement) == SQLITE_ROW) {
      auto& row = rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(statement); ++i) row.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(statement, i)));
    }
    sqlite3_finalize(statement);
    return rows;
  }

  void edit(const std::string& id) {
    edited[id] = "edited by a user";
    execute("UPDATE documents SET url = 'edited by a user' WHERE id = '" + id + "'");
  }

  struct Ended {
    bool is_killed = false;
    int exit_code = 0;
    std::string output;
  };
  Ended process(const std::string& phase, const std::string& hash, const std::string& kill) {
    int pipes[2];
    EXPECT_EQ(::pipe(pipes), 0);
    const std::string program = std::string(WAYBILL_TEST_PROGRAM_DIR) + "/cutover_program";
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(pipes[1], 1);
      ::dup2(pipes[1], 2);
      ::close(pipes[0]);
      ::execl(program.c_str(), program.c_str(), folder.path().c_str(), phase.c_str(), hash.c_str(), kill.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(pipes[1]);
    Ended ended;
    char buffer[4096];
    for (ssize_t n; (n = ::read(pipes[0], buffer, sizeof buffer)) > 0;) ended.output.append(buffer, static_cast<size_t>(n));
    ::close(pipes[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ended.is_killed = WIFSIGNALED(status);
    ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ended;
  }
  std::string plan() {
    const Ended ended = process("plan", "-", "none:0");
    EXPECT_EQ(ended.exit_code, 0) << ended.output;
    return ended.output.substr(0, 16);
  }

  /// Nothing is lost at any instant: what a field holds is one of three things, and what we wrote can be taken back.
  void check_values() {
    const auto tracker = open_tracker(folder.path("ledger.db"), OpenMode::read_only);
    const ReferenceRecordPage first = tracker->scan_references({}, "", 1);
    ASSERT_FALSE(first.references.empty());
    ReferenceId id = first.references.front().id;
    for (const auto& row : query("SELECT id, url FROM documents")) {
      const std::string& old = original[row[0]];
      const std::string ours = "new://host/" + internal::encode_path(old.substr(6));
      id.record = row[0];
      const std::vector<JournalRecord> journal = tracker->journal(id);
      for (const JournalRecord& entry : journal) {
        ASSERT_EQ(entry.old, old) << row[0] << ": nothing but the original was ever journalled as old";
      }
      if (edited.contains(row[0])) {
        ASSERT_EQ(row[1], edited[row[0]]);
      } else if (row[1] == ours) {
        ASSERT_FALSE(journal.empty()) << row[0] << " was switched without a journal";
      } else {
        ASSERT_EQ(row[1], old);
      }
    }
    ASSERT_EQ(violated_invariant(tracker->snapshot()), std::nullopt);
  }

  /// Kills the phase again and again, then lets it end. How often it was killed.
  int carry_through(const std::string& phase, const std::string& hash, std::string& message) {
    const char* const steps[] = {"updating", "updated", "reading", "read", "list"};
    int killed = 0;
    for (int i = 0; i < n_kills; ++i) {
      // The listing comes last, when everything is switched.
      const std::string step = steps[random.below(phase == "cutover" && i >= n_kills * 3 / 4 ? 5 : 4)];
      const std::string kill = step + ":" + std::to_string(step == "list" ? 1 : 1 + random.below(4));
      const Ended ended = process(phase, hash, kill);
      if (!ended.is_killed) {
        message = ended.output;
        return killed;  // it came to its end first
      }
      ++killed;
      check_values();
      if (HasFatalFailure()) {
        ADD_FAILURE() << phase << " killed at " << kill;
        return killed;
      }
      if (i % 4 == 1 && edited.size() < 4) {
        // Somebody works with a record that is not switched yet, or is.
        const auto rows = query("SELECT id FROM documents WHERE url <> 'edited by a user' ORDER BY id");
        edit(rows[random.below(rows.size())][0]);
      }
    }
    const Ended ended = process(phase, hash, "none:0");
    message = ended.output;
    EXPECT_FALSE(ended.is_killed);
    return killed;
  }
};

TEST_F(CutoverKills, NothingIsLostNothingIsWrittenTwice) {
  ASSERT_EQ(process("backup", "-", "none:0").exit_code, 0);
  const std::string hash = plan();
  std::string message;
  const int in_cutover = carry_through("cutover", hash, message);
  EXPECT_GE(in_cutover, n_kills / 2) << message;
  check_values();
  const size_t edited_first = edited.size();
  EXPECT_GE(edited_first, 1u);
  for (const auto& row : query("SELECT id, url FROM documents")) {
    const std::string ours = "new://host/" + internal::encode_path(original[row[0]].substr(6));
    EXPECT_EQ(row[1], edited.contains(row[0]) ? edited[row[0]] : ours) << message;
  }
  EXPECT_TRUE(query("SELECT id FROM log WHERE new LIKE 'new://%' GROUP BY id HAVING count(*) > 1").empty());

  const int in_rollback = carry_through("rollback", "-", message);
  EXPECT_GE(in_rollback, n_kills / 2) << message;
  check_values();
  for (const auto& row : query("SELECT id, url FROM documents")) {
    EXPECT_EQ(row[1], edited.contains(row[0]) ? edited[row[0]] : original[row[0]]) << message;
  }
  EXPECT_TRUE(query("SELECT id FROM log WHERE new LIKE 'old://%' GROUP BY id HAVING count(*) > 1").empty());
  EXPECT_EQ(query("SELECT count(*) FROM log WHERE old LIKE 'edited%'")[0][0], "0") << "an edit was overwritten";
}

}  // namespace
}  // namespace waybill::testing
