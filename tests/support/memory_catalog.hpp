// SPDX-License-Identifier: Apache-2.0
//
// A Catalog over a table in memory, for tests: how exactly it compares can be chosen, other people's edits can be made at
// any moment, and a hook before and after each step may count, wait, edit or throw.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "waybill/catalog.hpp"

namespace waybill::testing {

/// What a record holds in its one field, and what it belongs to.
struct CatalogRecord {
  std::optional<std::string> value;
  std::string partition;
  std::string partition_name;
  std::map<std::string, std::string> names;
};

/// Called without any lock held, with the step, the record ("" where there is none) and the context of the call:
///
/// - `check`, `list` (before each page, with the record that it goes on behind), `read` (before each id)
/// - `batch` before anything of an update is done: what it throws is an error before applying
/// - `update` before each update of a batch: what it throws leaves the earlier ones applied, a batch half done
/// - `compared` after the comparison and before the write: the window of a catalog that is weak or not conditional; one
///   that is exact has none
/// - `answer` when all of a batch is applied: what it throws is an answer that got lost
using CatalogHook = std::function<void(const std::string& step, const std::string& record, Context& context)>;

/// *Thread safety:* every method from any thread.
class MemoryCatalog final : public Catalog {
 public:
  struct Options {
    std::string name = "crm";  ///< identity "memory-catalog:crm"
    std::string field = "url";
    Conditional conditional = Conditional::exact;
    uint32_t max_batch = 100;
    uint64_t max_value_length = 0;  ///< a longer value fails with class too_large; 0: none does
    bool locks_partitions = false;
    bool has_stamps = true;         ///< a record's stamp is the count of changes at its last one, 12 digits
    size_t page_size = 1'000;
    bool may_update = true;         ///< otherwise check(update) and updates fail with class permission
  };

  explicit MemoryCatalog(Options options, CatalogHook hook = nullptr);
  MemoryCatalog() : MemoryCatalog(Options{}) {}

  // What other people do to the table, behind our back.
  void put(const std::string& record, CatalogRecord content);
  void set(const std::string& record, std::optional<std::string> value);
  void remove(const std::string& record);
  /// The value now; nothing where it is null. The record must be there: std::out_of_range.
  std::optional<std::string> value(const std::string& record) const;
  bool contains(const std::string& record) const;
  std::map<std::string, CatalogRecord> records() const;

  /// The next `times` updates of `record` end in `result`, and change nothing.
  void fail(const std::string& record, UpdateResult result, int times = 1);
  void set_hook(CatalogHook hook);

  /// Writes that were applied to `record`, and to all, by update() alone.
  uint64_t writes(const std::string& record) const;
  uint64_t writes() const;

  /// The reference to a record.
  ReferenceId id(const std::string& record) const { return {identity(), record, options_.field}; }

  Capabilities capabilities() const override;
  std::string identity() const override { return "memory-catalog:" + options_.name; }
  void check(CatalogAccess access, Context& context) override;
  std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) override;
  std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) override;
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) override;

 private:
  friend class MemoryReferenceLister;
  struct Row {
    CatalogRecord content;
    uint64_t change = 0;  // the count of changes at its last one
    uint64_t writes = 0;
  };
  struct Table;

  void call_hook(const std::string& step, const std::string& record, Context& context) const;
  UpdateResult update_one(const ReferenceUpdate& update, Context& context);
  void check_id(const ReferenceId& id) const;

  const Options options_;
  const std::shared_ptr<Table> table_;  // shared with listings
};

}  // namespace waybill::testing
