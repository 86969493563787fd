// SPDX-License-Identifier: Apache-2.0
//
// The operations of Salesforce, each a function from what was asked to the answer; failures are thrown as
// SalesforceError. They run under SalesforceService's lock, after the session has been checked.
#pragma once

#include <string>
#include <string_view>

#include "support/fault_server/salesforce_request.hpp"
#include "support/fault_server/salesforce_store.hpp"

namespace waybill::testing::fault {

struct SalesforceContext {
  SalesforceStore& store;
  const SalesforceRequest& request;
  const SalesforceUser* user;  ///< null before a login
  uint64_t call;               ///< number of the call; subrequests have their composite's
};

using SalesforceOperation = Answer (*)(SalesforceContext&);
/// Null where there is none of this name.
SalesforceOperation find_salesforce_operation(std::string_view name);
/// Throws 404 NOT_FOUND or 410 where the version in the path is none of this server's.
void check_version(const SalesforceStore& store, const SalesforceRequest& request);

Answer issue_token(SalesforceContext& context);
Answer soap_login(SalesforceContext& context);

Answer list_versions(SalesforceContext& context);
Answer list_resources(SalesforceContext& context);
Answer list_limits(SalesforceContext& context);
Answer describe_global(SalesforceContext& context);
Answer describe_object(SalesforceContext& context);

Answer query(SalesforceContext& context);
Answer query_all(SalesforceContext& context);
Answer query_more(SalesforceContext& context);

Answer get_record(SalesforceContext& context);
Answer update_record(SalesforceContext& context);
Answer get_collection(SalesforceContext& context);
Answer update_collection(SalesforceContext& context);
Answer composite(SalesforceContext& context);
Answer get_blob(SalesforceContext& context);

Answer create_query_job(SalesforceContext& context);
Answer get_query_job(SalesforceContext& context);
Answer get_query_results(SalesforceContext& context);
Answer list_result_pages(SalesforceContext& context);
Answer change_query_job(SalesforceContext& context);
Answer delete_job(SalesforceContext& context);
Answer create_ingest_job(SalesforceContext& context);
Answer upload_ingest_data(SalesforceContext& context);
Answer change_ingest_job(SalesforceContext& context);
Answer get_ingest_job(SalesforceContext& context);
Answer get_ingest_results(SalesforceContext& context);

SalesforceError not_found();
/// Of an account; other objects have none.
std::string salesforce_etag(const SalesforceObject& object, uint64_t number);

}  // namespace waybill::testing::fault
