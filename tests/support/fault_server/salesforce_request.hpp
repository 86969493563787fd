// SPDX-License-Identifier: Apache-2.0
//
// A request as Salesforce reads it: the version, which operation it is and of what. Subrequests of a composite are
// requests too, so nothing here points into the bytes of HTTP.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/fault_server/http.hpp"

namespace waybill::testing::fault {

/// Thrown by operations; becomes [{"message", "errorCode", "fields"}].
struct SalesforceError {
  int status;
  std::string code;
  std::string message;
  std::vector<std::string> fields{};
};

struct SalesforceRequest {
  std::string method;
  std::string op;       ///< "Query", "UpdateCollection", …; "Unsupported" for what this server does not know
  std::string version;  ///< "59.0"; "" for what has none
  std::string object;   ///< the sObject, "" where there is none in the path
  std::string id;       ///< of a record, of a job, or the locator of a query
  std::string member;   ///< a field of a record, or which results of a job
  std::string host;
  std::vector<std::pair<std::string, std::string>> parameters;
  Headers headers;
  std::string body;
  bool is_subrequest = false;

  SalesforceRequest() = default;
  explicit SalesforceRequest(const Request& request);
  /// A subrequest of a composite.
  SalesforceRequest(std::string method, std::string_view url, Headers headers, std::string body);

  /// "" where it is not there.
  std::string_view header(std::string_view name) const noexcept;
  std::string_view parameter(std::string_view name) const noexcept;
  /// The body as JSON; throws JSON_PARSER_ERROR.
  nlohmann::json json() const;

 private:
  void route(std::string_view path);
};

Answer salesforce_json(std::string text, int status = 200);
Answer salesforce_error_answer(const SalesforceError& error);
/// Appends a string of JSON with its quotes; bytes that are no UTF-8 as they are.
void append_json(std::string& out, std::string_view text);

}  // namespace waybill::testing::fault
