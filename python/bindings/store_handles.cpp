// SPDX-License-Identifier: Apache-2.0
//
// The built-in stores as Python calls them, and what stores in Python are handed: Context, Body, InputStream.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lent.hpp"
#include "python_stores.hpp"
#include "store_values.hpp"

namespace waybill::python {
namespace {

using Shared = std::shared_ptr<SharedContext>;

template <class Thing>
py::list to_list(const std::vector<Thing>& things) {
  py::list out;
  for (const Thing& thing : things) out.append(to_object(thing));
  return out;
}

py::object to_object_or_none(const std::optional<Item>& item) { return item ? to_object(*item) : py::object(py::none()); }

/// Bytes of a length that is known only afterwards, filled without the GIL.
template <class Fill>
py::bytes filled_bytes(size_t room, const Fill& fill) {
  const auto out = py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(room)));
  if (!out) throw py::error_already_set();
  auto* const data = reinterpret_cast<std::byte*>(PyBytes_AS_STRING(out.ptr()));
  const size_t count = released([&] { return fill(std::span(data, room)); });
  if (count == room) return py::reinterpret_borrow<py::bytes>(out);
  return py::bytes(PyBytes_AS_STRING(out.ptr()), count);
}

/// `wanted` bytes of something that is `left` long, or all of it where `wanted` is negative.
size_t room_for(int64_t wanted, uint64_t left) {
  return static_cast<size_t>(wanted < 0 ? left : std::min<uint64_t>(static_cast<uint64_t>(wanted), left));
}

/// A stream of a built-in store as a binary file.
class StreamHandle {
 public:
  StreamHandle(std::shared_ptr<Source> source, std::unique_ptr<Stream> stream, Shared context)
      : source_(std::move(source)), stream_(std::move(stream)), context_(std::move(context)) {}

  py::bytes read(int64_t wanted) {
    constexpr size_t step = size_t{1} << 20;
    std::string content;
    const auto limit = wanted < 0 ? SIZE_MAX : static_cast<size_t>(wanted);
    released([&] {
      while (content.size() < limit) {
        const size_t before = content.size();
        content.resize(before + std::min(step, limit - before));
        const size_t count = get().read(std::as_writable_bytes(std::span(content).subspan(before)), *context_);
        content.resize(before + count);
        if (count == 0) break;
      }
    });
    return {content};
  }
  Stream& get() const {
    if (!stream_) throw Error(ErrorCode::failed_precondition, ErrorClass::configuration, "the stream is closed");
    return *stream_;
  }
  void close() { stream_.reset(); }

 private:
  const std::shared_ptr<Source> source_;
  std::unique_ptr<Stream> stream_;
  const Shared context_;
};

/// A listing of either kind of store.
struct AnyLister {
  std::shared_ptr<void> store;
  std::unique_ptr<Lister> lister;

  py::tuple next(SharedContext& context) const {
    const Page page = released([&] { return lister->next(context); });
    return py::make_tuple(to_list(page.items), page.is_last);
  }
};

struct PartUploadHandle {
  std::shared_ptr<Destination> destination;
  std::shared_ptr<PartUpload> upload;
};

/// What `put` of a built-in store takes: the body that a store in Python was given, or bytes.
std::shared_ptr<SharedBody> body_from(py::handle object) {
  if (py::isinstance<SharedBody>(object)) return py::cast<std::shared_ptr<SharedBody>>(object);
  return std::make_shared<SharedBody>(bytes_from(object, "body"));
}

template <class Store>
AnyLister list(const std::shared_ptr<Store>& store, const std::string& after, const std::string& before, SharedContext& context) {
  ListRequest request;
  request.after = after;
  request.before = before;
  return released([&] { return AnyLister{store, store->list(request, context)}; });
}

template <class Store>
py::object read(const std::shared_ptr<Store>& store, py::handle item_object, uint64_t offset, size_t length, SharedContext& context) {
  const Item item = item_from(item_object);
  ReadResult result;
  py::bytes data = filled_bytes(length, [&](std::span<std::byte> out) {
    result = store->read(item, offset, out, context);
    return result.count;
  });
  return make_read_result(std::move(data), result);
}

