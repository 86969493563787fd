// SPDX-License-Identifier: Apache-2.0
//
// The manifest source: files that list items, sound and broken.
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

#include "base/uri.hpp"
#include "engine/support.hpp"
#include "support/nginx.hpp"
#include "support/test_context.hpp"
#include "waybill/waybill.hpp"

namespace waybill {
namespace {

using testing::Nginx;
using testing::TestContext;

std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(compressBound(text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class Manifest : public ::testing::Test {
 protected:
  TestContext context;
  testing::TemporaryFolder folder;
  const std::string base = "memory://" + testing::unique_name("base");

  std::string write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(folder.path(name)).parent_path());
    std::ofstream(folder.path(name), std::ios::binary | std::ios::trunc) << content;
    return "manifest://" + internal::encode_path(folder.path(name)) + "?base=" + internal::encode_query(base);
  }
  std::vector<Item> items(const std::string& url) {
    std::vector<Item> all;
    const auto source = open_source(url);
    const auto lister = source->list({}, context);
    for (bool is_last = false; !is_last;) {
      Page page = lister->next(context);
      is_last = page.is_last;
      all.insert(all.end(), page.items.begin(), page.items.end());
    }
    return all;
  }
  Error error_of(const std::string& url) {
    try {
      items(url);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return Error(ErrorCode::internal, ErrorClass::none, "");
  }
  Report copy(const std::string& url, const std::string& to) {
    Options options;
    options.commit_interval_ms = 10;
    return Migration(open_source(url), open_destination(to), open_tracker(folder.path("waybill.db"))).run(options);
  }
};

TEST_F(Manifest, CsvAsItIsFoundInTheWild) {
  const std::string key("odd \xff\0, \"key\"\nof two lines", 26);
  std::string text = "\xef\xbb\xbfKey, Size ,ETAG,mtime,partition,note\r\n";
  text += "a/b.txt,10,\"\"\"e1\"\"\",2026-11-20T18:43:53Z,p1,x\r\n\r\n";
  text += "\"odd \xff" + std::string(1, '\0') + ", \"\"key\"\"\nof two lines\",,,,,\n";
  text += "last,0,,2026-11-20T18:43:53.5Z,,\"\"";
  const std::vector<Item> all = items(write("list.csv", text));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].id, (ItemId{"p1", "a/b.txt", ""}));
  EXPECT_EQ(all[0].stamp.size, 10U);
  EXPECT_EQ(all[0].stamp.etag, "e1");
  EXPECT_FALSE(all[0].stamp.mtime_ns);
  EXPECT_EQ(all[0].modified_at_ms, 1'795'200'233'000);
  EXPECT_EQ(all[1].id.key, key);
  EXPECT_EQ(all[1].stamp, SourceStamp{});
  EXPECT_EQ(all[2].stamp.mtime_ns, 1'795'200'233'500'000'000);
}

TEST_F(Manifest, ColumnsMayHaveOtherNames) {
  const std::string url = write("list.txt", "Path;x,Bytes,key\na,3,b\n");
  EXPECT_NE(error_of(url).message().find("format=csv"), std::string::npos);
  const std::vector<Item> all = items(url + "&format=csv&key=path;x&size=bytes");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].id.key, "a");
  EXPECT_EQ(all[0].stamp.size, 3U);
}

TEST_F(Manifest, JsonLines) {
  const std::string url =
      write("list.jsonl", "{\"key\": \"a\\u0000b\", \"size\": 5, \"etag\": null}\n\n{\"Key\":\"c\"}\r\n");
  const std::vector<Item> all = items(url);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].id.key, std::string("a\0b", 3));
  EXPECT_EQ(all[0].stamp.size, 5U);
  EXPECT_EQ(all[1].id.key, "c");
}

