// SPDX-License-Identifier: Apache-2.0

#include "python_tracker.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "calls.hpp"
#include "record_fields.hpp"

namespace waybill::python {
namespace {

/// The methods, by the names that they have in Python.
enum Method : size_t {
  bind_, migration_, acquire_, release_, hurry_, commit_, claim_, lookup_, scan_, uploads_, upload_, listings_, findings_,
  events_, runs_, history_, partitions_, rates_, snapshot_, request_, requests_, lookup_references_, scan_references_,
  lookup_journal_, journal_, cutover_plan_, n_methods
};
constexpr std::array<const char*, n_methods> method_names = {
    "bind", "migration", "acquire", "release", "hurry", "commit", "claim", "lookup", "scan", "uploads", "upload", "listings",
    "read_findings", "read_events", "read_runs", "read_history", "read_partitions", "read_rates", "snapshot", "request", "requests",
    "lookup_references", "scan_references", "lookup_journal", "read_journal", "cutover_plan"};
/// Those that a ledger can do without.
constexpr std::array<Method, 9> optional_methods = {hurry_, history_, partitions_, rates_, lookup_references_,
                                                    scan_references_, lookup_journal_, journal_, cutover_plan_};

/// What a tracker raises is the ledger's failure, but where it says itself that it is something else.
Error as_trackers(const Error& error) {
  switch (error.error_class()) {
    case ErrorClass::configuration:
    case ErrorClass::tracker:
    case ErrorClass::locked:
    case ErrorClass::fenced:
    case ErrorClass::forked:
    case ErrorClass::cancelled:
      return error;
    default:
      break;
  }
  Error out(error.code(), ErrorClass::tracker, error.message());
  out.set_retryable(error.retryable()).set_http_status(error.http_status());
  out.set_provider_code(error.provider_code()).set_request_id(error.request_id());
  if (error.retry_after()) out.set_retry_after(*error.retry_after());
  return out;
}

/// Calls are never given up: a commit whose end nobody waits for would be repeated, and count twice.
class PythonTracker final : public Tracker {
 public:
  PythonTracker(Ref object, std::shared_ptr<Tracker> ledger, const std::array<bool, n_methods>& is_own)
      : object_(std::move(object)), ledger_(std::move(ledger)), is_own_(is_own) {}

