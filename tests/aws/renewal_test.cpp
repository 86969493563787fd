// SPDX-License-Identifier: Apache-2.0
//
// Credentials that come to their end while many threads use them.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "aws/credentials.hpp"
#include "base/text.hpp"
#include "support/test_context.hpp"

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;
using testing::TestContext;

constexpr auto bound = std::chrono::seconds(20);

Credentials numbered(int number, std::optional<int64_t> life_ms) {
  Credentials credentials;
  credentials.access_key_id = "KEY" + std::to_string(number);
  credentials.secret_access_key = Secret("secret" + std::to_string(number));
  credentials.origin = "a test";
  if (life_ms) credentials.expires_ms = internal::now_ms() + *life_ms;
  return credentials;
}

Error unavailable() { return Error(ErrorCode::unavailable, ErrorClass::network, "nobody answers").set_retryable(); }

/// Calls `done` until it is true.
template <typename Done>
bool comes_true(Done done) {
  const auto end = std::chrono::steady_clock::now() + bound;
  while (std::chrono::steady_clock::now() < end) {
    if (done()) return true;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return false;
}

TEST(Renewal, IsLoadedOnceForAllThatNeedItFirst) {
  std::atomic<int> loads{0};
  CredentialsProvider provider([&](Context&) {
    std::this_thread::sleep_for(milliseconds(100));
    return numbered(++loads, 3'600'000);
  });
  EXPECT_EQ(loads, 0) << "nothing is asked for before it is needed";
  std::vector<std::future<std::string>> users;
  for (int i = 0; i < 16; ++i) {
    users.push_back(std::async(std::launch::async, [&] {
      TestContext context;
      return provider.current(context)->access_key_id;
    }));
  }
  for (auto& user : users) EXPECT_EQ(user.get(), "KEY1");
  EXPECT_EQ(loads, 1);
}

// One thread renews ahead of the end; the others never wait for it.
TEST(Renewal, OneRenewsWhileTheOthersGoOn) {
  std::atomic<int> loads{0};
  std::promise<void> go_on;
  std::shared_future<void> may_go_on = go_on.get_future().share();
  CredentialsProvider provider([&](Context&) {
    const int number = ++loads;
    if (number == 2) may_go_on.wait_for(bound);
    return numbered(number, number == 1 ? 8'000 : 3'600'000);
  });
  TestContext context;
  const int64_t end = *provider.current(context)->expires_ms;
  auto renewer = std::async(std::launch::async, [&] {
    TestContext own;
    comes_true([&] { return provider.current(own)->access_key_id == "KEY2"; });
  });
  ASSERT_TRUE(comes_true([&] { return loads == 2; }));
  EXPECT_LT(internal::now_ms(), end) << "begun ahead of the end";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(provider.current(context)->access_key_id, "KEY1");
  go_on.set_value();
  renewer.wait();
  EXPECT_EQ(provider.current(context)->access_key_id, "KEY2");
  EXPECT_EQ(loads, 2);
}

TEST(Renewal, AFailureAheadOfTheEndIsNoError) {
  std::atomic<int> loads{0};
  CredentialsProvider provider([&](Context&) {
    if (++loads > 1) throw unavailable();
    return numbered(1, 3'000);
  });
  TestContext context;
  const int64_t end = *provider.current(context)->expires_ms;
  while (internal::now_ms() < end - 100) {
    EXPECT_EQ(provider.current(context)->access_key_id, "KEY1");
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_GE(loads, 2) << "it was tried";
  EXPECT_LE(loads, 4) << "and not with every request";
  ASSERT_FALSE(context.lines().empty());
  EXPECT_NE(context.lines()[0].second.find("nobody answers"), std::string::npos);
  std::this_thread::sleep_for(milliseconds(150));
  // Over: now it is an error, of the kind that is worth waiting for.
  try {
    provider.current(context);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::network);
    EXPECT_TRUE(error.retryable());
  }
  const int before = loads;
  for (int i = 0; i < 50; ++i) EXPECT_THROW(provider.current(context), Error);
  EXPECT_LE(loads, before + 1) << "a failure is everybody's for a second";
}

TEST(Renewal, OneThreadRefreshesForAllWhomTheStoreRefused) {
  std::atomic<int> loads{0};
  CredentialsProvider provider([&](Context&) {
    std::this_thread::sleep_for(milliseconds(50));
    return numbered(++loads, std::nullopt);
  });
  TestContext context;
  const auto stale = provider.current(context);
  std::vector<std::future<bool>> users;
  for (int i = 0; i < 16; ++i) {
    users.push_back(std::async(std::launch::async, [&] {
      TestContext own;
      return provider.refresh(stale, own);
    }));
  }
  for (auto& user : users) EXPECT_TRUE(user.get());
  EXPECT_EQ(loads, 2);
}

TEST(Renewal, TheSameAgainIsNotAskedForByEveryone) {
  std::atomic<int> loads{0};
  CredentialsProvider provider([&](Context&) {
    ++loads;
    return numbered(1, std::nullopt);
  });
  TestContext context;
  const auto stale = provider.current(context);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(provider.refresh(stale, context));
  EXPECT_EQ(loads, 2);
}

// Where the clocks differ, fresh credentials may look as if they were over: the store decides.
TEST(Renewal, FreshOnesThatLookOverAreUsed) {
  std::atomic<int> loads{0};
  CredentialsProvider provider([&](Context&) { return numbered(++loads, -5'000); });
  TestContext context;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(provider.current(context)->access_key_id, "KEY1");
  EXPECT_EQ(loads, 1);
}

TEST(Renewal, WhoWaitsEndsWithItsContext) {
  std::promise<void> end;
  std::shared_future<void> ended = end.get_future().share();
  std::atomic<bool> is_loading{false};
  CredentialsProvider provider([&](Context&) {
    is_loading = true;
    ended.wait_for(bound);
    return numbered(1, std::nullopt);
  });
  auto loader = std::async(std::launch::async, [&] {
    TestContext own;
    provider.current(own);
  });
  ASSERT_TRUE(comes_true([&] { return is_loading.load(); }));
  TestContext context;
  auto waiter = std::async(std::launch::async, [&] {
    try {
      provider.current(context);
      return ErrorClass::none;
    } catch (const Error& error) {
      return error.error_class();
    }
  });
  context.cancel();
  EXPECT_EQ(waiter.wait_for(std::chrono::seconds(1)), std::future_status::ready);
  EXPECT_EQ(waiter.get(), ErrorClass::cancelled);
  end.set_value();
  loader.wait();
  EXPECT_EQ(provider.current(TestContext::background())->access_key_id, "KEY1");
}

TEST(Renewal, WhatWasThereIsExpectedBack) {
  int loads = 0;
  CredentialsProvider provider([&](Context&) {
    if (++loads > 1) {
      throw Error(ErrorCode::unauthenticated, ErrorClass::auth, "no AWS credentials")
          .set_provider_code("NoCredentials");
    }
    return numbered(1, -1);
  });
  TestContext context;
  const auto stale = provider.current(context);
  try {
    provider.refresh(stale, context);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::network);
    EXPECT_TRUE(error.retryable());
  }
}

}  // namespace
}  // namespace waybill::aws
