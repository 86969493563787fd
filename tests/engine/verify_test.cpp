// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "engine/support.hpp"

namespace waybill::testing {
namespace {

/// Between folders, because a folder's content can be changed behind every listing's back.
class Verify : public ::testing::Test {
 protected:
  TemporaryFolder from;
  TemporaryFolder to;
  TemporaryFolder folder;
  const std::string ledger = folder.path("waybill.db");

  Migration migration() { return Migration("file://" + from.path(), "file://" + to.path(), ledger); }
  static void write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    FILE* file = fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    fwrite(content.data(), 1, content.size(), file);
    fclose(file);
  }
  void copy() {
    for (int i = 0; i < 20; ++i) write(from.path("d/" + std::to_string(i)), "content " + std::to_string(i));
    ASSERT_EQ(migration().run().exit_code, 0);
  }
  std::map<std::string, std::string> findings(const Report& report) {
    std::map<std::string, std::string> result;
    for (const Finding& finding : open_tracker(ledger, OpenMode::read_only)->findings(report.snapshot.run, 0, 100)) {
      result[finding.id.key] = to_string(finding.kind);
    }
    return result;
  }
};

TEST_F(Verify, FindsNothingWhereNothingIsWrong) {
  copy();
  const Report report = migration().verify();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.phase, Phase::verify);
  EXPECT_EQ(report.snapshot.items.verified, 20);
  EXPECT_EQ(report.snapshot.progress(), 1.0);
  EXPECT_TRUE(findings(report).empty());
  EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
}

TEST_F(Verify, FindsEachKindOfDifference) {
  copy();
  std::filesystem::remove(to.path("d/1"));
  write(to.path("d/2"), "content 2 and more");
  const auto time = std::filesystem::last_write_time(to.path("d/3"));
  write(to.path("d/3"), "CONTENT 3");
  std::filesystem::last_write_time(to.path("d/3"), time);
  write(to.path("extra"), "x");
  write(from.path("new"), "x");
  write(from.path("d/4"), "changed at the source");
  const Report report = migration().verify();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
  const std::map<std::string, std::string> expected = {{"d/1", "missing"}, {"d/2", "size"}, {"d/3", "checksum"},
                                                       {"extra", "extra"}, {"new", "missing"}, {"d/4", "size"}};
  EXPECT_EQ(findings(report), expected);
  EXPECT_EQ(report.snapshot.findings.at("missing"), 2);
  for (const Finding& finding : open_tracker(ledger, OpenMode::read_only)->findings(report.snapshot.run, 0, 100)) {
    if (finding.kind != FindingKind::extra) continue;
    const std::string before = "1 bytes, of ";
    const size_t time_digits = std::string("2026-11-20T12:00:00.123456789Z").size();
    EXPECT_TRUE(finding.detail.starts_with(before)) << finding.detail;
    EXPECT_TRUE(internal::parse_rfc3339_ns(finding.detail.substr(before.size(), time_digits))) << finding.detail;
  }
}

TEST_F(Verify, ACopyWithoutItsItemIsAFindingAndNoDifference) {
  copy();
  std::filesystem::remove(from.path("d/5"));
  for (const bool is_known : {false, true}) {
    if (is_known) {
      ASSERT_EQ(migration().run().exit_code, 0) << "a copy marks it";
    }
    const Report report = migration().verify();
    EXPECT_EQ(report.exit_code, 0) << report.message;
    EXPECT_EQ(findings(report), (std::map<std::string, std::string>{{"d/5", "gone"}}));
    EXPECT_EQ(report.snapshot.findings.at("gone"), 1);
    EXPECT_EQ(report.snapshot.items.verified, 20) << "its content is still what was copied";
  }
  Options repair;
  repair.findings_of = 4;
  EXPECT_EQ(migration().run(repair).exit_code, 0) << "there is nothing to repair";
}

TEST_F(Verify, WhatWaybillDeletedAtTheSourceIsNoFinding) {
  copy();
  ASSERT_EQ(migration().verify(VerifyLevel::content).exit_code, 0);
  RemovalOptions source;
  source.kind = RemovalKind::source;
  Migration once = migration();
  ASSERT_EQ(once.remove(source, once.plan_removal(source).hash, "tester@host").removed, 20);
  std::filesystem::remove(from.path("d"));  // an empty folder is an item
  const Report report = migration().verify();
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_TRUE(findings(report).empty());
  // Should one come back, it is copied as another revision, over the one that is ours.
  write(from.path("d/7"), "content 7");
  EXPECT_EQ(migration().run().exit_code, 0);
  std::filesystem::remove_all(from.path("d"));
  EXPECT_EQ(findings(migration().verify()), (std::map<std::string, std::string>{{"d/7", "gone"}}));
}

