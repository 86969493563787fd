// SPDX-License-Identifier: Apache-2.0
//
// The file of a ledger in order: check, backup, vacuum, retention, recovery.
#include <pybind11/stl.h>

#include "bindings.hpp"

namespace waybill::python {
namespace {

py::list to_list(const std::vector<std::string>& words) {
  py::list out;
  for (const std::string& word : words) out.append(to_text(word));
  return out;
}

py::dict to_dict(const LedgerCheck& check) {
  py::dict out;
  out["problems"] = to_list(check.problems);
  out["items"] = check.items;
  out["events"] = check.events;
  out["file_bytes"] = check.file_bytes;
  return out;
}

py::dict to_dict(const LedgerBackup& backup) {
  py::dict out;
  out["path"] = to_text(backup.path);
  out["file_bytes"] = backup.file_bytes;
  out["removed"] = to_list(backup.removed);
  return out;
}

py::dict to_dict(const LedgerVacuum& vacuum) {
  py::dict out;
  out["bytes_before"] = vacuum.bytes_before;
  out["bytes_after"] = vacuum.bytes_after;
  return out;
}

py::dict to_dict(const Recovery& recovery) {
  py::list tables;
  for (const Recovery::Table& table : recovery.tables) {
    py::dict entry;
    entry["name"] = to_text(table.name);
    entry["rows"] = table.rows;
    entry["is_whole"] = table.is_whole;
    tables.append(entry);
  }
  py::dict out;
  out["tables"] = tables;
  out["items"] = recovery.items;
  out["items_expected"] = to_optional(recovery.items_expected);
  out["notes"] = to_list(recovery.notes);
  return out;
}

}  // namespace

void add_maintenance(py::module_& module) {
  module.def("check_ledger",
             [](const std::string& ledger) { return to_dict(unlocked([&] { return check_ledger(ledger); })); },
             py::arg("ledger"));
  module.def("backup_ledger",
             [](const std::string& ledger, const std::string& folder, std::optional<int> keep) {
               return to_dict(unlocked([&] { return backup_ledger(ledger, folder, keep); }));
             },
             py::arg("ledger"), py::arg("folder"), py::arg("keep"));
  module.def("vacuum_ledger",
             [](const std::string& ledger) { return to_dict(unlocked([&] { return vacuum_ledger(ledger); })); },
             py::arg("ledger"));
  module.def("prune_events",
             [](const std::string& ledger, std::optional<int64_t> since_ms, std::optional<int64_t> last,
                const std::string& who) {
               return unlocked([&] { return prune_events(ledger, {.since_ms = since_ms, .last = last}, who); });
             },
             py::arg("ledger"), py::arg("since_ms"), py::arg("last"), py::arg("who"));
  module.def("recover_ledger",
             [](const std::string& ledger, const std::string& into) {
               return to_dict(unlocked([&] { return recover_ledger(ledger, into); }));
             },
             py::arg("ledger"), py::arg("into"));
}

}  // namespace waybill::python
