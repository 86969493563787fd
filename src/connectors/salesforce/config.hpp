// SPDX-License-Identifier: Apache-2.0
//
// What the URL of something in Salesforce says:
//
//   salesforce://acme.my.salesforce.com/DocListEntry__c.Document__c?client_id=…&username=…&key=file:/path/key.pem    a Catalog
//   salesforce://acme.my.salesforce.com/ContentVersion?…                                                            a Source
//
// Which way to log in follows from the secrets that are given: `key` is JWT bearer, `client_secret` alone client
// credentials, `refresh_token` its own, `password` SOAP login (until Summer '27). A secret itself never stands in a URL.
#pragma once

#include <string>
#include <vector>

#include "base/secret.hpp"
#include "waybill/connectors.hpp"

namespace waybill::salesforce {

/// Where a secret is: "env:NAME" or "file:/path"; "" where there is none.
struct SecretPlace {
  std::string text;

  bool empty() const noexcept { return text.empty(); }
  /// Without spaces around it. Errors: auth (no such variable, no such file, nothing in it), naming the place.
  internal::Secret load() const;
};

enum class Flow { jwt_bearer, client_credentials, refresh_token, password };
/// "JWT bearer", … Static storage.
const char* to_string(Flow flow) noexcept;

/// An organization, and how to log in to it.
struct Organization {
  std::string host;      ///< "acme.my.salesforce.com", "login.salesforce.com", "test.salesforce.com"; lower case
  std::string endpoint;  ///< "https://host", or what `endpoint` says: then nothing is asked elsewhere
  bool is_redirected = false;  ///< `endpoint` was given: the instance that a login names is not heeded
  bool is_sandbox = false;
  std::string api_version = "62.0";
  double max_api_share = 0.8;  ///< of the organization's calls of a day, all its clients together; what is above is not used
  Flow flow = Flow::jwt_bearer;
  std::string client_id;
  std::string username;
  SecretPlace client_secret;
  SecretPlace key;            ///< PEM
  SecretPlace refresh_token;  ///< a file: a token that is replaced at its use is kept there
  SecretPlace password;
  SecretPlace security_token;

  /// "salesforce:acme.my.salesforce.com"; where the host is that of everybody, "salesforce:user@test.salesforce.com".
  std::string identity() const;
};

/// How records are read: by REST, in pages of 2,000, or by jobs of the Bulk API; each where the other's quota is used up.
enum class Reads { automatic, rest, bulk };

/// How records are written; see docs/guides/salesforce.md.
enum class Mode {
  safe,    ///< collections of 200, each behind a guard: written only if no record changed since it was read
  fast,    ///< two collections of 200 a call, each behind a reading of what was there
  frozen,  ///< jobs of the Bulk API, for a time in which nobody else writes
};

/// A field of URLs.
struct FieldConfig {
  Organization organization;
  std::string object;
  std::string field;
  std::string partition;            ///< a field path, as the next two; "" where there is none
  std::string partition_name;
  std::vector<std::string> names;
  Reads reads = Reads::automatic;
  Mode mode = Mode::safe;

  /// Errors: configuration, naming the parameter.
  static FieldConfig parse(const Url& url);
  /// "salesforce:acme.my.salesforce.com/DocListEntry__c.Document__c"
  std::string identity() const { return organization.identity() + "/" + object + "." + field; }
};

/// Files: ContentVersion, Attachment or Document.
struct FilesConfig {
  Organization organization;
  std::string object;
  bool all_versions = false;  ///< of ContentVersion: not the newest ones alone
  Reads reads = Reads::automatic;

  static FilesConfig parse(const Url& url);
  std::string identity() const { return organization.identity() + "/" + object + (all_versions ? "?versions=all" : ""); }
};

}  // namespace waybill::salesforce