TEST_F(Verify, ListingLevelReadsNothingAndDoesNotSayVerified) {
  copy();
  const auto time = std::filesystem::last_write_time(to.path("d/3"));
  write(to.path("d/3"), "CONTENT 3");
  std::filesystem::last_write_time(to.path("d/3"), time);
  const Report report = migration().verify(VerifyLevel::listing);
  EXPECT_EQ(report.exit_code, 0) << "a change of content behind size and time is beyond this level";
  EXPECT_EQ(report.snapshot.items.verified, 0);
}

TEST_F(Verify, NextCopyRepairsWhatIsMissing) {
  copy();
  std::filesystem::remove(to.path("d/1"));
  EXPECT_EQ(migration().verify().exit_code, 3);
  EXPECT_EQ(migration().run().exit_code, 0);
  EXPECT_EQ(migration().verify().exit_code, 0);
}

TEST_F(Verify, IsRefusedBeforeACopy) {
  EXPECT_THROW(migration().verify(), Error);
  EXPECT_FALSE(std::filesystem::exists(ledger)) << "a ledger is not made by asking about one";
}

TEST_F(Verify, IsNotReadyBeforeTheCopyHasEnded) {
  copy();
  const auto refusal = [&]() -> std::string {
    try {
      migration().verify();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::failed_precondition);
      EXPECT_EQ(error.error_class(), ErrorClass::locked);
      return error.message();
    }
    return "not refused";
  };
  const auto leave = [&](RunState state) {
    const std::shared_ptr<Tracker> tracker = open_tracker(ledger);
    Batch batch;
    batch.run = tracker->runs(1).front();
    batch.run->run = 2;
    const uint64_t epoch = tracker->acquire({});
    for (const RunState next : {RunState::running, state}) {
      batch.run->state = next;
      tracker->commit(epoch, batch);
    }
    tracker->release(epoch);
  };
  leave(RunState::interrupted);
  EXPECT_NE(refusal().find("waybill run"), std::string::npos) << refusal();
  leave(RunState::paused);
  EXPECT_NE(refusal().find("waybill resume"), std::string::npos) << refusal();
  leave(RunState::completed);
  EXPECT_EQ(migration().verify().exit_code, 0);
}

TEST_F(Verify, AtLevelContentTheStoreIsNotBelieved) {
  copy();
  // The same size and time, and the folder's own word for the content: nothing but reading tells.
  const auto time = std::filesystem::last_write_time(to.path("d/7"));
  write(to.path("d/7"), "CONTENT 7");
  std::filesystem::last_write_time(to.path("d/7"), time);
  const Report report = migration().verify(VerifyLevel::content);
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(findings(report), (std::map<std::string, std::string>{{"d/7", "checksum"}}));
}

TEST_F(Verify, ALostTimeOfModificationIsMetadata) {
  copy();
  std::filesystem::last_write_time(to.path("d/7"), std::filesystem::file_time_type::clock::now() - std::chrono::hours(5));
  const Report report = migration().verify(VerifyLevel::content);
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(findings(report), (std::map<std::string, std::string>{{"d/7", "metadata"}}));
}

TEST(VerifySample, PartsReadEverythingOnceAndNothingTwice) {
  const std::string from = "memory://" + unique_name("sample-from");
  const std::string to = "memory://" + unique_name("sample-to");
  TemporaryFolder folder;
  std::map<Key, int> reads;
  std::mutex mutex;
  const Hook count = [&](const std::string& operation, const Key& key, Context&) {
    const std::lock_guard lock(mutex);
    if (operation == "read_back") ++reads[key];
  };
  const Hook nothing = [](const std::string&, const Key&, Context&) {};
  for (int i = 0; i < 60; ++i) put(from, "key " + std::to_string(i), "content");
  Migration migration(std::make_shared<ScriptedSource>(open_source(from), nothing),
                      std::make_shared<ScriptedDestination>(open_destination(to), count),
                      open_tracker(folder.path("waybill.db")));
  ASSERT_EQ(migration.run().exit_code, 0);
  Options options;
  options.sample_of = 4;
  for (options.sample_part = 1; options.sample_part <= 4; ++options.sample_part) {
    const Report report = migration.verify(VerifyLevel::content, options);
    EXPECT_EQ(report.exit_code, 0) << report.message;
    EXPECT_EQ(report.snapshot.items.verified, 60) << "the others by their checksums";
    EXPECT_LT(reads.size(), 60u * static_cast<size_t>(options.sample_part) / 4 + 15) << "part " << options.sample_part;
  }
  EXPECT_EQ(reads.size(), 60u);
  for (const auto& [key, times] : reads) EXPECT_EQ(times, 1) << key;
}

}  // namespace
}  // namespace waybill::testing
