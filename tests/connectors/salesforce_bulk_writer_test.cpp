// SPDX-License-Identifier: Apache-2.0
//
// Updates by ingest jobs: each result is its own record's, whatever order and list it comes in; what no result tells is
// said to be unknown; answers that are lost lose nothing, and a job that nobody waits for is stopped.
#include <set>

#include "connectors/salesforce/record_writer.hpp"
#include "connectors/salesforce_bulk_fixture.hpp"

namespace waybill::salesforce {
namespace {

using testing::fault::Rule;
using Status = UpdateResult::Status;

class SalesforceBulkWriter : public SalesforceJobs {
 protected:
  static std::vector<FieldUpdate> updates(uint64_t count) {
    std::vector<FieldUpdate> all;
    for (uint64_t i = 0; i < count; ++i) all.push_back({TestOrganization::id(i), old_value(i), new_value(i), ""});
    return all;
  }
  static std::string new_value(uint64_t number) { return "https://new.example.com/" + std::to_string(number); }
  static std::string old_value(uint64_t number) {
    return "https://old.example.com/docs/" + std::to_string(number) + ".pdf";
  }

  std::vector<UpdateResult> write(const std::vector<FieldUpdate>& all, const std::string& field = "Document__c") {
    return write_by_bulk(*client_, TestOrganization::entry, field)->write(all, context_);
  }
  void fail_records(const json& more) {
    json fault = {{"object", TestOrganization::entry}};
    fault.update(more);
    organization_.server.control("salesforce_fail_records", fault);
  }
};

TEST_F(SalesforceBulkWriter, ResultsAreJoinedByTheirIds) {
  organization_.entries(1'000);
  fail_records({{"code", "UNABLE_TO_LOCK_ROW"},
                {"message", "unable to obtain exclusive access: to this record"},
                {"every", 10}});
  fail_records({{"code", "FIELD_CUSTOM_VALIDATION_EXCEPTION"},
                {"message", "not \"so\", or:\nso"},
                {"fields", {"Document__c", "Name"}},
                {"numbers", {7}}});
  organization_.edit(13, {{"IsDeleted", true}});
  auto all = updates(1'000);
  all[15].value = std::string(300, 'x');
  std::set<uint64_t> orders;
  for (const uint64_t seed : {1U, 2U}) {
    organization_.set({{"seed", seed}});
    organization_.server.clear_log();
    const auto results = write(all);
    ASSERT_EQ(results.size(), 1'000U);
    for (uint64_t i = 0; i < 1'000; ++i) {
      const bool fails = i % 10 == 0 || i == 7 || i == 13 || i == 15;
      ASSERT_EQ(results[i].status, fails ? Status::failed : Status::updated) << i << " " << results[i].message;
      if (i == 13) continue;
      ASSERT_EQ(organization_.value(i), fails ? old_value(i) : new_value(i));
    }
    EXPECT_TRUE(results[20].retryable);
    EXPECT_EQ(results[20].error_class, ErrorClass::conflict);
    EXPECT_NE(results[20].message.find("unable to obtain exclusive access: to this record"), std::string::npos)
        << results[20].message;
    EXPECT_FALSE(results[7].retryable);
    EXPECT_NE(results[7].message.find("not \"so\", or:"), std::string::npos) << results[7].message;
    EXPECT_NE(results[7].message.find("(Document__c,Name)"), std::string::npos) << results[7].message;
    EXPECT_EQ(results[13].error_class, ErrorClass::missing);
    EXPECT_EQ(results[15].error_class, ErrorClass::too_large);
    // Made, filled, closed, looked at, three lists, deleted.
    EXPECT_EQ(organization_.calls("GetIngestResults"), 3U);
    EXPECT_EQ(organization_.usage({{"calls", 0}}).at("calls"), 0U);
    EXPECT_EQ(jobs(), 0U);
  }
}

TEST_F(SalesforceBulkWriter, ValuesAreWrittenAsTheyAre) {
  organization_.entries(6);
  auto all = updates(6);
  all[0].value = "a \"quoted\", text\nof two lines";
  all[1].value = std::nullopt;
  all[2].value = "";
  all[3].value = "#N/A";
  all[4].value = "=1+1";
  const auto results = write(all);
  EXPECT_EQ(organization_.value(0), *all[0].value);
  EXPECT_EQ(organization_.value(1), "(null)");
  EXPECT_EQ(organization_.value(2), "(null)");
  EXPECT_EQ(organization_.value(3), old_value(3)) << "not emptied";
  EXPECT_EQ(organization_.value(4), "=1+1");
  EXPECT_EQ(organization_.value(5), new_value(5));
  EXPECT_EQ(results[3].status, Status::failed);
  EXPECT_FALSE(results[3].retryable);
  for (const size_t i : {0U, 1U, 2U, 4U, 5U}) EXPECT_EQ(results[i].status, Status::updated) << i;
}

TEST_F(SalesforceBulkWriter, WhatAJobLeftOutIsUnknown) {
  organization_.entries(500);
  organization_.set({{"bulk_stops_after", 200}});
  const auto results = write(updates(500));
  uint64_t n_updated = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    const bool is_written = organization_.value(i) == new_value(i);
    n_updated += is_written ? 1 : 0;
    ASSERT_EQ(results[i].status, is_written ? Status::updated : Status::unknown) << i;
    if (!is_written) {
      ASSERT_TRUE(results[i].retryable);
      ASSERT_NE(results[i].message.find("the job was ended"), std::string::npos) << results[i].message;
    }
  }
  EXPECT_EQ(n_updated, 200U);
}

TEST_F(SalesforceBulkWriter, WhatNoListTellsIsUnknown) {
  organization_.entries(10);
  organization_.server.add_rule({.op = "GetIngestResults",
                                 .times = 1,
                                 .status = 200,
                                 .body = "\"sf__Id\",\"sf__Created\",\"Id\",\"Document__c\"\n\"" +
                                         TestOrganization::id(3) + "\",\"false\",\"" +
                                         TestOrganization::id(3).substr(0, 15) +
                                         "\",\"x\"\n\"a0B000000000000\",\"false\",\"a0B000000009999\",\"x\"\n"});
  const auto results = write(updates(10));
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(results[i].status, i == 3 ? Status::updated : Status::unknown) << i;
    EXPECT_EQ(results[i].retryable, i != 3);
  }
}

TEST_F(SalesforceBulkWriter, AJobThatFailsAsAWholeSaysWhy) {
  organization_.entries(10);
  const auto results = write(updates(10), "Nope__c");
  for (const UpdateResult& result : results) {
    EXPECT_EQ(result.status, Status::unknown);
    EXPECT_NE(result.message.find("Field name not found : Nope__c"), std::string::npos) << result.message;
  }
  EXPECT_EQ(jobs(), 0U);
}

// Of every call after the job was made, each once without having been carried out and once with its answer lost.
TEST_F(SalesforceBulkWriter, LostAnswersLoseNothing) {
  for (const std::string op : {"ChangeIngestJob", "GetIngestJob", "GetIngestResults"}) {
    for (const bool is_carried_out : {false, true}) {
      organization_.entries(50);
      organization_.server.clear_rules();
      organization_.server.add_rule(
          {.op = op, .times = 1, .status = 503, .code = "SERVER_UNAVAILABLE", .apply = is_carried_out});
      const auto results = write(updates(50));
      for (uint64_t i = 0; i < 50; ++i) {
        ASSERT_EQ(results[i].status, Status::updated) << op << results[i].message;
        ASSERT_EQ(organization_.value(i), new_value(i));
      }
    }
  }
}

TEST_F(SalesforceBulkWriter, AnUploadThatFailsWritesNothing) {
  organization_.entries(50);
  organization_.server.add_rule({.op = "UploadIngestData", .times = 1, .status = 500, .code = "UNKNOWN_EXCEPTION"});
  const auto error = error_of([&] { write(updates(50)); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(error->retryable());
  EXPECT_EQ(organization_.value(0), old_value(0));
  EXPECT_EQ(write(updates(50)).at(49).status, Status::updated);
}

TEST_F(SalesforceBulkWriter, AJobThatNobodyWaitsForIsStopped) {
  organization_.entries(50);
  organization_.set({{"bulk_polls", 1'000'000}});
  std::chrono::steady_clock::time_point cancelled_at;
  std::thread other = cancel_after("GetIngestJob", 2, cancelled_at);
  const auto error = error_of([&] { write(updates(50)); });
  const auto end = std::chrono::steady_clock::now();
  other.join();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::cancelled);
  EXPECT_LT(end - cancelled_at, std::chrono::seconds(1));
  const std::string state =
      organization_.server.salesforce().with_store([](auto& store) { return store.jobs.begin()->second.state; });
  EXPECT_EQ(state, "Aborted");
  EXPECT_EQ(organization_.value(0), old_value(0));
}

TEST_F(SalesforceBulkWriter, TextsThatDoNotFitInOneJobTakeMore) {
  organization_.entries(1'300);
  auto all = updates(1'300);
  for (uint64_t i = 0; i < all.size(); ++i) all[i].value = new_value(i) + "/" + std::string(30'000, 'x');
  const auto results = write(all, "Notes__c");
  for (uint64_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(results[i].status, Status::updated) << i << results[i].message;
    ASSERT_TRUE(organization_.record(i)["values"]["Notes__c"] == *all[i].value) << i;
  }
  EXPECT_EQ(organization_.calls("CreateIngestJob"), 2U);
}

}  // namespace
}  // namespace waybill::salesforce
