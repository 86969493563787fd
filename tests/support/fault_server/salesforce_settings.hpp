// SPDX-License-Identifier: Apache-2.0
//
// How the fault server's Salesforce behaves, who may use it, and with what. JSON names are those of the fields.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

namespace waybill::testing::fault {

struct SalesforceUser {
  std::string name;  ///< the login
  std::string password;
  std::string security_token;
  std::string id;                   ///< made up where it is not given
  bool may_use_api = true;          ///< "API Enabled"
  std::set<std::string> hidden;     ///< "Object" or "Object.Field": as if it were not there
  std::set<std::string> read_only;  ///< the same: may be read only
};

/// A connected app.
struct SalesforceApp {
  std::string key;  ///< "consumer key", client_id
  std::string secret;
  std::string certificate;                  ///< PEM: what assertions of a JWT are verified with
  std::string run_as;                       ///< the user of client credentials
  std::set<std::string> approved;           ///< users who may use it; empty: all
  std::vector<std::string> refresh_tokens;  ///< of the user `run_as`
  bool rotates_refresh_tokens = false;      ///< each use gives a new one and ends the old one
};

struct SalesforceSettings {
  std::string instance_url;  ///< "" is http:// and the host that was asked
  std::string organization_id = "00D5g0000000001EAA";
  bool is_sandbox = false;  ///< then logins are for test.salesforce.com
  uint64_t first_version = 31;
  uint64_t last_version = 68;
  uint64_t last_soap_login = 64;  ///< login() of SOAP is in no later version
  bool soap_login = true;         ///< the organization allows it at all
  int64_t clock_offset_s = 0;
  uint64_t session_calls = 0;  ///< a session ends after so many calls; 0: never
  uint64_t session_seconds = 7200;
  uint64_t daily_calls = 100'000;
  uint64_t concurrent_calls = 0;  ///< under way at the same moment; more are refused; 0: no limit
  uint64_t page_records = 2000;   ///< most records of a page of a query
  uint64_t cursor_seconds = 172'800;
  uint64_t bulk_polls = 1;              ///< so often a job is told to be under way before it is complete
  uint64_t bulk_page_records = 50'000;  ///< most records of a page of results
  uint64_t bulk_stops_after = 0;        ///< an update job fails after so many records; 0: never
  uint64_t daily_query_jobs = 10'000;
  bool locks_parents = false;  ///< a write fails for records whose parent another call is writing below
  uint64_t seed = 1;           ///< of the order of results of a bulk job
  std::vector<SalesforceUser> users;
  std::vector<SalesforceApp> apps;

  /// Takes over the fields that are there; users and apps as a whole. Throws std::invalid_argument.
  void merge(const nlohmann::json& json);
};

}  // namespace waybill::testing::fault
