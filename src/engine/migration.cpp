// SPDX-License-Identifier: Apache-2.0
//
// Migration: checks what was asked for, takes the lease, decides whether a run begins or is carried on, and starts it.

#include "waybill/migration.hpp"

#include <chrono>
#include <filesystem>

#include "base/cutover_json.hpp"
#include "base/fingerprint.hpp"
#include "base/options.hpp"
#include "base/references.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "engine/adoption.hpp"
#include "engine/copy_run.hpp"
#include "engine/cutover_plan.hpp"
#include "engine/cutover_run.hpp"
#include "engine/key_template.hpp"
#include "engine/plan.hpp"
#include "engine/reference_adoption.hpp"
#include "engine/reference_pass.hpp"
#include "engine/removal.hpp"
#include "engine/rollback_run.hpp"
#include "engine/startup.hpp"
#include "engine/verify_run.hpp"
#include "engine/waive.hpp"
#include "waybill/connectors.hpp"

namespace waybill {

using internal::HeldLease;
using internal::new_record;
using internal::open_record;

namespace {

// The identity of a migration as text: equal exactly where the same items move from and to the same places.
std::string fingerprint(const Migration& migration, const Transform* transform, const internal::KeyTemplate* keys) {
  return "source=" + migration.source().identity() + "\ndestination=" + migration.destination().identity() +
         "\nkeys=" + (keys != nullptr ? keys->text() : "same") + "\ntransform=" + (transform != nullptr ? transform->identity() : "none") +
         "\nversions=" + (migration.source().capabilities().versions ? "all" : "latest");
}

}  // namespace

struct Migration::Impl {
  std::shared_ptr<Source> source;
  std::shared_ptr<Destination> destination;
  std::shared_ptr<Tracker> tracker;  // null until a URL was opened
  std::shared_ptr<Transform> transform;
  std::shared_ptr<Catalog> catalog;  // or null
  std::shared_ptr<const internal::KeyTemplate> keys;  // null: none was said, and none is in the ledger
  std::string catalog_url;           // redacted; "" for one that was opened in code
  std::string tracker_url;
  MigrationInfo info;

  Tracker& opened_tracker() {
    if (!tracker) tracker = open_tracker(tracker_url, OpenMode::create);
    return *tracker;
  }

  /// The ledger, or null where there is none yet.
  std::shared_ptr<Tracker> existing_tracker(OpenMode mode = OpenMode::existing) const {
    if (tracker) return tracker;
    try {
      return open_tracker(tracker_url, mode);
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::missing) throw;
      return nullptr;
    }
  }

  /// The ledger that is there, once it is known to be this migration's. Errors: missing; configuration.
  Tracker& open_known(const Migration& migration) {
    if (!tracker) tracker = open_tracker(tracker_url, OpenMode::existing);
    const std::optional<MigrationInfo> known = tracker->migration();
    if (!known) refuse("nothing has been copied with it; begin with: waybill run");
    take_up(*known);
    tracker->bind(identity(migration));
    return *tracker;
  }

  /// Where no key template was said, that of the ledger is meant.
  void take_up(const MigrationInfo& known) {
    const std::string text = internal::key_template_of(known.fingerprint);
    if (keys == nullptr && !text.empty()) keys = std::make_shared<const internal::KeyTemplate>(text);
  }

  /// Errors: unsupported (the tracker keeps no destination keys).
  void check_keys(Tracker& used) const {
    if (keys != nullptr) used.scan_targets("", "", 1);
  }

  /// The ledger is not ready for what was asked.
  [[noreturn]] void refuse(const std::string& why) const {
    const std::string ledger = tracker_url.empty() ? "the ledger" : "the ledger " + printable(tracker_url);
    throw Error(ErrorCode::failed_precondition, ErrorClass::locked, ledger + ": " + why);
  }

