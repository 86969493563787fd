// SPDX-License-Identifier: Apache-2.0
//
// One listing as the engine reads it: pages are retried, endpoints in trouble are waited for, and the order that was
// promised is checked.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/cancellation.hpp"
#include "engine/retry.hpp"
#include "waybill/source.hpp"

namespace waybill::internal {

/// Told of a page that failed and is tried again, and how often it has failed. May throw: the listing ends with that.
using ListingTrouble = std::function<void(const Error&, int failures)>;

/// A listing that retries pages, checks that ordered keys ascend, and can look ahead by one item.
///
/// *Thread safety:* one thread at a time.
class ItemCursor {
 public:
  /// `open` begins the listing; `order` is what it promises.
  ItemCursor(std::function<std::unique_ptr<Lister>(Context&)> open, Order order, std::string what,
             const RunScope& scope, RetryPolicy& retry, ListingTrouble trouble);

  /// The next page, or nothing at the end. Errors: whatever is not retryable; data_loss where the order is broken.
  std::optional<Page> next_page();
  /// The next item in order, or null at the end; stays valid until pop().
  const Item* peek();
  void pop() { ++at_; }

 private:
  void check_order(const Page& page);

  std::function<std::unique_ptr<Lister>(Context&)> open_;
  const Order order_;
  const std::string what_;
  const RunScope& scope_;
  RetryPolicy& retry_;
  ListingTrouble trouble_;
  std::unique_ptr<Lister> lister_;
  std::optional<ItemId> last_;
  Page page_;
  size_t at_ = 0;
  bool is_over_ = false;
};

}  // namespace waybill::internal
