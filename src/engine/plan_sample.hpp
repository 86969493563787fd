// SPDX-License-Identifier: Apache-2.0
//
// What a plan asks a source beyond its listing: one item of each host, whether anybody is there, and a sample of the items
// whose size no listing tells.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/cancellation.hpp"
#include "waybill/migration.hpp"

namespace waybill::internal {

/// Both keep what they ask about: a bounded number of ids.
///
/// *Thread safety:* one thread at a time.
class PlanSample {
 public:
  explicit PlanSample(Source& source);

  /// Counts an item that would be read.
  void add(const ItemId& id, std::optional<uint64_t> size);
  /// Asks the source; blocks until everybody has answered, or had the time for it. Errors: none of the source's.
  void ask(const RunScope& scope, Plan& plan);

 private:
  struct Host {
    Plan::Row row;
    ItemId item;  // the first one
  };

  std::string host_of(const ItemId& id) const;
  void count_host(const ItemId& id, const std::optional<uint64_t>& size);
  void ask_hosts(const RunScope& scope, Plan& plan);
  void ask_sample(const RunScope& scope, Plan& plan);

  Source& source_;
  const bool has_links_;
  std::map<std::string, Host> hosts_;
  Plan::Row other_hosts_;           // met when hosts_ was full
  int64_t n_unknown_ = 0;
  std::vector<ItemId> sample_;
  std::mt19937_64 random_;
};

}  // namespace waybill::internal
