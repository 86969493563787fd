// SPDX-License-Identifier: Apache-2.0
//
// Tracker: the reading side of a ledger and the requests that any process may make.
#include <pybind11/stl.h>

#include <utility>

#include "bindings.hpp"

namespace waybill::python {
namespace {

class TrackerHandle {
 public:
  TrackerHandle(const std::string& path, bool read_only)
      : tracker_(open_tracker(path, read_only ? OpenMode::read_only : OpenMode::existing)) {}
  explicit TrackerHandle(std::shared_ptr<Tracker> tracker) : tracker_(std::move(tracker)) {}

  Tracker& get() const {
    if (!tracker_) throw Error(ErrorCode::failed_precondition, ErrorClass::configuration, "the tracker is closed");
    return *tracker_;
  }
  void close() { tracker_.reset(); }

 private:
  std::shared_ptr<Tracker> tracker_;
};

Query make_query(const std::vector<std::string>& states, const std::optional<std::string>& error_class,
                 const std::string& prefix) {
  Query query;
  for (const std::string& word : states) {
    const auto state = item_state_from(word);
    if (!state) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "state: \"" + printable(word) +
                      "\" is not one of pending, copied, verified, failed, excluded, vanished");
    }
    query.states.push_back(*state);
  }
  if (error_class) {
    query.error_class = error_class_from(*error_class);
    if (!query.error_class) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "error_class: \"" + printable(*error_class) + "\" is not a class of errors");
    }
  }
  query.prefix = prefix;
  return query;
}

py::tuple scan(const TrackerHandle& handle, const std::vector<std::string>& states,
               const std::optional<std::string>& error_class, const std::string& prefix, const std::string& resume,
               size_t limit, const std::string& want) {
  Query query = make_query(states, error_class, prefix);
  query.has_result = want == "results";
  Tracker& tracker = handle.get();
  const ScanPage page = unlocked([&] { return tracker.scan(query, resume, limit); });
  py::list rows;
  for (const ScanRow& row : page.rows) {
    if (want == "items") {
      rows.append(to_dict(row.record));
    } else if (want == "results") {
      rows.append(to_result(row));
    } else if (want == "outcomes") {
      rows.append(to_outcome(row));
    } else if (row.failure && !row.record.left) {
      rows.append(to_dict(row, *row.failure));
    }
  }
  return py::make_tuple(rows, py::bytes(page.resume), page.is_last);
}

template <class Record>
py::list to_list(const std::vector<Record>& records) {
  py::list out;
  for (const Record& record : records) out.append(to_dict(record));
  return out;
}

}  // namespace

py::object make_tracker(std::shared_ptr<Tracker> tracker) { return py::cast(TrackerHandle(std::move(tracker))); }

void add_tracker(py::module_& module) {
  using Guard = py::call_guard<py::gil_scoped_release>;
  py::class_<TrackerHandle>(module, "Tracker")
      .def(py::init<const std::string&, bool>(), py::arg("path"), py::arg("read_only"), Guard())
      .def("close", &TrackerHandle::close, Guard())
      .def("migration",
           [](const TrackerHandle& handle) -> py::object {
             const auto info = unlocked([&] { return handle.get().migration(); });
             if (!info) return py::none();
             return to_dict(*info);
           })
      .def("snapshot",
           [](const TrackerHandle& handle) { return to_dict(unlocked([&] { return handle.get().snapshot(); })); })
      .def("scan", &scan, py::arg("states"), py::arg("error_class"), py::arg("prefix"), py::arg("resume"),
           py::arg("limit"), py::arg("want"))
      .def("findings",
           [](const TrackerHandle& handle, uint64_t run, uint64_t offset, size_t limit) {
             return to_list(unlocked([&] { return handle.get().findings(run, offset, limit); }));
           },
           py::arg("run"), py::arg("offset"), py::arg("limit"))
      .def("events",
           [](const TrackerHandle& handle, uint64_t after, size_t limit) {
             return to_list(unlocked([&] { return handle.get().events(after, limit); }));
           },
           py::arg("after"), py::arg("limit"))
      .def("runs",
           [](const TrackerHandle& handle, size_t limit) {
             return to_list(unlocked([&] { return handle.get().runs(limit); }));
           },
           py::arg("limit"))
      .def("history",
           [](const TrackerHandle& handle, size_t limit) {
             return to_list(unlocked([&] { return handle.get().history(limit); }));
           },
           py::arg("limit"))
      .def("partitions",
           [](const TrackerHandle& handle, const std::optional<std::string>& after, size_t limit) {
             return to_list(unlocked([&] { return handle.get().partitions(after, limit); }));
           },
           py::arg("after"), py::arg("limit"))
      .def("rates",
           [](const TrackerHandle& handle, uint64_t run, int64_t after_ms, size_t limit) {
             return to_list(unlocked([&] { return handle.get().rates(run, after_ms, limit); }));
           },
           py::arg("run"), py::arg("after_ms"), py::arg("limit"))
      .def("request",
           [](const TrackerHandle& handle, const std::string& verb, const std::string& who) {
             handle.get().request(verb == "cancel" ? Verb::cancel : Verb::pause, who);
           },
           py::arg("verb"), py::arg("who"), Guard());
}

}  // namespace waybill::python
