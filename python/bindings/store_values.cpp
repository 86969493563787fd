// SPDX-License-Identifier: Apache-2.0

#include "store_values.hpp"

#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <map>

namespace waybill::python {
namespace {

/// The classes of waybill.stores and the names of their fields, looked up once.
struct Names {
  py::module_ stores = py::module_::import("waybill.stores");
  std::map<std::string, py::object, std::less<>> classes;
  std::map<std::string, py::str, std::less<>> words;
};

// Leaked, as the interpreter may be gone when the process ends.
Names& names() {
  static Names* const the_names = new Names;  // with the GIL held, which serialises the first call
  return *the_names;
}

template <class... Arguments>
py::object make(const char* name, Arguments&&... arguments) {
  const std::array<py::object, sizeof...(Arguments)> owned = {py::object(std::forward<Arguments>(arguments))...};
  std::array<PyObject*, sizeof...(Arguments)> words{};
  for (size_t i = 0; i < owned.size(); ++i) words[i] = owned[i].ptr();
  PyObject* const result = PyObject_Vectorcall(store_class(name).ptr(), words.data(), words.size(), nullptr);
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

template <class Number>
std::optional<Number> number_or_none(py::handle object, const char* name) {
  const py::object value = field(object, name);
  if (value.is_none()) return std::nullopt;
  try {
    if (!PyLong_Check(value.ptr()) && !PyIndex_Check(value.ptr())) throw py::cast_error();
    return py::cast<Number>(value);
  } catch (const py::cast_error&) {
    throw wrong(name, value, "an integer in range, or None");
  }
}

template <class Number>
Number number(py::handle object, const char* name) {
  const auto value = number_or_none<Number>(object, name);
  if (!value) throw wrong(name, py::none(), "an integer in range");
  return *value;
}

std::string text(py::handle object, const char* name) { return bytes_from(field(object, name), name); }

bool flag(py::handle object, const char* name) {
  const py::object value = field(object, name);
  if (!PyBool_Check(value.ptr())) throw wrong(name, value, "a bool");
  return value.ptr() == Py_True;
}

std::map<std::string, std::string> text_map(py::handle object, const char* name) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : py::dict(field(object, name))) out[bytes_from(key, name)] = bytes_from(value, name);
  return out;
}

py::dict to_text_map(const std::map<std::string, std::string>& words) {
  py::dict out;
  for (const auto& [key, value] : words) out[to_text(key)] = to_text(value);
  return out;
}

py::object crc_of(const Digest& digest) { return to_optional(digest.crc64nvme); }
py::object sha_of(const Digest& digest) {
  if (!digest.sha256) return py::none();
  return py::bytes(reinterpret_cast<const char*>(digest.sha256->data()), digest.sha256->size());
}

Digest digest_from(py::handle object) {
  Digest digest;
  digest.crc64nvme = number_or_none<uint64_t>(object, "crc64nvme");
  const py::object sha256 = field(object, "sha256");
  if (!sha256.is_none()) {
    const std::string bytes = bytes_from(sha256, "sha256");
    digest.sha256.emplace();
    if (bytes.size() != digest.sha256->size()) throw wrong("sha256", sha256, "32 bytes");
    std::memcpy(digest.sha256->data(), bytes.data(), bytes.size());
  }
  return digest;
}

Order order_from(py::handle object) {
  const std::string word = text(object, "order");
  if (word == "byte_key") return Order::byte_key;
  if (word != "none") throw wrong("order", field(object, "order"), "\"none\" or \"byte_key\"");
  return Order::none;
}

const char* to_string(Order order) { return order == Order::byte_key ? "byte_key" : "none"; }

constexpr std::array<const char*, 3> condition_words = {"none", "absent", "unchanged"};

py::object limit_or_none(uint64_t limit, uint64_t none) { return limit == none ? py::object(py::none()) : py::object(py::int_(limit)); }

}  // namespace

Error wrong(const char* what, py::handle object, const char* wanted) {
  const std::string shown = py::cast<std::string>(py::repr(object)).substr(0, 100);
  return Error(ErrorCode::internal, ErrorClass::internal,
               std::string(what) + ": " + printable(shown) + " is not " + wanted);
}

