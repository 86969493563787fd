// SPDX-License-Identifier: Apache-2.0
//
// Listing by ranges: every key set is listed exactly once, with few requests, however often it is interrupted.
#include "engine/parallel_listing.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/text.hpp"
#include "engine/keys_source.hpp"
#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using internal::BodyPool;
using internal::CancelSource;
using internal::EndpointRetries;
using internal::ListingJob;
using internal::ListingSink;
using internal::RunScope;
using std::chrono::milliseconds;
using Behaviour = KeysSource::Behaviour;

constexpr milliseconds short_wait{2};
// Worth several listers even where the machine is busy with other things.
constexpr milliseconds long_wait{50};

std::string hex(std::mt19937& random, size_t digits) {
  std::string text;
  while (text.size() < digits) text += "0123456789abcdef"[random() % 16];
  return text;
}

std::string numbered(const char* format, size_t number) {
  char key[96];
  std::snprintf(key, sizeof key, format, number);
  return key;
}

// Shapes that stores are full of, and some that they should not be.
std::vector<Key> keys_of(int shape, size_t count, std::mt19937& random) {
  static const std::vector<std::string> words = {
      "alpha",  "beta", "gamma", "Delta",           "a b", "\xC3\xA9t\xC3\xA9", "\xE6\x97\xA5\xE6\x9C\xAC",
      "x\x01y", "...",  "//",    "\xF0\x9F\x98\x80"};
  const auto word = [&]() -> const std::string& { return words[random() % words.size()]; };
  std::set<Key> keys;
  for (size_t i = 0; keys.size() < count; ++i) {
    switch (shape) {
      case 0:
        keys.insert(hex(random, 16));
        break;
      case 1:
        keys.insert(numbered("backups/production/segment-%012zu.gz", i));
        break;
      case 2:
        keys.insert((random() % 20 != 0 ? "logs/2026/11/14/" : numbered("logs/2026/11/%02zu/", random() % 30)) +
                    hex(random, 12));
        break;
      case 3:
        keys.insert("n/" + std::to_string(i));
        break;
      case 4:
        keys.insert(word() + "/" + word() + word() + std::to_string(random() % 10'000));
        break;
      case 5:
        keys.insert(std::string(i + 1, 'a'));
        break;  // each is a prefix of the next
      case 6:
        keys.insert(numbered("u/%05zu/", i / 7 * 131 % 99'991) + std::to_string(i));
        break;
      case 7: {  // bytes, not text
        std::string key;
        for (size_t n = 1 + random() % 6; n > 0; --n) key += static_cast<char>(random() % 256);
        keys.insert(key);
        break;
      }
      case 8:
        keys.insert(std::string(500, 'p') + hex(random, 3) + std::string(200, 'q') + hex(random, 6));
        break;
      default:
        keys.insert((i % 100 == 0 ? "~" : "0") + std::string(i % 3, '0') + numbered("%zu", i * i));
        break;
    }
    if (i > count * 20) break;
  }
  return {keys.begin(), keys.end()};
}
constexpr int n_shapes = 10;

// One listing, and where its rows go.
class Lists : public ::testing::Test {
 protected:
  std::shared_ptr<Destination> destination = open_destination("memory://" + unique_name("to"));
  Options options;
  CancelSource cancel;
  std::vector<ListingRecord> recorded;
  Tracker* tracker = nullptr;
  std::map<Key, int> seen;
  std::vector<ItemChange> rows;

  Lists() {
    options.retry_base_ms = 1;
    options.retry_cap_ms = 5;
  }
  void list(Source& source, const ListingSink& sink) {
    BodyPool bodies(1 << 20);
    EndpointRetries retries(options, false);
    const RunScope scope{cancel, bodies, "", 0, [](LogLevel, std::string_view) {}, [](std::string_view, uint64_t) {}};
    const ListingJob job{
        source, *destination, tracker, options, scope, retries, false, 1, false, recorded, [](const Error&, int) {},
        false};
    internal::list_everything(job, sink);
  }
  void list(Source& source) {
    list(source, [this](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool) {
      for (ItemChange& change : changes) {
        ++seen[change.record.id.key];
        rows.push_back(std::move(change));
      }
      return true;
    });
  }
  void expect_each_once(const std::vector<Key>& keys) {
    EXPECT_EQ(seen.size(), keys.size());
    for (const Key& key : keys) {
      if (seen[key] != 1) ADD_FAILURE() << printable(key) << " was listed " << seen[key] << " times";
    }
  }
};

TEST_F(Lists, EveryKeyOnceWhateverTheShape) {
  int n_parallel = 0;
  for (int shape = 0; shape < n_shapes; ++shape) {
    for (const size_t count : {size_t{1}, size_t{40}, size_t{170}, size_t{1200}}) {
      SCOPED_TRACE("shape " + std::to_string(shape) + ", " + std::to_string(count) + " keys");
      std::mt19937 random(static_cast<unsigned>(shape * 7 + static_cast<int>(count)));
      const std::vector<Key> keys = keys_of(shape, count, random);
      const size_t page_size = 5 + random() % 20;
      KeysSource source(keys, {.page_size = page_size, .latency = short_wait});
      seen.clear();
      list(source);
      expect_each_once(keys);
      const size_t pages = (keys.size() + page_size - 1) / page_size;
      if (pages <= 2) {
        EXPECT_EQ(source.requests(), std::max<size_t>(pages, 1));
      }
      EXPECT_LE(static_cast<double>(source.requests()), static_cast<double>(pages) * 1.2 + 10);
      n_parallel += source.most_at_once() > 2;
    }
  }
  EXPECT_GE(n_parallel, n_shapes - 2) << "or this shows little";
}

TEST_F(Lists, FewRequestsAndManyAtOnceForTheShapesThatMatter) {
  for (const int shape : {0, 1, 2, 6}) {
    SCOPED_TRACE("shape " + std::to_string(shape));
    std::mt19937 random(3);
    const std::vector<Key> keys = keys_of(shape, 30'000, random);
    KeysSource source(keys, {.page_size = 100, .latency = long_wait});
    seen.clear();
    list(source);
    expect_each_once(keys);
    EXPECT_LE(source.requests(), 360U) << "1.2 times those of one lister";
    EXPECT_GE(source.most_at_once(), 8);
  }
}

TEST_F(Lists, EmptyStoreTakesOneRequest) {
  KeysSource source({}, {.latency = short_wait});
  list(source);
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(source.requests(), 1U);
}

TEST_F(Lists, StoreThatAnswersAtOnceHasOneLister) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 10'000, random);
  KeysSource source(keys, {.page_size = 1000});
  list(source, [&](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool) {
    for (const ItemChange& change : changes) ++seen[change.record.id.key];
    std::this_thread::sleep_for(milliseconds(50));  // a ledger at its limit
    return true;
  });
  expect_each_once(keys);
  // A machine with too much to do makes waits of its own.
  EXPECT_LE(source.most_at_once(), 3);
  EXPECT_LE(source.requests(), 14U);
}

TEST_F(Lists, SourceThatCannotStartAfterAKeyHasOneLister) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 3000, random);
  KeysSource source(keys, {.page_size = 50, .latency = short_wait, .start_after = false});
  list(source);
  expect_each_once(keys);
  EXPECT_EQ(source.requests(), 60U);
  EXPECT_EQ(source.most_at_once(), 1);
}

TEST_F(Lists, StoreThatIgnoresStartAfterIsFoundOutAtOnce) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 3000, random);
  KeysSource source(keys, {.page_size = 50, .latency = short_wait, .ignores_after = true});
  list(source);
  expect_each_once(keys);
  EXPECT_LE(source.requests(), 64U);
}

