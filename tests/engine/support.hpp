// SPDX-License-Identifier: Apache-2.0
//
// What the tests of whole runs share: stores in memory, a ledger, and runs between them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "support/scripted.hpp"
#include "waybill/waybill.hpp"

namespace waybill::testing {

inline std::string unique_name(const char* what) {
  static std::atomic<int> next{0};
  return std::string(what) + "-" + std::to_string(getpid()) + "-" + std::to_string(next++);
}

/// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(std::filesystem::temp_directory_path() / unique_name("waybill-test")) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string& name = "") const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline void put(const std::string& url, const Key& key, const std::string& content) {
  const auto bytes = internal::as_bytes(content);
  Digest digest;
  digest.crc64nvme = internal::crc64nvme(bytes);
  open_destination(url)->put(key, Body(bytes, digest), WriteOptions{}, Context::background());
}

inline std::optional<std::string> get(const std::string& url, const Key& key) {
  const auto store = open_source(url);
  const std::optional<Item> item = store->stat(ItemId{"", key, ""}, Context::background());
  if (!item) return std::nullopt;
  std::string content(item->stamp.size.value_or(0), '\0');
  store->read(*item, 0, std::as_writable_bytes(std::span<char>(content)), Context::background());
  return content;
}

inline std::map<Key, std::string> get_all(const std::string& url) {
  std::map<Key, std::string> all;
  const auto store = open_source(url);
  const auto lister = store->list({}, Context::background());
  for (bool is_last = false; !is_last;) {
    const Page page = lister->next(Context::background());
    is_last = page.is_last;
    for (const Item& item : page.items) all[item.key()] = *get(url, item.key());
  }
  return all;
}

/// Two stores in memory, a ledger on disk, and hooks into both stores.
class Stores : public ::testing::Test {
 protected:
  const std::string from = "memory://" + unique_name("from");
  const std::string to = "memory://" + unique_name("to");
  TemporaryFolder folder;
  const std::string ledger = folder.path("waybill.db");
  Hook source_hook = [](const std::string&, const Key&, Context&) {};
  Hook destination_hook = [](const std::string&, const Key&, Context&) {};
  std::shared_ptr<Transform> transform;

  Migration migration() {
    Migration result(std::make_shared<ScriptedSource>(open_source(from), source_hook),
                     std::make_shared<ScriptedDestination>(open_destination(to), destination_hook), open_tracker(ledger));
    if (transform) result.set_transform(transform);
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
  void fill(int count, size_t size = 10) {
    for (int i = 0; i < count; ++i) {
      char key[32];
      std::snprintf(key, sizeof key, "k%06d", i);
      put(from, key, std::string(size, static_cast<char>('a' + i % 26)));
    }
  }
  std::optional<ItemRecord> row(const Key& key) {
    const ItemId id{"", key, ""};
    return open_tracker(ledger, OpenMode::read_only)->lookup({&id, 1}).front();
  }
  std::optional<Failure> failure(const Key& key) {
    Query query;
    query.prefix = key;
    const ScanPage page = open_tracker(ledger, OpenMode::read_only)->scan(query, "", 1);
    return page.rows.empty() ? std::nullopt : page.rows.front().failure;
  }
};

}  // namespace waybill::testing
