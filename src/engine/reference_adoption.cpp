// SPDX-License-Identifier: Apache-2.0

#include "engine/reference_adoption.hpp"

#include <algorithm>
#include <set>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "engine/reference_outcome.hpp"

namespace waybill::internal {
namespace {

constexpr size_t rows_an_event = 100;
constexpr size_t most_read = 1000;

// Whether the newest switch that this ledger knows of is one that it stands by: made here, or confirmed by reading. What
// another program was said to have done, and had not, it may have done since.
bool stands(const std::optional<JournalRecord>& newest) {
  return newest && newest->state != JournalState::not_applied && newest->state != JournalState::conflict;
}

}  // namespace

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
  const size_t most = std::clamp<size_t>(catalog_.capabilities().max_batch, 1, most_read);
  for (; !references.empty(); references = references.subspan(std::min(references.size(), most))) {
    add_some(references.first(std::min(references.size(), most)), report);
  }
}

void ReferenceAdoption::add_some(std::span<const ImportedReference> some, ImportReport& report) {
  if (field_.empty()) field_ = field_of_catalog();
  std::vector<ReferenceId> ids;
  for (const ImportedReference& reference : some) ids.push_back({catalog_.identity(), reference.record, field_});
  const std::vector<ReferenceValue> now = catalog_.read(ids, Context::background());
  if (now.size() != ids.size()) {
    throw Error(ErrorCode::internal, ErrorClass::internal,
                "the catalog gave " + std::to_string(now.size()) + " values for " + std::to_string(ids.size()) + " references");
  }
  check_catalog(some, now);
  // An older system may spell ids otherwise than the catalog does.
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = now[i].id;
  const auto known = tracker_.lookup_references(ids);
  const auto journal = tracker_.lookup_journal(ids);
  const std::vector<ItemId> items = items_of(some, now);
  Batch batch;
  Rows rows;
  std::set<ReferenceId> met;
  for (size_t i = 0; i < some.size(); ++i) {
    ++report.references;
    const bool is_switched_now = !now[i].is_gone && now[i].value == some[i].new_value;
    const bool is_settled = known[i] && known[i]->generation > 0 && (stands(journal[i]) || !is_switched_now);
    if (is_settled || !met.insert(ids[i]).second) {
      ++report.references_known;
      continue;
    }
    Switched one = claimed(some[i], now[i]);
    one.record.id = one.journal.id = ids[i];
    one.record.item = items[i];
    one.record.generation = one.journal.generation = known[i] ? known[i]->generation + 1 : 1;
    ++(is_switched_now ? report.references_confirmed : report.references_refuted);
    batch.references.push_back(ReferenceChange{std::move(one.record)});
    batch.journal.push_back(std::move(one.journal));
    if (!some[i].origin.empty()) rows.push_back(some[i].origin);
  }
  if (batch.references.empty()) return;
  tell(batch, rows);
  batch.live = LiveState{};  // the heartbeat
  tracker_.commit(epoch_, batch);
}

// One that has none of the records is another one than that which was switched: nothing is journalled of it.
void ReferenceAdoption::check_catalog(std::span<const ImportedReference> some, std::span<const ReferenceValue> now) {
  if (is_catalog_right_) return;
  is_catalog_right_ = std::any_of(now.begin(), now.end(), [](const ReferenceValue& value) { return !value.is_gone; });
  if (is_catalog_right_) return;
  throw Error(ErrorCode::failed_precondition, ErrorClass::configuration,
              printable(catalog_.identity()) + " has none of the first " + std::to_string(some.size()) + " records that " +
                  printable(origin_.file) + " says were switched (the first one is " + printable(some.front().record) +
                  "): name the catalog that holds them, or import it without one");
}

// The item that each old value points at: in the partition of its record where the source has it there, or in none.
std::vector<ItemId> ReferenceAdoption::items_of(std::span<const ImportedReference> some, std::span<const ReferenceValue> now) const {
  std::vector<ItemId> wanted;  // of each, in its partition and in none
  for (size_t i = 0; i < some.size(); ++i) {
    ItemId item = some[i].old_value ? source_.item_at(*some[i].old_value).value_or(ItemId{}) : ItemId{};
    wanted.push_back(item);
    if (!item.key.empty() && item.partition.empty()) wanted.back().partition = partition_of(some[i], now[i]);
    wanted.push_back(std::move(item));
  }
  const auto rows = tracker_.lookup(wanted);
  const bool is_by_record = source_.capabilities().links;
  std::vector<ItemId> items;
  for (size_t i = 0; i < wanted.size(); i += 2) {
    const bool is_in_partition = rows[i] || (is_by_record && !rows[i + 1]);
    items.push_back(std::move(wanted[is_in_partition ? i : i + 1]));
  }
  return items;
}

const std::string& ReferenceAdoption::partition_of(const ImportedReference& said, const ReferenceValue& now) {
  return now.is_gone || now.partition.empty() ? said.partition : now.partition;
}

// What was said, and what the field holds now.
Switched ReferenceAdoption::claimed(const ImportedReference& said, const ReferenceValue& now) {
  Switched one;
  one.record.partition = one.journal.partition = partition_of(said, now);
  one.record.partition_name = now.partition_name.empty() ? said.partition_name : now.partition_name;
  one.record.stamp = now.stamp;
  one.record.intended = one.journal.intended = said.new_value;
  one.journal.old = said.old_value;
  one.journal.at_ms = now_ms();
  if (!now.is_gone && now.value == said.new_value) {
    mark_done(one, Direction::forwards, now.value);
  } else if (!now.is_gone && now.value == said.old_value) {
    // It was never switched, or taken back since: the next plan finds it.
    one.journal.state = JournalState::not_applied;
    one.journal.observed = one.record.value = now.value;
    one.record.state = ReferenceState::original;
    one.record.reason = "said to be switched by the imported ledger, and is not";
    one.record.intended.reset();
  } else {
    mark_changed(one, Direction::forwards, now);
  }
  return one;
}

void ReferenceAdoption::tell(Batch& batch, const Rows& rows) const {
  const std::string head = json_object({{"action", "import-references"}, {"import", origin_.sha256}, {"who", origin_.who}});
  size_t told = 0;
  do {
    std::string list;
    for (const size_t end = std::min(told + rows_an_event, rows.size()); told < end; ++told) list += (list.empty() ? "" : ",") + rows[told];
    Event event;
    event.at_ms = now_ms();
    event.kind = EventKind::audit;
    event.text = std::to_string(batch.references.size()) + " references imported from " + printable(origin_.file) + " by " + printable(origin_.who);
    event.data = head.substr(0, head.size() - 1) + ",\"rows\":[" + list + "]}";
    batch.events.push_back(std::move(event));
  } while (told < rows.size());
}

}  // namespace waybill::internal