TEST_F(Lists, ErrorOfOneRangeStopsAllAtOnce) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 20'000, random);
  std::atomic<int> pages{0};
  KeysSource source(keys,
                    {.page_size = 50, .latency = milliseconds(2), .before_page = [&](const Key&, Context& context) {
                       if (++pages == 100) throw Error(ErrorCode::permission_denied, ErrorClass::permission, "not you");
                       if (pages > 100 && context.sleep(std::chrono::seconds(30))) return;
                       context.check();
                     }});
  const auto began = std::chrono::steady_clock::now();
  try {
    list(source);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::permission) << error.what();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(3));
}

TEST_F(Lists, TroubleIsMendedByItself) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(2, 20'000, random);
  std::atomic<int> pages{0};
  KeysSource source(keys, {.page_size = 50, .latency = long_wait, .before_page = [&](const Key&, Context&) {
                             if (++pages % 50 == 0)
                               throw Error(ErrorCode::unavailable, ErrorClass::throttled, "slow down").set_retryable();
                           }});
  list(source);
  expect_each_once(keys);
  EXPECT_GE(source.most_at_once(), 4);
}

TEST_F(Lists, CancelEndsEveryListerWithinASecond) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 50'000, random);
  std::atomic<int> pages{0};
  KeysSource source(keys,
                    {.page_size = 50, .latency = milliseconds(2), .before_page = [&](const Key&, Context& context) {
                       if (++pages > 200 && !context.sleep(std::chrono::seconds(60))) context.check();
                     }});
  std::thread canceller([&] {
    while (pages < 205) std::this_thread::sleep_for(milliseconds(2));
    cancel.fire();
  });
  EXPECT_THROW(list(source), Error);
  canceller.join();
  EXPECT_LT(seen.size(), keys.size());
}

TEST_F(Lists, DestinationIsJoinedInEveryRange) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(2, 4000, random);
  std::set<Key> present;
  for (size_t i = 0; i < keys.size(); i += 3) {
    present.insert(keys[i]);
    destination->put(keys[i], Body({}, {}), WriteOptions{}, Context::background());
  }
  KeysSource source(keys, {.page_size = 20, .latency = long_wait});
  list(source);
  expect_each_once(keys);
  EXPECT_GE(source.most_at_once(), 4);
  for (const ItemChange& row : rows) {
    const bool is_there = row.record.seen != DestinationSeen::absent || row.record.state == ItemState::copied;
    EXPECT_EQ(is_there, present.contains(row.record.id.key)) << printable(row.record.id.key);
  }
}

