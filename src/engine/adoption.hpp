// SPDX-License-Identifier: Apache-2.0
//
// Items of another program's ledger, taken over. What that ledger says to be copied is a claim; the destination's listing,
// walked in step with the claims, decides. The rows belong to run 0 until a run meets them: see decide.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/body_pool.hpp"
#include "engine/cancellation.hpp"
#include "engine/item_cursor.hpp"
#include "engine/retry.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

/// For the owner of the ledger; one thread.
class Adoption {
 public:
  /// `has_template`: destination keys are those of a key template. `catalog`: identity of that which references are confirmed
  /// by, "" if they are not.
  Adoption(Destination& destination, Tracker& tracker, uint64_t epoch, const ImportOrigin& origin, bool has_template, std::string catalog);

  /// As the members of Import. `switched`: what became of references.
  void add(std::span<const ImportedItem> items);
  void note(std::span<const ImportedNote> notes);
  ImportReport finish(const ImportReport& switched);
  bool is_repeated() const noexcept { return report_.is_repeated; }

 private:
  void find_earlier();
  bool is_end_of_same(const Event& event) const;
  void check_order(const ImportedItem& item);
  std::optional<Item> at_destination(const ImportedItem& item);
  std::optional<ItemChange> take(const ImportedItem& item, const std::optional<ItemRecord>& known);
  void add_event(Batch& batch, EventKind kind, LogLevel level, std::string text, std::string data) const;
  void commit(Batch batch);

  Destination& destination_;
  Tracker& tracker_;
  const uint64_t epoch_;
  const ImportOrigin origin_;
  const bool has_template_;
  const std::string catalog_;
  CancelSource cancel_;
  BodyPool bodies_;
  RunScope scope_;
  RetryPolicy retry_;
  std::optional<ItemCursor> there_;  // nothing where the listing is in no order
  std::optional<ItemId> last_;
  int64_t notes_before_ = 0;  // that an import which was broken off has kept already
  int64_t notes_seen_ = 0;
  ImportReport report_;
};

}  // namespace waybill::internal
