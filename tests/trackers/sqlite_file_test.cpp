// SPDX-License-Identifier: Apache-2.0
//
// The ledger as a file: how it is made and refused, what a reader may find, its size, and what people see in its views.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <set>

#include "trackers/sqlite/ledger_file.hpp"
#include "trackers/sqlite/schema.hpp"
#include "trackers/tracker_fixture.hpp"

namespace waybill::testing {
namespace {

using internal::open_sqlite_tracker;

class SqliteFileTest : public ::testing::Test {
 protected:
  std::string path() const { return folder / "ledger.db"; }
  void make_ledger(int n_rows = 10) {
    const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
    tracker->bind(migration_info());
    const uint64_t epoch = tracker->acquire({});
    Batch batch = run_batch(1);
    for (int i = 0; i < n_rows; ++i) {
      batch.items.push_back(change_of(copied_record(pending_record({"", "key " + std::to_string(i), ""}, 1)), 1));
    }
    tracker->commit(epoch, batch);
  }
  void execute(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  /// What the queries give, each value followed by a space.
  std::string query(std::initializer_list<const char*> queries) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open_v2(path().c_str(), &database, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    std::string found;
    const auto add = [](void* to, int count, char** values, char**) {
      for (int i = 0; i < count; ++i) *static_cast<std::string*>(to) += std::string(values[i] ? values[i] : "null") + " ";
      return 0;
    };
    for (const char* sql : queries) {
      EXPECT_EQ(sqlite3_exec(database, sql, add, &found, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    }
    sqlite3_close(database);
    return found;
  }
  /// The one line that opening ends with, and that it names the file.
  std::string refusal(OpenMode mode, ErrorClass wanted = ErrorClass::tracker) {
    std::string message = "(opened)";
    EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), mode); }, &message), wanted) << message;
    EXPECT_NE(message.find(path()), std::string::npos) << message;
    return message;
  }

  TemporaryFolder folder;
};

TEST_F(SqliteFileTest, IsForItsOwnerAlone) {
  make_ledger();
  const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
  tracker->acquire({});
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    struct stat info {};
    ASSERT_EQ(::stat((path() + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteFileTest, RefusesWhatIsNotThere) {
  EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::existing); }), ErrorClass::missing);
  EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::read_only); }), ErrorClass::missing);
  EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(folder / "no/ledger.db", OpenMode::create); }), ErrorClass::missing);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SqliteFileTest, RefusesSymbolicLinksFoldersAndFilesThatOthersCanWrite) {
  make_ledger();
  std::filesystem::rename(path(), path() + ".real");
  std::filesystem::create_symlink(path() + ".real", path());
  EXPECT_NE(refusal(OpenMode::create).find("symbolic link"), std::string::npos);
  std::filesystem::remove(path());
  std::filesystem::create_directory(path());
  EXPECT_NE(refusal(OpenMode::create).find("folder"), std::string::npos);
  std::filesystem::remove(path());
  std::filesystem::rename(path() + ".real", path());
  ASSERT_EQ(::chmod(path().c_str(), 0620), 0);
  EXPECT_NE(refusal(OpenMode::existing).find("chmod 600"), std::string::npos);
}

TEST_F(SqliteFileTest, RefusesWhatIsNoLedgerAndLeavesItAsItIs) {
  std::ofstream(path()) << std::string(10'000, 'x');
  EXPECT_NE(refusal(OpenMode::create).find("not a waybill ledger"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path()), 10'000u);
  std::filesystem::remove(path());
  execute("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
  const auto size = std::filesystem::file_size(path());
  EXPECT_NE(refusal(OpenMode::create).find("another program"), std::string::npos);
  EXPECT_NE(refusal(OpenMode::read_only).find("another program"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path()), size);
}

TEST_F(SqliteFileTest, RefusesANewerSchemaAndASchemaWithHoles) {
  make_ledger();
  const auto says = [](int64_t version) { return "PRAGMA user_version = " + std::to_string(version); };
  execute(says(internal::ledger_schema_version + 1));
  EXPECT_NE(refusal(OpenMode::existing).find("newer waybill"), std::string::npos);
  EXPECT_NE(refusal(OpenMode::read_only).find("newer waybill"), std::string::npos);
  execute(says(1));
  EXPECT_NE(refusal(OpenMode::existing).find("damaged"), std::string::npos);
  execute(says(internal::ledger_schema_version) + "; DROP TABLE segments");
  EXPECT_NE(refusal(OpenMode::existing).find("damaged"), std::string::npos);
}

TEST_F(SqliteFileTest, AFileWithoutASchemaIsNoLedgerYet) {
  std::ofstream(path()).close();
  ASSERT_EQ(::chmod(path().c_str(), 0600), 0);
  for (const OpenMode mode : {OpenMode::existing, OpenMode::read_only}) {
    EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), mode); }), ErrorClass::missing);
  }
  execute("PRAGMA journal_mode = WAL");
  EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::existing); }), ErrorClass::missing);
  EXPECT_FALSE(open_sqlite_tracker(path(), OpenMode::create)->migration());
}