TEST_F(Manifest, ABrokenLineEndsTheListingAndIsNamed) {
  struct Case {
    std::string name, text, line, why;
  };
  for (const Case& each :
       std::vector<Case>{{"a.csv", "key,size\na,1\nb,x\n", "line 3", "whole number"},
                         {"a.csv", "key,size\na\n", "line 2", "1 fields"},
                         {"a.csv", "key\n\"a\nb\nc", "line 2", "not closed"},
                         {"a.csv", "key\nx\n\"a\"b\n", "line 3", "closing quote"},
                         {"a.csv", "key\na\"b\n", "line 2", "quote"},
                         {"a.csv", "key,mtime\na,yesterday\n", "line 2", "time"},
                         {"a.csv", "name,size\na,1\n", "line 2", "neither a key"},
                         {"a.csv", "key,key\na,1\n", "line 1", "same name"},
                         {"a.csv", "", "line 1", "empty"},
                         {"a.csv", "key\n\"" + std::string(2 << 20, 'x'), "line 2", "1 MiB"},
                         {"a.jsonl", "{\"key\":\"a\"}\n[1]\n", "line 2", "no JSON object"},
                         {"a.jsonl", "{\"key\":\"\xff\"}\n", "line 1", "UTF-8"},
                         {"a.jsonl", "{\"key\":\"a\"}\n{\"key\":\"b\"", "line 2", "no JSON object"}}) {
    const std::string url = write(each.name, each.text);
    const Error error = error_of(url);
    EXPECT_EQ(error.error_class(), ErrorClass::configuration) << error.message();
    EXPECT_FALSE(error.retryable());
    EXPECT_NE(error.message().find(each.name + ", " + each.line), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(each.why), std::string::npos) << error.message();
    EXPECT_EQ(error.message().find('\n'), std::string::npos);
  }
  testing::put(base, "a", "1");
  const Report report = copy(write("a.csv", "key,size\na,1\nb,x\n"), "memory://" + testing::unique_name("to"));
  EXPECT_EQ(report.snapshot.state, RunState::failed) << "never as a whole listing";
  EXPECT_FALSE(report.snapshot.listing_complete);
}

