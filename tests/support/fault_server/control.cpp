// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/control.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/hash.hpp"
#include "support/fault_server/salesforce_service.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

std::string bucket_of(const json& argument) { return argument.at("bucket").get<std::string>(); }
std::string key_of(const json& argument) { return percent_decode(argument.at("key").get<std::string>()); }

json to_json(const Record& record) {
  json out = {{"number", record.number},
              {"connection", record.connection},
              {"method", record.method},
              {"op", record.op},
              {"bucket", record.scope},
              {"key", percent_encode(record.key, true)},
              {"query", record.query},
              {"status", record.status},
              {"bytes_in", record.bytes_in},
              {"bytes_out", record.bytes_out},
              {"begun_us", record.begun_us},
              {"answered_us", record.answered_us},
              {"outcome", name_of(record.outcome)},
              {"rules", record.rules},
              {"crc64", internal::crc64_to_base64(record.crc64)}};
  if (record.part > 0) out["part"] = record.part;
  // What is no UTF-8 would not be JSON.
  if (!record.head.empty()) out["head"] = percent_encode(record.head);
  return out;
}

json to_json(const Count& count) {
  json statuses = json::object();
  for (const auto& [status, number] : count.statuses) statuses[std::to_string(status)] = number;
  return {{"requests", count.requests},
          {"bytes_in", count.bytes_in},
          {"bytes_out", count.bytes_out},
          {"statuses", statuses}};
}

json to_json(const Object& object) {
  json headers = json::object();
  for (const auto& [name, value] : object.headers) headers[name] = percent_encode(value);
  json tags = json::object();
  for (const auto& [name, value] : object.tags) tags[percent_encode(name)] = percent_encode(value);
  json checksums = json::object();
  for (const Checksum& one : object.checksums) checksums[one.algorithm] = one.value;
  return {{"size", object.size()},
          {"etag", object.etag},
          {"version_id", object.version_id},
          {"storage_class", object.storage_class},
          {"acl", object.acl},
          {"encryption",
           {{"algorithm", object.encryption.algorithm},
            {"kms_key_id", object.encryption.kms_key_id},
            {"bucket_key", object.encryption.bucket_key},
            {"customer_key_md5", object.encryption.customer_key_md5}}},
          {"headers", headers},
          {"tags", tags},
          {"checksums", checksums},
          {"part_sizes", object.part_sizes},
          {"crc64", internal::crc64_to_base64(object.crc64)}};
}

Object object_from(const json& argument) {
  Object object;
  object.content = held_content(percent_decode(argument.value("content", "")));
  if (argument.contains("size")) {
    object.content = generated_content(argument.value("seed", uint64_t{1}), argument["size"].get<uint64_t>());
    object.etag = "generated-" + std::to_string(argument.value("seed", uint64_t{1}));
  }
  object.headers = {{"Content-Type", "binary/octet-stream"}};
  if (argument.contains("headers")) {
    object.headers.clear();
    for (const auto& [name, value] : argument["headers"].items()) {
      object.headers.emplace_back(name, percent_decode(value.get<std::string>()));
    }
  }
  if (argument.contains("tags")) {
    for (const auto& [name, value] : argument["tags"].items()) {
      object.tags.emplace_back(percent_decode(name), percent_decode(value.get<std::string>()));
    }
  }
  object.etag = argument.value("etag", object.etag);
  object.storage_class = argument.value("storage_class", object.storage_class);
  object.restore = argument.value("restore", object.restore);
  object.modified_ms = argument.value("modified_ms", object.modified_ms);
  return object;
}

json control_log(FaultServer& server, const json& argument) {
  const Pattern op(argument.value("op", "*"));
  const Pattern key(argument.value("key", "*"));
  json list = json::array();
  for (const Record& record : server.requests()) {
    if (op.matches(record.op) && key.matches(record.key)) list.push_back(to_json(record));
  }
  return list;
}

json control_counts(FaultServer& server, const json&) {
  json out = json::object();
  for (const auto& [op, count] : server.counts()) out[op] = to_json(count);
  return out;
}

json control_rules(FaultServer& server, const json& argument) {
  json ids = json::array();
  for (const json& rule : argument.is_array() ? argument : json::array({argument})) {
    ids.push_back(server.add_rule(Rule::from_json(rule)));
  }
  return ids;
}