TEST_F(SqliteFileTest, RefusesATruncatedFile) {
  make_ledger(2'000);
  const auto size = std::filesystem::file_size(path());
  for (const auto rest : {size - 8192, size / 2, uintmax_t{8192}, uintmax_t{4096}, uintmax_t{100}, uintmax_t{50}}) {
    std::filesystem::resize_file(path(), rest);
    EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::existing); }), ErrorClass::tracker) << rest;
    EXPECT_EQ(class_thrown([&] { open_sqlite_tracker(path(), OpenMode::read_only)->snapshot(); }), ErrorClass::tracker)
        << rest;
  }
}

// Random damage may go unseen where it hits a value; it must never be a crash, and what is thrown is an Error.
TEST_F(SqliteFileTest, SurvivesFlippedBytes) {
  make_ledger(2'000);
  std::ifstream in(path(), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 150; ++round) {
    std::string damaged = whole;
    const size_t flips = 1 + random() % 20;
    for (size_t i = 0; i < flips; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path() + suffix);
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << damaged;
    try {
      const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
      const uint64_t epoch = tracker->acquire({});
      all_rows(*tracker);
      tracker->snapshot();
      Batch batch;
      batch.items.push_back(change_of(pending_record({"", "key 77", ""}, 1)));
      tracker->commit(epoch, batch);
      tracker->claim(epoch, 10);
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
    }
  }
  EXPECT_GT(refused, 10);
}

TEST_F(SqliteFileTest, ReadOnlyWritesNothingAndFollowsAnOwner) {
  make_ledger();
  const auto files = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) names.insert(entry.path().filename());
    return names;
  };
  const auto before = files();
  const auto written = std::filesystem::last_write_time(path());
  const auto reader = open_sqlite_tracker(path(), OpenMode::read_only);
  EXPECT_EQ(reader->snapshot().items.done, 10);
  EXPECT_EQ(files(), before);
  EXPECT_EQ(std::filesystem::last_write_time(path()), written);
  EXPECT_EQ(class_thrown([&] { reader->acquire({}); }), ErrorClass::tracker);
  EXPECT_EQ(class_thrown([&] { reader->request(Verb::pause, "me"); }), ErrorClass::tracker);

  const auto owner = open_sqlite_tracker(path(), OpenMode::existing);
  const uint64_t epoch = owner->acquire({});
  Batch batch = run_batch(1);
  batch.items.push_back(change_of(pending_record({"", "one more", ""}, 1)));
  owner->commit(epoch, batch);
  EXPECT_EQ(reader->snapshot().items.discovered, 11);
  EXPECT_EQ(reader->snapshot().state, RunState::running);
}

