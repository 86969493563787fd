// SPDX-License-Identifier: Apache-2.0
//
// Deleting objects that have not changed since they were looked at, with the store as the judge.
#include "connectors/s3_fault_fixture.hpp"
#include "engine/support.hpp"
#include "waybill/waybill.hpp"

namespace waybill::s3 {
namespace {

using testing::fault::Action;
using testing::fault::BucketSettings;

class S3Removal : public S3Fault {
 protected:
  Item stat(const Key& key) {
    const std::optional<Item> item = destination_->stat(key, context_);
    if (!item) throw std::runtime_error("no object " + key);
    return *item;
  }
  std::optional<ErrorClass> class_of_removal(const Item& item) {
    const std::optional<Error> error = error_of([&] { destination_->remove_unchanged(item, context_); });
    return error ? std::optional(error->error_class()) : std::nullopt;
  }
  size_t deletes_with(const std::string& header) const {
    size_t count = 0;
    for (const auto& request : server_.requests()) {
      if (request.op == "DeleteObject" && request.head.find(header) != std::string::npos) ++count;
    }
    return count;
  }
};

TEST_F(S3Removal, RemovesWhatWasSeenAndNothingElse) {
  server_.put("to", "a", "content");
  server_.put("to", "b", "content");
  const Item a = stat("a");
  EXPECT_EQ(destination_->remove_unchanged(a, context_), Removal::removed);
  EXPECT_EQ(server_.keys("to"), std::vector<std::string>{"b"});
  EXPECT_EQ(destination_->remove_unchanged(a, context_), Removal::gone);
  const Item b = stat("b");
  server_.put("to", "b", "CONTENT");
  EXPECT_EQ(class_of_removal(b), ErrorClass::conflict);
  EXPECT_EQ(content_at("to", "b"), "CONTENT");
}

// Between the last look and the DELETE: the store itself compares.
TEST_F(S3Removal, AChangeAtTheLastMomentIsSeenByTheStore) {
  server_.put("to", "a", "content");
  const Item a = stat("a");
  server_.add_rule({.op = "DeleteObject", .nth = 1, .action = Action::swap});
  EXPECT_EQ(class_of_removal(a), ErrorClass::conflict);
  EXPECT_EQ(server_.keys("to"), std::vector<std::string>{"a"});
}

TEST_F(S3Removal, AStoreThatDoesNotKnowTheConditionIsAskedWithout) {
  change("to", [](BucketSettings& settings) { settings.conditional_writes = "not_implemented"; });
  server_.put("to", "a", "content");
  EXPECT_EQ(destination_->remove_unchanged(stat("a"), context_), Removal::removed);
  EXPECT_TRUE(server_.keys("to").empty());
  EXPECT_EQ(requests("DeleteObject"), 2);
}

TEST_F(S3Removal, AnAnswerThatWasLostIsNoConflict) {
  server_.put("to", "a", "content");
  const Item a = stat("a");
  server_.add_rule({.op = "DeleteObject", .nth = 1, .action = Action::status, .status = 503, .apply = true});
  const std::optional<Error> error = error_of([&] { destination_->remove_unchanged(a, context_); });
  ASSERT_TRUE(error && error->retryable());
  EXPECT_EQ(destination_->remove_unchanged(a, context_), Removal::gone);
}

TEST_F(S3Removal, ABucketWithVersionsHidesAndAVersionGoesForGood) {
  change("to", [](BucketSettings& settings) { settings.versioning = "enabled"; });
  change("from", [](BucketSettings& settings) { settings.versioning = "enabled"; });
  server_.put("to", "a", "content");
  EXPECT_EQ(destination_->remove_unchanged(stat("a"), context_), Removal::hidden);
  EXPECT_TRUE(server_.keys("to").empty());
  EXPECT_FALSE(destination_->stat("a", context_));

  server_.put("from", "v", "first");
  server_.put("from", "v", "second");
  open("&versions=true");
  std::vector<Item> versions = list(*source_);
  ASSERT_EQ(versions.size(), 2);
  EXPECT_EQ(source_->remove(versions.back(), context_), Removal::removed);
  EXPECT_EQ(list(*source_).size(), 1);
  EXPECT_EQ(content_at("from", "v"), "second");
}

// The whole way: a verify run, a plan, and the look before each deletion.
TEST_F(S3Removal, AnEngineRunKeepsWhatChangedSinceTheVerification) {
  testing::TemporaryFolder folder;
  for (int i = 0; i < 30; ++i) server_.put("from", "k" + std::to_string(i), "content " + std::to_string(i));
  const auto place = [&](const std::string& bucket) { return "s3://" + bucket + "/?endpoint=" + server_.endpoint(); };
  Migration migration(place("from"), place("to"), folder.path("ledger.db"));
  ASSERT_EQ(migration.run().exit_code, 0);
  server_.put("to", "x1", "extra");
  server_.put("to", "x2", "extra");
  ASSERT_EQ(migration.verify(VerifyLevel::content).exit_code, 3);
  const RemovalPlan extra = migration.plan_removal({});
  ASSERT_EQ(extra.items, 2);
  server_.put("to", "x2", "EXTRA");
  const RemovalReport of_extra = migration.remove({}, extra.hash, "tester@host");
  EXPECT_EQ(of_extra.removed, 1);
  EXPECT_EQ(of_extra.kept, 1);
  EXPECT_EQ(content_at("to", "x2"), "EXTRA");
  EXPECT_EQ(content_at("to", "x1"), "(nothing)");
  EXPECT_EQ(deletes_with("If-Match: \""), 1);

  const RemovalOptions of_source{RemovalKind::source, 0, 0};
  const RemovalPlan plan = migration.plan_removal(of_source);
  ASSERT_EQ(plan.items, 30);
  server_.put("from", "k3", "CONTENT 3");
  server_.put("to", "k4", "CONTENT 4");
  const RemovalReport report = migration.remove(of_source, plan.hash, "tester@host");
  EXPECT_EQ(report.removed, 28);
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(server_.keys("from"), (std::vector<std::string>{"k3", "k4"}));
  EXPECT_EQ(server_.keys("to").size(), 31);
}

}  // namespace
}  // namespace waybill::s3
