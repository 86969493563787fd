// SPDX-License-Identifier: Apache-2.0

#include "python_stores.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "calls.hpp"
#include "lent.hpp"
#include "store_values.hpp"
#include "waybill/redaction.hpp"

namespace waybill::python {
namespace {

constexpr size_t items_at_once = 1000;
constexpr size_t most_at_once = size_t{8} << 20;      // asked of a read() in one call
constexpr size_t copied_unlocked = size_t{64} << 10;  // from here on bytes are copied without the GIL

using Shared = std::shared_ptr<SharedContext>;

py::object handle_of(const Shared& shared) { return py::cast(shared); }

/// Copies what Python gave into memory of the engine's, unless the call was given up. Gives how many bytes there were.
/// Errors: internal (no bytes; more than `room`).
size_t copy_out(py::handle data, std::byte* out, size_t room, SharedContext& shared, const char* whose) {
  Py_buffer view{};
  if (PyObject_GetBuffer(data.ptr(), &view, PyBUF_SIMPLE) != 0) {
    PyErr_Clear();
    throw Error(ErrorCode::internal, ErrorClass::internal,
                std::string(whose) + " gave " + Py_TYPE(data.ptr())->tp_name + ", and not bytes");
  }
  const std::unique_ptr<Py_buffer, decltype(&PyBuffer_Release)> released_at_end(&view, &PyBuffer_Release);
  const auto count = static_cast<size_t>(view.len);
  if (count > room) {
    throw Error(ErrorCode::internal, ErrorClass::internal,
                std::string(whose) + " gave " + std::to_string(count) + " bytes, and was asked for " + std::to_string(room));
  }
  if (count == 0) return 0;
  const auto copy = [&] { shared.while_attached([&] { std::memcpy(out, view.buf, count); }); };
  if (count >= copied_unlocked) released(copy);
  else copy();
  return count;
}

/// Asks a method of a store that gives nothing back.
void ask(const Ref& object, const char* method, Context& context) {
  const auto shared = std::make_shared<SharedContext>();
  in_python<bool>(shared, context, [object, method, shared] {
    call_method(object.get(), method, {handle_of(shared)});
    return true;
  });
}

/// A listing: an iterator of Python's, drawn from a page at a time.
class PythonLister final : public Lister {
 public:
  PythonLister(Ref store, ListRequest request, Order order, bool can_start_after) {
    state_ = std::make_shared<State>();
    state_->store = std::move(store);
    state_->request = std::move(request);
    state_->order = order;
    state_->can_start_after = can_start_after;
  }

  Page next(Context& context) override {
    if (shared_->cancelled()) begin_anew();
    Page page = in_python<Page>(shared_, context, [state = state_, shared = shared_] { return state->draw(shared); });
    if (!page.items.empty()) last_ = page.items.back().id;
    return page;
  }

 private:
  // Belongs to one call at a time; one that was given up keeps it.
  struct State {
    Ref store;
    ListRequest request;
    Order order = Order::none;
    bool can_start_after = false;
    Ref iterator;
    std::optional<ItemId> last;
    std::exception_ptr raised;  // after some items of a page

    Page draw(const Shared& shared) {
      if (raised) std::rethrow_exception(std::exchange(raised, nullptr));
      if (!iterator) begin(shared);
      Page page;
      try {
        while (page.items.size() < items_at_once) {
          const py::object next = next_of(iterator.get());
          if (!next) {
            page.is_last = true;
            break;
          }
          Item item = item_from(next);
          if (can_start_after) check_bounds(item.id.key);
          if (is_behind(item)) page.items.push_back(std::move(item));
          if (shared->cancelled()) break;
        }
      } catch (py::error_already_set& error) {
        iterator = Ref();
        if (page.items.empty()) throw;
        raised = std::make_exception_ptr(to_error(error));
      } catch (const Error&) {
        iterator = Ref();
        throw;
      }
      if (!page.items.empty()) last = page.items.back().id;
      return page;
    }

    /// From the beginning, or behind what was given out before it broke off.
    void begin(const Shared& shared) {
      ListRequest rest = request;
      if (last && can_start_after) rest.after = std::max(rest.after, last->key);
      const py::object listing = call_method(store.get(), "list", {to_object(rest), handle_of(shared)});
      PyObject* const made = PyObject_GetIter(listing.ptr());
      if (made == nullptr) throw py::error_already_set();
      iterator = Ref(py::reinterpret_steal<py::object>(made));
    }

