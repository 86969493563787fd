// SPDX-License-Identifier: Apache-2.0
//
// Salesforce Files under the conformance suite, on the fault server. An organization gives ids, and the suite wants keys of
// its own choice: a name stands for the document that was put under it, and everything else of the source is as it is.
#include <map>

#include "base/hash.hpp"
#include "conformance/conformance.hpp"
#include "support/salesforce_files.hpp"
#include "waybill/connectors.hpp"

namespace waybill::conformance {
namespace {

using Keys = std::map<Key, Key>;

Key found(const Keys& keys, const Key& key) {
  const auto one = keys.find(key);
  return one == keys.end() ? key : one->second;
}

class NamedLister final : public Lister {
 public:
  NamedLister(std::unique_ptr<Lister> inner, const Keys& names) : inner_(std::move(inner)), names_(names) {}
  Page next(Context& context) override {
    Page page = inner_->next(context);
    for (Item& item : page.items) item.id.key = found(names_, item.id.key);
    return page;
  }

 private:
  std::unique_ptr<Lister> inner_;
  const Keys& names_;
};

class NamedSource final : public Source {
 public:
  NamedSource(std::shared_ptr<Source> inner, const Keys& ids, const Keys& names)
      : inner_(std::move(inner)), ids_(ids), names_(names) {}

  Capabilities capabilities() const override {
    Capabilities can = inner_->capabilities();
    can.order = Order::none;  // names are in another one than ids
    return can;
  }
  std::string identity() const override { return inner_->identity(); }
  std::string endpoint() const override { return inner_->endpoint(); }
  void check(Context& context) override { inner_->check(context); }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    return std::make_unique<NamedLister>(inner_->list(request, context), names_);
  }
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override {
    Item real = item;
    real.id.key = found(ids_, item.id.key);
    return inner_->stream(real, context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override {
    auto item = inner_->stat({id.partition, found(ids_, id.key), id.version}, context);
    if (item) item->id.key = id.key;
    return item;
  }

 private:
  const std::shared_ptr<Source> inner_;
  const Keys& ids_;
  const Keys& names_;
};

/// Putting is what it is to a user: a new version of a document, or a new document.
class SalesforceFilesFixture final : public SourceFixture {
 public:
  SalesforceFilesFixture() {
    org_.versions(most, 1, 0);
    // Nothing is there yet.
    for (uint64_t n = 0; n < most; ++n) org_.plant("ContentVersion", n, {{"IsLatest", false}});
  }
  ~SalesforceFilesFixture() override { resume(); }

  Source& source() override { return source_; }
  void put(const Key& key, std::string_view content, const Attributes&) override {
    const uint64_t version = next_++;
    if (const auto before = versions_.find(key); before != versions_.end()) {
      org_.edit("ContentVersion", before->second, {{"IsLatest", false}});
      org_.plant("ContentVersion", version, {{"ContentDocumentId", ids_.at(key)}});
    } else {
      ids_[key] = org_.text("ContentDocument", version, "Id");
      names_[ids_[key]] = key;
    }
    versions_[key] = version;
    org_.plant("ContentVersion", version, {{"IsLatest", true}, {"VersionData", internal::base64_encode(std::as_bytes(std::span(content)))}});
  }
  void remove(const Key& key) override { org_.edit("ContentVersion", versions_.at(key), {{"IsDeleted", true}}); }
  bool can_hold(const Key& key) const override { return !key.ends_with('/'); }
  size_t more_than_a_page() const override { return 2'010; }
  bool stall() override {
    rule_ = org_.server.add_rule({.action = testing::fault::Action::stall, .place = testing::fault::Place::answer});
    return true;
  }
  void resume() override {
    if (rule_ != 0) org_.server.remove_rule(rule_);
    rule_ = 0;
  }

 private:
  static constexpr uint64_t most = 2'020;

  testing::SalesforceFiles org_;
  Keys ids_;
  Keys names_;
  std::map<Key, uint64_t> versions_;
  uint64_t next_ = 0;
  uint64_t rule_ = 0;
  NamedSource source_{open_source(org_.url("ContentVersion")), ids_, names_};
};

}  // namespace

WAYBILL_CONFORMANCE_SOURCE(SalesforceFiles, SalesforceFilesFixture);

}  // namespace waybill::conformance
