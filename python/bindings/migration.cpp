// SPDX-License-Identifier: Apache-2.0
//
// Migration and Run. What may take long before there is a run (checks of the stores, waiting for a lease, planning)
// is a Job.
#include <pybind11/stl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "job.hpp"
#include "python_tracker.hpp"

namespace waybill::python {
namespace {

/// One call at a time, as Migration wants it, also where an abandoned Job still uses it.
struct SharedMigration {
  std::mutex mutex;
  Migration migration;

  explicit SharedMigration(Migration made) : migration(std::move(made)) {}
};

/// A run, its migration, and the process they belong to: in a forked child there are no threads to join, so nothing is
/// destroyed there.
class RunHandle {
 public:
  RunHandle(std::shared_ptr<SharedMigration> owner, std::unique_ptr<Run> run)
      : owner_(std::move(owner)), run_(std::move(run)), pid_(::getpid()) {}
  RunHandle(RunHandle&&) noexcept = default;
  RunHandle& operator=(RunHandle&&) = delete;
  ~RunHandle() {
    if (::getpid() != pid_) {
      abandon();
      return;
    }
    if (PyGILState_Check() != 0) {
      py::gil_scoped_release release;
      run_.reset();
    }
  }

  /// Leaves the run to itself until the process ends.
  void abandon() {
    static_cast<void>(run_.release());
    static_cast<void>(new std::shared_ptr<SharedMigration>(std::move(owner_)));
  }

  Run& run() const {
    if (!run_) throw Error(ErrorCode::failed_precondition, ErrorClass::cancelled, "the run was abandoned");
    return *run_;
  }
  std::vector<Event> events(uint64_t after, size_t limit) const {
    run();
    return owner_->migration.tracker().events(after, limit);
  }

 private:
  std::shared_ptr<SharedMigration> owner_;
  std::unique_ptr<Run> run_;
  pid_t pid_;
};

using PlanJob = Job<Plan>;
using RemovalPlanJob = Job<RemovalPlan>;
using CutoverPlanJob = Job<CutoverPlan>;
using RollbackPlanJob = Job<RollbackPlan>;

RemovalOptions removal_options(const std::string& kind, int64_t max_items, double max_share) {
  if (kind != "extra" && kind != "source") {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "kind: \"" + printable(kind) + "\" is not one of extra, source");
  }
  return {kind == "extra" ? RemovalKind::extra : RemovalKind::source, max_items, max_share};
}

/// A removal under way. stop() ends it after the items that are being deleted.
class RemovalJob {
 public:
  RemovalJob(std::shared_ptr<SharedMigration> owner, const RemovalOptions& options, const std::string& hash, const std::string& who)
      : is_stopped_(std::make_shared<std::atomic<bool>>(false)),
        job_([owner = std::move(owner), is_stopped = is_stopped_, options, hash, who] {
          const std::lock_guard lock(owner->mutex);
          return owner->migration.remove(options, hash, who, [&](const RemovalReport&) { return !*is_stopped; });
        }) {}

  bool wait(int64_t timeout_ms) const { return job_.wait(timeout_ms); }
  RemovalReport take() { return job_.take(); }
  void stop() const { *is_stopped_ = true; }

 private:
  std::shared_ptr<std::atomic<bool>> is_stopped_;
  Job<RemovalReport> job_;
};
using StartJob = Job<std::unique_ptr<RunHandle>>;

/// An import under way.
class ImportHandle {
 public:
  ImportHandle(std::shared_ptr<SharedMigration> owner, std::unique_ptr<Import> import)
      : owner_(std::move(owner)), import_(std::move(import)) {}
  ImportHandle(ImportHandle&&) noexcept = default;
  ~ImportHandle() { close(); }

  Import& get() const {
    if (!import_) throw Error(ErrorCode::failed_precondition, ErrorClass::configuration, "the import is closed");
    return *import_;
  }
  void close() {
    if (PyGILState_Check() == 0) return import_.reset();
    const py::gil_scoped_release release;
    import_.reset();
  }

