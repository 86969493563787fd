// SPDX-License-Identifier: Apache-2.0
//
// What a run takes from its process, it gives back: threads and descriptors.

#include <gtest/gtest.h>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

size_t entries_of(const char* folder) {
  const std::filesystem::directory_iterator entries(folder);
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

TEST(Resources, AreAllGivenBackWhenAMigrationIsClosed) {
  TemporaryFolder from;
  TemporaryFolder to;
  TemporaryFolder ledgers;
  for (int i = 0; i < 20; ++i) put("file://" + from.path(), "d/" + std::to_string(i), std::string(1000, 'x'));
  size_t threads = 0;
  size_t descriptors = 0;
  for (int round = 0; round < 50; ++round) {
    {
      // A destination of its own each time, so that every round moves.
      Migration migration("file://" + from.path(), "file://" + to.path(std::to_string(round)),
                          ledgers.path(std::to_string(round)));
      const Report report = migration.run();
      ASSERT_EQ(report.exit_code, 0) << report.message;
      ASSERT_EQ(report.snapshot.items.created, 20);
      if (round == 0 || round == 49) {
        ASSERT_EQ(migration.verify().exit_code, 0);
      }
    }
    if (round == 0) {
      threads = entries_of("/proc/self/task");
      descriptors = entries_of("/proc/self/fd");
    }
  }
  EXPECT_EQ(entries_of("/proc/self/task"), threads);
  EXPECT_EQ(entries_of("/proc/self/fd"), descriptors);
}

}  // namespace
}  // namespace waybill::testing
