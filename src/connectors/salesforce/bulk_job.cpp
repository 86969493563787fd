// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/bulk_job.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/timebox.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds first_pause{200};
constexpr milliseconds longest_pause{5'000};
constexpr int most_failures = 8;
constexpr milliseconds abort_patience{500};
constexpr size_t longest_message = 500;

/// Ever longer pauses.
class Pauses {
 public:
  void next(Context& context) {
    if (!context.sleep(std::exchange(pause_, std::min(pause_ * 2, longest_pause)))) context.check();
  }

 private:
  milliseconds pause_ = first_pause;
};

Call change_of(const BulkJob& job, const char* state) { return job.call("PATCH", "", json{{"state", state}}.dump()); }

// The state, as Salesforce calls it, and what it says of a failure.
std::pair<std::string, std::string> look_at(Client& client, const BulkJob& job, Context& context) {
  const json answer = json::parse(call_again(client, job.call("GET"), context).text, nullptr, false);
  std::string state = text_of(answer, "state");
  if (state.empty()) {
    throw Error(ErrorCode::internal, ErrorClass::server, job.subject() + ": the answer of Salesforce names no state")
        .set_retryable();
  }
  return {std::move(state), printable(text_of(answer, "errorMessage").substr(0, longest_message))};
}

bool is_worth_another(const Error& error) { return error.retryable() && error.error_class() != ErrorClass::cancelled; }

// Where the answer is lost, the next look at the job shows whether it has to be told again.
void tell_complete(Client& client, const BulkJob& job, Context& context) {
  try {
    client.call(change_of(job, "UploadComplete"), context);
  } catch (const Error& error) {
    if (!is_worth_another(error)) throw;
  }
}

}  // namespace

std::string BulkJob::subject() const {
  return std::string(kind == JobKind::query ? "the query job " : "the ingest job ") + printable(id);
}

Call BulkJob::call(const char* method, const std::string& rest, const std::string& body) const {
  Call call;
  call.method = method;
  call.path = (kind == JobKind::query ? "/jobs/query/" : "/jobs/ingest/") + internal::encode_query(id) + rest;
  call.body = body;
  call.subject = subject();
  call.is_write = !body.empty();
  call.is_due = kind == JobKind::ingest;  // what it writes has to be known
  return call;
}

std::string JobEnd::text() const {
  if (state == State::aborted) return "was aborted";
  return error.empty() ? "failed" : "failed: " + error;
}

BulkJob create_job(Client& client, JobKind kind, json description, Context& context) {
  const bool is_query = kind == JobKind::query;
  description.update({{"contentType", "CSV"}, {"columnDelimiter", "COMMA"}, {"lineEnding", "LF"}});
  Call call;
  call.method = "POST";
  call.path = is_query ? "/jobs/query" : "/jobs/ingest";
  call.body = description.dump();
  call.subject = is_query ? "a query job" : "an ingest job";
  call.is_write = true;
  BulkJob job{kind, text_of(client.json(call, context), "id")};
  if (job.id.empty()) {
    throw Error(ErrorCode::internal, ErrorClass::server, call.subject + ": the answer of Salesforce names no job")
        .set_retryable();
  }
  return job;
}

JobEnd wait_for(Client& client, const BulkJob& job, Context& context) {
  int told = 0;
  const auto tell = [&] {
    if (told++ == most_failures) {
      throw Error(ErrorCode::unavailable, ErrorClass::server, job.subject() + " stays open, however often it is closed")
          .set_retryable();
    }
    tell_complete(client, job, context);
  };
  if (job.kind == JobKind::ingest) tell();
  for (Pauses pauses;;) {
    pauses.next(context);
    const auto [state, error] = look_at(client, job, context);
    if (state == "JobComplete") return {JobEnd::State::complete, {}};
    if (state == "Failed") return {JobEnd::State::failed, error};
    if (state == "Aborted") return {JobEnd::State::aborted, error};
    if (state == "Open") tell();
  }
}

internal::HttpResponse call_again(Client& client, const Call& call, Context& context) {
  Pauses pauses;
  for (int failures = 0;; pauses.next(context)) {
    try {
      return client.call(call, context);
    } catch (const Error& error) {
      if (!is_worth_another(error) || ++failures == most_failures) throw;
    }
  }
}

void delete_job(Client& client, const BulkJob& job, Context& context) noexcept {
  try {
    client.call(job.call("DELETE"), context);
  } catch (const std::exception&) {
    // Nothing is lost but the sight of an old job.
  }
}

void abort_job(Client& client, const BulkJob& job) noexcept {
  try {
    internal::Timebox context(Context::background(), abort_patience);
    client.call(change_of(job, "Aborted"), context);
  } catch (const std::exception&) {
    // Then it goes on: what it writes is what the caller wanted, and is read before anything else is written there.
  }
}

bool is_job_quota(const Error& error) {
  constexpr std::array codes = {"LIMIT_EXCEEDED", "EXCEEDED_QUOTA", "EXCEEDEDQUOTA", "API_LIMIT"};
  return std::find(codes.begin(), codes.end(), error.provider_code()) != codes.end();
}

}  // namespace waybill::salesforce