 private:
  std::shared_ptr<SharedMigration> owner_;
  std::unique_ptr<Import> import_;
};

using ImportJob = Job<std::unique_ptr<ImportHandle>>;

ImportedItem imported_item(const py::dict& fields) {
  ImportedItem item;
  item.key = fields["key"].cast<std::string>();
  const std::string state = fields["state"].cast<std::string>();
  item.state = item_state_from(state).value_or(ItemState::excluded);
  item.size = fields["size"].cast<std::optional<uint64_t>>();
  item.copied_at_ms = fields["copied_at_ms"].cast<std::optional<int64_t>>();
  item.error_class = error_class_from(fields["error_class"].cast<std::string>()).value_or(ErrorClass::server);
  item.error = fields["error"].cast<std::string>();
  item.error_word = fields["error_word"].cast<std::string>();
  item.failed_at_ms = fields["failed_at_ms"].cast<int64_t>();
  item.origin = fields["origin"].cast<std::string>();
  item.destination_key = fields["destination_key"].cast<std::string>();
  item.partition = fields["partition"].cast<std::string>();
  return item;
}

ImportedReference imported_reference(const py::dict& fields) {
  ImportedReference reference;
  reference.record = fields["record"].cast<std::string>();
  reference.partition = fields["partition"].cast<std::string>();
  reference.partition_name = fields["partition_name"].cast<std::string>();
  reference.old_value = fields["old_value"].cast<std::string>();
  reference.new_value = fields["new_value"].cast<std::string>();
  reference.origin = fields["origin"].cast<std::string>();
  return reference;
}

ImportedNote imported_note(const py::dict& fields) {
  ImportedNote note;
  note.is_log = fields["is_log"].cast<bool>();
  const std::string level = fields["level"].cast<std::string>();
  note.level = level == "error" ? LogLevel::error : level == "warning" ? LogLevel::warning : LogLevel::info;
  note.text = fields["text"].cast<std::string>();
  note.origin = fields["origin"].cast<std::string>();
  return note;
}

class MigrationHandle {
 public:
  explicit MigrationHandle(Migration migration) : shared_(std::make_shared<SharedMigration>(std::move(migration))) {}

  void set_transform(std::shared_ptr<Transform> transform) {
    const std::lock_guard lock(shared_->mutex);
    shared_->migration.set_transform(std::move(transform));
  }

  void set_key_template(const std::string& text) {
    const std::lock_guard lock(shared_->mutex);
    shared_->migration.set_key_template(text);
  }

  void set_catalog(std::shared_ptr<Catalog> catalog, const std::string& url) {
    const std::lock_guard lock(shared_->mutex);
    shared_->migration.set_catalog(std::move(catalog), url);
  }

  void set_urls(const std::string& source, const std::string& destination) {
    const std::lock_guard lock(shared_->mutex);
    shared_->migration.set_urls(source, destination);
  }

  void set_name(const std::string& name) {
    const std::lock_guard lock(shared_->mutex);
    shared_->migration.set_name(name);
  }

  /// The migration's own tracker; what is given keeps the migration alive.
  std::shared_ptr<Tracker> tracker() const {
    const std::lock_guard lock(shared_->mutex);
    return {shared_, &shared_->migration.tracker()};
  }

  PlanJob plan(const py::dict& fields) const {
    return PlanJob([shared = shared_, options = options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return shared->migration.plan(options);
    });
  }

  StartJob start(const py::dict& fields) const {
    return StartJob([shared = shared_, options = options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return std::make_unique<RunHandle>(shared, shared->migration.start(options));
    });
  }

  StartJob start_verify(const std::string& level_word, const py::dict& fields) const {
    return StartJob([shared = shared_, level = verify_level_from(level_word), options = options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return std::make_unique<RunHandle>(shared, shared->migration.start_verify(level, options));
    });
  }

  CutoverPlanJob plan_cutover(const py::dict& fields) const {
    return CutoverPlanJob([shared = shared_, cutover = cutover_options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return shared->migration.plan_cutover(cutover);
    });
  }

  StartJob start_cutover(const std::string& hash, const py::dict& cutover_fields, const py::dict& fields) const {
    return StartJob([shared = shared_, hash, cutover = cutover_options_from(cutover_fields),
                     options = options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return std::make_unique<RunHandle>(shared, shared->migration.start_cutover(hash, cutover, options));
    });
  }

  RollbackPlanJob plan_rollback(const py::dict& fields) const {
    return RollbackPlanJob([shared = shared_, rollback = rollback_options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return shared->migration.plan_rollback(rollback);
    });
  }

  StartJob start_rollback(const py::dict& rollback_fields, const py::dict& fields) const {
    return StartJob([shared = shared_, rollback = rollback_options_from(rollback_fields),
                     options = options_from(fields)] {
      const std::lock_guard lock(shared->mutex);
      return std::make_unique<RunHandle>(shared, shared->migration.start_rollback(rollback, options));
    });
  }

  int64_t waive(const py::dict& fields, const std::string& who, const std::string& why) const {
    const Options options = options_from(fields);
    return unlocked([&] {
      const std::lock_guard lock(shared_->mutex);
      return shared_->migration.waive(options, who, why);
    });
  }

