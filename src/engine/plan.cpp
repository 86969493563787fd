// SPDX-License-Identifier: Apache-2.0

#include "engine/plan.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <set>

#include "base/options.hpp"
#include "base/text.hpp"
#include "engine/body_pool.hpp"
#include "engine/cancellation.hpp"
#include "engine/collisions.hpp"
#include "engine/decide.hpp"
#include "engine/destination_key.hpp"
#include "engine/listing.hpp"
#include "engine/plan_requests.hpp"
#include "engine/plan_sample.hpp"
#include "engine/plan_table.hpp"
#include "engine/scratch_ledger.hpp"
#include "engine/switched_references.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_examples = 1000;
constexpr size_t most_partitions = 1000;
constexpr size_t most_extensions = 100;
constexpr size_t most_runs = 1000;
constexpr int most_failures = 8;
constexpr size_t page_rows = 1000;
// A run that no ledger has yet, so that every known row counts as one of an earlier run.
constexpr uint64_t planned_run = UINT64_MAX;

// What becomes of each item, counted in memory that does not grow with them.
class PlanCount {
 public:
  PlanCount(Source& source, const Destination& destination, const Options& options, bool is_transformed, Plan& plan)
      : options_(options), plan_(plan), requests_(source, destination, options, is_transformed), sample_(source) {}

  /// Before the change of the same item.
  void see(const Item& item) {
    if (!item.partition_name.empty()) titles_[item.id.partition] = item.partition_name;
  }

  void add(const std::vector<ItemChange>& changes) {
    for (const ItemChange& change : changes) add(change);
    titles_.clear();
  }

  void finish(const RunScope& scope) {
    plan_.partitions = partitions_.largest(most_partitions, PlanTable::By::bytes);
    const bool is_one = plan_.partitions.size() == 1;
    if (is_one && plan_.partitions.front().name.empty() && plan_.partitions.front().title.empty()) plan_.partitions.clear();
    plan_.extensions = extensions_.largest(most_extensions, PlanTable::By::items);
    plan_.requests = requests_.take();
    sample_.ask(scope, plan_);
  }

 private:
  void add(const ItemChange& change) {
    const ItemRecord& record = change.record;
    const std::optional<uint64_t>& size = record.stamp.size;
    ++plan_.items;
    plan_.bytes += size.value_or(0);
    if (!size) ++plan_.unknown_sizes;
    else ++plan_.size_histogram[*size == 0 ? -1 : static_cast<int>(std::bit_width(*size - 1))];
    const auto title = titles_.find(record.id.partition);
    partitions_.add(record.id.partition, title == titles_.end() ? "" : title->second, size);
    extensions_.add(extension_of_key(record.id.key), "", size);
    switch (record.state) {
      case ItemState::copied:
      case ItemState::verified:
        ++plan_.unchanged;
        return;
      case ItemState::excluded:
        ++plan_.excluded;
        if (options_.max_size_bytes == 0 || size.value_or(0) <= options_.max_size_bytes) return;
        ++plan_.oversize;
        plan_.oversize_bytes += *size;
        return;
      case ItemState::failed:
      case ItemState::vanished:
        return add_refused(change);
      case ItemState::pending:
        return add_pending(record);
    }
  }

  static std::string extension_of_key(const Key& key) {
    if (key.ends_with('/')) return "";
    const std::string name = parts_of(key).name;
    const size_t dot = extension_of(name);
    return dot == name.size() ? "" : to_lower(name.substr(dot + 1));
  }

  void add_refused(const ItemChange& change) {
    const ItemRecord& record = change.record;
    if (record.error_class == ErrorClass::occupied) {
      ++plan_.occupied;
    } else {
      ++plan_.refused;
      ++plan_.refused_by_class[to_string(record.error_class)];
    }
    if (plan_.examples.size() < most_examples) {
      plan_.examples.push_back({record.id.key, record.error_class, change.failure ? change.failure->message : ""});
    }
  }

  void add_pending(const ItemRecord& record) {
    requests_.add(record);
    if (is_look(record)) {
      ++plan_.to_look_at;
      sample_.add(record.id, record.stamp.size.value_or(0));
      return;
    }
    sample_.add(record.id, record.stamp.size);
    const uint64_t size = record.stamp.size.value_or(0);
    plan_.bytes_to_move += size;
    if (size > options_.part_threshold_bytes) ++plan_.objects_in_parts;
    if (record.seen == DestinationSeen::present || record.seen == DestinationSeen::unknown) {
      ++(options_.overwrite == Overwrite::always ? plan_.to_update : plan_.to_compare);
    } else if (record.seen == DestinationSeen::ours) {
      ++plan_.to_update;
    } else {
      ++plan_.to_create;
    }
  }

  const Options& options_;
  Plan& plan_;
  std::map<std::string, std::string> titles_;  // of partitions, by those items of a page that tell one
  PlanTable partitions_;
  PlanTable extensions_;
  RequestCount requests_;
  PlanSample sample_;
};

