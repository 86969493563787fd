// SPDX-License-Identifier: Apache-2.0
//
// Bulk API 2.0: jobs that query, and jobs that update. A job is told to be under way for `bulk_polls` looks at it; what
// it does is done at once, a query's at its creation, an update's when it is first told to be complete.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "support/fault_server/digests.hpp"
#include "support/fault_server/salesforce_csv.hpp"
#include "support/fault_server/salesforce_jwt.hpp"
#include "support/fault_server/salesforce_writing.hpp"

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

bool is_query(const SalesforceJob& job) { return job.operation.starts_with("query"); }

std::string_view ending_of(const SalesforceJob& job) { return job.line_ending == "CRLF" ? "\r\n" : "\n"; }

Answer job_answer(const SalesforceContext& context, const SalesforceJob& job, int status = 200) {
  json info = {{"id", job.id},
               {"operation", job.operation},
               {"object", job.object},
               {"createdById", context.user->id},
               {"createdDate", internal::format_rfc3339(job.created_s * 1000)},
               {"systemModstamp", internal::format_rfc3339(context.store.now_s() * 1000)},
               {"state", job.state},
               {"concurrencyMode", "Parallel"},
               {"contentType", "CSV"},
               {"apiVersion", std::stod(job.version)},
               {"lineEnding", job.line_ending},
               {"columnDelimiter", job.delimiter_name},
               {"numberRecordsProcessed", is_query(job) ? job.numbers.size() : job.processed_records}};
  if (!is_query(job)) {
    info["jobType"] = "V2Ingest";
    info["contentUrl"] = "services/data/v" + job.version + "/jobs/ingest/" + job.id + "/batches";
    info["numberRecordsFailed"] = job.failed_records;
  }
  if (!job.error.empty()) info["errorMessage"] = job.error;
  return salesforce_json(info.dump(-1, ' ', false, json::error_handler_t::replace), status);
}

Answer csv_answer(std::string text) {
  Answer answer;
  answer.headers.emplace_back("Content-Type", "text/csv");
  answer.text = std::move(text);
  return answer;
}

SalesforceJob new_job(SalesforceContext& context, const json& body) {
  SalesforceJob job;
  job.operation = body.at("operation");
  job.version = context.request.version;
  job.user = context.user->name;
  job.created_s = context.store.now_s();
  job.delimiter_name = body.value("columnDelimiter", job.delimiter_name);
  job.line_ending = body.value("lineEnding", job.line_ending);
  const auto delimiter = csv_delimiter(job.delimiter_name);
  if (!delimiter || (job.line_ending != "LF" && job.line_ending != "CRLF")) {
    throw SalesforceError{400, "INVALIDJOB", "Unknown columnDelimiter or lineEnding"};
  }
  job.delimiter = *delimiter;
  job.id = salesforce_id("750", context.store.next_number());
  return job;
}

SalesforceJob& find_job(SalesforceContext& context, bool wants_query) {
  const auto found = context.store.jobs.find(context.request.id);
  if (found == context.store.jobs.end() || is_query(found->second) != wants_query) throw not_found();
  SalesforceJob& job = found->second;
  if (job.version != context.request.version) {
    throw SalesforceError{409, "API_VERSION_MISMATCH", "The job was created with version " + job.version};
  }
  return job;
}

void require_state(const SalesforceJob& job, std::string_view state) {
  if (job.state == state) return;
  throw SalesforceError{400, "INVALIDJOBSTATE", "The job is " + job.state + ", not " + std::string(state)};
}

bool has_ended(const SalesforceJob& job) {
  return job.state == "JobComplete" || job.state == "Failed" || job.state == "Aborted";
}

/// A job on its way, looked at once more. Whether it is complete now.
bool look_at(const SalesforceContext& context, SalesforceJob& job) {
  if (job.state != "UploadComplete" && job.state != "InProgress") return false;
  const bool is_complete = job.polls++ >= context.store.settings.bulk_polls;
  job.state = is_complete ? "JobComplete" : "InProgress";
  return is_complete;
}

std::string locator_of(const SalesforceJob& job, uint64_t begin) {
  std::string text = to_base64(std::to_string(job.locator_generation) + "." + std::to_string(begin));
  std::erase(text, '=');
  return text;
}

uint64_t begin_of(const SalesforceJob& job, std::string_view locator) {
  if (locator.empty()) return 0;
  const std::string text = from_base64(locator, false).value_or("");
  const size_t dot = std::min(text.find('.'), text.size());
  const auto begin = internal::parse_uint(std::string_view(text).substr(std::min(dot + 1, text.size())));
  if (!begin || text.substr(0, dot) != std::to_string(job.locator_generation) || *begin > job.numbers.size()) {
    throw SalesforceError{400, "INVALID_QUERY_LOCATOR", "invalid query locator"};
  }
  return *begin;
}

// One row of a job that updates: what goes into which of its results.
struct Ingest {
  SalesforceContext& context;
  SalesforceJob& job;
  SalesforceObject& object;
  CsvRow columns;
  size_t id_column = 0;

