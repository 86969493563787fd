// SPDX-License-Identifier: Apache-2.0

#include "engine/plan_table.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/text.hpp"

namespace waybill::internal {
namespace {

constexpr size_t page_rows = 1000;

// A group as a row of the scratch ledger: its numbers stand where an item has its stamp. No key is empty.
ItemRecord record_of(const Plan::Row& row) {
  ItemRecord record;
  record.id.key = "=" + row.name;
  record.stamp.size = row.bytes;
  record.stamp.mtime_ns = row.items;
  record.stamp.version = row.title;
  record.stamp.opaque = std::to_string(row.unknown_sizes);
  return record;
}

Plan::Row row_of(const ItemRecord& record) {
  Plan::Row row;
  row.name = record.id.key.substr(1);
  row.title = record.stamp.version;
  row.items = *record.stamp.mtime_ns;
  row.bytes = *record.stamp.size;
  row.unknown_sizes = static_cast<int64_t>(*parse_uint(record.stamp.opaque));
  return row;
}

void add_row(Plan::Row& sum, const Plan::Row& row) {
  sum.items += row.items;
  sum.bytes += row.bytes;
  sum.unknown_sizes += row.unknown_sizes;
}

// The largest of what comes by, and the sum of the others.
class Largest {
 public:
  Largest(size_t most, PlanTable::By by) : most_(most), by_(by) { rest_.groups = 0; }

  void meet(Plan::Row row) {
    const auto is_larger = [this](const Plan::Row& a, const Plan::Row& b) {
      return key_of(a) != key_of(b) ? key_of(a) > key_of(b) : a.name < b.name;
    };
    rows_.insert(std::upper_bound(rows_.begin(), rows_.end(), row, is_larger), std::move(row));
    if (rows_.size() > most_ + 1) drop_last();
  }
  // One more than `most` is told by its name: a rest stands for two groups at least.
  std::vector<Plan::Row> take() {
    if (rest_.groups == 0) return std::move(rows_);
    drop_last();
    rows_.push_back(std::move(rest_));
    return std::move(rows_);
  }

 private:
  void drop_last() {
    ++rest_.groups;
    add_row(rest_, rows_.back());
    rows_.pop_back();
  }
  std::pair<uint64_t, uint64_t> key_of(const Plan::Row& row) const {
    const auto items = static_cast<uint64_t>(row.items);
    return by_ == PlanTable::By::bytes ? std::pair(row.bytes, items) : std::pair(items, row.bytes);
  }

  const size_t most_;
  const PlanTable::By by_;
  std::vector<Plan::Row> rows_;  // the largest first
  Plan::Row rest_;
};

}  // namespace

void PlanTable::add(std::string_view name, std::string_view title, std::optional<uint64_t> size) {
  if (rows_.size() >= most_in_memory_ && !rows_.contains(std::string(name))) spill();
  Plan::Row& row = rows_[std::string(name)];
  if (row.items == 0) row.name = name;
  if (!title.empty()) row.title = title;
  ++row.items;
  if (size) row.bytes += *size;
  else ++row.unknown_sizes;
}

void PlanTable::spill() {
  if (!disk_) disk_.emplace();
  std::vector<ItemChange> changes;
  const auto flush = [&] {
    std::vector<ItemId> ids;
    for (const ItemChange& change : changes) ids.push_back(change.record.id);
    const std::vector<std::optional<ItemRecord>> known = disk_->tracker().lookup(ids);
    for (size_t i = 0; i < changes.size(); ++i) {
      if (!known[i]) continue;
      Plan::Row row = row_of(changes[i].record);
      const Plan::Row before = row_of(*known[i]);
      add_row(row, before);
      if (row.title.empty()) row.title = before.title;
      changes[i].record = record_of(row);
    }
    disk_->add(std::exchange(changes, {}));
  };
  for (const auto& [name, row] : rows_) {
    changes.emplace_back().record = record_of(row);
    if (changes.size() == page_rows) flush();
  }
  flush();
  rows_.clear();
}

std::vector<Plan::Row> PlanTable::largest(size_t most, By by) {
  Largest found(most, by);
  if (!disk_) {
    for (auto& [name, row] : std::exchange(rows_, {})) found.meet(std::move(row));
    return found.take();
  }
  spill();
  for (std::string resume;;) {
    const ScanPage page = disk_->tracker().scan({}, resume, page_rows);
    for (const ScanRow& row : page.rows) found.meet(row_of(row.record));
    if (page.is_last) break;
    resume = page.resume;
  }
  disk_.reset();
  return found.take();
}

}  // namespace waybill::internal