// The pace of the last copy that moved something, and what that makes of this plan.
std::optional<Plan::Time> time_of(Tracker& tracker, const Plan& plan) {
  for (const RunSummary& run : tracker.history(most_runs)) {
    const uint64_t moved = run.attempts_total - run.attempts_failed;
    if (run.record.phase != Phase::copy || moved == 0 || run.record.active_seconds <= 0) continue;
    Plan::Time time;
    time.run = run.record.run;
    time.moved_items = static_cast<int64_t>(moved);
    time.active_seconds = run.record.active_seconds;
    for (int64_t after = INT64_MIN;;) {
      const std::vector<RateSample> rates = tracker.rates(time.run, after, page_rows);
      for (const RateSample& rate : rates) time.moved_bytes += rate.bytes;
      if (rates.size() < page_rows) break;
      after = rates.back().at_ms;
    }
    const auto items = static_cast<double>(plan.to_create + plan.to_update + plan.to_compare + plan.to_look_at);
    const auto bytes = static_cast<double>(plan.bytes_to_move + plan.estimated_bytes.value_or(0));
    time.seconds = items * time.active_seconds / static_cast<double>(time.moved_items);
    if (time.moved_bytes > 0) time.seconds = std::max(time.seconds, bytes * time.active_seconds / static_cast<double>(time.moved_bytes));
    return time;
  }
  return std::nullopt;
}

// Without an order an item may be listed more than once, as one that several records point at: it is one all the same.
void drop_known(std::vector<ItemChange>& changes, Tracker& met) {
  std::vector<ItemId> ids;
  for (const ItemChange& change : changes) ids.push_back(change.record.id);
  const std::vector<std::optional<ItemRecord>> known = met.lookup(ids);
  std::set<ItemId> here;
  std::vector<ItemChange> fresh;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!known[i] && here.insert(ids[i]).second) fresh.push_back(std::move(changes[i]));
  }
  changes = std::move(fresh);
}

// Items that the ledger knows and that were not listed count as well: their objects may be at the destination.
void add_known(Tracker& known, ScratchLedger& sorted) {
  for (std::string resume;;) {
    TargetPage page = known.scan_targets("", resume, page_rows);
    std::vector<ItemId> ids;
    for (const ItemRecord& record : page.items) ids.push_back(record.id);
    const std::vector<std::optional<ItemRecord>> listed = sorted.tracker().lookup(ids);
    std::vector<ItemChange> changes;
    for (size_t i = 0; i < page.items.size(); ++i) {
      if (listed[i]) continue;
      changes.emplace_back().record = std::move(page.items[i]);
    }
    sorted.add(std::move(changes));
    if (page.is_last) return;
    resume = page.resume;
  }
}

void count_collisions(ScratchLedger& sorted, Tracker* known, bool has_folders, Plan& plan) {
  if (known != nullptr) add_known(*known, sorted);
  Collisions found;
  const ListingSink sink = [&](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool) {
    sorted.add(std::move(changes));
    return true;
  };
  settle_collisions(sorted.tracker(), has_folders, sink, found);
  plan.collisions = found.keys;
  plan.items_in_collisions = found.items + found.failed;
  plan.collision_examples = std::move(found.examples);
}

}  // namespace

Plan make_plan(Source& source, Destination& destination, Tracker* tracker, bool is_transformed, const KeyTemplate* keys,
               const Options& options) {
  CancelSource never;
  BodyPool bodies(options.body_budget_bytes);
  EndpointRetries retries(options, source.endpoint() == destination.endpoint());
  std::atomic<int64_t> n_requests{0};
  const auto count = [&](std::string_view name, uint64_t amount) {
    if (name == "http_requests") n_requests += static_cast<int64_t>(amount);
  };
  const RunScope scope{never, bodies, "", 0, [](LogLevel, std::string_view) {}, count};
  Plan plan;
  PlanCount counted(source, destination, options, is_transformed, plan);
  UnmatchedObjects unmatched;
  const bool is_whole = !selects_items(options) && options.partitions.empty() && options.limit == 0;
  const ListingJob job{source, destination, tracker, options, scope, retries, is_transformed, planned_run, tracker != nullptr, {},
                       [](const Error& error, int failures) {
                         if (failures == most_failures) throw error;  // nobody watches a plan wait
                       },
                       false, 0, keys, new_place_of(source, tracker), is_whole ? &unmatched : nullptr,
                       [&](const Item& item) { counted.see(item); }};
  const bool may_repeat = source.capabilities().order == Order::none;
  const bool may_collide = keys != nullptr && !keys->is_unique();
  std::optional<ScratchLedger> sorted;
  if (may_repeat || may_collide) sorted.emplace();
  const ListingSink sink = [&](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool) {
    if (may_repeat) drop_known(changes, sorted->tracker());
    counted.add(changes);
    if (sorted) sorted->add(std::move(changes));
    return true;
  };
  if (!selects_items(options)) {
    list_everything(job, sink);
  } else if (tracker != nullptr) {
    select_items(job, sink);
  }
  const int64_t n_listing = n_requests;
  if (is_whole && unmatched.is_known) plan.unmatched_objects = unmatched.count;
  if (may_collide) count_collisions(*sorted, tracker, has_folders(destination), plan);
  counted.finish(scope);
  plan.requests.listing = n_listing;
  if (tracker != nullptr) plan.time = time_of(*tracker, plan);
  return plan;
}

}  // namespace waybill::internal