json control_object(FaultServer& server, const json& argument) {
  const ObjectPtr object = server.get(bucket_of(argument), key_of(argument));
  if (!object) return nullptr;
  json out = to_json(*object);
  if (argument.value("content", false)) out["content"] = percent_encode(read_all(*object->content));
  return out;
}

json control_objects(FaultServer& server, const json& argument) {
  json keys = json::array();
  for (const std::string& key : server.keys(bucket_of(argument))) keys.push_back(percent_encode(key, true));
  return keys;
}

json control_server(FaultServer& server, const json& argument) {
  ServerSettings settings = server.server_settings();
  settings.merge(argument);
  server.set_server(settings);
  return nullptr;
}

json control_bucket(FaultServer& server, const json& argument) {
  server.change_bucket(argument.at("name"), [&](BucketSettings& settings) {
    if (argument.contains("settings")) settings.merge(argument["settings"]);
  });
  return nullptr;
}

json control_uploads(FaultServer& server, const json& argument) {
  json out = json::object();
  for (const auto& [id, key] : server.open_uploads(bucket_of(argument))) out[id] = percent_encode(key, true);
  return out;
}

json control_configure_log(FaultServer& server, const json& argument) {
  server.configure_log(argument.at("limit").get<size_t>(), argument.value("heads", true));
  return nullptr;
}

using Endpoint = std::function<json(FaultServer&, const json&)>;

const std::map<std::string, Endpoint>& endpoints() {
  static const std::map<std::string, Endpoint> all = {
      {"rules", control_rules},
      {"remove_rule", [](FaultServer& s, const json& a) { return json(s.remove_rule(a.at("id"))); }},
      {"clear_rules",
       [](FaultServer& s, const json&) {
         s.clear_rules();
         return json();
       }},
      {"fired", [](FaultServer& s, const json& a) { return json(s.fired(a.at("id"))); }},
      {"latency",
       [](FaultServer& s, const json& a) {
         s.set_latency(std::chrono::microseconds(static_cast<int64_t>(a.at("ms").get<double>() * 1000)));
         return json();
       }},
      {"log", control_log},
      {"counts", control_counts},
      {"connections", [](FaultServer& s, const json&) { return json(s.accepted_connections()); }},
      {"clear_log",
       [](FaultServer& s, const json&) {
         s.clear_log();
         return json();
       }},
      {"configure_log", control_configure_log},
      {"down",
       [](FaultServer& s, const json& a) {
         s.go_down(std::chrono::milliseconds(a.at("ms").get<int64_t>()));
         return json();
       }},
      {"server", control_server},
      {"bucket", control_bucket},
      {"put",
       [](FaultServer& s, const json& a) {
         s.put(bucket_of(a), key_of(a), object_from(a));
         return json();
       }},
      {"object", control_object},
      {"objects", control_objects},
      {"generate",
       [](FaultServer& s, const json& a) {
         s.generate(bucket_of(a), GeneratedKeys::from_json(a.at("keys")));
         return json();
       }},
      {"uploads", control_uploads},
      {"reset",
       [](FaultServer& s, const json&) {
         s.reset();
         return json();
       }},
  };
  return all;
}

}  // namespace

json run_control(FaultServer& server, const std::string& name, const json& argument) {
  const auto found = endpoints().find(name);
  const bool is_salesforce = SalesforceService::has_control(name);
  if (!is_salesforce && found == endpoints().end()) throw std::invalid_argument("there is no control endpoint " + name);
  try {
    return is_salesforce ? server.salesforce().control(name, argument) : found->second(server, argument);
  } catch (const json::exception& error) {
    throw std::invalid_argument(name + ": " + error.what());
  }
}

Answer ControlExchange::answer(Delivery&) {
  Answer answer;
  answer.headers.emplace_back("Content-Type", "application/json");
  try {
    const std::string name(request_.path.substr(control_path.size()));
    const json argument = body_.empty() ? json::object() : json::parse(body_, nullptr, false);
    if (argument.is_discarded()) throw std::invalid_argument("the body is no JSON");
    answer.text = run_control(server_, name, argument).dump(-1, ' ', false, json::error_handler_t::replace);
  } catch (const std::invalid_argument& error) {
    answer.status = 400;
    answer.text = json{{"error", error.what()}}.dump();
  }
  return answer;
}

}  // namespace waybill::testing::fault
