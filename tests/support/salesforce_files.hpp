// SPDX-License-Identifier: Apache-2.0
//
// Files in the fault server's Salesforce, for cases in C++; tests/support/salesforce.py has the same in Python.
#pragma once

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "base/uri.hpp"
#include "support/fault_server/fault_server.hpp"

namespace waybill::testing {

class SalesforceFiles {
 public:
  using json = nlohmann::json;

  SalesforceFiles() {
    ::setenv("WAYBILL_TEST_CONSUMER_SECRET", "secret of the consumer", 1);
    settings({});
  }

  /// Settings of the fault server's Salesforce, beside its user and app.
  void settings(json more, const json& user = json::object()) {
    json who = {{"name", "migration@example.com"}};
    who.update(user);
    more.update({{"instance_url", server.endpoint()},
                 {"users", {who}},
                 {"apps", {{{"key", "consumer"}, {"secret", "secret of the consumer"}, {"run_as", "migration@example.com"}}}}});
    server.control("salesforce", more);
  }

  std::string url(const std::string& object, const std::string& more = "") const {
    return "salesforce://acme.my.salesforce.com/" + object + "?client_id=consumer&client_secret=env:WAYBILL_TEST_CONSUMER_SECRET&endpoint=" +
           internal::encode_query(server.endpoint()) + more;
  }

  /// Versions of documents: of each of `documents` all `versions`, one behind the other, the last one the latest.
  void versions(uint64_t documents, uint64_t versions, uint64_t size = 1000) {
    const std::string n = std::to_string(versions);
    define("ContentDocument", "069", {{{"name", "Title"}, {"made", "Title {n}"}}}, {{"count", documents}});
    define("ContentVersion", "068",
           {{{"name", "ContentDocumentId"}, {"type", "reference"}, {"refers_to", "ContentDocument"}, {"relationship", "ContentDocument"}, {"made", "{n/" + n + "}"}},
            {{"name", "Title"}, {"made", "Title {n/" + n + "}"}},
            {{"name", "PathOnClient"}, {"made", "C:\\{n}.bin"}},
            {{"name", "FileExtension"}, {"made", "bin"}},
            {{"name", "VersionNumber"}, {"made", "{n%" + n + "+1}"}},
            {{"name", "IsLatest"}, {"type", "boolean"}, {"made", "{n%" + n + "=" + std::to_string(versions - 1) + "}"}},
            {{"name", "ContentLocation"}, {"made", "S"}},
            {{"name", "ContentSize"}, {"type", "int"}, {"made", "{size}"}},
            {{"name", "Checksum"}, {"length", 50}, {"made", "{md5}"}},
            {{"name", "VersionData"}, {"type", "base64"}}},
           {{"count", documents * versions}, {"body_size", size}});
    links(0, "0");
  }

  /// `count` links; `document` is what the number of a link's document is made of.
  void links(uint64_t count, const std::string& document) {
    define("Account", "001", {{{"name", "Name"}, {"made", "Account {n}"}}}, {{"count", 3000}});
    define("ContentDocumentLink", "06A",
           {{{"name", "ContentDocumentId"}, {"type", "reference"}, {"refers_to", "ContentDocument"}, {"made", document}, {"has_to_be_pinned", true}},
            {{"name", "LinkedEntityId"}, {"type", "reference"}, {"refers_to", "Account"}, {"made", "{n}"}, {"has_to_be_pinned", true}},
            {{"name", "ShareType"}, {"made", "V"}}},
           {{"count", count}});
  }

  /// `count` attachments, or documents of folders.
  void bodies(const std::string& object, const std::string& prefix, uint64_t count, uint64_t size = 1000) {
    json fields = {{{"name", "Name"}, {"made", "name {n}.txt"}},
                   {{"name", "BodyLength"}, {"type", "int"}, {"made", "{size}"}},
                   {{"name", "Body"}, {"type", "base64"}}};
    define("Account", "001", {{{"name", "Name"}, {"made", "Account {n}"}}}, {{"count", 10}});
    if (object == "Attachment") {
      fields.push_back({{"name", "ParentId"}, {"type", "reference"}, {"refers_to", "Account"}, {"relationship", "Parent"}, {"made", "{n%10}"}});
    } else {
      fields.push_back({{"name", "Type"}, {"made", "txt"}});
      fields.push_back({{"name", "Url"}, {"made", ""}});
    }
    define(object, prefix, fields, {{"count", count}, {"body_size", size}});
  }

  void define(const std::string& name, const std::string& prefix, const json& fields, json more) {
    more.update({{"name", name}, {"key_prefix", prefix}, {"fields", fields}});
    server.control("salesforce_object", more);
  }
  /// From the beginning; gives the record's id.
  std::string plant(const std::string& object, uint64_t number, const json& values) {
    return server.control("salesforce_plant", {{"object", object}, {"number", number}, {"values", values}}).get<std::string>();
  }
  /// By a user's hand.
  void edit(const std::string& object, uint64_t number, const json& values) {
    server.control("salesforce_edit", {{"object", object}, {"number", number}, {"values", values}});
  }
  std::string text(const std::string& object, uint64_t number, const std::string& field) {
    return server.control("salesforce_record", {{"object", object}, {"number", number}})["values"][field].get<std::string>();
  }
  uint64_t calls(const std::string& op) {
    const auto counts = server.counts();
    const auto found = counts.find(op);
    return found == counts.end() ? 0 : found->second.requests;
  }

  FaultServer server;
};

}  // namespace waybill::testing