TEST_F(Lists, EmptyDestinationIsAskedOnce) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 4000, random);
  std::atomic<int> listings{0};
  destination = std::make_shared<ScriptedDestination>(
      destination, [&](const std::string& operation, const Key&, Context&) { listings += operation == "list"; });
  KeysSource source(keys, {.page_size = 20, .latency = long_wait});
  list(source);
  expect_each_once(keys);
  EXPECT_GE(source.most_at_once(), 4);
  EXPECT_EQ(listings, 1);
}

// A ledger, killed after some commits, again and again, until all is listed.
class ListsIntoALedger : public Lists, public ::testing::WithParamInterface<bool> {
 protected:
  TemporaryFolder folder;
};

TEST_P(ListsIntoALedger, EachKeyIsCommittedOnceHoweverOftenItIsKilled) {
  for (const int shape : {0, 1, 2, 4, 6, 7}) {
    SCOPED_TRACE("shape " + std::to_string(shape));
    std::mt19937 random(static_cast<unsigned>(shape));
    const std::vector<Key> keys = keys_of(shape, 4000, random);
    const std::shared_ptr<Tracker> ledger =
        open_tracker(GetParam() ? folder.path("ledger" + std::to_string(shape) + ".db") : "memory:");
    MigrationInfo info;
    info.fingerprint = "f";
    ledger->bind(info);
    const uint64_t epoch = ledger->acquire({});
    Batch begin;
    begin.run = RunRecord{};
    begin.run->run = 1;
    begin.run->state = RunState::running;
    ledger->commit(epoch, begin);
    tracker = ledger.get();
    seen.clear();
    uint64_t requests = 0;
    int kills = 0;
    for (bool is_complete = false; !is_complete;) {
      KeysSource source(keys, {.page_size = 20, .latency = short_wait});
      recorded = ledger->listings();
      size_t left = 1 + random() % 40;
      Batch batch;  // several pages to a commit; what is not committed is lost
      is_complete = true;
      list(source, [&](std::vector<ItemChange> changes, std::vector<ListingRecord> records, bool wait) {
        std::move(changes.begin(), changes.end(), std::back_inserter(batch.items));
        for (ListingRecord& record : records) {
          std::erase_if(batch.listings, [&](const ListingRecord& old) { return old.scope == record.scope; });
          batch.listings.push_back(std::move(record));
        }
        if (!wait && random() % 3 != 0) return true;
        if (left-- == 0) return is_complete = false;
        for (const ItemChange& change : batch.items) ++seen[change.record.id.key];
        ledger->commit(epoch, batch);
        batch = Batch{};
        return true;
      });
      requests += source.requests();
      kills += !is_complete;
      ASSERT_LT(kills, 1000);
    }
    expect_each_once(keys);
    EXPECT_GT(kills, 0);
    for (const ListingRecord& record : ledger->listings()) EXPECT_TRUE(record.is_listed) << printable(record.scope);
    EXPECT_LE(requests, 200U * 2 + static_cast<uint64_t>(kills) * 40);
    ledger->release(epoch);
  }
}

INSTANTIATE_TEST_SUITE_P(Ledgers, ListsIntoALedger, ::testing::Values(false, true),
                         [](const auto& ledger) { return ledger.param ? "Sqlite" : "Memory"; });

class ParallelCopy : public Stores {};

TEST_F(ParallelCopy, EveryItemIsCopiedAcrossInterruptions) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(2, 6000, random);
  const auto source = std::make_shared<KeysSource>(keys, Behaviour{.page_size = 20, .latency = milliseconds(3)});
  int runs = 0;
  for (bool is_over = false; !is_over && runs < 30; ++runs) {
    Migration job(source, open_destination(to), open_tracker(ledger));
    const std::unique_ptr<waybill::Run> run = job.start(quick());
    std::this_thread::sleep_for(milliseconds(60));
    if (runs < 4) run->interrupt();
    is_over = run->wait().snapshot.state == RunState::completed;
  }
  EXPECT_GT(runs, 1);
  const Snapshot snapshot = open_tracker(ledger, OpenMode::read_only)->snapshot();
  EXPECT_EQ(snapshot.items.done, static_cast<int64_t>(keys.size()));
  EXPECT_EQ(snapshot.items.discovered, static_cast<int64_t>(keys.size()));
}

TEST_F(ParallelCopy, PlanCountsWhatAllListersFind) {
  std::mt19937 random(3);
  const std::vector<Key> keys = keys_of(0, 6000, random);
  const auto source = std::make_shared<KeysSource>(keys, Behaviour{.page_size = 20, .latency = milliseconds(3)});
  Migration job(source, open_destination(to), open_tracker(ledger));
  EXPECT_EQ(job.plan(quick()).to_create, keys.size());
  EXPECT_GE(source->most_at_once(), 8);
}

}  // namespace
}  // namespace waybill::testing
