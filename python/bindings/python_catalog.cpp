// SPDX-License-Identifier: Apache-2.0
//
// Catalogs: those written in Python, as the engine sees them, and any, as Python calls them.
#include <array>
#include <mutex>
#include <string>
#include <vector>

#include "calls.hpp"
#include "record_fields.hpp"

namespace waybill::python {

template <>
inline constexpr const char* class_name<ReferenceValue> = "ReferenceValue";
template <>
inline constexpr const char* class_name<ReferenceUpdate> = "ReferenceUpdate";
template <>
inline constexpr const char* class_name<UpdateResult> = "UpdateResult";
template <>
inline constexpr const char* class_name<Since> = "Since";
template <>
inline constexpr const char* class_name<ReferencePage> = "ReferencePage";
template <>
inline constexpr const char* class_name<Catalog::Capabilities> = "CatalogCapabilities";

template <>
struct Words<UpdateResult::Status> {
  static constexpr int n = 4;
  static const char* at(UpdateResult::Status value) {
    constexpr std::array words = {"updated", "conflict", "failed", "unknown"};
    return words.at(static_cast<size_t>(value));
  }
};
template <>
struct Words<Catalog::Conditional> {
  static constexpr int n = 3;
  static const char* at(Catalog::Conditional value) {
    constexpr std::array words = {"none", "weak", "exact"};
    return words.at(static_cast<size_t>(value));
  }
};

template <>
struct Words<CatalogAccess> {
  static constexpr int n = 2;
  static const char* at(CatalogAccess value) { return value == CatalogAccess::read ? "read" : "update"; }
};

template <class Fields, Is<ReferenceValue> R>
void describe(Fields& f, R& r) {
  f("id", r.id);
  f("value", r.value);
  f("stamp", r.stamp);
  f("partition", r.partition);
  f("partition_name", r.partition_name);
  f("names", r.names);
  f("is_gone", r.is_gone);
}

template <class Fields, Is<ReferenceUpdate> R>
void describe(Fields& f, R& r) {
  f("id", r.id);
  f("expected", r.expected);
  f("value", r.value);
  f("expected_stamp", r.expected_stamp);
}

template <class Fields, Is<UpdateResult> R>
void describe(Fields& f, R& r) {
  f("status", r.status);
  f("error_class", r.error_class);
  f("message", r.message);
  f("retryable", r.retryable);
}

template <class Fields, Is<Since> R>
void describe(Fields& f, R& r) {
  f("stamp", r.stamp);
  f.bytes("resume", r.resume);
}

template <class Fields, Is<ReferencePage> R>
void describe(Fields& f, R& r) {
  f("references", r.references);
  f.bytes("resume", r.resume);
  f("is_last", r.is_last);
}

template <class Fields, Is<Catalog::Capabilities> R>
void describe(Fields& f, R& r) {
  f("conditional", r.conditional);
  f("max_batch", r.max_batch);
  f("max_value_length", r.max_value_length);
  f("locks_partitions", r.locks_partitions);
}

namespace {

constexpr size_t references_at_once = 1000;

using Shared = std::shared_ptr<SharedContext>;

/// An iterator of Python's, drawn from a page at a time.
class PythonReferenceLister final : public ReferenceLister {
 public:
  PythonReferenceLister(Ref catalog, Since since) : catalog_(std::move(catalog)), since_(std::move(since)) {}

  ReferencePage next(Context& context) override {
    if (!state_) begin();
    try {
      ReferencePage page =
          in_python<ReferencePage>(shared_, context, [state = state_, shared = shared_] { return state->draw(shared); });
      if (page.references.empty() && !page.is_last) context.check();  // stopped, and not at its end
      if (!page.resume.empty()) since_.resume = page.resume;
      return page;
    } catch (...) {
      state_.reset();  // a call that was given up keeps it
      throw;
    }
  }

 private:
  struct State {
    Ref catalog;
    Since since;
    Ref iterator;
    std::exception_ptr raised;  // after some references of a page

    ReferencePage draw(const Shared& shared) {
      if (raised) std::rethrow_exception(raised);
      if (!iterator) begin(shared);
      ReferencePage page;
      try {
        while (page.references.size() < references_at_once && page.resume.empty() && !shared->cancelled()) {
          const py::object next = next_of(iterator.get());
          if (!next) {
            page.is_last = true;
            break;
          }
          take(next, page);
          if (page.is_last) break;
        }
      } catch (py::error_already_set& error) {
        if (page.references.empty()) throw;
        raised = std::make_exception_ptr(to_error(error));
      }
      return page;
    }

    static void take(const py::object& next, ReferencePage& page) {
      if (!py::isinstance(next, record_class("ReferencePage"))) {
        page.references.push_back(record_from<ReferenceValue>(next, "what list() gave"));
        return;
      }
      auto given = record_from<ReferencePage>(next, "what list() gave");
      page.references.insert(page.references.end(), std::make_move_iterator(given.references.begin()),
                             std::make_move_iterator(given.references.end()));
      page.resume = std::move(given.resume);
      page.is_last = given.is_last;
    }

    void begin(const Shared& shared) {
      const py::object listing = call_method(catalog.get(), "list", {make_record(since), py::cast(shared)});
      PyObject* const made = PyObject_GetIter(listing.ptr());
      if (made == nullptr) throw py::error_already_set();
      iterator = Ref(py::reinterpret_steal<py::object>(made));
    }
  };

