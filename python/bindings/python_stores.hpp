// SPDX-License-Identifier: Apache-2.0
//
// Stores that are written in Python, as the engine sees them.
#pragma once

#include <memory>

#include "bindings.hpp"

namespace waybill::python {

/// An object of a subclass of waybill.Source, …, as the engine calls it. With the GIL held. Errors: invalid_argument (it is no
/// such object, or one of its first answers is wrong); what its methods raise.
std::shared_ptr<Source> make_source(py::object object);
std::shared_ptr<Destination> make_destination(py::object object);
std::shared_ptr<Transform> make_transform(py::object object);

}  // namespace waybill::python
