// SPDX-License-Identifier: Apache-2.0
//
// What is there: versions, resources, limits, descriptions of objects; queries and their pages; content.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "support/fault_server/salesforce_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json summary(const SalesforceObject& object, const SalesforceUser& user, const std::string& version) {
  const std::string base = "/services/data/v" + version + "/sobjects/" + object.name();
  const bool may_write = may_edit(user, object);
  return {{"name", object.name()},
          {"label", object.name()},
          {"keyPrefix", object.key_prefix()},
          {"custom", object.is_custom()},
          {"queryable", true},
          {"retrieveable", true},
          {"searchable", false},
          {"createable", false},
          {"updateable", may_write},
          {"deletable", false},
          {"urls", {{"sobject", base}, {"describe", base + "/describe"}, {"rowTemplate", base + "/{ID}"}}}};
}

json describe_field(const SalesforceField& field, const SalesforceUser& user, const SalesforceObject& object) {
  const bool is_text = field.type == "string" || field.type == "url" || field.type == "textarea" ||
                       field.type == "id" || field.type == "reference";
  json described = {{"name", field.name},
                    {"label", field.name},
                    {"type", field.type},
                    {"length", is_text ? field.length : 0},
                    {"byteLength", is_text ? field.length * 3 : 0},
                    {"soapType", field.type == "id" ? "tns:ID" : "xsd:" + field.type},
                    {"custom", field.name.ends_with("__c")},
                    {"filterable", field.is_filterable},
                    {"sortable", field.is_sortable},
                    {"nillable", field.is_nillable},
                    {"createable", false},
                    {"updateable", may_edit(user, object, &field)},
                    {"calculated", false},
                    {"unique", false},
                    {"externalId", false},
                    {"relationshipName", nullptr},
                    {"referenceTo", json::array()}};
  if (!field.relationship.empty()) described["relationshipName"] = field.relationship;
  if (!field.refers_to.empty()) described["referenceTo"] = json::array({field.refers_to});
  return described;
}

// {"totalSize", "done", "nextRecordsUrl", "records"} of the records from `begin` on.
std::string page(const SalesforceCursor& cursor, const std::string& locator, uint64_t begin,
                 const std::string& version) {
  const uint64_t end = std::min<uint64_t>(cursor.numbers.size(), begin + cursor.page_records);
  const bool is_done = end == cursor.numbers.size();
  std::string text =
      "{\"totalSize\":" + std::to_string(cursor.numbers.size()) + ",\"done\":" + (is_done ? "true" : "false");
  if (!is_done) {
    text += ",\"nextRecordsUrl\":\"/services/data/v" + version + "/query/" + locator + "-" + std::to_string(end) + "\"";
  }
  text += ",\"records\":[";
  for (uint64_t at = begin; at < end; ++at) {
    if (at > begin) text += ',';
    cursor.selection->append_json_record(text, cursor.numbers[at], version);
  }
  return text + "]}";
}

// "batchSize=200": what the client asks for, held between 200 and the server's own; a wish only.
uint64_t page_records(const SalesforceContext& context) {
  const uint64_t most = context.store.settings.page_records;
  std::string_view options = context.request.header("sforce-query-options");
  const size_t equals = options.find("batchSize=");
  if (equals == std::string_view::npos) return most;
  options = options.substr(equals + 10);
  const auto wanted = internal::parse_uint(options.substr(0, options.find_first_not_of("0123456789")));
  return wanted ? std::min(std::max<uint64_t>(*wanted, 200), most) : most;
}

Answer run_query(SalesforceContext& context, bool has_deleted) {
  SalesforceStore& store = context.store;
  const std::string text(context.request.parameter("q"));
  if (text.empty()) throw SalesforceError{400, "MALFORMED_QUERY", "unexpected token: <EOF>"};
  const SoqlQuery parsed = parse_soql(text);
  SalesforceResult result = run_soql(store, *context.user, parsed, has_deleted);
  if (parsed.counts) {
    return salesforce_json("{\"totalSize\":" + std::to_string(result.numbers.size()) +
                           ",\"done\":true,\"records\":[]}");
  }
  SalesforceCursor cursor{result.selection, std::move(result.numbers), context.request.version, page_records(context),
                          store.now_s()};
  const std::string locator = salesforce_id("0r8", store.next_number());
  Answer answer = salesforce_json(page(cursor, locator, 0, context.request.version));
  if (cursor.numbers.size() > cursor.page_records) store.cursors[locator] = std::move(cursor);
  return answer;
}

}  // namespace

