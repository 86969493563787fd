// SPDX-License-Identifier: Apache-2.0
//
// Records by query jobs: each once and in order, from any checkpoint, whatever becomes of the job; and the way over to
// REST and back where a quota is used up.
#include <functional>
#include <set>

#include "connectors/salesforce_bulk_fixture.hpp"

namespace waybill::salesforce {
namespace {

using std::chrono::milliseconds;
using testing::fault::Rule;

class SalesforceBulkReader : public SalesforceJobs {};

// Once, instead of the real answer.
Rule answer(const std::string& op, const std::string& body, const testing::fault::Headers& headers = {}) {
  return {.op = op, .times = 1, .status = 200, .body = body, .headers = headers};
}
class SalesforceReads : public SalesforceJobs {};

// Within ten seconds.
bool comes_true(const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!what() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
  return what();
}

TEST_F(SalesforceBulkReader, ReadsEveryRecordOnceInTheOrderOfIds) {
  organization_.entries(7'300);
  organization_.set({{"bulk_page_records", 700}});
  const auto reader = read_by_bulk(*client_, selection(), "");
  const Read all = read(*reader);
  expect_records(all.ids, 0, 7'300);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U);
  EXPECT_EQ(organization_.calls("GetQueryResults"), 11U);
  EXPECT_EQ(jobs(), 0U) << "the job is deleted behind its last page";
}

TEST_F(SalesforceBulkReader, FieldsAreAsTheyStandInTheRecords) {
  organization_.entries(4);
  const std::string text = "a \"quoted\", text\r\nof two lines\n";
  organization_.server.control("salesforce_plant",
                               {{"object", TestOrganization::entry},
                                {"number", 1},
                                {"values", {{"Notes__c", text}, {"Document__c", nullptr}, {"Account__c", nullptr}}}});
  organization_.server.control(
      "salesforce_plant",
      {{"object", TestOrganization::entry}, {"number", 2}, {"values", {{"Notes__c", std::string("one\0two", 7)}}}});
  Selection wanted = selection();
  wanted.paths = {"Notes__c", "Account__r.Name", "Id", "Document__c"};
  wanted.where = "Size__c >= 1 OR Size__c = 0";
  const auto reader = read_by_bulk(*client_, wanted, "");
  EXPECT_TRUE(reader->next(context_).records.empty()) << "a checkpoint of the job alone";
  const RecordPage page = reader->next(context_);
  EXPECT_TRUE(page.is_last);
  ASSERT_EQ(page.records.size(), 4U);
  const Record null_record = {{"Id", TestOrganization::id(1)},
                              {"Notes__c", text},
                              {"Document__c", std::nullopt},
                              {"Account__r.Name", std::nullopt}};
  EXPECT_EQ(page.records[1], null_record);
  EXPECT_EQ(page.records[2].at("Notes__c"), "onetwo");
  EXPECT_EQ(page.records[3].at("Account__r.Name"), "Account 3");
  EXPECT_EQ(page.records[3].at("Document__c"), "https://old.example.com/docs/3.pdf");
}

TEST_F(SalesforceBulkReader, NoRecordsAreAnEnd) {
  organization_.entries(0);
  const Read all = read(*read_by_bulk(*client_, selection(), ""));
  EXPECT_TRUE(all.ids.empty());
  EXPECT_EQ(jobs(), 0U);
}

// Behind every page: also within a page of results, and with pages of another length than the first reader's.
TEST_F(SalesforceBulkReader, AnotherProcessGoesOnWithTheJob) {
  organization_.entries(9'000);
  organization_.set({{"bulk_page_records", 2'900}});
  const size_t n_pages = read(*read_by_bulk(*client_, selection(), "")).resumes.size();
  ASSERT_GT(n_pages, 6U);
  for (size_t n = 1; n < n_pages - 1; ++n) {
    organization_.set({{"bulk_page_records", 2'900}});
    const Read first = read(*read_by_bulk(*client_, selection(), ""), n);
    organization_.server.clear_log();
    organization_.set({{"bulk_page_records", n % 2 == 0 ? 50'000 : 1'100}});
    open();
    const Read rest = read(*read_by_bulk(*client_, selection(), first.resumes.back()));
    expect_records(rest.ids, first.counts.back(), 9'000);
    EXPECT_EQ(organization_.calls("CreateQueryJob"), 0U);
    EXPECT_EQ(jobs(), 0U);
  }
}

// What is not there any more is made again behind the last record, in the same process and in another one.
TEST_F(SalesforceBulkReader, ANewJobFollowsOneThatIsGone) {
  organization_.entries(9'000);  // more than is fetched ahead
  organization_.set({{"bulk_page_records", 2'500}});
  for (const bool is_other_process : {false, true}) {
    for (const std::string what : {"jobs", "locators"}) {
      auto reader = read_by_bulk(*client_, selection(), "");
      const Read first = read(*reader, 3);
      organization_.server.clear_log();
      organization_.server.control("salesforce_expire", {{"what", what}});
      if (is_other_process) {
        reader.reset();
        open();
        reader = read_by_bulk(*client_, selection(), first.resumes.back());
      }
      const Read rest = read(*reader);
      expect_records(rest.ids, first.counts.back(), 9'000);
      EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U) << what;
    }
  }
}

TEST_F(SalesforceBulkReader, AJobOfAnotherVersionIsNotGoneOnWith) {
  organization_.entries(5'000);
  const Read first = read(*read_by_bulk(*client_, selection(), ""), 2);
  open("&api_version=61.0");
  organization_.server.clear_log();
  expect_records(read(*read_by_bulk(*client_, selection(), first.resumes.back())).ids, first.counts.back(), 5'000);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U);
}

TEST_F(SalesforceBulkReader, AJobThatIsGoneAgainAndAgainIsAnError) {
  organization_.entries(10);
  organization_.server.add_rule({.op = "GetQueryResults", .status = 404, .code = "NOT_FOUND"});
  const auto reader = read_by_bulk(*client_, selection(), "");
  const auto error = error_of([&] { read(*reader); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 3U);
}

TEST_F(SalesforceBulkReader, AJobThatFailsSaysWhy) {
  organization_.entries(4'000);
  const Rule failed =
      answer("GetQueryJob", R"({"state":"Failed","errorMessage":"InternalServerError : too much at once"})");
  organization_.server.add_rule(failed);
  const auto reader = read_by_bulk(*client_, selection(), "");
  const auto error = error_of([&] { read(*reader); });
  ASSERT_TRUE(error);
  EXPECT_NE(error->message().find("too much at once"), std::string::npos) << error->message();
  EXPECT_TRUE(error->retryable());
  // Asked again it makes another one.
  expect_records(read(*reader).ids, 0, 4'000);

  // One that failed while nobody looked is made anew.
  const Read first = read(*read_by_bulk(*client_, selection(), ""), 2);
  organization_.server.add_rule(failed);
  expect_records(read(*read_by_bulk(*client_, selection(), first.resumes.back())).ids, first.counts.back(), 4'000);
}

TEST_F(SalesforceBulkReader, ResultsThatAreCutShortAreReadAgain) {
  organization_.entries(3'000);
  organization_.set({{"bulk_page_records", 1'000}});
  const testing::fault::Headers head = {{"Sforce-NumberOfRecords", "1000"}, {"Sforce-Locator", "null"}};
  const std::string names = "\"Account__r.Name\",\"Document__c\",\"Id\"\n";
  Rule cut = answer("GetQueryResults", names + "\"\",\"\",\"" + TestOrganization::id(1'000) + "\"\n", head);
  cut.nth = 2;
  organization_.server.add_rule(cut);
  const auto reader = read_by_bulk(*client_, selection(), "");
  const Read first = read(*reader, 1);
  const auto missing = error_of([&] { reader->next(context_); });
  ASSERT_TRUE(missing);
  EXPECT_TRUE(missing->retryable());
  EXPECT_NE(missing->message().find("1000 records has 1"), std::string::npos) << missing->message();

  organization_.server.add_rule(answer("GetQueryResults", names + "\"\",\"", head));
  const auto broken = error_of([&] { reader->next(context_); });
  ASSERT_TRUE(broken);
  EXPECT_NE(broken->message().find("not closed"), std::string::npos) << broken->message();
  expect_records(read(*reader).ids, 1'000, 3'000);
}

TEST_F(SalesforceBulkReader, TheNextPageIsFetchedWhileOneIsWorkedOn) {
  organization_.entries(5'000);
  organization_.set({{"bulk_page_records", 1'000}});
  const auto reader = read_by_bulk(*client_, selection(), "");
  Read all = read(*reader, 1);
  EXPECT_TRUE(comes_true([&] { return organization_.calls("GetQueryResults") == 2; })) << "nobody has asked for it yet";
  // The one that was fetched is the one that is given.
  organization_.server.add_rule({.op = "GetQueryResults", .nth = 1, .status = 503, .code = "SERVER_UNAVAILABLE"});
  const RecordPage second = reader->next(context_);
  EXPECT_EQ(second.records.front().at("Id"), TestOrganization::id(1'000));
  // Behind it one fails, and is asked for again in the open.
  expect_records(read(*reader).ids, 2'000, 5'000);
  EXPECT_EQ(organization_.calls("GetQueryResults"), 5U + 1U);
}

TEST_F(SalesforceBulkReader, WhoStopsDoesNotWaitForThePageAhead) {
  organization_.entries(5'000);
  organization_.set({{"bulk_page_records", 1'000}});
  organization_.server.add_rule({.op = "GetQueryResults", .nth = 2, .action = testing::fault::Action::delay, .delay_ms = 600'000});
  auto reader = read_by_bulk(*client_, selection(), "");
  const Read first = read(*reader, 1);
  std::chrono::steady_clock::time_point cancelled_at;
  std::thread other = cancel_after("GetQueryResults", 2, cancelled_at);
  const auto error = error_of([&] { reader->next(context_); });
  reader.reset();
  const auto end = std::chrono::steady_clock::now();
  other.join();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::cancelled);
  EXPECT_LT(end - cancelled_at, std::chrono::seconds(2));
  testing::TestContext again;
  const auto rest = read_by_bulk(*client_, selection(), first.resumes.back());
  EXPECT_EQ(rest->next(again).records.front().at("Id"), TestOrganization::id(1'000));
}

TEST_F(SalesforceBulkReader, FailuresOfAMomentAreWaitedOut) {
  organization_.entries(100);
  organization_.server.add_rule({.op = "GetQueryJob", .first = 3, .status = 503, .code = "SERVER_UNAVAILABLE"});
  expect_records(read(*read_by_bulk(*client_, selection(), "")).ids, 0, 100);
}

TEST_F(SalesforceBulkReader, WaitingForAJobEndsWithinASecondOfCancellation) {
  organization_.entries(100);
  organization_.set({{"bulk_polls", 1'000'000}});
  const auto reader = read_by_bulk(*client_, selection(), "");
  const std::string checkpoint = reader->next(context_).resume;
  std::chrono::steady_clock::time_point cancelled_at;
  std::thread other = cancel_after("GetQueryJob", 2, cancelled_at);
  const auto error = error_of([&] { reader->next(context_); });
  const auto end = std::chrono::steady_clock::now();
  other.join();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::cancelled);
  EXPECT_LT(end - cancelled_at, std::chrono::seconds(1));
  // The job is there for whoever goes on.
  organization_.set({{"bulk_polls", 0}});
  testing::TestContext again;
  const auto rest = read_by_bulk(*client_, selection(), checkpoint);
  EXPECT_EQ(rest->next(again).records.size(), 100U);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U);
}

TEST_F(SalesforceBulkReader, APlaceThatIsNoneIsRefused) {
  for (const std::string resume :
       {"x", "r", "rshort", "b", "b1/2/3/4", "b750000000000001AAA/x/y/", "b//0/short", "b///"}) {
    const auto error = error_of([&] { read_records(*client_, selection(), Reads::automatic, resume); });
    ASSERT_TRUE(error) << resume;
    EXPECT_EQ(error->error_class(), ErrorClass::configuration);
  }
}

TEST_F(SalesforceReads, ManyRecordsAreReadByAJobAndFewByRest) {
  organization_.entries(2'000 - 1);
  read(*read_records(*client_, selection(), Reads::automatic, ""));
  EXPECT_EQ(organization_.calls("Query"), 1U) << "one page is not counted first";
  organization_.entries(52'000);
  read(*read_records(*client_, selection(), Reads::automatic, ""), 2);
  EXPECT_EQ(organization_.calls("Query"), 1U + 3U) << "two pages, and a count of what is behind the first";
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 0U);

  organization_.entries(52'001);
  const auto reader = read_records(*client_, selection(), Reads::automatic, "");
  const Read first = read(*reader, 3);
  expect_records(first.ids, 0, first.ids.size());
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U);
  // A job is gone on with, however few records are left.
  organization_.server.clear_log();
  read(*read_records(*client_, selection(), Reads::automatic, first.resumes.back()), 1);
  EXPECT_EQ(organization_.calls("Query"), 0U);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 0U);
}

TEST_F(SalesforceReads, EitherWayGoesOnWhereTheOtherStopped) {
  organization_.entries(5'000);
  const Read by_bulk = read(*read_records(*client_, selection(), Reads::bulk, ""), 2);
  expect_records(read(*read_records(*client_, selection(), Reads::rest, by_bulk.resumes.back())).ids,
                 by_bulk.counts.back(), 5'000);
  const Read by_rest = read(*read_records(*client_, selection(), Reads::rest, ""), 1);
  expect_records(read(*read_records(*client_, selection(), Reads::bulk, by_rest.resumes.back())).ids,
                 by_rest.counts.back(), 5'000);
}

TEST_F(SalesforceReads, RestGoesOnWhereTheJobsOfTheDayAreUsedUp) {
  organization_.entries(9'000);  // more than is fetched ahead
  organization_.set({{"daily_query_jobs", 1}, {"bulk_page_records", 2'500}});
  const auto reader = read_records(*client_, selection(), Reads::bulk, "");
  const Read first = read(*reader, 3);
  // The job is lost, and a second one is refused.
  organization_.server.control("salesforce_expire", {{"what", "jobs"}});
  expect_records(read(*reader).ids, first.counts.back(), 9'000);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 2U);
  // Refused from the beginning.
  expect_records(read(*read_records(*client_, selection(), Reads::bulk, "")).ids, 0, 9'000);
}

// 120,000 records are 60 pages of REST, and 80 calls are ours: the last 50 of them are left to a job, which needs few.
TEST_F(SalesforceReads, AJobGoesOnBeforeTheCallsOfTheDayAreUsedUp) {
  organization_.entries(120'000);
  organization_.set({{"daily_calls", 100}});
  const auto reader = read_records(*client_, selection(), Reads::rest, "");
  expect_records(read(*reader).ids, 0, 120'000);
  EXPECT_GT(organization_.calls("Query"), 20U);
  EXPECT_LT(organization_.calls("Query"), 40U);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U);
  EXPECT_LT(organization_.usage().at("calls"), 60U);

  // Without jobs REST goes on with the calls that are left, and does not try again and again.
  organization_.usage({{"calls", 0}});
  organization_.set({{"daily_query_jobs", 1}});
  organization_.server.clear_log();
  open("&max_api_share=1");
  expect_records(read(*read_records(*client_, selection(), Reads::rest, "")).ids, 0, 120'000);
  EXPECT_EQ(organization_.calls("CreateQueryJob"), 1U);
  EXPECT_EQ(organization_.calls("Query"), 60U + 1U);
}

TEST_F(SalesforceReads, WhereAllCallsAreUsedUpNeitherWayLosesItsPlace) {
  organization_.entries(6'000);
  for (const Reads reads : {Reads::rest, Reads::bulk}) {
    organization_.set({{"daily_calls", 100'000}, {"bulk_page_records", 1'000}});
    open("&max_api_share=1");
    auto reader = read_records(*client_, selection(), reads, "");
    const Read first = read(*reader, 1);
    organization_.set({{"daily_calls", 1}});
    const auto error = error_of([&] { read(*reader); });  // a page may have been fetched ahead
    reader.reset();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::throttled);
    EXPECT_TRUE(error->retryable());
    organization_.set({{"daily_calls", 100'000}});
    open("&max_api_share=1");
    expect_records(read(*read_records(*client_, selection(), reads, first.resumes.back())).ids, first.counts.back(),
                   6'000);
  }
}

}  // namespace
}  // namespace waybill::salesforce
