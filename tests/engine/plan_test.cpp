// SPDX-License-Identifier: Apache-2.0
//
// The analysis before anything moves: what it counts, what it asks, and that trials never block the run of everything.
#include "engine/plan_table.hpp"

#include <random>
#include <set>

#include "engine/accounts_source.hpp"
#include "engine/support.hpp"

namespace waybill::testing {
namespace {

class PlanOfStores : public Stores {};

std::map<std::string, int64_t> items_of(const std::vector<Plan::Row>& rows) {
  std::map<std::string, int64_t> items;
  for (const Plan::Row& row : rows) items[row.groups > 1 ? "rest" : row.name] = row.items;
  return items;
}

TEST(PlanTable, CountsEachGroupExactlyWhereMemoryHoldsFew) {
  std::mt19937 random(7);
  internal::PlanTable table(50);
  std::map<std::string, Plan::Row> expected;
  for (int i = 0; i < 6000; ++i) {
    const std::string name = std::to_string(random() % 900);
    const bool is_known = random() % 10 != 0;
    const uint64_t size = random() % 1000;
    table.add(name, random() % 3 == 0 ? "title of " + name : "", is_known ? std::optional(size) : std::nullopt);
    Plan::Row& row = expected[name];
    ++row.items;
    if (is_known) row.bytes += size;
    else ++row.unknown_sizes;
  }
  const std::vector<Plan::Row> rows = table.largest(100, internal::PlanTable::By::bytes);
  ASSERT_EQ(rows.size(), 101u);
  std::multimap<uint64_t, std::string> by_bytes;
  for (const auto& [name, row] : expected) by_bytes.emplace(row.bytes, name);
  const uint64_t least = std::next(by_bytes.rbegin(), 99)->first;
  Plan::Row all;
  for (size_t i = 0; i < rows.size(); ++i) {
    all.items += rows[i].items;
    all.bytes += rows[i].bytes;
    all.unknown_sizes += rows[i].unknown_sizes;
    if (i == 100) break;
    const Plan::Row& wanted = expected.at(rows[i].name);
    EXPECT_EQ(rows[i].items, wanted.items) << rows[i].name;
    EXPECT_EQ(rows[i].bytes, wanted.bytes) << rows[i].name;
    EXPECT_EQ(rows[i].unknown_sizes, wanted.unknown_sizes) << rows[i].name;
    EXPECT_GE(rows[i].bytes, least);
    if (i > 0) {
      EXPECT_GE(rows[i - 1].bytes, rows[i].bytes);
    }
    EXPECT_TRUE(rows[i].title.empty() || rows[i].title == "title of " + rows[i].name);
  }
  EXPECT_EQ(rows.back().groups, static_cast<int64_t>(expected.size()) - 100);
  EXPECT_EQ(all.items, 6000);
  Plan::Row sum;
  for (const auto& [name, row] : expected) {
    sum.bytes += row.bytes;
    sum.unknown_sizes += row.unknown_sizes;
  }
  EXPECT_EQ(all.bytes, sum.bytes);
  EXPECT_EQ(all.unknown_sizes, sum.unknown_sizes);
}

TEST(PlanTable, ARestIsNeverOfOneGroup) {
  internal::PlanTable table;
  for (const char* name : {"", "a", "b"}) table.add(name, "", 1);
  table.add("b", "", 1);
  const std::vector<Plan::Row> rows = table.largest(2, internal::PlanTable::By::items);
  EXPECT_EQ(items_of(rows), (std::map<std::string, int64_t>{{"", 1}, {"a", 1}, {"b", 2}}));
}

TEST_F(PlanOfStores, TellsPartitionsExtensionsAndSizes) {
  auto accounts = std::make_shared<AccountsSource>();
  accounts->page_size = 1;
  accounts->files[{"001", "a/x.PDF"}] = {std::string(100, 'x'), "Acme"};
  accounts->files[{"001", "a/y.pdf"}] = {std::string(5, 'y'), ""};
  accounts->files[{"002", "b/https.is.no.scheme"}] = {"", "Beta"};
  accounts->files[{"003", ".hidden"}] = {std::string(3000, 'z'), ""};
  Migration migration(accounts, open_destination(to), folder.path("never.db"));
  const Plan plan = migration.plan(quick());
  ASSERT_EQ(plan.partitions.size(), 3u);
  EXPECT_EQ(plan.partitions[0].name, "003");
  EXPECT_EQ(plan.partitions[1].title, "Acme");
  EXPECT_EQ(plan.partitions[1].items, 2);
  EXPECT_EQ(plan.partitions[1].bytes, 105u);
  EXPECT_EQ(items_of(plan.extensions), (std::map<std::string, int64_t>{{"pdf", 2}, {"scheme", 1}, {"", 1}}));
  EXPECT_EQ(plan.size_histogram, (std::map<int, int64_t>{{-1, 1}, {3, 1}, {7, 1}, {12, 1}}));
  EXPECT_EQ(plan.unknown_sizes, 0);
  EXPECT_EQ(plan.sample.asked, 0);
  EXPECT_FALSE(plan.time) << "nothing has been moved by which it could be told";
}

TEST_F(PlanOfStores, ItemsOfOneNamelessPartitionAreNoTable) {
  fill(3);
  EXPECT_TRUE(migration().plan(quick()).partitions.empty());
}

TEST_F(PlanOfStores, TellsWhatIsTooLargeApart) {
  fill(4);
  put(from, "big", std::string(5000, 'x'));
  put(from, "big.tmp", std::string(6000, 'x'));
  put(from, "small.tmp", "x");
  Options options = quick();
  options.max_size_bytes = 1000;
  options.exclude = {"small.*"};
  const Plan plan = migration().plan(options);
  EXPECT_EQ(plan.excluded, 3);
  EXPECT_EQ(plan.oversize, 2);
  EXPECT_EQ(plan.oversize_bytes, 11'000u);
}

// Pages of a thousand, several listers, and foreign objects before, between and behind all that is listed.
TEST_F(PlanOfStores, CountsObjectsThatNoItemMapsTo) {
  constexpr int n = 4500;
  fill(n, 1);
  std::mt19937 random(11);
  int64_t foreign = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string number = std::to_string(random() % 1'000'000);
    put(to, (i % 3 == 0 ? "a" : i % 3 == 1 ? "k00" : "z") + number + "~", "x");
  }
  foreign = static_cast<int64_t>(get_all(to).size());
  for (int i = 0; i < n; i += 2) {
    char key[32];
    std::snprintf(key, sizeof key, "k%06d", i);
    put(to, key, std::string(1, static_cast<char>('a' + i % 26)));
  }
  const Plan plan = migration().plan(quick());
  EXPECT_EQ(plan.unmatched_objects, foreign);
  EXPECT_EQ(plan.items, n);
  Options some = quick();
  some.limit = 5;
  EXPECT_FALSE(migration().plan(some).unmatched_objects) << "not all of the source was looked at";
}

TEST_F(PlanOfStores, WithATemplateTheyAreCountedWhereOnePageShowsAll) {
  auto accounts = std::make_shared<AccountsSource>();
  for (int i = 0; i < 10; ++i) accounts->files[{"00" + std::to_string(i % 2), "f" + std::to_string(i)}] = {"x", ""};
  const auto plan = [&] {
    Migration migration(accounts, open_destination(to), folder.path("never.db"));
    migration.set_key_template("{partition}/{name}");
    return migration.plan(quick());
  };
  EXPECT_EQ(plan().unmatched_objects, 0);
  put(to, "000/f0", "nobody's");
  put(to, "000/f1", "f1 is of the other partition");
  put(to, "x", "nobody's");
  EXPECT_EQ(plan().unmatched_objects, 2);
  for (int i = 0; i < 1000; ++i) put(to, "y" + std::to_string(i), "");
  EXPECT_FALSE(plan().unmatched_objects) << "of more pages only the first was asked for";
}

/// Links without sizes: each key is a URL, and asking for one may fail.
class LinksWithoutSizes final : public Source {
 public:
  explicit LinksWithoutSizes(std::vector<Key> keys) : keys_(std::move(keys)) {}
  bool repeats = false;  ///< each page comes twice, and each item twice in it
  std::function<void(const Key&, Context&)> on_stat = [](const Key&, Context&) {};

