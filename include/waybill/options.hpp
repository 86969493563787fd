// SPDX-License-Identifier: Apache-2.0
//
// Options of a run: a defaulted aggregate, units in names. None of them is part of a migration's identity: each may
// change from run to run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace waybill {

/// What may be replaced at the destination.
enum class Overwrite : int {
  own = 0,     ///< only what this ledger wrote; anything else that differs fails as `occupied`
  never = 1,   ///< nothing; what differs fails as `occupied`
  always = 2,  ///< everything
};

enum class DigestChoice : int { crc64nvme = 0, sha256 = 1 };

enum class VerifyLevel : int {
  listing = 0,   ///< both listings against the ledger: presence, size, stamps
  checksum = 1,  ///< and the digest of what is stored: told by the store where it does, else read back
  content = 2,   ///< and what is stored is read back, whatever the store tells of it, its attributes with it
};

struct Options {
  /// Optional. Transfers at once; 0 (default) adapts to what the endpoints bear. Range 0 to 512.
  int concurrency = 0;
  /// Optional. Upper bound of adaptive concurrency. Default 512, range 1 to 512.
  int max_concurrency = 512;
  /// Optional. Memory for bodies in flight, in bytes. Default 96 MiB, at least 8 MiB. A body larger than it waits until
  /// it can have all of it.
  uint64_t body_budget_bytes = uint64_t{96} << 20;
  /// Optional. Size of a part of a large object, in bytes; grown so that an object fits the destination's part count.
  /// Default 16 MiB, range 5 MiB to 5 GiB. Each part in flight holds this much of the budget (above 64 MiB: 1 MiB).
  uint64_t part_size_bytes = uint64_t{16} << 20;
  /// Optional. Objects above this many bytes go in parts, where the destination can. Default 16 MiB, at most 64 MiB.
  uint64_t part_threshold_bytes = uint64_t{16} << 20;
  /// Optional. Tries of one item in one run, the first included. Default 8, range 1 to 100.
  int max_attempts = 8;
  /// Optional. Full jitter between tries: random in [0, min(cap, base · 2^n)]. Defaults 100 ms and 20 s.
  int64_t retry_base_ms = 100;
  int64_t retry_cap_ms = 20'000;
  /// Optional. Default own.
  Overwrite overwrite = Overwrite::own;
  /// Optional. Digest kept of each item's content beside its CRC-64/NVME. Default: that one alone.
  DigestChoice digest = DigestChoice::crc64nvme;
  /// Optional. Where both sides are one endpoint, untransformed items are copied by the store itself, unless a SHA-256 is
  /// wanted. They have no digest of ours then; checks rest on the store's. Default true.
  bool server_side_copy = true;
  /// Optional. Only keys that match one of these globs (`*` within a component, `**` across, `?`, `[…]`); empty: all.
  std::vector<std::string> include;
  /// Optional. Not the keys that match one of these; goes before include. Recorded as excluded.
  std::vector<std::string> exclude;
  /// Optional. Larger items are excluded. 0 (default): no bound.
  uint64_t max_size_bytes = 0;
  /// Optional. Smaller items are excluded. 0 (default): no bound.
  uint64_t min_size_bytes = 0;
  /// Optional. Only items last changed at the source at or after, and before, these times, in ms since 1970 UTC. An item
  /// of which the source tells no time is excluded by either. Default: none.
  std::optional<int64_t> modified_since_ms;
  std::optional<int64_t> modified_before_ms;
  /// Optional. Only keys whose last component ends in one of these, without the dot; ASCII letters of any case. Empty
  /// (default): all.
  std::vector<std::string> extensions;
  /// Optional. Only items of these partitions; others are left as they are, and in no account of the run. Empty
  /// (default): all.
  std::vector<std::string> partitions;
  /// Optional. At most this many items are moved, the first in the order of the listing, which then is not complete:
  /// the next run lists anew. 0 (default): no bound.
  uint64_t limit = 0;
  /// Optional. Only these items, asked for one by one: nothing is listed. Empty (default): all.
  std::vector<std::string> keys;
  /// Optional. Only items that failed and are not waived, as the ledger has them: nothing is listed. Default false.
  bool failed_only = false;
  /// Optional. Of the failed items only those of these error classes, by their words. Needs failed_only. Empty (default):
  /// all classes.
  std::vector<std::string> error_classes;
  /// Optional. Only items with a finding of this verify run, `extra` apart: they are copied again over whatever is there,
  /// unless overwrite is never. 0 (default): no matter.
  uint64_t findings_of = 0;
  /// Optional. Items that are done are copied again as well, over whatever is there unless overwrite is never. Needs
  /// keys, or failed_only. Default false.
  bool force = false;
  /// Optional. Of a verify run at level content, which part of how many is read, in [1, sample_of]: items fall into parts
  /// by their keys, so that sample_of runs read everything once. Of the others nothing is read: they are compared by their
  /// listings and stored ETags. Defaults 1 and 1, all; sample_of at most 1,000,000.
  int sample_part = 1;
  int sample_of = 1;
  /// Optional. How often what happened is committed, in ms; also the least age of a snapshot. Default 100, range 10 to
  /// 10,000. A crash costs at most this much work, never a lie.
  int64_t commit_interval_ms = 100;
  /// Optional. Life of the lease and pace of the heartbeat, in ms. Defaults 30 s and 10 s; the heartbeat at most a third
  /// of the lease.
  int64_t lease_ms = 30'000;
  int64_t heartbeat_ms = 10'000;
  /// Optional. Take the ledger over from a stopped process, after watching it for a whole lease. Default false.
  bool take_over = false;
  /// Optional. Carry on with a run that was paused. Default false: a paused migration is refused.
  bool resume_paused = false;
  /// Optional. How long a ledger that cannot be written is tried again before the run ends as failed, in ms. Default
  /// 5 min.
  int64_t tracker_patience_ms = 300'000;
  /// Optional. How long cancel, pause or an interrupt let transfers finish before they are aborted, in ms. Default 1 s,
  /// range 0 to 60 s.
  int64_t drain_ms = 1'000;
};

/// Throws Error{configuration} that names the first field out of its range, the value and the range.
void validate(const Options& options);

/// The options as a JSON object, for history.
std::string to_json(const Options& options);

}  // namespace waybill
