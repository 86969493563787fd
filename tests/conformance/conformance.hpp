// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite: what every Source, Destination, Catalog and Tracker has to keep, as GoogleTest cases. To run it on
// a store of your own, derive a fixture from the one of its interface, instantiate the suite with the macro at its end,
// and compile the *_conformance.cpp files beside it (see README.md). It includes waybill's public headers only,
// and tests/support/test_context.hpp.
//
// What a store says it cannot do (Capabilities) or hold (can_hold) is skipped, and the skip is printed with its reason.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/test_context.hpp"
#include "waybill/catalog.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::conformance {

/// Which attributes a store keeps. The suite writes them and expects them back.
struct AttributesKept {
  bool content_headers = false;  ///< content_type, content_encoding, content_language, content_disposition, cache_control
  bool metadata = false;
  bool mode = false;
  bool mtime = false;
};

/// A Source under test, and the store behind it, which begins empty.
class SourceFixture {
 public:
  virtual ~SourceFixture() = default;

  virtual Source& source() = 0;
  /// Puts content into the store, replacing what is there; by other means than the source under test. A key that ends
  /// in '/' comes without content: an empty folder.
  virtual void put(const Key& key, std::string_view content, const Attributes& attributes) = 0;
  virtual void remove(const Key& key) = 0;

  /// Whether the store can hold such a key. Cases leave out the others, and say so.
  virtual bool can_hold(const Key& key) const {
    static_cast<void>(key);
    return true;
  }
  virtual AttributesKept attributes_kept() const { return {}; }
  /// So many items do not fit one page of a listing.
  virtual size_t more_than_a_page() const { return 2'100; }
  /// From now on, calls to the store hang (a frozen connection, a closed gate) until resume(). False where a call
  /// cannot be made to hang.
  virtual bool stall() { return false; }
  virtual void resume() {}
  /// Whether listings ask the store that stall() stops; not where something else lists its items.
  virtual bool lists_from_store() const { return true; }
  /// A source of the same kind whose store is not there; null where there is no such thing.
  virtual std::shared_ptr<Source> missing_store() { return nullptr; }
};

/// A Destination under test, and the store behind it, which begins empty.
class DestinationFixture {
 public:
  virtual ~DestinationFixture() = default;

  virtual Destination& destination() = 0;
  /// The content at a key, by other means than the destination under test where there are some; nothing if it is absent.
  virtual std::optional<std::string> content(const Key& key) = 0;

  virtual bool can_hold(const Key& key) const {
    static_cast<void>(key);
    return true;
  }
  /// Keys that the destination must refuse with class unsupported; it must hold every other key of the suite verbatim.
  virtual std::vector<Key> refused_keys() const { return {}; }
  /// Things outside of the destination's root or prefix that writes have left there, by name.
  virtual std::vector<std::string> strays() { return {}; }
  /// Temporary things, and unfinished uploads, that are now in the store, by name.
  virtual std::vector<std::string> leftovers() { return {}; }
  virtual AttributesKept attributes_kept() const { return {}; }
  virtual size_t more_than_a_page() const { return 2'100; }
  /// As SourceFixture::stall.
  virtual bool stall() { return false; }
  virtual void resume() {}
  virtual std::shared_ptr<Destination> missing_store() { return nullptr; }
};

/// A Catalog under test, and the system of record behind it, which begins without records.
class CatalogFixture {
 public:
  /// What a record keeps beside its value.
  struct Kept {
    bool partition = false;
    bool partition_name = false;
    bool stamps = false;             ///< that rise with every change, also one that put() and set() make
    std::vector<std::string> names;  ///< of ReferenceValue::names
  };
  virtual ~CatalogFixture() = default;

  virtual Catalog& catalog() = 0;
  /// Of every ReferenceId.
  virtual std::string field() const = 0;
  /// Adds records, by other means than the catalog under test: of each the record's id, value, partition and names.
  virtual void put(std::span<const ReferenceValue> records) = 0;
  virtual void set(const std::string& record, const std::optional<std::string>& value) = 0;
  virtual void remove(const std::string& record) = 0;
  /// The value of a record that is there, by other means than the catalog under test.
  virtual std::optional<std::string> value(const std::string& record) = 0;

  virtual Kept kept() const { return {}; }
  /// An id for each number, all different. They need not be in order.
  virtual std::string record(int number) const { return "record " + std::to_string(number); }
  virtual bool can_hold_record(const std::string& record) const {
    static_cast<void>(record);
    return true;
  }
  virtual bool can_hold_value(const std::optional<std::string>& value) const {
    static_cast<void>(value);
    return true;
  }
  /// A value that the field must not take (it is too long, it breaks a constraint); nothing where there is none.
  virtual std::optional<std::string> refused_value() const { return std::nullopt; }
  virtual size_t more_than_a_page() const { return 2'100; }
  /// As SourceFixture::stall.
  virtual bool stall() { return false; }
  virtual void resume() {}
  /// A catalog of the same kind whose store is not there; null where there is no such thing.
  virtual std::shared_ptr<Catalog> missing_store() { return nullptr; }
  /// The same store, for somebody who may only read it; null where there is no such thing.
  virtual std::shared_ptr<Catalog> without_right_to_update() { return nullptr; }
};

/// A Tracker under test: an empty ledger.
class TrackerFixture {
 public:
  virtual ~TrackerFixture() = default;

