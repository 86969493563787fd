// SPDX-License-Identifier: Apache-2.0
//
// The memory connector under the conformance suite; each case has a store of its own name.
#include <atomic>

#include "conformance/conformance.hpp"
#include "connectors/memory/memory.hpp"

namespace waybill::conformance {

namespace {

std::string new_name() {
  static std::atomic<int> last{0};
  return "conformance-" + std::to_string(++last);
}

AttributesKept kept() { return {true, true, true, true}; }

class MemorySourceFixture final : public SourceFixture {
 public:
  ~MemorySourceFixture() override { store_->clear(); }
  Source& source() override { return source_; }
  void put(const Key& key, std::string_view content, const Attributes& attributes) override {
    store_->put(key, std::string(content), {attributes, {}});
  }
  void remove(const Key& key) override { store_->remove(key); }
  AttributesKept attributes_kept() const override { return kept(); }

 private:
  std::string name_ = new_name();
  std::shared_ptr<memory::Store> store_ = memory::Store::named(name_);
  memory::MemorySource source_{name_};
};

class MemoryDestinationFixture final : public DestinationFixture {
 public:
  ~MemoryDestinationFixture() override { store_->clear(); }
  Destination& destination() override { return destination_; }
  std::optional<std::string> content(const Key& key) override {
    const auto object = store_->find(key);
    return object == nullptr ? std::nullopt : std::optional(object->content);
  }
  std::vector<Key> refused_keys() const override { return {"", std::string(65'536, 'k')}; }
  AttributesKept attributes_kept() const override { return kept(); }

 private:
  std::string name_ = new_name();
  std::shared_ptr<memory::Store> store_ = memory::Store::named(name_);
  memory::MemoryDestination destination_{name_};
};

}  // namespace

WAYBILL_CONFORMANCE_SOURCE(Memory, MemorySourceFixture);
WAYBILL_CONFORMANCE_DESTINATION(Memory, MemoryDestinationFixture);

}  // namespace waybill::conformance
