// SPDX-License-Identifier: Apache-2.0
#include "support/memory_catalog.hpp"

#include <utility>

namespace waybill::testing {

struct MemoryCatalog::Table {
  mutable std::mutex mutex;
  // Guarded by mutex.
  std::map<std::string, Row> rows;
  std::map<std::string, std::pair<UpdateResult, int>> failures;
  uint64_t changes = 0;
  uint64_t writes = 0;
  CatalogHook hook;

  void set(Row& row, std::optional<std::string> value) {
    row.content.value = std::move(value);
    row.change = ++changes;
  }
};

namespace {

std::string stamp_of(uint64_t change) {
  const std::string digits = std::to_string(change);
  return std::string(12 - digits.size(), '0') + digits;
}

}  // namespace

class MemoryReferenceLister final : public ReferenceLister {
 public:
  MemoryReferenceLister(const MemoryCatalog& catalog, Since since)
      : options_(catalog.options_), table_(catalog.table_), identity_(catalog.identity()), since_(std::move(since)) {}

  ReferencePage next(Context& context) override {
    context.check();
    CatalogHook hook;
    {
      const std::lock_guard lock(table_->mutex);
      hook = table_->hook;
    }
    if (hook) hook("list", since_.resume, context);
    context.check();
    ReferencePage page;
    const std::lock_guard lock(table_->mutex);
    auto row = since_.resume.empty() ? table_->rows.begin() : table_->rows.upper_bound(since_.resume);
    for (; row != table_->rows.end() && page.references.size() < options_.page_size; ++row) {
      const std::string stamp = options_.has_stamps ? stamp_of(row->second.change) : "";
      if (options_.has_stamps && stamp < since_.stamp) continue;
      const CatalogRecord& content = row->second.content;
      page.references.push_back({{identity_, row->first, options_.field},
                                 content.value, stamp, content.partition, content.partition_name, content.names});
    }
    page.is_last = row == table_->rows.end();
    if (!page.references.empty()) since_.resume = page.references.back().id.record;
    page.resume = since_.resume;
    return page;
  }

 private:
  const MemoryCatalog::Options options_;
  const std::shared_ptr<MemoryCatalog::Table> table_;
  const std::string identity_;
  Since since_;
};

MemoryCatalog::MemoryCatalog(Options options, CatalogHook hook)
    : options_(std::move(options)), table_(std::make_shared<Table>()) {
  table_->hook = std::move(hook);
}

void MemoryCatalog::put(const std::string& record, CatalogRecord content) {
  const std::lock_guard lock(table_->mutex);
  Row& row = table_->rows[record];
  row.content = std::move(content);
  row.change = ++table_->changes;
}

void MemoryCatalog::set(const std::string& record, std::optional<std::string> value) {
  const std::lock_guard lock(table_->mutex);
  table_->set(table_->rows.at(record), std::move(value));
}

void MemoryCatalog::remove(const std::string& record) {
  const std::lock_guard lock(table_->mutex);
  table_->rows.erase(record);
}

std::optional<std::string> MemoryCatalog::value(const std::string& record) const {
  const std::lock_guard lock(table_->mutex);
  return table_->rows.at(record).content.value;
}

bool MemoryCatalog::contains(const std::string& record) const {
  const std::lock_guard lock(table_->mutex);
  return table_->rows.contains(record);
}

std::map<std::string, CatalogRecord> MemoryCatalog::records() const {
  const std::lock_guard lock(table_->mutex);
  std::map<std::string, CatalogRecord> all;
  for (const auto& [record, row] : table_->rows) all.emplace(record, row.content);
  return all;
}

void MemoryCatalog::fail(const std::string& record, UpdateResult result, int times) {
  const std::lock_guard lock(table_->mutex);
  table_->failures.insert_or_assign(record, std::pair(std::move(result), times));
}

void MemoryCatalog::set_hook(CatalogHook hook) {
  const std::lock_guard lock(table_->mutex);
  table_->hook = std::move(hook);
}

uint64_t MemoryCatalog::writes(const std::string& record) const {
  const std::lock_guard lock(table_->mutex);
  return table_->rows.at(record).writes;
}

uint64_t MemoryCatalog::writes() const {
  const std::lock_guard lock(table_->mutex);
  return table_->writes;
}

Catalog::Capabilities MemoryCatalog::capabilities() const {
  return {options_.conditional, options_.max_batch, options_.max_value_length, options_.locks_partitions};
}

void MemoryCatalog::call_hook(const std::string& step, const std::string& record, Context& context) const {
  context.check();
  CatalogHook hook;
  {
    const std::lock_guard lock(table_->mutex);
    hook = table_->hook;
  }
  if (hook) hook(step, record, context);
}

void MemoryCatalog::check_id(const ReferenceId& id) const {
  if (id.catalog == identity() && id.field == options_.field) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::internal,
              "the field " + id.field + " of " + id.catalog + " is not one of " + identity());
}