  void begin() {
    state_ = std::make_shared<State>();
    state_->catalog = catalog_;
    state_->since = since_;
    shared_ = std::make_shared<SharedContext>();
  }

  const Ref catalog_;
  Since since_;  // behind what was given out
  std::shared_ptr<State> state_;
  Shared shared_;
};

class PythonCatalog final : public Catalog {
 public:
  explicit PythonCatalog(const py::object& object)
      : identity_(bytes_from(object.attr("identity")(), "identity")),
        endpoint_(bytes_from(object.attr("endpoint")(), "endpoint")),
        object_(object),
        capabilities_(record_from<Capabilities>(object.attr("capabilities")(), "capabilities()")) {}

  Capabilities capabilities() const override {
    const std::scoped_lock lock(mutex_);
    return capabilities_;
  }
  std::string identity() const override { return identity_; }
  std::string endpoint() const override { return endpoint_; }
  void check(CatalogAccess access, Context& context) override {
    const auto shared = std::make_shared<SharedContext>();
    const auto known = in_python<Capabilities>(shared, context, [object = object_, access, shared] {
      call_method(object.get(), "check", {make_record(access), py::cast(shared)});
      return record_from<Capabilities>(call_method(object.get(), "capabilities", {}), "capabilities()");
    });
    const std::scoped_lock lock(mutex_);
    capabilities_ = known;
  }
  std::unique_ptr<ReferenceLister> list(const Since& since, Context&) override {
    return std::make_unique<PythonReferenceLister>(object_, since);
  }
  std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) override {
    return ask<UpdateResult>("update", updates, context);
  }
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) override {
    return ask<ReferenceValue>("read", ids, context);
  }

 private:
  template <class Answer, class Question>
  std::vector<Answer> ask(const char* method, std::span<const Question> questions, Context& context) const {
    const auto shared = std::make_shared<SharedContext>();
    auto answers = in_python<std::vector<Answer>>(
        shared, context, [object = object_, method, shared, copy = std::vector(questions.begin(), questions.end())] {
          return record_from<std::vector<Answer>>(call_method(object.get(), method, {make_record(copy), py::cast(shared)}), method);
        });
    if (answers.size() == questions.size()) return answers;
    throw Error(ErrorCode::internal, ErrorClass::internal,
                std::string(method) + "() gave " + std::to_string(answers.size()) + " answers to " +
                    std::to_string(questions.size()) + " questions");
  }

  const std::string identity_;
  const std::string endpoint_;
  const Ref object_;
  mutable std::mutex mutex_;
  Capabilities capabilities_;  // guarded by mutex_
};

std::shared_ptr<Catalog> make_catalog(const py::object& object) {
  if (!py::isinstance(object, record_class("Catalog"))) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                printable(py::cast<std::string>(py::repr(object))) + " is not a waybill.Catalog");
  }
  return std::make_shared<PythonCatalog>(object);
}

struct ListerHandle {
  std::shared_ptr<Catalog> catalog;
  std::unique_ptr<ReferenceLister> lister;
};

}  // namespace

void add_catalog(py::module_& module) {
  py::class_<ListerHandle>(module, "ReferenceLister")
      .def("next",
           [](const ListerHandle& handle, SharedContext& context) {
             return make_record(released([&] { return handle.lister->next(context); }));
           },
           py::arg("context"));
  py::class_<Catalog, std::shared_ptr<Catalog>>(module, "Catalog")
      .def("capabilities",
           [](const Catalog& catalog) { return make_record(released([&] { return catalog.capabilities(); })); })
      .def("identity", [](const Catalog& catalog) { return to_text(catalog.identity()); })
      .def("endpoint", [](const Catalog& catalog) { return to_text(catalog.endpoint()); })
      .def("check",
           [](Catalog& catalog, py::handle word, SharedContext& context) {
             const auto access = record_from<CatalogAccess>(word, "access");
             released([&] { catalog.check(access, context); });
           },
           py::arg("access"), py::arg("context"))
      .def("list",
           [](const std::shared_ptr<Catalog>& catalog, py::handle object, SharedContext& context) {
             const auto since = record_from<Since>(object, "since");
             return released([&] { return ListerHandle{catalog, catalog->list(since, context)}; });
           },
           py::arg("since"), py::arg("context"))
      .def("update",
           [](Catalog& catalog, py::handle sequence, SharedContext& context) {
             const auto updates = record_from<std::vector<ReferenceUpdate>>(sequence, "updates");
             return py::list(make_record(released([&] { return catalog.update(updates, context); })));
           },
           py::arg("updates"), py::arg("context"))
      .def("read",
           [](Catalog& catalog, py::handle sequence, SharedContext& context) {
             const auto ids = record_from<std::vector<ReferenceId>>(sequence, "ids");
             return py::list(make_record(released([&] { return catalog.read(ids, context); })));
           },
           py::arg("ids"), py::arg("context"));
  module.def("open_catalog", [](const std::string& url) { return open_catalog(url); }, py::arg("url"),
             py::call_guard<py::gil_scoped_release>());
  module.def("open_catalog_source",
             [](std::shared_ptr<Catalog> catalog, const py::list& list) {
               std::vector<std::shared_ptr<Source>> contents;
               for (const py::handle store : list) contents.push_back(store.cast<std::shared_ptr<Source>>());
               return open_catalog_source(std::move(catalog), std::move(contents));
             },
             py::arg("catalog"), py::arg("contents"));
  module.def("adapt_catalog", &make_catalog, py::arg("catalog"));
}

}  // namespace waybill::python