  Catalog& required_catalog() const {
    if (catalog) return *catalog;
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                "this migration has no catalog whose references could be switched; name one with --catalog");
  }

  void require_condition(bool is_window_accepted) const {
    if (is_window_accepted || catalog->capabilities().conditional == Catalog::Conditional::exact) return;
    refuse("the catalog cannot replace a value only where it is still the one we read; accept that an edit in between is lost with "
           "--accept-window");
  }

  MigrationInfo wanted(const Migration& migration) const {
    MigrationInfo wanted = info;
    wanted.fingerprint = fingerprint(migration, transform.get(), keys.get());
    wanted.source = source->identity();
    wanted.destination = destination->identity();
    return wanted;
  }

  /// As wanted(), without what a command may say anew: names and addresses are kept only once the stores have answered.
  MigrationInfo identity(const Migration& migration) const {
    MigrationInfo identity = wanted(migration);
    identity.name.clear();
    identity.source_url.clear();
    identity.destination_url.clear();
    return identity;
  }
};

namespace {

// The URL as the ledger keeps it, for a later run from any folder: without secrets, and a path made absolute.
std::string url_to_keep(std::string_view text) {
  const bool is_path = text.find("://") == std::string_view::npos || internal::to_lower(text.substr(0, 7)) == "file://";
  if (!is_path) return internal::redact_store_url(text);
  return "file://" + internal::encode_path(std::filesystem::absolute(Url::parse(text).path).lexically_normal().native());
}

// An identity that two ways to one folder share: a path without the links in it.
std::string real_place(const std::string& identity) {
  constexpr std::string_view folder = "file://";
  if (!identity.starts_with(folder)) return identity;
  std::error_code error;
  const std::filesystem::path real = std::filesystem::weakly_canonical(identity.substr(folder.size()), error);
  return error ? identity : std::string(folder) + (real / "").lexically_normal().native();
}

// A destination inside the source would be listed as source, and grow for ever.
void refuse_nested(const Source& source, const Destination& destination) {
  if (source.endpoint() != destination.endpoint()) return;
  const std::string from = real_place(source.identity());
  const std::string to = real_place(destination.identity());
  if (to.compare(0, from.size(), from) != 0) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "the destination " + printable(to) +
                  (to == from ? " is the source itself" : " lies inside the source " + printable(from)) +
                  "; choose one outside of it");
}

// A name or a connection that fails is tried again a few times: it may only flap, and nobody has to wait long to be
// told.
template <typename Store>
void check_store(Store& store) {
  constexpr int most_checks = 3;
  for (int failures = 1;; ++failures) {
    try {
      return store.check(Context::background());
    } catch (const Error& error) {
      const bool may_flap = error.error_class() == ErrorClass::network && error.retryable();
      if (!may_flap || failures == most_checks) throw;
      Context::background().sleep(std::chrono::milliseconds(100 << failures));
    }
  }
}

void check_stores(Migration& migration) {
  check_store(migration.source());
  check_store(migration.destination());
}

// A run that did not end is gone on with, by the same way to its items: a listing that was broken off is not complete
// because some items of it were moved.
void refuse_to_go_on(const RunRecord& last, const Options& options) {
  if (last.state == RunState::paused && !options.resume_paused) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::locked,
                "the migration is paused" + (last.reason.empty() ? "" : " (" + last.reason + ")") + "; carry on with: waybill resume");
  }
  if (internal::selects_items(options) == internal::selected_items(last.options)) return;
  throw Error(ErrorCode::failed_precondition, ErrorClass::locked,
              "run " + std::to_string(last.run) + " did not come to its end; carry on with: waybill resume");
}

}  // namespace

namespace {

// The record of a run that switches references: of the last one, where that was asked the same and did not come to its end.
RunRecord next_record(Tracker& tracker, Phase phase, const char* name, const std::string& asked, const Options& options) {
  const std::vector<RunRecord> runs = tracker.runs(1);
  const bool goes_on = !runs.empty() && runs.front().phase == phase && !is_ended(runs.front().state) &&
                       internal::member_of(runs.front().options, name) == asked;
  if (goes_on && runs.front().state == RunState::paused && !options.resume_paused) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::locked,
                std::string("the ") + to_string(phase) + " is paused" + (runs.front().reason.empty() ? "" : " (" + runs.front().reason + ")") +
                    "; carry on with: waybill resume");
  }
  RunRecord record = goes_on ? runs.front() : new_record(runs.empty() ? 1 : runs.front().run + 1, phase, options);
  record.options = internal::with_member(to_json(options), name, asked);
  return record;
}

}  // namespace

