// SPDX-License-Identifier: Apache-2.0
//
// What a Batch means in SQL. Works inside a write transaction of the owner and keeps counters, classes, failures and
// the queue's index in step with the rows.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/accounts.hpp"
#include "trackers/sqlite/database.hpp"
#include "trackers/sqlite/queue.hpp"
#include "trackers/sqlite/reference_writer.hpp"
#include "trackers/sqlite/rows.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// The highest run and its stored state; run 0 where there is none. Within a transaction.
struct PresentRun {
  uint64_t run = 0;
  RunState state = RunState::created;
};
PresentRun present_run(Database& database);

/// Adds to the ledger's seq, one for each event and at least one, writes the events and returns the new seq.
uint64_t write_events(Database& database, const std::vector<Event>& events);

/// *Thread safety:* one thread at a time; the owner of the connection locks.
class LedgerWriter {
 public:
  LedgerWriter(Database& database, Queue& queue, TimeBase base)
      : database_(database),
        queue_(queue),
        base_(base),
        references_(database, [this](const std::string& name) { return partition_number(name); }) {}
  LedgerWriter(const LedgerWriter&) = delete;
  LedgerWriter& operator=(const LedgerWriter&) = delete;

  /// Writes everything of `batch` but the heartbeat's row, and returns the new seq. Errors: tracker; internal (a run
  /// that may not move so); invalid_argument (a new run that is not above the last).
  uint64_t write(const Batch& batch);
  /// After the commit: lets the claims on the batch's rows go.
  void release_claims(const Batch& batch);
  /// After a rollback: nothing that was remembered can be trusted.
  void forget() noexcept {
    partitions_.clear();
    references_.forget();
    has_targets_.reset();
  }

  std::string partition_name(int64_t partition);

 private:
  int64_t partition_number(const std::string& name);
  void write_run(const RunRecord& record);
  void write_item(const ItemChange& change, int64_t now_ms);
  void write_reference(const ReferenceChange& change);
  void add_attempts(int64_t partition, uint32_t attempts, uint32_t attempts_failed);
  void write_failure(int64_t partition, const ItemChange& change, const ItemRecord& record, bool was_failed,
                     int64_t now_ms);
  void write_counters();
  void write_counters_of(uint64_t frame, int64_t partition, const Counters& change);
  void write_listing(const ListingRecord& listing);
  void write_upload(const UploadChange& change);
  void write_waiver(int64_t partition, const ItemChange& change);
  void write_result(int64_t partition, const ItemChange& change);
  void write_rate(const RateSample& sample);
  void write_finding(const Finding& finding);
  void write_live(const LiveState& live);

  Database& database_;
  Queue& queue_;
  const TimeBase base_;
  ReferenceWriter references_;
  std::unordered_map<std::string, int64_t> partitions_;
  std::optional<bool> has_targets_;  // rows may have destination keys; nothing: not looked yet

  // Of the batch being written.
  uint64_t run_ = 0;
  std::map<int64_t, FrameChanges> changes_;  // by partition
  std::map<ErrorClass, int64_t> classes_;
};

}  // namespace waybill::internal