    /// A store that says it can, and does not, would be listed over and over.
    void check_bounds(const Key& key) const {
      const bool is_within = (request.after.empty() || key > request.after) && (request.before.empty() || key < request.before);
      if (is_within) return;
      throw Error(ErrorCode::internal, ErrorClass::internal,
                  "list() gave " + printable(key) + ", and was asked for keys after " + printable(request.after) +
                      (request.before.empty() ? "" : " and before " + printable(request.before)) +
                      ": its capabilities say start_after");
    }

    /// Where the order is known, what was given out before is left out when the listing is asked for anew.
    bool is_behind(const Item& item) const {
      if (!last || order != Order::byte_key || item.id.partition != last->partition) return true;
      return std::tie(item.id.key, item.id.version) > std::tie(last->key, last->version);
    }
  };

  /// A call that was given up may still be at work on what it had.
  void begin_anew() {
    auto fresh = std::make_shared<State>();
    fresh->store = state_->store;
    fresh->request = state_->request;
    fresh->order = state_->order;
    fresh->can_start_after = state_->can_start_after;
    fresh->last = last_;
    state_ = std::move(fresh);
    shared_ = std::make_shared<SharedContext>();
  }

  std::shared_ptr<State> state_;
  Shared shared_ = std::make_shared<SharedContext>();
  std::optional<ItemId> last_;
};

/// Content in order: a file, or an iterator of chunks.
class PythonStream final : public Stream {
 public:
  using Open = std::function<py::object(const Shared&)>;

  PythonStream(const Open& open, SourceStamp stamp, Attributes attributes, Shared shared, Context& context)
      : state_(std::make_shared<State>()), shared_(std::move(shared)) {
    state_->stamp = std::move(stamp);
    state_->attributes = std::move(attributes);
    in_python<bool>(shared_, context, [state = state_, shared = shared_, open] {
      state->take(open(shared));
      return true;
    });
  }
  ~PythonStream() override {
    // A call that was given up may still be reading: whoever is last closes.
    const auto call = std::make_shared<Call>();
    call->work = [state = std::move(state_)] {};
    try {
      submit(call);
    } catch (const std::exception&) {
      // The interpreter exits: whoever opened it is gone as well.
    }
  }

  size_t read(std::span<std::byte> out, Context& context) override {
    if (out.empty()) return 0;
    const size_t count = in_python<size_t>(
        shared_, context, [state = state_, shared = shared_, out] { return state->fill(out.data(), out.size(), *shared); });
    if (count == 0 && !state_->is_over) context.check();  // stopped, and not at its end
    if (count == 0 && state_->size && state_->given < *state_->size) {
      throw Error(ErrorCode::data_loss, ErrorClass::network,
                  "ended after " + std::to_string(state_->given) + " of " + std::to_string(*state_->size) + " bytes")
          .set_retryable();
    }
    return count;
  }
  std::optional<uint64_t> size() const override { return state_->size; }
  SourceStamp stamp() const override { return state_->stamp; }
  Attributes attributes() const override { return state_->attributes; }

 private:
  struct State {
    /// With the GIL held, but where the interpreter exits.
    ~State() {
      if (Py_IsInitialized() != 0 && PyGILState_Check() != 0) close();
    }

    std::optional<uint64_t> size;
    SourceStamp stamp;
    Attributes attributes;
    Ref content;
    bool is_file = false;
    bool is_over = false;
    Ref chunk;             // of an iterator, not given out whole
    size_t chunk_taken = 0;
    uint64_t given = 0;

    void take(py::object opened) {
      if (py::isinstance(opened, store_class("StreamResult"))) {
        size = size_from(opened, "size");
        const py::object told_stamp = opened.attr("stamp");
        if (!told_stamp.is_none()) stamp = stamp_from(told_stamp);
        const py::object told_attributes = opened.attr("attributes");
        if (!told_attributes.is_none()) attributes = attributes_from(told_attributes);
        opened = opened.attr("content");
      }
      if (PyObject_CheckBuffer(opened.ptr()) != 0) opened = py::make_tuple(opened);
      is_file = py::hasattr(opened, "read");
      if (!is_file) {
        PyObject* const iterator = PyObject_GetIter(opened.ptr());
        if (iterator == nullptr) throw py::error_already_set();
        opened = py::reinterpret_steal<py::object>(iterator);
      }
      content = Ref(std::move(opened));
    }