Migration::Migration(std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, std::shared_ptr<Tracker> tracker)
    : impl_(std::make_unique<Impl>()) {
  impl_->source = std::move(source);
  impl_->destination = std::move(destination);
  impl_->tracker = std::move(tracker);
}

Migration::Migration(std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, std::string_view tracker_url)
    : Migration(std::move(source), std::move(destination), std::shared_ptr<Tracker>()) {
  impl_->tracker_url = tracker_url;
}

Migration::Migration(std::string_view source_url, std::string_view destination_url, std::string_view tracker_url)
    : Migration(open_source(source_url), open_destination(destination_url), tracker_url) {
  set_urls(source_url, destination_url);
}

Migration::Migration(std::string_view source_url, std::string_view destination_url, std::shared_ptr<Tracker> tracker)
    : Migration(source_url, destination_url, std::string_view()) {
  impl_->tracker = std::move(tracker);
}

Migration::~Migration() = default;
Migration::Migration(Migration&&) noexcept = default;
Migration& Migration::operator=(Migration&&) noexcept = default;

Migration& Migration::set_name(std::string name) {
  impl_->info.name = std::move(name);
  return *this;
}

Migration& Migration::set_urls(std::string_view source_url, std::string_view destination_url) {
  impl_->info.source_url = url_to_keep(source_url);
  impl_->info.destination_url = url_to_keep(destination_url);
  return *this;
}

Migration& Migration::set_transform(std::shared_ptr<Transform> transform) {
  impl_->transform = std::move(transform);
  return *this;
}

Migration& Migration::set_catalog(std::shared_ptr<Catalog> catalog, std::string_view url) {
  impl_->catalog = std::move(catalog);
  impl_->catalog_url = internal::redact_store_url(url);
  return *this;
}

Migration& Migration::set_key_template(std::string text) {
  impl_->keys = std::make_shared<const internal::KeyTemplate>(text);
  return *this;
}

Source& Migration::source() const { return *impl_->source; }
Destination& Migration::destination() const { return *impl_->destination; }
Tracker& Migration::tracker() const { return impl_->opened_tracker(); }

std::unique_ptr<Run> Migration::start(const Options& options, Callbacks callbacks) {
  validate(options);
  refuse_nested(source(), destination());
  // A ledger that is held says so before anything is asked of the stores; one that is not there yet is made only when
  // the stores have answered, so that a slip of the pen leaves none behind.
  std::optional<HeldLease> lease;
  const std::shared_ptr<Tracker> existing = impl_->existing_tracker();
  if (const std::optional<MigrationInfo> known = existing ? existing->migration() : std::nullopt) {
    impl_->tracker = existing;
    impl_->take_up(*known);
    const MigrationInfo identity = impl_->identity(*this);
    if (known->fingerprint != identity.fingerprint) existing->bind(identity);  // refuses, and says why
    lease.emplace(*existing, options);
  }
  check_stores(*this);
  Tracker& tracker = impl_->opened_tracker();
  impl_->check_keys(tracker);
  const MigrationInfo bound = tracker.bind(impl_->wanted(*this));
  if (!lease) lease.emplace(tracker, options);

  const std::vector<RunRecord> runs = tracker.runs(1);
  const bool goes_on = !runs.empty() && runs.front().phase == Phase::copy && !is_ended(runs.front().state);
  if (goes_on) refuse_to_go_on(runs.front(), options);
  RunRecord record = goes_on ? runs.front() : new_record(runs.empty() ? 1 : runs.front().run + 1, Phase::copy, options);
  record.options = to_json(options);
  Options used = options;
  if ((options.force || options.findings_of != 0) && options.overwrite == Overwrite::own) used.overwrite = Overwrite::always;
  // Also the first run may find rows: of an import.
  const bool has_rows = record.run > 1 || !tracker.scan({}, "", 1).rows.empty();
  open_record(tracker, lease->epoch(), record);

  internal::RunSetup setup{impl_->source, impl_->destination, impl_->tracker, impl_->transform, used, std::move(callbacks), bound,
                           lease->epoch(), record, has_rows, impl_->keys};
  auto run = std::make_unique<internal::CopyRun>(std::move(setup));
  lease->hand_over();
  run->begin();
  return internal::handle_of(std::move(run));
}

