// SPDX-License-Identifier: Apache-2.0
//
// What the files of the extension module `waybill._core` share. It stands on include/waybill alone. Three rules hold
// everywhere: the GIL is released around whatever can block; no thread of the engine ever calls Python (Python pulls;
// stores in Python are called by threads of their own, calls.hpp); records cross as dictionaries of plain values, and the
// classes that users see are Python's (python/waybill/records.py, stores.py).
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "waybill/waybill.hpp"

namespace waybill::python {

namespace py = pybind11;

/// Text that is UTF-8 by contract; bytes that are not survive as surrogate escapes.
py::str to_text(std::string_view text);
template <class T>
py::object to_optional(const std::optional<T>& value) {
  if (!value) return py::none();
  return py::cast(*value);
}

/// Runs `call` without the GIL.
template <class Call>
auto unlocked(Call&& call) {
  const py::gil_scoped_release release;
  return call();
}

py::dict to_dict(const Snapshot& snapshot);
py::dict to_dict(const Event& event);
py::dict to_dict(const ItemRecord& record);
/// A failure with the item it belongs to.
py::dict to_dict(const ScanRow& row, const Failure& failure);
py::dict to_outcome(const ScanRow& row);
/// A result with the item it belongs to.
py::dict to_result(const ScanRow& row);
py::dict to_dict(const Finding& finding);
py::dict to_dict(const RunRecord& run);
py::dict to_dict(const RunSummary& summary);
py::dict to_dict(const PartitionSummary& summary);
py::dict to_dict(const RateSample& sample);
py::dict to_dict(const MigrationInfo& info);
py::dict to_dict(const Plan& plan);
py::dict to_dict(const ImportReport& report);
py::dict to_dict(const RemovalPlan& plan);
py::dict to_dict(const RemovalReport& report);
py::dict to_dict(const Report& report);
py::dict to_dict(const Options& options);
/// Only the fields that are there are set. Errors: configuration, naming the field (unknown, of the wrong type, out of
/// range).
Options options_from(const py::dict& fields);
py::dict to_dict(const CutoverPlan& plan);
py::dict to_dict(const RollbackPlan& plan);
/// As options_from.
CutoverOptions cutover_options_from(const py::dict& fields);
RollbackOptions rollback_options_from(const py::dict& fields);
/// Errors: configuration, naming the word and those that are known.
VerifyLevel verify_level_from(std::string_view word);

void add_errors(py::module_& module);
void add_records(py::module_& module);
void add_options(py::module_& module);
void add_tracker(py::module_& module);
void add_migration(py::module_& module);
void add_maintenance(py::module_& module);
void add_stores(py::module_& module);
void add_catalog(py::module_& module);
void add_trace(py::module_& module);
void add_track(py::module_& module);

}  // namespace waybill::python
