// SPDX-License-Identifier: Apache-2.0
//
// The SOQL that this server understands: SELECT fields, paths or COUNT(), FROM one object, WHERE, ORDER BY, LIMIT.
// Words are not looked up here: salesforce_query.hpp does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/fault_server/salesforce_request.hpp"

namespace waybill::testing::fault {

/// "Account.Name" and where it stands in the text.
struct SoqlPath {
  std::vector<std::string> names;
  size_t offset = 0;
};

struct SoqlLiteral {
  enum class Kind { null, text, number, time, boolean } kind = Kind::null;
  std::string text;  ///< without quotes, escapes resolved
};

struct SoqlCondition {
  enum class Kind { compare, all_of, any_of, negation } kind = Kind::compare;
  std::vector<SoqlCondition> parts;  ///< of everything but compare
  SoqlPath path;
  std::string comparison;  ///< "=", "!=", "<", "<=", ">", ">=", "LIKE", "IN", "NOT IN"
  std::vector<SoqlLiteral> values;
};

struct SoqlOrder {
  SoqlPath path;
  bool is_descending = false;
  bool has_nulls_last = false;
};

struct SoqlQuery {
  std::string text;
  bool counts = false;  ///< SELECT COUNT()
  std::vector<SoqlPath> select;
  std::string object;
  size_t object_offset = 0;
  std::optional<SoqlCondition> where;
  std::vector<SoqlOrder> order;
  std::optional<uint64_t> limit;
};

/// Throws SalesforceError (MALFORMED_QUERY).
SoqlQuery parse_soql(const std::string& text);

/// An error about a place in a query, said as Salesforce says it.
SalesforceError soql_error(const std::string& code, const std::string& query, size_t offset,
                           const std::string& message);

}  // namespace waybill::testing::fault
