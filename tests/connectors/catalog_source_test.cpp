// SPDX-License-Identifier: Apache-2.0
//
// The catalog source: what references point at, as items.
#include <gtest/gtest.h>

#include "engine/support.hpp"
#include "support/memory_catalog.hpp"
#include "support/nginx.hpp"
#include "support/test_context.hpp"
#include "waybill/waybill.hpp"

namespace waybill {
namespace {

using testing::CatalogRecord;
using testing::MemoryCatalog;
using testing::Nginx;
using testing::TestContext;

class CatalogSource : public ::testing::Test {
 protected:
  TestContext context;
  std::shared_ptr<MemoryCatalog> catalog = std::make_shared<MemoryCatalog>();
  testing::TemporaryFolder folder;
  const std::string to = "memory://" + testing::unique_name("to");

  void put(const std::string& record, std::optional<std::string> value, const std::string& partition = "acct") {
    catalog->put(record,
                 CatalogRecord{std::move(value), partition, "Account of " + partition, {{"name", "N " + record}}});
  }
  static std::vector<Item> all(Source& source, Context& context) {
    std::vector<Item> items;
    const auto lister = source.list({}, context);
    for (bool is_last = false; !is_last;) {
      Page page = lister->next(context);
      is_last = page.is_last;
      items.insert(items.end(), page.items.begin(), page.items.end());
    }
    return items;
  }
  Report copy(const std::shared_ptr<Source>& source) {
    Options options;
    options.commit_interval_ms = 10;
    options.retry_base_ms = 1;
    options.retry_cap_ms = 20;
    return Migration(source, open_destination(to), open_tracker(folder.path("waybill.db"))).run(options);
  }
  std::optional<ScanRow> row(const std::string& key) {
    Query query;
    query.prefix = key;
    const ScanPage page = open_tracker(folder.path("waybill.db"), OpenMode::read_only)->scan(query, "", 1);
    return page.rows.empty() ? std::nullopt : std::optional(page.rows.front());
  }
};

TEST_F(CatalogSource, ListsDistinctValuesByPartition) {
  put("r1", "https://files.example.com/a?sig=1");
  put("r2", "https://files.example.com/a?sig=1");
  put("r3", "https://files.example.com/a?sig=1", "other");
  put("r4", std::nullopt);
  put("r5", "");
  const auto source = open_catalog_source(catalog);
  EXPECT_EQ(source->identity(), "catalog:memory-catalog:crm");
  const std::vector<Item> items = all(*source, context);
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0].id, (ItemId{"acct", "https://files.example.com/a?sig=1", ""}));
  EXPECT_EQ(items[0].partition_name, "Account of acct");
  EXPECT_EQ(items[0].names, (std::map<std::string, std::string>{{"name", "N r1"}, {"record", "r1"}}));
  EXPECT_EQ(items[0].stamp, SourceStamp{});
  EXPECT_EQ(items[1].id.partition, "other");
  EXPECT_EQ(source->item_at(items[0].id.key), (ItemId{"", items[0].id.key, ""}));
  EXPECT_FALSE(source->item_at(""));
}