    size_t fill(std::byte* out, size_t room, SharedContext& shared) {
      size_t filled = 0;
      while (filled < room && !is_over && !shared.cancelled()) {
        const size_t count = is_file ? from_file(out + filled, room - filled, shared) : from_chunks(out + filled, room - filled, shared);
        filled += count;
        given += count;
      }
      return filled;
    }

    size_t from_file(std::byte* out, size_t room, SharedContext& shared) {
      const size_t wanted = std::min(room, most_at_once);
      const py::object bytes = call_method(content.get(), "read", {py::int_(wanted)});
      const size_t count = bytes.is_none() ? 0 : copy_out(bytes, out, wanted, shared, "read()");
      is_over = count == 0;
      return count;
    }

    size_t from_chunks(std::byte* out, size_t room, SharedContext& shared) {
      if (!chunk) {
        py::object next = next_of(content.get());
        if (!next) {
          is_over = true;
          return 0;
        }
        chunk_taken = 0;
        chunk = Ref(py::memoryview(next).attr("cast")("B"));
      }
      const auto view = py::reinterpret_borrow<py::object>(chunk.get());
      const size_t left = py::len(view) - chunk_taken;
      const size_t count = std::min(room, left);
      const py::slice part(static_cast<py::ssize_t>(chunk_taken), static_cast<py::ssize_t>(chunk_taken + count), 1);
      copy_out(view[part], out, room, shared, "the stream");
      chunk_taken += count;
      if (count == left) chunk = Ref();
      return count;
    }

    void close() const {
      try {
        if (content && py::hasattr(content.get(), "close")) call_method(content.get(), "close", {});
      } catch (py::error_already_set& error) {
        error.discard_as_unraisable("waybill: close() of a stream");
      }
    }
  };

  std::shared_ptr<State> state_;
  const Shared shared_;
};

/// A positioned read of either kind of store, in as many calls as it takes.
ReadResult read_at(const Ref& store, const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  const auto shared = std::make_shared<SharedContext>();
  ReadResult result;
  for (;;) {
    const size_t wanted = std::min(out.size() - result.count, most_at_once);
    std::byte* const place = out.data() + result.count;
    ReadResult piece = in_python<ReadResult>(shared, context, [store, item, place, at = offset + result.count, wanted, shared] {
      ReadResult found;
      found.stamp = item.stamp;
      py::object given = call_method(store.get(), "read", {to_object(item), py::int_(at), py::int_(wanted), handle_of(shared)});
      if (py::isinstance(given, store_class("ReadResult"))) {
        found.total_size = size_from(given, "total_size");
        const py::object stamp = given.attr("stamp");
        if (!stamp.is_none()) found.stamp = stamp_from(stamp);
        found.attributes = attributes_from(given.attr("attributes"));
        given = given.attr("data");
      }
      found.count = copy_out(given, place, wanted, *shared, "read()");
      return found;
    });
    const bool is_first = result.count == 0;
    if (!is_first && !(piece.stamp == result.stamp)) {
      throw Error(ErrorCode::aborted, ErrorClass::source_changed, shown_key(item.id.key) + " changed while it was read");
    }
    const size_t count = piece.count;
    if (is_first) result = std::move(piece);
    else result.count += count;
    if (count < wanted || result.count == out.size()) return result;
  }
}

std::string asked_text(py::handle object, const char* method) { return bytes_from(object.attr(method)(), method); }

class PythonSource final : public Source {
 public:
  explicit PythonSource(py::object object)
      : identity_(asked_text(object, "identity")),
        endpoint_(asked_text(object, "endpoint")),
        capabilities_(source_capabilities_from(object.attr("capabilities")())),
        has_stream_(!py::type::handle_of(object).attr("stream").is(store_class("Source").attr("stream"))),
        has_item_at_(!py::type::handle_of(object).attr("item_at").is(store_class("Source").attr("item_at"))),
        object_(std::move(object)) {}

  Capabilities capabilities() const override { return capabilities_; }
  std::string identity() const override { return identity_; }
  std::string endpoint() const override { return endpoint_; }
  void check(Context& context) override { ask(object_, "check", context); }

