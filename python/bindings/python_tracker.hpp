// SPDX-License-Identifier: Apache-2.0
//
// A ledger as Python holds it, and a ledger that Python keeps, as the engine sees it.
#pragma once

#include <memory>
#include <string>

#include "bindings.hpp"

namespace waybill::python {

/// waybill._core.Batch: the records of one commit, as C++ has them.
struct BatchHandle {
  Batch batch;
};

/// waybill._core.Tracker. *Thread safety:* with the GIL held; what get() gives may be used without it.
class TrackerHandle {
 public:
  explicit TrackerHandle(std::shared_ptr<Tracker> tracker) : tracker_(std::move(tracker)) {}

  /// Errors: failed_precondition (closed).
  std::shared_ptr<Tracker> get() const {
    if (!tracker_) throw Error(ErrorCode::failed_precondition, ErrorClass::configuration, "the tracker is closed");
    return tracker_;
  }
  std::shared_ptr<Tracker> take() { return std::move(tracker_); }

 private:
  std::shared_ptr<Tracker> tracker_;
};

/// What an object of waybill.Batch holds. With the GIL held. Errors: internal, naming the field.
std::shared_ptr<const BatchHandle> batch_from(py::handle object);

/// An object of a subclass of waybill.Tracker as the engine calls it: what the subclass does not override goes to `ledger`,
/// the built-in one beneath it, if it has one, without a way through Python. With the GIL held. Errors: invalid_argument
/// (without a ledger, it lacks methods: they are named).
std::shared_ptr<Tracker> adapt_tracker(py::object object, std::shared_ptr<Tracker> ledger);

}  // namespace waybill::python