void add_context(py::module_& module) {
  py::class_<SharedContext, Shared>(module, "Context",
                                      "What every call of a store is given: whether it is to end (`cancelled`, `check`), how much time it has\n"
                                      "(`seconds_left`, `sleep`), and where to say something (`log`, `count`). Valid until the call returns.\n"
                                      "One of your own, for calls outside of runs, is made with a timeout in seconds, or without one.")
      .def(py::init<std::optional<double>, std::string>(), py::arg("timeout") = py::none(), py::arg("migration") = "")
      .def_property_readonly("cancelled", &SharedContext::cancelled)
      .def_property_readonly("attempt", &SharedContext::attempt)
      .def_property_readonly("epoch", &SharedContext::epoch)
      .def_property_readonly("migration", [](const SharedContext& context) { return to_text(context.migration()); })
      .def_property_readonly("seconds_left",
                             [](const SharedContext& context) -> std::optional<double> {
                               const auto end = context.deadline();
                               if (end == Context::Clock::time_point::max()) return std::nullopt;
                               return std::max(0.0, std::chrono::duration<double>(end - Context::Clock::now()).count());
                             })
      .def("check", [](const SharedContext& context) { context.check(); })
      .def("cancel", &SharedContext::cancel)
      .def("sleep",
           [](SharedContext& context, double seconds) {
             const auto duration = std::chrono::milliseconds(static_cast<int64_t>(std::clamp(seconds, 0.0, 1e9) * 1000));
             return released([&] { return context.sleep(duration); });
           },
           py::arg("seconds"))
      .def("log",
           [](SharedContext& context, const std::string& text, const std::string& level) {
             for (const LogLevel one : {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
               if (level == waybill::to_string(one)) return released([&] { context.log(one, text); });
             }
             throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                         "level: \"" + printable(level) + "\" is not one of debug, info, warning, error");
           },
           py::arg("text"), py::arg("level") = "info")
      .def("count", [](SharedContext& context, const std::string& name, uint64_t amount) { released([&] { context.count(name, amount); }); },
           py::arg("name"), py::arg("amount") = 1);
}

void add_contents(py::module_& module) {
  py::class_<SharedBody, std::shared_ptr<SharedBody>>(
      module, "Body",
      "The bytes of one write, as a binary file (`read`, `seek`, `tell`, `size`), with their digests (`crc64nvme`, `sha256`)\n"
      "where they are known. Valid until the call returns; one of your own is made of bytes.")
      .def(py::init([](const std::string& content) { return std::make_shared<SharedBody>(content); }), py::arg("content"))
      .def_property_readonly("size", &SharedBody::size)
      .def_property_readonly("crc64nvme", [](const SharedBody& body) { return body.digest().crc64nvme; })
      .def_property_readonly("sha256",
                             [](const SharedBody& body) -> py::object {
                               const auto& sha256 = body.digest().sha256;
                               if (!sha256) return py::none();
                               return py::bytes(reinterpret_cast<const char*>(sha256->data()), sha256->size());
                             })
      .def("__len__", &SharedBody::size)
      .def("read",
           [](SharedBody& body, int64_t size) {
             const size_t room = room_for(size, body.size() - released([&] { return body.position(); }));
             return filled_bytes(room, [&](std::span<std::byte> out) { return body.read(out); });
           },
           py::arg("size") = -1)
      .def("seek",
           [](SharedBody& body, int64_t offset, int whence) {
             const uint64_t base = whence == 1 ? released([&] { return body.position(); }) : whence == 2 ? body.size() : 0;
             const int64_t target = static_cast<int64_t>(base) + offset;
             if (whence < 0 || whence > 2 || target < 0) {
               throw Error(ErrorCode::out_of_range, ErrorClass::internal, "seek: before the beginning, or an unknown whence");
             }
             return released([&] { return body.seek(static_cast<uint64_t>(target)); });
           },
           py::arg("offset"), py::arg("whence") = 0)
      .def("tell", [](const SharedBody& body) { return released([&] { return body.position(); }); })
      .def("readable", [](const SharedBody&) { return true; })
      .def("seekable", [](const SharedBody&) { return true; });
  py::class_<SharedInput, std::shared_ptr<SharedInput>>(
      module, "InputStream",
      "What a Transform reads, as a binary file (`read`), with its `size`, `stamp` and `attributes` as far as they are known.\n"
      "Valid until the result has been read to its end.")
      .def_property_readonly("size", &SharedInput::size)
      .def_property_readonly("stamp", [](const SharedInput& input) { return to_object(input.stamp()); })
      .def_property_readonly("attributes", [](const SharedInput& input) { return to_object(input.attributes()); })
      .def("read",
           [](SharedInput& input, int64_t size) {
             constexpr size_t step = size_t{1} << 20;
             std::string content;
             const auto limit = size < 0 ? SIZE_MAX : static_cast<size_t>(size);
             released([&] {
               while (content.size() < limit) {
                 const size_t before = content.size();
                 content.resize(before + std::min(step, limit - before));
                 const size_t count = input.read(std::as_writable_bytes(std::span(content).subspan(before)));
                 content.resize(before + count);
                 if (count == 0) break;
               }
             });
             return py::bytes(content);
           },
           py::arg("size") = -1)
      .def("readable", [](const SharedInput&) { return true; });
  py::class_<StreamHandle>(module, "Stream")
      .def_property_readonly("size", [](const StreamHandle& handle) { return handle.get().size(); })
      .def_property_readonly("stamp", [](const StreamHandle& handle) { return to_object(handle.get().stamp()); })
      .def_property_readonly("attributes", [](const StreamHandle& handle) { return to_object(handle.get().attributes()); })
      .def("read", &StreamHandle::read, py::arg("size") = -1)
      .def("close", &StreamHandle::close);
}

