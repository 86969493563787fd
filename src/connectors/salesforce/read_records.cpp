// SPDX-License-Identifier: Apache-2.0
//
// Records by REST or by jobs of the Bulk API, whichever has something left of its quota.
//
// Two things are counted. Jobs of a day (10,000, and the space of their results): where they are used up, REST goes on.
// And calls of a day, of which both live, as a job's own calls count too: where those are used up nothing goes on, and
// both ways say so with the same error. But a call of a job brings up to 50,000 records, and one of REST 2,000: so it
// is before the calls run out that a job takes over from REST.
#include <nlohmann/json.hpp>
#include <utility>

#include "base/uri.hpp"
#include "connectors/salesforce/bulk_job.hpp"
#include "connectors/salesforce/json_fields.hpp"
#include "connectors/salesforce/record_place.hpp"

namespace waybill::salesforce {
namespace {

// More than that behind the first page are read by a job.
constexpr uint64_t many_records = 50'000;
// So many calls are kept for a job: to make it, to look at it a while, and for its results.
constexpr double few_calls = 50;

bool has_few_calls_left(Client& client) {
  const Usage usage = client.budget().usage();
  if (usage.total == 0) return false;
  const double share = client.organization().max_api_share * static_cast<double>(usage.total);
  return share - static_cast<double>(usage.used) < few_calls;
}

class ChoosingReader final : public RecordReader {
 public:
  ChoosingReader(Client& client, Selection selection, Reads reads, RecordPlace place)
      : client_(client), selection_(std::move(selection)), reads_(reads), place_(std::move(place)) {}

  RecordPage next(Context& context) override {
    const bool is_automatic = reads_ == Reads::automatic;
    if (!reader_) open(reads_ == Reads::bulk || (is_automatic && !place_.job.empty()));
    // Few records are one call.
    if (n_pages_ == 1 && is_automatic && !is_bulk_ && has_many(context)) open(true);
    RecordPage page = read(context);
    ++n_pages_;
    place_ = RecordPlace::parse(page.resume);
    if (!page.is_last && !is_bulk_ && !has_no_jobs_ && has_few_calls_left(client_)) {
      context.log(LogLevel::info, "few API calls of the day are left: records of " + selection_.object +
                                      " are read on by the Bulk API");
      open(true);
    }
    return page;
  }

 private:
  RecordPage read(Context& context) {
    try {
      return reader_->next(context);
    } catch (const Error& error) {
      if (!is_bulk_ || !is_job_quota(error)) throw;
      context.log(LogLevel::warning, error.message() + "; records of " + selection_.object + " are read on by REST");
    }
    has_no_jobs_ = true;
    open(false);
    return reader_->next(context);
  }

  void open(bool by_bulk) {
    is_bulk_ = by_bulk;
    reader_ = by_bulk ? read_by_bulk(client_, selection_, place_.to_bulk())
                      : read_by_rest(client_, selection_, place_.to_rest());
  }

  bool has_many(Context& context) {
    Call call;
    call.path = "/query?q=" + internal::encode_query("SELECT COUNT() FROM " + selection_.object +
                                                     condition_behind(selection_, place_.last_id));
    call.subject = "the number of records of " + selection_.object;
    try {
      return number_of(client_.json(call, context), "totalSize") > many_records;
    } catch (const Error& error) {
      // Too many to be counted.
      if (error.provider_code() == "QUERY_TIMEOUT") return true;
      throw;
    }
  }

  Client& client_;
  const Selection selection_;
  const Reads reads_;
  RecordPlace place_;  // behind the last page that was given
  std::unique_ptr<RecordReader> reader_;
  bool is_bulk_ = false;
  uint64_t n_pages_ = 0;
  bool has_no_jobs_ = false;
};

}  // namespace

std::unique_ptr<RecordReader> read_records(Client& client, Selection selection, Reads reads,
                                           const std::string& resume) {
  return std::make_unique<ChoosingReader>(client, std::move(selection), reads, RecordPlace::parse(resume));
}

}  // namespace waybill::salesforce
