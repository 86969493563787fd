// SPDX-License-Identifier: Apache-2.0
//
// Deleting after a verification: what it rests on, what it refuses, and what it keeps.

#include <gtest/gtest.h>

#include <atomic>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

const RemovalOptions of_source{RemovalKind::source, 1'000, 0.1};

class Removing : public Stores {
 protected:
  RemovalPlan plan(const RemovalOptions& options = {}) { return migration().plan_removal(options); }
  RemovalReport remove(const RemovalOptions& options = {}) {
    return migration().remove(options, plan(options).hash, "tester@host");
  }
  Report verify(VerifyLevel level = VerifyLevel::checksum, int part = 1, int of = 1) {
    Options options = quick();
    options.sample_part = part;
    options.sample_of = of;
    return migration().verify(level, options);
  }
  template <typename Call>
  std::string refusal(Call call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::locked) << error.message();
      EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.message();
      return error.message();
    }
    return "";
  }
  std::vector<Event> audit() {
    std::vector<Event> found;
    for (Event& event : open_tracker(ledger, OpenMode::read_only)->events(0, 10'000)) {
      if (event.kind == EventKind::audit) found.push_back(std::move(event));
    }
    return found;
  }
  size_t audited(const std::string& text) {
    const std::vector<Event> events = audit();
    return static_cast<size_t>(std::count_if(events.begin(), events.end(), [&](const Event& event) {
      return event.text.find(text) != std::string::npos;
    }));
  }
};

TEST_F(Removing, ExtraObjectsGoAndNothingElse) {
  fill(20);
  put(to, "extra/1", "one");
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "extra/2", "two");
  ASSERT_EQ(verify().exit_code, 3);
  const RemovalPlan planned = plan();
  EXPECT_EQ(planned.items, 2);
  EXPECT_EQ(planned.at_destination, 22);
  EXPECT_EQ(planned.refusal, "");
  ASSERT_EQ(planned.examples.size(), 2);
  EXPECT_EQ(planned.examples.front().id.key, "extra/1");
  EXPECT_EQ(get_all(to).size(), 22) << "a plan deletes nothing";
  const RemovalReport report = remove();
  EXPECT_EQ(report.removed, 2);
  EXPECT_EQ(report.total(), 2);
  EXPECT_EQ(get_all(to), get_all(from));
  EXPECT_EQ(audited("delete-extra extra/"), 2);
  EXPECT_EQ(audited("deleted from the destination by tester@host: 2 removed"), 1);
  EXPECT_EQ(verify().exit_code, 0);
  EXPECT_EQ(plan().items, 0);
}

TEST_F(Removing, IsAuditedBeforeItHappens) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "x", "x");
  verify();
  std::atomic<size_t> audited_before{0};
  destination_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "remove") audited_before = audited("delete-extra " + key);
  };
  EXPECT_EQ(remove().removed, 1);
  EXPECT_EQ(audited_before, 1);
}

TEST_F(Removing, ExtraObjectsAreLookedAtOnceMore) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  for (const char* key : {"x1", "x2", "x3", "x4"}) put(to, key, "extra");
  ASSERT_EQ(verify().exit_code, 3);
  const RemovalOptions options{RemovalKind::extra, 1'000, 1.0};
  const std::string hash = plan(options).hash;
  put(to, "x1", "EXTRA");                                                // other content of the same size
  put(from, "x2", "come since");                                        // at the source now
  open_destination(to)->remove("x3", Context::background());             // gone
  const RemovalReport report = migration().remove(options, hash, "tester@host");
  EXPECT_EQ(report.removed, 1);
  EXPECT_EQ(report.gone, 1);
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.kept_by_class.at("conflict"), 2);
  EXPECT_EQ(get(to, "x1"), "EXTRA");
  EXPECT_EQ(get(to, "x2"), "extra");
  EXPECT_EQ(get(to, "x4"), std::nullopt);
  EXPECT_EQ(audited("kept x1: it has changed since the verification"), 1);
  EXPECT_EQ(audited("kept x2: it is at the source now"), 1);
}