void add_source(py::module_& module) {
  py::class_<Source, std::shared_ptr<Source>>(module, "Source")
      .def("capabilities", [](const Source& source) { return to_dict(source.capabilities()); })
      .def("identity", [](const Source& source) { return to_text(source.identity()); })
      .def("endpoint", [](const Source& source) { return to_text(source.endpoint()); })
      .def("check", [](Source& source, SharedContext& context) { released([&] { source.check(context); }); }, py::arg("context"))
      .def("list", &list<Source>, py::arg("after"), py::arg("before"), py::arg("context"))
      .def("read", &read<Source>, py::arg("item"), py::arg("offset"), py::arg("length"), py::arg("context"))
      .def("stream",
           [](const std::shared_ptr<Source>& source, py::handle item_object, const Shared& context) {
             const Item item = item_from(item_object);
             return released([&] { return std::make_unique<StreamHandle>(source, source->stream(item, *context), context); });
           },
           py::arg("item"), py::arg("context"))
      .def("stat",
           [](Source& source, const std::string& partition, const std::string& key, const std::string& version, SharedContext& context) {
             return to_object_or_none(released([&] { return source.stat({partition, key, version}, context); }));
           },
           py::arg("partition"), py::arg("key"), py::arg("version"), py::arg("context"))
      .def("item_at",
           [](const Source& source, const std::string& url) -> py::object {
             const std::optional<ItemId> found = released([&] { return source.item_at(url); });
             return found ? to_object(*found) : py::object(py::none());
           },
           py::arg("url"))
      .def("remove",
           [](Source& source, py::handle item_object, SharedContext& context) {
             const Item item = item_from(item_object);
             return waybill::to_string(released([&] { return source.remove(item, context); }));
           },
           py::arg("item"), py::arg("context"));
}

