// SPDX-License-Identifier: Apache-2.0
//
// The destination's listing, walked in step with an ordered source's: what is there is known without a request per
// item. Where they are not in step, it is known of a destination that one page shows whole; an empty one above all.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/item_cursor.hpp"
#include "waybill/destination.hpp"

namespace waybill::internal {

/// The last page of the destination, once somebody has come to it: no walk that begins in it asks again. An empty
/// destination is asked once, however many walk through it.
///
/// *Thread safety:* any thread.
class DestinationTail {
 public:
  /// Behind `from` there are exactly `items`.
  void set(const Key& from, std::vector<Item> items);
  /// What there is behind `after`, if that is known.
  std::optional<std::vector<Item>> behind(const Key& after) const;

 private:
  mutable std::mutex mutex_;
  std::optional<Key> from_;  // guarded by mutex_
  std::vector<Item> items_;  // guarded by mutex_
};

/// Objects at the destination for which nobody has asked.
///
/// *Thread safety:* any thread.
struct UnmatchedObjects {
  std::atomic<int64_t> count{0};
  std::atomic<bool> is_known{true};  ///< false: some walk was in no step by which they would be seen
};

/// *Thread safety:* one thread at a time.
class DestinationWalk {
 public:
  /// Begins behind `after`, with the first find(). `is_in_order`: the keys that are going to be asked for ascend.
  DestinationWalk(Destination& destination, bool is_in_order, const Key& after, DestinationTail& tail,
                  const RunScope& scope, RetryPolicy& retry, const ListingTrouble& trouble);

  /// What is at `key`, or null; may be moved from where nobody asks for the key again. `is_listed` becomes false where the
  /// listing cannot tell.
  Item* find(const Key& key, bool& is_listed);
  /// Walks on, to `end` inclusively (nothing: to the end of all), and adds what nobody has asked for.
  void finish(const std::optional<Key>& end, UnmatchedObjects& unmatched);

 private:
  bool fetch();
  void pass();
  void begin_page();
  Item* find_in_page(const Key& key, bool& is_listed);

  DestinationTail& tail_;
  bool is_in_order_;
  std::optional<ItemCursor> cursor_;
  Key covered_;  // everything up to this key has been fetched
  std::vector<Item> items_;
  size_t at_ = 0;
  bool is_over_ = false;
  bool is_begun_ = false;
  std::optional<Key> last_;
  Item found_;
  bool is_matched_ = false;     // the item at at_
  bool is_out_of_step_ = false;
  int64_t unmatched_ = 0;       // behind at_
  std::vector<bool> asked_for_; // in no order: of items_
};

}  // namespace waybill::internal
