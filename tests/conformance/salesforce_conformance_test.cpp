// SPDX-License-Identifier: Apache-2.0
//
// Salesforce under the conformance suite of catalogs: an organization of the fault server, in the modes that write at once.
#include "conformance/conformance.hpp"
#include "connectors/salesforce_fixture.hpp"

namespace waybill::conformance {

namespace {

using nlohmann::json;
using salesforce::TestOrganization;
using testing::fault::Rule;

constexpr const char* reader = "reader@example.com";

class SalesforceFixture : public CatalogFixture {
 public:
  explicit SalesforceFixture(const std::string& mode) : mode_(mode) {
    organization_.set({{"bulk_polls", 0},
                       {"users",
                        {TestOrganization::account(),
                         {{"name", reader}, {"read_only", {"DocListEntry__c.Document__c"}}}}}});
    // What the suite asks for has numbers of its own; all others are as if they had been deleted.
    json fields = {{{"name", "Document__c"}, {"type", "url"}, {"length", 200}}};
    for (const char* name : {"Folder__c", "FolderName__c", "FileName__c"}) fields.push_back({{"name", name}, {"length", 255}});
    organization_.server.control("salesforce_object",
                                 {{"name", TestOrganization::entry}, {"key_prefix", "a0B"}, {"fields", fields}, {"count", 20'000}, {"only_planted", true}});
    catalog_ = open_catalog(url(""));
  }

  Catalog& catalog() override { return *catalog_; }
  std::string field() const override { return "Document__c"; }
  void put(std::span<const ReferenceValue> records) override {
    for (const ReferenceValue& record : records) {
      json values = {{"Document__c", record.value ? json(*record.value) : json()},
                     {"Folder__c", record.partition},
                     {"FolderName__c", record.partition_name}};
      if (record.names.contains("FileName__c")) values["FileName__c"] = record.names.at("FileName__c");
      organization_.server.control("salesforce_plant", of(record.id.record, values));
    }
  }
  void set(const std::string& record, const std::optional<std::string>& value) override {
    organization_.server.control("salesforce_edit", of(record, {{"Document__c", value ? json(*value) : json()}}));
  }
  void remove(const std::string& record) override {
    organization_.server.control("salesforce_edit", of(record, {{"IsDeleted", true}}));
  }
  std::optional<std::string> value(const std::string& record) override {
    const json found = organization_.server.control("salesforce_record", {{"object", TestOrganization::entry}, {"id", record}});
    const json& held = found["values"]["Document__c"];
    return held.is_null() ? std::nullopt : std::optional(held.get<std::string>());
  }
  // Stamps are whole seconds, in which several changes go.
  Kept kept() const override { return {true, true, false, {"FileName__c"}}; }
  std::string record(int number) const override { return TestOrganization::id(static_cast<uint64_t>(number)); }
  bool can_hold_record(const std::string& record) const override { return record.size() == 18 && record.starts_with("a0B"); }
  // No text of Salesforce is empty or holds a NUL.
  bool can_hold_value(const std::optional<std::string>& value) const override {
    return !value || (!value->empty() && value->size() <= 200 && value->find('\0') == std::string::npos);
  }
  std::optional<std::string> refused_value() const override { return std::string(201, 'x'); }
  bool stall() override {
    Rule rule;
    rule.action = testing::fault::Action::stall;
    rule.place = testing::fault::Place::request;
    organization_.server.add_rule(rule);
    return true;
  }
  void resume() override { organization_.server.clear_rules(); }
  std::shared_ptr<Catalog> without_right_to_update() override {
    std::string login = organization_.jwt();
    login.replace(login.find(TestOrganization::user), std::string(TestOrganization::user).size(), reader);
    return open_catalog(url(login));
  }

 private:
  static json of(const std::string& record, const json& values) {
    return {{"object", TestOrganization::entry}, {"id", record}, {"values", values}};
  }
  std::string url(const std::string& login) const {
    return organization_.url("DocListEntry__c.Document__c", login,
                             "&partition=Folder__c&partition_name=FolderName__c&names=FileName__c&mode=" + mode_);
  }

  const std::string mode_;
  TestOrganization organization_;
  std::shared_ptr<Catalog> catalog_;
};

class SalesforceSafe final : public SalesforceFixture {
 public:
  SalesforceSafe() : SalesforceFixture("safe") {}
};

class SalesforceFast final : public SalesforceFixture {
 public:
  SalesforceFast() : SalesforceFixture("fast") {}
};

// All by jobs of the Bulk API.
class SalesforceFrozen final : public SalesforceFixture {
 public:
  SalesforceFrozen() : SalesforceFixture("frozen&reads=bulk") {}
};

}  // namespace

WAYBILL_CONFORMANCE_CATALOG(SalesforceSafe, SalesforceSafe);
WAYBILL_CONFORMANCE_CATALOG(SalesforceFast, SalesforceFast);
WAYBILL_CONFORMANCE_CATALOG(SalesforceFrozen, SalesforceFrozen);

}  // namespace waybill::conformance
