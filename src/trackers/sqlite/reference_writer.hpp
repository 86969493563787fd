// SPDX-License-Identifier: Apache-2.0
//
// What the references, the journal and the plan of a Batch mean in SQL. Works inside a write transaction of the owner and
// keeps the counts of references in step with their rows. The layout is described in schema.cpp.
//
// Invariants: no statement here deletes a row of journal or plans, or changes old or intended of a journal row.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/references.hpp"
#include "trackers/sqlite/database.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// Bits of refs.status and journal.status.
inline constexpr int64_t reference_state_mask = 15;
inline constexpr int64_t equal_flag = 1 << 4;    ///< intended is the value; observed is what was intended
inline constexpr int64_t no_item_flag = 1 << 5;  ///< the value points at no item: no column tells one
inline constexpr int settled_shift = 8;

/// *Thread safety:* one thread at a time; the owner of the connection locks.
class ReferenceWriter {
 public:
  using NumberOf = std::function<int64_t(const std::string& partition)>;

  ReferenceWriter(Database& database, NumberOf partition_number)
      : database_(database), partition_number_(std::move(partition_number)) {}

  /// What follows is of a new batch, within `run` (0: none).
  void begin(uint64_t run);
  /// Writes a reference; gives the number of its partition.
  int64_t write(const ReferenceChange& change);
  void write(const JournalRecord& record);
  void write(const CutoverPlanRecord& plan);
  /// The counts, after the last write of a batch.
  void write_counts();
  /// After a rollback: nothing that was remembered can be trusted.
  void forget() noexcept;

 private:
  using ByState = std::array<int64_t, n_reference_states>;

  int64_t catalog_number(const std::string& name);
  void label_partition(int64_t partition, const std::string& label);
  void write_counts_of(uint64_t frame, int64_t partition, const ByState& change);

  Database& database_;
  const NumberOf partition_number_;
  std::unordered_map<std::string, int64_t> catalogs_;
  std::unordered_map<int64_t, std::string> labels_;

  // Of the batch being written.
  uint64_t run_ = 0;
  std::map<int64_t, ByState> changes_;  // by partition
  ByState settled_{};
};

}  // namespace waybill::internal
