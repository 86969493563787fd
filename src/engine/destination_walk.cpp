// SPDX-License-Identifier: Apache-2.0

#include "engine/destination_walk.hpp"

#include <algorithm>
#include <utility>

namespace waybill::internal {

void DestinationTail::set(const Key& from, std::vector<Item> items) {
  std::scoped_lock lock(mutex_);
  if (from_ && *from_ <= from) return;
  from_ = from;
  items_ = std::move(items);
}

std::optional<std::vector<Item>> DestinationTail::behind(const Key& after) const {
  std::scoped_lock lock(mutex_);
  if (!from_ || after < *from_) return std::nullopt;
  const auto first = std::upper_bound(items_.begin(), items_.end(), after,
                                      [](const Key& key, const Item& item) { return key < item.key(); });
  return std::vector<Item>(first, items_.end());
}

DestinationWalk::DestinationWalk(Destination& destination, bool is_in_order, const Key& after, DestinationTail& tail,
                                 const RunScope& scope, RetryPolicy& retry, const ListingTrouble& trouble)
    : tail_(tail) {
  const Destination::Capabilities can = destination.capabilities();
  is_in_order_ = can.order == Order::byte_key && is_in_order;
  ListRequest request;
  if (can.start_after && is_in_order_) request.after = covered_ = after;
  cursor_.emplace([&destination, request](Context& context) { return destination.list(request, context); }, can.order,
                  destination.identity(), scope, retry, trouble);
}

// The next page. False at the end.
bool DestinationWalk::fetch() {
  if (is_over_) return false;
  at_ = 0;
  items_.clear();
  if (std::optional<std::vector<Item>> rest = tail_.behind(covered_)) {
    is_over_ = true;
    items_ = std::move(*rest);
    return true;
  }
  std::optional<Page> page = cursor_->next_page();
  is_over_ = !page || page->is_last;
  if (page) items_ = std::move(page->items);
  if (is_over_) tail_.set(covered_, items_);
  if (!items_.empty()) covered_ = items_.back().key();
  return true;
}

namespace {

bool is_before(const Item& a, const Item& b) { return a.key() < b.key(); }

}  // namespace

// Without steps to keep: the first page, which tells if it is the only one.
void DestinationWalk::begin_page() {
  if (std::exchange(is_begun_, true)) return;
  std::optional<Page> page = cursor_->next_page();
  is_over_ = !page || page->is_last;
  if (page && is_over_) items_ = std::move(page->items);
  std::sort(items_.begin(), items_.end(), is_before);
  asked_for_.resize(items_.size(), false);
  cursor_.reset();
}

Item* DestinationWalk::find_in_page(const Key& key, bool& is_listed) {
  begin_page();
  is_listed = is_over_;
  found_.id.key = key;
  const auto found = std::lower_bound(items_.begin(), items_.end(), found_, is_before);
  if (found == items_.end() || found->key() != key) return nullptr;
  asked_for_[static_cast<size_t>(found - items_.begin())] = true;
  found_ = *found;  // the same key may be asked for again
  return &found_;
}

void DestinationWalk::pass() {
  if (!std::exchange(is_matched_, false)) ++unmatched_;
  ++at_;
}

void DestinationWalk::finish(const std::optional<Key>& end, UnmatchedObjects& unmatched) {
  if (is_in_order_) {
    do {
      while (at_ < items_.size() && (!end || items_[at_].key() <= *end)) pass();
    } while (at_ == items_.size() && fetch());
    unmatched.count += unmatched_;
    if (is_out_of_step_) unmatched.is_known = false;
    return;
  }
  begin_page();
  unmatched.count += std::count(asked_for_.begin(), asked_for_.end(), false);
  if (!is_over_ || end) unmatched.is_known = false;
}

Item* DestinationWalk::find(const Key& key, bool& is_listed) {
  if (!is_in_order_) return find_in_page(key, is_listed);
  is_listed = !(last_ && key < *last_);  // another partition of the source begins: not in step any more
  if (!is_listed) {
    is_out_of_step_ = true;
    return nullptr;
  }
  last_ = key;
  do {
    while (at_ < items_.size() && items_[at_].key() < key) pass();
  } while (at_ == items_.size() && fetch());
  is_matched_ = at_ < items_.size() && items_[at_].key() == key;
  return is_matched_ ? &items_[at_] : nullptr;
}

}  // namespace waybill::internal
