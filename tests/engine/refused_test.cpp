// SPDX-License-Identifier: Apache-2.0
//
// Stores that refuse everything: the run ends early, with one error, and no item has failed.
#include <set>

#include "engine/support.hpp"

namespace waybill {
namespace {

using namespace testing;

Error forbidden(const std::string& what) {
  return Error(ErrorCode::permission_denied, ErrorClass::permission, what + " answered 403 AccessDenied").set_http_status(403);
}

class Refused : public Stores {
 protected:
  std::atomic<int> calls{0};

  void expect_stopped(const Report& report, int most_calls, const std::string& word) {
    EXPECT_EQ(report.snapshot.state, RunState::failed);
    EXPECT_EQ(report.exit_code, 1);
    EXPECT_NE(report.message.find(word), std::string::npos) << report.message;
    EXPECT_LE(calls, most_calls);
    EXPECT_EQ(report.snapshot.items.failed, 0) << "nothing is spent";
    EXPECT_EQ(report.snapshot.items.in_progress, 0);
    EXPECT_EQ(report.snapshot.items.pending, 200);
    EXPECT_EQ(report.snapshot.attempts_failed, 0);
  }
};

// F34: within 20 requests, of which the checks and listings of both sides are at least four.
TEST_F(Refused, SourcesThatForbidEveryReadStopTheRun) {
  fill(200);
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation != "read") return;
    ++calls;
    throw forbidden("GET " + key);
  };
  expect_stopped(copy(), 8, "none of the first 8 items may be moved");
  EXPECT_FALSE(row("k000000")->copied_at_ms);
  source_hook = [](const std::string&, const Key&, Context&) {};
  const Report report = copy();
  EXPECT_EQ(report.snapshot.state, RunState::completed) << "with the right, the same command does it";
  EXPECT_EQ(get_all(to).size(), 200U);
}

TEST_F(Refused, DestinationsThatForbidEveryWriteStopTheRun) {
  fill(200);
  source_hook = [&](const std::string& operation, const Key&, Context&) { calls += operation == "read" ? 1 : 0; };
  destination_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation != "put") return;
    ++calls;
    throw forbidden("PUT " + key);
  };
  expect_stopped(copy(), 16, "none of the first 8 items may be moved");
}

TEST_F(Refused, CredentialsThatAreRefusedStopTheRunAtOnce) {
  fill(200);
  source_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation != "read") return;
    ++calls;
    throw Error(ErrorCode::unauthenticated, ErrorClass::auth, "ExpiredToken; renew the credentials");
  };
  expect_stopped(copy(), 8, "renew the credentials");
}

TEST_F(Refused, CredentialsThatEndInTheMiddleFailNoItem) {
  fill(200);
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation == "put" && ++calls > 50) {
      throw Error(ErrorCode::unauthenticated, ErrorClass::auth, "ExpiredToken; renew the credentials");
    }
  };
  const Report report = copy();
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_EQ(report.snapshot.items.failed, 0);
  EXPECT_EQ(report.snapshot.items.done + report.snapshot.items.pending, 200);
  EXPECT_GE(report.snapshot.items.done, 50);
  EXPECT_LE(calls, 200);
  destination_hook = [](const std::string&, const Key&, Context&) {};
  EXPECT_EQ(copy().snapshot.items.done, 200);
}

// One item that may be moved: the others' failures are their own.
TEST_F(Refused, ItemsThatAreForbiddenAmongOthersFailAlone) {
  fill(200);
  std::set<Key> denied;
  for (int i = 0; i < 6; ++i) denied.insert("k00000" + std::to_string(i));
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read" && denied.contains(key)) throw forbidden("GET " + key);
  };
  const Report report = copy();
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
  EXPECT_EQ(report.snapshot.items.failed, 6);
  EXPECT_EQ(report.snapshot.items.done, 194);
  EXPECT_EQ(failure("k000003")->error_class, ErrorClass::permission);
  EXPECT_EQ(failure("k000003")->http_status, 403);
}

// Fewer than it takes to tell: each has its own failure, and the run comes to its end.
TEST_F(Refused, AFewItemsThatAreAllForbiddenFailEach) {
  fill(3);
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read") throw forbidden("GET " + key);
  };
  const Report report = copy();
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
  EXPECT_EQ(report.snapshot.items.failed, 3);
  EXPECT_EQ(report.snapshot.items.in_progress, 0);
}

// Files that may not be read are no sign of anything else: no store was asked.
TEST_F(Refused, FilesThatMayNotBeReadFailAlone) {
  fill(40);
  source_hook = [&](const std::string& operation, const Key& key, Context&) {
    if (operation == "read" && key < "k000020") {
      throw Error(ErrorCode::permission_denied, ErrorClass::permission, key + ": Permission denied");
    }
  };
  const Report report = copy();
  EXPECT_EQ(report.snapshot.items.failed, 20);
  EXPECT_EQ(report.snapshot.items.done, 20);
}

TEST_F(Refused, PartsThatTheCredentialsEndUnderStayPending) {
  put(from, "large", std::string(24 << 20, 'x'));
  Options options = quick();
  options.part_threshold_bytes = 5 << 20;
  options.part_size_bytes = 5 << 20;
  destination_hook = [&](const std::string& operation, const Key&, Context&) {
    if (operation == "write_part" && ++calls > 2) {
      throw Error(ErrorCode::unauthenticated, ErrorClass::auth, "ExpiredToken; renew the credentials");
    }
  };
  const Report report = copy(options);
  EXPECT_EQ(report.snapshot.state, RunState::failed);
  EXPECT_EQ(report.snapshot.items.pending, 1);
  destination_hook = [](const std::string&, const Key&, Context&) {};
  EXPECT_EQ(copy(options).snapshot.items.done, 1);
  EXPECT_EQ(get(to, "large")->size(), size_t{24} << 20);
}

}  // namespace
}  // namespace waybill
