// SPDX-License-Identifier: Apache-2.0

#include "engine/collisions.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "base/accounts.hpp"
#include "engine/decide.hpp"
#include "engine/key_template.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr size_t page_rows = 1000;
constexpr size_t most_changes = 1000;
constexpr size_t most_examples = 1000;
// Each scan that finds something gives suffixes to items that had none. Keys that are made to meet others' suffixes take one
// more each; nobody has as many.
constexpr int most_scans = 32;

// Whether it may be put there, now or by a later run.
bool may_move(const ItemRecord& record) {
  return !record.left && (record.state == ItemState::pending || record.state == ItemState::failed);
}

class CollisionScan {
 public:
  CollisionScan(Tracker& tracker, bool has_folders, const ListingSink& sink, Collisions& found)
      : tracker_(tracker), has_folders_(has_folders), sink_(sink), found_(found) {
    for (const UploadRecord& upload : tracker.uploads()) open_.insert(upload.id);
  }

  /// False if the sink said stop.
  bool run() {
    for (std::string resume;;) {
      TargetPage page = tracker_.scan_targets("", resume, page_rows);
      for (ItemRecord& record : page.items) {
        if (!meet(std::move(record))) return false;
      }
      if (page.is_last) break;
      resume = page.resume;
    }
    end_group();
    group_from_ = changes_.size();
    return flush();
  }
  /// Whether an item has another key now.
  bool has_moved() const noexcept { return has_moved_; }

 private:
  // Whether an object of the item is at its key, or may be: it is not to be moved from there.
  bool is_at_its_key(const ItemRecord& record) const {
    return is_done(record) || record.stored || record.copied_at_ms || open_.contains(record.id);
  }

  bool meet(ItemRecord record) {
    if (record.destination_key != key_) {
      end_group();
      begin_group(record.destination_key);
    }
    const bool is_holder = is_at_its_key(record);
    if (!is_holder && !may_move(record)) return true;
    if (has_folders_ && !make_folders(record, is_holder)) return true;
    ++n_members_;
    if (is_holder) {
      holder_ = std::move(record);
    } else if (!first_) {
      first_ = std::move(record);
    } else {
      give_suffix(std::move(record));
    }
    // The first one moves once it is known not to be alone.
    if (n_members_ > 1 && first_) give_suffix(*std::exchange(first_, std::nullopt));
    return changes_.size() + failures_.size() <= most_changes || flush();
  }

  void begin_group(const Key& key) {
    key_ = key;
    n_members_ = 0;
    is_counted_ = false;
    group_from_ = changes_.size();
    while (!above_.empty() && !key.starts_with(above_.back().destination_key)) above_.pop_back();
  }

  // The only one at its key stays; it may be above others.
  void end_group() {
    if (has_folders_ && n_members_ > 0 && !key_.ends_with('/')) {
      if (holder_) above_.push_back(std::move(*holder_));
      else if (first_) above_.push_back(std::move(*first_));
    }
    holder_.reset();
    first_.reset();
  }

  // For an item at a key "a/b": whatever is at "a" moves; where it cannot, this one fails, and is done with: false.
  bool make_folders(const ItemRecord& record, bool is_holder) {
    for (size_t i = 0; i < above_.size(); ++i) {
      ItemRecord& above = above_[i];
      const size_t size = above.destination_key.size();
      if (record.destination_key.size() <= size || record.destination_key[size] != '/') continue;
      if (!is_at_its_key(above)) {
        is_counted_ = false;  // the other key is one of its own
        give_suffix(std::move(above));
        is_counted_ = false;
        above_.erase(above_.begin() + static_cast<std::ptrdiff_t>(i--));
      } else if (!is_holder) {
        fail(record, "the item \"" + shown_key(above.id.key) + "\" is at \"" + shown_key(above.destination_key) +
                         "\" at the destination, where this one needs a folder");
        return false;
      }
    }
    return true;
  }

  void give_suffix(ItemRecord record) {
    const Key wanted = record.destination_key;
    const Key own = has_own_suffix(wanted, record.id) ? Key() : with_own_suffix(wanted, record.id);
    if (own.empty()) {
      return fail(std::move(record), "another item has the destination key \"" + shown_key(wanted) +
                                         "\" as well, and no suffix can tell them apart");
    }
    ++found_.items;
    if (!std::exchange(is_counted_, true)) ++found_.keys;
    if (found_.examples.size() < most_examples) found_.examples.push_back({record.id, wanted, own});
    record.destination_key = own;
    // Nobody has looked there.
    if (record.state == ItemState::pending) record.seen = DestinationSeen::unknown;
    has_moved_ = true;
    ItemChange change;
    change.record = std::move(record);
    changes_.push_back(std::move(change));
  }

  // What moves in this scan may leave the item alone: a failure counts only where nothing does.
  void fail(ItemRecord record, std::string why) {
    if (record.state != ItemState::pending) return;
    record.state = ItemState::failed;
    record.error_class = ErrorClass::collision;
    ItemChange change;
    change.record = std::move(record);
    change.failure = refusal(ErrorClass::collision, std::move(why));
    failures_.push_back(std::move(change));
  }

  // Commits what there is; of the members of the present group that leave it all but two: as long as one is to leave, another
  // is still there to show it.
  bool flush() {
    const size_t end = std::max(group_from_, changes_.size() - std::min<size_t>(changes_.size(), 2));
    const auto kept = changes_.begin() + static_cast<std::ptrdiff_t>(end);
    std::vector<ItemChange> some(std::make_move_iterator(changes_.begin()), std::make_move_iterator(kept));
    changes_.erase(changes_.begin(), kept);
    group_from_ = 0;
    if (!has_moved_) {
      found_.keys += static_cast<int64_t>(failures_.size());
      found_.failed += static_cast<int64_t>(failures_.size());
      for (ItemChange& change : failures_) {
        if (found_.examples.size() < most_examples) found_.examples.push_back({change.record.id, change.record.destination_key, ""});
        some.push_back(std::move(change));
      }
    }
    failures_.clear();
    return some.empty() || sink_(std::move(some), {}, true);
  }

  Tracker& tracker_;
  const bool has_folders_;
  const ListingSink& sink_;
  Collisions& found_;
  std::set<ItemId> open_;               // items with an open upload
  Key key_;                             // of the group
  bool is_counted_ = false;             // the group is among the keys that were found
  int64_t n_members_ = 0;               // of the group, so far
  std::optional<ItemRecord> holder_;    // the member that is at the destination
  std::optional<ItemRecord> first_;     // the first of the others, while it is alone
  std::vector<ItemRecord> above_;       // items whose keys the present one begins with, the shortest first
  std::vector<ItemChange> changes_;
  size_t group_from_ = 0;               // those of the present group begin here
  std::vector<ItemChange> failures_;
  bool has_moved_ = false;
};

}  // namespace

bool settle_collisions(Tracker& tracker, bool has_folders, const ListingSink& sink, Collisions& found) {
  for (int scans = 0; scans < most_scans; ++scans) {
    CollisionScan scan(tracker, has_folders, sink, found);
    if (!scan.run()) return false;
    if (!scan.has_moved()) return true;
  }
  throw Error(ErrorCode::internal, ErrorClass::collision, "the destination keys still collide after " + std::to_string(most_scans) +
                                                              " rounds of suffixes; use a template with {id}");
}

}  // namespace waybill::internal
