// SPDX-License-Identifier: Apache-2.0
//
// The one converter from waybill::Error to the exceptions of python/waybill/errors.py, which chooses the class.
#include "bindings.hpp"

namespace waybill::python {
namespace {

py::object make_exception(const Error& error) {
  py::dict fields;
  fields["code"] = to_string(error.code());
  fields["error_class"] = to_string(error.error_class());
  fields["retryable"] = error.retryable();
  fields["retry_after"] = py::none();
  if (const auto wait = error.retry_after()) fields["retry_after"] = static_cast<double>(wait->count()) / 1000.0;
  fields["http_status"] = error.http_status();
  fields["provider_code"] = to_text(error.provider_code());
  fields["request_id"] = to_text(error.request_id());
  return py::module_::import("waybill.errors").attr("make_error")(to_text(error.message()), fields);
}

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const Error& error) {
    try {
      py::object exception = make_exception(error);
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
    } catch (py::error_already_set& failure) {
      failure.restore();
    }
  }
}

}  // namespace

void add_errors(py::module_& module) {
  py::register_exception_translator(&translate);
  module.def("error_classes", [] {
    py::list words;
    for (int number = 0; number <= static_cast<int>(ErrorClass::internal); ++number)
      words.append(to_string(static_cast<ErrorClass>(number)));
    return py::tuple(words);
  });
  module.def("error_codes", [] {
    py::list words;
    for (int number = 0; number <= static_cast<int>(ErrorCode::unauthenticated); ++number)
      words.append(to_string(static_cast<ErrorCode>(number)));
    return py::tuple(words);
  });
}

}  // namespace waybill::python
