// SPDX-License-Identifier: Apache-2.0
//
// The queue's index: segments (ranges of keys with their number of pending rows), and the claims, which live in the
// owner's memory alone. Segments are read once, kept in memory by the owner, and written in the transaction that
// changes their rows.
//
// Invariants: a segment's pending is the number of claimable rows in its range; every row that could be claimed and is
// not lies at or behind min(cursor, rescan_from). After a transaction that failed the index is stale and is read again;
// claims and what earlier owners had claimed outlive that.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/rows.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

struct Segment {
  int64_t partition = 0;
  Key first_key;  ///< the range goes to the next segment's first key
  Key last_key;   ///< the highest key of a row
  int64_t n_rows = 0;
  int64_t n_pending = 0;
  std::optional<Key> claimed_to;  ///< the highest key claimed in this run, by any owner

  // In memory only.
  int64_t n_claimed = 0;
  std::pair<Key, std::string> cursor;  ///< (key, version) where the scan goes on
  std::optional<Key> rescan_from;      ///< the lowest key that became claimable before the cursor
  bool is_dirty = false;

  int64_t available() const noexcept { return n_pending - n_claimed; }
};

using Taken = std::vector<std::pair<Claimed, int64_t>>;

/// *Thread safety:* one thread at a time; the owner of the connection locks.
class Queue {
 public:
  /// Forgets everything; nobody owns the ledger through this handle.
  void clear() noexcept;
  /// After a transaction that was rolled back.
  void set_stale() noexcept { is_loaded_ = false; }
  /// Reads the segments unless they are there. At the first time after clear(), what is claimed in them becomes what
  /// earlier owners left. Within a transaction.
  void load(Database& database);

  /// The segment of a key; made where there is none. `is_beyond` is set if no row can be at this key yet.
  Segment& place(int64_t partition, const Key& key, bool& is_beyond);
  /// A row at `key` of the segment was inserted (`is_new`), and the number of pending rows changes by `pending`.
  void change(Segment& segment, const Key& key, bool is_new, int64_t pending);
  /// Writes what changed, splits what has grown too large. Within a transaction.
  void write(Database& database, uint64_t run);
  /// A new run has begun: nothing is pending or claimed. Within a transaction.
  void begin_run(Database& database);

  /// Takes up to `limit` rows and adds them to `taken`. If the transaction fails, forget() them. Names of partitions
  /// are not filled in: the second of each pair is the partition. Within a transaction.
  void take(Database& database, TimeBase base, uint64_t run, size_t limit, Taken& taken);
  bool has_available() const noexcept { return !ready_.empty(); }
  /// Undoes take(), and leaves the index stale.
  void forget(const Taken& taken) noexcept;
  /// What a claimed row holds, so that its outcome needs no look at it; once only, as the outcome changes it. Nothing
  /// for other rows.
  std::optional<Brief> take_brief(int64_t partition, const ItemId& id);
  /// A row was committed: nobody works on it any more.
  void release(int64_t partition, const ItemId& id, bool is_still_pending);

 private:
  using Row = std::pair<Key, std::string>;
  struct Partition {
    std::map<Key, Segment> segments;
    int64_t available = 0;
  };

  void count(int64_t partition, int64_t available);
  void scan(Database& database, Partition& partition, Segment& segment, TimeBase base, uint64_t run, size_t want,
            Taken& taken);
  void split(Database& database, Partition& partition, Segment& segment, uint64_t run);
  void recount_claims(Partition& partition, Segment& segment);
  std::optional<Key> end_of(const Partition& partition, const Segment& segment) const;
  bool was_left(int64_t partition, const Key& key) const;

  bool is_loaded_ = false;
  bool is_first_load_ = true;
  std::map<int64_t, Partition> partitions_;
  std::set<int64_t> ready_;  // partitions with something to take
  int64_t last_served_ = 0;
  std::set<std::pair<int64_t, Key>> dirty_;  // (partition, first key) of segments to write
  // What each claimed row said when it was taken; nothing once it has been written.
  std::map<int64_t, std::map<Row, std::optional<Brief>>> claims_;
  std::map<int64_t, std::map<Key, Key>> left_;  // partition → first key of a range → highest key claimed in it earlier
};

}  // namespace waybill::internal
