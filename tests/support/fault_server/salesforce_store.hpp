// SPDX-License-Identifier: Apache-2.0
//
// What the fault server's Salesforce holds: objects, sessions, cursors of queries, bulk jobs, and what is counted.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/fault_server/salesforce_object.hpp"
#include "support/fault_server/salesforce_query.hpp"
#include "support/fault_server/salesforce_settings.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

struct SalesforceSession {
  std::string user;  ///< login
  int64_t begun_s = 0;
  uint64_t calls = 0;
};

/// The result of a query that is too long for a page.
struct SalesforceCursor {
  std::shared_ptr<const SalesforceSelection> selection;
  std::vector<uint32_t> numbers;
  std::string version;
  uint64_t page_records = 0;
  int64_t begun_s = 0;
  bool has_expired = false;
};

/// An edit by hand that waits for a call, so that it comes at a moment that a test can name.
struct WaitingEdit {
  Pattern op;
  Pattern scope;
  uint64_t nth = 1;       ///< of the matching calls from now on
  bool is_after = false;  ///< after the call has been carried out, before it is answered
  std::string object;
  uint64_t number = 0;
  std::vector<std::pair<size_t, FieldValue>> values;
  std::string user;  ///< its id
};

/// Records that cannot be written: the error that a record gets in the results of a call that writes.
struct RecordFault {
  std::string object;
  std::string parent;             ///< only records that refer to this id; "": all
  std::vector<uint64_t> numbers;  ///< only these; empty: all
  uint64_t every = 0;             ///< only numbers that this divides
  uint64_t times = 0;             ///< so many records at most; 0: all
  std::string code;
  std::string message;
  std::vector<std::string> fields;
  uint64_t fired = 0;
};

/// A bulk job of either kind.
struct SalesforceJob {
  std::string id;
  std::string operation;  ///< "query", "queryAll", "update"
  std::string object;
  std::string version;
  std::string state;
  std::string error;
  std::string user;  ///< login
  int64_t created_s = 0;
  uint64_t polls = 0;
  char delimiter = ',';
  std::string delimiter_name = "COMMA";
  std::string line_ending = "LF";
  // Of a query.
  std::string query;
  std::shared_ptr<const SalesforceSelection> selection;
  std::vector<uint32_t> numbers;
  uint64_t sequence = 0;            ///< results are as they were after this change
  uint64_t locator_generation = 1;  ///< locators of another one have expired
  // Of an ingest.
  bool has_data = false;
  std::string data;
  std::string successful;  ///< CSV
  std::string failed;
  std::string unprocessed;
  uint64_t processed_records = 0;
  uint64_t failed_records = 0;
};

/// *Thread safety:* none; SalesforceService has the lock.
class SalesforceStore {
 public:
  SalesforceSettings settings;
  std::map<std::string, SalesforceCursor> cursors;
  std::map<std::string, SalesforceJob> jobs;
  std::vector<WaitingEdit> edits;
  std::vector<RecordFault> record_faults;
  std::map<std::string, uint64_t> locked_parents;  ///< id → the call that writes below it
  uint64_t calls_today = 0;
  uint64_t query_jobs_today = 0;
  uint64_t calls_under_way = 0;
  uint64_t logins = 0;
  uint64_t locked = 0;  ///< records that were refused because of a parent

  int64_t now_s() const;
  /// Throws std::invalid_argument.
  SalesforceObject& define(std::string name, std::string key_prefix, std::vector<SalesforceField> fields);
  /// Whatever the case of the name; null where there is none.
  SalesforceObject* find(std::string_view name);
  const SalesforceObject* find(std::string_view name) const;
  /// Throws std::invalid_argument.
  SalesforceObject& require(std::string_view name);
  const std::map<std::string, SalesforceObject>& objects() const noexcept { return objects_; }

  const SalesforceUser* user(std::string_view login) const;
  std::string open_session(const std::string& login);
  /// Null where the session has ended.
  SalesforceSession* session(const std::string& token);
  void expire_sessions() { sessions_.clear(); }
  /// The refresh tokens that are good now: token → consumer key.
  std::map<std::string, std::string> refresh_tokens;
  std::string new_secret(const std::string& prefix);

  uint64_t next_sequence() { return ++sequence_; }
  uint64_t sequence() const noexcept { return sequence_; }
  uint64_t next_number() { return ++last_number_; }
  /// Carries out the edits that wait for this call.
  void edit_for(std::string_view op, std::string_view scope, bool is_after);
  /// Undoes the changes after `sequence` in all objects.
  void undo(uint64_t sequence);
  void clear();

 private:
  std::map<std::string, SalesforceObject> objects_;
  std::map<std::string, SalesforceSession> sessions_;
  uint64_t sequence_ = 0;
  uint64_t last_number_ = 0;
};

}  // namespace waybill::testing::fault
