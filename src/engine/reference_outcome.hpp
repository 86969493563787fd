// SPDX-License-Identifier: Apache-2.0
//
// What reading a field says of the switch of its reference, and the rows that follow. Forwards the field is to hold what was
// intended; back, what was old.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/text.hpp"
#include "waybill/catalog.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

enum class Direction { forwards, back };

/// A reference on its way, with the journal record of its newest switch.
struct Switched {
  ReferenceRecord record;
  JournalRecord journal;
};

inline const std::optional<std::string>& value_before(const JournalRecord& journal, Direction direction) {
  return direction == Direction::forwards ? journal.old : journal.observed;
}

inline const std::optional<std::string>& value_after(const JournalRecord& journal, Direction direction) {
  return direction == Direction::forwards ? journal.intended : journal.old;
}

/// The field holds what it was to hold.
inline void mark_done(Switched& one, Direction direction, const std::optional<std::string>& now) {
  const bool is_forwards = direction == Direction::forwards;
  one.record.state = is_forwards ? ReferenceState::updated : ReferenceState::restored;
  one.record.value = now;
  one.record.reason.clear();
  one.record.error_class = ErrorClass::none;
  one.journal.state = is_forwards ? JournalState::applied : JournalState::restored;
  if (is_forwards) one.journal.observed = now;
}

/// The field holds something else, or its record is gone: it stays as it is.
inline void mark_changed(Switched& one, Direction direction, const ReferenceValue& now) {
  one.record.value = now.value;
  one.record.state = now.is_gone ? ReferenceState::vanished : ReferenceState::conflict;
  one.record.error_class = now.is_gone ? ErrorClass::missing : ErrorClass::conflict;
  one.record.reason = now.is_gone                          ? "its record is gone"
                      : direction == Direction::forwards ? "changed by somebody else since the plan"
                                                           : "changed by somebody else after it was switched";
  // What was observed after our write stays what it was: whether the field is ours again is told by it.
  if (direction == Direction::forwards) {
    one.journal.state = JournalState::conflict;
    one.journal.observed = now.value;
  }
}

/// The field holds what it held: nothing was done.
inline void mark_put_back(Switched& one, Direction direction) {
  if (direction == Direction::back) return;
  one.record.state = ReferenceState::pending;
  one.journal.state = JournalState::not_applied;
}

/// As mark_put_back, and nothing will be, as the catalog refuses it.
inline void mark_refused(Switched& one, Direction direction, ErrorClass error_class, const std::string& why) {
  mark_put_back(one, direction);
  one.record.state = ReferenceState::failed;
  one.record.error_class = error_class == ErrorClass::none ? ErrorClass::server : error_class;
  one.record.reason = (direction == Direction::forwards ? "" : "the rollback was refused: ") + printable(why);
}

/// Reads what earlier processes and runs left `intended`, and writes down how that ended: what was applied or changed as an
/// end of a run where `settles`, the others as pending again. In pages of at most `page`. `write` commits, and says whether
/// to go on.
void resolve_intended(Tracker& tracker, size_t page, bool settles, uint64_t run,
                      const std::function<std::vector<ReferenceValue>(std::span<const ReferenceId>)>& read,
                      const std::function<bool(std::vector<ReferenceChange>, std::vector<JournalRecord>)>& write);

}  // namespace waybill::internal
