// SPDX-License-Identifier: Apache-2.0
//
// Tracked work. Python hands items in and pulls; the loop, the contexts and what an exception means are Python's
// (python/waybill/track.py). Calls that may have to wait for the ledger give up after a slice.
#include <pybind11/stl.h>
#include <unistd.h>

#include "bindings.hpp"
#include "calls.hpp"
#include "job.hpp"
#include "python_tracker.hpp"

namespace waybill::python {
namespace {

using std::chrono::milliseconds;
using Guard = py::call_guard<py::gil_scoped_release>;

/// A run of tracked work, and the process it belongs to: in a forked child nothing is destroyed.
class TrackedHandle {
 public:
  TrackedHandle(std::shared_ptr<Tracker> tracker, std::unique_ptr<TrackedRun> run)
      : tracker_(std::move(tracker)), run_(std::move(run)), pid_(::getpid()) {}
  ~TrackedHandle() {
    if (::getpid() != pid_) {
      abandon();
    } else if (PyGILState_Check() != 0) {
      py::gil_scoped_release release;
      run_.reset();
    }
  }
  TrackedHandle(const TrackedHandle&) = delete;
  TrackedHandle& operator=(const TrackedHandle&) = delete;

  /// Leaves the run to itself until the process ends.
  void abandon() {
    static_cast<void>(run_.release());
    static_cast<void>(new std::shared_ptr<Tracker>(std::move(tracker_)));
  }
  TrackedRun& get() const {
    if (!run_) throw Error(ErrorCode::failed_precondition, ErrorClass::cancelled, "the run was abandoned");
    return *run_;
  }
  Run& run() const { return get().run(); }
  std::vector<Event> events(uint64_t after, size_t limit) const {
    get();
    return tracker_->events(after, limit);
  }

 private:
  std::shared_ptr<Tracker> tracker_;
  std::unique_ptr<TrackedRun> run_;
  pid_t pid_;
};

using TrackJob = Job<std::unique_ptr<TrackedHandle>>;

TrackJob start(const std::string& name, const std::string& tracker, const py::dict& fields, std::optional<uint64_t> expected) {
  return TrackJob([name, tracker, options = options_from(fields), expected] {
    std::shared_ptr<Tracker> opened = open_tracker(tracker, OpenMode::create);
    return std::make_unique<TrackedHandle>(opened, track(name, opened, options, expected));
  });
}

TrackJob start_on(const std::string& name, const TrackerHandle& tracker, const py::dict& fields, std::optional<uint64_t> expected) {
  return TrackJob([name, opened = tracker.get(), options = options_from(fields), expected] {
    return std::make_unique<TrackedHandle>(opened, track(name, opened, options, expected));
  });
}

std::string to_bytes(const py::handle& object) {
  char* data = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(object.ptr(), &data, &size) != 0) throw py::error_already_set();
  return {data, static_cast<size_t>(size)};
}

/// Tuples of partition, key, revision (bytes) and size (int or None).
std::vector<TrackedItem> items_of(const py::list& entries) {
  std::vector<TrackedItem> items;
  items.reserve(entries.size());
  for (const py::handle& entry : entries) {
    const auto fields = py::reinterpret_borrow<py::tuple>(entry);
    TrackedItem& item = items.emplace_back();
    item.id.partition = to_bytes(fields[0]);
    item.id.key = to_bytes(fields[1]);
    item.revision = to_bytes(fields[2]);
    if (!fields[3].is_none()) item.size = fields[3].cast<uint64_t>();
  }
  return items;
}

py::object claim(const TrackedHandle& handle, const py::list& entries, bool is_declared, int64_t timeout_ms) {
  const std::vector<TrackedItem> items = items_of(entries);
  const auto tickets = unlocked([&] { return handle.get().claim(items, is_declared, milliseconds(timeout_ms)); });
  return tickets ? py::cast(*tickets) : py::none();
}

LogLevel level_from(const std::string& word) {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
    if (word == to_string(level)) return level;
  }
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "level: \"" + printable(word) + "\" is not one of debug, info, warning, error");
}

}  // namespace

