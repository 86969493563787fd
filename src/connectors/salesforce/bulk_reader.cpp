// SPDX-License-Identifier: Apache-2.0
//
// Records by query jobs of the Bulk API. The results of a job stay as they were when it was made, and can be read from
// any locator while it exists: a place in them is a checkpoint for another process. While a page of results is worked on
// the next one is fetched. (The pages that Salesforce offers for reading five at once are as long as it likes.)
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/bulk_job.hpp"
#include "connectors/salesforce/call_ahead.hpp"
#include "connectors/salesforce/csv.hpp"
#include "connectors/salesforce/record_place.hpp"
#include "connectors/salesforce/soql.hpp"

namespace waybill::salesforce {
namespace {

constexpr size_t page_records = 2'000;
// A page of results is one call and is held in memory, two of them at most: as many records as are about so many bytes, after
// a small first one.
constexpr uint64_t wanted_result_bytes = 2 << 20;
constexpr uint64_t first_result_records = 1'000;
constexpr uint64_t fewest_result_records = 200;
constexpr uint64_t most_result_records = 50'000;
// Jobs in a row that are gone before a record of theirs was read.
constexpr int most_jobs_for_nothing = 3;

// The job, or what was remembered of its results: deleted, expired, or of another API version.
bool is_gone(const Error& error) {
  return error.http_status() == 404 || error.http_status() == 409 ||
         (error.http_status() == 400 && error.provider_code().find("LOCATOR") != std::string::npos);
}

class BulkReader final : public RecordReader {
 public:
  BulkReader(Client& client, Selection selection, RecordPlace place)
      : client_(client), selection_(std::move(selection)), place_(std::move(place)), ahead_(client) {}

  RecordPage next(Context& context) override {
    for (;;) {
      if (place_.job.empty()) {
        create(context);
        // A page of nothing: whoever carries on finds the job, which may take long.
        return {{}, place_.to_bulk(), false};
      }
      try {
        if (!is_complete_ && !wait(context)) continue;
        if (results_ || fetch(context)) return take(context);
        forget_job();
      } catch (const Error& error) {
        if (!is_gone(error)) throw;
        forget_job();
        if (++jobs_for_nothing_ == most_jobs_for_nothing) throw;
      }
    }
  }

 private:
  BulkJob job() const { return {JobKind::query, place_.job}; }

  void create(Context& context) {
    std::string query = "SELECT ";
    for (const std::string& path : selection_.paths) query += (query.ends_with(' ') ? "" : ", ") + path;
    query += " FROM " + selection_.object + condition_behind(selection_, place_.last_id) + " ORDER BY " + selection_.order;
    place_.job = create_job(client_, JobKind::query, {{"operation", "query"}, {"query", query}}, context).id;
    is_own_ = true;
  }

  // False where a job that another reader had made has failed since: a new one is to be made.
  bool wait(Context& context) {
    const JobEnd end = wait_for(client_, job(), context);
    is_complete_ = end.is_complete();
    if (is_complete_) return true;
    const BulkJob ended = job();
    const bool was_own = is_own_;
    forget_job();
    delete_job(client_, ended, context);
    if (!was_own) return false;
    throw Error(ErrorCode::unavailable, ErrorClass::server,
                ended.subject() + ", which reads " + selection_.object + ", " + end.text())
        .set_retryable();
  }

  // A new one begins behind the last record.
  void forget_job() {
    place_ = {.last_id = std::move(place_.last_id)};
    is_own_ = is_complete_ = false;
    results_.reset();
  }

  // The page of results that the next record is in. False where its records are not those that were read of it.
  bool fetch(Context& context) {
    for (;;) {
      load(context);
      uint64_t skipped = 0;
      std::string id;
      for (; skipped < place_.done && results_->next(); ++skipped) id = results_->fields().at(id_column_);
      if (skipped == place_.done) return skipped == 0 || long_id(id) == long_id(place_.last_id);
      // A page that was longer when a part of it was read.
      check_count(skipped);
      if (next_locator_.empty()) return false;
      place_.locator = next_locator_;
      place_.done -= skipped;
    }
  }