  void append(std::string& out, CsvRow first, const CsvRow& row) const {
    first.insert(first.end(), row.begin(), row.end());
    append_csv(out, first, job.delimiter, ending_of(job));
  }

  void write(const CsvRow& row) {
    RecordValues values;
    for (size_t at = 0; at < columns.size(); ++at) {
      // An empty field changes nothing; #N/A is null.
      if (at == id_column || at >= row.size() || row[at].empty()) continue;
      values.emplace_back(columns[at], row[at] == "#N/A" ? std::nullopt : FieldValue(row[at]));
    }
    const std::string id = id_column < row.size() ? row[id_column] : "";
    const auto error = write_record(context, object, id, values, "IngestJob");
    ++job.processed_records;
    if (!error) {
      append(job.successful, {id, "false"}, row);
      return;
    }
    ++job.failed_records;
    std::string fields;
    for (const std::string& field : error->fields) fields += (fields.empty() ? "" : ",") + field;
    append(job.failed, {id, error->code + ":" + error->message + ":" + fields + " --"}, row);
  }
};

void fail(SalesforceJob& job, const std::string& error) {
  job.state = "Failed";
  job.error = error;
}

void ingest(SalesforceContext& context, SalesforceJob& job) {
  auto rows = parse_csv(job.data, job.delimiter, ending_of(job));
  if (!rows || rows->empty()) {
    fail(job,
         "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is " + job.line_ending);
    return;
  }
  Ingest work{context, job, context.store.require(job.object), rows->front()};
  rows->erase(rows->begin());
  for (size_t at = 0; at < work.columns.size(); ++at) {
    if (equals_ignoring_case(work.columns[at], "Id")) work.id_column = at;
    if (!work.object.field(work.columns[at])) {
      fail(job, "InvalidBatch : Field name not found : " + work.columns[at]);
      return;
    }
  }
  // Results come in any order.
  std::vector<size_t> order(rows->size());
  for (size_t at = 0; at < order.size(); ++at) order[at] = at;
  const uint64_t seed = mix(context.store.settings.seed);
  std::sort(order.begin(), order.end(), [&](size_t left, size_t right) {
    return std::pair(mix(seed ^ left), left) < std::pair(mix(seed ^ right), right);
  });
  work.append(job.successful, {"sf__Id", "sf__Created"}, work.columns);
  work.append(job.failed, {"sf__Id", "sf__Error"}, work.columns);
  work.append(job.unprocessed, {}, work.columns);
  context.store.edit_for("IngestJob", job.object, false);
  const uint64_t stop = context.store.settings.bulk_stops_after;
  for (const size_t at : order) {
    if (stop > 0 && job.processed_records >= stop) {
      work.append(job.unprocessed, {}, (*rows)[at]);
    } else {
      work.write((*rows)[at]);
    }
  }
  if (stop > 0 && rows->size() > stop) fail(job, "InternalServerError : the job was ended");
  context.store.edit_for("IngestJob", job.object, true);
}

}  // namespace

Answer create_query_job(SalesforceContext& context) {
  const json body = context.request.json();
  SalesforceJob job = new_job(context, body);
  if (job.operation != "query" && job.operation != "queryAll") {
    throw SalesforceError{400, "INVALIDJOB", "Unknown operation " + job.operation};
  }
  if (context.store.query_jobs_today >= context.store.settings.daily_query_jobs) {
    throw SalesforceError{400, "LIMIT_EXCEEDED", "The limit of query jobs of the day is reached"};
  }
  job.query = body.at("query");
  const SoqlQuery parsed = parse_soql(job.query);
  SalesforceResult result = run_soql(context.store, *context.user, parsed, job.operation == "queryAll");
  if (parsed.counts) throw SalesforceError{400, "INVALIDJOB", "Aggregates are not supported in bulk queries"};
  for (const SalesforceSelection::Item& item : result.selection->items) {
    if (result.selection->object->fields()[item.field].type == "base64") {
      throw SalesforceError{400, "INVALIDJOB", "Binary fields are not supported in bulk queries"};
    }
  }
  ++context.store.query_jobs_today;
  job.object = result.selection->object->name();
  job.selection = std::move(result.selection);
  job.numbers = std::move(result.numbers);
  job.sequence = context.store.sequence();
  job.state = "UploadComplete";
  const Answer answer = job_answer(context, job);
  context.store.jobs[job.id] = std::move(job);
  return answer;
}

Answer get_query_job(SalesforceContext& context) {
  SalesforceJob& job = find_job(context, true);
  look_at(context, job);
  return job_answer(context, job);
}

