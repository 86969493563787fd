// SPDX-License-Identifier: Apache-2.0
//
// What can be counted from the rows of a ledger: the accounts of both frames, the classes of errors, and the queue's
// index. A check compares it with what is stored, a recovery stores it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/accounts.hpp"
#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/rows.hpp"

namespace waybill::internal {

struct Recounted {
  FrameChanges total;
  std::map<ErrorClass, int64_t> classes;  ///< of the run's frame
  int64_t rows = 0;
  int64_t with_failure = 0;  ///< rows that have to have a failure
};

/// What is told while rows are counted, in their order. Any of them may be empty.
struct RowVisitor {
  std::function<void(int64_t partition, const ItemRecord& record)> on_row;
  std::function<void(int64_t partition, const FrameChanges& counted)> on_partition;  ///< after its last row
  std::function<void(int64_t partition, const ItemId& id)> on_damaged;               ///< a row that means nothing
};

/// Counts all rows; `run` is the present one. Within a transaction. Errors: tracker (pages that cannot be read).
Recounted recount(Database& database, TimeBase base, uint64_t run, const RowVisitor& visitor);

}  // namespace waybill::internal