  /// Opens the ledger. Each call gives another handle, as another process would have; null where the ledger cannot be
  /// opened a second time.
  virtual std::shared_ptr<Tracker> open() = 0;
  /// Opens the ledger read-only; null where there is no such thing.
  virtual std::shared_ptr<Tracker> open_read_only() { return nullptr; }
  /// Whether what was committed is there after the last handle is gone.
  virtual bool is_durable() const { return true; }
};

template <typename Fixture>
struct Factory {
  std::string name;
  std::function<std::unique_ptr<Fixture>()> make;
};

template <typename Fixture>
void PrintTo(const Factory<Fixture>& factory, std::ostream* out) {
  *out << factory.name;
}

template <typename Fixture>
class Suite : public ::testing::TestWithParam<Factory<Fixture>> {
 protected:
  void SetUp() override { fixture_ = this->GetParam().make(); }
  void TearDown() override { fixture_.reset(); }

  Fixture& fixture() { return *fixture_; }
  testing::TestContext& context() { return context_; }

  /// Says what was left out of a case, without ending it.
  static void note(const std::string& text) {
    ::testing::Test::RecordProperty("left_out", text);
    std::printf("[  LEFT    ] %s\n", text.c_str());
  }

 private:
  std::unique_ptr<Fixture> fixture_;
  testing::TestContext context_;
};

class SourceConformance : public Suite<SourceFixture> {};
class DestinationConformance : public Suite<DestinationFixture> {};
class CatalogConformance : public Suite<CatalogFixture> {};
class TrackerConformance : public Suite<TrackerFixture> {};

// ---- what the suites share ----

/// `size` bytes that look random and depend on `seed` only.
std::string sample_content(size_t size, uint64_t seed);
/// Keys whose bytewise order differs from every other order, and names that stores get wrong: spaces, '+', '%', quotes,
/// newline, emoji, bytes that are no UTF-8, a component of 255 bytes, depth. None is a folder of another one.
std::vector<Key> awkward_keys();
/// Keys that try to leave the store, or that look like another key. For each, refusing it and holding it verbatim are right.
std::vector<Key> hostile_keys();

/// Whether two contents are equal; says where they differ, without printing all of them.
::testing::AssertionResult same(const std::optional<std::string>& got, const std::optional<std::string>& want);

/// What a call threw; nothing if it returned.
std::optional<Error> error_of(const std::function<void()>& call);

/// Runs `call` on a thread of its own with a context that is cancelled after `wait`; fails the test unless the call ends
/// within one second of that. Gives what it threw.
std::optional<Error> cancel_during(const std::function<void(Context&)>& call, std::chrono::milliseconds wait);

/// All items of a listing, page by page. Fails the test if pages keep coming after is_last, or more than `max_pages`.
template <typename Store>
std::vector<Item> list_all(Store& store, const ListRequest& request, Context& context) {
  constexpr int max_pages = 100'000;
  std::vector<Item> items;
  const std::unique_ptr<Lister> lister = store.list(request, context);
  for (int n = 0; n < max_pages; ++n) {
    Page page = lister->next(context);
    items.insert(items.end(), std::make_move_iterator(page.items.begin()), std::make_move_iterator(page.items.end()));
    if (page.is_last) return items;
  }
  ADD_FAILURE() << "the listing has no last page";
  return items;
}

inline std::vector<Key> keys_of(const std::vector<Item>& items) {
  std::vector<Key> keys;
  for (const Item& item : items) keys.push_back(item.id.key);
  return keys;
}

/// The checks of a listing that Source and Destination share. `keys`: what the store holds.
template <typename Store>
void check_order(Store& store, const std::vector<Key>& keys, Context& context);
template <typename Store>
void check_bounds(Store& store, const std::vector<Key>& keys, Context& context);
template <typename Store>
void check_resume(Store& store, const std::vector<Key>& keys, Context& context);

#define WAYBILL_CONFORMANCE_INSTANTIATE_(Suite, Interface, Name, ...)                                             \
  INSTANTIATE_TEST_SUITE_P(                                                                                         \
      Name, Suite,                                                                                                  \
      ::testing::Values(::waybill::conformance::Factory<Interface>{                                                 \
          #Name, [] { return std::unique_ptr<Interface>(std::make_unique<__VA_ARGS__>()); }}),                      \
      [](const auto& instance) { return instance.param.name; })

/// Runs the suite on a store: Name is a word for the output, the rest a default-constructible fixture type. At namespace
/// scope, in namespace waybill::conformance.
#define WAYBILL_CONFORMANCE_SOURCE(Name, ...) \
  WAYBILL_CONFORMANCE_INSTANTIATE_(SourceConformance, SourceFixture, Name, __VA_ARGS__)
#define WAYBILL_CONFORMANCE_DESTINATION(Name, ...) \
  WAYBILL_CONFORMANCE_INSTANTIATE_(DestinationConformance, DestinationFixture, Name, __VA_ARGS__)
#define WAYBILL_CONFORMANCE_CATALOG(Name, ...) \
  WAYBILL_CONFORMANCE_INSTANTIATE_(CatalogConformance, CatalogFixture, Name, __VA_ARGS__)
#define WAYBILL_CONFORMANCE_TRACKER(Name, ...) \
  WAYBILL_CONFORMANCE_INSTANTIATE_(TrackerConformance, TrackerFixture, Name, __VA_ARGS__)

}  // namespace waybill::conformance
