// SPDX-License-Identifier: Apache-2.0

#include "engine/listing.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/fault_point.hpp"
#include "base/text.hpp"
#include "engine/filter.hpp"

namespace waybill::internal {
namespace {

// Retries of one page for errors that blame the item rather than the endpoint; the latter are waited out.
constexpr int most_page_failures = 8;
constexpr size_t gone_page = 1000;

// The destination's listing, walked in step with an ordered source's.
class DestinationWalk {
 public:
  DestinationWalk(const ListingJob& job, const Key& after) {
    const Destination::Capabilities can = job.destination.capabilities();
    if (can.order != Order::byte_key || job.source.capabilities().order != Order::byte_key) return;
    ListRequest request;
    if (can.start_after) request.after = after;
    Destination& destination = job.destination;
    cursor_.emplace([&destination, request](Context& context) { return destination.list(request, context); }, Order::byte_key,
                    destination.identity(), job.scope, job.retries.of(Side::destination), job.waiting);
  }

  AtDestination find(const Key& key) {
    if (!cursor_ || (last_ && key < *last_)) return {};  // another partition of the source begins: not in step any more
    last_ = key;
    const Item* item = cursor_->peek();
    while (item != nullptr && item->key() < key) {
      cursor_->pop();
      item = cursor_->peek();
    }
    if (item != nullptr && item->key() == key) return {true, *item};
    return {true, std::nullopt};
  }

 private:
  std::optional<ItemCursor> cursor_;
  std::optional<Key> last_;
};

std::vector<ItemChange> decide_page(const ListingJob& job, const Page& page, DestinationWalk& walk, bool may_be_known) {
  std::vector<std::optional<ItemRecord>> known(page.items.size());
  if (may_be_known) {
    std::vector<ItemId> ids;
    ids.reserve(page.items.size());
    for (const Item& item : page.items) ids.push_back(item.id);
    known = job.tracker->lookup(ids);
  }
  std::vector<ItemChange> changes;
  changes.reserve(page.items.size());
  DecideRules rules;
  rules.overwrite = job.options.overwrite;
  rules.is_transformed = job.is_transformed;
  for (size_t i = 0; i < page.items.size(); ++i) {
    const Item& item = page.items[i];
    const AtDestination there = walk.find(item.key());
    if (known[i] && known[i]->run == job.run) continue;  // recorded before the interruption
    rules.excluded_by = excluding_rule(item, job.options);
    changes.push_back(decide(item, known[i], there, rules, job.run));
  }
  return changes;
}

// Rows that no page of this run has shown: copied ones stay copied and are marked, owed ones have vanished.
bool mark_gone(const ListingJob& job, const ListingSink& sink) {
  Query query;
  query.not_seen_since = job.run;
  std::string resume;
  for (;;) {
    ScanPage page = job.tracker->scan(query, resume, gone_page);
    std::vector<ItemChange> changes;
    for (ScanRow& row : page.rows) {
      ItemRecord& record = row.record;
      const bool is_done = record.state == ItemState::copied || record.state == ItemState::verified;
      if (record.left || (is_done && record.gone_at_source)) continue;
      ItemChange change;
      if (is_done) {
        record.gone_at_source = true;
      } else if (record.state == ItemState::vanished || record.state == ItemState::excluded) {
        record.left = true;
      } else {
        record.state = ItemState::vanished;
        record.error_class = ErrorClass::missing;
        record.run = job.run;
        change.failure = refusal(ErrorClass::missing, "gone from the source before it was copied");
      }
      change.record = std::move(record);
      changes.push_back(std::move(change));
    }
    // Committed before the next page is read, so that the scan goes on over rows that no longer match.
    if (!changes.empty() && !sink(std::move(changes), std::nullopt, true)) return false;
    if (page.is_last) return true;
    resume = page.resume;
  }
}

}  // namespace

ItemCursor::ItemCursor(std::function<std::unique_ptr<Lister>(Context&)> open, Order order, std::string what, const RunScope& scope,
                       RetryPolicy& retry, std::function<void(const Error&)> waiting)
    : open_(std::move(open)), order_(order), what_(std::move(what)), scope_(scope), retry_(retry), waiting_(std::move(waiting)) {}

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
      if (order_ == Order::byte_key) {
        for (const Item& item : page.items) {
          if (last_ && last_->partition == item.id.partition &&
              std::tie(last_->key, last_->version) >= std::tie(item.id.key, item.id.version)) {
            throw Error(ErrorCode::data_loss, ErrorClass::server,
                        what_ + ": the listing is not in byte order: " + printable(item.id.key) + " came after " +
                            printable(last_->key) + "; nothing after it can be trusted");
          }
          last_ = item.id;
        }
      }
      return page;
    } catch (const Error& error) {
      ++failures;
      if (!error.retryable() || (failures >= most_page_failures && !blames_endpoint(error.error_class()))) throw;
      if (blames_endpoint(error.error_class())) retry_.endpoint_failed();
      waiting_(error);
      if (!scope_.cancel.sleep(retry_.delay(failures, error))) {
        throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "listing cancelled");
      }
    }
  }
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

bool list_everything(const ListingJob& job, const ListingSink& sink) {
  ListRequest request;
  Key last_key;
  bool is_listed = false;
  const Source::Capabilities can = job.source.capabilities();
  for (const ListingRecord& record : job.recorded) {
    is_listed = record.is_listed;
    request.resume = record.resume;
    if (can.start_after && can.order == Order::byte_key) {
      request.after = last_key = record.last_key;
      request.resume.clear();
    }
  }
  if (!is_listed) {
    DestinationWalk walk(job, last_key);
    // A ledger that has only seen this ordered listing knows nothing of what comes after the last recorded key.
    const bool goes_on_after = can.start_after && can.order == Order::byte_key;
    const bool may_be_known = job.tracker != nullptr && (job.has_earlier_runs || !goes_on_after);
    Source& source = job.source;
    ItemCursor cursor([&source, request](Context& context) { return source.list(request, context); }, can.order,
                      source.identity(), job.scope, job.retries.of(Side::source), job.waiting);
    for (;;) {
      std::optional<Page> page = cursor.next_page();
      ListingRecord record;
      record.is_listed = !page || page->is_last;
      std::vector<ItemChange> changes;
      if (page) {
        record.resume = page->resume;
        if (!page->items.empty()) {
          last_key = page->items.back().id.key;
          record.partition = page->items.back().id.partition;
        }
        changes = decide_page(job, *page, walk, may_be_known);
      }
      record.last_key = last_key;
      const bool is_last = record.is_listed;
      // Without an order the same item may come twice: its first row has to be there when the second is looked up.
      const bool wait = can.order == Order::none || is_last;
      if (!sink(std::move(changes), std::move(record), wait)) return false;
      if (is_last) break;
    }
  }
  return job.tracker == nullptr || !job.has_earlier_runs || !job.marks_gone || mark_gone(job, sink);
}

}  // namespace waybill::internal