void MemoryCatalog::check(CatalogAccess access, Context& context) {
  call_hook("check", "", context);
  if (access == CatalogAccess::read || options_.may_update) return;
  throw Error(ErrorCode::permission_denied, ErrorClass::permission, identity() + " can only be read");
}

std::unique_ptr<ReferenceLister> MemoryCatalog::list(const Since& since, Context& context) {
  context.check();
  return std::make_unique<MemoryReferenceLister>(*this, since);
}

UpdateResult MemoryCatalog::update_one(const ReferenceUpdate& update, Context& context) {
  const auto conflict = [&](const Row& row) {
    return options_.conditional != Conditional::none && row.content.value != update.expected;
  };
  const auto gone = [&] {
    return UpdateResult{UpdateResult::Status::failed, ErrorClass::missing, "there is no record " + update.id.record, false};
  };
  {
    const std::lock_guard lock(table_->mutex);
    if (const auto failure = table_->failures.find(update.id.record); failure != table_->failures.end()) {
      UpdateResult result = failure->second.first;
      if (--failure->second.second <= 0) table_->failures.erase(failure);
      return result;
    }
    const auto row = table_->rows.find(update.id.record);
    if (row == table_->rows.end()) return gone();
    if (conflict(row->second)) return {UpdateResult::Status::conflict, ErrorClass::none, "", false};
    if (options_.max_value_length != 0 && update.value && update.value->size() > options_.max_value_length) {
      return {UpdateResult::Status::failed, ErrorClass::too_large, options_.field + " holds no value of that length", false};
    }
  }
  if (options_.conditional != Conditional::exact) call_hook("compared", update.id.record, context);
  const std::lock_guard lock(table_->mutex);
  const auto row = table_->rows.find(update.id.record);
  if (row == table_->rows.end()) return gone();
  if (options_.conditional == Conditional::exact && conflict(row->second)) {
    return {UpdateResult::Status::conflict, ErrorClass::none, "", false};
  }
  table_->set(row->second, update.value);
  ++row->second.writes;
  ++table_->writes;
  return {UpdateResult::Status::updated, ErrorClass::none, "", false};
}

std::vector<UpdateResult> MemoryCatalog::update(std::span<const ReferenceUpdate> updates, Context& context) {
  call_hook("batch", "", context);
  if (!options_.may_update) {
    throw Error(ErrorCode::permission_denied, ErrorClass::permission, identity() + " can only be read");
  }
  if (updates.size() > options_.max_batch) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::internal, "more updates than max_batch");
  }
  std::vector<UpdateResult> results;
  for (const ReferenceUpdate& update : updates) {
    check_id(update.id);
    call_hook("update", update.id.record, context);
    results.push_back(update_one(update, context));
  }
  call_hook("answer", "", context);
  return results;
}

std::vector<ReferenceValue> MemoryCatalog::read(std::span<const ReferenceId> ids, Context& context) {
  if (ids.size() > options_.max_batch) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::internal, "more ids than max_batch");
  }
  context.check();
  std::vector<ReferenceValue> values;
  for (const ReferenceId& id : ids) {
    check_id(id);
    call_hook("read", id.record, context);
    const std::lock_guard lock(table_->mutex);
    const auto row = table_->rows.find(id.record);
    ReferenceValue& value = values.emplace_back();
    value.id = id;
    value.is_gone = row == table_->rows.end();
    if (value.is_gone) continue;
    const CatalogRecord& content = row->second.content;
    if (options_.has_stamps) value.stamp = stamp_of(row->second.change);
    value.value = content.value;
    value.partition = content.partition;
    value.partition_name = content.partition_name;
    value.names = content.names;
  }
  return values;
}

}  // namespace waybill::testing
