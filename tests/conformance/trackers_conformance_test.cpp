// SPDX-License-Identifier: Apache-2.0
//
// The built-in trackers under the conformance suite.
#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "conformance/conformance.hpp"
#include "waybill/connectors.hpp"

namespace waybill::conformance {

namespace {

namespace fs = std::filesystem;

class SqliteFixture final : public TrackerFixture {
 public:
  SqliteFixture() {
    std::string pattern = (fs::temp_directory_path() / "waybill-ledger-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), pattern);
    folder_ = pattern;
  }
  ~SqliteFixture() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  std::shared_ptr<Tracker> open() override { return open_tracker(path()); }
  std::shared_ptr<Tracker> open_read_only() override { return open_tracker(path(), OpenMode::read_only); }

 private:
  std::string path() const { return (folder_ / "a ledger.db").string(); }
  fs::path folder_;
};

class MemoryFixture final : public TrackerFixture {
 public:
  std::shared_ptr<Tracker> open() override {
    if (std::exchange(is_open_, true)) return nullptr;
    return open_tracker("memory:");
  }
  bool is_durable() const override { return false; }

 private:
  bool is_open_ = false;
};

}  // namespace

WAYBILL_CONFORMANCE_TRACKER(Sqlite, SqliteFixture);
WAYBILL_CONFORMANCE_TRACKER(Memory, MemoryFixture);

}  // namespace waybill::conformance
