// SPDX-License-Identifier: Apache-2.0
//
// The control endpoints of Salesforce: what is there, what happens to it by hand, and what has happened.
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "support/fault_server/salesforce_jwt.hpp"
#include "support/fault_server/salesforce_service.hpp"

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

FieldValue value_of(const json& value) {
  if (value.is_null()) return std::nullopt;
  return value.is_string() ? value.get<std::string>() : value.dump();
}

json json_of(const FieldValue& value) { return value ? json(*value) : json(); }

SalesforceField field_from(const json& described) {
  SalesforceField field;
  field.name = described.at("name");
  field.type = described.value("type", field.type);
  field.length =
      described.value("length", field.type == "reference" || field.type == "id" ? uint64_t{18} : field.length);
  field.is_filterable = described.value("filterable", field.type != "base64");
  field.is_sortable = described.value("sortable", field.is_filterable);
  field.is_updateable = described.value("updateable", true);
  field.is_nillable = described.value("nillable", true);
  field.refers_to = described.value("refers_to", "");
  field.relationship = described.value("relationship", "");
  field.made = described.value("made", "");
  field.has_to_be_pinned = described.value("has_to_be_pinned", false);
  return field;
}

uint64_t number_of(const SalesforceObject& object, const json& argument) {
  if (argument.contains("number")) {
    const auto number = argument["number"].get<uint64_t>();
    if (number < object.count()) return number;
  } else if (const auto number = object.number(argument.at("id").get<std::string>())) {
    return *number;
  }
  throw std::invalid_argument(object.name() + " has no such record");
}

std::vector<std::pair<size_t, FieldValue>> values_of(const SalesforceObject& object, const json& values) {
  std::vector<std::pair<size_t, FieldValue>> pairs;
  for (const auto& [name, value] : values.items()) {
    const auto field = object.field(name);
    if (!field) throw std::invalid_argument(object.name() + " has no field " + name);
    if (object.fields()[*field].type == "base64" && !from_base64(value_of(value).value_or(""), false)) {
      throw std::invalid_argument("content is given as base64: " + name);
    }
    pairs.emplace_back(*field, value_of(value));
  }
  return pairs;
}

json set_up(SalesforceStore& store, const json& argument) {
  store.settings.merge(argument);
  if (argument.contains("apps")) {
    store.refresh_tokens.clear();
    for (const SalesforceApp& app : store.settings.apps) {
      for (const std::string& token : app.refresh_tokens) store.refresh_tokens[token] = app.key;
    }
  }
  return nullptr;
}

json define_object(SalesforceStore& store, const json& argument) {
  std::vector<SalesforceField> fields;
  for (const json& described : argument.at("fields")) fields.push_back(field_from(described));
  SalesforceObject& object = store.define(argument.at("name"), argument.at("key_prefix"), std::move(fields));
  GeneratedRecords records;
  records.count = argument.value("count", records.count);
  records.first_stamp_s = argument.value("first_stamp_s", records.first_stamp_s);
  records.per_second = argument.value("per_second", records.per_second);
  records.body_size = argument.value("body_size", records.body_size);
  records.body_size_most = argument.value("body_size_most", records.body_size_most);
  records.seed = argument.value("seed", records.seed);
  records.only_planted = argument.value("only_planted", records.only_planted);
  object.generate(records);
  return nullptr;
}

// One record, or each of "records"; gives the id of the last.
json plant(SalesforceStore& store, const json& argument) {
  SalesforceObject& object = store.require(argument.at("object").get<std::string>());
  uint64_t number = 0;
  for (const json& one : argument.contains("records") ? argument["records"] : json::array({argument})) {
    number = number_of(object, one);
    for (auto& [field, value] : values_of(object, one.at("values"))) object.plant(number, field, value);
  }
  return object.id(number);
}

// At once, one record or each of "records"; or where the call comes that it waits for.
json edit(SalesforceStore& store, const json& argument) {
  SalesforceObject& object = store.require(argument.at("object").get<std::string>());
  const std::string user = argument.value("user", salesforce_id("005", 1000));
  if (!argument.contains("op")) {
    for (const json& one : argument.contains("records") ? argument["records"] : json::array({argument})) {
      object.change(number_of(object, one), values_of(object, one.at("values")), {user, "user", store.now_s()},
                    store.next_sequence());
    }
    return nullptr;
  }
  WaitingEdit edit;
  edit.object = object.name();
  edit.number = number_of(object, argument);
  edit.values = values_of(object, argument.at("values"));
  edit.user = user;
  edit.op = Pattern(argument["op"].get<std::string>());
  edit.scope = Pattern(argument.value("scope", "*"));
  edit.nth = argument.value("nth", uint64_t{1});
  edit.is_after = argument.value("after", false);
  store.edits.push_back(std::move(edit));
  return nullptr;
}

json fail_records(SalesforceStore& store, const json& argument) {
  RecordFault fault;
  fault.object = store.require(argument.at("object").get<std::string>()).name();
  fault.parent = argument.value("parent", "");
  fault.numbers = argument.value("numbers", fault.numbers);
  fault.every = argument.value("every", fault.every);
  fault.times = argument.value("times", fault.times);
  fault.code = argument.at("code");
  fault.message = argument.value("message", "The fault server was told to say this.");
  fault.fields = argument.value("fields", fault.fields);
  store.record_faults.push_back(std::move(fault));
  return nullptr;
}

