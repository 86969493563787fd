// SPDX-License-Identifier: Apache-2.0
//
// A field of Salesforce as a Catalog: what it lists, how it is written, and what an edit in between comes to.
#include <set>

#include "connectors/salesforce_fixture.hpp"

namespace waybill::salesforce {
namespace {

using Status = UpdateResult::Status;
using testing::fault::Rule;

class SalesforceCatalogs : public SalesforceTest {
 protected:
  static ReferenceId reference(uint64_t number) {
    return {std::string("salesforce:") + TestOrganization::host + "/DocListEntry__c.Document__c", TestOrganization::id(number), "Document__c"};
  }
  static std::string old_value(uint64_t number) { return "https://old.example.com/docs/" + std::to_string(number) + ".pdf"; }
  static std::string new_value(uint64_t number) { return "https://new.example.com/" + std::to_string(number); }

  /// Reads `count` records from `first` on and updates them, as the engine does.
  std::vector<UpdateResult> switch_over(Catalog& catalog, uint64_t count, uint64_t first = 0) {
    std::vector<ReferenceId> ids;
    for (uint64_t i = first; i < first + count; ++i) ids.push_back(reference(i));
    const std::vector<ReferenceValue> now = catalog.read(ids, context_);
    std::vector<ReferenceUpdate> updates;
    for (uint64_t i = 0; i < count; ++i) updates.push_back({ids[i], now[i].value, new_value(first + i), now[i].stamp});
    return catalog.update(updates, context_);
  }
  size_t count_of(const std::vector<UpdateResult>& results, Status status) {
    return static_cast<size_t>(std::count_if(results.begin(), results.end(), [&](const auto& one) { return one.status == status; }));
  }
};

TEST_F(SalesforceCatalogs, ListsEveryRecordOnceWithWhatBelongsToIt) {
  organization_.entries(4'500, 7);
  const auto one = catalog("&names=Name,Size__c");
  const auto all = list(*one);
  ASSERT_EQ(all.size(), 4'500U);
  std::set<std::string> records;
  for (const ReferenceValue& reference : all) records.insert(reference.id.record);
  EXPECT_EQ(records.size(), 4'500U);
  const ReferenceValue& first = all.front();
  EXPECT_EQ(first.id, reference(0));
  EXPECT_EQ(first.value, old_value(0));
  EXPECT_EQ(first.partition, testing::fault::salesforce_id("001", 0));
  EXPECT_EQ(first.partition_name, "Account 0");
  EXPECT_EQ(first.names.at("Name"), "DLE-00000000");
  EXPECT_EQ(first.names.at("Size__c").substr(0, 1), "0");
  EXPECT_EQ(first.stamp, "2025-01-01T00:00:00.000Z");
  EXPECT_EQ(organization_.calls("Query"), 4U) << "three pages, and a count of what is behind the first";
}

TEST_F(SalesforceCatalogs, AListingGoesOnWhereAnotherProcessStopped) {
  organization_.entries(5'000);
  const auto first = catalog();
  const ReferencePage page = first->list({}, context_)->next(context_);
  ASSERT_FALSE(page.is_last);
  // What is before is not looked at again, and what was edited meanwhile is not missed.
  organization_.edit(4'999, {{"Document__c", "https://users.example.com/"}});
  const auto second = catalog();
  const auto rest = list(*second, Since{"", page.resume});
  EXPECT_EQ(rest.size() + page.references.size(), 5'000U);
  EXPECT_EQ(rest.front().id, reference(page.references.size()));
  EXPECT_EQ(rest.back().value, "https://users.example.com/");
  EXPECT_THROW(list(*second, Since{"", "nonsense"}), Error);
}

TEST_F(SalesforceCatalogs, WhatChangedSinceAStampIsListedWithTenMinutesBefore) {
  organization_.entries(3'000);  // one a second
  const auto changed = list(*catalog(), Since{"2025-01-01T00:40:00.000Z", ""});
  ASSERT_EQ(changed.size(), 3'000U - 1'800U);
  EXPECT_EQ(changed.front().stamp, "2025-01-01T00:30:00.000Z");
  EXPECT_THROW(list(*catalog(), Since{"yesterday", ""}), Error);
}

TEST_F(SalesforceCatalogs, RecordsOfPagesThatComeShorterAreAllThere) {
  organization_.set({{"page_records", 300}});
  organization_.entries(1'000);
  EXPECT_EQ(list(*catalog()).size(), 1'000U);
}

TEST_F(SalesforceCatalogs, ReadsNullGoneAndIdsOfFifteenCharacters) {
  organization_.entries(5);
  organization_.edit(1, {{"Document__c", nullptr}});
  organization_.edit(2, {{"IsDeleted", true}});
  const auto one = catalog();
  std::vector<ReferenceId> ids = {reference(0), reference(1), reference(2), reference(3)};
  ids[0].record.resize(15);
  ids[3].record = TestOrganization::id(99);
  const auto values = one->read(ids, context_);
  ASSERT_EQ(values.size(), 4U);
  EXPECT_EQ(values[0].value, old_value(0));
  EXPECT_EQ(values[0].id, reference(0)) << "as a listing names it";
  EXPECT_FALSE(values[1].value);
  EXPECT_FALSE(values[1].is_gone);
  EXPECT_TRUE(values[2].is_gone);
  EXPECT_TRUE(values[3].is_gone);
  // What is no id is no record, and hinders nobody.
  ids[0].record = "no id";
  EXPECT_TRUE(one->read(ids, context_)[0].is_gone);
  const ReferenceUpdate update{ids[0], "x", "y", ""};
  const UpdateResult refused = one->update({&update, 1}, context_).front();
  EXPECT_EQ(refused.status, Status::failed);
  EXPECT_NE(refused.message.find("15 or 18"), std::string::npos) << refused.message;
}

TEST_F(SalesforceCatalogs, CheckNamesWhatIsNotThere) {
  organization_.entries(5);
  const auto says = [&](const std::string& path, const std::string& more, const std::string& what, ErrorClass error_class) {
    const auto error = error_of([&] { catalog(more, "", path)->check(CatalogAccess::update, context_); });
    ASSERT_TRUE(error) << path << more;
    EXPECT_EQ(error->error_class(), error_class) << error->message();
    EXPECT_NE(error->message().find(what), std::string::npos) << error->message();
  };
  says("DocListEntri__c.Document__c", "", "did you mean \"DocListEntry__c\"", ErrorClass::configuration);
  says("DocListEntry__c.Documnt__c", "", "did you mean \"Document__c\"", ErrorClass::configuration);
  says("DocListEntry__c.Document__c", "&names=Nam", "did you mean \"Name\"", ErrorClass::configuration);
  says("DocListEntry__c.Document__c", "&names=Acount__r.Name", "did you mean \"Account__r\"", ErrorClass::configuration);
  says("DocListEntry__c.Size__c", "", "holds no URLs", ErrorClass::configuration);
  says("DocListEntry__c.Document__c", "&api_version=99.0", "api_version", ErrorClass::configuration);
  organization_.set({{"users", {TestOrganization::account({{"read_only", {"DocListEntry__c.Document__c"}}})}}});
  says("DocListEntry__c.Document__c", "", "may not edit the field", ErrorClass::permission);
  EXPECT_NO_THROW(catalog()->check(CatalogAccess::read, context_)) << "a copy needs no right to write";
  organization_.set({{"users", {TestOrganization::account({{"hidden", {"DocListEntry__c.Document__c"}}})}}});
  says("DocListEntry__c.Document__c", "", "no field Document__c", ErrorClass::configuration);
  organization_.set({{"users", {TestOrganization::account({{"may_use_api", false}})}}});
  says("DocListEntry__c.Document__c", "", "API Enabled", ErrorClass::permission);
  organization_.set({{"users", {TestOrganization::account()}}, {"first_version", 63}});
  says("DocListEntry__c.Document__c", "", "api_version", ErrorClass::configuration);
}

TEST_F(SalesforceCatalogs, CapabilitiesSayHowLongAValueMayBe) {
  organization_.entries(5, 5, 80);
  const auto safe = catalog()->capabilities();
  EXPECT_EQ(safe.max_value_length, 80U);
  EXPECT_EQ(safe.conditional, Catalog::Conditional::weak);
  EXPECT_EQ(catalog("&mode=fast")->capabilities().conditional, Catalog::Conditional::none);
}

TEST_F(SalesforceCatalogs, WritesInFewCallsInBothModes) {
  organization_.entries(2'000);
  for (const std::string mode : {"&mode=fast", "&mode=safe"}) {
    SCOPED_TRACE(mode);
    organization_.entries(2'000);
    const auto one = catalog(mode);
    list(*one);
    const auto before = organization_.usage()["calls"].get<int>();
    EXPECT_EQ(count_of(switch_over(*one, 2'000), Status::updated), 2'000U);
    EXPECT_EQ(organization_.usage()["calls"].get<int>() - before, mode == "&mode=fast" ? 6 : 12)
        << "a look and 5 calls for 400 records each; or a look, another one, and 10 for 200";
    EXPECT_EQ(organization_.value(0), new_value(0));
    EXPECT_EQ(organization_.value(1'999), new_value(1'999));
    const json writes = organization_.server.control("salesforce_writes", {{"object", "DocListEntry__c"}, {"field", "Document__c"}});
    EXPECT_EQ(writes["most"], 1);
  }
}

TEST_F(SalesforceCatalogs, NullIsWrittenAsNull) {
  organization_.entries(3);
  const auto one = catalog("&mode=fast");
  const ReferenceUpdate update{reference(1), old_value(1), std::nullopt, ""};
  EXPECT_EQ(one->update({&update, 1}, context_).front().status, Status::updated);
  EXPECT_EQ(organization_.value(1), "(null)");
}

TEST_F(SalesforceCatalogs, BehindItsGuardNothingIsWrittenOverAnEdit) {
  organization_.entries(450);
  const auto one = catalog("&mode=safe");
  // Between the look and the write of the second collection.
  organization_.edit(250, {{"Document__c", "https://users.example.com/"}}, {{"op", "Composite"}, {"nth", 2}});
  const auto results = switch_over(*one, 450);
  EXPECT_EQ(count_of(results, Status::updated), 449U) << "a second look goes on without it";
  EXPECT_EQ(results[250].status, Status::conflict);
  EXPECT_EQ(organization_.value(250), "https://users.example.com/");
  EXPECT_EQ(organization_.value(249), new_value(249));
  EXPECT_EQ(organization_.calls("Composite"), 4U);
  const json history = organization_.record(250)["history"];
  for (const json& change : history) EXPECT_EQ(change["call"], "user");
}

TEST_F(SalesforceCatalogs, WithoutAGuardAnEditJustBeforeTheWriteIsPutBack) {
  organization_.entries(450);
  organization_.edit(250, {{"Document__c", "https://users.example.com/"}}, {{"op", "Composite"}});
  organization_.edit(251, {{"Document__c", nullptr}}, {{"op", "Composite"}});
  const auto results = switch_over(*catalog("&mode=fast"), 450);
  EXPECT_EQ(count_of(results, Status::updated), 448U);
  EXPECT_EQ(results[250].status, Status::conflict);
  EXPECT_EQ(organization_.value(250), "https://users.example.com/");
  EXPECT_EQ(organization_.value(251), "(null)");
  EXPECT_TRUE(context_.lines().empty());
}

TEST_F(SalesforceCatalogs, WhatCannotBePutBackIsTold) {
  organization_.entries(10);
  organization_.edit(5, {{"Document__c", "https://users.example.com/"}}, {{"op", "Composite"}});
  Rule rule;
  rule.op = "UpdateCollection";
  organization_.server.add_rule(rule);
  switch_over(*catalog("&mode=fast"), 10);
  ASSERT_EQ(context_.lines().size(), 1U);
  EXPECT_EQ(context_.lines().front().first, LogLevel::error);
  EXPECT_NE(context_.lines().front().second.find(TestOrganization::id(5)), std::string::npos);
  EXPECT_NE(context_.lines().front().second.find("https://users.example.com/"), std::string::npos);
}

TEST_F(SalesforceCatalogs, AnEditIsPutBackThoughTheDayIsUsedUpAndTheFirstTryFails) {
  organization_.entries(10);
  organization_.set({{"daily_calls", 100}});
  const auto one = catalog("&mode=fast");
  organization_.usage({{"calls", 78}});  // the composite is the last below the share
  organization_.edit(5, {{"Document__c", "https://users.example.com/"}}, {{"op", "Composite"}});
  Rule rule;
  rule.op = "UpdateCollection";
  rule.times = 1;
  organization_.server.add_rule(rule);
  switch_over(*one, 10);
  EXPECT_EQ(organization_.value(5), "https://users.example.com/");
  EXPECT_TRUE(context_.lines().empty());
}

TEST_F(SalesforceCatalogs, ValuesThatLookLikeReferencesOfAComposite) {
  organization_.entries(3);
  for (const char* mode : {"&mode=fast", "&mode=safe"}) {
    const auto one = catalog(mode);
    const std::string awkward = std::string("https://x.example.com/?f=@{guard.records[0].Id}") + mode;
    const auto now = one->read(std::vector<ReferenceId>{reference(1)}, context_);
    const ReferenceUpdate update{reference(1), now[0].value, awkward, now[0].stamp};
    EXPECT_EQ(one->update({&update, 1}, context_).front().status, Status::updated);
    EXPECT_EQ(organization_.value(1), awkward);
  }
}

TEST_F(SalesforceCatalogs, FieldsMayBeSpelledInAnyCase) {
  organization_.entries(3);
  const auto all = list(*catalog("&partition=account__c&names=NAME", "", "doclistentry__c.DOCUMENT__C"));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].value, old_value(0));
  EXPECT_FALSE(all[0].partition.empty());
  EXPECT_EQ(all[0].names.at("NAME"), "DLE-00000000");
}

TEST_F(SalesforceCatalogs, AGuardThatLetsNothingThroughSaysSo) {
  organization_.entries(3);
  Rule rule;  // as if there were an edit each time
  rule.op = "Composite";
  rule.status = 200;
  rule.body = R"({"compositeResponse":[{"httpStatusCode":200,"referenceId":"guard","body":{"totalSize":2,"done":true,"records":[]}},
    {"httpStatusCode":400,"referenceId":"proof","body":[{"errorCode":"PROCESSING_HALTED","message":"No value"}]},
    {"httpStatusCode":400,"referenceId":"write","body":[{"errorCode":"PROCESSING_HALTED","message":"No value"}]}]})";
  organization_.server.add_rule(rule);
  const auto results = switch_over(*catalog("&mode=safe"), 3);
  EXPECT_EQ(count_of(results, Status::conflict), 3U);
  EXPECT_TRUE(results[0].retryable);
  EXPECT_EQ(organization_.value(0), old_value(0));
}

TEST_F(SalesforceCatalogs, RecordsThatAreRefusedDoNotHinderTheOthers) {
  organization_.entries(200);
  organization_.server.control("salesforce_fail_records", {{"object", "DocListEntry__c"},
                                                           {"numbers", {3, 199}},
                                                           {"code", "FIELD_CUSTOM_VALIDATION_EXCEPTION"},
                                                           {"message", "Not on a Sunday"}});
  for (const char* mode : {"&mode=fast", "&mode=safe"}) {
    SCOPED_TRACE(mode);
    const auto results = switch_over(*catalog(mode), 200);
    EXPECT_EQ(count_of(results, Status::updated), 198U);
    EXPECT_EQ(results[199].status, Status::failed);
    EXPECT_EQ(results[199].error_class, ErrorClass::unsupported);
    EXPECT_FALSE(results[199].retryable);
    EXPECT_NE(results[3].message.find("Not on a Sunday"), std::string::npos) << results[3].message;
  }
}

TEST_F(SalesforceCatalogs, LockedRecordsAreTriedAgainAlone) {
  organization_.entries(400);
  organization_.server.control("salesforce_fail_records",
                               {{"object", "DocListEntry__c"}, {"every", 50}, {"times", 8}, {"code", "UNABLE_TO_LOCK_ROW"}});
  EXPECT_EQ(count_of(switch_over(*catalog("&mode=fast"), 400), Status::updated), 400U);
  organization_.server.control("salesforce_fail_records", {{"object", "DocListEntry__c"}, {"numbers", {7}}, {"code", "UNABLE_TO_LOCK_ROW"}});
  const auto results = switch_over(*catalog("&mode=fast"), 10);
  EXPECT_EQ(results[7].status, Status::failed);
  EXPECT_EQ(results[7].error_class, ErrorClass::conflict);
  EXPECT_TRUE(results[7].retryable) << "the lock may be somebody else's";
}

TEST_F(SalesforceCatalogs, WhatIsKnownOfAHalfWrittenBatchIsTold) {
  organization_.entries(1'000);
  Rule rule;
  rule.op = "Composite";
  rule.from = 2;
  rule.times = 1;
  rule.status = 500;
  rule.code = "UNKNOWN_EXCEPTION";
  rule.apply = true;
  organization_.server.add_rule(rule);
  const auto results = switch_over(*catalog("&mode=fast"), 1'000);
  EXPECT_EQ(count_of(results, Status::updated), 400U);
  EXPECT_EQ(count_of(results, Status::unknown), 600U);
  EXPECT_TRUE(results.back().retryable);
  EXPECT_EQ(organization_.value(799), new_value(799)) << "it was carried out, and only its answer was lost";
}

TEST_F(SalesforceCatalogs, AFieldThatIsTooShortIsSaid) {
  organization_.entries(2, 2, 30);
  const auto results = switch_over(*catalog("&mode=fast"), 1);
  EXPECT_EQ(results[0].status, Status::updated);
  const ReferenceUpdate update{reference(1), old_value(1), "https://new.example.com/" + std::string(30, 'x'), ""};
  const auto refused = catalog("&mode=fast")->update({&update, 1}, context_);
  EXPECT_EQ(refused[0].error_class, ErrorClass::too_large) << refused[0].message;
}

TEST_F(SalesforceCatalogs, NothingSecretIsInErrorsOrLines) {
  organization_.entries(5);
  const auto one = catalog();
  one->check(CatalogAccess::update, context_);
  std::vector<std::string> texts;
  for (const char* op : {"Query", "Describe", "GetCollection", "Composite"}) {
    Rule rule;
    rule.op = op;
    rule.status = 400;
    rule.code = "INVALID_FIELD";
    const uint64_t number = organization_.server.add_rule(rule);
    for (const auto& error : {error_of([&] { list(*one); }), error_of([&] { one->check(CatalogAccess::read, context_); }),
                              error_of([&] { switch_over(*one, 2); })}) {
      if (error) texts.push_back(error->message());
    }
    organization_.server.remove_rule(number);
  }
  EXPECT_GE(texts.size(), 4U);
  for (const auto& [level, line] : context_.lines()) texts.push_back(line);
  for (const std::string& text : texts) {
    EXPECT_EQ(text.find("Bearer"), std::string::npos) << text;
    EXPECT_EQ(text.find("00D5g"), std::string::npos) << text;  // sessions begin with the organization's id
    EXPECT_EQ(text.find("BEGIN"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace waybill::salesforce
