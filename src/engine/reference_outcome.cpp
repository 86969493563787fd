// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_outcome.hpp"

#include "base/clock.hpp"

namespace waybill::internal {

void resolve_intended(Tracker& tracker, size_t page_size, bool settles, uint64_t run,
                      const std::function<std::vector<ReferenceValue>(std::span<const ReferenceId>)>& read,
                      const std::function<bool(std::vector<ReferenceChange>, std::vector<JournalRecord>)>& write) {
  ReferenceQuery query;
  query.states = {ReferenceState::intended};
  std::string resume;
  for (bool is_last = false; !is_last;) {
    ReferenceRecordPage page = tracker.scan_references(query, resume, page_size);
    is_last = page.is_last;
    resume = page.resume;
    if (page.references.empty()) continue;
    std::vector<ReferenceId> ids;
    for (const ReferenceRecord& record : page.references) ids.push_back(record.id);
    const auto journal = tracker.lookup_journal(ids);
    const std::vector<ReferenceValue> now = read(ids);
    std::vector<ReferenceChange> changes;
    std::vector<JournalRecord> entries;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!journal[i]) {
        throw Error(ErrorCode::data_loss, ErrorClass::tracker, "the ledger has no journal of " + printable(ids[i].record) + ", which it says is intended");
      }
      Switched one{std::move(page.references[i]), *journal[i]};
      if (!now[i].is_gone && now[i].value == one.journal.intended) mark_done(one, Direction::forwards, now[i].value);
      else if (now[i].is_gone || now[i].value != one.journal.old) mark_changed(one, Direction::forwards, now[i]);
      else mark_put_back(one, Direction::forwards);
      ReferenceChange change;
      change.is_settled = settles && one.record.state != ReferenceState::pending;
      change.attempts = change.is_settled ? 1 : 0;
      if (change.is_settled) one.record.run = run;
      change.record = std::move(one.record);
      changes.push_back(std::move(change));
      one.journal.at_ms = now_ms();
      entries.push_back(std::move(one.journal));
    }
    if (!write(std::move(changes), std::move(entries))) return;
  }
}

}  // namespace waybill::internal
