// SPDX-License-Identifier: Apache-2.0
//
// Records as dictionaries of plain values. The keys are the field names of the classes in python/waybill/records.py,
// which are built from them by keyword: a field that one side lacks fails there at once.
#include <map>
#include <string>

#include "record_fields.hpp"
#include "waybill/redaction.hpp"

namespace waybill::python {
namespace {

py::bytes to_bytes(std::string_view data) { return py::bytes(data.data(), data.size()); }

py::dict counts(const std::map<std::string, int64_t>& by_word) {
  py::dict out;
  for (const auto& [word, count] : by_word) out[to_text(word)] = count;
  return out;
}

void put_id(py::dict& out, const ItemId& id) {
  out["partition"] = to_text(id.partition);
  out["key"] = to_bytes(id.key);
  out["version"] = to_text(id.version);
}

template <class Record>
py::dict dict_of(const Record& record) {
  return RecordWriter<false>::dict_of(record);
}

}  // namespace

py::handle record_class(const char* name) {
  // Leaked, as the interpreter may be gone when the process ends.
  static auto* const classes = new std::map<std::string, py::object, std::less<>>;
  auto found = classes->find(std::string_view(name));
  if (found == classes->end()) {
    for (const char* const home : {"waybill.records", "waybill.ledger_records", "waybill.catalogs"}) {
      const py::module_ module = py::module_::import(home);
      if (py::hasattr(module, name)) found = classes->emplace(name, module.attr(name)).first;
    }
    if (found == classes->end()) throw py::attribute_error(name);
  }
  return found->second;
}

py::str to_text(std::string_view text) {
  PyObject* object = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(object);
}

py::dict to_dict(const Snapshot& snapshot) {
  py::dict out = dict_of(snapshot);
  out["progress"] = to_optional(snapshot.progress());
  out["completeness"] = to_optional(snapshot.completeness());
  out["success"] = to_optional(snapshot.success());
  out["json"] = to_text(to_json(snapshot));
  return out;
}

py::dict to_dict(const Event& event) {
  py::dict out = dict_of(event);
  out["json"] = to_text(to_json(event));
  return out;
}

py::dict to_dict(const ItemRecord& record) { return dict_of(record); }

py::dict to_dict(const ScanRow& row, const Failure& failure) {
  py::dict out;
  put_id(out, row.record.id);
  out["state"] = to_string(row.record.state);
  out["error_class"] = to_string(failure.error_class);
  out["code"] = to_string(failure.code);
  out["message"] = to_text(failure.message);
  out["retryable"] = failure.retryable;
  out["http_status"] = failure.http_status;
  out["provider_code"] = to_text(failure.provider_code);
  out["request_id"] = to_text(failure.request_id);
  out["endpoint"] = to_text(failure.endpoint);
  out["attempts"] = failure.attempts;
  out["at_ms"] = failure.at_ms;
  out["run"] = row.record.run;
  out["waived_by"] = to_text(row.waiver ? row.waiver->who : std::string());
  out["waived_because"] = to_text(row.waiver ? row.waiver->why : std::string());
  out["waived_at_ms"] = row.waiver ? py::cast(row.waiver->at_ms) : py::none();
  return out;
}

py::dict to_outcome(const ScanRow& row) {
  py::dict out;
  out["item"] = to_dict(row.record);
  out["failure"] = row.failure ? py::object(to_dict(row, *row.failure)) : py::none();
  out["left"] = row.record.left;
  return out;
}

py::dict to_result(const ScanRow& row) {
  py::dict out;
  put_id(out, row.record.id);
  out["run"] = row.record.run;
  out["json"] = to_text(row.result);
  return out;
}

py::dict to_dict(const Finding& finding) { return dict_of(finding); }
py::dict to_dict(const RunRecord& run) { return dict_of(run); }
py::dict to_dict(const RunSummary& summary) { return dict_of(summary); }
py::dict to_dict(const PartitionSummary& summary) { return dict_of(summary); }
py::dict to_dict(const RateSample& sample) { return dict_of(sample); }
py::dict to_dict(const MigrationInfo& info) { return dict_of(info); }

namespace {

py::list to_list(const std::vector<Plan::Row>& rows) {
  py::list out;
  for (const Plan::Row& row : rows) {
    py::dict entry;
    entry["name"] = to_text(row.name);
    entry["title"] = to_text(row.title);
    entry["groups"] = row.groups;
    entry["items"] = row.items;
    entry["bytes"] = row.bytes;
    entry["unknown_sizes"] = row.unknown_sizes;
    out.append(entry);
  }
  return out;
}

py::list to_list(const std::vector<Plan::Unreachable>& hosts) {
  py::list out;
  for (const Plan::Unreachable& one : hosts) {
    py::dict entry;
    entry["host"] = to_text(one.host);
    entry["items"] = one.items;
    entry["error_class"] = to_string(one.error_class);
    entry["reason"] = to_text(one.reason);
    out.append(entry);
  }
  return out;
}

py::dict to_dict(const Plan::Requests& requests) {
  py::dict out;
  out["listing"] = requests.listing;
  out["source_looks"] = requests.source_looks;
  out["reads"] = requests.reads;
  out["destination_looks"] = requests.destination_looks;
  out["writes"] = requests.writes;
  out["copies"] = requests.copies;
  out["uploads"] = requests.uploads;
  out["parts"] = requests.parts;
  out["is_lower_bound"] = requests.is_lower_bound;
  return out;
}

py::object to_object(const std::optional<Plan::Time>& time) {
  if (!time) return py::none();
  py::dict out;
  out["seconds"] = time->seconds;
  out["run"] = time->run;
  out["moved_items"] = time->moved_items;
  out["moved_bytes"] = time->moved_bytes;
  out["active_seconds"] = time->active_seconds;
  return out;
}

}  // namespace

py::dict to_dict(const Plan& plan) {
  py::dict histogram;
  for (const auto& [power, count] : plan.size_histogram) histogram[py::int_(power)] = count;
  py::list examples;
  for (const Plan::Example& example : plan.examples) {
    py::dict entry;
    entry["key"] = to_bytes(example.key);
    entry["error_class"] = to_string(example.error_class);
    entry["reason"] = to_text(example.reason);
    examples.append(entry);
  }
  py::list collisions;
  for (const Plan::Collision& one : plan.collision_examples) {
    py::dict entry;
    entry["partition"] = to_text(one.id.partition);
    entry["key"] = to_bytes(one.id.key);
    entry["version"] = to_text(one.id.version);
    entry["wanted"] = to_bytes(one.wanted);
    entry["destination_key"] = to_bytes(one.destination_key);
    collisions.append(entry);
  }
  py::dict out;
  out["items"] = plan.items;
  out["bytes"] = plan.bytes;
  out["unknown_sizes"] = plan.unknown_sizes;
  out["to_create"] = plan.to_create;
  out["to_update"] = plan.to_update;
  out["to_compare"] = plan.to_compare;
  out["to_look_at"] = plan.to_look_at;
  out["unchanged"] = plan.unchanged;
  out["excluded"] = plan.excluded;
  out["oversize"] = plan.oversize;
  out["oversize_bytes"] = plan.oversize_bytes;
  out["refused"] = plan.refused;
  out["occupied"] = plan.occupied;
  out["unmatched_objects"] = plan.unmatched_objects ? py::object(py::int_(*plan.unmatched_objects)) : py::object(py::none());
  out["bytes_to_move"] = plan.bytes_to_move;
  out["objects_in_parts"] = plan.objects_in_parts;
  out["collisions"] = plan.collisions;
  out["items_in_collisions"] = plan.items_in_collisions;
  out["collision_examples"] = collisions;
  out["refused_by_class"] = counts(plan.refused_by_class);
  out["size_histogram"] = histogram;
  out["partitions"] = to_list(plan.partitions);
  out["extensions"] = to_list(plan.extensions);
  out["hosts"] = to_list(plan.hosts);
  out["unreachable"] = to_list(plan.unreachable);
  py::dict sample;
  sample["asked"] = plan.sample.asked;
  sample["answered"] = plan.sample.answered;
  sample["failed_by_class"] = counts(plan.sample.failed_by_class);
  out["sample"] = sample;
  out["estimated_bytes"] = plan.estimated_bytes ? py::object(py::int_(*plan.estimated_bytes)) : py::object(py::none());
  out["requests"] = to_dict(plan.requests);
  out["time"] = to_object(plan.time);
  out["examples"] = examples;
  out["json"] = to_text(to_json(plan));
  return out;
}

py::dict to_dict(const ImportReport& report) {
  py::dict out;
  out["items"] = report.items;
  out["confirmed"] = report.confirmed;
  out["refuted"] = report.refuted;
  out["failed"] = report.failed;
  out["pending"] = report.pending;
  out["known"] = report.known;
  out["unchanged"] = report.unchanged;
  out["references"] = report.references;
  out["references_confirmed"] = report.references_confirmed;
  out["references_refuted"] = report.references_refuted;
  out["references_known"] = report.references_known;
  out["notes"] = report.notes;
  out["is_repeated"] = report.is_repeated;
  return out;
}

py::dict to_dict(const RemovalPlan& plan) {
  py::list examples;
  for (const RemovalPlan::Example& example : plan.examples) {
    py::dict entry;
    put_id(entry, example.id);
    entry["detail"] = to_text(example.detail);
    examples.append(entry);
  }
  py::dict out;
  out["kind"] = to_string(plan.kind);
  out["verify_run"] = plan.verify_run;
  out["hash"] = to_text(plan.hash);
  out["items"] = plan.items;
  out["bytes"] = plan.bytes;
  out["at_destination"] = plan.at_destination;
  out["kept"] = counts(plan.kept);
  out["refusal"] = to_text(plan.refusal);
  out["examples"] = examples;
  out["json"] = to_text(to_json(plan));
  return out;
}

py::dict to_dict(const RemovalReport& report) {
  py::dict out;
  out["removed"] = report.removed;
  out["hidden"] = report.hidden;
  out["gone"] = report.gone;
  out["kept"] = report.kept;
  out["kept_by_class"] = counts(report.kept_by_class);
  out["is_stopped"] = report.is_stopped;
  return out;
}

py::dict to_dict(const Report& report) {
  py::dict out;
  out["snapshot"] = to_dict(report.snapshot);
  out["exit_code"] = report.exit_code;
  out["message"] = to_text(report.message);
  return out;
}

void add_records(py::module_& module) {
  module.def("printable", [](const std::string& key) { return to_text(printable(key)); }, py::arg("key"));
  module.def("shown_key", [](const std::string& key) { return to_text(shown_key(key)); }, py::arg("key"));
  module.def("event_json", [](py::handle event) { return to_text(to_json(record_from<Event>(event, "event"))); }, py::arg("event"));
  module.def("snapshot_json", [](py::handle snapshot) { return to_text(to_json(record_from<Snapshot>(snapshot, "snapshot"))); },
             py::arg("snapshot"));
  module.def("redacted_url", [](const std::string& url) { return to_text(Url::parse(url).redacted()); }, py::arg("url"));
}

}  // namespace waybill::python
