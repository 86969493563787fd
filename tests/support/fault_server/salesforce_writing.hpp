// SPDX-License-Identifier: Apache-2.0
//
// Writes one record, as every way to write does: what a record may hold, who may change it, locks and faults.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/fault_server/salesforce_operations.hpp"

namespace waybill::testing::fault {

struct RecordError {
  std::string code;
  std::string message;
  std::vector<std::string> fields{};
};

/// Fields by their names, as given.
using RecordValues = std::vector<std::pair<std::string, FieldValue>>;

/// The fields of a record in JSON, without "attributes" and "Id". Throws JSON_PARSER_ERROR.
RecordValues record_values(const nlohmann::json& record);
/// Changes a record; nothing where it is done. Throws INVALID_FIELD for a field that is not there.
std::optional<RecordError> write_record(SalesforceContext& context, SalesforceObject& object, const std::string& id,
                                        const RecordValues& values, const std::string& call);

}  // namespace waybill::testing::fault
