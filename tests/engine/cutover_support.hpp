// SPDX-License-Identifier: Apache-2.0
//
// What the tests of cutovers share: a backup that is verified, and a system of record whose references point at its source.
#pragma once

#include <algorithm>

#include "engine/support.hpp"
#include "support/memory_catalog.hpp"

namespace waybill::testing {

/// A source in memory whose items are known by URLs "old://KEY".
class LinkedSource final : public ScriptedSource {
 public:
  using ScriptedSource::ScriptedSource;
  std::optional<ItemId> item_at(std::string_view url) const override {
    constexpr std::string_view place = "old://";
    if (!url.starts_with(place) || url.size() == place.size()) return std::nullopt;
    return ItemId{"", Key(url.substr(place.size())), ""};
  }
};

inline std::string old_url(const Key& key) { return "old://" + key; }
inline std::string new_url(const Key& key) { return "https://files.example.com/" + key; }

class Cutovers : public Stores {
 protected:
  std::shared_ptr<MemoryCatalog> catalog = std::make_shared<MemoryCatalog>();

  static CutoverOptions options() {
    CutoverOptions options;
    options.url_template = "https://files.example.com/{destination_key}";
    options.probes = 0;
    return options;
  }

  Migration migration() {
    Migration result(std::make_shared<LinkedSource>(open_source(from), source_hook),
                     std::make_shared<ScriptedDestination>(open_destination(to), destination_hook), open_tracker(ledger));
    result.set_catalog(catalog);
    return result;
  }

  static Key key(int number) {
    char text[32];
    std::snprintf(text, sizeof text, "k%06d", number);
    return text;
  }
  static std::string record(int number) { return "r" + key(number); }

  /// Items k000000 …, copied and verified, and for each a record, in five accounts.
  void back_up(int count) {
    fill(count);
    for (int i = 0; i < count; ++i) catalog->put(record(i), {old_url(key(i)), "account " + std::to_string(i % 5), "", {}});
    copy_and_verify();
  }
  void copy_and_verify() {
    ASSERT_EQ(migration().run(quick()).exit_code, 0);
    ASSERT_EQ(migration().verify(VerifyLevel::checksum, quick()).exit_code, 0);
  }

  CutoverPlan plan() { return migration().plan_cutover(options()); }
  Report cut_over(const std::string& hash, const CutoverOptions& cutover = options(), const Options& run = quick()) {
    return migration().start_cutover(hash, cutover, run)->wait();
  }
  Report cut_over() { return cut_over(plan().hash); }
  Report roll_back(const RollbackOptions& rollback = {}) { return migration().start_rollback(rollback, quick())->wait(); }

  std::optional<ReferenceRecord> reference(const std::string& record) {
    const ReferenceId id = catalog->id(record);
    return open_tracker(ledger, OpenMode::read_only)->lookup_references({&id, 1}).front();
  }
  ReferenceState state(const std::string& record) { return reference(record).value().state; }
  std::vector<JournalRecord> journal(const std::string& record) {
    return open_tracker(ledger, OpenMode::read_only)->journal(catalog->id(record));
  }
  static const Gate& gate(const CutoverPlan& plan, const std::string& name) {
    const auto found = std::find_if(plan.gates.begin(), plan.gates.end(), [&](const Gate& gate) { return gate.name == name; });
    if (found == plan.gates.end()) throw std::out_of_range("no gate " + name);
    return *found;
  }
  /// How many records hold what `make` says of their item.
  int64_t holding(const std::function<std::string(const Key&)>& make) {
    int64_t n = 0;
    for (const auto& [name, content] : catalog->records()) n += content.value == make(name.substr(1)) ? 1 : 0;
    return n;
  }
};

}  // namespace waybill::testing
