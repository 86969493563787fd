// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/describe.hpp"

#include <algorithm>

#include "base/nearest.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using nlohmann::json;

Error bad(const std::string& message) { return {ErrorCode::invalid_argument, ErrorClass::configuration, message}; }

Field described_field(const json& described) {
  Field field{text_of(described, "name"),       text_of(described, "type"),       number_of(described, "length"),
              flag_of(described, "filterable"), flag_of(described, "updateable"), text_of(described, "relationshipName"), {}};
  if (const json* const objects = field_of(described, "referenceTo"); objects != nullptr && objects->is_array()) {
    for (const json& name : *objects) {
      if (name.is_string()) field.refers_to.push_back(name.get<std::string>());
    }
  }
  return field;
}

// Of the name of an object that is not there.
std::string near_object(Client& client, const std::string& object, Context& context) {
  Call call;
  call.path = "/sobjects";
  call.subject = "the list of objects";
  json answer;
  try {
    answer = client.json(call, context);
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::missing) throw;
    throw bad(client.organization().host + " has no API version " + client.organization().api_version +
              "; give another one with api_version=");
  }
  std::vector<std::string> names;
  if (const json* const objects = field_of(answer, "sobjects"); objects != nullptr && objects->is_array()) {
    for (const json& one : *objects) names.push_back(text_of(one, "name"));
  }
  return internal::did_you_mean(object, names);
}

std::vector<std::string> names_of(const Object& object) {
  std::vector<std::string> names;
  for (const Field& field : object.fields) names.push_back(field.name);
  return names;
}

}  // namespace

const Field* Object::find(std::string_view field) const noexcept {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const Field& one) { return internal::equals_ignoring_case(one.name, field); });
  return found == fields.end() ? nullptr : &*found;
}

Object describe(Client& client, const std::string& object, Context& context) {
  Call call;
  call.path = "/sobjects/" + internal::encode_path(object) + "/describe";
  call.subject = "the object " + printable(object);
  json answer;
  try {
    answer = client.json(call, context);
  } catch (const Error& error) {
    if (error.error_class() != ErrorClass::missing) throw;
    throw bad("there is no object " + printable(object) + " at " + client.organization().host + " that this user may see" +
              near_object(client, object, context));
  }
  Object described{text_of(answer, "name"), flag_of(answer, "queryable"), flag_of(answer, "updateable"), {}};
  if (const json* const fields = field_of(answer, "fields"); fields != nullptr && fields->is_array()) {
    for (const json& field : *fields) described.fields.push_back(described_field(field));
  }
  return described;
}

Field resolve(Client& client, const Object& object, const std::string& path, Context& context) {
  const size_t dot = path.find('.');
  const std::string first = path.substr(0, dot);
  const auto missing = [&](const char* what, const std::vector<std::string>& names) {
    return bad("the object " + object.name + " has no " + what + " " + printable(first) + " that this user may see" +
               (first == path ? "" : ", as " + printable(path) + " needs") + internal::did_you_mean(first, names));
  };
  if (dot == std::string::npos) {
    if (const Field* const field = object.find(first)) return *field;
    throw missing("field", names_of(object));
  }
  std::vector<std::string> relationships;
  for (const Field& field : object.fields) {
    if (field.relationship.empty()) continue;
    relationships.push_back(field.relationship);
    if (!internal::equals_ignoring_case(field.relationship, first) || field.refers_to.empty()) continue;
    return resolve(client, describe(client, field.refers_to.front(), context), path.substr(dot + 1), context);
  }
  throw missing("relationship", relationships);
}

}  // namespace waybill::salesforce
