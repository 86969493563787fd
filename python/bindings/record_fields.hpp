// SPDX-License-Identifier: Apache-2.0
//
// The fields of the ledger's records, each record once: from this list it becomes a dictionary (RecordWriter<false>) or an
// object of its class in python/waybill (RecordWriter<true>), and is read back from such an object (RecordReader). A field
// that one side lacks fails there at once. Everything here needs the GIL.
#pragma once

#include <concepts>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "store_values.hpp"

namespace waybill::python {

/// The class of that name of waybill.records, waybill.ledger_records or waybill.catalogs.
py::handle record_class(const char* name);

template <class Given, class Record>
concept Is = std::same_as<std::remove_const_t<Given>, Record>;

template <class Record>
inline constexpr const char* class_name = nullptr;
template <>
inline constexpr const char* class_name<MigrationInfo> = "MigrationInfo";
template <>
inline constexpr const char* class_name<ItemRecord> = "ItemRecord";
template <>
inline constexpr const char* class_name<Failure> = "FailureRecord";
template <>
inline constexpr const char* class_name<Waiver> = "Waiver";
template <>
inline constexpr const char* class_name<ItemChange> = "ItemChange";
template <>
inline constexpr const char* class_name<ListingRecord> = "ListingRecord";
template <>
inline constexpr const char* class_name<UploadRecord> = "UploadRecord";
template <>
inline constexpr const char* class_name<UploadChange> = "UploadChange";
template <>
inline constexpr const char* class_name<Finding> = "Finding";
template <>
inline constexpr const char* class_name<Event> = "Event";
template <>
inline constexpr const char* class_name<RunRecord> = "RunRecord";
template <>
inline constexpr const char* class_name<RunSummary> = "RunSummary";
template <>
inline constexpr const char* class_name<PartitionSummary> = "PartitionSummary";
template <>
inline constexpr const char* class_name<RateSample> = "RateSample";
template <>
inline constexpr const char* class_name<ItemAccounts> = "ItemAccounts";
template <>
inline constexpr const char* class_name<InFlight> = "InFlight";
template <>
inline constexpr const char* class_name<LiveState> = "LiveState";
template <>
inline constexpr const char* class_name<Owner> = "Owner";
template <>
inline constexpr const char* class_name<Snapshot> = "Snapshot";
template <>
inline constexpr const char* class_name<Claimed> = "Claimed";
template <>
inline constexpr const char* class_name<Query> = "Query";
template <>
inline constexpr const char* class_name<ScanRow> = "ScanRow";
template <>
inline constexpr const char* class_name<ScanPage> = "ScanPage";
template <>
inline constexpr const char* class_name<Request> = "Request";
template <>
inline constexpr const char* class_name<LeaseOptions> = "LeaseOptions";
template <>
inline constexpr const char* class_name<ReferenceId> = "ReferenceId";
template <>
inline constexpr const char* class_name<ReferenceRecord> = "ReferenceRecord";
template <>
inline constexpr const char* class_name<ReferenceChange> = "ReferenceChange";
template <>
inline constexpr const char* class_name<JournalRecord> = "JournalRecord";
template <>
inline constexpr const char* class_name<CutoverPlanRecord> = "CutoverPlanRecord";
template <>
inline constexpr const char* class_name<ReferenceQuery> = "ReferenceQuery";
template <>
inline constexpr const char* class_name<ReferenceRecordPage> = "ReferenceRecordPage";
template <>
inline constexpr const char* class_name<ReferenceAccounts> = "ReferenceAccounts";

template <class Record>
concept Described = class_name<std::remove_const_t<Record>> != nullptr;

/// The words of an enumeration, by number.
template <class Enum>
struct Words;
template <class Enum, int count>
struct OwnWords {
  static constexpr int n = count;
  static const char* at(Enum value) { return waybill::to_string(value); }
};
template <>
struct Words<ItemState> : OwnWords<ItemState, 6> {};
template <>
struct Words<Basis> : OwnWords<Basis, 4> {};
template <>
struct Words<ErrorClass> : OwnWords<ErrorClass, static_cast<int>(ErrorClass::internal) + 1> {};
template <>
struct Words<ErrorCode> : OwnWords<ErrorCode, static_cast<int>(ErrorCode::unauthenticated) + 1> {};
template <>
struct Words<Phase> : OwnWords<Phase, 5> {};
template <>
struct Words<RunState> : OwnWords<RunState, 9> {};
template <>
struct Words<FindingKind> : OwnWords<FindingKind, 7> {};
template <>
struct Words<EventKind> : OwnWords<EventKind, 7> {};
template <>
struct Words<LogLevel> : OwnWords<LogLevel, 4> {};
template <>
struct Words<ReferenceState> : OwnWords<ReferenceState, 9> {};
template <>
struct Words<JournalState> : OwnWords<JournalState, 5> {};
template <>
struct Words<Verb> : OwnWords<Verb, 2> {};
template <>
struct Words<Change> {
  static constexpr int n = 3;
  static const char* at(Change value) {
    return value == Change::created ? "created" : value == Change::updated ? "updated" : "unchanged";
  }
};
template <>
struct Words<DestinationSeen> {
  static constexpr int n = 4;
  static const char* at(DestinationSeen value) {
    return value == DestinationSeen::unknown ? "unknown"
           : value == DestinationSeen::absent ? "absent"
           : value == DestinationSeen::ours   ? "ours"
                                              : "present";
  }
};

template <class Fields, Is<MigrationInfo> R>
void describe(Fields& f, R& r) {
  f("id", r.id);
  f("name", r.name);
  f("fingerprint", r.fingerprint);
  f("source", r.source);
  f("destination", r.destination);
  f("source_url", r.source_url);
  f("destination_url", r.destination_url);
  f("created_at_ms", r.created_at_ms);
}

template <class Fields, Is<ItemRecord> R>
void describe(Fields& f, R& r) {
  f.id(r.id);
  f("size", r.stamp.size);
  f("etag", r.stamp.etag);
  f("mtime_ns", r.stamp.mtime_ns);
  f("stamp_version", r.stamp.version);
  f("opaque", r.stamp.opaque);
  f("state", r.state);
  f("basis", r.basis);
  f("change", r.change);
  f("seen", r.seen);
  f("gone_at_source", r.gone_at_source);
  f("waived", r.waived);
  f("left", r.left);
  f("error_class", r.error_class);
  f("revision", r.revision);
  f("run", r.run);
  f("crc64nvme", r.digest.crc64nvme);
  f("sha256", r.digest.sha256);
  f.stored(r.stored);
  f("copied_at_ms", r.copied_at_ms);
  f("verified_at_ms", r.verified_at_ms);
  f.bytes("destination_key", r.destination_key);
}

/// Of ItemRecord::stored, where there is one.
template <class Fields, Is<Stored> R>
void describe(Fields& f, R& r) {
  f("stored_size", r.size);
  f("stored_etag", r.etag);
  f("stored_mtime_ns", r.mtime_ns);
  f("stored_version", r.version);
  f("stored_crc64nvme", r.digest.crc64nvme);
  f("stored_sha256", r.digest.sha256);
}

template <class Fields, Is<Failure> R>
void describe(Fields& f, R& r) {
  f("error_class", r.error_class);
  f("code", r.code);
  f("message", r.message);
  f("retryable", r.retryable);
  f("http_status", r.http_status);
  f("provider_code", r.provider_code);
  f("request_id", r.request_id);
  f("endpoint", r.endpoint);
  f("attempts", r.attempts);
  f("at_ms", r.at_ms);
}

template <class Fields, Is<Waiver> R>
void describe(Fields& f, R& r) {
  f("who", r.who);
  f("why", r.why);
  f("at_ms", r.at_ms);
}

template <class Fields, Is<ItemChange> R>
void describe(Fields& f, R& r) {
  f("record", r.record);
  f("attempts", r.attempts);
  f("attempts_failed", r.attempts_failed);
  f("failure", r.failure);
  f("waiver", r.waiver);
  f("result", r.result);
}

template <class Fields, Is<ListingRecord> R>
void describe(Fields& f, R& r) {
  f.bytes("scope", r.scope);
  f.bytes("resume", r.resume);
  f("partition", r.partition);
  f.bytes("last_key", r.last_key);
  f("is_listed", r.is_listed);
}

template <class Fields, Is<UploadRecord> R>
void describe(Fields& f, R& r) {
  f("id", r.id);
  f("upload_id", r.upload_id);
  f("part_size", r.part_size);
  f("stamp", r.stamp);
  f("parts", r.parts);
}

template <class Fields, Is<UploadChange> R>
void describe(Fields& f, R& r) {
  f("id", r.id);
  f("begin", r.begin);
  f("parts", r.parts);
  f("ended", r.ended);
}

template <class Fields, Is<Finding> R>
void describe(Fields& f, R& r) {
  f("run", r.run);
  f("kind", r.kind);
  f.id(r.id);
  f("detail", r.detail);
}

template <class Fields, Is<Event> R>
void describe(Fields& f, R& r) {
  f("seq", r.seq);
  f("at_ms", r.at_ms);
  f("run", r.run);
  f("kind", r.kind);
  f("level", r.level);
  f("text", r.text);
  f("data", r.data);
}

template <class Fields, Is<ReferenceId> R>
void describe(Fields& f, R& r) {
  f("catalog", r.catalog);
  f("record", r.record);
  f("field", r.field);
}

template <class Fields, Is<ReferenceRecord> R>
void describe(Fields& f, R& r) {
  describe(f, r.id);
  f("partition", r.partition);
  f("partition_name", r.partition_name);
  f("item_partition", r.item.partition);
  f.bytes("item_key", r.item.key);
  f("item_version", r.item.version);
  f("value", r.value);
  f("stamp", r.stamp);
  f("state", r.state);
  f("intended", r.intended);
  f("error_class", r.error_class);
  f("reason", r.reason);
  f("generation", r.generation);
  f("seen", r.seen);
  f("run", r.run);
}

template <class Fields, Is<ReferenceChange> R>
void describe(Fields& f, R& r) {
  f("record", r.record);
  f("is_settled", r.is_settled);
  f("attempts", r.attempts);
  f("attempts_failed", r.attempts_failed);
}

template <class Fields, Is<JournalRecord> R>
void describe(Fields& f, R& r) {
  describe(f, r.id);
  f("generation", r.generation);
  f("run", r.run);
  f("partition", r.partition);
  f("old", r.old);
  f("intended", r.intended);
  f("observed", r.observed);
  f("state", r.state);
  f("at_ms", r.at_ms);
}

template <class Fields, Is<CutoverPlanRecord> R>
void describe(Fields& f, R& r) {
  f("hash", r.hash);
  f("pass_", r.pass);  // the other name is a keyword of Python's
  f("at_ms", r.at_ms);
  f("references", r.references);
  f("is_ready", r.is_ready);
  f("gates", r.gates);
  f("options", r.options);
}

template <class Fields, Is<ReferenceQuery> R>
void describe(Fields& f, R& r) {
  f("states", r.states);
  f("partition", r.partition);
  f("not_seen_since", r.not_seen_since);
  f("run", r.run);
}

template <class Fields, Is<ReferenceRecordPage> R>
void describe(Fields& f, R& r) {
  f("references", r.references);
  f.bytes("resume", r.resume);
  f("is_last", r.is_last);
}

template <class Fields, Is<ReferenceAccounts> R>
void describe(Fields& f, R& r) {
  f("total", r.total);
  f("original", r.original);
  f("pending", r.pending);
  f("intended", r.intended);
  f("updated", r.updated);
  f("restored", r.restored);
  f("conflict", r.conflict);
  f("failed", r.failed);
  f("vanished", r.vanished);
  f("excluded", r.excluded);
}

template <class Fields, Is<RunRecord> R>
void describe(Fields& f, R& r) {
  f("run", r.run);
  f("phase", r.phase);
  f("state", r.state);
  f("reason", r.reason);
  f("started_at_ms", r.started_at_ms);
  f("ended_at_ms", r.ended_at_ms);
  f("active_seconds", r.active_seconds);
  f("listing_complete", r.listing_complete);
  f("expected_items", r.expected_items);
  f("references", r.references);
  f("options", r.options);
  f("engine_version", r.engine_version);
  f("host", r.host);
  f("pid", r.pid);
}

template <class Fields, Is<RunSummary> R>
void describe(Fields& f, R& r) {
  f("record", r.record);
  f("items", r.items);
  f("bytes_total", r.bytes_total);
  f("bytes_done", r.bytes_done);
  f("attempts_total", r.attempts_total);
  f("attempts_failed", r.attempts_failed);
  f("failed_by_class", r.failed_by_class);
  f("findings", r.findings);
  f("references", r.references);
}

template <class Fields, Is<PartitionSummary> R>
void describe(Fields& f, R& r) {
  f("name", r.name);
  f("items", r.items);
  f("migration_items", r.migration_items);
  f("bytes_total", r.bytes_total);
  f("bytes_done", r.bytes_done);
  f("references", r.references);
}

template <class Fields, Is<RateSample> R>
void describe(Fields& f, R& r) {
  f("run", r.run);
  f("at_ms", r.at_ms);
  f("seconds", r.seconds);
  f("items", r.items);
  f("bytes", r.bytes);
  f("attempts_failed", r.attempts_failed);
  f("concurrency", r.concurrency);
}

template <class Fields, Is<ItemAccounts> R>
void describe(Fields& f, R& r) {
  f("discovered", r.discovered);
  f("excluded", r.excluded);
  f("eligible", r.eligible);
  f("pending", r.pending);
  f("in_progress", r.in_progress);
  f("done", r.done);
  f("created", r.created);
  f("updated", r.updated);
  f("unchanged", r.unchanged);
  f("verified", r.verified);
  f("failed", r.failed);
  f("waived", r.waived);
  f("vanished", r.vanished);
  f("outstanding", r.outstanding);
  f("settled", r.settled);
}

template <class Fields, Is<InFlight> R>
void describe(Fields& f, R& r) {
  f("partition", r.partition);
  f.bytes("key", r.key);
  f("bytes_done", r.bytes_done);
  f("bytes_total", r.bytes_total);
  f("attempt", r.attempt);
  f("started_at_ms", r.started_at_ms);
}

template <class Fields, Is<LiveState> R>
void describe(Fields& f, R& r) {
  f("in_progress", r.in_progress);
  f("in_flight", r.in_flight);
  f("concurrency", r.concurrency);
  f("items_per_second", r.items_per_second);
  f("bytes_per_second", r.bytes_per_second);
  f("eta_low_seconds", r.eta_low_seconds);
  f("eta_high_seconds", r.eta_high_seconds);
  f("stalled_since_ms", r.stalled_since_ms);
  f("reason", r.reason);
}

template <class Fields, Is<Owner> R>
void describe(Fields& f, R& r) {
  f("host", r.host);
  f("boot_id", r.boot_id);
  f("pid", r.pid);
  f("process_start", r.process_start);
  f("epoch", r.epoch);
}

template <class Fields, Is<Snapshot> R>
void describe(Fields& f, R& r) {
  f("migration", r.migration);
  f("name", r.name);
  f("source", r.source);
  f("destination", r.destination);
  f("run", r.run);
  f("phase", r.phase);
  f("state", r.state);
  f("reason", r.reason);
  f("started_at_ms", r.started_at_ms);
  f("ended_at_ms", r.ended_at_ms);
  f("active_seconds", r.active_seconds);
  f("heartbeat_at_ms", r.heartbeat_at_ms);
  f("owner", r.owner);
  f("items", r.items);
  f("references", r.references);
  f("run_references", r.run_references);
  f("migration_items", r.migration_items);
  f("findings", r.findings);
  f("failed_by_class", r.failed_by_class);
  f("bytes_total", r.bytes_total);
  f("bytes_done", r.bytes_done);
  f("attempts_total", r.attempts_total);
  f("attempts_failed", r.attempts_failed);
  f("listing_complete", r.listing_complete);
  f("expected_items", r.expected_items);
  f("live", r.live);
  f("last_event_at_ms", r.last_event_at_ms);
  f("seq", r.seq);
}

template <class Fields, Is<Claimed> R>
void describe(Fields& f, R& r) {
  f("record", r.record);
  f("maybe_in_flight", r.maybe_in_flight);
}

template <class Fields, Is<Query> R>
void describe(Fields& f, R& r) {
  f("states", r.states);
  f("error_class", r.error_class);
  f("partition", r.partition);
  f.bytes("prefix", r.prefix);
  f("not_seen_since", r.not_seen_since);
  f("has_result", r.has_result);
}

template <class Fields, Is<ScanRow> R>
void describe(Fields& f, R& r) {
  f("record", r.record);
  f("failure", r.failure);
  f("waiver", r.waiver);
  f("result", r.result);
}

template <class Fields, Is<ScanPage> R>
void describe(Fields& f, R& r) {
  f("rows", r.rows);
  f.bytes("resume", r.resume);
  f("is_last", r.is_last);
}

template <class Fields, Is<Request> R>
void describe(Fields& f, R& r) {
  f("id", r.id);
  f("verb", r.verb);
  f("who", r.who);
  f("at_ms", r.at_ms);
}

template <class Fields, Is<LeaseOptions> R>
void describe(Fields& f, R& r) {
  f.milliseconds("lease_ms", r.lease);
  f("take_over", r.take_over);
}

/// Makes Python of a record: a dictionary with lists and dictionaries in it, or with objects and tuples, for make().
template <bool as_objects>
class RecordWriter {
 public:
  template <Described Record>
  static py::dict dict_of(const Record& record) {
    RecordWriter writer;
    describe(writer, record);
    return std::move(writer.out_);
  }
  template <class Value>
  static py::object make(const Value& value) {
    return RecordWriter::to_python(value);
  }