namespace {

/// An import with the lease that it is made under.
class LeasedImport final : public Import {
 public:
  LeasedImport(std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, std::shared_ptr<Catalog> catalog,
               std::shared_ptr<Tracker> tracker, const ImportOrigin& origin, bool has_template)
      : source_(std::move(source)),
        destination_(std::move(destination)),
        catalog_(std::move(catalog)),
        tracker_(std::move(tracker)),
        lease_(*tracker_, Options{}),
        adoption_(*destination_, *tracker_, lease_.epoch(), origin, has_template, catalog_ ? catalog_->identity() : "") {
    if (catalog_) references_.emplace(*catalog_, *source_, *tracker_, lease_.epoch(), origin);
  }

  void add(std::span<const ImportedItem> items) override { adoption_.add(items); }
  void add_references(std::span<const ImportedReference> references) override {
    if (!references_) {
      throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                  "what was switched can only be taken over with the catalog that holds it; name it with --catalog");
    }
    references_->add(references, switched_);
  }
  void note(std::span<const ImportedNote> notes) override { adoption_.note(notes); }
  ImportReport finish() override { return adoption_.finish(switched_); }
  bool is_repeated() const override { return adoption_.is_repeated(); }

 private:
  const std::shared_ptr<Source> source_;
  const std::shared_ptr<Destination> destination_;
  const std::shared_ptr<Catalog> catalog_;  // or null
  const std::shared_ptr<Tracker> tracker_;
  const HeldLease lease_;
  internal::Adoption adoption_;
  std::optional<internal::ReferenceAdoption> references_;
  ImportReport switched_;
};

}  // namespace

Import::~Import() = default;

std::unique_ptr<Import> Migration::begin_import(const ImportOrigin& origin) {
  if (origin.sha256.size() != 64 || impl_->transform) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                impl_->transform ? "a migration with a transform takes nothing over: what is at the destination has other sizes"
                                 : "an import needs the SHA-256 of its file, in 64 hexadecimal digits");
  }
  refuse_nested(source(), destination());
  check_stores(*this);
  if (impl_->catalog) impl_->catalog->check(CatalogAccess::read, Context::background());
  Tracker& tracker = impl_->opened_tracker();
  if (const std::optional<MigrationInfo> known = tracker.migration()) impl_->take_up(*known);
  impl_->check_keys(tracker);
  tracker.bind(impl_->wanted(*this));
  return std::make_unique<LeasedImport>(impl_->source, impl_->destination, impl_->catalog, impl_->tracker, origin, impl_->keys != nullptr);
}

Report Migration::run(const Options& options, Callbacks callbacks) { return start(options, std::move(callbacks))->wait(); }

std::unique_ptr<Run> Migration::start_verify(VerifyLevel level, const Options& options, Callbacks callbacks) {
  validate(options);
  refuse_nested(source(), destination());
  Tracker& tracker = impl_->open_known(*this);
  HeldLease lease(tracker, options);
  check_stores(*this);
  const MigrationInfo bound = tracker.bind(impl_->wanted(*this));
  const std::vector<RunRecord> runs = tracker.runs(1);
  if (runs.empty()) impl_->refuse("nothing has been copied with it; begin with: waybill run");
  if (runs.front().phase == Phase::copy && !is_ended(runs.front().state)) {
    impl_->refuse(runs.front().state == RunState::paused ? "the copy is paused; carry on with: waybill resume"
                                                         : "the copy did not come to its end; carry on with: waybill run");
  }
  RunRecord record = new_record(runs.front().run + 1, Phase::verify, options);
  record.options = internal::to_json(options, level);
  open_record(tracker, lease.epoch(), record);

  internal::RunSetup setup{impl_->source, impl_->destination, impl_->tracker, impl_->transform, options, std::move(callbacks), bound,
                           lease.epoch(), record, true, impl_->keys};
  auto run = std::make_unique<internal::VerifyRun>(std::move(setup), level);
  lease.hand_over();
  run->begin();
  return internal::handle_of(std::move(run));
}

