// SPDX-License-Identifier: Apache-2.0

#include "engine/plan.hpp"

#include <bit>

#include "base/options.hpp"
#include "engine/body_pool.hpp"
#include "engine/cancellation.hpp"
#include "engine/collisions.hpp"
#include "engine/destination_key.hpp"
#include "engine/listing.hpp"
#include "engine/scratch_ledger.hpp"
#include "engine/switched_references.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_examples = 1000;
constexpr int most_failures = 8;
constexpr size_t page_rows = 1000;
// A run that no ledger has yet, so that every known row counts as one of an earlier run.
constexpr uint64_t planned_run = UINT64_MAX;

void count_change(const ItemChange& change, const Options& options, Plan& plan) {
  const ItemRecord& record = change.record;
  const uint64_t size = record.stamp.size.value_or(0);
  ++plan.items;
  plan.bytes += size;
  ++plan.size_histogram[size == 0 ? -1 : static_cast<int>(std::bit_width(size - 1))];
  switch (record.state) {
    case ItemState::copied:
    case ItemState::verified:
      ++plan.unchanged;
      return;
    case ItemState::excluded:
      ++plan.excluded;
      return;
    case ItemState::failed:
    case ItemState::vanished:
      if (record.error_class == ErrorClass::occupied) {
        ++plan.occupied;
      } else {
        ++plan.refused;
        ++plan.refused_by_class[to_string(record.error_class)];
      }
      if (plan.examples.size() < most_examples) {
        plan.examples.push_back({record.id.key, record.error_class, change.failure ? change.failure->message : ""});
      }
      return;
    case ItemState::pending:
      break;
  }
  plan.bytes_to_move += size;
  if (size > options.part_threshold_bytes) ++plan.objects_in_parts;
  if (record.seen == DestinationSeen::present || record.seen == DestinationSeen::unknown) {
    ++(options.overwrite == Overwrite::always ? plan.to_update : plan.to_compare);
  } else if (record.seen == DestinationSeen::ours) {
    ++plan.to_update;
  } else {
    ++plan.to_create;
  }
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
  const RunScope scope{never, bodies, "", 0, [](LogLevel, std::string_view) {}, [](std::string_view, uint64_t) {}};
  const ListingJob job{source, destination, tracker, options, scope, retries, is_transformed, planned_run, tracker != nullptr, {},
                       [](const Error& error, int failures) {
                         if (failures == most_failures) throw error;  // nobody watches a plan wait
                       },
                       false, 0, keys, new_place_of(source, tracker)};
  Plan plan;
  std::optional<ScratchLedger> sorted;
  if (keys != nullptr && !keys->is_unique()) sorted.emplace();
  const ListingSink sink = [&](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool) {
    for (const ItemChange& change : changes) count_change(change, options, plan);
    if (sorted) sorted->add(std::move(changes));
    return true;
  };
  if (!selects_items(options)) {
    list_everything(job, sink);
  } else if (tracker != nullptr) {
    select_items(job, sink);
  }
  if (sorted) count_collisions(*sorted, tracker, has_folders(destination), plan);
  return plan;
}

}  // namespace waybill::internal