  Call call_for(const std::string& locator) const {
    Call call = job().call("GET", "/results?maxRecords=" + std::to_string(result_records_));
    call.subject = "the results of " + call.subject;
    if (!locator.empty()) call.path += "&locator=" + internal::encode_query(locator);
    return call;
  }

  void load(Context& context) {
    const Call call = call_for(place_.locator);
    std::optional<internal::HttpResponse> ahead = ahead_.take(call, context);
    internal::HttpResponse response = ahead ? std::move(*ahead) : client_.call(call, context);
    const std::string_view locator = response.header("sforce-locator");
    next_locator_ = locator == "null" ? "" : std::string(locator);
    expected_ = internal::parse_uint(response.header("sforce-numberofrecords"));
    if (expected_.value_or(0) > 0) {
      const uint64_t record_bytes = response.text.size() / *expected_ + 1;
      result_records_ = std::clamp(wanted_result_bytes / record_bytes, fewest_result_records, most_result_records);
    }
    CsvAnswer results(std::move(response.text), call.subject);
    columns_.clear();
    for (const std::string& path : selection_.paths) columns_.push_back(results.require(path));
    id_column_ = results.require(selection_.order);
    results_.emplace(std::move(results));
    if (!next_locator_.empty()) ahead_.begin(call_for(next_locator_));
  }

  RecordPage take(Context& context) {
    RecordPage page;
    try {
      while (page.records.size() < page_records && results_->next()) page.records.push_back(record());
      const uint64_t done = place_.done + page.records.size();
      const bool is_over = results_->is_at_end();
      if (is_over) check_count(done);
      if (!page.records.empty()) {
        place_.last_id = page.records.back().at(selection_.order).value_or("");
        jobs_for_nothing_ = 0;
      }
      place_.done = done;
      if (is_over) end_page(page, context);
    } catch (const Error&) {
      results_.reset();
      throw;
    }
    page.resume = place_.to_bulk();
    return page;
  }

  void end_page(RecordPage& page, Context& context) {
    results_.reset();
    place_.locator = next_locator_;
    place_.done = 0;
    page.is_last = next_locator_.empty();
    if (!page.is_last) return;
    const BulkJob ended = job();
    forget_job();
    delete_job(client_, ended, context);
  }

  void check_count(uint64_t count) const {
    if (!expected_ || *expected_ == count) return;
    throw Error(ErrorCode::data_loss, ErrorClass::server,
                "the results of " + job().subject() + ": a page of " + std::to_string(*expected_) + " records has " +
                    std::to_string(count))
        .set_retryable();
  }

  Record record() {
    Record record;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& text = results_->fields().at(columns_[i]);
      record[selection_.paths[i]] = text.empty() ? std::nullopt : std::optional(text);
    }
    return record;
  }

  Client& client_;
  const Selection selection_;
  RecordPlace place_;    // behind the last page that was given
  bool is_own_ = false;  // the job was made by this reader
  bool is_complete_ = false;
  int jobs_for_nothing_ = 0;
  uint64_t result_records_ = first_result_records;
  CallAhead ahead_;                   // for the page behind results_
  std::optional<CsvAnswer> results_;  // of place_.locator, its first place_.done rows taken
  std::string next_locator_;          // "": there is no further page
  std::optional<uint64_t> expected_;  // records of the page
  std::vector<size_t> columns_;       // of the selection's paths
  size_t id_column_ = 0;
};

}  // namespace

std::unique_ptr<RecordReader> read_by_bulk(Client& client, Selection selection, const std::string& resume) {
  return std::make_unique<BulkReader>(client, std::move(selection), RecordPlace::parse(resume));
}

}  // namespace waybill::salesforce
