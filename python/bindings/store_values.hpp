// SPDX-License-Identifier: Apache-2.0
//
// What stores exchange, between C++ and the dataclasses of python/waybill/stores.py. Everything here needs the GIL.
// What Python gives is checked: a value of a wrong type is class `internal`, naming the field.
#pragma once

#include <string>
#include <vector>

#include "bindings.hpp"

namespace waybill::python {

py::object to_object(const Item& item);
py::object to_object(const ItemId& id);
py::object to_object(const SourceStamp& stamp);
py::object to_object(const Attributes& attributes);
py::object to_object(const WriteOptions& options);
py::object to_object(const Stored& stored);
py::object to_object(const PartPlan& plan);
py::object to_object(const PartInfo& part);
py::object to_object(const OpenUpload& upload);
py::object to_object(const ListRequest& request);
py::object make_read_result(py::object data, const ReadResult& result);

Item item_from(py::handle object);
ItemId id_from(py::handle object);
SourceStamp stamp_from(py::handle object);
Attributes attributes_from(py::handle object);
WriteOptions write_options_from(py::handle object);
Stored stored_from(py::handle object);
PartPlan part_plan_from(py::handle object);
PartInfo part_info_from(py::handle object);
std::vector<PartInfo> part_infos_from(py::handle sequence);
OpenUpload open_upload_from(py::handle object);
Source::Capabilities source_capabilities_from(py::handle object);
Destination::Capabilities destination_capabilities_from(py::handle object);
py::dict to_dict(const Source::Capabilities& capabilities);
py::dict to_dict(const Destination::Capabilities& capabilities);
Removal removal_from(py::handle object);

/// A field that is a size in bytes, or None.
std::optional<uint64_t> size_from(py::handle object, const char* name);
/// Bytes as they are; text by its UTF-8, surrogate escapes undone. Errors: internal, naming `what`.
std::string bytes_from(py::handle object, const char* what);

/// An attribute of an object. As attr(), quicker.
py::object field(py::handle object, const char* name);
/// The error for a value of a wrong type: internal, naming `what`.
Error wrong(const char* what, py::handle object, const char* wanted);

/// The class of that name of waybill.stores.
py::handle store_class(const char* name);

}  // namespace waybill::python