json record(SalesforceStore& store, const json& argument) {
  const SalesforceObject& object = store.require(argument.at("object").get<std::string>());
  const uint64_t number = number_of(object, argument);
  json values;
  for (size_t field = 0; field < object.fields().size(); ++field) {
    if (object.fields()[field].type == "base64") continue;
    values[object.fields()[field].name] = json_of(object.value(number, field));
  }
  json history = json::array();
  for (const FieldChange& change : object.history(number)) {
    history.push_back({{"sequence", change.sequence},
                       {"field", object.fields()[change.field].name},
                       {"before", json_of(change.before)},
                       {"after", json_of(change.after)},
                       {"user", change.author.user},
                       {"call", change.author.call},
                       {"at_s", change.author.at_s}});
  }
  return {{"number", number}, {"values", values}, {"history", history}};
}

size_t field_of(const SalesforceObject& object, const json& argument) {
  const auto field = object.field(argument.at("field").get<std::string>());
  if (!field) throw std::invalid_argument(object.name() + " has no such field");
  return *field;
}

// What a field holds in each record that is not deleted, by id.
json values(SalesforceStore& store, const json& argument) {
  const SalesforceObject& object = store.require(argument.at("object").get<std::string>());
  const size_t field = field_of(object, argument);
  json found = json::object();
  for (uint64_t number = 0; number < object.count(); ++number) {
    if (!object.deleted(number)) found[object.id(number)] = json_of(object.value(number, field));
  }
  return found;
}

// Every change of a field, in order: [id, before, after, id of the user, call].
json changes(SalesforceStore& store, const json& argument) {
  const SalesforceObject& object = store.require(argument.at("object").get<std::string>());
  const size_t field = field_of(object, argument);
  std::map<uint64_t, json> found;
  for (const uint64_t number : object.changed()) {
    for (const FieldChange& change : object.history(number)) {
      if (change.field != field) continue;
      // A call has one number for all its records.
      json& at = found.try_emplace(change.sequence, json::array()).first->second;
      at.push_back({object.id(number), json_of(change.before), json_of(change.after), change.author.user, change.author.call});
    }
  }
  json all = json::array();
  for (const auto& [sequence, of_call] : found) all.insert(all.end(), of_call.begin(), of_call.end());
  return all;
}

// How often a field was written by calls, over all records: {"records", "writes", "most"}.
json writes(SalesforceStore& store, const json& argument) {
  const SalesforceObject& object = store.require(argument.at("object").get<std::string>());
  const size_t field = field_of(object, argument);
  uint64_t records = 0;
  uint64_t all = 0;
  uint64_t most = 0;
  for (const uint64_t number : object.changed()) {
    uint64_t own = 0;
    for (const FieldChange& change : object.history(number)) {
      own += change.field == field && change.author.call != "user" ? 1U : 0U;
    }
    records += own > 0 ? 1U : 0U;
    all += own;
    most = std::max(most, own);
  }
  return {{"records", records}, {"writes", all}, {"most", most}};
}

json expire(SalesforceStore& store, const json& argument) {
  const std::string what = argument.at("what");
  if (what == "sessions") {
    store.expire_sessions();
  } else if (what == "refresh_tokens") {
    store.refresh_tokens.clear();
  } else if (what == "cursors") {
    for (auto& [id, cursor] : store.cursors) cursor.has_expired = true;
  } else if (what == "locators") {
    for (auto& [id, job] : store.jobs) ++job.locator_generation;
  } else if (what == "jobs") {
    store.jobs.clear();
  } else {
    throw std::invalid_argument("what expires: sessions, refresh_tokens, cursors, locators or jobs");
  }
  return nullptr;
}

json usage(SalesforceStore& store, const json& argument) {
  store.calls_today = argument.value("calls", store.calls_today);
  store.query_jobs_today = argument.value("query_jobs", store.query_jobs_today);
  return {{"calls", store.calls_today},
          {"query_jobs", store.query_jobs_today},
          {"logins", store.logins},
          {"locked", store.locked},
          {"waiting_edits", store.edits.size()}};
}

json clear(SalesforceStore& store, const json&) {
  store.clear();
  return nullptr;
}

}  // namespace

json SalesforceService::control(const std::string& name, const json& argument) {
  static const std::map<std::string, json (*)(SalesforceStore&, const json&)> all = {
      {"salesforce", set_up},        {"salesforce_object", define_object}, {"salesforce_plant", plant},
      {"salesforce_edit", edit},     {"salesforce_record", record},        {"salesforce_fail_records", fail_records},
      {"salesforce_writes", writes}, {"salesforce_expire", expire},        {"salesforce_usage", usage},
      {"salesforce_clear", clear},   {"salesforce_values", values},        {"salesforce_changes", changes},
  };
  const auto found = all.find(name);
  if (found == all.end()) throw std::invalid_argument("there is no control endpoint " + name);
  const std::lock_guard lock(mutex_);
  return found->second(store_, argument);
}

}  // namespace waybill::testing::fault