  Capabilities capabilities() const override { return {.positioned = true, .order = Order::none, .lists_stamps = false, .links = true}; }
  std::string identity() const override { return "links://"; }
  std::string endpoint() const override { return "links"; }
  std::unique_ptr<Lister> list(const ListRequest&, Context&) override {
    class All final : public Lister {
     public:
      All(const std::vector<Key>& keys, int times) : keys_(keys), times_(times), left_(times) {}
      Page next(Context&) override {
        Page page;
        page.is_last = --left_ == 0;
        for (int i = 0; i < times_; ++i) {
          for (const Key& key : keys_) page.items.emplace_back().id.key = key;
        }
        return page;
      }

     private:
      const std::vector<Key>& keys_;
      const int times_;
      int left_;
    };
    return std::make_unique<All>(keys_, repeats ? 2 : 1);
  }
  ReadResult read(const Item&, uint64_t, std::span<std::byte>, Context&) override { throw Error(ErrorCode::internal, ErrorClass::internal, "read"); }
  std::optional<Item> stat(const ItemId& id, Context& context) override {
    on_stat(id.key, context);
    Item item;
    item.id = id;
    item.stamp.size = 1000;
    return item;
  }

 private:
  const std::vector<Key> keys_;
};

TEST_F(PlanOfStores, SizesThatNoListingTellsAreEstimatedFromASample) {
  std::vector<Key> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back("https://files.example.com/" + std::to_string(i) + ".pdf");
  auto source = std::make_shared<LinksWithoutSizes>(keys);
  std::atomic<int> asked{0};
  source->on_stat = [&](const Key& key, Context&) {
    ++asked;
    if (std::hash<std::string>()(key) % 2 == 0) throw Error(ErrorCode::not_found, ErrorClass::missing, "404");
  };
  Migration migration(source, open_destination(to), folder.path("never.db"));
  const Plan plan = migration.plan(quick());
  EXPECT_EQ(plan.unknown_sizes, 1000);
  EXPECT_EQ(plan.bytes, 0u);
  EXPECT_TRUE(plan.size_histogram.empty()) << "nothing is guessed";
  EXPECT_EQ(plan.sample.asked, 200);
  EXPECT_EQ(asked, 201) << "one for the host";
  EXPECT_EQ(plan.sample.answered + plan.sample.failed_by_class.at("missing"), 200);
  EXPECT_EQ(plan.estimated_bytes, static_cast<uint64_t>(plan.sample.answered) * 1000 * 1000 / 200);
  EXPECT_EQ(items_of(plan.hosts), (std::map<std::string, int64_t>{{"files.example.com", 1000}}));
  EXPECT_TRUE(plan.unreachable.empty()) << "a dead link is an answer";
  EXPECT_EQ(plan.requests.reads, 1000);
  EXPECT_EQ(plan.requests.writes, 1000);
  EXPECT_TRUE(plan.requests.is_lower_bound);
}

TEST_F(PlanOfStores, AnItemThatIsListedMoreThanOnceIsOne) {
  auto source = std::make_shared<LinksWithoutSizes>(std::vector<Key>{"https://a/1.pdf", "https://a/2.pdf", "https://b/3"});
  source->repeats = true;
  Migration migration(source, open_destination(to), folder.path("never.db"));
  const Plan plan = migration.plan(quick());
  EXPECT_EQ(plan.items, 3);
  EXPECT_EQ(plan.to_create, 3);
  EXPECT_EQ(plan.requests.reads, 3);
  EXPECT_EQ(items_of(plan.hosts), (std::map<std::string, int64_t>{{"a", 2}, {"b", 1}}));
  EXPECT_EQ(items_of(plan.extensions), (std::map<std::string, int64_t>{{"pdf", 2}, {"", 1}}));
}

TEST_F(PlanOfStores, AHostThatDoesNotAnswerIsAskedAboutOneItem) {
  std::vector<Key> keys;
  for (int i = 0; i < 100; ++i) {
    keys.push_back("https://user@DEAD.example.com:8443/" + std::to_string(i));
    if (i % 2 == 0) keys.push_back("http://alive.example.com/" + std::to_string(i));
  }
  auto source = std::make_shared<LinksWithoutSizes>(keys);
  std::mutex mutex;
  std::set<Key> dead;
  bool has_deadline = true;
  source->on_stat = [&](const Key& key, Context& context) {
    std::scoped_lock lock(mutex);
    if (context.deadline() == Context::Clock::time_point::max()) has_deadline = false;
    if (!key.starts_with("https://user@DEAD")) return;
    dead.insert(key);
    throw Error(ErrorCode::unavailable, ErrorClass::network, "nobody there").set_retryable();
  };
  Migration migration(source, open_destination(to), folder.path("never.db"));
  const Plan plan = migration.plan(quick());
  EXPECT_EQ(items_of(plan.hosts), (std::map<std::string, int64_t>{{"dead.example.com:8443", 100}, {"alive.example.com", 50}}));
  ASSERT_EQ(plan.unreachable.size(), 1u);
  EXPECT_EQ(plan.unreachable[0].host, "dead.example.com:8443");
  EXPECT_EQ(plan.unreachable[0].items, 100);
  EXPECT_EQ(plan.unreachable[0].error_class, ErrorClass::network);
  EXPECT_EQ(dead.size(), 1u);
  EXPECT_TRUE(has_deadline);
  EXPECT_EQ(plan.sample.asked, 150);
  EXPECT_EQ(plan.sample.failed_by_class.at("network"), 100);
  EXPECT_EQ(plan.estimated_bytes, 50'000u);
}

TEST_F(PlanOfStores, RequestsAreThoseThatTheRunMakes) {
  fill(20);
  Options options = quick();
  options.part_threshold_bytes = 1 << 20;
  options.part_size_bytes = 5 << 20;
  options.concurrency = 1;
  put(from, "large", std::string((11 << 20) + 1, 'L'));
  put(to, "k000003", "something else");
  std::map<std::string, int64_t> calls;
  std::mutex mutex;
  const Hook counting = [&](const std::string& operation, const Key&, Context&) {
    std::scoped_lock lock(mutex);
    ++calls[operation];
  };
  source_hook = destination_hook = counting;
  const Plan plan = migration().plan(options);
  EXPECT_EQ(plan.occupied, 1);
  calls.clear();
  EXPECT_EQ(copy(options).snapshot.items.done, 20);
  EXPECT_EQ(plan.requests.reads, calls["read"]);
  EXPECT_EQ(plan.requests.writes, calls["put"]);
  EXPECT_EQ(plan.requests.uploads, calls["begin_parts"]);
  EXPECT_EQ(plan.requests.uploads, calls["complete"]);
  EXPECT_EQ(plan.requests.parts, calls["write_part"]);
  EXPECT_EQ(plan.requests.parts, 3);
  EXPECT_FALSE(plan.requests.is_lower_bound);
}

TEST_F(PlanOfStores, TheTimeGoesByTheLastCopyThatMovedSomething) {
  fill(10);
  EXPECT_FALSE(migration().plan(quick()).time);
  ASSERT_EQ(copy().exit_code, 0);
  ASSERT_EQ(copy().exit_code, 0);
  for (int i = 0; i < 30; ++i) put(from, "new" + std::to_string(i), std::string(10, 'n'));
  const Plan plan = migration().plan(quick());
  ASSERT_TRUE(plan.time);
  EXPECT_EQ(plan.time->run, 1u) << "the second one moved nothing";
  EXPECT_EQ(plan.time->moved_items, 10);
  EXPECT_EQ(plan.time->moved_bytes, 100u);
  EXPECT_GT(plan.time->active_seconds, 0);
  EXPECT_NEAR(plan.time->seconds, 3 * plan.time->active_seconds, 1e-6);
}

TEST_F(PlanOfStores, TrialsOfAPartitionAndOfAFewNeverBlockTheRunOfEverything) {
  auto accounts = std::make_shared<AccountsSource>();
  for (int i = 0; i < 60; ++i) accounts->files[{"00" + std::to_string(i % 3), "f" + std::to_string(i)}] = {"content", ""};
  const auto migration = [&] { return Migration(accounts, open_destination(to), open_tracker(ledger)); };
  Options trial = quick();
  trial.partitions = {"001"};
  trial.limit = 5;
  Plan plan = migration().plan(trial);
  EXPECT_EQ(plan.items, 5);
  EXPECT_EQ(plan.partitions.size(), 1u);
  EXPECT_EQ(migration().run(trial).snapshot.items.done, 5);
  trial.limit = 0;
  EXPECT_EQ(migration().plan(trial).items, 20);
  EXPECT_EQ(migration().run(trial).snapshot.items.done, 20);
  plan = migration().plan(quick());
  EXPECT_EQ(plan.items, 60);
  EXPECT_EQ(plan.unchanged, 20);
  const Report report = migration().run(quick());
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(report.snapshot.items.discovered, 60);
  EXPECT_EQ(report.snapshot.items.done, 60);
  EXPECT_EQ(report.snapshot.migration_items.done, 60);
  EXPECT_EQ(report.snapshot.migration_items.vanished, 0);
  EXPECT_EQ(violated_invariant(report.snapshot), std::nullopt);
}

}  // namespace
}  // namespace waybill::testing
