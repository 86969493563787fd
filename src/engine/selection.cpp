// SPDX-License-Identifier: Apache-2.0
//
// Items that are named instead of listed: by key, by having failed, by a finding. See select_items() in listing.hpp.
#include <algorithm>

#include "base/accounts.hpp"
#include "base/text.hpp"
#include "engine/cancellation.hpp"
#include "engine/decide.hpp"
#include "engine/destination_key.hpp"
#include "engine/filter.hpp"
#include "engine/listing.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr size_t page_rows = 1000;

// A row as it is taken up again: what is at its key is looked at by the transfer.
ItemChange taken_up(ItemRecord record, uint64_t run) {
  record.run = run;
  record.change = record.copied_at_ms ? Change::updated : Change::created;
  record.state = ItemState::pending;
  record.basis = Basis::none;
  record.seen = DestinationSeen::unknown;
  record.error_class = ErrorClass::none;
  record.waived = record.left = record.gone_at_source = false;
  record.verified_at_ms.reset();
  ItemChange change;
  change.record = std::move(record);
  return change;
}

class Selection {
 public:
  Selection(const ListingJob& job, const ListingSink& sink) : job_(job), options_(job.options), sink_(sink) {}

  ListingEnd run() {
    if (!options_.keys.empty()) return end_of(take_keys());
    if (options_.findings_of != 0) return end_of(take_findings());
    if (options_.partitions.empty()) return end_of(take_failed(std::nullopt));
    return end_of(std::all_of(options_.partitions.begin(), options_.partitions.end(),
                              [this](const std::string& partition) { return take_failed(partition); }));
  }

 private:
  ListingEnd end_of(bool is_done) const { return is_done ? ListingEnd::complete : ListingEnd::stopped; }

  bool take_failed(std::optional<std::string> partition) {
    Query query;
    query.states = {ItemState::failed};
    if (options_.force) query.states.insert(query.states.end(), {ItemState::copied, ItemState::verified});
    query.partition = std::move(partition);
    query.not_seen_since = job_.run;
    for (std::string resume;;) {
      ScanPage page = job_.tracker->scan(query, resume, page_rows);
      std::vector<ItemChange> changes;
      std::vector<ItemId> placeless;  // the template has made no key for them: only the source knows what it needs
      for (ScanRow& row : page.rows) {
        if (!wants(row.record)) continue;
        if (job_.keys != nullptr && row.record.destination_key.empty()) {
          placeless.push_back(row.record.id);
        } else {
          changes.push_back(taken_up(std::move(row.record), job_.run));
        }
      }
      // Committed before the next page is read: the rows taken up no longer match the query.
      if (!changes.empty() && !sink_(std::move(changes), {}, true)) return false;
      for (const ItemId& id : placeless) {
        if (!take(id)) return false;
      }
      if (page.is_last) return true;
      resume = page.resume;
    }
  }

  bool wants(const ItemRecord& record) const {
    if (record.left || record.waived) return false;
    if (is_done(record)) return !record.gone_at_source;
    const std::vector<std::string>& classes = options_.error_classes;
    return classes.empty() || std::find(classes.begin(), classes.end(), to_string(record.error_class)) != classes.end();
  }

  bool take_keys() {
    const std::vector<std::string> nameless = {""};
    for (const std::string& partition : options_.partitions.empty() ? nameless : options_.partitions) {
      for (const std::string& key : options_.keys) {
        if (!take(ItemId{partition, key, ""})) return false;
      }
    }
    return true;
  }

  bool take_findings() {
    for (uint64_t offset = 0;;) {
      const std::vector<Finding> findings = job_.tracker->findings(options_.findings_of, offset, page_rows);
      for (const Finding& finding : findings) {
        if (finding.kind != FindingKind::extra && finding.kind != FindingKind::gone && !take(finding.id)) return false;
      }
      offset += findings.size();
      if (findings.size() < page_rows) return true;
    }
  }

  bool take(const ItemId& id) {
    std::optional<ItemRecord> known = job_.tracker->lookup({&id, 1}).front();
    if (known && known->run == job_.run) return true;  // before the interruption, or by another finding
    CallContext context(job_.scope);
    ErrorClass dead = ErrorClass::missing;
    std::optional<Item> item = find(id, context, dead);
    if (!item && !known) {
      throw Error(ErrorCode::not_found, ErrorClass::missing,
                  "neither the source nor the ledger has an item \"" + shown_key(id.key) + "\"; nothing else was looked at");
    }
    std::vector<ItemChange> changes;
    if (!item) {
      changes.push_back(gone(std::move(*known), dead));
    } else {
      item->id = id;
      DecideRules rules;
      rules.overwrite = options_.overwrite;
      rules.lists_stamps = job_.source.capabilities().lists_stamps;
      rules.is_transformed = job_.is_transformed;
      rules.excluded_by = excluding_rule(*item, options_);
      PlacedItem place{std::move(*item), known ? known->destination_key : Key(), true};
      if (job_.keys != nullptr) place = placed(*job_.keys, place.item, known, rules.excluded_by.has_value());
      AtDestination there;
      there.is_listed = place.is_settled;
      const Key key = place.destination_key.empty() ? own_key(id) : place.destination_key;
      if (place.is_settled) there.item = job_.destination.stat(key, context);
      ItemChange change = decide(place.item, known, there, rules, job_.run);
      change.record.destination_key = place.destination_key;
      change.record.waived = false;  // who names it wants it
      const bool is_again = is_done(change.record) && (options_.force || options_.findings_of != 0);
      changes.push_back(is_again ? taken_up(std::move(change.record), job_.run) : std::move(change));
    }
    return sink_(std::move(changes), {}, true);
  }

  std::optional<Item> find(const ItemId& id, Context& context, ErrorClass& dead) const {
    try {
      return job_.source.stat(id, context);
    } catch (const Error& error) {
      if (!is_dead_link(job_.source, error)) throw;
      dead = error.error_class();
      return std::nullopt;
    }
  }

  ItemChange gone(ItemRecord record, ErrorClass why) const {
    ItemChange change;
    record.run = job_.run;
    if (is_done(record)) {
      record.gone_at_source = true;
      record.change = Change::unchanged;
    } else {
      record.state = ItemState::vanished;
      record.error_class = why;
      change.failure = refusal(why, "gone from the source before it was copied");
    }
    change.record = std::move(record);
    return change;
  }

  const ListingJob& job_;
  const Options& options_;
  const ListingSink& sink_;
};

}  // namespace

ListingEnd select_items(const ListingJob& job, const ListingSink& sink) { return Selection(job, sink).run(); }

}  // namespace waybill::internal
