// SPDX-License-Identifier: Apache-2.0
#include "connectors/catalog/catalog_source.hpp"

#include <set>
#include <sstream>
#include <utility>

#include "connectors/links/links.hpp"
#include "waybill/error.hpp"

namespace waybill::catalog_source {
namespace {

constexpr size_t longest_key = 65'535;

Key key_of(std::string_view value) { return Key(value.substr(0, longest_key)); }

void refuse(Item& item, std::string reason) {
  item.refused = ErrorClass::unsupported;
  item.reason = std::move(reason);
}

class CatalogLister final : public Lister {
 public:
  CatalogLister(std::unique_ptr<ReferenceLister> references, const SwitchedReferences* switched, const links::Contents& contents)
      : references_(std::move(references)), switched_(switched), contents_(contents) {}

  Page next(Context& context) override {
    const ReferencePage references = references_->next(context);
    Page page;
    page.resume = references.resume;
    page.is_last = references.is_last;
    std::vector<std::optional<ItemId>> old;
    if (switched_ != nullptr) old = switched_->items_of(references.references);
    std::set<ItemId> seen;
    for (size_t i = 0; i < references.references.size(); ++i) {
      const ReferenceValue& reference = references.references[i];
      if (!reference.value || reference.value->empty()) continue;
      // A value that a cutover wrote stands for the item that it took the place of.
      const bool is_switched = i < old.size() && old[i];
      ItemId id = is_switched ? *old[i] : ItemId{reference.partition, key_of(*reference.value), ""};
      const bool is_too_long = !is_switched && reference.value->size() > longest_key;
      if (seen.insert(id).second) page.items.push_back(item_of(reference, std::move(id), is_too_long));
    }
    return page;
  }

 private:
  Item item_of(const ReferenceValue& reference, ItemId id, bool is_too_long) const {
    Item item;
    item.id = std::move(id);
    item.partition_name = reference.partition_name;
    item.names = reference.names;
    item.names.insert_or_assign("record", reference.id.record);
    const std::string where = "field " + printable(reference.id.field) + " of record " + printable(reference.id.record);
    if (is_too_long) {
      refuse(item, where + " holds a value of " + std::to_string(reference.value->size()) +
                       " bytes, which is longer than a key can be: " + links::shown(*reference.value));
      return item;
    }
    try {
      static_cast<void>(contents_.find(item.id.key));
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::unsupported) throw;
      refuse(item, where + " holds no URL that can be read: " + error.message());
    }
    return item;
  }

  std::unique_ptr<ReferenceLister> references_;
  const SwitchedReferences* const switched_;  // of the run, or null
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
    return std::make_unique<CatalogLister>(catalog_->list(Since{"", request.resume}, context), request.switched, contents_);
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    return contents_.read(item.id.key, item, offset, out, context);
  }
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override {
    return contents_.stream(item.id.key, item, context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override {
    try {
      return contents_.stat(id.key, id, context);
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::unsupported) throw;
      Item item;  // as it is listed
      item.id = id;
      refuse(item, "its record holds no URL that can be read: " + error.message());
      return item;
    }
  }
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

std::shared_ptr<Source> open(Url url, const std::function<std::shared_ptr<Catalog>(const Url&)>& open_catalog) {
  std::vector<std::shared_ptr<Source>> contents;
  if (const auto named = url.query.find("contents"); named != url.query.end()) {
    std::istringstream words(named->second);
    for (std::string word; words >> word;) contents.push_back(open_source(word));
    url.query.erase(named);
  }
  return make_catalog_source(open_catalog(url), std::move(contents));
}

}  // namespace waybill::catalog_source
