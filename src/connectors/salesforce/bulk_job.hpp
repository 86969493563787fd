// SPDX-License-Identifier: Apache-2.0
//
// Jobs of the Bulk API 2.0: made, waited for, ended.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "connectors/salesforce/client.hpp"

namespace waybill::salesforce {

enum class JobKind { query, ingest };

struct BulkJob {
  JobKind kind = JobKind::query;
  std::string id;

  /// "the query job 750…"
  std::string subject() const;
  /// A call of "/jobs/query/750…" and what follows it.
  Call call(const char* method, const std::string& rest = "", const std::string& body = "") const;
};

/// How a job ended.
struct JobEnd {
  enum class State { complete, failed, aborted };
  State state = State::complete;
  std::string error;  ///< what Salesforce says of one that failed, on one line; "" where it says nothing

  bool is_complete() const noexcept { return state == State::complete; }
  /// "failed: InvalidBatch : …", "was aborted"
  std::string text() const;
};

/// Of what `description` says; a CSV with commas and LF comes or goes. Errors: those of Client::call.
BulkJob create_job(Client& client, JobKind kind, nlohmann::json description, Context& context);

/// Waits for the end of a job, looking ever more rarely, at last every 5 s. An ingest job whose data were uploaded is
/// told to be complete first. What fails for a moment is asked again. Errors: those of Client::call; missing where
/// there is no such job.
JobEnd wait_for(Client& client, const BulkJob& job, Context& context);

/// A call about a job that is under way: tried again, for a quarter of a minute, where it fails for a moment.
internal::HttpResponse call_again(Client& client, const Call& call, Context& context);

/// Deletes a job that has ended. One that cannot be deleted expires by itself after 7 days.
void delete_job(Client& client, const BulkJob& job, Context& context) noexcept;

/// Tries for half a second to stop a job, also where the caller has been cancelled.
void abort_job(Client& client, const BulkJob& job) noexcept;

/// Whether a job was refused because the jobs of a day are used up, or the space for their results: something else than
/// the calls of a day, which are of all APIs.
bool is_job_quota(const Error& error);

}  // namespace waybill::salesforce