py::object field(py::handle object, const char* name) {
  auto& words = names().words;
  auto found = words.find(std::string_view(name));
  if (found == words.end()) found = words.emplace(name, py::reinterpret_steal<py::str>(PyUnicode_InternFromString(name))).first;
  PyObject* const value = PyObject_GetAttr(object.ptr(), found->second.ptr());
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

py::handle store_class(const char* name) {
  auto& classes = names().classes;
  auto found = classes.find(std::string_view(name));
  if (found == classes.end()) found = classes.emplace(name, names().stores.attr(name)).first;
  return found->second;
}

std::string bytes_from(py::handle object, const char* what) {
  if (PyBytes_Check(object.ptr())) return {PyBytes_AS_STRING(object.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(object.ptr()))};
  if (!PyUnicode_Check(object.ptr())) throw wrong(what, object, "str or bytes");
  Py_ssize_t size = 0;
  if (const char* const utf8 = PyUnicode_AsUTF8AndSize(object.ptr(), &size)) return {utf8, static_cast<size_t>(size)};
  PyErr_Clear();
  const auto encoded = py::reinterpret_steal<py::object>(PyUnicode_AsEncodedString(object.ptr(), "utf-8", "surrogateescape"));
  if (!encoded) throw py::error_already_set();
  return {PyBytes_AS_STRING(encoded.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(encoded.ptr()))};
}

std::optional<uint64_t> size_from(py::handle object, const char* name) { return number_or_none<uint64_t>(object, name); }

py::object to_object(const Item& item) {
  return make("Item", py::bytes(item.id.key), to_optional(item.stamp.size), to_text(item.stamp.etag), to_optional(item.stamp.mtime_ns),
              to_text(item.stamp.version), to_text(item.stamp.opaque), to_text(item.id.partition), to_text(item.partition_name),
              to_text(item.id.version), crc_of(item.digest), sha_of(item.digest), to_optional(item.modified_at_ms),
              item.refused == ErrorClass::none ? py::str("") : py::str(waybill::to_string(item.refused)), to_text(item.reason));
}

Item item_from(py::handle object) {
  if (!py::isinstance(object, store_class("Item"))) throw wrong("item", object, "a waybill.Item");
  Item item;
  item.id = id_from(object);
  item.stamp.size = number_or_none<uint64_t>(object, "size");
  item.stamp.etag = text(object, "etag");
  item.stamp.mtime_ns = number_or_none<int64_t>(object, "mtime_ns");
  item.stamp.version = text(object, "stamp_version");
  item.stamp.opaque = text(object, "opaque");
  item.partition_name = text(object, "partition_name");
  item.digest = digest_from(object);
  item.modified_at_ms = number_or_none<int64_t>(object, "modified_at_ms");
  const std::string refused = text(object, "refused");
  if (!refused.empty()) {
    const auto error_class = error_class_from(refused);
    if (!error_class) throw wrong("refused", field(object, "refused"), "a class of errors");
    item.refused = *error_class;
  }
  item.reason = text(object, "reason");
  return item;
}

py::object to_object(const ItemId& id) { return make("ItemId", to_text(id.partition), py::bytes(id.key), to_text(id.version)); }

ItemId id_from(py::handle object) { return {text(object, "partition"), text(object, "key"), text(object, "version")}; }

py::object to_object(const SourceStamp& stamp) {
  return make("SourceStamp", to_optional(stamp.size), to_text(stamp.etag), to_optional(stamp.mtime_ns), to_text(stamp.version),
              to_text(stamp.opaque));
}

SourceStamp stamp_from(py::handle object) {
  if (!py::isinstance(object, store_class("SourceStamp"))) throw wrong("stamp", object, "a waybill.SourceStamp");
  return {number_or_none<uint64_t>(object, "size"), text(object, "etag"), number_or_none<int64_t>(object, "mtime_ns"),
          text(object, "version"), text(object, "opaque")};
}

py::object to_object(const Attributes& attributes) {
  using namespace py::literals;
  return store_class("Attributes")(
      "content_type"_a = to_text(attributes.content_type), "content_encoding"_a = to_text(attributes.content_encoding),
      "content_language"_a = to_text(attributes.content_language), "content_disposition"_a = to_text(attributes.content_disposition),
      "cache_control"_a = to_text(attributes.cache_control), "expires"_a = to_text(attributes.expires),
      "storage_class"_a = to_text(attributes.storage_class), "website_redirect"_a = to_text(attributes.website_redirect),
      "metadata"_a = to_text_map(attributes.metadata), "tags"_a = to_text_map(attributes.tags),
      "mode"_a = to_optional(attributes.mode), "mtime_ns"_a = to_optional(attributes.mtime_ns));
}

Attributes attributes_from(py::handle object) {
  if (object.is_none()) return {};
  if (!py::isinstance(object, store_class("Attributes"))) throw wrong("attributes", object, "waybill.Attributes");
  Attributes out;
  out.content_type = text(object, "content_type");
  out.content_encoding = text(object, "content_encoding");
  out.content_language = text(object, "content_language");
  out.content_disposition = text(object, "content_disposition");
  out.cache_control = text(object, "cache_control");
  out.expires = text(object, "expires");
  out.storage_class = text(object, "storage_class");
  out.website_redirect = text(object, "website_redirect");
  out.metadata = text_map(object, "metadata");
  out.tags = text_map(object, "tags");
  out.mode = number_or_none<uint32_t>(object, "mode");
  out.mtime_ns = number_or_none<int64_t>(object, "mtime_ns");
  return out;
}

py::object to_object(const WriteOptions& options) {
  const Condition& condition = options.condition;
  return make("WriteOptions", to_object(options.attributes),
              make("Condition", py::str(condition_words.at(static_cast<size_t>(condition.kind))), to_text(condition.etag),
                   to_optional(condition.size), to_optional(condition.mtime_ns)));
}

WriteOptions write_options_from(py::handle object) {
  WriteOptions options;
  options.attributes = attributes_from(field(object, "attributes"));
  const py::object condition = field(object, "condition");
  const std::string kind = text(condition, "kind");
  bool is_known = false;
  for (size_t i = 0; i < condition_words.size(); ++i) {
    if (kind != condition_words[i]) continue;
    options.condition.kind = static_cast<Condition::Kind>(i);
    is_known = true;
  }
  if (!is_known) throw wrong("kind", field(condition, "kind"), "one of none, absent, unchanged");
  options.condition.etag = text(condition, "etag");
  options.condition.size = number_or_none<uint64_t>(condition, "size");
  options.condition.mtime_ns = number_or_none<int64_t>(condition, "mtime_ns");
  return options;
}

py::object to_object(const Stored& stored) {
  return make("Stored", py::int_(stored.size), to_text(stored.etag), to_optional(stored.mtime_ns), to_text(stored.version),
              crc_of(stored.digest), sha_of(stored.digest));
}

Stored stored_from(py::handle object) {
  if (!py::isinstance(object, store_class("Stored"))) throw wrong("what a write returned", object, "a waybill.Stored");
  Stored stored;
  stored.size = number<uint64_t>(object, "size");
  stored.etag = text(object, "etag");
  stored.mtime_ns = number_or_none<int64_t>(object, "mtime_ns");
  stored.version = text(object, "version");
  stored.digest = digest_from(object);
  return stored;
}

py::object to_object(const PartPlan& plan) {
  return make("PartPlan", to_optional(plan.size), py::int_(plan.part_size), to_text(plan.upload_id));
}

PartPlan part_plan_from(py::handle object) {
  return {number_or_none<uint64_t>(object, "size"), number<uint64_t>(object, "part_size"), text(object, "upload_id")};
}

py::object to_object(const PartInfo& part) {
  return make("PartInfo", py::int_(part.number), py::int_(part.size), to_text(part.etag), crc_of(part.digest), sha_of(part.digest));
}

PartInfo part_info_from(py::handle object) {
  if (!py::isinstance(object, store_class("PartInfo"))) throw wrong("part", object, "a waybill.PartInfo");
  return {number<uint32_t>(object, "number"), number<uint64_t>(object, "size"), text(object, "etag"), digest_from(object)};
}

std::vector<PartInfo> part_infos_from(py::handle sequence) {
  std::vector<PartInfo> parts;
  for (const py::handle& part : sequence) parts.push_back(part_info_from(part));
  return parts;
}

py::object to_object(const OpenUpload& upload) { return make("OpenUpload", py::bytes(upload.key), to_text(upload.id)); }

OpenUpload open_upload_from(py::handle object) { return {text(object, "key"), text(object, "id")}; }

py::object to_object(const ListRequest& request) { return make("ListRequest", py::bytes(request.after), py::bytes(request.before)); }

py::object make_read_result(py::object data, const ReadResult& result) {
  return make("ReadResult", std::move(data), to_optional(result.total_size), to_object(result.stamp), to_object(result.attributes));
}

Source::Capabilities source_capabilities_from(py::handle object) {
  if (!py::isinstance(object, store_class("SourceCapabilities"))) throw wrong("capabilities()", object, "waybill.SourceCapabilities");
  Source::Capabilities out;
  out.positioned = flag(object, "positioned");
  out.order = order_from(object);
  out.start_after = flag(object, "start_after");
  out.lists_stamps = flag(object, "lists_stamps");
  out.versions = flag(object, "versions");
  out.links = flag(object, "links");
  return out;
}

Destination::Capabilities destination_capabilities_from(py::handle object) {
  if (!py::isinstance(object, store_class("DestinationCapabilities"))) {
    throw wrong("capabilities()", object, "waybill.DestinationCapabilities");
  }
  Destination::Capabilities out;
  out.order = order_from(object);
  out.start_after = flag(object, "start_after");
  out.conditional = flag(object, "conditional");
  out.parts = flag(object, "parts");
  out.lists_parts = flag(object, "lists_parts");
  out.listing_has_etag = flag(object, "listing_has_etag");
  out.listing_has_mtime = flag(object, "listing_has_mtime");
  out.min_part_bytes = number<uint64_t>(object, "min_part_bytes");
  out.max_part_bytes = number_or_none<uint64_t>(object, "max_part_bytes").value_or(UINT64_MAX);
  out.max_parts = number_or_none<uint32_t>(object, "max_parts").value_or(UINT32_MAX);
  out.max_put_bytes = number_or_none<uint64_t>(object, "max_put_bytes").value_or(UINT64_MAX);
  out.max_object_bytes = number_or_none<uint64_t>(object, "max_object_bytes").value_or(UINT64_MAX);
  out.needs_flush = flag(object, "needs_flush");
  return out;
}

py::dict to_dict(const Source::Capabilities& capabilities) {
  py::dict out;
  out["positioned"] = capabilities.positioned;
  out["order"] = to_string(capabilities.order);
  out["start_after"] = capabilities.start_after;
  out["lists_stamps"] = capabilities.lists_stamps;
  out["versions"] = capabilities.versions;
  out["links"] = capabilities.links;
  return out;
}

py::dict to_dict(const Destination::Capabilities& capabilities) {
  py::dict out;
  out["order"] = to_string(capabilities.order);
  out["start_after"] = capabilities.start_after;
  out["conditional"] = capabilities.conditional;
  out["parts"] = capabilities.parts;
  out["lists_parts"] = capabilities.lists_parts;
  out["listing_has_etag"] = capabilities.listing_has_etag;
  out["listing_has_mtime"] = capabilities.listing_has_mtime;
  out["min_part_bytes"] = capabilities.min_part_bytes;
  out["max_part_bytes"] = limit_or_none(capabilities.max_part_bytes, UINT64_MAX);
  out["max_parts"] = limit_or_none(capabilities.max_parts, UINT32_MAX);
  out["max_put_bytes"] = limit_or_none(capabilities.max_put_bytes, UINT64_MAX);
  out["max_object_bytes"] = limit_or_none(capabilities.max_object_bytes, UINT64_MAX);
  out["needs_flush"] = capabilities.needs_flush;
  return out;
}

Removal removal_from(py::handle object) {
  const std::string word = bytes_from(object, "what remove returned");
  for (const Removal removal : {Removal::gone, Removal::removed, Removal::hidden}) {
    if (word == waybill::to_string(removal)) return removal;
  }
  throw wrong("what remove returned", object, "one of gone, removed, hidden");
}

}  // namespace waybill::python