TEST_F(Removing, AnObjectThatChangesAtTheLastMomentIsKept) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "x", "extra");
  verify();
  destination_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "remove") put(to, key, "EXTRA");
  };
  const RemovalReport report = remove();
  EXPECT_EQ(report.kept, 1);
  EXPECT_EQ(get(to, "x"), "EXTRA");
}

TEST_F(Removing, IsRefusedWithoutAWholeAndFreshVerification) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "x", "x");
  EXPECT_NE(refusal([&] { plan(); }).find("waybill verify"), std::string::npos) << "no verification at all";
  verify();
  const std::string hash = plan().hash;
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_NE(refusal([&] { migration().remove({}, hash, "tester@host"); }).find("came after the last verification"), std::string::npos);

  destination_hook = [](const std::string& operation, const Key&, Context&) {
    if (operation == "list") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "listing is forbidden");
  };
  EXPECT_EQ(verify().exit_code, 1);
  destination_hook = [](const std::string&, const Key&, Context&) {};
  EXPECT_NE(refusal([&] { plan(); }).find("has not seen everything"), std::string::npos);
  EXPECT_EQ(get(to, "x"), "x");
}

TEST_F(Removing, IsRefusedWhileTheSourceShowsNothing) {
  fill(3);
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "x", "x");
  verify();
  const std::map<Key, std::string> kept = get_all(to);
  for (const auto& [key, content] : get_all(from)) open_destination(from)->remove(key, Context::background());
  EXPECT_NE(refusal([&] { plan({RemovalKind::extra, 10, 1.0}); }).find("has nothing in it now"), std::string::npos);
  source_hook = [](const std::string& operation, const Key&, Context&) {
    if (operation == "list") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "listing is forbidden");
  };
  EXPECT_THROW(plan(), Error);
  EXPECT_EQ(get_all(to), kept);
}

TEST_F(Removing, BoundsHold) {
  fill(9);
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "x1", "x");
  verify();
  EXPECT_EQ(plan().refusal, "") << "1 of 10 is a tenth";
  put(to, "x2", "x");
  verify();
  EXPECT_NE(plan().refusal.find("--max-delete-share"), std::string::npos);
  EXPECT_NE(refusal([&] { remove(); }).find("2 objects would be deleted, of 11"), std::string::npos);
  EXPECT_NE(refusal([&] { remove({RemovalKind::extra, 1, 1.0}); }).find("--max-delete"), std::string::npos);
  EXPECT_EQ(get_all(to).size(), 11);
  EXPECT_EQ(remove({RemovalKind::extra, 2, 0.2}).removed, 2);
  EXPECT_THROW(plan({RemovalKind::extra, -1, 0.1}), Error);
  EXPECT_THROW(plan({RemovalKind::extra, 1, 1.1}), Error);
}

TEST_F(Removing, AnotherPlanIsRefused) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  put(to, "x1", "x");
  verify();
  const std::string hash = plan().hash;
  EXPECT_EQ(plan().hash, hash);
  EXPECT_NE(plan({RemovalKind::extra, 5, 0.5}).hash, "") << "bounds are no part of a plan";
  EXPECT_EQ(plan({RemovalKind::extra, 5, 0.5}).hash, hash);
  put(to, "x1", "y");
  verify();
  EXPECT_NE(plan().hash, hash);
  EXPECT_NE(refusal([&] { migration().remove({}, hash, "tester@host"); }).find("is not the plan any more"), std::string::npos);
  EXPECT_NE(refusal([&] { migration().remove({}, "", "tester@host"); }).find("is not the plan any more"), std::string::npos);
  EXPECT_EQ(get(to, "x1"), "y");
}

TEST_F(Removing, StopsWhenToldTo) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  for (int i = 0; i < 300; ++i) put(to, "x" + std::to_string(i), "x");
  verify();
  const RemovalOptions options{RemovalKind::extra, 1'000, 1.0};
  int calls = 0;
  const RemovalReport report =
      migration().remove(options, plan(options).hash, "tester@host", [&](const RemovalReport&) { return ++calls < 3; });
  EXPECT_TRUE(report.is_stopped);
  EXPECT_EQ(report.removed, 1 + 64 + 64);
  EXPECT_EQ(get_all(to).size(), 20 + 300 - 129);
  const RemovalReport rest = remove(options);
  EXPECT_EQ(rest.gone, 129) << "the same plan goes on";
  EXPECT_EQ(rest.removed, 171);
}