  RemovalPlanJob plan_removal(const std::string& kind, int64_t max_items, double max_share) const {
    return RemovalPlanJob([shared = shared_, options = removal_options(kind, max_items, max_share)] {
      const std::lock_guard lock(shared->mutex);
      return shared->migration.plan_removal(options);
    });
  }

  ImportJob begin_import(const std::string& file, const std::string& sha256, const std::string& format,
                         const std::string& who) const {
    return ImportJob([shared = shared_, origin = ImportOrigin{file, sha256, format, who}] {
      const std::lock_guard lock(shared->mutex);
      return std::make_unique<ImportHandle>(shared, shared->migration.begin_import(origin));
    });
  }

  RemovalJob remove(const std::string& kind, int64_t max_items, double max_share, const std::string& hash,
                    const std::string& who) const {
    return RemovalJob(shared_, removal_options(kind, max_items, max_share), hash, who);
  }

 private:
  std::shared_ptr<SharedMigration> shared_;
};

}  // namespace

py::list to_list(const std::vector<Diagnosis>& diagnoses) {
  py::list out;
  for (const Diagnosis& one : diagnoses) {
    py::dict entry;
    entry["verdict"] = to_string(one.verdict);
    entry["subject"] = to_text(one.subject);
    entry["text"] = to_text(one.text);
    entry["fix"] = to_text(one.fix);
    out.append(entry);
  }
  return out;
}

