// SPDX-License-Identifier: Apache-2.0
//
// See recount.hpp.
#include "trackers/sqlite/recount.hpp"

#include <optional>

namespace waybill::internal {

Recounted recount(Database& database, TimeBase base, uint64_t run, const RowVisitor& visitor) {
  Recounted counted;
  FrameChanges changes;
  std::optional<int64_t> present;
  const auto end_partition = [&] {
    if (!present) return;
    counted.total.run += changes.run;
    counted.total.migration += changes.migration;
    if (visitor.on_partition) visitor.on_partition(*present, changes);
    changes = {};
  };
  Statement rows(database, "SELECT partition, key, version, " WAYBILL_ITEM_COLUMNS
                           " FROM items ORDER BY partition, key, version");
  while (rows.step()) {
    const int64_t partition = rows.integer(0);
    if (present != partition) end_partition();
    present = partition;
    ItemRecord record;
    record.id.key = rows.text(1);
    record.id.version = rows.text(2);
    try {
      decode_row(database, rows, 3, base, record);
    } catch (const Error&) {
      if (visitor.on_damaged) visitor.on_damaged(partition, record.id);
      continue;
    }
    ++counted.rows;
    if (record.state == ItemState::failed || record.state == ItemState::vanished) ++counted.with_failure;
    add_change(changes, nullptr, record, run);
    add_class_change(counted.classes, nullptr, record, run);
    if (visitor.on_row) visitor.on_row(partition, record);
  }
  end_partition();
  return counted;
}

}  // namespace waybill::internal
