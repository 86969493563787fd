// SPDX-License-Identifier: Apache-2.0
//
// Keeping the file of a ledger in order: check, backup, vacuum, retention, recovery. Each takes the ledger's path, or
// sqlite:///path, and blocks until it is done; nothing here is done by a run on its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace waybill {

struct LedgerCheck {
  std::vector<std::string> problems;  ///< one line each, the first hundred; none: the ledger is sound
  int64_t items = 0;
  int64_t events = 0;
  int64_t file_bytes = 0;  ///< of the file and its -wal
};

/// Checks a ledger from end to end: SQLite's own check of its pages, that every row can be read, and that counters,
/// classes of errors, and the queue's index say what the rows do. Writes nothing; a live run is not in its way, though
/// its -wal grows meanwhile. Memory does not grow with items. Any thread.
/// Errors: missing, permission, tracker (no ledger, of a newer schema). Damage is no error here, but a problem.
LedgerCheck check_ledger(std::string_view ledger);

struct LedgerBackup {
  std::string path;
  int64_t file_bytes = 0;
  std::vector<std::string> removed;  ///< older backups
};

/// Copies a ledger as it is at one instant, also beside a live run, into `folder` ("": the ledger's own) under its name
/// with the time in UTC, as ledger-20261121T080000Z.db. The copy is checked before it has its name. With `keep` (at
/// least 1), older backups of this ledger in the folder are then removed until so many are left. Any thread.
/// Errors: missing, permission, configuration (keep); tracker (damaged; the disk is full).
LedgerBackup backup_ledger(std::string_view ledger, std::string_view folder, std::optional<int> keep);

struct LedgerVacuum {
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
};

/// Writes the file anew, without the room that removed rows left. Owns the ledger meanwhile. Needs about twice its size
/// on the disk. Any thread. Errors: locked (a run owns it, and is named); missing, permission, tracker.
LedgerVacuum vacuum_ledger(std::string_view ledger);

/// Which events are kept: those that fulfil both.
struct Retention {
  std::optional<int64_t> since_ms;  ///< that happened at this time or later, in ms since 1970 UTC
  std::optional<int64_t> last;      ///< the newest so many, at least 0
};

/// Removes events that are not kept, and returns how many. Audit events are never removed, nor are runs, items,
/// findings or failures; that it was done, and by whom (`who`: user@host), is an audit event itself. Owns the ledger
/// meanwhile. Any thread. Errors: configuration (nothing is said about what to keep); locked; missing, permission,
/// tracker.
int64_t prune_events(std::string_view ledger, const Retention& kept, std::string_view who);

struct Recovery {
  struct Table {
    std::string name;
    int64_t rows = 0;       ///< read
    bool is_whole = true;   ///< read from end to end, without a damaged row
  };
  std::vector<Table> tables;
  int64_t items = 0;                      ///< in the new ledger
  std::optional<int64_t> items_expected;  ///< by what the damaged ledger counted, where that could be read
  std::vector<std::string> notes;         ///< what was done or is lost, one line each
};

/// Makes a new ledger at `into` of what can be read of a damaged one, which is not touched. Rows are looked for on both
/// sides of what is damaged; accounts and the queue's index are counted anew. A run that had not ended is recorded as
/// failed, so that the next one lists everything, and finds at the destination what the ledger lost. Any thread.
/// Errors: locked (a run owns it); already_exists (there is something at `into`); missing, permission; tracker (not
/// even what the ledger is about can be read).
Recovery recover_ledger(std::string_view ledger, std::string_view into);

}  // namespace waybill