void add_destination(py::module_& module) {
  py::class_<PartUploadHandle>(module, "PartUpload")
      .def("id", [](const PartUploadHandle& handle) { return to_text(handle.upload->id()); })
      .def("existing",
           [](const PartUploadHandle& handle, SharedContext& context) {
             return to_list(released([&] { return handle.upload->existing(context); }));
           },
           py::arg("context"))
      .def("write",
           [](const PartUploadHandle& handle, uint32_t number, uint64_t offset, py::handle object, SharedContext& context) {
             const auto body = body_from(object);
             return to_object(released([&] {
               return body->with_body([&](const Body& real) { return handle.upload->write(number, offset, real, context); });
             }));
           },
           py::arg("number"), py::arg("offset"), py::arg("body"), py::arg("context"))
      .def("complete",
           [](const PartUploadHandle& handle, py::handle sequence, SharedContext& context) {
             const std::vector<PartInfo> parts = part_infos_from(sequence);
             return to_object(released([&] { return handle.upload->complete(parts, context); }));
           },
           py::arg("parts"), py::arg("context"))
      .def("abort",
           [](const PartUploadHandle& handle, SharedContext& context) { released([&] { handle.upload->abort(context); }); },
           py::arg("context"));
  py::class_<Destination, std::shared_ptr<Destination>>(module, "Destination")
      .def("capabilities", [](const Destination& destination) { return to_dict(destination.capabilities()); })
      .def("identity", [](const Destination& destination) { return to_text(destination.identity()); })
      .def("endpoint", [](const Destination& destination) { return to_text(destination.endpoint()); })
      .def("check", [](Destination& destination, SharedContext& context) { released([&] { destination.check(context); }); },
           py::arg("context"))
      .def("list", &list<Destination>, py::arg("after"), py::arg("before"), py::arg("context"))
      .def("stat",
           [](Destination& destination, const std::string& key, SharedContext& context) {
             return to_object_or_none(released([&] { return destination.stat(key, context); }));
           },
           py::arg("key"), py::arg("context"))
      .def("put",
           [](Destination& destination, const std::string& key, py::handle object, py::handle options_object, SharedContext& context) {
             const auto body = body_from(object);
             const WriteOptions options = write_options_from(options_object);
             return to_object(released([&] {
               return body->with_body([&](const Body& real) { return destination.put(key, real, options, context); });
             }));
           },
           py::arg("key"), py::arg("body"), py::arg("options"), py::arg("context"))
      .def("begin_parts",
           [](const std::shared_ptr<Destination>& destination, const std::string& key, py::handle plan_object, py::handle options_object,
              SharedContext& context) {
             const PartPlan plan = part_plan_from(plan_object);
             const WriteOptions options = write_options_from(options_object);
             return released([&] {
               return PartUploadHandle{destination, destination->begin_parts(key, plan, options, context)};
             });
           },
           py::arg("key"), py::arg("plan"), py::arg("options"), py::arg("context"))
      .def("read", &read<Destination>, py::arg("item"), py::arg("offset"), py::arg("length"), py::arg("context"))
      .def("flush", [](Destination& destination, SharedContext& context) { released([&] { destination.flush(context); }); },
           py::arg("context"))
      .def("remove",
           [](Destination& destination, const std::string& key, SharedContext& context) {
             released([&] { destination.remove(key, context); });
           },
           py::arg("key"), py::arg("context"))
      .def("sweep",
           [](Destination& destination, py::handle sequence, SharedContext& context) {
             std::vector<OpenUpload> known;
             for (const py::handle& upload : sequence) known.push_back(open_upload_from(upload));
             released([&] { destination.sweep(known, context); });
           },
           py::arg("known"), py::arg("context"));
}

}  // namespace

void add_stores(py::module_& module) {
  add_context(module);
  add_contents(module);
  py::class_<AnyLister>(module, "Lister").def("next", &AnyLister::next, py::arg("context"));
  add_source(module);
  add_destination(module);
  py::class_<Transform, std::shared_ptr<Transform>>(module, "Transform");
  using Guard = py::call_guard<py::gil_scoped_release>;
  module.def("open_source", [](const std::string& url) { return open_source(url); }, py::arg("url"), Guard());
  module.def("open_destination", [](const std::string& url) { return open_destination(url); }, py::arg("url"), Guard());
  module.def("adapt_source", &make_source, py::arg("source"));
  module.def("adapt_destination", &make_destination, py::arg("destination"));
  module.def("adapt_transform", &make_transform, py::arg("transform"));
  module.def("close_calls", &close_calls);
  module.def(
      "body_with_crc64nvme",
      [](const std::string& content, uint64_t crc64nvme) {
        Digest digest;
        digest.crc64nvme = crc64nvme;
        return std::make_shared<SharedBody>(content, digest);
      },
      py::arg("content"), py::arg("crc64nvme"));
  module.def(
      "body_that_breaks",
      [](const std::string& content, uint64_t breaks_at, const Shared& cancels) {
        return std::make_shared<SharedBody>(content, breaks_at, cancels);
      },
      py::arg("content"), py::arg("breaks_at"), py::arg("cancels") = py::none());
}

}  // namespace waybill::python
