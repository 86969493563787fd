// SPDX-License-Identifier: Apache-2.0
//
// Looking at an organization before anything is read: host, login, API version, and what is left of the day's calls.
#pragma once

#include <vector>

#include "connectors/salesforce/client.hpp"
#include "waybill/diagnosis.hpp"

namespace waybill::salesforce {

/// Whether more can be asked of it, and what was found.
struct OrganizationProbe {
  bool is_open = false;
  std::vector<Diagnosis> found;
};

/// Throws nothing but cancelled.
OrganizationProbe probe_organization(Client& client, Context& context);

/// As internal::failed(), with what is to be done at Salesforce. Throws an error that is cancelled.
Diagnosis failed_at(std::string subject, const Error& error);

}  // namespace waybill::salesforce
