// SPDX-License-Identifier: Apache-2.0
//
// Records as dictionaries of plain values. The keys are the field names of the classes in python/waybill/records.py,
// which are built from them by keyword: a field that one side lacks fails there at once.
#include <map>
#include <string>

#include "bindings.hpp"

namespace waybill::python {
namespace {

py::bytes to_bytes(std::string_view data) { return py::bytes(data.data(), data.size()); }

py::object to_bytes(const std::optional<Sha256>& digest) {
  if (!digest) return py::none();
  return py::bytes(reinterpret_cast<const char*>(digest->data()), digest->size());
}

const char* change_word(Change change) {
  switch (change) {
    case Change::created: return "created";
    case Change::updated: return "updated";
    case Change::unchanged: return "unchanged";
  }
  return "created";
}

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

py::dict to_dict(const ItemAccounts& items) {
  py::dict out;
  out["discovered"] = items.discovered;
  out["excluded"] = items.excluded;
  out["eligible"] = items.eligible;
  out["pending"] = items.pending;
  out["in_progress"] = items.in_progress;
  out["done"] = items.done;
  out["created"] = items.created;
  out["updated"] = items.updated;
  out["unchanged"] = items.unchanged;
  out["verified"] = items.verified;
  out["failed"] = items.failed;
  out["waived"] = items.waived;
  out["vanished"] = items.vanished;
  out["outstanding"] = items.outstanding;
  out["settled"] = items.settled;
  return out;
}

py::dict to_dict(const InFlight& item) {
  py::dict out;
  out["partition"] = to_text(item.partition);
  out["key"] = to_bytes(item.key);
  out["bytes_done"] = item.bytes_done;
  out["bytes_total"] = to_optional(item.bytes_total);
  out["attempt"] = item.attempt;
  out["started_at_ms"] = item.started_at_ms;
  return out;
}

py::dict to_dict(const LiveState& live) {
  py::list in_flight;
  for (const InFlight& item : live.in_flight) in_flight.append(to_dict(item));
  py::dict out;
  out["in_progress"] = live.in_progress;
  out["in_flight"] = in_flight;
  out["concurrency"] = live.concurrency;
  out["items_per_second"] = live.items_per_second;
  out["bytes_per_second"] = live.bytes_per_second;
  out["eta_low_seconds"] = to_optional(live.eta_low_seconds);
  out["eta_high_seconds"] = to_optional(live.eta_high_seconds);
  out["stalled_since_ms"] = to_optional(live.stalled_since_ms);
  out["reason"] = to_text(live.reason);
  return out;
}

py::object to_object(const std::optional<Owner>& owner) {
  if (!owner) return py::none();
  py::dict out;
  out["host"] = to_text(owner->host);
  out["boot_id"] = to_text(owner->boot_id);
  out["pid"] = owner->pid;
  out["process_start"] = owner->process_start;
  out["epoch"] = owner->epoch;
  return out;
}

}  // namespace

py::str to_text(std::string_view text) {
  PyObject* object = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(object);
}

py::dict to_dict(const Snapshot& snapshot) {
  py::dict out;
  out["migration"] = to_text(snapshot.migration);
  out["name"] = to_text(snapshot.name);
  out["source"] = to_text(snapshot.source);
  out["destination"] = to_text(snapshot.destination);
  out["run"] = snapshot.run;
  out["phase"] = to_string(snapshot.phase);
  out["state"] = to_string(snapshot.state);
  out["reason"] = to_text(snapshot.reason);
  out["started_at_ms"] = to_optional(snapshot.started_at_ms);
  out["ended_at_ms"] = to_optional(snapshot.ended_at_ms);
  out["active_seconds"] = snapshot.active_seconds;
  out["heartbeat_at_ms"] = to_optional(snapshot.heartbeat_at_ms);
  out["owner"] = to_object(snapshot.owner);
  out["items"] = to_dict(snapshot.items);
  out["migration_items"] = to_dict(snapshot.migration_items);
  out["findings"] = counts(snapshot.findings);
  out["failed_by_class"] = counts(snapshot.failed_by_class);
  out["bytes_total"] = snapshot.bytes_total;
  out["bytes_done"] = snapshot.bytes_done;
  out["attempts_total"] = snapshot.attempts_total;
  out["attempts_failed"] = snapshot.attempts_failed;
  out["listing_complete"] = snapshot.listing_complete;
  out["expected_items"] = to_optional(snapshot.expected_items);
  out["live"] = to_dict(snapshot.live);
  out["last_event_at_ms"] = to_optional(snapshot.last_event_at_ms);
  out["seq"] = snapshot.seq;
  out["progress"] = to_optional(snapshot.progress());
  out["completeness"] = to_optional(snapshot.completeness());
  out["success"] = to_optional(snapshot.success());
  out["json"] = to_text(to_json(snapshot));
  return out;
}

py::dict to_dict(const Event& event) {
  py::dict out;
  out["seq"] = event.seq;
  out["at_ms"] = event.at_ms;
  out["run"] = event.run;
  out["kind"] = to_string(event.kind);
  out["level"] = to_string(event.level);
  out["text"] = to_text(event.text);
  out["json"] = to_text(to_json(event));
  return out;
}

py::dict to_dict(const ItemRecord& record) {
  py::dict out;
  put_id(out, record.id);
  out["size"] = to_optional(record.stamp.size);
  out["etag"] = to_text(record.stamp.etag);
  out["mtime_ns"] = to_optional(record.stamp.mtime_ns);
  out["state"] = to_string(record.state);
  out["basis"] = to_string(record.basis);
  out["change"] = change_word(record.change);
  out["gone_at_source"] = record.gone_at_source;
  out["waived"] = record.waived;
  out["error_class"] = to_string(record.error_class);
  out["revision"] = record.revision;
  out["run"] = record.run;
  out["crc64nvme"] = to_optional(record.digest.crc64nvme);
  out["sha256"] = to_bytes(record.digest.sha256);
  out["stored_size"] = record.stored ? py::cast(record.stored->size) : py::none();
  out["stored_etag"] = to_text(record.stored ? record.stored->etag : std::string());
  out["stored_version"] = to_text(record.stored ? record.stored->version : std::string());
  out["copied_at_ms"] = to_optional(record.copied_at_ms);
  out["verified_at_ms"] = to_optional(record.verified_at_ms);
  return out;
}

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

py::dict to_dict(const Finding& finding) {
  py::dict out;
  out["run"] = finding.run;
  out["kind"] = to_string(finding.kind);
  put_id(out, finding.id);
  out["detail"] = to_text(finding.detail);
  return out;
}

py::dict to_dict(const RunRecord& run) {
  py::dict out;
  out["run"] = run.run;
  out["phase"] = to_string(run.phase);
  out["state"] = to_string(run.state);
  out["reason"] = to_text(run.reason);
  out["started_at_ms"] = run.started_at_ms;
  out["ended_at_ms"] = to_optional(run.ended_at_ms);
  out["active_seconds"] = run.active_seconds;
  out["listing_complete"] = run.listing_complete;
  out["expected_items"] = to_optional(run.expected_items);
  out["options"] = to_text(run.options);
  out["engine_version"] = to_text(run.engine_version);
  out["host"] = to_text(run.host);
  out["pid"] = run.pid;
  return out;
}

py::dict to_dict(const RunSummary& summary) {
  py::dict out;
  out["record"] = to_dict(summary.record);
  out["items"] = to_dict(summary.items);
  out["bytes_total"] = summary.bytes_total;
  out["bytes_done"] = summary.bytes_done;
  out["attempts_total"] = summary.attempts_total;
  out["attempts_failed"] = summary.attempts_failed;
  out["failed_by_class"] = counts(summary.failed_by_class);
  out["findings"] = counts(summary.findings);
  return out;
}

py::dict to_dict(const PartitionSummary& summary) {
  py::dict out;
  out["name"] = to_text(summary.name);
  out["items"] = to_dict(summary.items);
  out["migration_items"] = to_dict(summary.migration_items);
  out["bytes_total"] = summary.bytes_total;
  out["bytes_done"] = summary.bytes_done;
  return out;
}

py::dict to_dict(const RateSample& sample) {
  py::dict out;
  out["run"] = sample.run;
  out["at_ms"] = sample.at_ms;
  out["seconds"] = sample.seconds;
  out["items"] = sample.items;
  out["bytes"] = sample.bytes;
  out["attempts_failed"] = sample.attempts_failed;
  out["concurrency"] = sample.concurrency;
  return out;
}

py::dict to_dict(const MigrationInfo& info) {
  py::dict out;
  out["id"] = to_text(info.id);
  out["name"] = to_text(info.name);
  out["fingerprint"] = to_text(info.fingerprint);
  out["source"] = to_text(info.source);
  out["destination"] = to_text(info.destination);
  out["source_url"] = to_text(info.source_url);
  out["destination_url"] = to_text(info.destination_url);
  out["created_at_ms"] = info.created_at_ms;
  return out;
}

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
  py::dict out;
  out["items"] = plan.items;
  out["bytes"] = plan.bytes;
  out["to_create"] = plan.to_create;
  out["to_update"] = plan.to_update;
  out["to_compare"] = plan.to_compare;
  out["unchanged"] = plan.unchanged;
  out["excluded"] = plan.excluded;
  out["refused"] = plan.refused;
  out["occupied"] = plan.occupied;
  out["bytes_to_move"] = plan.bytes_to_move;
  out["objects_in_parts"] = plan.objects_in_parts;
  out["refused_by_class"] = counts(plan.refused_by_class);
  out["size_histogram"] = histogram;
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
  module.def("redacted_url", [](const std::string& url) { return to_text(Url::parse(url).redacted()); }, py::arg("url"));
}

}  // namespace waybill::python
