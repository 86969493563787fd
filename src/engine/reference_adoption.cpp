// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_adoption.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "engine/reference_outcome.hpp"

namespace waybill::internal {

ReferenceAdoption::ReferenceAdoption(Catalog& catalog, const Source& source, Tracker& tracker, uint64_t epoch, const ImportOrigin& origin)
    : catalog_(catalog), source_(source), tracker_(tracker), epoch_(epoch), origin_(origin) {}

// Another program's ledger names records; which field of them it means, the catalog tells.
std::string ReferenceAdoption::field_of_catalog() {
  Context& context = Context::background();
  const std::unique_ptr<ReferenceLister> lister = catalog_.list({}, context);
  for (bool is_last = false; !is_last;) {
    const ReferencePage page = lister->next(context);
    if (!page.references.empty()) return page.references.front().id.field;
    is_last = page.is_last;
  }
  throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
              printable(catalog_.identity()) + " lists no reference: nothing that was switched can be confirmed");
}

void ReferenceAdoption::add(std::span<const ImportedReference> references, ImportReport& report) {
  if (references.empty()) return;
  if (field_.empty()) field_ = field_of_catalog();
  const size_t most = std::max<uint32_t>(catalog_.capabilities().max_batch, 1);
  for (; !references.empty(); references = references.subspan(std::min(references.size(), most))) {
    const std::span<const ImportedReference> some = references.first(std::min(references.size(), most));
    std::vector<ReferenceId> ids;
    for (const ImportedReference& reference : some) ids.push_back({catalog_.identity(), reference.record, field_});
    const auto known = tracker_.lookup_references(ids);
    const std::vector<ReferenceValue> now = catalog_.read(ids, Context::background());
    Batch batch;
    std::string rows;
    for (size_t i = 0; i < some.size(); ++i) {
      ++report.references;
      if (known[i] && known[i]->generation > 0) {
        ++report.references_known;
        continue;
      }
      Switched one;
      one.record.id = one.journal.id = ids[i];
      one.record.generation = one.journal.generation = 1;
      one.record.partition = one.journal.partition = some[i].partition;
      one.record.partition_name = some[i].partition_name;
      if (some[i].old_value) one.record.item = source_.item_at(*some[i].old_value).value_or(ItemId{});
      one.record.stamp = now[i].stamp;
      one.record.intended = one.journal.intended = some[i].new_value;
      one.journal.old = some[i].old_value;
      one.journal.at_ms = now_ms();
      if (!now[i].is_gone && now[i].value == some[i].new_value) {
        mark_done(one, Direction::forwards, now[i].value);
        ++report.references_confirmed;
      } else if (!now[i].is_gone && now[i].value == some[i].old_value) {
        // It was never switched, or taken back since: the next plan finds it.
        one.journal.state = JournalState::not_applied;
        one.journal.observed = one.record.value = now[i].value;
        one.record.state = ReferenceState::original;
        one.record.reason = "said to be switched by the imported ledger, and is not";
        one.record.intended.reset();
        ++report.references_refuted;
      } else {
        mark_changed(one, Direction::forwards, now[i]);
        ++report.references_refuted;
      }
      batch.references.push_back(ReferenceChange{std::move(one.record)});
      batch.journal.push_back(std::move(one.journal));
      if (!some[i].origin.empty()) rows += (rows.empty() ? "" : ",") + some[i].origin;
    }
    if (batch.references.empty()) continue;
    Event event;
    event.at_ms = now_ms();
    event.kind = EventKind::audit;
    event.text = std::to_string(batch.references.size()) + " references imported from " + printable(origin_.file) + " by " + printable(origin_.who);
    const std::string head = json_object({{"action", "import-references"}, {"import", origin_.sha256}, {"who", origin_.who}});
    event.data = head.substr(0, head.size() - 1) + ",\"rows\":[" + rows + "]}";
    batch.events.push_back(std::move(event));
    batch.live = LiveState{};  // the heartbeat
    tracker_.commit(epoch_, batch);
  }
}

}  // namespace waybill::internal
