// SPDX-License-Identifier: Apache-2.0
//
// The extension module waybill._core: an implementation detail of the package `waybill`, without promises of its own.
#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Implementation of waybill; use the package instead.";
  module.attr("__version__") = waybill::version();
  module.def("library_versions", [] {
    pybind11::dict out;
    for (const auto& [name, version] : waybill::library_versions()) out[waybill::python::to_text(name)] = version;
    return out;
  });
  waybill::python::add_errors(module);
  waybill::python::add_records(module);
  waybill::python::add_options(module);
  waybill::python::add_stores(module);
  waybill::python::add_catalog(module);
  waybill::python::add_tracker(module);
  waybill::python::add_migration(module);
  waybill::python::add_maintenance(module);
  waybill::python::add_trace(module);
  waybill::python::add_track(module);
}
