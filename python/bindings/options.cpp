// SPDX-License-Identifier: Apache-2.0
//
// Options from and to dictionaries. visit_fields() is the only list of fields here; a test compares it with the
// dataclass waybill.Options, names, order and defaults.
#include <pybind11/stl.h>

#include <array>
#include <string>
#include <type_traits>
#include <vector>

#include "bindings.hpp"

namespace waybill::python {
namespace {

constexpr std::array<const char*, 3> overwrite_words = {"own", "never", "always"};
constexpr std::array<const char*, 2> digest_words = {"crc64nvme", "sha256"};
constexpr std::array<const char*, 3> level_words = {"listing", "checksum", "content"};

template <size_t count>
int number_of(const std::array<const char*, count>& words, std::string_view name, std::string_view word) {
  std::string known;
  for (size_t i = 0; i < count; ++i) {
    if (word == words[i]) return static_cast<int>(i);
    known += (i == 0 ? "" : ", ") + std::string(words[i]);
  }
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              std::string(name) + ": \"" + printable(word) + "\" is not one of " + known);
}

template <class Target, class Visitor>
  requires std::is_same_v<std::remove_const_t<Target>, Options>
void visit_fields(Target& options, Visitor&& visit) {
  visit("concurrency", options.concurrency);
  visit("max_concurrency", options.max_concurrency);
  visit("body_budget_bytes", options.body_budget_bytes);
  visit("part_size_bytes", options.part_size_bytes);
  visit("part_threshold_bytes", options.part_threshold_bytes);
  visit("max_attempts", options.max_attempts);
  visit("retry_base_ms", options.retry_base_ms);
  visit("retry_cap_ms", options.retry_cap_ms);
  visit("overwrite", options.overwrite);
  visit("digest", options.digest);
  visit("server_side_copy", options.server_side_copy);
  visit("include", options.include);
  visit("exclude", options.exclude);
  visit("max_size_bytes", options.max_size_bytes);
  visit("min_size_bytes", options.min_size_bytes);
  visit("modified_since_ms", options.modified_since_ms);
  visit("modified_before_ms", options.modified_before_ms);
  visit("extensions", options.extensions);
  visit("partitions", options.partitions);
  visit("limit", options.limit);
  visit("keys", options.keys);
  visit("failed_only", options.failed_only);
  visit("error_classes", options.error_classes);
  visit("findings_of", options.findings_of);
  visit("force", options.force);
  visit("sample_part", options.sample_part);
  visit("sample_of", options.sample_of);
  visit("commit_interval_ms", options.commit_interval_ms);
  visit("lease_ms", options.lease_ms);
  visit("heartbeat_ms", options.heartbeat_ms);
  visit("take_over", options.take_over);
  visit("resume_paused", options.resume_paused);
  visit("tracker_patience_ms", options.tracker_patience_ms);
  visit("drain_ms", options.drain_ms);
}

template <class Target, class Visitor>
  requires std::is_same_v<std::remove_const_t<Target>, CutoverOptions>
void visit_fields(Target& options, Visitor&& visit) {
  visit("url_template", options.url_template);
  visit("partitions", options.partitions);
  visit("records", options.records);
  visit("canary", options.canary);
  visit("max_verified_age_ms", options.max_verified_age_ms);
  visit("max_plan_age_ms", options.max_plan_age_ms);
  visit("probes", options.probes);
  visit("probe_as", options.probe_as);
  visit("accept_window", options.accept_window);
}

template <class Target, class Visitor>
  requires std::is_same_v<std::remove_const_t<Target>, RollbackOptions>
void visit_fields(Target& options, Visitor&& visit) {
  visit("partitions", options.partitions);
  visit("run", options.run);
  visit("records", options.records);
  visit("accept_window", options.accept_window);
}

py::object to_object(Overwrite value) { return py::str(overwrite_words.at(static_cast<size_t>(value))); }
py::object to_object(DigestChoice value) { return py::str(digest_words.at(static_cast<size_t>(value))); }
py::object to_object(const std::vector<std::string>& words) {
  py::list out;
  for (const std::string& word : words) out.append(to_text(word));
  return py::tuple(out);
}
py::object to_object(const std::string& text) { return to_text(text); }
py::object to_object(const std::optional<int64_t>& value) { return to_optional(value); }
py::object to_object(bool value) { return py::bool_(value); }
template <class Number>
  requires std::is_integral_v<Number>
py::object to_object(Number value) {
  return py::int_(value);
}

void set(Overwrite& field, const char* name, const py::handle& value) {
  field = static_cast<Overwrite>(number_of(overwrite_words, name, py::cast<std::string>(value)));
}
void set(DigestChoice& field, const char* name, const py::handle& value) {
  field = static_cast<DigestChoice>(number_of(digest_words, name, py::cast<std::string>(value)));
}
template <class Value>
void set(Value& field, const char*, const py::handle& value) {
  field = py::cast<Value>(value);
}

// Why a value could not be set. The dataclass has looked at types before; a number is left that the field cannot hold.
const char* why_not(const py::handle& value) {
  if (PyIndex_Check(value.ptr()) == 0) return " is of the wrong type";
  const bool is_negative = PyObject_RichCompareBool(value.ptr(), py::int_(0).ptr(), Py_LT) == 1;
  return is_negative ? " is out of range: it is negative" : " is out of range: it is too large";
}

template <class Target>
py::dict dict_of(const Target& options) {
  py::dict out;
  visit_fields(options, [&](const char* name, const auto& field) { out[name] = to_object(field); });
  return out;
}

template <class Target>
Target from_fields(const py::dict& fields) {
  Target options;
  size_t known = 0;
  visit_fields(options, [&](const char* name, auto& field) {
    if (!fields.contains(name)) return;
    ++known;
    const py::object value = fields[name];
    try {
      set(field, name, value);
    } catch (const py::cast_error&) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  std::string(name) + ": " + printable(py::cast<std::string>(py::repr(value))) + why_not(value));
    }
  });
  if (known != fields.size()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration, "there are options with unknown names");
  }
  return options;
}

}  // namespace

py::dict to_dict(const Options& options) { return dict_of(options); }
Options options_from(const py::dict& fields) { return from_fields<Options>(fields); }
CutoverOptions cutover_options_from(const py::dict& fields) { return from_fields<CutoverOptions>(fields); }
RollbackOptions rollback_options_from(const py::dict& fields) { return from_fields<RollbackOptions>(fields); }

VerifyLevel verify_level_from(std::string_view word) {
  return static_cast<VerifyLevel>(number_of(level_words, "level", word));
}

void add_options(py::module_& module) {
  module.def("default_options", [] { return to_dict(Options{}); });
  module.def("default_cutover_options", [] { return dict_of(CutoverOptions{}); });
  module.def("default_rollback_options", [] { return dict_of(RollbackOptions{}); });
  module.def("validate_options", [](const py::dict& fields) { validate(options_from(fields)); }, py::arg("fields"));
}

}  // namespace waybill::python
