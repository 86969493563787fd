// SPDX-License-Identifier: Apache-2.0
//
// Items of another program's ledger: a claim is a claim until the destination shows it, and a run carries on from there.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>

#include "engine/support.hpp"
#include "support/memory_catalog.hpp"

namespace waybill::testing {
namespace {

constexpr int64_t year_2020_ms = 1'577'836'800'000;
constexpr int64_t day_ms = 86'400'000;

/// Between folders: times of modification without digests in listings, as with most pairs of stores.
class Importing : public ::testing::Test {
 protected:
  TemporaryFolder from;
  TemporaryFolder to;
  TemporaryFolder folder;
  const std::string ledger = folder.path("waybill.db");
  std::atomic<int> reads{0};

  Migration migration() {
    const Hook count = [this](const std::string& operation, const Key&, Context&) {
      if (operation == "read" || operation == "stream") ++reads;
    };
    return Migration(std::make_shared<ScriptedSource>(open_source(from.path()), count), open_destination(to.path()), open_tracker(ledger));
  }
  static void write(const std::string& path, const std::string& content, int64_t modified_ms = year_2020_ms) {
    FILE* file = fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    fwrite(content.data(), 1, content.size(), file);
    fclose(file);
    const timespec time{modified_ms / 1000, 0};
    const timespec times[] = {time, time};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  static ImportedItem claim(const Key& key, std::optional<uint64_t> size, std::optional<int64_t> copied_at_ms = year_2020_ms + day_ms) {
    ImportedItem item;
    item.key = key;
    item.state = ItemState::copied;
    item.size = size;
    item.copied_at_ms = copied_at_ms;
    item.origin = "{\"key\":\"" + key + "\"}";
    return item;
  }
  ImportReport import(const std::vector<ImportedItem>& items, char digest = 'a', const std::vector<ImportedNote>& notes = {}) {
    Migration job = migration();
    const std::unique_ptr<Import> import = job.begin_import({"old.db", std::string(64, digest), "s1", "tester@host"});
    if (!import->is_repeated()) {
      import->add(items);
      import->note(notes);
    }
    return import->finish();
  }
  std::optional<ItemRecord> row(const Key& key) {
    const ItemId id{"", key, ""};
    return open_tracker(ledger, OpenMode::read_only)->lookup({&id, 1}).front();
  }
  std::vector<Event> events() { return open_tracker(ledger, OpenMode::read_only)->events(0, 10'000); }
  std::string content(const std::string& path) {
    FILE* file = fopen(path.c_str(), "r");
    if (file == nullptr) return "(nothing)";
    char text[100];
    const size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    return {text, size};
  }
};

TEST_F(Importing, WhatTheDestinationShowsIsNotCopiedAgain) {
  for (int i = 0; i < 10; ++i) {
    write(from.path(std::to_string(i)), "content " + std::to_string(i));
    if (i < 6) write(to.path(std::to_string(i)), "content " + std::to_string(i), year_2020_ms + 2 * day_ms);
  }
  std::vector<ImportedItem> items;
  for (int i = 0; i < 8; ++i) items.push_back(claim(std::to_string(i), 9));  // 6 and 7 are claimed, and are not there
  const ImportReport report = import(items);
  EXPECT_EQ(report.items, 8);
  EXPECT_EQ(report.confirmed, 6);
  EXPECT_EQ(report.refuted, 2);
  EXPECT_EQ(row("0")->state, ItemState::copied);
  EXPECT_EQ(row("0")->basis, Basis::matched_weak);
  EXPECT_EQ(row("0")->run, 0);
  EXPECT_EQ(row("6")->state, ItemState::pending);
  const Snapshot before = open_tracker(ledger, OpenMode::read_only)->snapshot();
  EXPECT_EQ(violated_invariant(before), std::nullopt);
  EXPECT_EQ(before.migration_items.done, 6);

  const Report run = migration().run();
  EXPECT_EQ(run.exit_code, 0) << run.message;
  EXPECT_EQ(reads, 4) << "neither copied nor looked at closer";
  EXPECT_EQ(run.snapshot.items.unchanged, 6);
  EXPECT_EQ(run.snapshot.items.created, 4);
  EXPECT_EQ(violated_invariant(run.snapshot), std::nullopt);
  EXPECT_EQ(row("0")->basis, Basis::matched_weak);
  EXPECT_EQ(row("0")->run, 1);
  EXPECT_EQ(content(to.path("9")), "content 9");
  reads = 0;
  EXPECT_EQ(migration().run().snapshot.items.unchanged, 10);
  EXPECT_EQ(reads, 0);
  EXPECT_EQ(migration().verify(VerifyLevel::content).exit_code, 0);
}

TEST_F(Importing, WhatChangedAtTheSourceSinceIsCopiedAgain) {
  write(from.path("changed"), "NEW CONTENT", year_2020_ms + 2 * day_ms);
  write(to.path("changed"), "old content");
  write(from.path("other size"), "longer than it was");
  write(to.path("other size"), "was shorter");
  const ImportReport report = import({claim("changed", 11), claim("other size", 11)});
  EXPECT_EQ(report.confirmed, 2);
  Options never;
  never.overwrite = Overwrite::never;
  EXPECT_EQ(migration().plan(never).occupied, 2);
  EXPECT_EQ(migration().run().exit_code, 0);
  EXPECT_EQ(content(to.path("changed")), "NEW CONTENT");
  EXPECT_EQ(content(to.path("other size")), "longer than it was");
  EXPECT_EQ(row("changed")->basis, Basis::written);
}

TEST_F(Importing, WithoutATimeAnItemIsLookedAtCloser) {
  write(from.path("same"), "content");
  write(to.path("same"), "content", year_2020_ms + day_ms);
  write(from.path("other"), "content");
  write(to.path("other"), "CONTENT", year_2020_ms + day_ms);
  import({claim("other", 7, std::nullopt), claim("same", 7, std::nullopt)});
  EXPECT_EQ(migration().run().exit_code, 3);
  EXPECT_EQ(row("same")->basis, Basis::matched_checksum);
  EXPECT_EQ(row("other")->error_class, ErrorClass::occupied);
  EXPECT_EQ(content(to.path("other")), "CONTENT");
}

TEST_F(Importing, ItIsIdempotent) {
  for (const char* key : {"a", "b"}) write(from.path(key), "content");
  write(to.path("a"), "content");
  std::vector<ImportedItem> items = {claim("a", 7), claim("b", 7)};
  const std::vector<ImportedNote> notes = {{false, LogLevel::info, "run 1: backup", "{\"id\":1}"}};
  EXPECT_EQ(import(items, 'a', notes).notes, 1);
  const size_t n_events = events().size();
  const ImportReport again = import(items, 'a', notes);
  EXPECT_TRUE(again.is_repeated);
  EXPECT_EQ(events().size(), n_events);

  write(to.path("b"), "content");
  const ImportReport newer = import(items, 'b', notes);  // another state of the file
  EXPECT_EQ(newer.unchanged, 1);
  EXPECT_EQ(newer.confirmed, 1);
  EXPECT_EQ(row("b")->state, ItemState::copied);
  EXPECT_EQ(migration().run().exit_code, 0);
  items.front().state = ItemState::failed;
  const ImportReport late = import(items, 'c');
  EXPECT_EQ(late.known, 2);
  EXPECT_EQ(row("a")->state, ItemState::copied) << "what a run has met is not overwritten";
}

TEST_F(Importing, ItemsOfPartitionsAreFoundWhereverTheirKeysAre) {
  write(to.path("a"), "content");
  write(to.path("b"), "content");
  std::vector<ImportedItem> items = {claim("b", 7), claim("a", 7), claim("c", 7)};
  items[0].partition = "1";
  items[1].partition = items[2].partition = "2";
  const ImportReport report = import(items);
  EXPECT_EQ(report.confirmed, 2);
  EXPECT_EQ(report.refuted, 1);
  const ItemId id{"2", "a", ""};
  EXPECT_EQ(open_tracker(ledger, OpenMode::read_only)->lookup({&id, 1}).front()->state, ItemState::copied);
  EXPECT_EQ(import(items, 'b').unchanged, 3);
  std::swap(items[0], items[1]);
  EXPECT_THROW(import(items, 'c'), Error);
}

TEST_F(Importing, AnImportWithoutACatalogLeavesReferencesForOneWithIt) {
  write(from.path("a"), "content");
  const std::vector<ImportedItem> items = {claim("a", 7)};
  EXPECT_FALSE(import(items).is_repeated);
  Migration job = migration();
  const auto catalog = std::make_shared<MemoryCatalog>();
  job.set_catalog(catalog);
  const ImportOrigin origin{"old.db", std::string(64, 'a'), "s1", "tester@host"};
  {
    const auto later = job.begin_import(origin);
    EXPECT_FALSE(later->is_repeated());
    later->add(items);
    EXPECT_EQ(later->finish().unchanged, 1);
  }
  EXPECT_TRUE(job.begin_import(origin)->is_repeated());
  EXPECT_TRUE(import(items).is_repeated) << "a catalog that is not named asks for nothing";
}

TEST_F(Importing, AnImportThatWasBrokenOffGoesOn) {
  std::vector<ImportedItem> items;
  for (int i = 100; i < 400; ++i) items.push_back(claim(std::to_string(i), 1));
  const std::vector<ImportedNote> notes = {{false, LogLevel::info, "one", "{}"}, {true, LogLevel::warning, "two", "{}"}};
  {
    Migration job = migration();
    const std::unique_ptr<Import> broken = job.begin_import({"old.db", std::string(64, 'a'), "s1", "tester@host"});
    broken->add(std::span(items).first(150));
    broken->note(std::span(notes).first(1));
  }
  const ImportReport report = import(items, 'a', notes);
  EXPECT_FALSE(report.is_repeated);
  EXPECT_EQ(report.unchanged, 150);
  EXPECT_EQ(report.refuted, 150);
  EXPECT_EQ(report.notes, 1);
  EXPECT_TRUE(import(items, 'a', notes).is_repeated);
}

TEST_F(Importing, FailedAndPendingItemsAreWhatTheyAre) {
  write(from.path("failed"), "content");
  ImportedItem failed;
  failed.key = "failed";
  failed.state = ItemState::failed;
  failed.error_class = ErrorClass::network;
  failed.error = "connection reset";
  failed.error_word = "download";
  failed.failed_at_ms = year_2020_ms;
  ImportedItem gone = claim("gone", 7);
  gone.state = ItemState::pending;
  const ImportReport report = import({failed, gone});
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.pending, 1);
  Query query;
  query.states = {ItemState::failed};
  const ScanPage page = open_tracker(ledger, OpenMode::read_only)->scan(query, "", 10);
  ASSERT_EQ(page.rows.size(), 1);
  EXPECT_EQ(page.rows[0].failure->message, "connection reset");
  EXPECT_EQ(page.rows[0].failure->provider_code, "download");
  EXPECT_EQ(page.rows[0].failure->at_ms, year_2020_ms);
  const Report run = migration().run();
  EXPECT_EQ(run.exit_code, 3) << "the one that is gone is told of";
  EXPECT_EQ(row("failed")->state, ItemState::copied);
  EXPECT_EQ(row("gone")->state, ItemState::vanished);
}

TEST_F(Importing, ItsOriginIsKept) {
  std::vector<ImportedItem> items;
  for (int i = 100; i < 350; ++i) items.push_back(claim(std::to_string(i), 1));
  import(items, 'a', {{false, LogLevel::info, "run 7", "{\"id\":7}"}});
  std::string rows;
  size_t n_audit = 0;
  for (const Event& event : events()) {
    if (event.kind != EventKind::audit) continue;
    ++n_audit;
    EXPECT_NE(event.data.find(std::string(64, 'a')), std::string::npos) << event.data;
    rows += event.data;
  }
  EXPECT_EQ(n_audit, 3 + 1 + 1);
  for (const ImportedItem& item : items) EXPECT_NE(rows.find(item.origin), std::string::npos) << item.key;
  EXPECT_NE(rows.find("\"origin\":{\"id\":7}"), std::string::npos);
  EXPECT_EQ(events().back().text.find("import of old.db (s1, SHA-256 aaa"), 0) << events().back().text;
}

TEST_F(Importing, WhatIsWrongIsRefused) {
  Migration job = migration();
  EXPECT_THROW(job.begin_import({"old.db", "abc", "s1", "tester@host"}), Error);
  {
    const std::unique_ptr<Import> import = job.begin_import({"old.db", std::string(64, 'a'), "s1", "tester@host"});
    const std::vector<ImportedItem> descending = {claim("b", 1), claim("a", 1)};
    EXPECT_THROW(import->add(descending), Error);
    ImportedItem verified = claim("c", 1);
    verified.state = ItemState::verified;
    EXPECT_THROW(import->add({&verified, 1}), Error);
    EXPECT_THROW(migration().run(), Error) << "the ledger is held";
  }
  EXPECT_EQ(row("b"), std::nullopt);
}

}  // namespace
}  // namespace waybill::testing
