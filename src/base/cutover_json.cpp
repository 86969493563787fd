// SPDX-License-Identifier: Apache-2.0

#include "base/cutover_json.hpp"

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/uri.hpp"

namespace waybill {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return internal::printable_json(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json gates_of(const std::vector<Gate>& gates) {
  Json list = Json::array();
  for (const Gate& gate : gates) {
    list.push_back({{"name", gate.name}, {"passed", gate.is_passed}, {"count", gate.count}, {"evidence", gate.evidence}});
  }
  return list;
}

Json examples_of(const std::vector<CutoverPlan::Example>& examples) {
  Json list = Json::array();
  for (const CutoverPlan::Example& one : examples) {
    list.push_back({{"record", printable(one.id.record)},
                    {"field", printable(one.id.field)},
                    {"partition", printable(one.partition)},
                    {"state", to_string(one.state)},
                    {"value", one.value},
                    {"intended", one.intended.empty() ? Json(nullptr) : Json(one.intended)},
                    {"reason", one.reason.empty() ? Json(nullptr) : Json(one.reason)}});
  }
  return list;
}

Json accounts_of(const ReferenceAccounts& references) {
  return {{"total", references.total},       {"original", references.original}, {"pending", references.pending},
          {"intended", references.intended}, {"updated", references.updated},   {"restored", references.restored},
          {"conflict", references.conflict}, {"failed", references.failed},     {"vanished", references.vanished},
          {"excluded", references.excluded}};
}

const char* word(Catalog::Conditional conditional) {
  switch (conditional) {
    case Catalog::Conditional::exact:
      return "exact";
    case Catalog::Conditional::weak:
      return "weak";
    case Catalog::Conditional::none:
      break;
  }
  return "none";
}

}  // namespace

std::string to_json(const CutoverPlan& plan) {
  Json json;
  json["hash"] = plan.hash;
  json["pass"] = plan.pass;
  json["ready"] = plan.is_ready;
  json["references"] = accounts_of(plan.references);
  json["items"] = plan.items;
  json["conditional"] = word(plan.conditional);
  json["gates"] = gates_of(plan.gates);
  json["examples"] = examples_of(plan.examples);
  json["unswitched"] = examples_of(plan.unswitched);
  return dump(json);
}

std::string to_json(const RollbackPlan& plan) {
  Json json;
  json["references"] = plan.references;
  json["accounts"] = accounts_of(plan.accounts);
  json["examples"] = examples_of(plan.examples);
  return dump(json);
}

namespace internal {

std::string gates_json(const std::vector<Gate>& gates) { return dump(gates_of(gates)); }

std::string refused_gates(const std::string& gates) {
  const Json list = Json::parse(gates, nullptr, false);
  std::string text;
  if (!list.is_array()) return text;
  for (const Json& gate : list) {
    if (!gate.is_object() || gate.value("passed", true)) continue;
    text += (text.empty() ? "" : "; ") + gate.value("name", "") + " (" + gate.value("evidence", "") + ")";
  }
  return text;
}

std::string to_json(const CutoverOptions& options, const std::string& catalog_url) {
  Json json;
  json["catalog"] = catalog_url;
  json["url_template"] = redact_url(options.url_template);
  json["partitions"] = options.partitions;
  json["records"] = options.records;
  json["canary"] = options.canary;
  json["max_verified_age_ms"] = options.max_verified_age_ms;
  json["max_plan_age_ms"] = options.max_plan_age_ms;
  json["probes"] = options.probes;
  json["accept_window"] = options.accept_window;
  return dump(json);
}

std::string to_json(const RollbackOptions& options) {
  Json json;
  json["partitions"] = options.partitions;
  json["run"] = options.run;
  json["records"] = options.records;
  json["accept_window"] = options.accept_window;
  return dump(json);
}

std::string url_template_of(const std::string& recorded) {
  const Json json = Json::parse(recorded, nullptr, false);
  const auto found = json.is_object() ? json.find("url_template") : json.end();
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string with_member(const std::string& options, const char* name, const std::string& what) {
  Json json = Json::parse(options, nullptr, false);
  if (!json.is_object()) json = Json::object();
  json[name] = Json::parse(what, nullptr, false);
  return dump(json);
}

std::string member_of(const std::string& recorded, const char* name) {
  const Json json = Json::parse(recorded, nullptr, false);
  return json.is_object() && json.contains(name) ? dump(json[name]) : "";
}

}  // namespace internal
}  // namespace waybill
