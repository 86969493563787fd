// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_store.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "base/text.hpp"

namespace waybill::testing::fault {

int64_t SalesforceStore::now_s() const { return internal::now_ms() / 1000 + settings.clock_offset_s; }

SalesforceObject& SalesforceStore::define(std::string name, std::string key_prefix,
                                          std::vector<SalesforceField> fields) {
  for (SalesforceField& field : fields) {
    if (field.refers_to.empty()) continue;
    const SalesforceObject* const other = find(field.refers_to);
    if (!other && field.refers_to != "User") {
      throw std::invalid_argument(name + "." + field.name + " refers to " + field.refers_to +
                                  ", which is not there yet");
    }
    field.refers_prefix = other ? other->key_prefix() : "005";
  }
  objects_.erase(name);
  const auto made = objects_.emplace(name, SalesforceObject(name, std::move(key_prefix), std::move(fields)));
  return made.first->second;
}

const SalesforceObject* SalesforceStore::find(std::string_view name) const {
  for (const auto& [known, object] : objects_) {
    if (equals_ignoring_case(known, name)) return &object;
  }
  return nullptr;
}

SalesforceObject* SalesforceStore::find(std::string_view name) {
  return const_cast<SalesforceObject*>(static_cast<const SalesforceStore*>(this)->find(name));
}

SalesforceObject& SalesforceStore::require(std::string_view name) {
  SalesforceObject* const found = find(name);
  if (!found) throw std::invalid_argument("there is no object " + std::string(name));
  return *found;
}

const SalesforceUser* SalesforceStore::user(std::string_view login) const {
  const auto found = std::find_if(settings.users.begin(), settings.users.end(),
                                  [&](const SalesforceUser& user) { return equals_ignoring_case(user.name, login); });
  return found == settings.users.end() ? nullptr : &*found;
}

std::string SalesforceStore::new_secret(const std::string& prefix) {
  char digits[40];
  const uint64_t number = next_number();
  std::snprintf(digits, sizeof digits, "%016llx%016llx", static_cast<unsigned long long>(mix(number)),
                static_cast<unsigned long long>(mix(~number)));
  return prefix + digits;
}

std::string SalesforceStore::open_session(const std::string& login) {
  ++logins;
  const std::string token = new_secret(settings.organization_id.substr(0, 15) + "!AQ");
  sessions_[token] = {login, now_s(), 0};
  return token;
}

SalesforceSession* SalesforceStore::session(const std::string& token) {
  const auto found = sessions_.find(token);
  if (found == sessions_.end()) return nullptr;
  const SalesforceSession& session = found->second;
  const bool has_ended = (settings.session_calls > 0 && session.calls >= settings.session_calls) ||
                         now_s() >= session.begun_s + static_cast<int64_t>(settings.session_seconds);
  if (!has_ended) return &found->second;
  sessions_.erase(found);
  return nullptr;
}

void SalesforceStore::edit_for(std::string_view op, std::string_view scope, bool is_after) {
  for (size_t at = 0; at < edits.size();) {
    WaitingEdit& edit = edits[at];
    if (edit.is_after != is_after || !edit.op.matches(op) || !edit.scope.matches(scope) || --edit.nth > 0) {
      ++at;
      continue;
    }
    require(edit.object).change(edit.number, edit.values, {edit.user, "user", now_s()}, next_sequence());
    edits.erase(edits.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

void SalesforceStore::undo(uint64_t sequence) {
  for (auto& [name, object] : objects_) object.undo(sequence);
}

void SalesforceStore::clear() {
  objects_.clear();
  sessions_.clear();
  cursors.clear();
  jobs.clear();
  edits.clear();
  record_faults.clear();
  refresh_tokens.clear();
  settings = {};
  calls_today = query_jobs_today = logins = locked = 0;
}

}  // namespace waybill::testing::fault
