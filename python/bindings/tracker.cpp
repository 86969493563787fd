// SPDX-License-Identifier: Apache-2.0
//
// waybill._core.Tracker: a ledger as Python reads it, with lists as dictionaries, and as the engine does, with records.
#include <pybind11/stl.h>

#include <utility>

#include "calls.hpp"
#include "python_tracker.hpp"
#include "record_fields.hpp"

namespace waybill::python {
namespace {

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

/// Calls the ledger without the GIL. From a tracker in Python that may be a thread of waybill's own.
template <class Use>
auto ask(const TrackerHandle& handle, const Use& use) {
  const std::shared_ptr<Tracker> tracker = handle.get();
  return released([&] { return use(*tracker); });
}

py::tuple scan(const TrackerHandle& handle, const std::vector<std::string>& states,
               const std::optional<std::string>& error_class, const std::string& prefix, const std::string& resume,
               size_t limit, const std::string& want) {
  Query query = make_query(states, error_class, prefix);
  query.has_result = want == "results";
  const ScanPage page = ask(handle, [&](Tracker& tracker) { return tracker.scan(query, resume, limit); });
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

ReferenceQuery make_reference_query(const std::vector<std::string>& states, const std::optional<std::string>& partition,
                                    std::optional<uint64_t> run) {
  ReferenceQuery query{.states = {}, .partition = partition, .not_seen_since = {}, .run = run};
  for (const std::string& word : states) {
    const auto state = reference_state_from(word);
    if (!state) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "states: \"" + printable(word) +
                      "\" is not one of original, pending, intended, updated, restored, conflict, failed, vanished, "
                      "excluded");
    }
    query.states.push_back(*state);
  }
  return query;
}

py::tuple references(const TrackerHandle& handle, const std::vector<std::string>& states,
                     const std::optional<std::string>& partition, std::optional<uint64_t> run, const std::string& resume,
                     size_t limit) {
  const ReferenceQuery query = make_reference_query(states, partition, run);
  const auto page = ask(handle, [&](Tracker& tracker) { return tracker.scan_references(query, resume, limit); });
  py::list rows;
  for (const ReferenceRecord& record : page.references) rows.append(RecordWriter<false>::dict_of(record));
  return py::make_tuple(rows, py::bytes(page.resume), page.is_last);
}

template <class Record>
py::list to_list(const std::vector<Record>& records) {
  py::list out;
  for (const Record& record : records) out.append(to_dict(record));
  return out;
}

/// A part of a batch by its name.
py::object part_of(const BatchHandle& handle, const std::string& name) {
  const Batch& batch = handle.batch;
  if (name == "run") return make_record(batch.run);
  if (name == "items") return make_record(batch.items);
  if (name == "listings") return make_record(batch.listings);
  if (name == "uploads") return make_record(batch.uploads);
  if (name == "findings") return make_record(batch.findings);
  if (name == "references") return make_record(batch.references);
  if (name == "journal") return make_record(batch.journal);
  if (name == "plan") return make_record(batch.plan);
  if (name == "events") return make_record(batch.events);
  if (name == "rates") return make_record(batch.rates);
  if (name == "live") return make_record(batch.live);
  if (name == "served_requests") return make_record(batch.served_requests);
  throw py::key_error(name);
}

std::shared_ptr<Tracker> open(const std::string& path, bool read_only, bool create) {
  return open_tracker(path, read_only ? OpenMode::read_only : create ? OpenMode::create : OpenMode::existing);
}

using Handle = py::class_<TrackerHandle>;

/// What lists, snapshots and reports are made of.
void add_reading(Handle& type) {
  type.def("migration",
           [](const TrackerHandle& handle) -> py::object {
             const auto info = ask(handle, [](Tracker& tracker) { return tracker.migration(); });
             if (!info) return py::none();
             return to_dict(*info);
           })
      .def("snapshot",
           [](const TrackerHandle& handle) { return to_dict(ask(handle, [](Tracker& tracker) { return tracker.snapshot(); })); })
      .def("scan", &scan, py::arg("states"), py::arg("error_class"), py::arg("prefix"), py::arg("resume"),
           py::arg("limit"), py::arg("want"))
      .def("findings",
           [](const TrackerHandle& handle, uint64_t run, uint64_t offset, size_t limit) {
             return to_list(ask(handle, [&](Tracker& tracker) { return tracker.findings(run, offset, limit); }));
           },
           py::arg("run"), py::arg("offset"), py::arg("limit"))
      .def("events",
           [](const TrackerHandle& handle, uint64_t after, size_t limit) {
             return to_list(ask(handle, [&](Tracker& tracker) { return tracker.events(after, limit); }));
           },
           py::arg("after"), py::arg("limit"))
      .def("runs",
           [](const TrackerHandle& handle, size_t limit) {
             return to_list(ask(handle, [&](Tracker& tracker) { return tracker.runs(limit); }));
           },
           py::arg("limit"))
      .def("history",
           [](const TrackerHandle& handle, size_t limit) {
             return to_list(ask(handle, [&](Tracker& tracker) { return tracker.history(limit); }));
           },
           py::arg("limit"))
      .def("partitions",
           [](const TrackerHandle& handle, const std::optional<std::string>& after, size_t limit) {
             return to_list(ask(handle, [&](Tracker& tracker) { return tracker.partitions(after, limit); }));
           },
           py::arg("after"), py::arg("limit"))
      .def("rates",
           [](const TrackerHandle& handle, uint64_t run, int64_t after_ms, size_t limit) {
             return to_list(ask(handle, [&](Tracker& tracker) { return tracker.rates(run, after_ms, limit); }));
           },
           py::arg("run"), py::arg("after_ms"), py::arg("limit"))
      .def("references", &references, py::arg("states"), py::arg("partition"), py::arg("run"), py::arg("resume"),
           py::arg("limit"))
      .def("journal",
           [](const TrackerHandle& handle, py::handle object) {
             const auto id = record_from<ReferenceId>(object, "id");
             py::list rows;
             for (const JournalRecord& record : ask(handle, [&](Tracker& tracker) { return tracker.journal(id); })) {
               rows.append(RecordWriter<false>::dict_of(record));
             }
             return rows;
           },
           py::arg("id"))
      .def("request",
           [](const TrackerHandle& handle, const std::string& word, const std::string& who) {
             const auto verb = record_from<Verb>(to_text(word), "verb");
             ask(handle, [&](Tracker& tracker) { tracker.request(verb, who); });
           },
           py::arg("verb"), py::arg("who"));
}

/// What the engine calls, for trackers that stand on a built-in ledger.
void add_engine_side(Handle& type) {
  type.def("bind",
           [](const TrackerHandle& handle, py::handle object) {
             const auto wanted = record_from<MigrationInfo>(object, "wanted");
             return make_record(ask(handle, [&](Tracker& tracker) { return tracker.bind(wanted); }));
           },
           py::arg("wanted"))
      .def("acquire",
           [](const TrackerHandle& handle, py::handle object) {
             const auto options = record_from<LeaseOptions>(object, "options");
             return ask(handle, [&](Tracker& tracker) { return tracker.acquire(options); });
           },
           py::arg("options"))
      .def("release",
           [](const TrackerHandle& handle, uint64_t epoch) { ask(handle, [&](Tracker& tracker) { tracker.release(epoch); }); },
           py::arg("epoch"))
      .def("hurry", [](const TrackerHandle& handle) { handle.get()->hurry(); })
      .def("commit",
           [](const TrackerHandle& handle, uint64_t epoch, py::handle object) {
             const auto batch = batch_from(object);
             return ask(handle, [&](Tracker& tracker) { return tracker.commit(epoch, batch->batch); });
           },
           py::arg("epoch"), py::arg("batch"))
      .def("claim",
           [](const TrackerHandle& handle, uint64_t epoch, size_t limit) {
             return py::list(make_record(ask(handle, [&](Tracker& tracker) { return tracker.claim(epoch, limit); })));
           },
           py::arg("epoch"), py::arg("limit"))
      .def("lookup",
           [](const TrackerHandle& handle, py::handle sequence) {
             const auto ids = record_from<std::vector<ItemId>>(sequence, "ids");
             return py::list(make_record(ask(handle, [&](Tracker& tracker) { return tracker.lookup(ids); })));
           },
           py::arg("ids"))
      .def("scan_rows",
           [](const TrackerHandle& handle, py::handle object, const std::string& resume, size_t limit) {
             const auto query = record_from<Query>(object, "query");
             return make_record(ask(handle, [&](Tracker& tracker) { return tracker.scan(query, resume, limit); }));
           },
           py::arg("query"), py::arg("resume"), py::arg("limit"))
      .def("uploads",
           [](const TrackerHandle& handle) {
             return py::list(make_record(ask(handle, [](Tracker& tracker) { return tracker.uploads(); })));
           })
      .def("upload",
           [](const TrackerHandle& handle, py::handle object) {
             const ItemId id = id_from(object);
             return make_record(ask(handle, [&](Tracker& tracker) { return tracker.upload(id); }));
           },
           py::arg("id"))
      .def("listings",
           [](const TrackerHandle& handle) {
             return py::list(make_record(ask(handle, [](Tracker& tracker) { return tracker.listings(); })));
           })
      .def("lookup_references",
           [](const TrackerHandle& handle, py::handle sequence) {
             const auto ids = record_from<std::vector<ReferenceId>>(sequence, "ids");
             return py::list(make_record(ask(handle, [&](Tracker& tracker) { return tracker.lookup_references(ids); })));
           },
           py::arg("ids"))
      .def("scan_references",
           [](const TrackerHandle& handle, py::handle object, const std::string& resume, size_t limit) {
             const auto query = record_from<ReferenceQuery>(object, "query");
             return make_record(ask(handle, [&](Tracker& tracker) { return tracker.scan_references(query, resume, limit); }));
           },
           py::arg("query"), py::arg("resume"), py::arg("limit"))
      .def("lookup_journal",
           [](const TrackerHandle& handle, py::handle sequence) {
             const auto ids = record_from<std::vector<ReferenceId>>(sequence, "ids");
             return py::list(make_record(ask(handle, [&](Tracker& tracker) { return tracker.lookup_journal(ids); })));
           },
           py::arg("ids"))
      .def("read_journal",
           [](const TrackerHandle& handle, py::handle object) {
             const auto id = record_from<ReferenceId>(object, "id");
             return py::list(make_record(ask(handle, [&](Tracker& tracker) { return tracker.journal(id); })));
           },
           py::arg("id"))
      .def("cutover_plan",
           [](const TrackerHandle& handle) {
             return make_record(ask(handle, [](Tracker& tracker) { return tracker.cutover_plan(); }));
           })
      .def("requests", [](const TrackerHandle& handle) {
        return py::list(make_record(ask(handle, [](Tracker& tracker) { return tracker.requests(); })));
      });
}

}  // namespace

void add_tracker(py::module_& module) {
  py::class_<BatchHandle, std::shared_ptr<BatchHandle>>(module, "Batch").def("part", &part_of, py::arg("name"));
  Handle type(module, "Tracker");
  type.def(py::init([](const std::string& path, bool read_only, bool create) {
             return std::make_unique<TrackerHandle>(unlocked([&] { return open(path, read_only, create); }));
           }),
           py::arg("path"), py::arg("read_only"), py::arg("create") = false)
      .def("close", [](TrackerHandle& handle) {
        std::shared_ptr<Tracker> last = handle.take();
        released([&] { last.reset(); });
      });
  add_reading(type);
  add_engine_side(type);
  module.def("adapt_tracker",
             [](py::object object, const TrackerHandle* ledger) {
               return std::make_unique<TrackerHandle>(adapt_tracker(std::move(object), ledger != nullptr ? ledger->get() : nullptr));
             },
             py::arg("tracker"), py::arg("ledger").none(true));
}

}  // namespace waybill::python
