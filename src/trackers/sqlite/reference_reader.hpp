// SPDX-License-Identifier: Apache-2.0
//
// What is read of references, their journal and plans, as ledger_reader.hpp does of the rest: inside a read transaction
// of the caller, a page bounded in what it returns and in what it looks at.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trackers/sqlite/database.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

std::vector<std::optional<ReferenceRecord>> read_references(Database& database, std::span<const ReferenceId> ids);
/// Errors: invalid_argument (`resume` is not one of ours).
ReferenceRecordPage read_reference_page(Database& database, const ReferenceQuery& query, const std::string& resume,
                                        size_t limit);
std::vector<std::optional<JournalRecord>> read_newest_journal(Database& database, std::span<const ReferenceId> ids);
std::vector<JournalRecord> read_journal(Database& database, const ReferenceId& id);
std::optional<CutoverPlanRecord> read_cutover_plan(Database& database);
/// Of a frame (0: the migration's; else those that a run settled) and a partition (0: all).
ReferenceAccounts read_reference_accounts(Database& database, uint64_t frame, int64_t partition = 0);

}  // namespace waybill::internal
