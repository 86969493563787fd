// SPDX-License-Identifier: Apache-2.0
//
// A Source of partitions with names, as a system of record has accounts: listed in any order, page by page.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "waybill/source.hpp"

namespace waybill::testing {

class AccountsSource : public Source {
 public:
  struct File {
    std::string content;
    std::string account_name;
    std::map<std::string, std::string> names = {};
  };
  /// Not while a run uses them.
  std::map<std::pair<std::string, Key>, File> files;
  unsigned order = 0;      ///< of listings: a shuffle of its own each
  size_t page_size = 3;
  std::function<void(bool is_last)> before_page = [](bool) {};

  Capabilities capabilities() const override { return {.order = Order::none}; }
  std::string identity() const override { return "accounts://test/"; }
  std::string endpoint() const override { return "accounts"; }
  std::unique_ptr<waybill::Lister> list(const ListRequest&, Context&) override {
    std::vector<Item> items;
    for (const auto& [id, file] : files) items.push_back(item_of(id, file));
    std::mt19937 random(order);
    std::shuffle(items.begin(), items.end(), random);
    return std::make_unique<Listing>(*this, std::move(items));
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context&) override {
    const auto found = files.find({item.id.partition, item.id.key});
    if (found == files.end()) throw Error(ErrorCode::not_found, ErrorClass::missing, "gone");
    const std::string& content = found->second.content;
    ReadResult result;
    result.total_size = content.size();
    result.stamp = item_of(found->first, found->second).stamp;
    if (offset < content.size()) {
      result.count = std::min<size_t>(out.size(), content.size() - offset);
      std::memcpy(out.data(), content.data() + offset, result.count);
    }
    return result;
  }
  std::optional<Item> stat(const ItemId& id, Context&) override {
    const auto found = files.find({id.partition, id.key});
    if (found == files.end()) return std::nullopt;
    return item_of(found->first, found->second);
  }
  Removal remove(const Item& item, Context&) override {
    return files.erase({item.id.partition, item.id.key}) == 0 ? Removal::gone : Removal::removed;
  }

 private:
  class Listing final : public waybill::Lister {
   public:
    Listing(AccountsSource& source, std::vector<Item> items) : source_(source), items_(std::move(items)) {}
    Page next(Context&) override {
      Page page;
      page.is_last = items_.size() <= source_.page_size;
      source_.before_page(page.is_last);
      for (size_t i = 0; i < source_.page_size && !items_.empty(); ++i) {
        page.items.push_back(std::move(items_.back()));
        items_.pop_back();
      }
      return page;
    }

   private:
    AccountsSource& source_;
    std::vector<Item> items_;
  };

  static Item item_of(const std::pair<std::string, Key>& id, const File& file) {
    Item item;
    item.id = {id.first, id.second, ""};
    item.partition_name = file.account_name;
    item.names = file.names;
    item.stamp.size = file.content.size();
    item.stamp.opaque = file.content.substr(0, 100);
    return item;
  }
};

}  // namespace waybill::testing
