// SPDX-License-Identifier: Apache-2.0
//
// Run states and their one table of moves, exit codes, ratios, the check of the accounts' equations, and the JSON
// forms.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "waybill/migration.hpp"
#include "waybill/options.hpp"
#include "waybill/progress.hpp"

namespace waybill {
namespace {

using Json = nlohmann::json;

std::set<std::string> names(const Json& object) {
  std::set<std::string> all;
  for (const auto& [name, value] : object.items()) all.insert(name);
  return all;
}

TEST(RunStates, EndedRunsStayAsTheyAre) {
  for (int from = 0; from <= 8; ++from) {
    for (int to = 0; to <= 8; ++to) {
      const auto a = static_cast<RunState>(from), b = static_cast<RunState>(to);
      if (is_ended(a) || a == b || b == RunState::created) {
        EXPECT_FALSE(is_legal_move(a, b)) << from << to;
      }
    }
    EXPECT_EQ(run_state_from(to_string(static_cast<RunState>(from))), static_cast<RunState>(from));
  }
  EXPECT_TRUE(is_legal_move(RunState::interrupted, RunState::running));
  EXPECT_TRUE(is_legal_move(RunState::paused, RunState::running));
  EXPECT_FALSE(is_legal_move(RunState::cancelling, RunState::completed));
  EXPECT_EQ(run_state_from("no such state"), std::nullopt);
}

TEST(RunStates, ExitCodes) {
  EXPECT_EQ(exit_code(RunState::completed), 0);
  EXPECT_EQ(exit_code(RunState::completed_with_differences), 3);
  EXPECT_EQ(exit_code(RunState::failed), 1);
  for (const RunState state : {RunState::cancelled, RunState::paused, RunState::interrupted}) {
    EXPECT_EQ(exit_code(state), 130);
  }
}

TEST(Snapshots, RatiosAreUnknownUntilTheListingIsComplete) {
  Snapshot snapshot;
  EXPECT_EQ(snapshot.progress(), std::nullopt);
  EXPECT_EQ(snapshot.success(), std::nullopt);
  snapshot.listing_complete = true;
  EXPECT_EQ(snapshot.progress(), 1.0);
  EXPECT_EQ(snapshot.completeness(), 1.0);
  snapshot.items.eligible = 4;
  snapshot.items.done = 1;
  snapshot.items.settled = 2;
  snapshot.attempts_total = 8;
  snapshot.attempts_failed = 2;
  EXPECT_EQ(snapshot.progress(), 0.5);
  EXPECT_EQ(snapshot.completeness(), 0.25);
  EXPECT_EQ(snapshot.success(), 0.75);
}

TEST(Snapshots, EveryBrokenEquationIsFound) {
  Snapshot whole;
  whole.items = {.discovered = 12,
                 .excluded = 1,
                 .eligible = 11,
                 .pending = 2,
                 .in_progress = 1,
                 .done = 5,
                 .created = 2,
                 .updated = 2,
                 .unchanged = 1,
                 .verified = 1,
                 .failed = 1,
                 .waived = 1,
                 .vanished = 1,
                 .outstanding = 6,
                 .settled = 8};
  whole.failed_by_class["network"] = 1;
  ASSERT_EQ(violated_invariant(whole), std::nullopt);
  for (int64_t ItemAccounts::*field :
       {&ItemAccounts::discovered, &ItemAccounts::excluded, &ItemAccounts::eligible, &ItemAccounts::pending,
        &ItemAccounts::in_progress, &ItemAccounts::done, &ItemAccounts::created, &ItemAccounts::updated,
        &ItemAccounts::unchanged, &ItemAccounts::failed, &ItemAccounts::waived, &ItemAccounts::vanished,
        &ItemAccounts::outstanding, &ItemAccounts::settled}) {
    Snapshot broken = whole;
    ++(broken.items.*field);
    EXPECT_NE(violated_invariant(broken), std::nullopt);
  }
  Snapshot broken = whole;
  broken.bytes_done = 1;
  EXPECT_NE(violated_invariant(broken), std::nullopt);
  broken = whole;
  broken.items.verified = 6;
  EXPECT_NE(violated_invariant(broken), std::nullopt);
  broken = whole;
  broken.failed_by_class.clear();
  EXPECT_NE(violated_invariant(broken), std::nullopt);
}

TEST(Snapshots, JsonHasExactlyTheFieldsOfStatus) {
  Snapshot snapshot;
  Json json = Json::parse(to_json(snapshot));
  EXPECT_EQ(names(json),
            (std::set<std::string>{"schema_version", "migration", "run", "phases", "items", "references", "findings",
                                   "bytes", "attempts", "ratios", "rate", "eta_seconds", "listing_complete",
                                   "last_event_at", "stalled_since", "in_flight", "seq"}));
  EXPECT_EQ(names(json["run"]), (std::set<std::string>{"id", "phase", "state", "reason", "started_at", "ended_at",
                                                       "active_seconds", "heartbeat_at", "expected_items", "owner"}));
  EXPECT_EQ(names(json["items"]),
            (std::set<std::string>{"discovered", "excluded", "eligible", "pending", "in_progress", "done", "new",
                                   "updated", "unchanged", "failed", "waived", "vanished", "outstanding"}));
  EXPECT_TRUE(json["run"]["id"].is_null());
  EXPECT_TRUE(json["eta_seconds"].is_null());

  snapshot.run = 3;
  snapshot.state = RunState::running;
  snapshot.started_at_ms = 1'700'000'000'123;
  snapshot.live.eta_low_seconds = 1;
  snapshot.live.eta_high_seconds = 2;
  snapshot.live.in_flight.push_back({"", "bad \xff\n", 1, std::nullopt, 2, 0});
  snapshot.name = "not UTF-8: \xff";
  const std::string text = to_json(snapshot);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  json = Json::parse(text);
  EXPECT_EQ(json["run"]["id"], 3);
  EXPECT_EQ(json["run"]["started_at"], "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(json["eta_seconds"]["high"], 2.0);
  EXPECT_EQ(json["in_flight"][0]["key"], printable("bad \xff\n"));
  EXPECT_TRUE(json["in_flight"][0]["bytes_total"].is_null());

  snapshot.name = snapshot.source = snapshot.reason = "\xc2\x9b" "31m \xe2\x80\xae\x1b[0m";
  const std::string shown = to_json(snapshot);
  EXPECT_EQ(shown.find("\xc2\x9b"), std::string::npos);
  EXPECT_EQ(shown.find("\xe2\x80\xae"), std::string::npos);
  EXPECT_EQ(shown.find('\x1b'), std::string::npos);
  EXPECT_EQ(Json::parse(shown)["migration"]["name"], snapshot.name);
}

TEST(Options, TheDefaultsAreValidAndEachRangeIsHeld) {
  EXPECT_NO_THROW(validate({}));
  EXPECT_TRUE(Json::parse(to_json(Options{})).is_object());
  const std::vector<std::pair<std::string, void (*)(Options&)>> wrong = {
      {"concurrency", [](Options& options) { options.concurrency = 513; }},
      {"max_concurrency", [](Options& options) { options.max_concurrency = 0; }},
      {"body_budget_bytes", [](Options& options) { options.body_budget_bytes = 1; }},
      {"part_size_bytes", [](Options& options) { options.part_size_bytes = 1 << 20; }},
      {"part_threshold_bytes", [](Options& options) { options.part_threshold_bytes = 65 << 20; }},
      {"max_attempts", [](Options& options) { options.max_attempts = 0; }},
      {"commit_interval_ms", [](Options& options) { options.commit_interval_ms = 9; }},
      {"heartbeat_ms", [](Options& options) { options.heartbeat_ms = options.lease_ms / 3 + 1; }},
      {"drain_ms", [](Options& options) { options.drain_ms = 60'001; }},
      {"include", [](Options& options) { options.include = {""}; }},
  };
  for (const auto& [name, spoil] : wrong) {
    Options options;
    spoil(options);
    try {
      validate(options);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::configuration);
      EXPECT_EQ(error.message().rfind(name, 0), 0u) << error.message();
    }
  }
}

}  // namespace
}  // namespace waybill
