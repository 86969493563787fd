// SPDX-License-Identifier: Apache-2.0
//
// Runs a query: words become fields of objects, as far as the user may see them; records are found through the order of
// ids or of (SystemModstamp, Id) where the conditions allow it, so that a page of a resumed listing costs the same
// wherever it begins. Other orders are sorted, other conditions tried on every record.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/fault_server/salesforce_object.hpp"
#include "support/fault_server/salesforce_settings.hpp"
#include "support/fault_server/salesforce_soql.hpp"

namespace waybill::testing::fault {

class SalesforceStore;

/// Fields of one object, and of objects that it refers to.
struct SalesforceSelection {
  struct Item {
    std::string name;  ///< as the object spells it
    size_t field = 0;  ///< of a reference where it is followed
    std::unique_ptr<SalesforceSelection> followed;
  };
  const SalesforceStore* store = nullptr;
  const SalesforceObject* object = nullptr;
  std::vector<Item> items;

  /// {"attributes": …, "Id": …} of one record, appended.
  void append_json_record(std::string& out, uint64_t number, const std::string& version,
                          uint64_t at = UINT64_MAX) const;
  /// "Id", "Account.Name": in order.
  std::vector<std::string> columns(const std::string& prefix = {}) const;
  /// The values of these columns; times as bulk results have them.
  void values(std::optional<uint64_t> number, uint64_t at, std::vector<FieldValue>& out) const;
};

struct SalesforceResult {
  std::shared_ptr<const SalesforceSelection> selection;
  std::vector<uint32_t> numbers;
};

/// Throws SalesforceError: INVALID_TYPE, INVALID_FIELD, MALFORMED_QUERY, INVALID_QUERY_FILTER_OPERATOR.
SalesforceResult run_soql(const SalesforceStore& store, const SalesforceUser& user, const SoqlQuery& query,
                          bool has_deleted);

/// Whether the user may see an object or one of its fields, and change it.
bool may_read(const SalesforceUser& user, const SalesforceObject& object, const SalesforceField* field = nullptr);
bool may_edit(const SalesforceUser& user, const SalesforceObject& object, const SalesforceField* field = nullptr);
/// The object of that name; throws INVALID_TYPE or, for a call about one object, NOT_FOUND.
const SalesforceObject& visible_object(const SalesforceStore& store, const SalesforceUser& user,
                                       const std::string& name);
/// A value as JSON: text in quotes, numbers and booleans bare.
void append_json_value(std::string& out, const SalesforceField& field, const FieldValue& value);

}  // namespace waybill::testing::fault