Report Migration::verify(VerifyLevel level, const Options& options, Callbacks callbacks) {
  return start_verify(level, options, std::move(callbacks))->wait();
}

int64_t Migration::waive(const Options& selected, std::string_view who, std::string_view why) {
  validate(selected);
  if (why.empty()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "a waiver needs a reason: say why these items are not wanted");
  }
  Tracker& tracker = impl_->open_known(*this);
  const HeldLease lease(tracker, selected);
  return internal::waive_items(tracker, lease.epoch(), selected, Waiver{std::string(who), std::string(why), internal::now_ms()});
}

RemovalPlan Migration::plan_removal(const RemovalOptions& options) {
  impl_->open_known(*this);
  check_stores(*this);
  return internal::RemovalGround(*this, options).plan();
}

RemovalReport Migration::remove(const RemovalOptions& options, std::string_view hash, std::string_view who,
                                const std::function<bool(const RemovalReport&)>& on_progress) {
  const HeldLease lease(impl_->open_known(*this), Options{});
  check_stores(*this);
  return internal::RemovalGround(*this, options).remove(lease.epoch(), hash, who, on_progress);
}

CutoverPlan Migration::plan_cutover(const CutoverOptions& options) {
  Catalog& catalog = impl_->required_catalog();
  if (options.url_template.empty()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "a cutover needs to know what references are to hold; say so with --url-template, as in https://files.example.com/{destination_key}");
  }
  const auto url_template = std::make_shared<const internal::UrlTemplate>(options.url_template);
  const internal::ValueMaker make_value = [url_template](const Item& item, const Key& destination_key) {
    internal::TemplateFields fields = internal::fields_of(item);
    fields.destination_key = destination_key;
    internal::Made made = url_template->url_of(fields);
    if (made.text.empty()) throw Error(ErrorCode::failed_precondition, ErrorClass::unsupported, std::move(made.refusal));
    return std::move(made.text);
  };
  Tracker& tracker = impl_->open_known(*this);
  const HeldLease lease(tracker, Options{});
  check_store(source());
  catalog.check(CatalogAccess::read, Context::background());
  const MigrationInfo bound = tracker.bind(impl_->wanted(*this));
  if (tracker.runs(1).empty()) impl_->refuse("nothing has been copied with it; begin with: waybill run");
  return internal::make_cutover_plan({catalog, impl_->catalog_url, source(), destination(), tracker, lease.epoch(), bound.id, options, make_value,
                                      url_template->prefix()});
}

namespace {

constexpr size_t most_runs = 1000;

// Why the newest plan must not be executed; "" if it may.
std::string refusal_of(Tracker& tracker, std::string_view hash, const CutoverOptions& options) {
  const std::optional<CutoverPlanRecord> plan = tracker.cutover_plan();
  if (!plan) return "no cutover was planned with it; begin with: waybill cutover";
  const std::string made = plan->hash + ", made at " + internal::format_rfc3339(plan->at_ms);
  if (plan->hash != hash) {
    return "plan " + printable(hash) + " is not the newest one (" + made + "); review that one, or plan anew with: waybill cutover";
  }
  if (options.max_plan_age_ms > 0 && internal::now_ms() - plan->at_ms > options.max_plan_age_ms) {
    return "plan " + made + ", is too old; plan anew with: waybill cutover";
  }
  if (!plan->is_ready) return "plan " + plan->hash + " is not ready: " + internal::refused_gates(plan->gates);
  const uint64_t last_run = std::strtoull(internal::member_of(plan->options, internal::last_run_member).c_str(), nullptr, 10);
  for (const RunRecord& run : tracker.runs(most_runs)) {
    if (run.run <= last_run) break;
    if (!internal::switches_references(run.phase)) return std::string(to_string(run.phase)) + " run " + std::to_string(run.run) + " came after plan " + plan->hash + "; plan anew with: waybill cutover";
  }
  return "";
}

uint64_t owed(const ReferenceAccounts& references, uint64_t canary) {
  const auto all = static_cast<uint64_t>(references.pending + references.intended);
  return canary == 0 ? all : std::min(all, canary);
}

}  // namespace