Answer get_query_results(SalesforceContext& context) {
  const SalesforceJob& job = find_job(context, true);
  require_state(job, "JobComplete");
  const uint64_t begin = begin_of(job, context.request.parameter("locator"));
  const uint64_t wanted = internal::parse_uint(context.request.parameter("maxRecords")).value_or(UINT64_MAX);
  const uint64_t most = std::max<uint64_t>(1, std::min(wanted, context.store.settings.bulk_page_records));
  const uint64_t end = begin + std::min<uint64_t>(job.numbers.size() - begin, most);
  std::string text;
  append_csv(text, job.selection->columns(), job.delimiter, ending_of(job));
  std::vector<FieldValue> values;
  for (uint64_t at = begin; at < end; ++at) {
    values.clear();
    // As it was when the job was made, however often it is read.
    job.selection->values(job.numbers[at], job.sequence, values);
    CsvRow row;
    for (FieldValue& value : values) row.push_back(std::move(value).value_or(""));
    append_csv(text, row, job.delimiter, ending_of(job));
  }
  Answer answer = csv_answer(std::move(text));
  answer.headers.emplace_back("Sforce-NumberOfRecords", std::to_string(end - begin));
  answer.headers.emplace_back("Sforce-Locator", end == job.numbers.size() ? "null" : locator_of(job, end));
  return answer;
}

// Up to five addresses of pages, which can be read side by side.
Answer list_result_pages(SalesforceContext& context) {
  const SalesforceJob& job = find_job(context, true);
  require_state(job, "JobComplete");
  if (internal::parse_uint(job.version.substr(0, job.version.find('.'))).value_or(0) < 58) throw not_found();
  const std::string base = "/services/data/v" + job.version + "/jobs/query/" + job.id;
  uint64_t begin = begin_of(job, context.request.parameter("locator"));
  json pages = json::array();
  for (; begin < job.numbers.size() && pages.size() < 5; begin += context.store.settings.bulk_page_records) {
    pages.push_back({{"resultUrl", base + "/results?locator=" + locator_of(job, begin)}});
  }
  const bool is_done = begin >= job.numbers.size();
  json answer = {{"resultPages", pages}, {"done", is_done}};
  if (!is_done) answer["nextRecordsUrl"] = base + "/resultPages?locator=" + locator_of(job, begin);
  return salesforce_json(answer.dump());
}

Answer change_query_job(SalesforceContext& context) {
  SalesforceJob& job = find_job(context, true);
  if (context.request.json().value("state", "") != "Aborted" || has_ended(job)) {
    throw SalesforceError{400, "INVALIDJOBSTATE", "The job is " + job.state};
  }
  job.state = "Aborted";
  return job_answer(context, job);
}

Answer delete_job(SalesforceContext& context) {
  const SalesforceJob& job = find_job(context, context.request.op == "DeleteQueryJob");
  if (!has_ended(job)) throw SalesforceError{400, "INVALIDJOBSTATE", "The job is " + job.state};
  context.store.jobs.erase(context.request.id);
  Answer answer;
  answer.status = 204;
  return answer;
}

Answer create_ingest_job(SalesforceContext& context) {
  const json body = context.request.json();
  SalesforceJob job = new_job(context, body);
  if (job.operation != "update" || body.value("contentType", "CSV") != "CSV") {
    throw SalesforceError{400, "INVALIDJOB", "This server updates only, from CSV"};
  }
  const std::string name = body.at("object");
  const SalesforceObject* const object = context.store.find(name);
  if (!object || !may_read(*context.user, *object)) throw SalesforceError{400, "INVALIDJOB", "Unknown object " + name};
  job.object = object->name();
  job.state = "Open";
  const Answer answer = job_answer(context, job);
  context.store.jobs[job.id] = std::move(job);
  return answer;
}

Answer upload_ingest_data(SalesforceContext& context) {
  SalesforceJob& job = find_job(context, false);
  require_state(job, "Open");
  if (job.has_data) {
    throw SalesforceError{400, "CLIENT_INPUT_ERROR", "Found multiple contents for job: " + job.id};
  }
  if (!context.request.header("content-type").starts_with("text/csv")) {
    throw SalesforceError{400, "CLIENT_INPUT_ERROR", "The content is no text/csv"};
  }
  job.has_data = true;
  job.data = context.request.body;
  Answer answer;
  answer.status = 201;
  return answer;
}

Answer change_ingest_job(SalesforceContext& context) {
  SalesforceJob& job = find_job(context, false);
  const std::string state = context.request.json().value("state", "");
  if (state == "UploadComplete") {
    require_state(job, "Open");
  } else if (state != "Aborted" || has_ended(job)) {
    throw SalesforceError{400, "INVALIDJOBSTATE", "The job is " + job.state};
  }
  job.state = state;
  if (state == "Aborted") job.unprocessed = job.data;
  return job_answer(context, job);
}

Answer get_ingest_job(SalesforceContext& context) {
  SalesforceJob& job = find_job(context, false);
  if (look_at(context, job)) ingest(context, job);
  return job_answer(context, job);
}

Answer get_ingest_results(SalesforceContext& context) {
  const SalesforceJob& job = find_job(context, false);
  if (!has_ended(job)) throw SalesforceError{400, "INVALIDJOBSTATE", "The job is " + job.state};
  const std::string& kind = context.request.member;
  if (kind == "successfulResults") return csv_answer(job.successful);
  if (kind == "failedResults") return csv_answer(job.failed);
  if (kind == "unprocessedrecords" || kind == "unprocessedRecords") return csv_answer(job.unprocessed);
  throw not_found();
}

}  // namespace waybill::testing::fault