  MigrationInfo bind(const MigrationInfo& wanted) override {
    if (!is_own_[bind_]) return ledger_->bind(wanted);
    return ask<MigrationInfo>(bind_, [wanted] { return py::make_tuple(make_record(wanted)); });
  }
  std::optional<MigrationInfo> migration() override {
    if (!is_own_[migration_]) return ledger_->migration();
    return ask<std::optional<MigrationInfo>>(migration_);
  }
  uint64_t acquire(const LeaseOptions& options) override {
    if (!is_own_[acquire_]) return ledger_->acquire(options);
    return ask<uint64_t>(acquire_, [options] { return py::make_tuple(make_record(options)); });
  }
  void release(uint64_t epoch) noexcept override {
    if (!is_own_[release_]) return ledger_->release(epoch);
    try {
      tell(release_, [epoch] { return py::make_tuple(epoch); });
    } catch (const std::exception&) {
      // A ledger that cannot be given up is seen to be free once its lease has run out.
    }
  }
  void hurry() noexcept override {
    if (!is_own_[hurry_]) {
      if (ledger_) ledger_->hurry();
      return;
    }
    // It must not block, and a method of somebody else's may.
    try {
      const auto call = std::make_shared<Call>();
      call->work = [object = object_] { call_method(object.get(), method_names[hurry_], {}); };
      submit(call);
    } catch (const std::exception&) {
      // It waits for longer, then.
    }
  }
  uint64_t commit(uint64_t epoch, const Batch& batch) override {
    if (!is_own_[commit_]) return ledger_->commit(epoch, batch);
    const auto copy = std::make_shared<BatchHandle>(batch);  // user code may keep it
    return ask<uint64_t>(commit_, [epoch, copy] {
      return py::make_tuple(epoch, record_class("Batch").attr("_of")(py::cast(copy)));
    });
  }
  std::vector<Claimed> claim(uint64_t epoch, size_t limit) override {
    if (!is_own_[claim_]) return ledger_->claim(epoch, limit);
    return ask<std::vector<Claimed>>(claim_, [epoch, limit] { return py::make_tuple(epoch, limit); });
  }
  std::vector<std::optional<ItemRecord>> lookup(std::span<const ItemId> ids) override {
    if (!is_own_[lookup_]) return ledger_->lookup(ids);
    return ask_each<ItemRecord>(lookup_, ids);
  }
  ScanPage scan(const Query& query, const std::string& resume, size_t limit) override {
    if (!is_own_[scan_]) return ledger_->scan(query, resume, limit);
    return ask<ScanPage>(scan_,
                         [query, resume, limit] { return py::make_tuple(make_record(query), py::bytes(resume), limit); });
  }
  // Not one that can be overridden: whoever keeps the rows by itself has no migration with a key template.
  TargetPage scan_targets(const Key& from, const std::string& resume, size_t limit) override {
    const bool is_ours = ledger_ && !is_own_[scan_];
    return is_ours ? ledger_->scan_targets(from, resume, limit) : Tracker::scan_targets(from, resume, limit);
  }
  std::vector<UploadRecord> uploads() override {
    if (!is_own_[uploads_]) return ledger_->uploads();
    return ask<std::vector<UploadRecord>>(uploads_);
  }
  std::optional<UploadRecord> upload(const ItemId& id) override {
    if (!is_own_[upload_]) return ledger_->upload(id);
    return ask<std::optional<UploadRecord>>(upload_, [id] { return py::make_tuple(to_object(id)); });
  }
  std::vector<ListingRecord> listings() override {
    if (!is_own_[listings_]) return ledger_->listings();
    return ask<std::vector<ListingRecord>>(listings_);
  }
  std::vector<Finding> findings(uint64_t run, uint64_t offset, size_t limit) override {
    if (!is_own_[findings_]) return ledger_->findings(run, offset, limit);
    return ask<std::vector<Finding>>(findings_, [run, offset, limit] { return py::make_tuple(run, offset, limit); });
  }
  std::vector<std::optional<ReferenceRecord>> lookup_references(std::span<const ReferenceId> ids) override {
    if (!is_own_[lookup_references_]) return ledger_ ? ledger_->lookup_references(ids) : Tracker::lookup_references(ids);
    return ask_each<ReferenceRecord>(lookup_references_, ids);
  }
  ReferenceRecordPage scan_references(const ReferenceQuery& query, const std::string& resume, size_t limit) override {
    if (!is_own_[scan_references_]) {
      return ledger_ ? ledger_->scan_references(query, resume, limit) : Tracker::scan_references(query, resume, limit);
    }
    return ask<ReferenceRecordPage>(scan_references_, [query, resume, limit] {
      return py::make_tuple(make_record(query), py::bytes(resume), limit);
    });
  }
  std::vector<std::optional<JournalRecord>> lookup_journal(std::span<const ReferenceId> ids) override {
    if (!is_own_[lookup_journal_]) return ledger_ ? ledger_->lookup_journal(ids) : Tracker::lookup_journal(ids);
    return ask_each<JournalRecord>(lookup_journal_, ids);
  }
  std::vector<JournalRecord> journal(const ReferenceId& id) override {
    if (!is_own_[journal_]) return ledger_ ? ledger_->journal(id) : Tracker::journal(id);
    return ask<std::vector<JournalRecord>>(journal_, [id] { return py::make_tuple(make_record(id)); });
  }
  std::optional<CutoverPlanRecord> cutover_plan() override {
    if (!is_own_[cutover_plan_]) return ledger_ ? ledger_->cutover_plan() : Tracker::cutover_plan();
    return ask<std::optional<CutoverPlanRecord>>(cutover_plan_);
  }
  std::vector<Event> events(uint64_t after, size_t limit) override {
    if (!is_own_[events_]) return ledger_->events(after, limit);
    return ask<std::vector<Event>>(events_, [after, limit] { return py::make_tuple(after, limit); });
  }
  std::vector<RunRecord> runs(size_t limit) override {
    if (!is_own_[runs_]) return ledger_->runs(limit);
    return ask<std::vector<RunRecord>>(runs_, [limit] { return py::make_tuple(limit); });
  }
  std::vector<RunSummary> history(size_t limit) override {
    if (!is_own_[history_]) return ledger_ ? ledger_->history(limit) : Tracker::history(limit);
    return ask<std::vector<RunSummary>>(history_, [limit] { return py::make_tuple(limit); });
  }
  std::vector<PartitionSummary> partitions(const std::optional<std::string>& after, size_t limit) override {
    if (!is_own_[partitions_]) return ledger_ ? ledger_->partitions(after, limit) : Tracker::partitions(after, limit);
    return ask<std::vector<PartitionSummary>>(
        partitions_, [after, limit] { return py::make_tuple(after ? py::object(to_text(*after)) : py::none(), limit); });
  }
  std::vector<RateSample> rates(uint64_t run, int64_t after_ms, size_t limit) override {
    if (!is_own_[rates_]) return ledger_ ? ledger_->rates(run, after_ms, limit) : Tracker::rates(run, after_ms, limit);
    return ask<std::vector<RateSample>>(rates_, [run, after_ms, limit] { return py::make_tuple(run, after_ms, limit); });
  }
  Snapshot snapshot() override {
    if (!is_own_[snapshot_]) return ledger_->snapshot();
    return ask<Snapshot>(snapshot_);
  }
  void request(Verb verb, std::string_view who) override {
    if (!is_own_[request_]) return ledger_->request(verb, who);
    tell(request_, [verb, who = std::string(who)] { return py::make_tuple(waybill::to_string(verb), to_text(who)); });
  }
  std::vector<Request> requests() override {
    if (!is_own_[requests_]) return ledger_->requests();
    return ask<std::vector<Request>>(requests_);
  }

