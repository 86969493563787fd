// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/organization_probe.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/diagnosis.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "connectors/salesforce/jwt.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

constexpr int64_t day_s = 86'400;
constexpr int64_t certificate_warning_s = 30 * day_s;
// Less of the day's calls than this share of what may be used is worth a warning.
constexpr double few_left = 0.1;

uint64_t major_of(const std::string& version) {
  return internal::parse_uint(std::string_view(version).substr(0, version.find('.'))).value_or(0);
}

// The majors of "62.0" and so on, in order.
std::vector<uint64_t> versions_in(const nlohmann::json& answer) {
  std::vector<uint64_t> versions;
  if (!answer.is_array()) return versions;
  for (const nlohmann::json& one : answer) {
    const auto found = one.find("version");
    if (found != one.end() && found->is_string()) versions.push_back(major_of(found->get<std::string>()));
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

std::string dotted(uint64_t version) { return std::to_string(version) + ".0"; }

Diagnosis version_of(const Organization& organization, const std::vector<uint64_t>& versions) {
  const std::string& own = organization.api_version;
  if (versions.empty()) return {Verdict::warn, "version", own + "; the organization does not tell which there are", ""};
  const std::string there = dotted(versions.front()) + " to " + dotted(versions.back());
  const std::string newest = "api_version=" + dotted(versions.back()) + " in the URL";
  const uint64_t major = major_of(own);
  if (!std::binary_search(versions.begin(), versions.end(), major)) {
    return {Verdict::fail, "version", "the API " + own + " is not there, or not any more; there are " + there, newest};
  }
  return {Verdict::ok, "version", "the API " + own + "; there are " + there, ""};
}

Diagnosis login_of(const Organization& organization) {
  std::string text = "logged in by " + std::string(to_string(organization.flow));
  if (!organization.username.empty()) text += " as " + printable(organization.username);
  if (organization.flow == Flow::password) {
    return {Verdict::warn, "credentials", text + ", which ends with Summer '27 and is off in new organizations",
            "set up JWT bearer: docs/guides/salesforce.md"};
  }
  if (organization.flow != Flow::jwt_bearer) return {Verdict::ok, "credentials", text, ""};
  const auto end_s = certificate_end(organization.key.load());
  if (!end_s) return {Verdict::ok, "credentials", text + "; when its certificate ends is not known here", ""};
  text += "; its certificate ends " + internal::format_rfc3339(*end_s * 1000).substr(0, 10);
  if (*end_s - internal::now_ms() / 1000 > certificate_warning_s) return {Verdict::ok, "credentials", text, ""};
  return {Verdict::warn, "credentials", text, "make a new key and certificate, and upload the certificate to the app"};
}

Diagnosis calls_of(const Organization& organization, const Usage& usage) {
  if (usage.total == 0) return {Verdict::warn, "calls", "the organization does not tell its calls of the day", ""};
  const double allowed = std::floor(organization.max_api_share * static_cast<double>(usage.total));
  const double left = std::max(0.0, allowed - static_cast<double>(usage.used));
  std::string share = std::to_string(organization.max_api_share);
  share.erase(share.find_last_not_of('0') + 1);
  if (share.ends_with('.')) share.pop_back();
  const std::string text = std::to_string(usage.used) + " of " + std::to_string(usage.total) + " used in the last 24 hours; " +
                           std::to_string(static_cast<uint64_t>(left)) + " are left to waybill (max_api_share=" + share + ")";
  if (left > few_left * allowed) return {Verdict::ok, "calls", text, ""};
  return {Verdict::warn, "calls", text, "runs pause when none are left, and carry on by themselves; or use mode=frozen, or a larger share"};
}

}  // namespace

Diagnosis failed_at(std::string subject, const Error& error) {
  Diagnosis failed = internal::failed(std::move(subject), error);
  switch (error.error_class()) {
    case ErrorClass::auth:
      failed.fix = "docs/guides/salesforce.md says how each login is set up";
      break;
    case ErrorClass::network:
    case ErrorClass::timeout:
      failed.fix = "check the host, which is the organization's My Domain (Setup), proxies and firewalls between here and there";
      break;
    case ErrorClass::throttled:
      failed.fix = "wait: a run does so by itself; or give a larger max_api_share";
      break;
    default:
      break;
  }
  return failed;
}

OrganizationProbe probe_organization(Client& client, Context& context) {
  const Organization& organization = client.organization();
  OrganizationProbe probe;
  const Diagnosis reachable{Verdict::ok, "reachable", printable(organization.identity() + " at " + organization.endpoint), ""};
  nlohmann::json versions;
  try {
    Call call;
    call.path = "/services/data";
    call.subject = "the list of API versions";
    versions = client.json(call, context);
    probe.found = {reachable, login_of(organization)};
  } catch (const Error& error) {
    const bool answered = error.error_class() == ErrorClass::auth || error.error_class() == ErrorClass::permission;
    const bool is_limit = error.error_class() == ErrorClass::throttled;
    if (answered || is_limit) probe.found.push_back(reachable);
    probe.found.push_back(failed_at(is_limit ? "calls" : answered ? "credentials" : "reachable", error));
    return probe;
  }
  probe.found.push_back(version_of(organization, versions_in(versions)));
  if (probe.found.back().verdict == Verdict::fail) return probe;
  try {
    Call call;
    call.path = "/limits";
    call.subject = "the limits of the organization";
    client.call(call, context);
    probe.found.push_back(calls_of(organization, client.budget().usage()));
    probe.is_open = true;
  } catch (const Error& error) {
    const bool is_right = error.error_class() == ErrorClass::permission;
    probe.found.push_back(failed_at(is_right ? "credentials" : "calls", error));
  }
  return probe;
}

}  // namespace waybill::salesforce
