// SPDX-License-Identifier: Apache-2.0

#include "engine/item_cursor.hpp"

#include <tuple>

#include "base/fault_point.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

// Tries of one page. Failures that blame the endpoint are waited out.
constexpr int most_page_failures = 8;

// An answer that came whole and makes no sense is no outage: waiting does not mend it.
bool is_waited_out(const Error& error) {
  const bool is_nonsense = error.code() == ErrorCode::data_loss && error.error_class() == ErrorClass::server;
  return blames_endpoint(error.error_class()) && !is_nonsense;
}

}  // namespace

ItemCursor::ItemCursor(std::function<std::unique_ptr<Lister>(Context&)> open, Order order, std::string what,
                       const RunScope& scope, RetryPolicy& retry, ListingTrouble trouble)
    : open_(std::move(open)),
      order_(order),
      what_(std::move(what)),
      scope_(scope),
      retry_(retry),
      trouble_(std::move(trouble)) {}

std::optional<Page> ItemCursor::next_page() {
  if (is_over_) return std::nullopt;
  for (int failures = 0;;) {
    try {
      CallContext context(scope_, failures + 1);
      context.check();
      if (!lister_) lister_ = open_(context);
      Page page = lister_->next(context);
      WAYBILL_FAULT_POINT("listing_page");
      retry_.succeeded();
      is_over_ = page.is_last;
      if (order_ == Order::byte_key) check_order(page);
      return page;
    } catch (const Error& error) {
      ++failures;
      if (!error.retryable() || (failures >= most_page_failures && !is_waited_out(error))) throw;
      if (is_waited_out(error)) retry_.endpoint_failed();
      trouble_(error, failures);
      if (!scope_.cancel.sleep(retry_.delay(failures, error))) {
        throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "listing cancelled");
      }
    }
  }
}

void ItemCursor::check_order(const Page& page) {
  const ItemId* last = last_ ? &*last_ : nullptr;
  for (const Item& item : page.items) {
    if (last != nullptr && last->partition == item.id.partition &&
        std::tie(last->key, last->version) >= std::tie(item.id.key, item.id.version)) {
      throw Error(ErrorCode::data_loss, ErrorClass::server,
                  printable(what_) + ": the listing is not in byte order: " + shown_key(item.id.key) + " came after " +
                      shown_key(last->key) + "; nothing after it can be trusted");
    }
    last = &item.id;
  }
  if (!page.items.empty()) last_ = *last;
}

const Item* ItemCursor::peek() {
  while (at_ >= page_.items.size()) {
    std::optional<Page> page = next_page();
    if (!page) return nullptr;
    page_ = std::move(*page);
    at_ = 0;
  }
  return &page_.items[at_];
}

}  // namespace waybill::internal
