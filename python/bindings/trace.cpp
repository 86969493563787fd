// SPDX-License-Identifier: Apache-2.0
//
// HTTP traces into a file descriptor. Python is not called for them: no thread of waybill ever does.
#include <pybind11/stl.h>
#include <unistd.h>

#include <mutex>

#include "bindings.hpp"

namespace waybill::python {
namespace {

class Sink {
 public:
  explicit Sink(int descriptor) : descriptor_(descriptor) {}
  ~Sink() { ::close(descriptor_); }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  /// What cannot be written (a full disk, nobody who reads) is lost: a trace stops no run.
  void write(std::string line) noexcept {
    line += '\n';
    const std::lock_guard lock(mutex_);
    const char* at = line.data();
    for (size_t left = line.size(); left > 0;) {
      const ssize_t n = ::write(descriptor_, at, left);
      if (n <= 0) return;
      at += n;
      left -= static_cast<size_t>(n);
    }
  }

 private:
  std::mutex mutex_;
  const int descriptor_;
};

}  // namespace

void add_trace(py::module_& module) {
  module.def("trace_http",
             [](std::optional<int> descriptor) {
               if (!descriptor) return watch_http({});
               watch_http([sink = std::make_shared<Sink>(*descriptor)](const HttpExchange& exchange) {
                 sink->write(to_line(exchange));
               });
             },
             py::arg("descriptor"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace waybill::python
