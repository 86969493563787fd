// SPDX-License-Identifier: Apache-2.0
//
// See lease.hpp.
#include "trackers/sqlite/lease.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/host.hpp"
#include "base/text.hpp"
#include "trackers/sqlite/lock_file.hpp"

namespace waybill::internal {
namespace {

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

/// Field 22 of /proc/self/stat; the name of the program, field 2, may itself hold spaces and parentheses.
int64_t process_start() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) fields >> field;
  return static_cast<int64_t>(parse_uint(field).value_or(0));
}

}  // namespace

Lease read_lease(Database& database) {
  Statement& row = database.prepared(
      "SELECT is_held, host, boot_id, pid, process_start, epoch, beat, heartbeat_at_ms, lease_ms FROM lease");
  Lease lease;
  if (!row.step()) return lease;
  lease.is_held = row.integer(0) != 0;
  lease.owner.host = row.text(1);
  lease.owner.boot_id = row.text(2);
  lease.owner.pid = row.integer(3);
  lease.owner.process_start = row.integer(4);
  lease.owner.epoch = static_cast<uint64_t>(row.integer(5));
  lease.beat = row.integer(6);
  lease.heartbeat_at_ms = row.optional_integer(7);
  lease.lease_ms = row.integer(8);
  return lease;
}

void write_lease(Database& database, const Lease& lease) {
  database
      .prepared(
          "UPDATE lease SET is_held = ?, host = ?, boot_id = ?, pid = ?, process_start = ?, epoch = ?, beat = ?, "
          "heartbeat_at_ms = ?, lease_ms = ?")
      .bind(1, lease.is_held ? 1 : 0)
      .bind_text(2, lease.owner.host)
      .bind_text(3, lease.owner.boot_id)
      .bind(4, lease.owner.pid)
      .bind(5, lease.owner.process_start)
      .bind(6, static_cast<int64_t>(lease.owner.epoch))
      .bind(7, lease.beat)
      .bind_optional(8, lease.heartbeat_at_ms)
      .bind(9, lease.lease_ms)
      .run();
}

Owner this_process() {
  Owner owner;
  owner.host = host_name();
  owner.boot_id = boot_id();
  owner.pid = ::getpid();
  owner.process_start = process_start();
  return owner;
}

Liveness LeaseWatch::look(const Lease& lease, const std::string& lock_path, int64_t now_ms) {
  if (!lease.is_held) return Liveness::nobody;
  // The same machine, on this run of its kernel or an earlier one: its locks are ours to see.
  const bool is_here = lease.owner.boot_id == boot_id() || lease.owner.host == host_name();
  if (is_here && !LockFile::is_held(lock_path)) return Liveness::gone;
  if (lease.owner.epoch != epoch_ || lease.beat != beat_) {
    epoch_ = lease.owner.epoch;
    beat_ = lease.beat;
    since_ms_ = now_ms;
  }
  return now_ms - since_ms_ >= lease.lease_ms ? Liveness::silent : Liveness::alive;
}

std::string name_of(const Owner& owner) {
  return "process " + std::to_string(owner.pid) + " on host " + printable(owner.host);
}

std::string interrupted_reason(const Lease& lease, Liveness liveness) {
  if (lease.owner.pid == 0) return "the process that owned it is gone";
  const std::string who = "the process that owned it (" + name_of(lease.owner) + ")";
  if (liveness != Liveness::silent) return who + " is gone";
  return who + " has not answered for " + std::to_string((lease.lease_ms + 999) / 1000) + " s";
}

Error locked_error(const std::string& path, const Lease& lease, int64_t wall_now_ms) {
  std::string text = "the ledger " + path + " is in use";
  if (lease.is_held) text += " by " + name_of(lease.owner);
  if (lease.is_held && lease.heartbeat_at_ms) {
    const int64_t age_ms = std::max<int64_t>(0, wall_now_ms - *lease.heartbeat_at_ms);
    text += ", whose last heartbeat was " + std::to_string(age_ms / 1000) + " s ago";
  }
  text += "; wait until it ends, pause or cancel it, or, if it hangs, take the ledger over";
  return Error(ErrorCode::aborted, ErrorClass::locked, text);
}

}  // namespace waybill::internal
