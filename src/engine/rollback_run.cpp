// SPDX-License-Identifier: Apache-2.0

#include "engine/rollback_run.hpp"

#include <algorithm>
#include <utility>

namespace waybill::internal {
namespace {

constexpr size_t scan_page = 1000;

bool is_among(const std::vector<std::string>& wanted, const std::string& name) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

}  // namespace

RollbackScan::RollbackScan(Tracker& tracker, const RollbackOptions& options) : tracker_(tracker), options_(options) {}

std::vector<Switch> RollbackScan::next(size_t most) {
  while (page_.size() < most && !is_last_) read_page();
  std::vector<Switch> batch;
  for (; !page_.empty() && batch.size() < most; page_.pop_front()) batch.push_back(std::move(page_.front()));
  return batch;
}

void RollbackScan::read_page() {
  ReferenceQuery query;
  query.states = {ReferenceState::updated, ReferenceState::failed};
  if (options_.partitions.size() == 1) query.partition = options_.partitions.front();
  ReferenceRecordPage page = tracker_.scan_references(query, resume_, scan_page);
  is_last_ = page.is_last;
  resume_ = page.resume;
  std::vector<ReferenceId> ids;
  for (const ReferenceRecord& record : page.references) ids.push_back(record.id);
  const auto journal = tracker_.lookup_journal(ids);
  for (size_t i = 0; i < ids.size(); ++i) {
    // A failed one is switched where it was its rollback that failed.
    if (!journal[i] || journal[i]->state != JournalState::applied) continue;
    ReferenceRecord& record = page.references[i];
    const bool is_wanted = is_among(options_.partitions, record.partition) && is_among(options_.records, record.id.record) &&
                           (options_.run == 0 || journal[i]->run == options_.run);
    if (!is_wanted) continue;
    Switch one;
    one.record = std::move(record);
    one.journal = *journal[i];
    page_.push_back(std::move(one));
  }
}

RollbackRun::RollbackRun(RunSetup setup, std::shared_ptr<Catalog> catalog, const RollbackOptions& options)
    : ReferenceRun(std::move(setup), std::move(catalog), Direction::back), scan_(*setup_.tracker, options) {}

}  // namespace waybill::internal
