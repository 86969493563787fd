// SPDX-License-Identifier: Apache-2.0

#include "engine/cutover_run.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/references.hpp"
#include "engine/decide.hpp"
#include "engine/reference_pass.hpp"

namespace waybill::internal {
namespace {

constexpr size_t scan_page = 1000;

}  // namespace

CutoverRun::CutoverRun(RunSetup setup, std::shared_ptr<Catalog> catalog, uint64_t pass, uint64_t canary)
    : ReferenceRun(std::move(setup), std::move(catalog), Direction::forwards),
      pass_(pass),
      is_canary_(canary != 0),
      left_(std::numeric_limits<uint64_t>::max()) {
  if (!is_canary_) return;
  const ReferenceAccounts before = setup_.tracker->snapshot().run_references;
  left_ = canary - std::min<uint64_t>(canary, static_cast<uint64_t>(before.total - before.pending));
}

std::vector<Switch> CutoverRun::next_batch() {
  while (page_.size() < std::min<uint64_t>(can_.max_batch, left_) && !is_scanned_) {
    ReferenceQuery query;
    query.states = {ReferenceState::pending};
    ReferenceRecordPage page = setup_.tracker->scan_references(query, resume_, scan_page);
    is_scanned_ = page.is_last;
    resume_ = page.resume;
    std::move(page.references.begin(), page.references.end(), std::back_inserter(page_));
  }
  std::vector<Switch> batch;
  while (!page_.empty() && left_ > 0 && batch.size() < can_.max_batch) {
    Switch one;
    one.record = std::move(page_.front());
    page_.pop_front();
    --left_;
    one.record.state = ReferenceState::intended;
    ++one.record.generation;
    one.journal.id = one.record.id;
    one.journal.generation = one.record.generation;
    one.journal.run = id();
    one.journal.partition = one.record.partition;
    one.journal.old = one.record.value;
    one.journal.intended = one.record.intended;
    batch.push_back(std::move(one));
  }
  return batch;
}

// What changed behind an unchanged value is not what was copied. What is gone is: then the copy is all there is.
std::optional<Error> CutoverRun::changed_at_source(const ItemRecord& row) {
  try {
    const std::optional<Item> now = patiently(Side::source, "looking at the source", [&](Context& context) {
      return setup_.source->stat(row.id, context);
    });
    const bool lists_stamps = setup_.source->capabilities().lists_stamps;
    if (!now || (lists_stamps ? now->stamp == row.stamp : !contradicts(now->stamp, row.stamp))) return std::nullopt;
    return Error(ErrorCode::failed_precondition, ErrorClass::source_changed,
                 "its item changed at the source since it was copied; run the copy again, verify, and plan anew");
  } catch (...) {
    const Error error = current_error();
    if (error.error_class() == ErrorClass::cancelled) throw;
    if (error.error_class() == ErrorClass::missing || is_dead_link(*setup_.source, error)) return std::nullopt;
    return error;
  }
}

void CutoverRun::prepare(std::vector<Switch>& batch) {
  std::vector<ItemId> ids;
  ids.reserve(batch.size());
  for (const Switch& one : batch) ids.push_back(one.record.item);
  const auto rows = setup_.tracker->lookup(ids);
  // A look that is cancelled throws: until all are made the batch stays whole, as it is begun again.
  std::map<ItemId, std::optional<Error>> looked_at;
  for (size_t i = 0; i < batch.size(); ++i) {
    if (looked_at.contains(ids[i])) continue;
    looked_at[ids[i]] = rows[i] ? changed_at_source(*rows[i])
                                : Error(ErrorCode::not_found, ErrorClass::missing, "its item is not in the ledger any more");
  }
  std::vector<Switch> refused;
  std::vector<Switch> rest;
  for (size_t i = 0; i < batch.size(); ++i) {
    Switch& one = batch[i];
    const std::optional<Error>& why = looked_at.at(ids[i]);
    if (!why) {
      rest.push_back(std::move(one));
      continue;
    }
    mark_refused(one, direction_, why->error_class(), why->message());
    one.journal.generation = 0;  // nothing was intended
    --one.record.generation;
    refused.push_back(std::move(one));
  }
  batch = std::move(rest);
  write(refused, true);
}

// Everything is read once more, and what came or changed meanwhile is found.
void CutoverRun::close() {
  const auto trouble = [this](const Error& error, int) {
    ledger_->event(EventKind::log, LogLevel::warning, "the listing of the catalog is tried again: " + error.message());
  };
  PassJob job{*catalog_, *setup_.source, *setup_.tracker, scope_, retries_.of(Side::destination), {}, trouble};
  job.rules.pass = pass_;
  const ReferenceSink sink = [this](std::vector<ReferenceChange> changes) {
    return !is_stopping() && ledger_->references(std::move(changes), {}, true);
  };
  const PassResult result = run_pass(job, sink);
  if (!result.is_complete) return;
  const ReferenceAccounts& left = result.references;
  const int64_t unswitched = left.original + left.intended + left.conflict + left.failed + (is_canary_ ? 0 : left.pending);
  unswitched_ = unswitched;
  std::string text = "the final listing found " + std::to_string(left.updated) + " switched";
  if (unswitched > 0) text += ", and " + std::to_string(unswitched) + " that are not: see waybill references";
  if (is_canary_) text += "; a canary: " + std::to_string(left.pending) + " of the plan are left";
  if (const std::string window = window_text(); !window.empty()) text += "; " + window;
  remark(std::move(text));
}

bool CutoverRun::has_differences(const Snapshot& snapshot) const {
  return ReferenceRun::has_differences(snapshot) || unswitched_ > 0;
}

}  // namespace waybill::internal
