// SPDX-License-Identifier: Apache-2.0
//
// Who owns a ledger, and whether that process is alive. On one kernel the lock file says so at once; a stopped process,
// or one of another host, is told by a counter that does not move for a whole lease on the observer's own boot-time
// clock. Wall clocks are shown, never compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trackers/sqlite/database.hpp"
#include "waybill/progress.hpp"

namespace waybill::internal {

/// The row `lease`.
struct Lease {
  bool is_held = false;
  Owner owner;  ///< with the newest epoch
  int64_t beat = 0;
  std::optional<int64_t> heartbeat_at_ms;
  int64_t lease_ms = 0;
};

/// Within a transaction.
Lease read_lease(Database& database);
void write_lease(Database& database, const Lease& lease);

/// This process as an owner, without an epoch.
Owner this_process();

enum class Liveness {
  nobody,  ///< given up by its last owner
  alive,
  gone,    ///< the process has ended
  silent,  ///< it has not beaten for a whole lease, as we have seen ourselves
};

/// What one observer has seen of the heartbeat. One thread at a time.
class LeaseWatch {
 public:
  /// `now_ms` is boot_time_ms().
  Liveness look(const Lease& lease, const std::string& lock_path, int64_t now_ms);

 private:
  uint64_t epoch_ = 0;
  int64_t beat_ = -1;
  int64_t since_ms_ = 0;
};

/// "process 12 on host h": of the owner.
std::string name_of(const Owner& owner);
/// Why a run without a live owner is interrupted.
std::string interrupted_reason(const Lease& lease, Liveness liveness);
/// Error{aborted, locked} that names the owner, the age of its heartbeat, and what to do.
Error locked_error(const std::string& path, const Lease& lease, int64_t wall_now_ms);

}  // namespace waybill::internal