TEST_F(Removing, ForbiddenDeletionsEndAtOnce) {
  fill(20);
  ASSERT_EQ(copy().exit_code, 0);
  for (int i = 0; i < 100; ++i) put(to, "x" + std::to_string(i), "x");
  verify();
  std::atomic<int> tries{0};
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "remove") return;
    ++tries;
    throw Error(ErrorCode::permission_denied, ErrorClass::permission, "no right to delete");
  };
  EXPECT_THROW(remove({RemovalKind::extra, 1'000, 1.0}), Error);
  EXPECT_EQ(tries, 1);
}

TEST_F(Removing, SourceGoesOnlyAfterItsContentWasReadBack) {
  fill(10);
  ASSERT_EQ(copy().exit_code, 0);
  verify(VerifyLevel::checksum);
  EXPECT_NE(refusal([&] { plan(of_source); }).find("waybill verify --level content"), std::string::npos);
  verify(VerifyLevel::content);
  const RemovalPlan planned = plan(of_source);
  EXPECT_EQ(planned.items, 10);
  EXPECT_EQ(planned.bytes, 100);
  const std::map<Key, std::string> content = get_all(from);
  const RemovalReport report = remove(of_source);
  EXPECT_EQ(report.removed, 10);
  EXPECT_TRUE(get_all(from).empty());
  EXPECT_EQ(get_all(to), content);
  EXPECT_TRUE(row("k000003")->gone_at_source);
  EXPECT_EQ(row("k000003")->state, ItemState::verified);
  EXPECT_EQ(audited("delete-source k00000"), 10);
  put(from, "new", "new");
  EXPECT_EQ(plan(of_source).items, 0);
}

TEST_F(Removing, OfASampleOnlyWhatWasRead) {
  fill(60);
  ASSERT_EQ(copy().exit_code, 0);
  verify(VerifyLevel::content, 1, 3);
  const RemovalPlan first = plan(of_source);
  EXPECT_GT(first.items, 0);
  EXPECT_EQ(first.items + first.kept.at("not_read"), 60);
  verify(VerifyLevel::content, 2, 3);
  verify(VerifyLevel::content, 3, 3);
  EXPECT_EQ(plan(of_source).items, 60) << "three thirds are the whole";
  ASSERT_EQ(copy().exit_code, 0);
  EXPECT_NE(refusal([&] { plan(of_source); }).find("came after the last verification"), std::string::npos);
  verify(VerifyLevel::content, 1, 3);
  EXPECT_EQ(plan(of_source).items, first.items) << "what was read before a copy proves nothing";
}

// A later run that believes the ETag must not wash off what a content run could not read.
TEST_F(Removing, WhatCouldNotBeReadIsKeptThoughALaterRunSaysVerified) {
  fill(5);
  ASSERT_EQ(copy().exit_code, 0);
  destination_hook = [](const std::string& operation, const Key& key, Context&) {
    if (operation == "read_back" && key == "k000002") throw Error(ErrorCode::permission_denied, ErrorClass::permission, "unreadable");
  };
  verify(VerifyLevel::content);
  destination_hook = [](const std::string&, const Key&, Context&) {};
  verify(VerifyLevel::checksum);
  ASSERT_EQ(row("k000002")->state, ItemState::verified);
  const RemovalPlan planned = plan(of_source);
  EXPECT_EQ(planned.items, 4);
  EXPECT_EQ(planned.kept.at("finding"), 1);
}

TEST_F(Removing, SourceItemsThatWereMatchedBySizeAndTimeAreKept) {
  put(from, "a", "content");
  put(to, "a", "content");
  put(from, "b", "content");
  ASSERT_EQ(copy().exit_code, 0);
  {
    const std::shared_ptr<Tracker> tracker = open_tracker(ledger);
    const uint64_t epoch = tracker->acquire({});
    ItemChange change;
    change.record = *row("a");
    change.record.basis = Basis::matched_weak;
    Batch batch;
    batch.items.push_back(change);
    tracker->commit(epoch, batch);
    tracker->release(epoch);
  }
  verify(VerifyLevel::content);
  const RemovalPlan planned = plan(of_source);
  EXPECT_EQ(planned.items, 1);
  EXPECT_EQ(planned.kept.at("matched_weak"), 1);
}

TEST_F(Removing, BothSidesOfASourceItemAreLookedAtOnceMore) {
  fill(5);
  ASSERT_EQ(copy().exit_code, 0);
  verify(VerifyLevel::content);
  const std::string hash = plan(of_source).hash;
  put(from, "k000001", "ANOTHER NEW");
  put(to, "k000002", "overwritten");
  open_destination(to)->remove("k000003", Context::background());
  open_destination(from)->remove("k000004", Context::background());
  const RemovalReport report = migration().remove(of_source, hash, "tester@host");
  EXPECT_EQ(report.removed, 1);
  EXPECT_EQ(report.gone, 1);
  EXPECT_EQ(report.kept, 3);
  const std::map<Key, std::string> left = get_all(from);
  EXPECT_EQ(left.size(), 3);
  EXPECT_TRUE(left.contains("k000001") && left.contains("k000002") && left.contains("k000003"));
  EXPECT_FALSE(row("k000001")->gone_at_source);
}

TEST_F(Removing, OnePlaceUnderTwoNamesLosesOneItemAtMost) {
  fill(50);
  ASSERT_EQ(copy().exit_code, 0);
  verify(VerifyLevel::content);
  // As if both addresses led to one store: what goes at the source goes at the destination.
  source_hook = [&](const std::string& operation, const Key& key, Context& context) {
    if (operation == "remove") open_destination(to)->remove(key, context);
  };
  try {
    remove(of_source);
    FAIL() << "not noticed";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("are one place"), std::string::npos) << error.message();
  }
  EXPECT_EQ(get_all(to).size(), 49);
}

class RemovingFiles : public ::testing::Test {
 protected:
  TemporaryFolder from;
  TemporaryFolder to;
  TemporaryFolder folder;
  Migration migration() { return Migration("file://" + from.path(), "file://" + to.path(), folder.path("waybill.db")); }
  static void write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    FILE* file = fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    fwrite(content.data(), 1, content.size(), file);
    fclose(file);
  }
};

