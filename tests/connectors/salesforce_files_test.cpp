// SPDX-License-Identifier: Apache-2.0
//
// Salesforce Files, attachments and documents as a Source, against the fault server's Salesforce.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/hash.hpp"
#include "connectors/s3_scripted_server.hpp"
#include "support/salesforce_files.hpp"
#include "support/test_context.hpp"
#include "waybill/connectors.hpp"

namespace waybill {
namespace {

using testing::SalesforceFiles;
using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;
using testing::TestContext;
using Names = std::map<std::string, std::string>;

std::string encoded(std::string_view content) { return internal::base64_encode(internal::as_bytes(content)); }
std::string md5_of(std::string_view content) { return internal::hex_encode(internal::md5(internal::as_bytes(content))); }

std::string pull(Stream& stream, Context& context, size_t step = 4096) {
  std::string content;
  std::vector<std::byte> buffer(step);
  while (const size_t count = stream.read(buffer, context)) content.append(reinterpret_cast<const char*>(buffer.data()), count);
  return content;
}

template <typename Call>
Error error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::internal, ErrorClass::none, "");
}

class SalesforceFilesSource : public ::testing::Test {
 protected:
  TestContext context;
  SalesforceFiles org;

  std::vector<Item> all(Source& source) {
    std::vector<Item> items;
    const auto lister = source.list({}, context);
    for (bool is_last = false; !is_last;) {
      Page page = lister->next(context);
      is_last = page.is_last;
      items.insert(items.end(), page.items.begin(), page.items.end());
    }
    return items;
  }
  std::string content(Source& source, const Item& item, size_t step = 4096) { return pull(*source.stream(item, context), context, step); }
};

TEST_F(SalesforceFilesSource, DocumentsHaveTheirNewestVersion) {
  org.versions(3, 3);
  const auto source = open_source(org.url("ContentVersion"));
  EXPECT_EQ(source->identity(), "salesforce:acme.my.salesforce.com/ContentVersion");
  source->check(context);
  const std::vector<Item> items = all(*source);
  ASSERT_EQ(items.size(), 3U);
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    const uint64_t version = 3 * i + 2;
    EXPECT_EQ(item.id, (ItemId{"", org.text("ContentDocument", i, "Id"), ""}));
    EXPECT_EQ(item.stamp.size, 1000U);
    EXPECT_EQ(item.stamp.etag, org.text("ContentVersion", version, "Checksum"));
    EXPECT_EQ(item.stamp.version, org.text("ContentVersion", version, "Id"));
    EXPECT_EQ(item.stamp.mtime_ns, (1'735'689'600 + static_cast<int64_t>(version)) * 1'000'000'000);
    const std::string n = std::to_string(i);
    EXPECT_EQ(item.names, (Names{{"title", "Title " + n},
                                 {"extension", "bin"},
                                 {"file_name", "Title " + n + ".bin"},
                                 {"path_on_client", "C:\\" + std::to_string(version) + ".bin"},
                                 {"version_number", "3"},
                                 {"version_id", item.stamp.version},
                                 {"document_id", item.id.key}}));
    EXPECT_EQ(md5_of(content(*source, item)), item.stamp.etag);
    EXPECT_EQ(source->stat(item.id, context)->stamp, item.stamp);
  }
  EXPECT_EQ(source->stream(items[0], context)->attributes().mtime_ns, items[0].stamp.mtime_ns);
  EXPECT_EQ(source->stream(items[0], context)->attributes().content_type, "") << "octet-stream says nothing";
}

TEST_F(SalesforceFilesSource, AllVersionsAreItemsOfTheirOwn) {
  org.versions(2, 3);
  const auto source = open_source(org.url("ContentVersion", "&versions=all"));
  EXPECT_EQ(source->identity(), "salesforce:acme.my.salesforce.com/ContentVersion?versions=all");
  const std::vector<Item> items = all(*source);
  ASSERT_EQ(items.size(), 6U);
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i].id.key, org.text("ContentVersion", i, "Id"));
    EXPECT_EQ(items[i].names.at("version_number"), std::to_string(i % 3 + 1));
    EXPECT_EQ(items[i].names.at("document_id"), org.text("ContentDocument", i / 3, "Id"));
    EXPECT_EQ(md5_of(content(*source, items[i])), items[i].stamp.etag);
    EXPECT_EQ(source->stat(items[i].id, context)->stamp, items[i].stamp);
  }
}