std::string salesforce_etag(const SalesforceObject& object, uint64_t number) {
  // Whole seconds would let two changes of one second pass for one.
  return "\"" + object.id(number) + "-" + std::to_string(object.history(number).size()) + "\"";
}

SalesforceError not_found() { return {404, "NOT_FOUND", "The requested resource does not exist"}; }

void check_version(const SalesforceStore& store, const SalesforceRequest& request) {
  const size_t dot = request.version.find('.');
  const auto major = internal::parse_uint(request.version.substr(0, dot));
  if (!major || dot == std::string::npos || *major > store.settings.last_version) throw not_found();
  if (*major < store.settings.first_version) {
    throw SalesforceError{410, "UNSUPPORTED_API_VERSION",
                          "API version v" + request.version + " is no longer supported"};
  }
}

Answer list_versions(SalesforceContext& context) {
  json versions = json::array();
  for (uint64_t major = context.store.settings.first_version; major <= context.store.settings.last_version; ++major) {
    const std::string version = std::to_string(major) + ".0";
    versions.push_back({{"version", version}, {"label", "v" + version}, {"url", "/services/data/v" + version}});
  }
  return salesforce_json(dump(versions));
}

Answer list_resources(SalesforceContext& context) {
  json resources;
  for (const char* const name : {"limits", "query", "queryAll", "sobjects", "composite", "jobs"}) {
    resources[name] = "/services/data/v" + context.request.version + "/" + name;
  }
  return salesforce_json(dump(resources));
}