TEST_F(Manifest, AGzippedFileThatIsCutIsNoWholeOne) {
  std::string text = "key\n";
  for (int i = 0; i < 5'000; ++i) text += "item" + std::to_string(i * 7919) + "\n";
  const std::string packed = gzipped(text);
  EXPECT_EQ(items(write("list.csv.gz", packed)).size(), 5'000U);
  const Error error = error_of(write("list.csv.gz", packed.substr(0, packed.size() / 2)));
  EXPECT_EQ(error.code(), ErrorCode::data_loss) << error.message();
}

TEST_F(Manifest, AListingGoesOnFromEveryPageUnlessTheFileChanged) {
  std::string text = "key\n";
  for (int i = 0; i < 2'500; ++i) text += "\"item\n" + std::to_string(i) + "\"\n";
  const std::string url = write("list.csv", text);
  const auto source = open_source(url);
  const auto lister = source->list({}, context);
  const Page first = lister->next(context);
  EXPECT_EQ(first.items.size(), 1'000U);
  ListRequest again;
  again.resume = first.resume;
  EXPECT_EQ(source->list(again, context)->next(context).items.front().id.key, "item\n1000");
  write("list.csv", text + "more\n");
  EXPECT_EQ(source->list(again, context)->next(context).items.front().id.key, "item\n0");
  again.resume = "0 99999999999999999999 x";
  EXPECT_EQ(source->list(again, context)->next(context).items.front().id.key, "item\n0");
}

TEST_F(Manifest, CopiesFromItsBaseAndFollowsWhatItSays) {
  const std::string to = "memory://" + testing::unique_name("to");
  for (const char* key : {"a", "b", "not listed"}) testing::put(base, key, std::string("content ") + key);
  const std::string url = write("list.csv", "key,size\na,9\nb,9\na,9\nmissing,1\n");
  Report report = copy(url, to);
  EXPECT_EQ(report.snapshot.items.done, 2);
  EXPECT_EQ(report.snapshot.items.vanished, 1);
  EXPECT_EQ(testing::get_all(to).size(), 2U);
  testing::put(base, "b", "CONTENT b");
  report = copy(url, to);
  EXPECT_EQ(report.snapshot.items.updated, 1) << "behind an unchanged line";
  EXPECT_EQ(testing::get(to, "b"), "CONTENT b");
  write("list.csv", "key\na\nb\nnot listed\n");
  report = copy(url, to);
  EXPECT_EQ(report.snapshot.items.created, 1) << "the same migration";
}

TEST_F(Manifest, LinksAreReadByTheirOrigin) {
  Nginx server;
  server.put("a b", "content");
  const std::string to = "memory://" + testing::unique_name("to");
  const std::string file = folder.path("links.jsonl");
  std::ofstream(file) << "{\"url\": \"" << server.url("/a%20b?x=1") << "\"}\n{\"url\": \"nonsense\"}\n{\"url\": \""
                      << server.url("/gone") << "\"}\n";
  const auto source = open_source("manifest://" + file);
  EXPECT_TRUE(source->capabilities().links);
  const Report report = copy("manifest://" + file, to);
  EXPECT_EQ(report.snapshot.items.done, 1);
  EXPECT_EQ(report.snapshot.items.failed, 1);
  EXPECT_EQ(report.snapshot.items.vanished, 1);
  EXPECT_EQ(testing::get(to, server.url("/a%20b?x=1")), "content");
}

TEST_F(Manifest, AnS3InventoryIsRead) {
  const std::string rows =
      "\"bucket\",\"docs/a+b%2B%C3%A4\",\"\",\"true\",\"false\",\"7\",\"2026-11-20T18:43:53.000Z\",\"0123\"\n"
      "\"bucket\",\"docs/old\",\"v1\",\"false\",\"false\",\"7\",\"2026-11-20T18:43:53.000Z\",\"0123\"\n"
      "\"bucket\",\"docs/deleted\",\"v2\",\"true\",\"true\",\"\",\"2026-11-20T18:43:53.000Z\",\"\"\n"
      "\"bucket\",\"other/x\",\"\",\"true\",\"false\",\"7\",\"2026-11-20T18:43:53.000Z\",\"0123\"\n";
  const std::string packed = gzipped(rows);
  const auto manifest = [&](const std::string& format, size_t size) {
    return "{\"sourceBucket\":\"bucket\",\"fileFormat\":\"" + format +
           "\",\"fileSchema\":\"Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag\","
           "\"files\":[{\"key\":\"inv/bucket/all/data/part.csv.gz\",\"size\":" +
           std::to_string(size) + "}]}";
  };
  write("inv/data/part.csv.gz", packed);
  write("inv/2026/manifest.json", manifest("CSV", packed.size()));
  const std::string url = "manifest://" + folder.path("inv/2026/manifest.json") +
                          "?base=" + internal::encode_query("s3://bucket/docs?region=us-east-1");
  const std::vector<Item> all = items(url);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].id.key, "a b+\xc3\xa4");
  EXPECT_EQ(all[0].stamp.size, 7U);
  EXPECT_EQ(all[0].stamp.etag, "0123");
  write("inv/2026/manifest.json", manifest("Parquet", packed.size()));
  EXPECT_NE(error_of(url).message().find("output format to CSV"), std::string::npos);
  write("inv/2026/manifest.json", manifest("CSV", packed.size() + 1));
  EXPECT_NE(error_of(url).message().find("should have"), std::string::npos);
  std::filesystem::remove(folder.path("inv/data/part.csv.gz"));
  EXPECT_NE(error_of(url).message().find("parts="), std::string::npos);
}

TEST_F(Manifest, WrongUrlsSaySo) {
  for (const char* url :
       {"manifest://host/list.csv", "manifest:///", "manifest:///a.csv?unknown=1", "manifest:///a.csv?format=xml",
        "manifest:///a.csv?parts=/x", "manifest:///x/manifest.json?key=a", "manifest:///a.csv?base="}) {
    try {
      open_source(url);
      ADD_FAILURE() << url;
    } catch (const Error& error) {
      EXPECT_EQ(error.error_class(), ErrorClass::configuration) << url;
    }
  }
  try {
    open_source("manifest:///not/there.csv")->check(context);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::missing);
  }
}

}  // namespace
}  // namespace waybill
