// SPDX-License-Identifier: Apache-2.0
//
// A fault server whose Salesforce has a user, a connected app and entries below accounts, and the connector opened on it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/uri.hpp"
#include "support/certificate.hpp"
#include "support/fault_server/fault_server.hpp"
#include "support/fault_server/salesforce_object.hpp"
#include "support/test_context.hpp"
#include "waybill/connectors.hpp"

namespace waybill::salesforce {

using nlohmann::json;

/// A server of its own; the key of the app is shared by all.
class TestOrganization {
 public:
  static constexpr const char* entry = "DocListEntry__c";
  static constexpr const char* user = "migration@example.com";
  static constexpr const char* password = "pass<w>&ord";
  static constexpr const char* security_token = "TokenOfTheUser";
  static constexpr const char* client_id = "3MVG9.consumer";
  static constexpr const char* client_secret = "secret of the consumer";
  static constexpr const char* host = "acme.my.salesforce.com";

  TestOrganization() {
    static const std::filesystem::path keys = make_keys();
    key_ = keys / "key.pem";
    certificate_ = keys / "certificate.pem";
    ::setenv("WAYBILL_TEST_CLIENT_SECRET", client_secret, 1);
    ::setenv("WAYBILL_TEST_PASSWORD", password, 1);
    ::setenv("WAYBILL_TEST_SECURITY_TOKEN", security_token, 1);
    set({{"instance_url", server.endpoint()}, {"users", {account()}}, {"apps", {app()}}});
  }

  static json account(const json& more = json::object()) {
    json described = {{"name", user}, {"password", password}, {"security_token", security_token}};
    described.update(more);
    return described;
  }
  json app(const json& more = json::object()) const {
    std::ostringstream certificate;
    certificate << std::ifstream(certificate_).rdbuf();
    json described = {{"key", client_id}, {"secret", client_secret}, {"certificate", certificate.str()}, {"run_as", user}};
    described.update(more);
    return described;
  }
  void set(const json& settings) { server.control("salesforce", settings); }

  /// `count` entries below `accounts`; `length` of the field Document__c.
  void entries(uint64_t count, uint64_t accounts = 5, uint64_t length = 255, const json& more = json::object()) {
    server.control("salesforce_object", {{"name", "Account"},
                                         {"key_prefix", "001"},
                                         {"fields", {{{"name", "Name"}, {"made", "Account {n}"}}}},
                                         {"count", accounts}});
    json described = {
        {"name", entry},
        {"key_prefix", "a0B"},
        {"fields",
         {{{"name", "Name"}, {"made", "DLE-{n:8}"}, {"length", 80}, {"updateable", false}},
          {{"name", "Document__c"}, {"type", "url"}, {"length", length}, {"made", "https://old.example.com/docs/{n}.pdf"}},
          {{"name", "Account__c"},
           {"type", "reference"},
           {"refers_to", "Account"},
           {"relationship", "Account__r"},
           {"made", "{n%" + std::to_string(accounts) + "}"}},
          {{"name", "Size__c"}, {"type", "double"}, {"made", "{n%1000}"}},
          {{"name", "Notes__c"}, {"type", "textarea"}, {"length", 32768}, {"filterable", false}}}},
        {"count", count}};
    described.update(more);
    server.control("salesforce_object", described);
  }

  static std::string id(uint64_t number) { return testing::fault::salesforce_id("a0B", number); }
  std::string value(uint64_t number) {
    const json found = record(number)["values"]["Document__c"];
    return found.is_null() ? "(null)" : found.get<std::string>();
  }
  json record(uint64_t number) { return server.control("salesforce_record", {{"object", entry}, {"number", number}}); }
  void edit(uint64_t number, const json& values, const json& more = json::object()) {
    json described = {{"object", entry}, {"number", number}, {"values", values}};
    described.update(more);
    server.control("salesforce_edit", described);
  }
  uint64_t calls(const std::string& op) const {
    uint64_t count = 0;
    for (const auto& [name, counted] : server.counts()) {
      if (name == op) count += counted.requests;
    }
    return count;
  }
  json usage(const json& changes = json::object()) { return server.control("salesforce_usage", changes); }

  std::string jwt() const { return std::string("client_id=") + client_id + "&username=" + user + "&key=file:" + key_.string(); }
  /// Of `path` ("Object.Field"); `login` is a query of parameters, by default jwt().
  std::string url(const std::string& path, const std::string& login = "", const std::string& more = "") const {
    return std::string("salesforce://") + host + "/" + path + "?endpoint=" + server.endpoint() + "&" + (login.empty() ? jwt() : login) + more;
  }

  testing::FaultServer server;

 private:
  static std::filesystem::path make_keys() {
    const auto folder = std::filesystem::temp_directory_path() / ("waybill-salesforce-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    testing::write_certificate(folder / "key.pem", folder / "certificate.pem", testing::KeyKind::rsa);
    return folder;
  }

  std::filesystem::path key_;
  std::filesystem::path certificate_;
};

class SalesforceTest : public ::testing::Test {
 protected:
  std::shared_ptr<Catalog> catalog(const std::string& more = "", const std::string& login = "",
                                   const std::string& path = "DocListEntry__c.Document__c") {
    return open_catalog(organization_.url(path, login, more));
  }

  template <typename Call>
  static std::optional<Error> error_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  std::vector<ReferenceValue> list(Catalog& catalog, const Since& since = {}) {
    std::vector<ReferenceValue> all;
    const auto lister = catalog.list(since, context_);
    for (bool is_last = false; !is_last;) {
      ReferencePage page = lister->next(context_);
      is_last = page.is_last;
      std::move(page.references.begin(), page.references.end(), std::back_inserter(all));
    }
    return all;
  }

  TestOrganization organization_;
  testing::TestContext context_;
};

}  // namespace waybill::salesforce
