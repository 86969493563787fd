// SPDX-License-Identifier: Apache-2.0

#include "base/cutover_json.hpp"

#include <algorithm>
#include <cstdio>
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

constexpr const char* window_member = "unguarded_window";

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
  json["probe_as"] = options.probe_as;
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

void UnguardedWindow::add(const UnguardedWindow& other) {
  if (other.updates == 0) return;
  shortest_us = updates == 0 ? other.shortest_us : std::min(shortest_us, other.shortest_us);
  longest_us = std::max(longest_us, other.longest_us);
  total_us += other.total_us;
  updates += other.updates;
}

std::string UnguardedWindow::text() const {
  const auto ms = [](double us) {
    char text[32];
    std::snprintf(text, sizeof text, us < 10'000 ? "%.1f ms" : "%.0f ms", us / 1000);
    return std::string(text);
  };
  const double mean = updates == 0 ? 0 : static_cast<double>(total_us) / static_cast<double>(updates);
  return "unguarded window: " + std::to_string(updates) + (updates == 1 ? " update, " : " updates, ") +
         ms(static_cast<double>(shortest_us)) + " shortest, " + ms(mean) + " mean, " + ms(static_cast<double>(longest_us)) + " longest";
}

std::string to_json(const UnguardedWindow& window) {
  Json json;
  json[window_member] = {{"updates", window.updates},
                         {"shortest_us", window.shortest_us},
                         {"longest_us", window.longest_us},
                         {"total_us", window.total_us}};
  return dump(json);
}

std::optional<UnguardedWindow> unguarded_window_from(const std::string& data) {
  const Json json = Json::parse(data, nullptr, false);
  if (!json.is_object() || !json.contains(window_member) || !json[window_member].is_object()) return std::nullopt;
  const Json& told = json[window_member];
  return UnguardedWindow{told.value("updates", uint64_t{0}), told.value("shortest_us", int64_t{0}), told.value("longest_us", int64_t{0}),
                         told.value("total_us", int64_t{0})};
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
