// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_writing.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

uint64_t characters(std::string_view text) {
  return static_cast<uint64_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; }));
}

std::optional<RecordError> check_value(const SalesforceField& field, const FieldValue& value) {
  const bool is_text = field.type == "string" || field.type == "url" || field.type == "textarea";
  if (!value && !field.is_nillable) {
    return RecordError{"REQUIRED_FIELD_MISSING", "Required fields are missing: [" + field.name + "]", {field.name}};
  }
  if (value && is_text && characters(*value) > field.length) {
    return RecordError{
        "STRING_TOO_LONG",
        field.name + ": data value too large: " + *value + " (max length=" + std::to_string(field.length) + ")",
        {field.name}};
  }
  if (value && field.type == "reference" && !salesforce_id_15(*value)) {
    return RecordError{"MALFORMED_ID", field.name + ": id value of incorrect type: " + *value, {field.name}};
  }
  return std::nullopt;
}

// The ids that a record refers to; while it is written, nobody else writes below them.
std::vector<std::string> parents_of(const SalesforceObject& object, uint64_t number) {
  std::vector<std::string> parents;
  for (size_t field = SalesforceObject::own_fields; field < object.fields().size(); ++field) {
    if (object.fields()[field].type != "reference") continue;
    if (const FieldValue parent = object.value(number, field)) parents.push_back(*parent);
  }
  return parents;
}

std::optional<RecordError> fault_of(SalesforceContext& context, const SalesforceObject& object, uint64_t number) {
  for (RecordFault& fault : context.store.record_faults) {
    if (fault.object != object.name() || (fault.times > 0 && fault.fired >= fault.times)) continue;
    if (fault.every > 0 && number % fault.every != 0) continue;
    const bool is_named = std::find(fault.numbers.begin(), fault.numbers.end(), number) != fault.numbers.end();
    if (!fault.numbers.empty() && !is_named) continue;
    if (!fault.parent.empty()) {
      const auto parents = parents_of(object, number);
      const auto same = [&](const std::string& parent) { return parent.starts_with(fault.parent.substr(0, 15)); };
      if (std::none_of(parents.begin(), parents.end(), same)) continue;
    }
    ++fault.fired;
    return RecordError{fault.code, fault.message, fault.fields};
  }
  return std::nullopt;
}

std::optional<RecordError> lock_parents(SalesforceContext& context, const SalesforceObject& object, uint64_t number) {
  if (!context.store.settings.locks_parents) return std::nullopt;
  const std::vector<std::string> parents = parents_of(object, number);
  for (const std::string& parent : parents) {
    const auto found = context.store.locked_parents.find(parent);
    if (found != context.store.locked_parents.end() && found->second != context.call) {
      ++context.store.locked;
      return RecordError{"UNABLE_TO_LOCK_ROW",
                         "unable to obtain exclusive access to this record or 1 records: " + parent};
    }
  }
  for (const std::string& parent : parents) context.store.locked_parents[parent] = context.call;
  return std::nullopt;
}

}  // namespace

RecordValues record_values(const json& record) {
  if (!record.is_object()) throw SalesforceError{400, "JSON_PARSER_ERROR", "A record is an object"};
  RecordValues values;
  for (const auto& [name, value] : record.items()) {
    if (name == "attributes" || equals_ignoring_case(name, "Id")) continue;
    if (value.is_structured()) throw SalesforceError{400, "JSON_PARSER_ERROR", "Cannot deserialize " + name};
    const std::string text = value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
    // An empty text is no value.
    values.emplace_back(name, text.empty() ? std::nullopt : FieldValue(text));
  }
  return values;
}

std::optional<RecordError> write_record(SalesforceContext& context, SalesforceObject& object, const std::string& id,
                                        const RecordValues& values, const std::string& call) {
  std::vector<std::pair<size_t, FieldValue>> changes;
  for (const auto& [name, value] : values) {
    const auto field = object.field(name);
    if (!field || !may_read(*context.user, object, &object.fields()[*field])) {
      throw SalesforceError{400, "INVALID_FIELD", "No such column '" + name + "' on sobject of type " + object.name()};
    }
    changes.emplace_back(*field, value);
  }
  if (id.empty()) return RecordError{"MISSING_ARGUMENT", "Id not specified in an update call"};
  if (!salesforce_id_15(id) || !id.starts_with(object.key_prefix())) {
    return RecordError{"MALFORMED_ID", "bad id " + id, {"Id"}};
  }
  const auto number = object.number(id);
  if (!number) return RecordError{"INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"};
  if (object.deleted(*number)) return RecordError{"ENTITY_IS_DELETED", "entity is deleted"};
  if (!may_edit(*context.user, object)) {
    return RecordError{"INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"};
  }
  for (const auto& [place, value] : changes) {
    const SalesforceField& field = object.fields()[place];
    if (!may_edit(*context.user, object, &field)) {
      return RecordError{"INVALID_FIELD_FOR_INSERT_UPDATE",
                         "Unable to create/update fields: " + field.name +
                             ". Please check the security settings of this field and verify that it is read/write for "
                             "your profile or permission set.",
                         {field.name}};
    }
    if (auto error = check_value(field, value)) return error;
  }
  if (auto error = fault_of(context, object, *number)) return error;
  if (auto error = lock_parents(context, object, *number)) return error;
  object.change(*number, changes, {context.user->id, call, context.store.now_s()}, context.store.next_sequence());
  return std::nullopt;
}

}  // namespace waybill::testing::fault