void add_migration(py::module_& module) {
  module.def("probe_source",
             [](const std::shared_ptr<Source>& source) {
               return to_list(unlocked([&] { return probe_source(*source, Context::background()); }));
             },
             py::arg("source"));
  module.def("probe_destination",
             [](const std::string& url, bool may_write) {
               return to_list(unlocked(
                   [&] { return probe_destination(*open_destination(url), may_write, Context::background()); }));
             },
             py::arg("url"), py::arg("may_write"));
  module.def("probe_catalog",
             [](const std::shared_ptr<Catalog>& catalog) {
               return to_list(unlocked([&] { return probe_catalog(*catalog, Context::background()); }));
             },
             py::arg("catalog"));
  using Guard = py::call_guard<py::gil_scoped_release>;
  py::class_<PlanJob>(module, "PlanJob")
      .def("wait", &PlanJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", [](PlanJob& job) { return to_dict(job.take()); });
  py::class_<CutoverPlanJob>(module, "CutoverPlanJob")
      .def("wait", &CutoverPlanJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", [](CutoverPlanJob& job) { return to_dict(job.take()); });
  py::class_<RollbackPlanJob>(module, "RollbackPlanJob")
      .def("wait", &RollbackPlanJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", [](RollbackPlanJob& job) { return to_dict(job.take()); });
  py::class_<RemovalPlanJob>(module, "RemovalPlanJob")
      .def("wait", &RemovalPlanJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", [](RemovalPlanJob& job) { return to_dict(job.take()); });
  py::class_<RemovalJob>(module, "RemovalJob")
      .def("wait", &RemovalJob::wait, py::arg("timeout_ms"), Guard())
      .def("stop", &RemovalJob::stop, Guard())
      .def("take", [](RemovalJob& job) { return to_dict(job.take()); });
  py::class_<ImportJob>(module, "ImportJob")
      .def("wait", &ImportJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", &ImportJob::take);
  py::class_<ImportHandle>(module, "Import")
      .def_property_readonly("is_repeated", [](const ImportHandle& handle) { return handle.get().is_repeated(); })
      .def("add",
           [](const ImportHandle& handle, const std::vector<py::dict>& rows) {
             std::vector<ImportedItem> items;
             for (const py::dict& row : rows) items.push_back(imported_item(row));
             unlocked([&] { handle.get().add(items); });
           },
           py::arg("items"))
      .def("add_references",
           [](const ImportHandle& handle, const std::vector<py::dict>& rows) {
             std::vector<ImportedReference> references;
             for (const py::dict& row : rows) references.push_back(imported_reference(row));
             unlocked([&] { handle.get().add_references(references); });
           },
           py::arg("references"))
      .def("note",
           [](const ImportHandle& handle, const std::vector<py::dict>& rows) {
             std::vector<ImportedNote> notes;
             for (const py::dict& row : rows) notes.push_back(imported_note(row));
             unlocked([&] { handle.get().note(notes); });
           },
           py::arg("notes"))
      .def("finish", [](const ImportHandle& handle) { return to_dict(unlocked([&] { return handle.get().finish(); })); })
      .def("close", &ImportHandle::close);
  py::class_<StartJob>(module, "StartJob")
      .def("wait", &StartJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", &StartJob::take);
  py::class_<RunHandle>(module, "Run")
      .def_property_readonly("id", [](const RunHandle& handle) { return handle.run().id(); })
      .def("snapshot",
           [](const RunHandle& handle) { return to_dict(unlocked([&] { return handle.run().snapshot(); })); })
      .def("events",
           [](const RunHandle& handle, uint64_t after, size_t limit) {
             py::list out;
             for (const Event& event : unlocked([&] { return handle.events(after, limit); })) out.append(to_dict(event));
             return out;
           },
           py::arg("after"), py::arg("limit"))
      .def("cancel", [](const RunHandle& handle) { handle.run().cancel(); }, Guard())
      .def("pause", [](const RunHandle& handle) { handle.run().pause(); }, Guard())
      .def("interrupt", [](const RunHandle& handle) { handle.run().interrupt(); }, Guard())
      .def("fail", [](const RunHandle& handle, const std::string& why) { handle.run().fail(why); }, py::arg("why"), Guard())
      .def("wait",
           [](const RunHandle& handle, int64_t timeout_ms) -> py::object {
             const auto report =
                 unlocked([&] { return handle.run().wait(std::chrono::milliseconds(timeout_ms)); });
             if (!report) return py::none();
             return to_dict(*report);
           },
           py::arg("timeout_ms"))
      .def("abandon", &RunHandle::abandon);
  py::class_<MigrationHandle>(module, "Migration")
      .def(py::init([](const std::string& source, const std::string& destination, const std::string& tracker) {
             return std::make_unique<MigrationHandle>(Migration(source, destination, tracker));
           }),
           py::arg("source"), py::arg("destination"), py::arg("tracker"), Guard())
      .def(py::init([](const std::string& source, const std::string& destination, const TrackerHandle& tracker) {
             return std::make_unique<MigrationHandle>(Migration(source, destination, tracker.get()));
           }),
           py::arg("source"), py::arg("destination"), py::arg("tracker"))
      .def(py::init([](std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, const std::string& tracker) {
             return std::make_unique<MigrationHandle>(Migration(std::move(source), std::move(destination), tracker));
           }),
           py::arg("source"), py::arg("destination"), py::arg("tracker"), Guard())
      .def(py::init([](std::shared_ptr<Source> source, std::shared_ptr<Destination> destination, const TrackerHandle& tracker) {
             return std::make_unique<MigrationHandle>(Migration(std::move(source), std::move(destination), tracker.get()));
           }),
           py::arg("source"), py::arg("destination"), py::arg("tracker"))
      .def("set_transform", &MigrationHandle::set_transform, py::arg("transform"), Guard())
      .def("set_key_template", &MigrationHandle::set_key_template, py::arg("text"), Guard())
      .def("set_catalog", &MigrationHandle::set_catalog, py::arg("catalog"), py::arg("url"), Guard())
      .def("plan_cutover", &MigrationHandle::plan_cutover, py::arg("cutover"))
      .def("start_cutover", &MigrationHandle::start_cutover, py::arg("hash"), py::arg("cutover"), py::arg("options"))
      .def("plan_rollback", &MigrationHandle::plan_rollback, py::arg("rollback"))
      .def("start_rollback", &MigrationHandle::start_rollback, py::arg("rollback"), py::arg("options"))
      .def("set_name", &MigrationHandle::set_name, py::arg("name"), Guard())
      .def("set_urls", &MigrationHandle::set_urls, py::arg("source"), py::arg("destination"), Guard())
      .def("tracker",
           [](const MigrationHandle& handle) { return std::make_unique<TrackerHandle>(unlocked([&] { return handle.tracker(); })); })
      .def("plan", &MigrationHandle::plan, py::arg("options"))
      .def("start", &MigrationHandle::start, py::arg("options"))
      .def("waive", &MigrationHandle::waive, py::arg("options"), py::arg("who"), py::arg("why"))
      .def("plan_removal", &MigrationHandle::plan_removal, py::arg("kind"), py::arg("max_items"), py::arg("max_share"))
      .def("begin_import", &MigrationHandle::begin_import, py::arg("file"), py::arg("sha256"), py::arg("format"), py::arg("who"))
      .def("remove", &MigrationHandle::remove, py::arg("kind"), py::arg("max_items"), py::arg("max_share"), py::arg("hash"),
           py::arg("who"))
      .def("start_verify", &MigrationHandle::start_verify, py::arg("level"), py::arg("options"));
}

}  // namespace waybill::python