  template <class Value>
  void operator()(const char* name, const Value& value) {
    out_[name] = to_python(value);
  }
  void bytes(const char* name, const std::string& value) { out_[name] = py::bytes(value); }
  void milliseconds(const char* name, std::chrono::milliseconds value) { out_[name] = value.count(); }
  void id(const ItemId& id) {
    (*this)("partition", id.partition);
    bytes("key", id.key);
    (*this)("version", id.version);
  }
  void stored(const std::optional<Stored>& stored) {
    const Stored none;
    describe(*this, stored ? *stored : none);
    if (!stored) out_["stored_size"] = py::none();
  }

 private:
  static py::object to_python(const std::string& value) { return to_text(value); }
  static py::object to_python(const Sha256& digest) {
    return py::bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  static py::object to_python(const ItemId& id) { return to_object(id); }
  static py::object to_python(const SourceStamp& stamp) { return to_object(stamp); }
  static py::object to_python(const PartInfo& part) { return to_object(part); }
  static py::object to_python(const std::map<std::string, int64_t>& counts) {
    py::dict out;
    for (const auto& [word, count] : counts) out[to_text(word)] = count;
    return out;
  }
  static py::object to_python(const std::map<std::string, std::string>& words) {
    py::dict out;
    for (const auto& [name, word] : words) out[to_text(name)] = to_text(word);
    return out;
  }
  template <class Value>
    requires std::is_arithmetic_v<Value>
  static py::object to_python(const Value& value) {
    return py::cast(value);
  }
  template <class Enum>
    requires std::is_enum_v<Enum>
  static py::object to_python(const Enum& value) {
    return py::str(Words<Enum>::at(value));
  }
  template <class Value>
  static py::object to_python(const std::optional<Value>& value) {
    return value ? to_python(*value) : py::object(py::none());
  }
  template <class Value>
  static py::object to_python(const std::vector<Value>& values) {
    py::list out(values.size());
    for (size_t i = 0; i < values.size(); ++i) out[i] = to_python(values[i]);
    if (!as_objects) return out;
    return py::tuple(out);
  }
  template <Described Record>
  static py::object to_python(const Record& record) {
    py::dict fields = dict_of(record);
    if (!as_objects) return fields;
    const py::tuple nothing;
    PyObject* const made = PyObject_Call(record_class(class_name<Record>).ptr(), nothing.ptr(), fields.ptr());
    if (made == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(made);
  }

  py::dict out_;
};

/// Reads a record from an object of its class. Errors: internal, naming the field.
class RecordReader {
 public:
  template <class Value>
  static Value read(py::handle object, const char* name) {
    Value value{};
    from_python(object, value, name);
    return value;
  }

  template <class Value>
  void operator()(const char* name, Value& value) {
    from_python(field(object_, name), value, name);
  }
  void bytes(const char* name, std::string& value) { (*this)(name, value); }
  void milliseconds(const char* name, std::chrono::milliseconds& value) {
    int64_t count = 0;
    (*this)(name, count);
    value = std::chrono::milliseconds(count);
  }
  void id(ItemId& id) { id = id_from(object_); }
  void stored(std::optional<Stored>& stored) {
    stored.reset();
    if (!field(object_, "stored_size").is_none()) describe(*this, stored.emplace());
  }

 private:
  explicit RecordReader(py::handle object) : object_(object) {}

  static void from_python(py::handle object, std::string& value, const char* name) { value = bytes_from(object, name); }
  static void from_python(py::handle object, Sha256& value, const char* name) {
    const std::string bytes = bytes_from(object, name);
    if (bytes.size() != value.size()) throw wrong(name, object, "32 bytes");
    for (size_t i = 0; i < bytes.size(); ++i) value[i] = static_cast<std::byte>(bytes[i]);
  }
  static void from_python(py::handle object, ItemId& value, const char*) { value = id_from(object); }
  static void from_python(py::handle object, SourceStamp& value, const char*) { value = stamp_from(object); }
  static void from_python(py::handle object, PartInfo& value, const char*) { value = part_info_from(object); }
  static void from_python(py::handle object, std::map<std::string, int64_t>& value, const char* name) {
    if (PyMapping_Check(object.ptr()) == 0) throw wrong(name, object, "a mapping");
    for (const auto& [key, count] : py::dict(py::reinterpret_borrow<py::object>(object))) {
      from_python(count, value[bytes_from(key, name)], name);
    }
  }
  static void from_python(py::handle object, std::map<std::string, std::string>& value, const char* name) {
    if (PyMapping_Check(object.ptr()) == 0) throw wrong(name, object, "a mapping");
    for (const auto& [key, word] : py::dict(py::reinterpret_borrow<py::object>(object))) {
      value[bytes_from(key, name)] = bytes_from(word, name);
    }
  }
  static void from_python(py::handle object, bool& value, const char* name) {
    if (!PyBool_Check(object.ptr())) throw wrong(name, object, "a bool");
    value = object.ptr() == Py_True;
  }
  template <std::integral Number>
  static void from_python(py::handle object, Number& value, const char* name) {
    try {
      if (PyIndex_Check(object.ptr()) == 0) throw py::cast_error();
      value = py::cast<Number>(object);
    } catch (const py::cast_error&) {
      throw wrong(name, object, "an integer in range");
    }
  }
  static void from_python(py::handle object, double& value, const char* name) {
    try {
      value = py::cast<double>(object);
    } catch (const py::cast_error&) {
      throw wrong(name, object, "a number");
    }
  }
  template <class Enum>
    requires std::is_enum_v<Enum>
  static void from_python(py::handle object, Enum& value, const char* name) {
    const std::string word = bytes_from(object, name);
    for (int i = 0; i < Words<Enum>::n; ++i) {
      value = static_cast<Enum>(i);
      if (word == Words<Enum>::at(value)) return;
    }
    throw wrong(name, object, "one of its words");
  }
  template <class Value>
  static void from_python(py::handle object, std::optional<Value>& value, const char* name) {
    value.reset();
    if (!object.is_none()) from_python(object, value.emplace(), name);
  }
  template <class Value>
  static void from_python(py::handle object, std::vector<Value>& values, const char* name) {
    PyObject* const iterator = PyUnicode_Check(object.ptr()) != 0 ? nullptr : PyObject_GetIter(object.ptr());
    if (iterator == nullptr) {
      PyErr_Clear();
      throw wrong(name, object, "a sequence");
    }
    const auto owned = py::reinterpret_steal<py::object>(iterator);
    while (PyObject* const next = PyIter_Next(iterator)) {
      from_python(py::reinterpret_steal<py::object>(next), values.emplace_back(), name);
    }
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  }
  template <Described Record>
  static void from_python(py::handle object, Record& value, const char* name) {
    if (!py::isinstance(object, record_class(class_name<Record>))) {
      throw wrong(name, object, (std::string("a waybill.") + class_name<Record>).c_str());
    }
    RecordReader reader(object);
    describe(reader, value);
  }

  const py::handle object_;
};

/// An object of the record's class, or a tuple of them.
template <class Value>
py::object make_record(const Value& value) {
  return RecordWriter<true>::make(value);
}

/// What `object`, called `name` in errors, is as a record, or as several.
template <class Value>
Value record_from(py::handle object, const char* name) {
  return RecordReader::read<Value>(object, name);
}

}  // namespace waybill::python
