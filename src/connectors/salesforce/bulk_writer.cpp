// SPDX-License-Identifier: Apache-2.0
//
// Updates by ingest jobs of the Bulk API. Their results come in three lists and in any order, and are joined by the
// records' ids.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "base/text.hpp"
#include "connectors/salesforce/bulk_job.hpp"
#include "connectors/salesforce/csv.hpp"
#include "connectors/salesforce/errors.hpp"
#include "connectors/salesforce/record_writer.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

// What Salesforce takes as one batch.
constexpr size_t most_updates = 10'000;
// Salesforce takes 100 MB a job; long texts are spread over several, so that less is held in memory.
constexpr size_t most_upload_bytes = 32 << 20;
// What stands in CSV for null: an empty field changes nothing.
constexpr std::string_view null_text = "#N/A";

struct FailedText {
  std::string code;
  std::string message;
  std::string fields;
};

// "CODE:message:fields --"
FailedText split_error(std::string_view text) {
  text = internal::trim(text);
  const bool names_fields = text.ends_with("--");
  if (names_fields) text = internal::trim(text.substr(0, text.size() - 2));
  const size_t code_end = text.find(':');
  FailedText failed{std::string(text.substr(0, code_end)), {}, {}};
  if (code_end == std::string_view::npos) return failed;
  text.remove_prefix(code_end + 1);
  const size_t fields_begin = names_fields ? text.rfind(':') : std::string_view::npos;
  failed.message = text.substr(0, fields_begin);
  if (fields_begin != std::string_view::npos) failed.fields = text.substr(fields_begin + 1);
  return failed;
}

UpdateResult unknown(const std::string& why) { return {UpdateResult::Status::unknown, ErrorClass::server, why, true}; }

/// The updates of one job.
class Ingest {
 public:
  Ingest(Client& client, std::span<const FieldUpdate> updates, std::span<UpdateResult> results)
      : client_(client), updates_(updates), results_(results) {}

  /// Takes updates from `at` on, and gives the first that had no room.
  size_t fill(const std::string& field, size_t at) {
    internal::append_csv_field(csv_, "Id");
    csv_ += ',';
    internal::append_csv_field(csv_, field);
    csv_ += '\n';
    for (; at < updates_.size() && (csv_.size() < most_upload_bytes); ++at) {
      const FieldUpdate& update = updates_[at];
      if (update.value == null_text) {
        results_[at] = {UpdateResult::Status::failed, ErrorClass::unsupported,
                        "the text #N/A stands for null in jobs of the Bulk API; write it with mode=fast", false};
        continue;
      }
      places_.emplace(update.id, at);
      internal::append_csv_field(csv_, update.id);
      csv_ += ',';
      // Salesforce has no empty texts: they are null.
      internal::append_csv_field(csv_, update.value.value_or("").empty() ? null_text : std::string_view(*update.value));
      csv_ += '\n';
    }
    return at;
  }

  bool is_empty() const noexcept { return places_.empty(); }

  void run(const std::string& object, Context& context) {
    job_ = create_job(client_, JobKind::ingest, {{"object", object}, {"operation", "update"}}, context);
    try {
      upload(context);
      const JobEnd end = wait_for(client_, job_, context);
      const std::string why = job_.subject() + (end.is_complete() ? " tells nothing of this record" : " " + end.text());
      for (const auto& [id, place] : places_) results_[place] = unknown(why);
      // At once: results are there for 7 days, and the plan may be to go on tomorrow.
      join("successfulResults", context, [](CsvAnswer&, const FieldUpdate&) {
        return UpdateResult{UpdateResult::Status::updated, ErrorClass::none, "", false};
      });
      join("failedResults", context, [](CsvAnswer& row, const FieldUpdate& update) {
        const FailedText failed = split_error(row.fields().at(row.require("sf__Error")));
        return failed_record(failed.code, failed.message, failed.fields, update.value.value_or(""));
      });
      join("unprocessedrecords", context, [&](CsvAnswer&, const FieldUpdate&) {
        return unknown(job_.subject() + (end.is_complete() ? " left this record out"
                                                           : " " + end.text() + ", before this record's turn"));
      });
    } catch (...) {
      abort_job(client_, job_);
      throw;
    }
    delete_job(client_, job_, context);
  }

 private:
  void upload(Context& context) {
    Call call = job_.call("PUT", "/batches");
    call.body = std::move(csv_);
    call.content_type = "text/csv";
    call.is_write = true;
    client_.call(call, context);
  }

  template <class Result>
  void join(const std::string& list, Context& context, const Result& result) {
    Call call = job_.call("GET", "/" + list + "/");
    call.subject = "the list " + list + " of " + call.subject;
    std::string text = call_again(client_, call, context).text;
    if (text.empty()) return;  // of a job that did not come to its rows
    CsvAnswer rows(std::move(text), call.subject);
    // The id as it was sent; sf__Id, which is Salesforce's own, may be missing where a row failed.
    const size_t id_column = rows.require("Id");
    while (rows.next()) {
      const auto id = long_id(rows.fields().at(id_column));
      const auto found = id ? places_.find(*id) : places_.end();
      if (found != places_.end()) results_[found->second] = result(rows, updates_[found->second]);
    }
  }

  Client& client_;
  const std::span<const FieldUpdate> updates_;
  const std::span<UpdateResult> results_;
  BulkJob job_;
  std::string csv_;
  std::unordered_map<std::string, size_t> places_;  // of ids among the updates
};

class BulkWriter final : public RecordWriter {
 public:
  BulkWriter(Client& client, std::string object, std::string field)
      : client_(client), object_(std::move(object)), field_(std::move(field)) {}

  size_t most() const noexcept override { return most_updates; }

  std::vector<UpdateResult> write(std::span<const FieldUpdate> updates, Context& context) override {
    std::vector<UpdateResult> results(updates.size());
    for (size_t at = 0; at < updates.size();) {
      Ingest ingest(client_, updates, results);
      at = ingest.fill(field_, at);
      if (!ingest.is_empty()) ingest.run(object_, context);
    }
    return results;
  }

 private:
  Client& client_;
  const std::string object_;
  const std::string field_;
};

}  // namespace

std::unique_ptr<RecordWriter> write_by_bulk(Client& client, std::string object, std::string field) {
  return std::make_unique<BulkWriter>(client, std::move(object), std::move(field));
}

}  // namespace waybill::salesforce