 private:
  /// Calls `method` with what `arguments` makes, a tuple, and reads what it returns.
  template <class Result, class Arguments>
  Result ask(Method method, Arguments arguments) const {
    return in_ledger<Result>(method, std::move(arguments),
                             [](py::handle given, const char* name) { return record_from<Result>(given, name); });
  }
  template <class Result>
  Result ask(Method method) const {
    return ask<Result>(method, [] { return py::tuple(); });
  }
  /// What `method` gives for each id, in order.
  template <class Record, class Id>
  std::vector<std::optional<Record>> ask_each(Method method, std::span<const Id> ids) const {
    auto found = ask<std::vector<std::optional<Record>>>(
        method, [copy = std::vector(ids.begin(), ids.end())] { return py::make_tuple(make_record(copy)); });
    if (found.size() == ids.size()) return found;
    throw Error(ErrorCode::internal, ErrorClass::tracker,
                std::string(method_names[method]) + "() gave " + std::to_string(found.size()) + " rows for " +
                    std::to_string(ids.size()) + " ids");
  }
  template <class Arguments>
  void tell(Method method, Arguments arguments) const {
    in_ledger<bool>(method, std::move(arguments), [](py::handle, const char*) { return true; });
  }

  template <class Result, class Arguments, class Read>
  Result in_ledger(Method method, Arguments arguments, Read read) const {
    try {
      const auto shared = std::make_shared<SharedContext>();
      return in_python<Result>(shared, Context::background(),
                               [object = object_, name = method_names[method], arguments = std::move(arguments), read] {
                                 return read(call_method(object.get(), name, arguments()), name);
                               });
    } catch (const Error& error) {
      throw as_trackers(error);
    }
  }

  const Ref object_;
  const std::shared_ptr<Tracker> ledger_;  // null: what is not its own it cannot
  const std::array<bool, n_methods> is_own_;
};

}  // namespace

std::shared_ptr<const BatchHandle> batch_from(py::handle object) {
  if (!py::isinstance(object, record_class("Batch"))) throw wrong("batch", object, "a waybill.Batch");
  const py::object core = object.attr("_core");
  if (!core.is_none()) return py::cast<std::shared_ptr<BatchHandle>>(core);
  const auto made = std::make_shared<BatchHandle>();
  Batch& batch = made->batch;
  const auto take = [&]<class Part>(const char* name, Part& part) { part = record_from<Part>(object.attr(name), name); };
  take("run", batch.run);
  take("items", batch.items);
  take("listings", batch.listings);
  take("uploads", batch.uploads);
  take("findings", batch.findings);
  take("references", batch.references);
  take("journal", batch.journal);
  take("plan", batch.plan);
  take("events", batch.events);
  take("rates", batch.rates);
  take("live", batch.live);
  take("served_requests", batch.served_requests);
  return made;
}

std::shared_ptr<Tracker> adapt_tracker(py::object object, std::shared_ptr<Tracker> ledger) {
  const py::object base = py::module_::import("waybill.tracker").attr("Tracker");
  std::array<bool, n_methods> is_own{};
  std::string lacking;
  for (size_t i = 0; i < n_methods; ++i) {
    const char* const name = method_names[i];
    is_own[i] = !py::type::handle_of(object).attr(name).is(base.attr(name));
    const bool is_needed = std::find(optional_methods.begin(), optional_methods.end(), i) == optional_methods.end();
    if (!is_own[i] && !ledger && is_needed) lacking += (lacking.empty() ? "" : ", ") + std::string(name);
  }
  if (!lacking.empty()) {
    const std::string type = py::cast<std::string>(py::str(py::type::handle_of(object).attr("__name__")));
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "tracker: " + printable(type) + " has no ledger of waybill's beneath it (Tracker.__init__ was not called) and lacks " +
                    lacking);
  }
  return std::make_shared<PythonTracker>(Ref(std::move(object)), std::move(ledger), is_own);
}

}  // namespace waybill::python
