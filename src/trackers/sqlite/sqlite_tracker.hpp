// SPDX-License-Identifier: Apache-2.0
//
// The SQLite ledger: the embedded default of Tracker. One file (plus -wal, -shm and .lock beside it) is one migration;
// every method keeps the contract of waybill/tracker.hpp.
#pragma once

#include <memory>
#include <string>

#include "waybill/connectors.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// Opens the ledger at `path`, a file on a local disk. Errors: missing (no such file, or folder), permission, tracker
/// (damaged, of a newer schema, another program's, on a network filesystem, a symbolic link, writable by others).
std::shared_ptr<Tracker> open_sqlite_tracker(const std::string& path, OpenMode mode);

/// Of the SQLite in use: "3.40.1". Any thread.
std::string sqlite_version_number();

}  // namespace waybill::internal
