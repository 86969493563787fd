// SPDX-License-Identifier: Apache-2.0
//
// Shorthand that both files of the Tracker suite use: rows, and a ledger that is bound, owned and in its first run.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "conformance/conformance.hpp"

namespace waybill::conformance {

MigrationInfo wanted_migration();

/// Rows of run 1.
ItemRecord pending(const Key& key, uint64_t size = 1, const std::string& partition = "");
ItemRecord copied(const Key& key, uint64_t size, const std::string& partition = "");
ItemRecord failed(const Key& key, ErrorClass error_class, const std::string& partition = "");

/// Makes `run` the present one, or changes its state.
Batch run_batch(uint64_t run, RunState state = RunState::running, Phase phase = Phase::copy);

/// Fails the test where a field differs.
void expect_equal(const ItemRecord& got, const ItemRecord& want);

/// A ledger that this process owns, in run 1; given up at the end.
struct Owned {
  explicit Owned(TrackerFixture& fixture, std::chrono::milliseconds lease = std::chrono::seconds(30));
  ~Owned() { tracker->release(epoch); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  void commit_items(const std::vector<ItemRecord>& rows) const;
  void beat() const;

  std::shared_ptr<Tracker> tracker;
  uint64_t epoch = 0;
};

}  // namespace waybill::conformance
