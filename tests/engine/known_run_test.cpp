// SPDX-License-Identifier: Apache-2.0
//
// The run of support/known_run.hpp, one item for each hundred (bench/known_run runs it whole).
#include "support/known_run.hpp"

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

TEST(KnownRunTest, TheNumbersAreThoseOfTheStory) {
  const KnownRun full;
  EXPECT_EQ(full.eligible(), 1'344'438u);
  EXPECT_EQ(full.done(), 1'300'368u);
  EXPECT_EQ(full.attempts(), 1'371'660u);
  EXPECT_EQ(full.attempts_failed(), 71'292u);
  for (const KnownRun& run : {full, KnownRun::divided(100)}) {
    KnownRun counted{run.discovered, 0, 0, 0};
    for (uint64_t n = 0; n < run.discovered; ++n) {
      const KnownRun::Fate fate = run.fate(n);
      counted.excluded += fate == KnownRun::Fate::excluded;
      counted.failed += fate == KnownRun::Fate::failed;
      counted.retried += fate == KnownRun::Fate::retried;
    }
    EXPECT_EQ(counted.excluded, run.excluded);
    EXPECT_EQ(counted.failed, run.failed);
    EXPECT_EQ(counted.retried, run.retried);
  }
}

TEST(KnownRunTest, ComesToItsAccountsAndEnds) {
  const KnownRun run = KnownRun::divided(100);
  TemporaryFolder folder;
  const std::string ledger = folder.path("waybill.db");
  Migration migration(std::make_shared<KnownSource>(run), std::make_shared<KnownDestination>(run), open_tracker(ledger));
  Callbacks callbacks;
  double last_progress = 0;
  callbacks.on_progress = [&](const Snapshot& snapshot) {
    EXPECT_EQ(violated_invariant(snapshot), std::nullopt);
    EXPECT_GE(snapshot.progress().value_or(0), last_progress) << "progress never falls";
    last_progress = snapshot.progress().value_or(0);
  };
  const Report report = migration.run(KnownRun::options(), callbacks);
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(last_progress, 1.0);
  for (const auto& [name, numbers] : differences(run, report.snapshot))
    ADD_FAILURE() << name << ": " << numbers.first << ", expected " << numbers.second;
  EXPECT_NEAR(*report.snapshot.success(), 0.948, 0.0005);
  EXPECT_NEAR(*report.snapshot.completeness(), 0.967, 0.0005);
  EXPECT_EQ(report.snapshot.failed_by_class.at("too_large"), report.snapshot.items.failed);
  EXPECT_TRUE(report.snapshot.ended_at_ms);

  // Whoever opens the ledger later sees the same, and the rows say it too.
  const std::shared_ptr<Tracker> tracker = open_tracker(ledger, OpenMode::read_only);
  EXPECT_TRUE(differences(run, tracker->snapshot()).empty());
  uint64_t failed_rows = 0;
  ScanPage page;
  do {
    page = tracker->scan({}, page.resume, 1000);
    for (const auto& row : page.rows) failed_rows += row.record.state == ItemState::failed;
  } while (!page.is_last);
  EXPECT_EQ(failed_rows, run.failed);
}

}  // namespace
}  // namespace waybill::testing
