// SPDX-License-Identifier: Apache-2.0
//
// A Source over a sorted set of keys that answers listings page by page after a wait, as a store at the other end of a
// network does, and counts its requests. It has no content.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "waybill/source.hpp"

namespace waybill::testing {

class KeysSource : public Source {
 public:
  struct Behaviour {
    size_t page_size = 1000;
    std::chrono::milliseconds latency{0};
    bool start_after = true;
    bool ignores_after =
        false;  ///< lists from the beginning whatever it is told, and leaves out what was not asked for
    std::function<void(const Key& after, Context&)> before_page = [](const Key&, Context&) {};  ///< may throw
  };

  /// `keys` ascend.
  KeysSource(std::vector<Key> keys, Behaviour behaviour) : keys_(std::move(keys)), behaviour_(std::move(behaviour)) {}

  uint64_t requests() const { return requests_; }
  int most_at_once() const { return most_at_once_; }

  Capabilities capabilities() const override {
    return {.positioned = true, .order = Order::byte_key, .start_after = behaviour_.start_after, .lists_stamps = true};
  }
  std::string identity() const override { return "keys://set/"; }
  std::string endpoint() const override { return "keys"; }
  std::unique_ptr<waybill::Lister> list(const ListRequest& request, Context&) override {
    return std::make_unique<Listing>(*this, request);
  }
  ReadResult read(const Item&, uint64_t, std::span<std::byte>, Context&) override {
    ReadResult result;
    result.total_size = 0;
    return result;
  }

 private:
  class Listing final : public waybill::Lister {
   public:
    Listing(KeysSource& source, const ListRequest& request) : source_(source), request_(request) {
      if (source.behaviour_.ignores_after || request.after.empty()) return;
      next_ = std::upper_bound(source.keys_.begin(), source.keys_.end(), request.after) - source.keys_.begin();
    }
    Page next(Context& context) override {
      const Behaviour& behaviour = source_.behaviour_;
      const int at_once = ++source_.at_once_;
      source_.most_at_once_ = std::max(source_.most_at_once_.load(), at_once);
      ++source_.requests_;
      const bool goes_on = behaviour.latency.count() == 0 || context.sleep(behaviour.latency);
      --source_.at_once_;
      if (!goes_on) context.check();
      const std::vector<Key>& keys = source_.keys_;
      behaviour.before_page(next_ == 0 ? Key() : keys[static_cast<size_t>(next_) - 1], context);
      Page page;
      const size_t end = std::min(keys.size(), static_cast<size_t>(next_) + behaviour.page_size);
      for (size_t i = static_cast<size_t>(next_); i < end; ++i) {
        if (keys[i] <= request_.after && !request_.after.empty()) continue;
        if (!request_.before.empty() && keys[i] >= request_.before) {
          page.is_last = true;
          return page;
        }
        Item item;
        item.id.key = keys[i];
        item.stamp.size = 0;
        item.stamp.etag = "e";
        page.items.push_back(std::move(item));
      }
      next_ = static_cast<std::ptrdiff_t>(end);
      page.is_last = end == keys.size();
      return page;
    }

   private:
    KeysSource& source_;
    const ListRequest request_;
    std::ptrdiff_t next_ = 0;
  };

  const std::vector<Key> keys_;
  const Behaviour behaviour_;
  std::atomic<uint64_t> requests_{0};
  std::atomic<int> at_once_{0};
  std::atomic<int> most_at_once_{0};
};

}  // namespace waybill::testing
