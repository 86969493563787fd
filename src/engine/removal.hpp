// SPDX-License-Identifier: Apache-2.0
//
// Deleting: what only the destination has, and what has safely arrived. Both rest on verify runs in the ledger, are
// planned first, and look at each item once more before it goes.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

/// The words of an `extra` finding. They hold what tells one object at a key from the next, and so are the proof that it
/// is the same one still.
std::string extra_detail(const Item& there);

/// SourceStamp::opaque of a row whose item remove() has deleted at the source. An item that comes back is another revision.
inline constexpr std::string_view removed_by_us = "removed";

/// What may be deleted, by the ledger. The stores are asked by remove() alone, but for the source's first item.
class RemovalGround {
 public:
  /// Errors: as Migration::plan_removal.
  RemovalGround(Migration& migration, const RemovalOptions& options);

  RemovalPlan plan() const;
  /// For the owner of the ledger. Errors: as Migration::remove.
  RemovalReport remove(uint64_t epoch, std::string_view hash, std::string_view who,
                       const std::function<bool(const RemovalReport&)>& on_progress) const;

 private:
  /// One that would be deleted.
  struct Candidate {
    ItemId id;
    std::string detail;
    std::optional<ItemRecord> record;  ///< of the source
  };
  using Take = std::function<bool(Candidate)>;
  class Job;

  void find_extra_ground(const std::vector<RunRecord>& runs);
  void find_source_ground(const std::vector<RunRecord>& runs);
  void remember_findings(uint64_t run);
  /// Hands out every candidate, in the same order each time, until `take` returns false. What is kept is counted.
  void each_candidate(std::map<std::string, int64_t>& kept, const Take& take) const;
  void each_extra(const Take& take) const;
  void each_of_source(std::map<std::string, int64_t>& kept, const Take& take) const;
  const char* why_kept(const ItemRecord& record) const;
  /// Sets what the plan is held to.
  void bound(RemovalPlan& plan) const;

  Migration& migration_;
  Tracker& tracker_;
  const RemovalOptions options_;
  bool has_template_ = false;        ///< destination keys are those of a template
  std::vector<RunRecord> evidence_;  ///< verify runs, newest first
  std::vector<VerifiedPart> parts_;  ///< that these have read, in the same order; of the source
  std::vector<ItemId> doubtful_;     ///< with a finding of any of them; sorted; of the source
};

}  // namespace waybill::internal
