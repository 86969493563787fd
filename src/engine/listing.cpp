// SPDX-License-Identifier: Apache-2.0

#include "engine/listing.hpp"

#include <algorithm>

#include "base/accounts.hpp"
#include "engine/decide.hpp"
#include "engine/destination_key.hpp"
#include "engine/filter.hpp"
#include "engine/parallel_listing.hpp"
#include "engine/relations.hpp"
#include "engine/switched_references.hpp"

namespace waybill::internal {
namespace {

constexpr size_t gone_page = 1000;

bool list_in_one(const ListingJob& job, const ListingSink& sink) {
  ListRequest request;
  for (const ListingRecord& record : job.recorded) {
    if (record.is_listed) return true;
    request.resume = record.resume;
  }
  std::optional<LedgerReferences> switched;
  if (has_references(job.source, job.tracker)) request.switched = &switched.emplace(*job.tracker);
  const Source::Capabilities can = job.source.capabilities();
  const Order order = can.order;
  DestinationTail tail;
  DestinationWalk walk(job.destination, keeps_order(can) && job.keys == nullptr, "", tail, job.scope, job.retries.of(Side::destination), job.trouble);
  Source& source = job.source;
  ItemCursor cursor([&source, request](Context& context) { return source.list(request, context); }, order, source.identity(),
                    job.scope, job.retries.of(Side::source), job.trouble);
  ListingRecord record;
  while (!record.is_listed) {
    std::optional<Page> page = cursor.next_page();
    record.is_listed = !page || page->is_last;
    std::vector<ItemChange> changes;
    if (page) {
      record.resume = page->resume;
      if (!page->items.empty()) {
        record.last_key = page->items.back().id.key;
        record.partition = page->items.back().id.partition;
      }
      // It begins where the interrupted run had come to, or again: what comes may be known.
      changes = decide_page(job, *page, match_page(job, *page, walk), true, walk);
    }
    // Without an order the same item may come twice: its first row has to be there when the second is looked up.
    if (!sink(std::move(changes), {record}, order == Order::none || record.is_listed)) return false;
  }
  if (job.unmatched != nullptr) walk.finish(std::nullopt, *job.unmatched);
  return true;
}

}  // namespace

PageAtDestination match_page(const ListingJob& job, const Page& page, DestinationWalk& walk) {
  PageAtDestination there;
  if (job.keys != nullptr) {
    there.is_listed.resize(page.items.size(), false);
    return there;
  }
  there.is_listed.reserve(page.items.size());
  for (size_t i = 0; i < page.items.size(); ++i) {
    const ItemId& id = page.items[i].id;
    const Key& key = id.key;
    bool is_listed = false;
    Item* item = id.version.empty() ? walk.find(key, is_listed) : walk.find(own_key(id), is_listed);
    there.is_listed.push_back(is_listed);
    if (item == nullptr) continue;
    const bool is_asked_again = i + 1 == page.items.size() || page.items[i + 1].key() == key;  // in another partition
    there.items.emplace_back(i, is_asked_again ? *item : std::move(*item));
    if (!is_asked_again) item->id.key = key;  // the walk goes on from here
  }
  return there;
}

PlacedItem placed(const KeyTemplate& keys, const Item& item, const std::optional<ItemRecord>& known, bool is_excluded) {
  PlacedItem result{item, known ? known->destination_key : Key(), known && is_done(*known)};
  if (item.refused != ErrorClass::none) return result;
  Made place = place_of(keys, item, known);
  if (place.refusal.empty()) {
    result.destination_key = std::move(place.text);
  } else if (!is_excluded) {
    result.item.refused = ErrorClass::unsupported;
    result.item.reason = std::move(place.refusal);
  }
  return result;
}

namespace {

ItemChange decide_placed(const ListingJob& job, const Item& item, const std::optional<ItemRecord>& known, const DecideRules& rules,
                         DestinationWalk& walk) {
  const PlacedItem place = placed(*job.keys, item, known, rules.excluded_by.has_value());
  AtDestination there;
  if (!place.destination_key.empty()) {
    Item* found = walk.find(place.destination_key, there.is_listed);
    if (found != nullptr && place.is_settled) there.item = *found;
    // What is there may be another item's by the end of the listing: the transfer looks.
    if (found != nullptr && !place.is_settled) there.is_listed = false;
  }
  ItemChange change = decide(place.item, known, there, rules, job.run);
  change.record.destination_key = place.destination_key;
  return change;
}

}  // namespace

std::vector<ItemChange> decide_page(const ListingJob& job, const Page& page, PageAtDestination there, bool may_be_known,
                                    DestinationWalk& walk) {
  std::vector<std::optional<ItemRecord>> known(page.items.size());
  if (may_be_known && job.tracker != nullptr) {
    std::vector<ItemId> ids;
    ids.reserve(page.items.size());
    for (const Item& item : page.items) ids.push_back(item.id);
    known = job.tracker->lookup(ids);
  }
  std::vector<ItemChange> changes;
  changes.reserve(page.items.size());
  DecideRules rules;
  rules.overwrite = job.options.overwrite;
  rules.lists_stamps = job.source.capabilities().lists_stamps;
  rules.is_transformed = job.is_transformed;
  auto match = there.items.begin();
  const std::vector<std::string>& partitions = job.options.partitions;
  for (size_t i = 0; i < page.items.size(); ++i) {
    const Item& item = page.items[i];
    AtDestination at_destination{there.is_listed[i], std::nullopt};
    if (match != there.items.end() && match->first == i) at_destination.item = std::move(match++->second);
    if (known[i] && known[i]->run == job.run) continue;  // recorded before the interruption
    const bool is_wanted = partitions.empty() || std::find(partitions.begin(), partitions.end(), item.id.partition) != partitions.end();
    if (!is_wanted) continue;
    if (job.on_item) job.on_item(item);
    rules.excluded_by = excluding_rule(item, job.options);
    if (!job.new_place.empty() && item.key().starts_with(job.new_place)) rules.excluded_by = "it is at the new place already";
    changes.push_back(job.keys != nullptr ? decide_placed(job, item, known[i], rules, walk)
                                          : decide(item, known[i], at_destination, rules, job.run));
    if (is_done(changes.back().record)) changes.back().result = relations_of(item);
  }
  return changes;
}

bool mark_gone(Tracker& tracker, uint64_t run, const std::string* partition, const char* why, const ListingSink& sink) {
  Query query;
  query.not_seen_since = run;
  if (partition != nullptr) query.partition = *partition;
  std::string resume;
  for (;;) {
    ScanPage page = tracker.scan(query, resume, gone_page);
    std::vector<ItemChange> changes;
    for (ScanRow& row : page.rows) {
      ItemRecord& record = row.record;
      if (record.left || (is_done(record) && record.gone_at_source)) continue;
      ItemChange change;
      if (is_done(record)) {
        record.gone_at_source = true;
      } else if (record.state == ItemState::vanished || record.state == ItemState::excluded) {
        record.left = true;
      } else {
        record.state = ItemState::vanished;
        record.error_class = ErrorClass::missing;
        record.run = run;
        change.failure = refusal(ErrorClass::missing, why);
      }
      change.record = std::move(record);
      changes.push_back(std::move(change));
    }
    // Committed before the next page is read, so that the scan goes on over rows that no longer match.
    if (!changes.empty() && !sink(std::move(changes), {}, true)) return false;
    if (page.is_last) return true;
    resume = page.resume;
  }
}

ListingEnd list_everything(const ListingJob& job, const ListingSink& sink) {
  const uint64_t limit = job.options.limit;
  uint64_t moved = job.moved_before;
  // The page on which the limit is reached is cut behind the last item to be moved, and is not recorded as listed.
  const ListingSink limited = [&](std::vector<ItemChange> changes, std::vector<ListingRecord> records, bool wait) {
    std::erase_if(changes, [](const ItemChange& change) { return is_look(change.record); });
    for (size_t i = 0; i < changes.size(); ++i) {
      if (changes[i].record.state != ItemState::pending || ++moved < limit) continue;
      changes.resize(i + 1);
      sink(std::move(changes), {}, true);
      return false;
    }
    return sink(std::move(changes), std::move(records), wait);
  };
  if (limit != 0 && moved >= limit) return ListingEnd::limited;
  // With a limit the first items are wanted, not the first of each range.
  const bool is_listed = limit != 0 ? list_in_one(job, limited) : can_list_ranges(job) ? list_ranges(job, sink) : list_in_one(job, sink);
  if (!is_listed) return limit != 0 && moved >= limit ? ListingEnd::limited : ListingEnd::stopped;
  // What a trial has not asked about must not look gone.
  if (limit != 0 && job.has_earlier_runs && !job.source.capabilities().lists_stamps) return ListingEnd::trial;
  if (job.tracker == nullptr || !job.has_earlier_runs || !job.marks_gone) return ListingEnd::complete;
  constexpr const char* why = "gone from the source before it was copied";
  const auto mark = [&](const std::string* partition) { return mark_gone(*job.tracker, job.run, partition, why, sink); };
  if (job.options.partitions.empty()) return mark(nullptr) ? ListingEnd::complete : ListingEnd::stopped;
  for (const std::string& partition : job.options.partitions) {
    if (!mark(&partition)) return ListingEnd::stopped;
  }
  return ListingEnd::complete;
}

}  // namespace waybill::internal