void add_track(py::module_& module) {
  py::class_<TrackJob>(module, "TrackJob")
      .def("wait", &TrackJob::wait, py::arg("timeout_ms"), Guard())
      .def("take", &TrackJob::take, Guard());
  py::class_<TrackedHandle>(module, "TrackedRun")
      .def_property_readonly("id", [](const TrackedHandle& handle) { return handle.run().id(); })
      .def("snapshot", [](const TrackedHandle& handle) { return to_dict(unlocked([&] { return handle.run().snapshot(); })); })
      .def("events",
           [](const TrackedHandle& handle, uint64_t after, size_t limit) {
             py::list out;
             for (const Event& event : unlocked([&] { return handle.events(after, limit); })) out.append(to_dict(event));
             return out;
           },
           py::arg("after"), py::arg("limit"))
      .def("cancel", [](const TrackedHandle& handle) { handle.run().cancel(); }, Guard())
      .def("pause", [](const TrackedHandle& handle) { handle.run().pause(); }, Guard())
      .def("interrupt", [](const TrackedHandle& handle) { handle.get().leave("interrupted by a signal or by its host"); }, Guard())
      .def("leave", [](const TrackedHandle& handle, const std::string& why) { handle.get().leave(why); }, py::arg("why"), Guard())
      .def("fail", [](const TrackedHandle& handle, const std::string& why) { handle.run().fail(why); }, py::arg("why"), Guard())
      .def("wait",
           [](const TrackedHandle& handle, int64_t timeout_ms) -> py::object {
             const auto report = unlocked([&] { return handle.run().wait(milliseconds(timeout_ms)); });
             if (!report) return py::none();
             return to_dict(*report);
           },
           py::arg("timeout_ms"))
      .def("abandon", &TrackedHandle::abandon)
      .def("declare",
           [](const TrackedHandle& handle, const py::list& entries, int64_t timeout_ms) {
             const std::vector<TrackedItem> items = items_of(entries);
             return unlocked([&] { return handle.get().declare(items, milliseconds(timeout_ms)); });
           },
           py::arg("entries"), py::arg("timeout_ms"))
      .def("end_listing", [](const TrackedHandle& handle) { handle.get().end_listing(); }, Guard())
      .def("claim", &claim, py::arg("entries"), py::arg("is_declared"), py::arg("timeout_ms"))
      .def("begin", [](const TrackedHandle& handle, uint64_t ticket) { handle.get().begin(ticket); }, py::arg("ticket"), Guard())
      .def("done",
           [](const TrackedHandle& handle, uint64_t ticket, const std::string& result, int64_t timeout_ms) {
             return handle.get().finish(ticket, TrackedOutcome::done(std::nullopt, result), milliseconds(timeout_ms));
           },
           py::arg("ticket"), py::arg("result"), py::arg("timeout_ms"), Guard())
      .def("failed",
           [](const TrackedHandle& handle, uint64_t ticket, const py::dict& failure, int64_t timeout_ms) {
             const TrackedOutcome outcome = TrackedOutcome::failed(error_of(failure));
             return unlocked([&] { return handle.get().finish(ticket, outcome, milliseconds(timeout_ms)); });
           },
           py::arg("ticket"), py::arg("failure"), py::arg("timeout_ms"))
      .def("excluded",
           [](const TrackedHandle& handle, uint64_t ticket, const std::string& reason, int64_t timeout_ms) {
             return handle.get().finish(ticket, TrackedOutcome::excluded(reason), milliseconds(timeout_ms));
           },
           py::arg("ticket"), py::arg("reason"), py::arg("timeout_ms"), Guard())
      .def("let_go", [](const TrackedHandle& handle, uint64_t ticket) { handle.get().let_go(ticket); }, py::arg("ticket"), Guard())
      .def("log",
           [](const TrackedHandle& handle, const std::string& level, const std::string& text) { handle.get().log(level_from(level), text); },
           py::arg("level"), py::arg("text"), Guard())
      .def("is_stopping", [](const TrackedHandle& handle) { return handle.get().is_stopping(); }, Guard())
      .def("complete", [](const TrackedHandle& handle) { handle.get().complete(); }, Guard());
  module.def("track", &start, py::arg("name"), py::arg("tracker"), py::arg("options"), py::arg("expected"));
  module.def("track", &start_on, py::arg("name"), py::arg("tracker"), py::arg("options"), py::arg("expected"));
}

}  // namespace waybill::python