TEST_F(RemovingFiles, FilesAndEmptyFoldersGoAndTheFoldersOfFilesStay) {
  write(from.path("d/a"), "a");
  write(from.path("d/b"), "b");
  std::filesystem::create_directories(from.path("empty"));
  ASSERT_EQ(migration().run().exit_code, 0);
  ASSERT_EQ(migration().verify(VerifyLevel::content).exit_code, 0);
  const RemovalPlan plan = migration().plan_removal(of_source);
  write(from.path("d/b"), "B");  // of the same size, and as fast as can be
  const RemovalReport report = migration().remove(of_source, plan.hash, "tester@host");
  EXPECT_EQ(report.kept, 1);
  EXPECT_FALSE(std::filesystem::exists(from.path("d/a")));
  EXPECT_TRUE(std::filesystem::exists(from.path("d/b")));
  EXPECT_TRUE(std::filesystem::exists(to.path("d/a")));
  EXPECT_EQ(plan.items, 3);
  EXPECT_FALSE(std::filesystem::exists(from.path("empty")));
}

TEST_F(RemovingFiles, ExtraFilesGoAndLinksStay) {
  for (int i = 0; i < 20; ++i) write(from.path(std::to_string(i)), "x");
  ASSERT_EQ(migration().run().exit_code, 0);
  write(to.path("extra/file"), "x");
  std::filesystem::create_symlink(to.path("0"), to.path("link"));
  ASSERT_EQ(migration().verify().exit_code, 3);
  const RemovalOptions options{RemovalKind::extra, 10, 0.5};
  const RemovalReport report = migration().remove(options, migration().plan_removal(options).hash, "tester@host");
  EXPECT_EQ(report.removed, 1);
  EXPECT_FALSE(std::filesystem::exists(to.path("extra")));
  EXPECT_TRUE(std::filesystem::is_symlink(to.path("link")));
  EXPECT_TRUE(std::filesystem::exists(to.path("0")));
}

}  // namespace
}  // namespace waybill::testing
