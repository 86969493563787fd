// SPDX-License-Identifier: Apache-2.0
//
// The schema of a ledger and how a ledger's file is made, checked and opened. The layout itself is described in
// schema.cpp, beside the SQL.
#pragma once

#include <memory>
#include <string>

#include "trackers/sqlite/database.hpp"
#include "waybill/connectors.hpp"

namespace waybill::internal {

inline constexpr int64_t ledger_application_id = 0x57594231;  ///< "WYB1"
inline constexpr int64_t ledger_schema_version = 4;

/// Opens a ledger for writing, makes it first where `mode` says so. `is_hurried` as for Database. Errors: missing,
/// permission, tracker.
std::unique_ptr<Database> open_ledger_for_writing(const std::string& path, OpenMode mode,
                                                  const std::atomic<bool>* is_hurried);
/// Opens another connection that only reads. Immutable where there is neither a -wal nor an owner, so that nothing at
/// all is written beside the file. Errors: missing, permission, tracker.
std::unique_ptr<Database> open_ledger_for_reading(const std::string& path, bool& is_immutable);

}  // namespace waybill::internal
