// SPDX-License-Identifier: Apache-2.0
//
// What a trace of requests shows of URLs, and that watching begins and ends.
#include "net/trace.hpp"

#include <gtest/gtest.h>

namespace waybill::internal {
namespace {

TEST(Trace, ShowsNoSecretOfAUrl) {
  EXPECT_EQ(traced_url("http://h/b/key%20a?list-type=2&prefix=x"), "http://h/b/key%20a?list-type=2&prefix=x");
  EXPECT_EQ(traced_url("https://h/b/k?X-Amz-Date=1&X-Amz-Signature=abc&X-Amz-Credential=AKIA&X-Amz-Security-Token=t"),
            "https://h/b/k?X-Amz-Date=1&X-Amz-Signature=***&X-Amz-Credential=***&X-Amz-Security-Token=***");
  EXPECT_EQ(traced_url("http://user:password@h/b"), "http://h/b");
  EXPECT_EQ(traced_url("http://169.254.170.2/v2/credentials/6f2c"), "http://169.254.170.2/v2/credentials/***");
}

TEST(Trace, SaysAnExchangeInOneLine) {
  HttpExchange exchange;
  exchange.at_ms = 1'700'000'000'123;
  exchange.method = "GET";
  exchange.url = "http://h/b";
  exchange.status = 200;
  exchange.request_id = "R1";
  exchange.seconds = 0.0123;
  exchange.bytes = 17;
  EXPECT_EQ(to_line(exchange), "2023-11-14T22:13:20.123Z GET 200 12.3 ms 17 B http://h/b request-id=R1");
  exchange.status = 0;
  exchange.request_id.clear();
  exchange.failure = "Couldn't connect to server";
  EXPECT_EQ(to_line(exchange), "2023-11-14T22:13:20.123Z GET 0 12.3 ms 17 B http://h/b failed: Couldn't connect to server");
}

TEST(Trace, IsThereWhileSomebodyWatches) {
  EXPECT_EQ(http_watch(), nullptr);
  int seen = 0;
  watch_http([&](const HttpExchange&) { ++seen; });
  const auto watch = http_watch();
  ASSERT_NE(watch, nullptr);
  (*watch)({});
  watch_http({});
  EXPECT_EQ(http_watch(), nullptr);
  (*watch)({});  // what had begun may still be told
  EXPECT_EQ(seen, 2);
}

}  // namespace
}  // namespace waybill::internal
