// SPDX-License-Identifier: Apache-2.0
//
// The JSON form of a Plan. As in json.cpp: keys are printable(), what is not known is null.
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "waybill/migration.hpp"
#include "waybill/redaction.hpp"

namespace waybill {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

// The row of the rest has no name of its own, but stands for several.
Json rows_json(const std::vector<Plan::Row>& rows, const char* name, bool has_title) {
  Json list = Json::array();
  for (const Plan::Row& row : rows) {
    Json entry;
    entry[name] = row.groups > 1 ? Json(nullptr) : Json(printable(row.name));
    if (has_title) entry["partition_name"] = row.title.empty() ? Json(nullptr) : Json(printable(row.title));
    entry["groups"] = row.groups;
    entry["items"] = row.items;
    entry["bytes"] = row.bytes;
    entry["unknown_sizes"] = row.unknown_sizes;
    list.push_back(std::move(entry));
  }
  return list;
}

Json unreachable_json(const Plan& plan) {
  Json list = Json::array();
  for (const Plan::Unreachable& one : plan.unreachable) {
    list.push_back({{"host", printable(one.host)}, {"items", one.items}, {"class", to_string(one.error_class)}, {"reason", one.reason}});
  }
  return list;
}

Json examples_json(const Plan& plan) {
  Json list = Json::array();
  for (const Plan::Example& example : plan.examples) {
    list.push_back({{"key", shown_key(example.key)}, {"class", to_string(example.error_class)}, {"reason", example.reason}});
  }
  return list;
}

Json collisions_json(const Plan& plan) {
  Json list = Json::array();
  for (const Plan::Collision& one : plan.collision_examples) {
    list.push_back({{"partition", printable(one.id.partition)},
                    {"key", shown_key(one.id.key)},
                    {"version", printable(one.id.version)},
                    {"wanted", shown_key(one.wanted)},
                    {"destination_key", shown_key(one.destination_key)}});
  }
  return list;
}

Json requests_json(const Plan::Requests& requests) {
  return {{"listing", requests.listing},
          {"source_looks", requests.source_looks},
          {"reads", requests.reads},
          {"destination_looks", requests.destination_looks},
          {"writes", requests.writes},
          {"copies", requests.copies},
          {"uploads", requests.uploads},
          {"parts", requests.parts},
          {"is_lower_bound", requests.is_lower_bound}};
}

Json time_json(const std::optional<Plan::Time>& time) {
  if (!time) return nullptr;
  return {{"seconds", time->seconds},
          {"run", time->run},
          {"moved_items", time->moved_items},
          {"moved_bytes", time->moved_bytes},
          {"active_seconds", time->active_seconds}};
}

Json sample_json(const Plan& plan) {
  return {{"asked", plan.sample.asked},
          {"answered", plan.sample.answered},
          {"failed_by_class", Json(plan.sample.failed_by_class)},
          {"estimated_bytes", or_null(plan.estimated_bytes)}};
}

}  // namespace

std::string to_json(const Plan& plan) {
  Json histogram = Json::object();
  for (const auto& [log2_size, count] : plan.size_histogram) histogram[std::to_string(log2_size)] = count;
  Json json;
  json["items"] = plan.items;
  json["bytes"] = plan.bytes;
  json["unknown_sizes"] = plan.unknown_sizes;
  json["to_create"] = plan.to_create;
  json["to_update"] = plan.to_update;
  json["to_compare"] = plan.to_compare;
  json["to_look_at"] = plan.to_look_at;
  json["unchanged"] = plan.unchanged;
  json["excluded"] = plan.excluded;
  json["oversize"] = plan.oversize;
  json["oversize_bytes"] = plan.oversize_bytes;
  json["refused"] = plan.refused;
  json["occupied"] = plan.occupied;
  json["unmatched_objects"] = or_null(plan.unmatched_objects);
  json["bytes_to_move"] = plan.bytes_to_move;
  json["objects_in_parts"] = plan.objects_in_parts;
  json["collisions"] = plan.collisions;
  json["items_in_collisions"] = plan.items_in_collisions;
  json["collision_examples"] = collisions_json(plan);
  json["refused_by_class"] = Json(plan.refused_by_class);
  json["size_histogram"] = std::move(histogram);
  json["partitions"] = rows_json(plan.partitions, "partition", true);
  json["extensions"] = rows_json(plan.extensions, "extension", false);
  json["hosts"] = rows_json(plan.hosts, "host", false);
  json["unreachable"] = unreachable_json(plan);
  json["sample"] = sample_json(plan);
  json["requests"] = requests_json(plan.requests);
  json["time"] = time_json(plan.time);
  json["examples"] = examples_json(plan);
  return internal::printable_json(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace waybill
