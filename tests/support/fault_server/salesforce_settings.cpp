// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_settings.hpp"

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "support/fault_server/salesforce_object.hpp"

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

template <class Settings>
using Setters = std::map<std::string, std::function<void(Settings&, const json&)>>;

template <class Settings>
void merge_into(Settings& settings, const Setters<Settings>& setters, const json& object) {
  if (!object.is_object()) throw std::invalid_argument("settings are an object");
  for (const auto& [name, value] : object.items()) {
    const auto found = setters.find(name);
    if (found == setters.end()) throw std::invalid_argument("there is no setting " + name);
    try {
      found->second(settings, value);
    } catch (const json::exception& error) {
      throw std::invalid_argument("setting " + name + ": " + error.what());
    }
  }
}

template <class Settings, class Value>
auto field(Value Settings::*member) {
  return [member](Settings& settings, const json& value) { settings.*member = value.get<Value>(); };
}

template <class Settings, class One>
auto list(std::vector<One> Settings::*member, const Setters<One>& setters) {
  return [member, setters](Settings& settings, const json& value) {
    (settings.*member).clear();
    for (const json& object : value) merge_into((settings.*member).emplace_back(), setters, object);
  };
}

const Setters<SalesforceUser>& user_setters() {
  using U = SalesforceUser;
  static const Setters<U> setters = {
      {"name", field(&U::name)},
      {"password", field(&U::password)},
      {"security_token", field(&U::security_token)},
      {"id", field(&U::id)},
      {"may_use_api", field(&U::may_use_api)},
      {"hidden", field(&U::hidden)},
      {"read_only", field(&U::read_only)},
  };
  return setters;
}

const Setters<SalesforceApp>& app_setters() {
  using A = SalesforceApp;
  static const Setters<A> setters = {
      {"key", field(&A::key)},
      {"secret", field(&A::secret)},
      {"certificate", field(&A::certificate)},
      {"run_as", field(&A::run_as)},
      {"approved", field(&A::approved)},
      {"refresh_tokens", field(&A::refresh_tokens)},
      {"rotates_refresh_tokens", field(&A::rotates_refresh_tokens)},
  };
  return setters;
}

}  // namespace

void SalesforceSettings::merge(const json& object) {
  using S = SalesforceSettings;
  static const Setters<S> setters = {
      {"instance_url", field(&S::instance_url)},
      {"organization_id", field(&S::organization_id)},
      {"is_sandbox", field(&S::is_sandbox)},
      {"first_version", field(&S::first_version)},
      {"last_version", field(&S::last_version)},
      {"last_soap_login", field(&S::last_soap_login)},
      {"soap_login", field(&S::soap_login)},
      {"clock_offset_s", field(&S::clock_offset_s)},
      {"session_calls", field(&S::session_calls)},
      {"session_seconds", field(&S::session_seconds)},
      {"daily_calls", field(&S::daily_calls)},
      {"concurrent_calls", field(&S::concurrent_calls)},
      {"page_records", field(&S::page_records)},
      {"cursor_seconds", field(&S::cursor_seconds)},
      {"bulk_polls", field(&S::bulk_polls)},
      {"bulk_page_records", field(&S::bulk_page_records)},
      {"bulk_stops_after", field(&S::bulk_stops_after)},
      {"daily_query_jobs", field(&S::daily_query_jobs)},
      {"locks_parents", field(&S::locks_parents)},
      {"seed", field(&S::seed)},
      {"users", list(&S::users, user_setters())},
      {"apps", list(&S::apps, app_setters())},
  };
  merge_into(*this, setters, object);
  for (size_t at = 0; at < users.size(); ++at) {
    if (users[at].id.empty()) users[at].id = salesforce_id("005", at + 1);
  }
}

}  // namespace waybill::testing::fault
