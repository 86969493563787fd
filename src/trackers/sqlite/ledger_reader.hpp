// SPDX-License-Identifier: Apache-2.0
//
// What is read from a ledger: records, pages of rows, and the parts of a snapshot. Every function runs inside a read
// transaction of its caller and is short: a page is bounded in what it returns and in what it looks at.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/accounts.hpp"
#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/lease.hpp"
#include "trackers/sqlite/rows.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

TimeBase read_time_base(Database& database);
/// Of a frame (0: the migration's; else a run's) and a partition (0: all); zero where there are none.
Counters read_counters(Database& database, uint64_t frame, int64_t partition = 0);
std::optional<MigrationInfo> read_migration(Database& database);

std::vector<std::optional<ItemRecord>> read_items(Database& database, TimeBase base, std::span<const ItemId> ids);
/// Errors: invalid_argument (`resume` is not one of ours).
ScanPage read_page(Database& database, TimeBase base, const Query& query, const std::string& resume, size_t limit);
std::vector<UploadRecord> read_uploads(Database& database);
std::optional<UploadRecord> read_upload(Database& database, const ItemId& id);
std::vector<ListingRecord> read_listings(Database& database);
std::vector<Finding> read_findings(Database& database, uint64_t run, uint64_t offset, size_t limit);
std::vector<Event> read_events(Database& database, uint64_t after, size_t limit);
std::vector<RunRecord> read_runs(Database& database, size_t limit);
std::vector<RunSummary> read_history(Database& database, size_t limit);
std::vector<PartitionSummary> read_partitions(Database& database, const std::optional<std::string>& after,
                                              size_t limit);
std::vector<RateSample> read_rates(Database& database, uint64_t run, int64_t after_ms, size_t limit);
std::vector<Request> read_requests(Database& database);

/// The parts of a snapshot that are stored; finish_snapshot() makes it whole.
struct StoredSnapshot {
  Snapshot snapshot;
  Counters run;
  Counters migration;
  Lease lease;
};
StoredSnapshot read_snapshot(Database& database);

}  // namespace waybill::internal