  std::unique_ptr<Lister> list(const ListRequest& request, Context&) override {
    return std::make_unique<PythonLister>(object_, request, capabilities_.order, capabilities_.start_after);
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    return read_at(object_, item, offset, out, context);
  }
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override {
    if (!has_stream_) return Source::stream(item, context);
    return std::make_unique<PythonStream>(
        [object = object_, item](const Shared& shared) {
          return call_method(object.get(), "stream", {to_object(item), handle_of(shared)});
        },
        item.stamp, Attributes{}, std::make_shared<SharedContext>(), context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    return in_python<std::optional<Item>>(shared, context, [object = object_, id, shared]() -> std::optional<Item> {
      const py::object found = call_method(object.get(), "stat", {to_object(id), handle_of(shared)});
      if (found.is_none()) return std::nullopt;
      return item_from(found);
    });
  }
  std::optional<ItemId> item_at(std::string_view url) const override {
    // Its class tells whether it is asked at all: the default knows no URL.
    if (!has_item_at_) return std::nullopt;
    const auto shared = std::make_shared<SharedContext>();
    return in_python<std::optional<ItemId>>(shared, Context::background(), [object = object_, url = std::string(url)]() -> std::optional<ItemId> {
      const py::object found = call_method(object.get(), "item_at", {to_text(url)});
      if (found.is_none()) return std::nullopt;
      return id_from(found);
    });
  }
  Removal remove(const Item& item, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    return in_python<Removal>(shared, context, [object = object_, item, shared] {
      return removal_from(call_method(object.get(), "remove", {to_object(item), handle_of(shared)}));
    });
  }

 private:
  const std::string identity_;
  const std::string endpoint_;
  const Capabilities capabilities_;
  const bool has_stream_;
  const bool has_item_at_;
  const Ref object_;
};

/// Lends `body` to Python for as long as `use` takes.
template <class Result, class Use>
Result with_body(const Body& body, Context& context, Use use) {
  const auto lent = std::make_shared<SharedBody>(body);
  const auto shared = std::make_shared<SharedContext>();
  const std::unique_ptr<SharedBody, void (*)(SharedBody*)> taken_back(lent.get(), [](SharedBody* one) { one->detach(); });
  return in_python<Result>(shared, context, [lent, shared, use = std::move(use)] { return use(py::cast(lent), handle_of(shared)); });
}

class PythonPartUpload final : public PartUpload {
 public:
  PythonPartUpload(Ref object, std::string id) : object_(std::move(object)), id_(std::move(id)) {}

  std::string id() const override { return id_; }
  std::vector<PartInfo> existing(Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    return in_python<std::vector<PartInfo>>(shared, context, [object = object_, shared] {
      return part_infos_from(call_method(object.get(), "existing", {handle_of(shared)}));
    });
  }
  PartInfo write(uint32_t number, uint64_t offset, const Body& body, Context& context) override {
    return with_body<PartInfo>(body, context, [object = object_, number, offset](py::object lent, py::object shared) {
      return part_info_from(call_method(object.get(), "write", {py::int_(number), py::int_(offset), lent, shared}));
    });
  }
  Stored complete(std::span<const PartInfo> parts, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    return in_python<Stored>(shared, context, [object = object_, shared, copied = std::vector(parts.begin(), parts.end())] {
      py::list list;
      for (const PartInfo& part : copied) list.append(to_object(part));
      return stored_from(call_method(object.get(), "complete", {list, handle_of(shared)}));
    });
  }
  void abort(Context& context) override { ask(object_, "abort", context); }

 private:
  const Ref object_;
  const std::string id_;
};

class PythonDestination final : public Destination {
 public:
  explicit PythonDestination(py::object object)
      : identity_(asked_text(object, "identity")),
        endpoint_(asked_text(object, "endpoint")),
        capabilities_(destination_capabilities_from(object.attr("capabilities")())),
        object_(std::move(object)) {}

  Capabilities capabilities() const override { return capabilities_; }
  std::string identity() const override { return identity_; }
  std::string endpoint() const override { return endpoint_; }
  void check(Context& context) override { ask(object_, "check", context); }

