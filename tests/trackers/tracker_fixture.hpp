// SPDX-License-Identifier: Apache-2.0
//
// A folder for ledgers that goes away with the test, the two trackers under their names, and short ways to make
// records.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "trackers/memory/memory_tracker.hpp"
#include "trackers/sqlite/sqlite_tracker.hpp"
#include "waybill/tracker.hpp"

namespace waybill::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "waybill-trackers-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline MigrationInfo migration_info(const std::string& fingerprint = "f") {
  MigrationInfo info;
  info.name = "trial";
  info.fingerprint = fingerprint;
  info.source = "source of " + fingerprint;
  info.destination = "destination of " + fingerprint;
  return info;
}

inline Batch run_batch(uint64_t run, RunState state = RunState::running, Phase phase = Phase::copy) {
  Batch batch;
  batch.run.emplace();
  batch.run->run = run;
  batch.run->state = state;
  batch.run->phase = phase;
  batch.run->started_at_ms = 1'700'000'000'000;
  return batch;
}

inline ItemRecord pending_record(const ItemId& id, uint64_t run, uint64_t size = 10) {
  ItemRecord record;
  record.id = id;
  record.stamp.size = size;
  record.run = run;
  return record;
}

inline ItemRecord copied_record(ItemRecord record) {
  record.state = ItemState::copied;
  record.basis = Basis::written;
  record.digest.crc64nvme = 0x0123456789abcdef;
  record.copied_at_ms = 1'763'600'000'000;
  record.stored.emplace();
  record.stored->size = record.stamp.size.value_or(0);
  record.stored->etag = record.stamp.etag;
  record.stored->mtime_ns = record.stamp.mtime_ns;
  record.stored->digest = record.digest;
  return record;
}

inline ItemChange change_of(ItemRecord record, uint32_t attempts = 0, uint32_t attempts_failed = 0) {
  ItemChange change;
  change.record = std::move(record);
  change.attempts = attempts;
  change.attempts_failed = attempts_failed;
  return change;
}

/// Every row, read in pages of `limit`.
inline std::vector<ScanRow> all_rows(Tracker& tracker, const Query& query = {}, size_t limit = 1000) {
  std::vector<ScanRow> rows;
  std::string resume;
  while (true) {
    ScanPage page = tracker.scan(query, resume, limit);
    EXPECT_LE(page.rows.size(), limit);
    for (ScanRow& row : page.rows) rows.push_back(std::move(row));
    if (page.is_last) return rows;
    resume = page.resume;
  }
}

/// The class of the error that `call` throws; none if it throws none.
inline ErrorClass class_thrown(const std::function<void()>& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
    if (message != nullptr) *message = error.message();
    return error.error_class();
  }
  return ErrorClass::none;
}

/// Every tracker that is built in. The ledger can be opened again where it is a file.
class TrackerTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { open(); }
  void open() {
    tracker.reset();
    tracker = is_sqlite() ? internal::open_sqlite_tracker(path(), OpenMode::create) : internal::make_memory_tracker();
  }
  /// Opens the ledger again as another process would after this one died; where it is memory, only the owner goes.
  void reopen() {
    if (is_sqlite()) {
      open();
    } else {
      tracker->release(epoch);
    }
  }
  bool is_sqlite() const { return GetParam() == "sqlite"; }
  std::string path() const { return folder / "ledger.db"; }
  void start(uint64_t run = 1) {
    tracker->bind(migration_info());
    epoch = tracker->acquire({});
    tracker->commit(epoch, run_batch(run));
  }

  TemporaryFolder folder;
  std::shared_ptr<Tracker> tracker;
  uint64_t epoch = 0;
};

}  // namespace waybill::testing
