// SPDX-License-Identifier: Apache-2.0
//
// See queue.hpp.
#include "trackers/sqlite/queue.hpp"

#include <algorithm>

namespace waybill::internal {
namespace {

constexpr int64_t full_segment = 50'000;  // rows after which keys beyond it begin a new segment
constexpr int64_t max_segment = 100'000;  // rows above which a segment is split

/// The least key that is greater.
Key after(const Key& key) { return key + '\0'; }

}  // namespace

void Queue::clear() noexcept {
  partitions_.clear();
  ready_.clear();
  dirty_.clear();
  claims_.clear();
  left_.clear();
  is_loaded_ = false;
  is_first_load_ = true;
}

void Queue::load(Database& database) {
  if (is_loaded_) return;
  partitions_.clear();
  ready_.clear();
  dirty_.clear();
  Statement& rows = database.prepared(
      "SELECT partition, first_key, last_key, n_rows, n_pending, claimed_to FROM segments ORDER BY partition, "
      "first_key");
  while (rows.step()) {
    Segment segment;
    segment.partition = rows.integer(0);
    segment.first_key = rows.text(1);
    segment.last_key = rows.text(2);
    segment.n_rows = rows.integer(3);
    segment.n_pending = rows.integer(4);
    if (!rows.is_null(5)) segment.claimed_to = rows.text(5);
    segment.cursor = {segment.first_key, ""};
    if (is_first_load_ && segment.claimed_to) left_[segment.partition][segment.first_key] = *segment.claimed_to;
    auto& segments = partitions_[segment.partition].segments;
    segments.emplace_hint(segments.end(), segment.first_key, std::move(segment));
  }
  for (auto& [number, partition] : partitions_) {
    for (auto& [first_key, segment] : partition.segments) {
      recount_claims(partition, segment);
      count(number, segment.available());
    }
  }
  is_first_load_ = false;
  is_loaded_ = true;
}

void Queue::count(int64_t partition, int64_t available) {
  int64_t& total = partitions_[partition].available;
  total += available;
  if (total > 0) {
    ready_.insert(partition);
  } else {
    ready_.erase(partition);
  }
}

Segment& Queue::place(int64_t partition, const Key& key, bool& is_beyond) {
  auto& segments = partitions_[partition].segments;
  const auto make = [&](const Key& first_key) -> Segment& {
    Segment& made = segments[first_key];
    made.partition = partition;
    made.first_key = first_key;
    made.last_key = first_key;
    made.cursor = {first_key, ""};
    is_beyond = true;
    return made;
  };
  if (segments.empty()) return make(Key());
  Segment& last = segments.rbegin()->second;
  is_beyond = last.n_rows == 0 || key > last.last_key;
  if (is_beyond) return last.n_rows >= full_segment ? make(key) : last;
  return std::prev(segments.upper_bound(key))->second;
}

void Queue::change(Segment& segment, const Key& key, bool is_new, int64_t pending) {
  if (!is_new && pending == 0) return;
  if (is_new) {
    ++segment.n_rows;
    segment.last_key = std::max(segment.last_key, key);
  }
  segment.n_pending += pending;
  if (pending != 0) count(segment.partition, pending);
  if (pending > 0 && key <= segment.cursor.first) {
    segment.rescan_from = segment.rescan_from ? std::min(*segment.rescan_from, key) : key;
  }
  if (segment.is_dirty) return;
  segment.is_dirty = true;
  dirty_.emplace(segment.partition, segment.first_key);
}

void Queue::write(Database& database, uint64_t run) {
  const auto grown = dirty_;
  for (const auto& [number, first_key] : grown) {
    Partition& partition = partitions_[number];
    Segment& segment = partition.segments[first_key];
    if (segment.n_rows > max_segment) split(database, partition, segment, run);
  }
  for (const auto& [number, first_key] : dirty_) {
    Segment& segment = partitions_[number].segments[first_key];
    Statement& write = database.prepared("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?)");
    write.bind(1, number).bind_blob(2, first_key).bind_blob(3, segment.last_key);
    write.bind(4, segment.n_rows).bind(5, segment.n_pending);
    if (segment.claimed_to) write.bind_blob(6, *segment.claimed_to);
    write.run();
    segment.is_dirty = false;
  }
  dirty_.clear();
}

void Queue::split(Database& database, Partition& partition, Segment& segment, uint64_t run) {
  Statement& middle = database.prepared(
      "SELECT key FROM items WHERE partition = ? AND key >= ? ORDER BY key, version LIMIT 1 OFFSET ?");
  middle.bind(1, segment.partition).bind_blob(2, segment.first_key).bind(3, segment.n_rows / 2);
  if (!middle.step()) return;
  const Key first_key = middle.text(0);
  middle.reset();
  if (first_key <= segment.first_key) return;  // versions of a single key stay together
  Statement& counts = database.prepared(
      "SELECT count(*), total(status & 2055 = 0 AND status >> 24 = ?4), max(key) FROM items "
      "WHERE partition = ?1 AND key >= ?2 AND key < ?3");
  counts.bind(1, segment.partition).bind_blob(2, segment.first_key).bind_blob(3, first_key);
  counts.bind(4, static_cast<int64_t>(run));
  if (!counts.step() || counts.integer(0) == 0) return;

  Segment& right = partition.segments[first_key];
  right.partition = segment.partition;
  right.first_key = first_key;
  right.last_key = segment.last_key;
  right.n_rows = segment.n_rows - counts.integer(0);
  right.n_pending = segment.n_pending - counts.integer(1);
  if (segment.claimed_to && *segment.claimed_to >= first_key) right.claimed_to = segment.claimed_to;
  segment.n_rows = counts.integer(0);
  segment.n_pending = counts.integer(1);
  segment.last_key = counts.text(2);
  for (Segment* half : {&segment, &right}) {
    half->cursor = {half->first_key, ""};
    half->rescan_from.reset();
    recount_claims(partition, *half);
    half->is_dirty = true;
    dirty_.emplace(half->partition, half->first_key);
  }
}

void Queue::recount_claims(Partition& partition, Segment& segment) {
  const auto& claims = claims_[segment.partition];
  const std::optional<Key> end = end_of(partition, segment);
  const auto first = claims.lower_bound({segment.first_key, ""});
  const auto last = end ? claims.lower_bound({*end, ""}) : claims.end();
  segment.n_claimed = std::distance(first, last);
}

std::optional<Key> Queue::end_of(const Partition& partition, const Segment& segment) const {
  const auto next = partition.segments.upper_bound(segment.first_key);
  if (next == partition.segments.end()) return std::nullopt;
  return next->first;
}

void Queue::begin_run(Database& database) {
  database.prepared("UPDATE segments SET n_pending = 0, claimed_to = NULL").run();
  claims_.clear();
  left_.clear();
  ready_.clear();
  for (auto& [number, partition] : partitions_) {
    partition.available = 0;
    for (auto& [first_key, segment] : partition.segments) {
      segment.n_pending = 0;
      segment.n_claimed = 0;
      segment.claimed_to.reset();
      segment.cursor = {first_key, ""};
      segment.rescan_from.reset();
    }
  }
}

void Queue::take(Database& database, TimeBase base, uint64_t run, size_t limit, Taken& taken) {
  // A share for each partition, then what is left for whoever has more.
  while (taken.size() < limit && !ready_.empty()) {
    const size_t share = std::max<size_t>(1, (limit - taken.size()) / ready_.size());
    const size_t before = taken.size();
    const size_t turns = ready_.size();
    for (size_t turn = 0; turn < turns && taken.size() < limit && !ready_.empty(); ++turn) {
      auto next = ready_.upper_bound(last_served_);
      if (next == ready_.end()) next = ready_.begin();
      last_served_ = *next;
      Partition& partition = partitions_[last_served_];
      size_t want = std::min(share, limit - taken.size());
      for (auto segment = partition.segments.begin(); segment != partition.segments.end() && want > 0; ++segment) {
        if (segment->second.available() <= 0) continue;
        const size_t had = taken.size();
        scan(database, partition, segment->second, base, run, want, taken);
        want -= taken.size() - had;
      }
    }
    if (taken.size() == before) return;
  }
}

void Queue::scan(Database& database, Partition& partition, Segment& segment, TimeBase base, uint64_t run, size_t want,
                 Taken& taken) {
  static constexpr const char* bounded_sql =
      "SELECT key, version, " WAYBILL_ITEM_COLUMNS
      " FROM items WHERE partition = ?1 AND (key, version) >= (?2, ?3) AND key < ?5"
      " AND status & 2055 = 0 AND status >> 24 = ?4 ORDER BY key, version";
  static constexpr const char* open_sql = "SELECT key, version, " WAYBILL_ITEM_COLUMNS
                                          " FROM items WHERE partition = ?1 AND (key, version) >= (?2, ?3)"
                                          " AND status & 2055 = 0 AND status >> 24 = ?4 ORDER BY key, version";
  const std::optional<Key> end = end_of(partition, segment);
  std::map<Row, std::optional<Brief>>& claims = claims_[segment.partition];
  for (int round = 0; round < 2 && want > 0 && segment.available() > 0; ++round) {
    const Row from = segment.cursor;
    Statement& rows = database.prepared(end ? bounded_sql : open_sql);
    rows.bind(1, segment.partition).bind_blob(2, from.first).bind_blob(3, from.second);
    rows.bind(4, static_cast<int64_t>(run));
    if (end) rows.bind_blob(5, *end);
    bool is_end = false;
    while (want > 0 && segment.available() > 0) {
      if (!rows.step()) {
        is_end = true;
        break;
      }
      Row row{rows.text(0), rows.text(1)};
      segment.cursor = {row.first, after(row.second)};
      if (claims.contains(row)) continue;
      Claimed claimed;
      claimed.record.id.key = row.first;
      claimed.record.id.version = row.second;
      decode_row(database, rows, 2, base, claimed.record);
      claimed.maybe_in_flight = was_left(segment.partition, row.first);
      if (!segment.claimed_to || row.first > *segment.claimed_to) {
        segment.claimed_to = row.first;
        segment.is_dirty = true;
        dirty_.emplace(segment.partition, segment.first_key);
      }
      taken.emplace_back(std::move(claimed), segment.partition);
      claims.emplace(std::move(row), Brief{rows.integer(2), rows.integer(4), rows.optional_integer(5)});
      ++segment.n_claimed;
      count(segment.partition, -1);
      --want;
    }
    rows.reset();
    if (!is_end) return;
    // Wrap: what is still to be had became claimable before the cursor.
    segment.cursor = {segment.rescan_from ? *segment.rescan_from : segment.first_key, ""};
    segment.rescan_from.reset();
  }
}

bool Queue::was_left(int64_t partition, const Key& key) const {
  const auto ranges = left_.find(partition);
  if (ranges == left_.end()) return false;
  auto range = ranges->second.upper_bound(key);
  if (range == ranges->second.begin()) return false;
  --range;
  return key <= range->second;
}

void Queue::forget(const Taken& taken) noexcept {
  for (const auto& [claimed, partition] : taken) {
    claims_[partition].erase({claimed.record.id.key, claimed.record.id.version});
  }
  is_loaded_ = false;
}

std::optional<Brief> Queue::take_brief(int64_t partition, const ItemId& id) {
  const auto claims = claims_.find(partition);
  if (claims == claims_.end()) return std::nullopt;
  const auto claim = claims->second.find({id.key, id.version});
  if (claim == claims->second.end()) return std::nullopt;
  return std::exchange(claim->second, std::nullopt);
}

void Queue::release(int64_t partition, const ItemId& id, bool is_still_pending) {
  const auto claims = claims_.find(partition);
  if (claims == claims_.end() || claims->second.erase({id.key, id.version}) == 0) return;
  bool is_beyond = false;
  Segment& segment = place(partition, id.key, is_beyond);
  --segment.n_claimed;
  count(partition, 1);
  if (is_still_pending && id.key <= segment.cursor.first) {
    segment.rescan_from = segment.rescan_from ? std::min(*segment.rescan_from, id.key) : id.key;
  }
}

}  // namespace waybill::internal