  std::unique_ptr<Lister> list(const ListRequest& request, Context&) override {
    return std::make_unique<PythonLister>(object_, request, capabilities_.order, capabilities_.start_after);
  }
  std::optional<Item> stat(const Key& key, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    return in_python<std::optional<Item>>(shared, context, [object = object_, key, shared]() -> std::optional<Item> {
      const py::object found = call_method(object.get(), "stat", {py::bytes(key), handle_of(shared)});
      if (found.is_none()) return std::nullopt;
      return item_from(found);
    });
  }
  Stored put(const Key& key, const Body& body, const WriteOptions& options, Context& context) override {
    return with_body<Stored>(body, context, [object = object_, key, options](py::object lent, py::object shared) {
      return stored_from(call_method(object.get(), "put", {py::bytes(key), lent, to_object(options), shared}));
    });
  }
  std::unique_ptr<PartUpload> begin_parts(const Key& key, const PartPlan& plan, const WriteOptions& options,
                                          Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    using Begun = std::pair<Ref, std::string>;
    Begun begun = in_python<Begun>(shared, context, [object = object_, key, plan, options, shared]() -> Begun {
      py::object upload =
          call_method(object.get(), "begin_parts", {py::bytes(key), to_object(plan), to_object(options), handle_of(shared)});
      std::string id = bytes_from(call_method(upload, "id", {}), "id()");
      return {Ref(std::move(upload)), std::move(id)};
    });
    return std::make_unique<PythonPartUpload>(std::move(begun.first), std::move(begun.second));
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    return read_at(object_, item, offset, out, context);
  }
  void flush(Context& context) override { ask(object_, "flush", context); }
  void remove(const Key& key, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    in_python<bool>(shared, context, [object = object_, key, shared] {
      call_method(object.get(), "remove", {py::bytes(key), handle_of(shared)});
      return true;
    });
  }
  void sweep(std::span<const OpenUpload> known, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    in_python<bool>(shared, context, [object = object_, shared, copied = std::vector(known.begin(), known.end())] {
      py::list list;
      for (const OpenUpload& upload : copied) list.append(to_object(upload));
      call_method(object.get(), "sweep", {list, handle_of(shared)});
      return true;
    });
  }

 private:
  const std::string identity_;
  const std::string endpoint_;
  const Capabilities capabilities_;
  const Ref object_;
};

/// A transform's result, with what it reads: closed before the engine's end of it goes.
class TransformedStream final : public Stream {
 public:
  TransformedStream(std::shared_ptr<SharedInput> input, std::unique_ptr<Stream> stream)
      : input_(std::move(input)), stream_(std::move(stream)) {}
  ~TransformedStream() override { input_->close(); }
  size_t read(std::span<std::byte> out, Context& context) override { return stream_->read(out, context); }
  std::optional<uint64_t> size() const override { return stream_->size(); }
  SourceStamp stamp() const override { return stream_->stamp(); }
  Attributes attributes() const override { return stream_->attributes(); }

 private:
  const std::shared_ptr<SharedInput> input_;
  const std::unique_ptr<Stream> stream_;
};

class PythonTransform final : public Transform {
 public:
  explicit PythonTransform(py::object object) : identity_(asked_text(object, "identity")), object_(std::move(object)) {}

  std::string identity() const override { return identity_; }
  std::unique_ptr<Stream> apply(const Item& item, std::unique_ptr<Stream> input, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    const auto lent = std::make_shared<SharedInput>(std::move(input), shared);
    try {
      auto stream = std::make_unique<PythonStream>(
          [object = object_, item, lent](const Shared& given) {
            return call_method(object.get(), "apply", {to_object(item), py::cast(lent), handle_of(given)});
          },
          lent->stamp(), lent->attributes(), shared, context);
      return std::make_unique<TransformedStream>(lent, std::move(stream));
    } catch (...) {
      lent->close();
      throw;
    }
  }
  Attributes attributes(const Item& item, Attributes source) const override {
    const auto shared = std::make_shared<SharedContext>();
    return in_python<Attributes>(shared, Context::background(), [object = object_, item, source = std::move(source)] {
      return attributes_from(call_method(object.get(), "attributes", {to_object(item), to_object(source)}));
    });
  }

 private:
  const std::string identity_;
  const Ref object_;
};

void expect(py::handle object, const char* name) {
  if (py::isinstance(object, store_class(name))) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              printable(py::cast<std::string>(py::repr(object))) + " is neither a URL nor a waybill." + name);
}

}  // namespace

std::shared_ptr<Source> make_source(py::object object) {
  expect(object, "Source");
  return std::make_shared<PythonSource>(std::move(object));
}

std::shared_ptr<Destination> make_destination(py::object object) {
  expect(object, "Destination");
  return std::make_shared<PythonDestination>(std::move(object));
}

std::shared_ptr<Transform> make_transform(py::object object) {
  expect(object, "Transform");
  return std::make_shared<PythonTransform>(std::move(object));
}

}  // namespace waybill::python
