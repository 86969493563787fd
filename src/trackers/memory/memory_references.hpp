// SPDX-License-Identifier: Apache-2.0
//
// References, their journal and the newest plan in standard containers, with the counts of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/tracker.hpp"

namespace waybill::internal {

/// *Thread safety:* one thread at a time; the owner locks.
class MemoryReferences {
 public:
  /// Writes a reference within `run` (0: none).
  void apply(const ReferenceChange& change, uint64_t run);
  void apply(const JournalRecord& record);
  void apply(const CutoverPlanRecord& plan) { plan_ = plan; }

  std::vector<std::optional<ReferenceRecord>> lookup(std::span<const ReferenceId> ids) const;
  /// Errors: invalid_argument (`resume` is not one of ours).
  ReferenceRecordPage scan(const ReferenceQuery& query, const std::string& resume, size_t limit) const;
  std::vector<std::optional<JournalRecord>> lookup_journal(std::span<const ReferenceId> ids) const;
  std::vector<JournalRecord> journal(const ReferenceId& id) const;
  const std::optional<CutoverPlanRecord>& plan() const noexcept { return plan_; }

  const ReferenceAccounts& total() const noexcept { return total_; }
  /// By partition; of those that references were of.
  const std::map<std::string, ReferenceAccounts>& partitions() const noexcept { return partitions_; }
  /// Those that a run settled.
  ReferenceAccounts settled_by(uint64_t run) const;

 private:
  struct Row {
    ReferenceRecord record;
    ReferenceState settled = ReferenceState::original;  ///< in record.run
  };

  ReferenceRecord record_of(const Row& row) const;

  std::map<ReferenceId, Row> rows_;
  std::map<ReferenceId, std::map<uint32_t, JournalRecord>> journal_;
  std::optional<CutoverPlanRecord> plan_;
  std::map<std::string, std::string> labels_;  // of partitions
  ReferenceAccounts total_;
  std::map<std::string, ReferenceAccounts> partitions_;
  std::map<uint64_t, ReferenceAccounts> settled_;  // by run
};

}  // namespace waybill::internal
