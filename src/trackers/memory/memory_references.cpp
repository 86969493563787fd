// SPDX-License-Identifier: Apache-2.0
//
// See memory_references.hpp.
#include "trackers/memory/memory_references.hpp"

#include <algorithm>
#include <utility>

#include "base/references.hpp"
#include "base/text.hpp"

namespace waybill::internal {
namespace {

constexpr size_t max_examined = 50'000;  // rows that one page of a scan looks at

bool wants(const ReferenceQuery& query, const ReferenceRecord& record) {
  if (!query.states.empty() &&
      std::find(query.states.begin(), query.states.end(), record.state) == query.states.end()) {
    return false;
  }
  if (query.partition && record.partition != *query.partition) return false;
  if (query.not_seen_since && record.seen >= *query.not_seen_since) return false;
  return !query.run || record.run == *query.run;
}

// The length of the catalog and of the record, and the three parts.
std::string to_text(const ReferenceId& id) {
  return std::to_string(id.catalog.size()) + ':' + std::to_string(id.record.size()) + ':' + id.catalog + id.record +
         id.field;
}

ReferenceId to_id(const std::string& text) {
  const size_t colon = text.find(':');
  const size_t second = colon == std::string::npos ? colon : text.find(':', colon + 1);
  const auto catalog = parse_uint(std::string_view(text).substr(0, colon));
  const auto record = second == std::string::npos
                          ? std::nullopt
                          : parse_uint(std::string_view(text).substr(colon + 1, second - colon - 1));
  if (!catalog || !record || *catalog > text.size() || *record > text.size() ||
      second + 1 + *catalog + *record > text.size()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "the position to go on from is not one of a scan");
  }
  const std::string parts = text.substr(second + 1);
  return {parts.substr(0, *catalog), parts.substr(*catalog, *record), parts.substr(*catalog + *record)};
}

}  // namespace

void MemoryReferences::apply(const ReferenceChange& change, uint64_t run) {
  const auto [entry, is_new] = rows_.try_emplace(change.record.id);
  Row& row = entry->second;
  const ReferenceRecord before = std::exchange(row.record, change.record);
  row.record.run = before.run;
  if (!is_new) {
    add_references(total_, before.state, -1);
    add_references(partitions_[before.partition], before.state, -1);
  }
  add_references(total_, change.record.state, 1);
  add_references(partitions_[change.record.partition], change.record.state, 1);
  if (!change.record.partition_name.empty()) labels_[change.record.partition] = change.record.partition_name;
  if (!change.is_settled || run == 0) return;
  // It counts once in a run: as what it was settled in last.
  if (before.run == run) add_references(settled_[run], row.settled, -1);
  add_references(settled_[run], change.record.state, 1);
  row.settled = change.record.state;
  row.record.run = run;
}

void MemoryReferences::apply(const JournalRecord& record) {
  const auto [entry, is_new] = journal_[record.id].try_emplace(record.generation, record);
  if (is_new) return;
  JournalRecord& known = entry->second;
  known.observed = record.observed;
  known.state = record.state;
  known.run = record.run;
  known.at_ms = record.at_ms;
}

ReferenceRecord MemoryReferences::record_of(const Row& row) const {
  ReferenceRecord record = row.record;
  const auto label = labels_.find(record.partition);
  record.partition_name = label == labels_.end() ? "" : label->second;
  return record;
}

std::vector<std::optional<ReferenceRecord>> MemoryReferences::lookup(std::span<const ReferenceId> ids) const {
  std::vector<std::optional<ReferenceRecord>> records;
  records.reserve(ids.size());
  for (const ReferenceId& id : ids) {
    const auto row = rows_.find(id);
    records.push_back(row == rows_.end() ? std::nullopt : std::optional(record_of(row->second)));
  }
  return records;
}

ReferenceRecordPage MemoryReferences::scan(const ReferenceQuery& query, const std::string& resume, size_t limit) const {
  ReferenceRecordPage page;
  size_t examined = 0;
  for (auto row = resume.empty() ? rows_.begin() : rows_.lower_bound(to_id(resume)); row != rows_.end(); ++row) {
    if (page.references.size() >= limit || examined++ >= max_examined) {
      page.resume = to_text(row->first);
      return page;
    }
    if (wants(query, row->second.record)) page.references.push_back(record_of(row->second));
  }
  page.is_last = true;
  return page;
}

std::vector<std::optional<JournalRecord>> MemoryReferences::lookup_journal(std::span<const ReferenceId> ids) const {
  std::vector<std::optional<JournalRecord>> records;
  records.reserve(ids.size());
  for (const ReferenceId& id : ids) {
    const auto known = journal_.find(id);
    records.push_back(known == journal_.end() ? std::nullopt : std::optional(known->second.rbegin()->second));
  }
  return records;
}

std::vector<JournalRecord> MemoryReferences::journal(const ReferenceId& id) const {
  std::vector<JournalRecord> records;
  const auto known = journal_.find(id);
  if (known == journal_.end()) return records;
  for (const auto& [generation, record] : known->second) records.push_back(record);
  return records;
}

ReferenceAccounts MemoryReferences::settled_by(uint64_t run) const {
  const auto known = settled_.find(run);
  return known == settled_.end() ? ReferenceAccounts{} : known->second;
}

}  // namespace waybill::internal