std::unique_ptr<Run> Migration::start_cutover(std::string_view hash, const CutoverOptions& cutover, const Options& options, Callbacks callbacks) {
  validate(options);
  Catalog& catalog = impl_->required_catalog();
  Tracker& tracker = impl_->open_known(*this);
  HeldLease lease(tracker, options);
  if (const std::string why = refusal_of(tracker, hash, cutover); !why.empty()) impl_->refuse(why);
  impl_->require_condition(cutover.accept_window);
  check_store(source());
  catalog.check(CatalogAccess::update, Context::background());
  const MigrationInfo bound = tracker.bind(impl_->wanted(*this));

  const std::string asked = "{\"plan\":\"" + std::string(hash) + "\",\"canary\":" + std::to_string(cutover.canary) + "}";
  RunRecord record = next_record(tracker, Phase::cutover, "cutover", asked, options);
  if (!record.references) record.references = owed(tracker.snapshot().references, cutover.canary);
  open_record(tracker, lease.epoch(), record);
  internal::RunSetup setup{impl_->source, impl_->destination, impl_->tracker, impl_->transform, options, std::move(callbacks), bound,
                           lease.epoch(), record, true};
  auto run = std::make_unique<internal::CutoverRun>(std::move(setup), impl_->catalog, lease.epoch(), cutover.canary);
  lease.hand_over();
  run->begin();
  return internal::handle_of(std::move(run));
}

RollbackPlan Migration::plan_rollback(const RollbackOptions& rollback) {
  constexpr size_t page = 1000;
  Tracker& tracker = impl_->open_known(*this);
  RollbackPlan plan;
  plan.accounts = tracker.snapshot().references;
  internal::RollbackScan scan(tracker, rollback);
  for (std::vector<internal::Switch> batch = scan.next(page); !batch.empty(); batch = scan.next(page)) {
    plan.references += static_cast<int64_t>(batch.size());
    for (internal::Switch& one : batch) {
      if (plan.examples.size() >= page) break;
      one.record.value = one.journal.observed;
      one.record.intended = one.journal.old;
      plan.examples.push_back(internal::example_of(one.record));
    }
  }
  return plan;
}

std::unique_ptr<Run> Migration::start_rollback(const RollbackOptions& rollback, const Options& options, Callbacks callbacks) {
  validate(options);
  Catalog& catalog = impl_->required_catalog();
  Tracker& tracker = impl_->open_known(*this);
  HeldLease lease(tracker, options);
  impl_->require_condition(rollback.accept_window);
  catalog.check(CatalogAccess::update, Context::background());
  const MigrationInfo bound = tracker.bind(impl_->identity(*this));

  RunRecord record = next_record(tracker, Phase::rollback, "rollback", internal::to_json(rollback), options);
  if (!record.references) {
    // What a switch that was broken off came to has to be known before it is counted.
    const auto n = static_cast<uint64_t>(plan_rollback(rollback).references);
    if (n == 0 && tracker.snapshot().references.intended == 0) impl_->refuse("nothing that was selected is switched: there is nothing to take back");
    record.references = n;
  }
  open_record(tracker, lease.epoch(), record);
  internal::RunSetup setup{impl_->source, impl_->destination, impl_->tracker, impl_->transform, options, std::move(callbacks), bound,
                           lease.epoch(), record, true};
  auto run = std::make_unique<internal::RollbackRun>(std::move(setup), impl_->catalog, rollback);
  lease.hand_over();
  run->begin();
  return internal::handle_of(std::move(run));
}

Plan Migration::plan(const Options& options) {
  validate(options);
  refuse_nested(source(), destination());
  check_store(source());
  const std::shared_ptr<Tracker> known = impl_->existing_tracker(OpenMode::read_only);
  const std::optional<MigrationInfo> bound = known ? known->migration() : std::nullopt;
  if (bound) impl_->take_up(*bound);
  const MigrationInfo wanted = impl_->wanted(*this);
  if (bound && bound->fingerprint != wanted.fingerprint) {
    throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
                "the ledger belongs to another migration (" + internal::difference(*bound, wanted) +
                    "); name another one with --tracker");
  }
  return internal::make_plan(source(), destination(), bound ? known.get() : nullptr, impl_->transform != nullptr, impl_->keys.get(), options);
}

}  // namespace waybill
