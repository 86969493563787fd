// SPDX-License-Identifier: Apache-2.0
//
// Logging in to Salesforce, and keeping a session and a budget of calls.
#include <fcntl.h>

#include <atomic>
#include <thread>

#include "base/text.hpp"
#include "connectors/salesforce/budget.hpp"
#include "connectors/salesforce/config.hpp"
#include "connectors/salesforce/soql.hpp"
#include "connectors/salesforce_fixture.hpp"

namespace waybill::salesforce {
namespace {

using testing::fault::Rule;

class SalesforceLogin : public SalesforceTest {
 protected:
  SalesforceLogin() { organization_.entries(10); }

  std::string token_file(const std::string& token) {
    const auto path = std::filesystem::temp_directory_path() / ("waybill-token-" + std::to_string(::getpid()));
    std::ofstream(path) << token << "\n";
    return path.string();
  }
  std::optional<Error> failure(const std::string& login) {
    return error_of([&] { catalog("", login)->check(CatalogAccess::read, context_); });
  }
  size_t listed(const std::string& login) { return list(*catalog("", login)).size(); }
  static std::string text_of(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  const std::string by_secret_ = std::string("client_id=") + TestOrganization::client_id + "&client_secret=env:WAYBILL_TEST_CLIENT_SECRET";
  const std::string by_password_ = std::string("username=") + TestOrganization::user +
                                   "&password=env:WAYBILL_TEST_PASSWORD&security_token=env:WAYBILL_TEST_SECURITY_TOKEN";
};

TEST_F(SalesforceLogin, ByEachOfTheFourWays) {
  organization_.set({{"apps", {organization_.app({{"refresh_tokens", {"refresh-1"}}})}}});
  const std::string by_token = std::string("client_id=") + TestOrganization::client_id + "&refresh_token=file:" + token_file("refresh-1");
  for (const std::string& login : {organization_.jwt(), by_secret_, by_token, by_password_}) {
    SCOPED_TRACE(login);
    EXPECT_EQ(listed(login), 10U);
  }
  EXPECT_EQ(organization_.usage()["logins"], 4);
  ASSERT_EQ(context_.lines().size(), 1U) << "the password warns, and nothing else";
  EXPECT_NE(context_.lines().front().second.find("Summer '27"), std::string::npos);
}

TEST_F(SalesforceLogin, SandboxesAskForAssertionsOfTheirOwnAudience) {
  organization_.set({{"is_sandbox", true}});
  const auto sandbox = open_catalog("salesforce://acme--dev.sandbox.my.salesforce.com/DocListEntry__c.Document__c?endpoint=" +
                                    organization_.server.endpoint() + "&" + organization_.jwt());
  EXPECT_NO_THROW(sandbox->check(CatalogAccess::read, context_));
  const auto error = failure("");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::auth);
  EXPECT_NE(error->message().find("audience"), std::string::npos) << error->message();
}

TEST_F(SalesforceLogin, ARefreshTokenThatIsReplacedIsKept) {
  organization_.set({{"apps", {organization_.app({{"refresh_tokens", {"refresh-1"}}, {"rotates_refresh_tokens", true}})}},
                     {"session_calls", 3}});
  const std::string file = token_file("refresh-1");
  const std::string login = std::string("client_id=") + TestOrganization::client_id + "&refresh_token=file:" + file;
  EXPECT_EQ(listed(login), 10U);
  const std::string second = text_of(file);
  EXPECT_NE(second, "refresh-1\n");
  EXPECT_FALSE(second.empty());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(listed(login), 10U);
  EXPECT_NE(text_of(file), second);
  EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(SalesforceLogin, ATokenThatIsReplacedServesManyProcessesInTurn) {
  organization_.set({{"apps", {organization_.app({{"refresh_tokens", {"refresh-1"}}, {"rotates_refresh_tokens", true}})}}});
  const std::string login = std::string("client_id=") + TestOrganization::client_id + "&refresh_token=file:" + token_file("refresh-1");
  std::vector<std::thread> threads;
  std::atomic<int> n_listed{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {  // each with a client of its own, as a process has
      testing::TestContext own;
      n_listed += static_cast<int>(catalog("", login)->list({}, own)->next(own).references.size());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_listed, 80);
}

TEST_F(SalesforceLogin, AHiccupOfALoginIsTriedAgainByWhoMay) {
  Rule rule;
  rule.op = "Token";
  rule.status = 400;
  rule.body = R"({"error":"unknown_error","error_description":"retry your request"})";
  rule.times = 1;
  organization_.server.add_rule(rule);
  const auto error = failure("");
  ASSERT_TRUE(error);
  EXPECT_TRUE(error->retryable()) << error->message();
  EXPECT_FALSE(failure(""));
}

TEST_F(SalesforceLogin, WhatIsRefusedSaysWhyAndWhatToDo) {
  const auto says = [&](const std::string& login, const std::string& what) {
    const auto error = failure(login);
    ASSERT_TRUE(error) << login;
    EXPECT_EQ(error->error_class(), ErrorClass::auth) << error->message();
    EXPECT_FALSE(error->retryable());
    EXPECT_NE(error->message().find(what), std::string::npos) << error->message();
  };
  says("client_id=other&client_secret=env:WAYBILL_TEST_CLIENT_SECRET", "check client_id");
  ::setenv("WAYBILL_TEST_WRONG", "wrong", 1);
  says(std::string("client_id=") + TestOrganization::client_id + "&client_secret=env:WAYBILL_TEST_WRONG", "the secret");
  says(std::string("username=") + TestOrganization::user + "&password=env:WAYBILL_TEST_WRONG", "security_token");
  says(std::string("client_id=") + TestOrganization::client_id + "&client_secret=env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE");
  says(std::string("client_id=") + TestOrganization::client_id + "&refresh_token=file:/nowhere/token", "/nowhere/token");
  organization_.set({{"soap_login", false}});
  says(by_password_, "use JWT bearer");
  organization_.set({{"apps", {organization_.app({{"certificate", ""}})}}});
  says(organization_.jwt(), "certificate is expired");
  organization_.set({{"apps", {organization_.app({{"approved", {"someone@example.com"}}})}}});
  says(organization_.jwt(), "policies");
}

TEST_F(SalesforceLogin, AClockThatIsBehindIsMadeUpForByTheServersDate) {
  constexpr int day_s = 86'400;
  organization_.set({{"clock_offset_s", day_s}});
  const auto error = failure("");
  ASSERT_TRUE(error) << "nothing tells the server's time";
  EXPECT_NE(error->message().find("clock"), std::string::npos) << error->message();
  Rule rule;
  rule.op = "Token";
  rule.status = 400;
  rule.body = R"({"error":"invalid_grant","error_description":"expired authorization code"})";
  rule.headers = {{"Date", internal::format_http_date(internal::now_ms() / 1000 + day_s)}};
  rule.times = 1;
  organization_.server.add_rule(rule);
  EXPECT_FALSE(failure(""));
}

TEST_F(SalesforceLogin, AnotherHostIsNoOrganization) {
  Rule rule;
  rule.op = "Token";
  rule.status = 404;
  rule.body = "<html>Not here</html>";
  organization_.server.add_rule(rule);
  const auto error = failure("");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::configuration);
  EXPECT_NE(error->message().find("My Domain"), std::string::npos) << error->message();
}

TEST_F(SalesforceLogin, ManyThreadsLogInOnce) {
  const auto shared = catalog();
  std::vector<std::thread> threads;
  std::atomic<int> n_listed{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      testing::TestContext own;
      const auto lister = shared->list({}, own);
      n_listed += static_cast<int>(lister->next(own).references.size());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_listed, 80);
  EXPECT_EQ(organization_.usage()["logins"], 1);
}

TEST_F(SalesforceLogin, ASessionThatEndsIsOpenedAnewOnce) {
  organization_.set({{"session_calls", 5}});
  const auto one = catalog();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(list(*one).size(), 10U);
  EXPECT_LE(organization_.usage()["logins"].get<int>(), 11);
  EXPECT_GE(organization_.usage()["logins"].get<int>(), 10);
}

TEST_F(SalesforceLogin, ASessionThatIsRefusedForWhatItIsIsNotOpenedAgain) {
  const auto one = catalog();
  ASSERT_EQ(list(*one).size(), 10U);
  Rule rule;
  rule.op = "Query";
  rule.status = 401;
  rule.body = R"([{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}])";
  organization_.server.add_rule(rule);
  const auto error = error_of([&] { list(*one); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::auth);
  EXPECT_EQ(organization_.usage()["logins"], 1);
}

TEST_F(SalesforceLogin, TheShareOfTheBusinessIsLeftAndTheRestGoesOnWhenTheDayDoes) {
  organization_.set({{"daily_calls", 100}});
  organization_.usage({{"calls", 78}});
  const auto one = catalog();  // with the default share of 0.8
  std::optional<Error> error;
  for (int i = 0; i < 10 && !error; ++i) error = error_of([&] { list(*one); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::throttled);
  EXPECT_TRUE(error->retryable());
  EXPECT_TRUE(error->retry_after());
  EXPECT_NE(error->message().find("80 of 100"), std::string::npos) << error->message();
  EXPECT_LE(organization_.usage()["calls"].get<int>(), 81);
  organization_.usage({{"calls", 3}});
  context_.sleep(std::chrono::milliseconds(1100));
  EXPECT_EQ(list(*one).size(), 10U);
}

TEST_F(SalesforceLogin, TooManyCallsAtOnceAreTriedAgainFewerAtOnce) {
  Rule rule;
  rule.op = "Query";
  rule.status = 403;
  rule.body = R"([{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}])";
  rule.times = 1;
  organization_.server.add_rule(rule);
  const auto one = catalog();
  const auto error = error_of([&] { list(*one); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(error->retryable());
  EXPECT_EQ(error->error_class(), ErrorClass::throttled);
  EXPECT_EQ(list(*one).size(), 10U) << "and nothing waits for another day";
}

TEST(SalesforceBudget, FewerCallsAreUnderWayAfterTooMany) {
  testing::TestContext context;
  Budget budget(1);
  std::vector<Budget::Place> places;
  for (int i = 0; i < 8; ++i) places.push_back(budget.enter(context));
  budget.note_too_many();
  for (int i = 0; i < 4; ++i) places.pop_back();
  context.set_deadline(Context::Clock::now() + std::chrono::milliseconds(300));
  EXPECT_THROW(budget.enter(context), Error);
  places.pop_back();
  testing::TestContext another;
  EXPECT_NO_THROW(places.push_back(budget.enter(another)));
}

TEST(SalesforceBudget, ReadsTheUsageOfAnAnswer) {
  const auto usage = parse_limit_info("api-usage=25/5000; per-app-api-usage=17/250(appName=sample)");
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->used, 25U);
  EXPECT_EQ(usage->total, 5000U);
  EXPECT_FALSE(parse_limit_info("per-app-api-usage=17/250(appName=sample)"));
  EXPECT_FALSE(parse_limit_info(""));
  EXPECT_FALSE(parse_limit_info("api-usage=x/y"));
}

TEST(SalesforceIds, OfFifteenAndEighteenCharactersAreOne) {
  EXPECT_EQ(long_id("001D000000IqhSL"), "001D000000IqhSLIAZ");
  EXPECT_EQ(long_id("001D000000IqhSLIAZ"), "001D000000IqhSLIAZ");
  EXPECT_EQ(long_id("001D000000IqhSLiaz"), "001D000000IqhSLIAZ");
  EXPECT_FALSE(long_id("001D000000IqhSLIAA"));
  EXPECT_FALSE(long_id("001D000000IqhS"));
  EXPECT_FALSE(long_id("001D000000Iqh'L"));
}

TEST(SalesforceUrls, SayWhatIsWrong) {
  const auto says = [](const std::string& url, const std::string& what) {
    try {
      FieldConfig::parse(Url::parse(url));
      ADD_FAILURE() << url;
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::configuration);
      EXPECT_NE(error.message().find(what), std::string::npos) << error.message();
      EXPECT_EQ(error.message().find("hunter2"), std::string::npos) << error.message();
    }
  };
  const std::string base = "salesforce://acme.my.salesforce.com/A__c.B__c";
  const std::string good = "?client_id=x&client_secret=env:NAME";
  says(base, "no way to log in");
  says(base + "?client_id=x&client_secret=hunter2", "env:NAME or file:/path");
  says(base + good + "&key=file:/k&password=env:P", "three ways");
  says(base + "?key=file:/k&client_id=x", "username");
  says("salesforce://login.salesforce.com/A__c.B__c" + good, "My Domain");
  says("salesforce://acme.my.salesforce.com/A__c" + good, "Object.Field");
  says(base + good + "&mod=safe", "did you mean \"mode\"");
  says(base + good + "&mode=safer", "safe, fast, frozen");
  says(base + good + "&api_version=48.0", "49.0");
  says("salesforce://acme.my.saleforce.com/A__c.B__c" + good, "no host of Salesforce");
  says("salesforce://acme.my.salesforce.com%40evil.example/A__c.B__c" + good, "no host of Salesforce");
  says(base + good + "&security_token=env:T", "belongs to a password");
  says(base + good + "&max_api_share=2", "at most 1");
  says(base + good + "&endpoint=http://example.com", "https");
  says(base + good + "&partition=a%20b", "no path of fields");
  says(base + "?client_id=x&refresh_token=env:NAME", "file:/path");
}

TEST(SalesforceUrls, KeepWhereTheirSecretsAre) {
  const std::string url = "salesforce://acme.my.salesforce.com/A__c.B__c?client_id=x&key=file:/keys/k.pem&username=u%40example.com&mode=fast";
  EXPECT_EQ(internal::redact_store_url(url), url);
  EXPECT_EQ(internal::redact_store_url("salesforce://acme.my.salesforce.com/A__c.B__c?client_secret=hunter2"),
            "salesforce://acme.my.salesforce.com/A__c.B__c?client_secret=***");
}

}  // namespace
}  // namespace waybill::salesforce