Answer list_limits(SalesforceContext& context) {
  const SalesforceStore& store = context.store;
  const auto limit = [](uint64_t most, uint64_t used) {
    return json{{"Max", most}, {"Remaining", most - std::min(most, used)}};
  };
  return salesforce_json(dump({{"DailyApiRequests", limit(store.settings.daily_calls, store.calls_today)},
                               {"DailyBulkV2QueryJobs", limit(store.settings.daily_query_jobs, store.query_jobs_today)},
                               {"DailyBulkV2QueryFileStorageMB", limit(976'562, 0)}}));
}

Answer describe_global(SalesforceContext& context) {
  json objects = json::array();
  for (const auto& [name, object] : context.store.objects()) {
    if (may_read(*context.user, object)) objects.push_back(summary(object, *context.user, context.request.version));
  }
  return salesforce_json(dump({{"encoding", "UTF-8"}, {"maxBatchSize", 200}, {"sobjects", objects}}));
}

Answer describe_object(SalesforceContext& context) {
  const SalesforceObject& object = visible_object(context.store, *context.user, context.request.object);
  json described = summary(object, *context.user, context.request.version);
  described["fields"] = json::array();
  for (const SalesforceField& field : object.fields()) {
    if (may_read(*context.user, object, &field)) {
      described["fields"].push_back(describe_field(field, *context.user, object));
    }
  }
  return salesforce_json(dump(described));
}

Answer query(SalesforceContext& context) { return run_query(context, false); }
Answer query_all(SalesforceContext& context) { return run_query(context, true); }

Answer query_more(SalesforceContext& context) {
  const std::string& id = context.request.id;
  const size_t dash = id.rfind('-');
  const auto begin = internal::parse_uint(dash == std::string::npos ? "" : id.substr(dash + 1));
  const auto found = context.store.cursors.find(id.substr(0, dash));
  const SalesforceError expired{400, "INVALID_QUERY_LOCATOR", "invalid query locator"};
  if (!begin || found == context.store.cursors.end()) throw expired;
  const SalesforceCursor& cursor = found->second;
  const int64_t age_s = context.store.now_s() - cursor.begun_s;
  if (cursor.has_expired || age_s >= static_cast<int64_t>(context.store.settings.cursor_seconds)) throw expired;
  if (*begin >= cursor.numbers.size()) throw expired;
  return salesforce_json(page(cursor, found->first, *begin, context.request.version));
}

Answer get_record(SalesforceContext& context) {
  const SalesforceObject& object = visible_object(context.store, *context.user, context.request.object);
  const auto number = object.number(context.request.id);
  if (!number || object.deleted(*number)) throw not_found();
  SalesforceSelection selection;
  selection.store = &context.store;
  selection.object = &object;
  std::string_view wanted = context.request.parameter("fields");
  if (wanted.empty()) {
    for (size_t at = 0; at < object.fields().size(); ++at) {
      const SalesforceField& field = object.fields()[at];
      if (may_read(*context.user, object, &field)) selection.items.push_back({field.name, at, nullptr});
    }
  }
  while (!wanted.empty()) {
    const size_t comma = std::min(wanted.find(','), wanted.size());
    const std::string name(wanted.substr(0, comma));
    wanted.remove_prefix(std::min(comma + 1, wanted.size()));
    const auto field = object.field(name);
    if (!field || !may_read(*context.user, object, &object.fields()[*field])) {
      throw SalesforceError{400, "INVALID_FIELD", "No such column '" + name + "' on sobject of type " + object.name()};
    }
    selection.items.push_back({object.fields()[*field].name, *field, nullptr});
  }
  std::string text;
  selection.append_json_record(text, *number, context.request.version);
  Answer answer = salesforce_json(text);
  if (object.name() == "Account") answer.headers.emplace_back("ETag", salesforce_etag(object, *number));
  if (!object.is_custom()) {
    answer.headers.emplace_back("Last-Modified", internal::format_http_date(object.stamp_s(*number)));
  }
  return answer;
}

// The whole body always: ranges are not offered.
Answer get_blob(SalesforceContext& context) {
  const SalesforceObject& object = visible_object(context.store, *context.user, context.request.object);
  const auto number = object.number(context.request.id);
  const auto field = object.field(context.request.member);
  if (!number || object.deleted(*number) || !field || object.fields()[*field].type != "base64") throw not_found();
  if (context.request.is_subrequest) {
    throw SalesforceError{400, "INVALID_REQUEST", "Content is not available in a composite request"};
  }
  if (!may_read(*context.user, object, &object.fields()[*field])) throw not_found();
  Answer answer;
  answer.headers.emplace_back("Content-Type", "application/octetstream");
  answer.content = object.body(*number);
  answer.content_end = answer.content->size();
  return answer;
}

SalesforceOperation find_salesforce_operation(std::string_view name) {
  static const std::map<std::string_view, SalesforceOperation> all = {
      {"Token", issue_token},
      {"SoapLogin", soap_login},
      {"Versions", list_versions},
      {"Resources", list_resources},
      {"Limits", list_limits},
      {"DescribeGlobal", describe_global},
      {"Describe", describe_object},
      {"Query", query},
      {"QueryAll", query_all},
      {"QueryMore", query_more},
      {"GetRecord", get_record},
      {"UpdateRecord", update_record},
      {"GetBlob", get_blob},
      {"GetCollection", get_collection},
      {"UpdateCollection", update_collection},
      {"Composite", composite},
      {"CreateQueryJob", create_query_job},
      {"GetQueryJob", get_query_job},
      {"GetQueryResults", get_query_results},
      {"ListResultPages", list_result_pages},
      {"ChangeQueryJob", change_query_job},
      {"DeleteQueryJob", delete_job},
      {"CreateIngestJob", create_ingest_job},
      {"UploadIngestData", upload_ingest_data},
      {"ChangeIngestJob", change_ingest_job},
      {"GetIngestJob", get_ingest_job},
      {"GetIngestResults", get_ingest_results},
      {"DeleteIngestJob", delete_job},
  };
  const auto found = all.find(name);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace waybill::testing::fault