TEST_F(SqliteFileTest, ReadsWhereTheFolderCannotBeWritten) {
  make_ledger();
  ASSERT_EQ(::chmod(path().c_str(), 0644), 0);
  ASSERT_EQ(::chmod((path() + ".lock").c_str(), 0644), 0);
  ASSERT_EQ(::chmod(folder.path().c_str(), 0555), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // Permissions mean nothing to root.
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(9);
    if (::access(folder.path().c_str(), W_OK) == 0) ::_exit(8);
    int result = 0;
    try {
      if (open_sqlite_tracker(path(), OpenMode::read_only)->snapshot().items.done != 10) result = 1;
    } catch (const Error&) {
      result = 2;
    }
    try {
      open_sqlite_tracker(path(), OpenMode::existing);
      result |= 4;
    } catch (const Error& error) {
      if (error.retryable()) result |= 4;
    }
    ::_exit(result);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ::chmod(folder.path().c_str(), 0755);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(SqliteFileTest, KnowsNetworkFilesystems) {
  EXPECT_STREQ(internal::network_filesystem(0x6969), "NFS");
  EXPECT_STREQ(internal::network_filesystem(static_cast<int32_t>(0xff534d42)), "CIFS");
  EXPECT_EQ(internal::network_filesystem(0xef53), nullptr);
  EXPECT_EQ(internal::network_filesystem(0x65735546), nullptr) << "FUSE is often a local disk";
}

TEST_F(SqliteFileTest, AnItemTakesAtMost140Bytes) {
  constexpr int n_rows = 200'000;
  std::mt19937_64 random(3);
  {
    const auto tracker = open_sqlite_tracker(path(), OpenMode::create);
    tracker->bind(migration_info());
    const uint64_t epoch = tracker->acquire({});
    tracker->commit(epoch, run_batch(1));
    for (int i = 0; i < n_rows;) {
      Batch batch;
      for (int end = i + 1'000; i < end; ++i) {
        char key[80];
        std::snprintf(key, sizeof key, "generated/folder-%06d/item-%010d-of-the-generator.bin", i / 1'000, i);
        char etag[40];
        std::snprintf(etag, sizeof etag, "%016llx%016llx", static_cast<unsigned long long>(random()),
                      static_cast<unsigned long long>(random()));
        ASSERT_EQ(std::string(key).size(), 60u) << key;
        ItemRecord record = pending_record({"", key, ""}, 1, random() % 100'000);
        record.stamp.etag = etag;
        batch.items.push_back(change_of(record));
      }
      tracker->commit(epoch, batch);
    }
    while (true) {
      Batch batch;
      for (const Claimed& claimed : tracker->claim(epoch, 1'000)) {
        ItemRecord record = copied_record(claimed.record);
        record.digest.crc64nvme = random();
        record.stored->digest = record.digest;
        record.copied_at_ms =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
                .count();
        batch.items.push_back(change_of(record, 1));
      }
      if (batch.items.empty()) break;
      tracker->commit(epoch, batch);
    }
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(tracker->snapshot().items.done, n_rows);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100));
  }
  const double bytes_per_row = static_cast<double>(std::filesystem::file_size(path())) / n_rows;
  RecordProperty("bytes_per_row", std::to_string(bytes_per_row));
  EXPECT_LE(bytes_per_row, 140.0);
}

TEST_F(SqliteFileTest, ViewsSayItInWords) {
  make_ledger(1);
  EXPECT_EQ(query({"SELECT key, state, basis, change, run, size, crc64nvme FROM item_view",
                   "SELECT run, phase, stored_state, done, new FROM run_view",
                   "SELECT frame, done FROM account_view WHERE is_total AND run IS NULL",
                   "SELECT count(*) FROM failure_view", "SELECT count(*) FROM finding_view",
                   "SELECT count(*) > 0 FROM event_view"}),
            "key 0 copied written new 1 10 0123456789abcdef 1 copy running 1 1 migration 1 0 0 0 ");
}

TEST_F(SqliteFileTest, ViewsGiveTimesAsRfc3339InUtc) {
  make_ledger(1);
  {
    const auto tracker = open_sqlite_tracker(path(), OpenMode::existing);
    const uint64_t epoch = tracker->acquire({});
    tracker->commit(epoch, run_batch(1));
    Batch batch = run_batch(1, RunState::completed_with_differences);
    batch.run->started_at_ms = 1'700'000'000'007;
    batch.run->ended_at_ms = 1'700'000'060'000;
    batch.events.push_back({0, 1'700'000'001'250, 1, EventKind::run, LogLevel::info, "seen", ""});
    ItemChange verified = change_of(copied_record(pending_record({"", "key 0", ""}, 1)));
    verified.record.state = ItemState::verified;
    verified.record.verified_at_ms = 1'763'600'000'999;  // rows hold whole seconds
    batch.items.push_back(std::move(verified));
    ItemChange failed = change_of(pending_record({"", "key 1", ""}, 1), 1, 1);
    failed.record.state = ItemState::failed;
    failed.record.error_class = ErrorClass::permission;
    failed.failure.emplace();
    failed.failure->error_class = ErrorClass::permission;
    failed.failure->at_ms = 1'700'000'002'030;
    batch.items.push_back(std::move(failed));
    tracker->commit(epoch, batch);
  }
  EXPECT_EQ(query({"SELECT copied_at, verified_at FROM item_view ORDER BY key", "SELECT at FROM failure_view",
                   "SELECT started_at, ended_at FROM run_view", "SELECT at FROM event_view WHERE text = 'seen'"}),
            "2025-11-20T00:53:20Z 2025-11-20T00:53:20Z null null 2023-11-14T22:13:22.030Z 2023-11-14T22:13:20.007Z "
            "2023-11-14T22:14:20.000Z 2023-11-14T22:13:21.250Z ");
}

}  // namespace
}  // namespace waybill::testing