TEST_F(SalesforceFilesSource, AttachmentsAndDocumentsAreRead) {
  org.bodies("Attachment", "00P", 12, 70'000);
  org.bodies("Document", "015", 2, 0);
  const auto attachments = open_source(org.url("Attachment"));
  const std::vector<Item> items = all(*attachments);
  ASSERT_EQ(items.size(), 12U);
  EXPECT_EQ(items[11].names, (Names{{"title", "name 11.txt"},
                                    {"file_name", "name 11.txt"},
                                    {"parent_id", org.text("Account", 1, "Id")},
                                    {"parent_name", "Account 1"}}));
  EXPECT_EQ(items[11].stamp.etag, "");
  EXPECT_TRUE(items[11].stamp.mtime_ns);
  EXPECT_EQ(content(*attachments, items[11], 1'000'000).size(), 70'000U);
  EXPECT_NE(content(*attachments, items[0]), content(*attachments, items[1]));
  const auto documents = open_source(org.url("document"));
  org.plant("Document", 1, {{"Url", "https://elsewhere.example.com/x"}});
  const std::vector<Item> some = all(*documents);
  ASSERT_EQ(some.size(), 2U);
  EXPECT_EQ(some[0].names.at("file_name"), "name 0.txt") << "the extension is there once";
  EXPECT_EQ(some[0].stamp.size, 0U);
  EXPECT_EQ(content(*documents, some[0]), "");
  EXPECT_EQ(some[1].refused, ErrorClass::unsupported) << "a link has no content";
}

TEST_F(SalesforceFilesSource, ATitleIsNoRevisionAndAVersionIsOne) {
  org.versions(1, 2);
  org.plant("ContentVersion", 0, {{"IsLatest", true}});
  org.plant("ContentVersion", 1, {{"IsLatest", false}});
  const auto source = open_source(org.url("ContentVersion"));
  const Item before = all(*source).at(0);
  org.edit("ContentVersion", 0, {{"Title", "Another title.BIN"}});
  const Item renamed = all(*source).at(0);
  EXPECT_EQ(renamed.id, before.id);
  EXPECT_EQ(renamed.stamp, before.stamp);
  EXPECT_EQ(renamed.names.at("file_name"), "Another title.BIN");
  org.edit("ContentVersion", 0, {{"IsLatest", false}});
  org.edit("ContentVersion", 1, {{"IsLatest", true}});
  const Item updated = all(*source).at(0);
  EXPECT_EQ(updated.id, before.id);
  EXPECT_NE(updated.stamp, before.stamp);
  EXPECT_EQ(md5_of(content(*source, before)), before.stamp.etag) << "what was listed is what is read";
  EXPECT_EQ(md5_of(content(*source, updated)), updated.stamp.etag);
}

TEST_F(SalesforceFilesSource, DocumentsComeInTheirOwnOrder) {
  org.versions(2'200, 1, 10);
  // The newest version of the first document is the last of all, and that of the last one the first.
  org.plant("ContentVersion", 0, {{"ContentDocumentId", org.text("ContentDocument", 2'199, "Id")}});
  org.plant("ContentVersion", 2'199, {{"ContentDocumentId", org.text("ContentDocument", 0, "Id")}});
  const auto source = open_source(org.url("ContentVersion"));
  EXPECT_EQ(source->capabilities().order, Order::byte_key);
  const std::vector<Item> items = all(*source);
  ASSERT_EQ(items.size(), 2'200U);
  for (size_t i = 1; i < items.size(); ++i) ASSERT_GT(items[i].id.key, items[i - 1].id.key);
  EXPECT_EQ(items[0].stamp.version, org.text("ContentVersion", 2'199, "Id"));
  const auto by_jobs = open_source(org.url("ContentVersion", "&reads=bulk"));
  const std::vector<Item> same = all(*by_jobs);
  EXPECT_GT(org.calls("CreateQueryJob"), 0U);
  ASSERT_EQ(same.size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    ASSERT_EQ(same[i].id, items[i].id);
    ASSERT_EQ(same[i].stamp, items[i].stamp);
    ASSERT_EQ(same[i].names, items[i].names);
  }
}

TEST_F(SalesforceFilesSource, ListingsCarryOn) {
  org.versions(4'500, 1, 10);
  const auto source = open_source(org.url("ContentVersion"));
  const auto lister = source->list({}, context);
  const Page first = lister->next(context);
  ASSERT_FALSE(first.is_last);
  ListRequest request;
  request.resume = first.resume;
  const auto again = open_source(org.url("ContentVersion"));
  const auto later = again->list(request, context);
  size_t count = first.items.size();
  for (Page page; !page.is_last;) {
    page = later->next(context);
    for (const Item& item : page.items) EXPECT_GT(item.id.key, first.items.back().id.key);
    count += page.items.size();
  }
  EXPECT_EQ(count, 4'500U);
}

TEST_F(SalesforceFilesSource, WhatADocumentIsLinkedToComesWithIt) {
  org.versions(201, 1, 10);
  org.links(2'001, "{n/2000}");  // 2,000 of the first document, and one of the second
  const auto source = open_source(org.url("ContentVersion"));
  const uint64_t before = org.calls("Query");
  const std::vector<Item> items = all(*source);
  EXPECT_EQ(org.calls("Query") - before, 1U + 3U) << "a page of items; two pages of links, and those of the last document";
  ASSERT_EQ(items.size(), 201U);
  const std::string& many = items[0].names.at("linked");
  EXPECT_TRUE(many.starts_with(org.text("Account", 0, "Id") + ":V," + org.text("Account", 1, "Id") + ":V,")) << many;
  EXPECT_EQ(std::count(many.begin(), many.end(), ','), 49);
  EXPECT_EQ(items[0].names.at("links_left_out"), "1950");
  EXPECT_EQ(items[1].names.at("linked"), org.text("Account", 2'000, "Id") + ":V");
  EXPECT_FALSE(items[1].names.contains("links_left_out"));
  EXPECT_FALSE(items[200].names.contains("linked"));
}

TEST_F(SalesforceFilesSource, AFailedQueryOfLinksIsAskedAgain) {
  org.versions(401, 1, 10);
  org.links(401, "{n}");
  const auto source = open_source(org.url("ContentVersion"));
  const auto lister = source->list({}, context);
  org.server.add_rule({.op = "Query", .nth = 3, .code = "SERVER_UNAVAILABLE"});  // the second one of links
  EXPECT_TRUE(error_of([&] { lister->next(context); }).retryable());
  const Page page = lister->next(context);
  ASSERT_EQ(page.items.size(), 401U);
  for (size_t i = 0; i < 401; ++i) EXPECT_EQ(page.items[i].names.at("linked"), org.text("Account", i, "Id") + ":V");
  EXPECT_EQ(org.calls("Query"), 1U + 4U) << "nothing that was there is asked for again";
}

TEST_F(SalesforceFilesSource, LinksThatCannotBeSeenAreLeftOut) {
  org.versions(3, 1);
  org.links(3, "{n}");
  org.settings({}, {{"hidden", {"ContentDocumentLink", "ContentVersion.PathOnClient"}}});
  const auto source = open_source(org.url("ContentVersion"));
  const std::vector<Item> items = all(*source);
  ASSERT_EQ(items.size(), 3U);
  EXPECT_FALSE(items[0].names.contains("linked"));
  EXPECT_FALSE(items[0].names.contains("path_on_client")) << "a field that nobody needs may be hidden";
  const auto lines = context.lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].first, LogLevel::warning);
  EXPECT_NE(lines[0].second.find("what files are linked to is left out"), std::string::npos) << lines[0].second;
}

TEST_F(SalesforceFilesSource, ABodyThatEndsEarlyIsNoEnd) {
  org.versions(1, 1, 100'000);
  const auto source = open_source(org.url("ContentVersion"));
  const Item item = all(*source).at(0);
  for (const auto action : {testing::fault::Action::cut, testing::fault::Action::reset}) {
    org.server.add_rule({.op = "GetBlob", .times = 1, .action = action, .after = 60'000});
    const Error error = error_of([&] { content(*source, item); });
    EXPECT_EQ(error.error_class(), ErrorClass::network) << error.message();
    EXPECT_TRUE(error.retryable());
  }
  EXPECT_EQ(content(*source, item, 100'000).size(), 100'000U);
}

TEST_F(SalesforceFilesSource, AnotherByteIsAChecksum) {
  org.versions(1, 1, 100'000);
  const auto source = open_source(org.url("ContentVersion"));
  const Item item = all(*source).at(0);
  org.server.add_rule({.op = "GetBlob", .times = 2, .action = testing::fault::Action::flip, .after = 99'999});
  for (const size_t step : {size_t{4096}, size_t{100'000}}) {
    const auto stream = source->stream(item, context);
    const Error error = error_of([&] { pull(*stream, context, step); });
    EXPECT_EQ(error.error_class(), ErrorClass::checksum) << error.message();
    EXPECT_TRUE(error.retryable());
    EXPECT_EQ(error.message(), "the content of " + item.id.key + " has another MD5 than is listed");
    error_of([&] { pull(*stream, context, step); });  // it never ends well
  }
  EXPECT_EQ(md5_of(content(*source, item)), item.stamp.etag);
  org.plant("ContentVersion", 0, {{"Checksum", "not an MD5"}});
  const Item other = all(*source).at(0);
  EXPECT_EQ(other.stamp.etag, "not an MD5");
  EXPECT_EQ(content(*source, other).size(), 100'000U) << "what it is nobody knows";
}

TEST_F(SalesforceFilesSource, WhatChangedIsNotWhatWasListed) {
  org.bodies("Attachment", "00P", 3);
  const auto source = open_source(org.url("Attachment"));
  const std::vector<Item> items = all(*source);
  for (const std::string& body : {std::string(), std::string("short"), std::string(2'000, 'x')}) {
    org.edit("Attachment", 0, {{"Body", encoded(body)}});
    const Error error = error_of([&] { content(*source, items[0]); });
    EXPECT_EQ(error.error_class(), ErrorClass::source_changed) << error.message();
    EXPECT_TRUE(error.retryable());
    const std::optional<Item> now = source->stat(items[0].id, context);
    ASSERT_TRUE(now);
    EXPECT_EQ(now->stamp.size, body.size());
    EXPECT_EQ(content(*source, *now), body);
  }
  // A size that was never right.
  org.plant("Attachment", 1, {{"BodyLength", 999}});
  const Item wrong = all(*source).at(1);
  EXPECT_EQ(error_of([&] { content(*source, wrong); }).error_class(), ErrorClass::checksum);
  org.edit("Attachment", 2, {{"IsDeleted", true}});
  EXPECT_EQ(error_of([&] { content(*source, items[2]); }).error_class(), ErrorClass::missing);
  EXPECT_FALSE(source->stat(items[2].id, context));
  EXPECT_FALSE(source->stat({"", "a0B" + items[2].id.key.substr(3), ""}, context));
}

TEST_F(SalesforceFilesSource, ABodyWithoutItsLengthIsComparedWithTheListedOne) {
  std::string body = "0123456789";
  bool is_chunked = true;
  ScriptedServer server([&](const ScriptedRequest& request) -> ScriptedAnswer {
    if (request.target.ends_with("/oauth2/token")) return {200, "", R"({"access_token":"t","instance_url":"http://127.0.0.1:1"})"};
    if (request.target.ends_with("/Body")) {
      if (!is_chunked) return {200, "", body, false};
      return {200, "Transfer-Encoding: chunked\r\n", "a\r\n" + body.substr(0, 10) + "\r\n" + (body.size() > 10 ? "1\r\n!\r\n" : "") + "0\r\n\r\n", false};
    }
    if (request.target.ends_with("/describe")) {
      return {200, "", R"({"name":"Attachment","queryable":true,"fields":[{"name":"Id"},{"name":"BodyLength"},{"name":"SystemModstamp"},{"name":"Body"}]})"};
    }
    return {200, "", R"({"done":true,"records":[{"Id":"00P5g000000000IEAQ","BodyLength":10,"SystemModstamp":"2026-01-01T00:00:00.000+0000"}]})"};
  });
  const auto source = open_source(
      "salesforce://acme.my.salesforce.com/Attachment?client_id=c&client_secret=env:WAYBILL_TEST_CONSUMER_SECRET&endpoint=http://127.0.0.1:" +
      std::to_string(server.port()));
  Item item;
  item.id.key = "00P5g000000000IEAQ";
  const std::optional<Item> found = source->stat(item.id, context);
  if (!found) GTEST_FAIL() << "the id of the script is none";
  for (const size_t step : {size_t{10}, size_t{64}}) EXPECT_EQ(content(*source, *found, step), "0123456789");
  body += "!";
  for (const size_t step : {size_t{10}, size_t{64}}) {
    EXPECT_EQ(error_of([&] { content(*source, *found, step); }).error_class(), ErrorClass::checksum) << step;
  }
  is_chunked = false;
  body = "01234";
  EXPECT_EQ(error_of([&] { content(*source, *found); }).error_class(), ErrorClass::checksum) << "cut by the end of the connection";
}

TEST_F(SalesforceFilesSource, ContentElsewhereIsRefused) {
  org.versions(2, 1);
  org.plant("ContentVersion", 1, {{"ContentLocation", "E"}});
  const auto source = open_source(org.url("ContentVersion"));
  const std::vector<Item> items = all(*source);
  EXPECT_EQ(items.at(0).refused, ErrorClass::none);
  EXPECT_EQ(items.at(1).refused, ErrorClass::unsupported);
  EXPECT_NE(items.at(1).reason.find("another system"), std::string::npos);
}

TEST_F(SalesforceFilesSource, ARightThatLacksIsNamed) {
  org.versions(1, 1);
  const auto source = open_source(org.url("ContentVersion"));
  source->check(context);
  org.settings({}, {{"hidden", {"ContentVersion.VersionData"}}});
  const Error field = error_of([&] { source->check(context); });
  EXPECT_EQ(field.error_class(), ErrorClass::permission);
  EXPECT_NE(field.message().find("ContentVersion.VersionData"), std::string::npos) << field.message();
  org.settings({}, {{"hidden", {"ContentVersion"}}});
  const Error object = error_of([&] { source->check(context); });
  EXPECT_EQ(object.error_class(), ErrorClass::configuration) << object.message();
  EXPECT_NE(object.message().find("ContentVersion"), std::string::npos) << object.message();
  for (const Error& error : {field, object}) EXPECT_EQ(error.message().find('\n'), std::string::npos);
}

TEST_F(SalesforceFilesSource, SessionsMayEndAtAnyCall) {
  org.versions(20, 1, 5'000);
  org.settings({{"session_calls", 3}});
  const auto source = open_source(org.url("ContentVersion"));
  for (const Item& item : all(*source)) EXPECT_EQ(md5_of(content(*source, item)), item.stamp.etag);
}

TEST_F(SalesforceFilesSource, WhatTheBusinessNeedsOfTheDayIsLeft) {
  org.versions(2, 1);
  const auto source = open_source(org.url("ContentVersion", "&max_api_share=0.5"));
  const std::vector<Item> items = all(*source);
  org.server.control("salesforce_usage", {{"calls", 60'000}});
  EXPECT_EQ(content(*source, items[0]).size(), 1'000U) << "its answer is what tells";
  const Error error = error_of([&] { content(*source, items[1]); });
  EXPECT_EQ(error.error_class(), ErrorClass::throttled) << error.message();
  EXPECT_TRUE(error.retryable());
  EXPECT_EQ(org.calls("GetBlob"), 1U);
}

TEST_F(SalesforceFilesSource, URLsOfFilesNameTheirItems) {
  const auto latest = open_source(org.url("ContentVersion"));
  const auto versions = open_source(org.url("ContentVersion", "&versions=all"));
  const auto attachments = open_source(org.url("Attachment"));
  const auto documents = open_source(org.url("Document"));
  const auto key = [](const std::shared_ptr<Source>& source, const std::string& url) {
    const auto id = source->item_at(url);
    if (id) {
      EXPECT_EQ(id->partition + id->version, "");
    }
    return id ? id->key : "";
  };
  const std::string home = "https://acme.my.salesforce.com";
  const std::string document = "0695g000000000AAAQ";
  const std::string version = "0685g000000000bAAA";
  EXPECT_EQ(key(latest, home + "/sfc/servlet.shepherd/document/download/0695g000000000A?operationContext=S"), document);
  EXPECT_EQ(key(latest, "https://ACME.file.force.com/sfc/servlet.shepherd/document/download/" + document), document);
  EXPECT_EQ(key(latest, "https://acme.lightning.force.com/lightning/r/ContentDocument/" + document + "/view"), document);
  EXPECT_EQ(key(latest, "/" + document), document);
  EXPECT_EQ(key(latest, home + "/sfc/servlet.shepherd/document/download/" + document + "/" + document), "") << "an archive";
  EXPECT_EQ(key(latest, home + "/sfc/servlet.shepherd/version/download/" + version), "") << "of which document, only a call tells";
  EXPECT_EQ(key(versions, home + "/sfc/servlet.shepherd/version/download/0685g000000000b"), version);
  EXPECT_EQ(key(versions, home + "/services/data/v62.0/sobjects/ContentVersion/" + version + "/VersionData"), version);
  EXPECT_EQ(key(versions, org.server.endpoint() + "/services/data/v40.0/sobjects/ContentVersion/" + version + "/VersionData"), version);
  EXPECT_EQ(key(versions, home + "/sfc/servlet.shepherd/document/download/" + document), "");
  EXPECT_EQ(key(attachments, home + "/servlet/servlet.FileDownload?file=00P5g000000000A"), "00P5g000000000AEAQ");
  EXPECT_EQ(key(attachments, "/servlet/servlet.FileDownload?retURL=%2F&file=00P5g000000000A&x=1#top"), "00P5g000000000AEAQ");
  EXPECT_EQ(key(attachments, home + "/servlet/servlet.FileDownload?file=0155g000000000A"), "");
  EXPECT_EQ(key(documents, home + "/servlet/servlet.FileDownload?file=0155g000000000A"), "0155g000000000AAAQ");
  EXPECT_EQ(key(documents, home + "/servlet/servlet.ImageServer?id=0155g000000000A&oid=00D5g0000000001EAA"), "0155g000000000AAAQ");
  for (const std::string& url : {std::string("https://other.my.salesforce.com/sfc/servlet.shepherd/document/download/") + document,
                                 "https://acme.my.salesforce.com.example.com/" + document, "//acme.my.salesforce.com/" + document,
                                 "ftp://acme.my.salesforce.com/" + document, home, home + "/", std::string(), std::string("069"),
                                 home + "/0695g000000000AAAA", home + "/sfc/p/1/a/2/b", "https://notacme.file.force.com/" + document}) {
    EXPECT_EQ(key(latest, url), "") << url;
  }
}

}  // namespace
}  // namespace waybill
