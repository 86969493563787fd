// SPDX-License-Identifier: Apache-2.0
//
// The way in: lists the source, walks the destination's listing beside it, asks the ledger what it knows, and hands
// each page of decided rows to a sink. A copy's sink is the ledger; a plan's sink only counts. Memory is a page of each.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/cancellation.hpp"
#include "engine/decide.hpp"
#include "engine/retry.hpp"
#include "waybill/destination.hpp"
#include "waybill/options.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// A listing that retries pages, checks that ordered keys ascend, and can look ahead by one item.
class ItemCursor {
 public:
  /// `open` begins the listing after `after` ("" from the start); `order` is what it promises.
  ItemCursor(std::function<std::unique_ptr<Lister>(Context&)> open, Order order, std::string what, const RunScope& scope,
             RetryPolicy& retry, std::function<void(const Error&)> waiting);

  /// The next page, or nothing at the end. Errors: whatever is not retryable; data_loss where the order is broken.
  std::optional<Page> next_page();
  /// The next item in order, or null at the end; stays valid until pop().
  const Item* peek();
  void pop() { ++at_; }

 private:
  std::function<std::unique_ptr<Lister>(Context&)> open_;
  const Order order_;
  const std::string what_;
  const RunScope& scope_;
  RetryPolicy& retry_;
  std::function<void(const Error&)> waiting_;
  std::unique_ptr<Lister> lister_;
  std::optional<ItemId> last_;
  Page page_;
  size_t at_ = 0;
  bool is_over_ = false;
};

/// Where decided rows go. False: stop listing.
using ListingSink = std::function<bool(std::vector<ItemChange>, std::optional<ListingRecord>, bool wait_for_commit)>;

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
  std::function<void(const Error&)> waiting;  ///< a page failed and is tried again
  bool marks_gone = true;                   ///< look for rows that the source no longer lists
};

/// Lists everything that is not listed yet into `sink`, then marks what is gone from the source. True if it came to its
/// end; false if the sink said stop. Errors: what the stores throw and retries do not mend.
bool list_everything(const ListingJob& job, const ListingSink& sink);

}  // namespace waybill::internal
