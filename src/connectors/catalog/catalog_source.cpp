// SPDX-License-Identifier: Apache-2.0
#include "connectors/catalog/catalog_source.hpp"

#include <set>
#include <utility>

#include "connectors/links/links.hpp"
#include "waybill/error.hpp"

namespace waybill::catalog_source {
namespace {

constexpr size_t longest_key = 65'535;

Key key_of(std::string_view value) { return Key(value.substr(0, longest_key)); }

class CatalogLister final : public Lister {
 public:
  CatalogLister(std::unique_ptr<ReferenceLister> references, const links::Contents& contents)
      : references_(std::move(references)), contents_(contents) {}

  Page next(Context& context) override {
    ReferencePage references = references_->next(context);
    Page page;
    page.resume = std::move(references.resume);
    page.is_last = references.is_last;
    std::set<std::pair<std::string_view, std::string_view>> seen;
    for (const ReferenceValue& reference : references.references) {
      if (!reference.value || reference.value->empty()) continue;
      if (seen.emplace(reference.partition, *reference.value).second) page.items.push_back(item_of(reference));
    }
    return page;
  }

 private:
  Item item_of(const ReferenceValue& reference) const {
    const std::string& value = *reference.value;
    Item item;
    item.id = ItemId{reference.partition, key_of(value), ""};
    item.partition_name = reference.partition_name;
    item.names = reference.names;
    item.names.insert_or_assign("record", reference.id.record);
    const std::string where = "field " + printable(reference.id.field) + " of record " + printable(reference.id.record);
    if (value.size() > longest_key) {
      refuse(item, where + " holds a value of " + std::to_string(value.size()) +
                       " bytes, which is longer than a key can be: " + links::shown(value));
      return item;
    }
    try {
      static_cast<void>(contents_.find(value));
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::unsupported) throw;
      refuse(item, where + " holds no URL that can be read: " + error.message());
    }
    return item;
  }

  static void refuse(Item& item, std::string reason) {
    item.refused = ErrorClass::unsupported;
    item.reason = std::move(reason);
  }

  std::unique_ptr<ReferenceLister> references_;
  const links::Contents& contents_;  // of the source, which outlives its listers
};

class CatalogSource final : public Source {
 public:
  CatalogSource(std::shared_ptr<Catalog> catalog, std::vector<std::shared_ptr<Source>> contents)
      : catalog_(std::move(catalog)), contents_(std::move(contents)) {}

  Capabilities capabilities() const override {
    Capabilities capabilities;
    capabilities.order = Order::none;
    capabilities.lists_stamps = false;
    capabilities.links = true;
    return capabilities;
  }
  std::string identity() const override { return "catalog:" + catalog_->identity(); }
  std::string endpoint() const override { return catalog_->endpoint(); }
  void check(Context& context) override {
    catalog_->check(CatalogAccess::read, context);
    contents_.check(context);
  }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    return std::make_unique<CatalogLister>(catalog_->list(Since{"", request.resume}, context), contents_);
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    return contents_.read(item.id.key, item, offset, out, context);
  }
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override {
    return contents_.stream(item.id.key, item, context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override { return contents_.stat(id.key, id, context); }
  std::optional<ItemId> item_at(std::string_view url) const override {
    if (url.empty()) return std::nullopt;
    return ItemId{"", key_of(url), ""};
  }

 private:
  const std::shared_ptr<Catalog> catalog_;
  const links::Contents contents_;
};

}  // namespace

std::shared_ptr<Source> make_catalog_source(std::shared_ptr<Catalog> catalog,
                                            std::vector<std::shared_ptr<Source>> contents) {
  return std::make_shared<CatalogSource>(std::move(catalog), std::move(contents));
}

}  // namespace waybill::catalog_source
