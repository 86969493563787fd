// SPDX-License-Identifier: Apache-2.0
//
// The way in: lists the source, walks the destination's listing beside it, asks the ledger what it knows, and hands
// each page of decided rows to a sink. A copy's sink is the ledger; a plan's sink only counts. Memory is a page of each
// for every lister; how many there are, parallel_listing.hpp says.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "engine/cancellation.hpp"
#include "engine/destination_walk.hpp"
#include "engine/item_cursor.hpp"
#include "engine/retry.hpp"
#include "waybill/destination.hpp"
#include "waybill/options.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

class KeyTemplate;

/// Where decided rows go. False: stop listing.
/// Called by one thread at a time, not always the same. What one call hands over belongs into one transaction.
using ListingSink = std::function<bool(std::vector<ItemChange>, std::vector<ListingRecord>, bool wait_for_commit)>;

struct ListingJob {
  Source& source;
  Destination& destination;
  Tracker* tracker;          ///< null: nothing is known
  const Options& options;
  const RunScope& scope;
  EndpointRetries& retries;
  bool is_transformed = false;
  uint64_t run = 0;
  bool has_earlier_runs = false;            ///< rows of earlier runs may be gone from the source
  std::vector<ListingRecord> recorded;      ///< how far an interrupted run has come
  ListingTrouble trouble;                   ///< called by one thread at a time
  bool marks_gone = true;                   ///< look for rows that the source no longer lists
  uint64_t moved_before = 0;                ///< of Options::limit, by an interrupted run
  const KeyTemplate* keys = nullptr;        ///< null: each item goes to its own key
  std::string new_place = {};               ///< of links: one that begins with it is ours; "": none does
  UnmatchedObjects* unmatched = nullptr;    ///< where it is set, the destination is walked to its end
  /// Told of each item that is decided about, before the sink: what it has beside its row. By one thread at a time. May be empty.
  std::function<void(const Item&)> on_item = {};
};

enum class ListingEnd {
  complete,
  limited,  ///< Options::limit items are to be moved; the rest is not listed
  trial,    ///< all are listed, but with a limit nobody asks about what was copied before, and the listing does not tell
  stopped,  ///< the sink said stop
};

/// Lists everything that is not listed yet into `sink`, then marks what is gone from the source.
/// Errors: what the stores throw and retries do not mend.
ListingEnd list_everything(const ListingJob& job, const ListingSink& sink);

/// Once everything is listed: rows, of one partition or (null) of all, that no listing of `run` has shown. Copied ones stay copied
/// and are marked; owed ones have vanished, which `why` says. False if the sink said stop.
bool mark_gone(Tracker& tracker, uint64_t run, const std::string* partition, const char* why, const ListingSink& sink);

/// Instead of listing: the items that Options::keys, failed_only or findings_of name, as far as no interrupted run has
/// taken them up already. Errors: missing (a key that neither the source nor the ledger knows), and as list_everything.
ListingEnd select_items(const ListingJob& job, const ListingSink& sink);

/// What the destination has for the items of a page.
struct PageAtDestination {
  std::vector<bool> is_listed;                 ///< one for each item
  std::vector<std::pair<size_t, Item>> items;  ///< what is there, with the position in the page; ascending
};

/// Walks to the end of the page: may wait for the destination. With a key template nothing is known before the ledger has been
/// asked for the items' keys.
PageAtDestination match_page(const ListingJob& job, const Page& page, DestinationWalk& walk);

/// What becomes of the items of a page. `may_be_known`: the ledger may have rows of them. `walk`, which is in no order, is
/// looked into where there is a key template.
std::vector<ItemChange> decide_page(const ListingJob& job, const Page& page, PageAtDestination there, bool may_be_known,
                                    DestinationWalk& walk);

/// With a key template: the item with the key that it goes to, or refused. What is at that key may be looked at only where the
/// item is there already: of others it may yet change.
struct PlacedItem {
  Item item;
  Key destination_key;
  bool is_settled = false;
};
PlacedItem placed(const KeyTemplate& keys, const Item& item, const std::optional<ItemRecord>& known, bool is_excluded);

}  // namespace waybill::internal