TEST_F(CatalogSource, ValuesThatAreNoUrlsAreRefusedByRecordAndField) {
  put("r1", "see the red folder");
  put("r2", "ftp://user:pw@host/x?token=secret");
  put("r3", std::string(70'000, 'x'));
  put("r4", "https://user:pw@host/x");
  put("r5", "https:///x");
  put("r6", "javascript://host/x\x1b[2J\n" + std::string(400, 'y'));
  const std::vector<Item> items = all(*open_catalog_source(catalog), context);
  ASSERT_EQ(items.size(), 6U);
  for (const Item& item : items) {
    SCOPED_TRACE(item.reason);
    EXPECT_EQ(item.refused, ErrorClass::unsupported);
    EXPECT_NE(item.reason.find("field url of record r"), std::string::npos);
    EXPECT_EQ(item.reason.find("secret"), std::string::npos);
    EXPECT_EQ(item.reason.find("pw"), std::string::npos);
    EXPECT_EQ(item.reason.find('\x1b'), std::string::npos);
    EXPECT_EQ(item.reason.find('\n'), std::string::npos);
    EXPECT_LT(item.reason.size(), 500U);
    EXPECT_LE(item.id.key.size(), 65'535U);
  }
}

TEST_F(CatalogSource, AListingThatBreaksOffIsNoWholeOneAndGoesOn) {
  MemoryCatalog::Options options;
  options.page_size = 2;
  catalog = std::make_shared<MemoryCatalog>(options);
  for (int i = 0; i < 7; ++i) put("r" + std::to_string(i), "https://files.example.com/" + std::to_string(i));
  const auto source = open_catalog_source(catalog);
  const auto lister = source->list({}, context);
  const Page first = lister->next(context);
  EXPECT_EQ(first.items.size(), 2U);
  EXPECT_FALSE(first.is_last);
  catalog->set_hook([](const std::string& step, const std::string&, Context&) {
    if (step == "list") throw Error(ErrorCode::unavailable, ErrorClass::network, "the catalog is away");
  });
  EXPECT_THROW(lister->next(context), Error);
  const Report report = copy(source);
  EXPECT_EQ(report.snapshot.state, RunState::failed) << "a listing that broke off";
  catalog->set_hook(nullptr);
  ListRequest again;
  again.resume = first.resume;
  const auto rest = source->list(again, context);
  EXPECT_EQ(rest->next(context).items.front().id.key, "https://files.example.com/2");
}

TEST_F(CatalogSource, CopiesFindDeadLinksAndChangedContentBehindUnchangedUrls) {
  Nginx server;
  for (int i = 0; i < 12; ++i) {
    const std::string name = "f" + std::to_string(i);
    server.put(name, "content " + name);
    put("r" + std::to_string(i), server.url("/" + name), "p" + std::to_string(i % 3));
  }
  put("dead", server.url("/not-there?X-Amz-Signature=secret"));
  const auto source = open_catalog_source(catalog);
  Report report = copy(source);
  EXPECT_EQ(report.snapshot.state, RunState::completed_with_differences);
  EXPECT_EQ(report.snapshot.items.done, 12);
  EXPECT_EQ(report.snapshot.items.vanished, 1);
  EXPECT_EQ(report.snapshot.items.failed, 0);
  const auto dead = row(server.url("/not-there"));
  ASSERT_TRUE(dead && dead->failure);
  EXPECT_EQ(dead->failure->error_class, ErrorClass::missing);
  EXPECT_EQ(dead->failure->http_status, 404);
  EXPECT_EQ(dead->failure->message.find("secret"), std::string::npos) << dead->failure->message;
  EXPECT_EQ(testing::get(to, server.url("/f3")), "content f3");

  // Nothing changed: one request for each, and none for content.
  server.put("not-there", "back");
  const size_t before = server.requests();
  report = copy(source);
  EXPECT_EQ(report.snapshot.items.unchanged, 12);
  EXPECT_EQ(report.snapshot.items.created, 1) << "a dead link is tried again";
  EXPECT_LE(server.requests() - before, 14U);

  server.put("f3", "CONTENT f3", 50);
  report = copy(source);
  EXPECT_EQ(report.snapshot.items.updated, 1);
  EXPECT_EQ(report.snapshot.items.unchanged, 12);
  EXPECT_EQ(testing::get(to, server.url("/f3")), "CONTENT f3");
  EXPECT_EQ(copy(source).snapshot.items.unchanged, 13);
}

TEST_F(CatalogSource, ContentComesThroughTheStoresThatWereGiven) {
  testing::put(folder.path("files"), "a b", "from the folder");
  put("r1", "file://" + folder.path("files") + "/a%20b");
  put("r2", "file://" + folder.path("elsewhere") + "/x");
  const auto source = open_catalog_source(catalog, {open_source(folder.path("files"))});
  const Report report = copy(source);
  EXPECT_EQ(report.snapshot.items.done, 1);
  EXPECT_EQ(report.snapshot.items.failed, 1) << "outside of the folder";
  EXPECT_EQ(testing::get(to, "file://" + folder.path("files") + "/a%20b"), "from the folder");
  EXPECT_EQ(copy(source).snapshot.items.unchanged, 1);
}

}  // namespace
}  // namespace waybill
