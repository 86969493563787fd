// SPDX-License-Identifier: Apache-2.0
#include "engine/key_template.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "waybill/connectors.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

TemplateFields item(const Key& key, const std::string& partition = "001A", const std::string& version = "") {
  TemplateFields fields;
  fields.id = {partition, key, version};
  return fields;
}

std::string key_of(std::string_view text, const TemplateFields& fields) {
  const Made made = KeyTemplate(text).key_of(fields);
  EXPECT_EQ(made.text.empty(), !made.refusal.empty());
  return made.text.empty() ? "refused: " + made.refusal : made.text;
}

std::string error_of(std::string_view text, bool is_url = false) {
  try {
    is_url ? void(UrlTemplate(text)) : void(KeyTemplate(text));
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::configuration);
    return error.message();
  }
  return "";
}

TEST(KeyTemplate, FieldsAreWhatTheyAreCalled) {
  TemplateFields fields = item("Files/2020/Report one.PDF", "001A", "v7");
  fields.partition_name = "Acme & Söhne / Co";
  fields.names["record"] = "a07";
  fields.mtime_ns = 1'709'251'199'999'999'999;  // 2024-02-29T23:59:59.999999999Z
  const struct {
    const char* text;
    const char* key;
  } table[] = {
      {"uploads/{partition}/{partition_name|slug}/{name}", "uploads/001A/Acme_S_hne_Co/Report one.PDF"},
      {"{key}", "Files/2020/Report one.PDF"},
      {"x/{dir}/{stem}.{ext}", "x/Files/2020/Report one.pdf"},
      {"{stem|slug|lower}.{ext|upper}", "report_one.PDF"},
      {"{partition_name}", "Acme & Söhne %2F Co"},
      {"{partition_name|first:8}", "Acme & S"},
      {"{partition_name|first:9}!", "Acme & Sö!"},
      {"{version}", "v7"},
      {"{names.record}/{names.other|default:none}", "a07/none"},
      {"{mtime}", "2024-02-29T23:59:59Z"},
      {"{mtime|date:%Y/%m/%d}/{name}", "2024/02/29/Report one.PDF"},
      {"{mtime|date:%H.%M.%S-%j%%}", "23.59.59-060%"},
      {"{{{partition}}}", "{001A}"},
      {"{key|urlencode}", "Files%2F2020%2FReport%20one.PDF"},
      {"{name|first:6}", "Report"},
  };
  for (const auto& [text, key] : table) EXPECT_EQ(key_of(text, fields), key) << text;
}

// Keys with these ids are in stores: none of them may ever change.
TEST(KeyTemplate, TheIdOfAnItemIsTheSameForEver) {
  EXPECT_EQ(short_id({"", "", ""}), "9d908ecfb6b256de");
  EXPECT_EQ(short_id({"001A", "a/b.txt", ""}), key_of("{id}", item("a/b.txt")));
  // What is told apart by the lengths alone.
  EXPECT_NE(short_id({"ab", "c", ""}), short_id({"a", "bc", ""}));
  EXPECT_NE(short_id({"a", "b", "c"}), short_id({"a", "bc", ""}));
}

TEST(KeyTemplate, OfAUrlTheNameIsThatOfItsPath) {
  const char* url = "https://files.example.com/a%20b/c/R%C3%A9sum%C3%A9.v2.PDF?X-Amz-Signature=s3cr3t/x#top";
  EXPECT_EQ(key_of("{name}", item(url)), "Résumé.v2.PDF");
  EXPECT_EQ(key_of("{dir}/{stem}-{ext}", item(url)), "a b/c/Résumé.v2-pdf");
  EXPECT_EQ(key_of("{name}", item("https://h/a%2Fb")), "a%2Fb");
  EXPECT_EQ(key_of("{name}", item("https://h/100%")), "100%");
  EXPECT_NE(key_of("{name}", item("https://h/")).find("{name}"), std::string::npos);
  EXPECT_NE(key_of("{name}", item("https://h?a=/b")).find("{name}"), std::string::npos);
}

TEST(KeyTemplate, ExtensionsAreShortAndPlain) {
  const struct {
    const char* name;
    const char* stem;
    const char* ext;
  } table[] = {{"a.tar.gz", "a.tar", "gz"}, {".bashrc", ".bashrc", "-"}, {"a.", "a.", "-"},      {"noext", "noext", "-"},
               {"v1.2 final", "v1.2 final", "-"}, {"a.b_c", "a.b_c", "-"}, {"..x", ".", "x"}, {"a.12345678901234567", "a.12345678901234567", "-"}};
  for (const auto& [name, stem, ext] : table) {
    EXPECT_EQ(key_of("_{stem}|{ext|default:-}", item(name)), "_" + std::string(stem) + "|" + ext) << name;
  }
}

TEST(KeyTemplate, SlugsAreWhatTheyWere) {
  const struct {
    const char* text;
    const char* slug;
  } table[] = {{"Acme Inc.", "Acme_Inc."}, {"a  b__c", "a_b_c"}, {"é", "_"}, {".", "_"}, {"..", "_"}, {"...", "..."}, {"../x", ".._x"},
               {"-a-", "-a-"},  {"日本 x", "_x"}, {"\x01", "_"}, {"", ""}, {"CON:aux|?*", "CON_aux_"}};
  for (const auto& [text, wanted] : table) EXPECT_EQ(slug(text), wanted) << text;
}

TEST(KeyTemplate, WhatCannotBeAKeyIsRefusedAndSaysWhy) {
  const auto says = [](std::string_view text, const TemplateFields& fields, const char* what) {
    const std::string answer = key_of(text, fields);
    EXPECT_NE(answer.find("refused"), std::string::npos) << answer;
    EXPECT_NE(answer.find(what), std::string::npos) << answer;
  };
  says("a/{partition_name}/{name}", item("x"), "{partition_name}");
  says("a/{names.account}/{name}", item("x"), "{names.account}");
  says("a/{ext}/{name}", item("x"), "{ext}");
  says("{mtime|date:%Y}/{name}", item("x"), "{mtime}");
  says("{dir}/{name}", item("x"), "{dir}");
  says("b/{key}", item("../x"), "\"..\"");
  says("b/{key}", item("a/./x"), "\".\"");
  says("{key}", item("/x"), "begins with");
  says("{key}", item("a//x"), "empty component");
  says("{partition}", item("x", ".."), "\"..\"");
  says("{name}", item(std::string(1025, 'n')), "first:N");
  EXPECT_EQ(key_of("{name}", item(std::string(1024, 'n'))).size(), 1024u);
  // No name leads anywhere, and none hides.
  EXPECT_EQ(key_of("b/{partition}/{name}", item("x", "../..")), "b/..%2F../x");
  EXPECT_EQ(key_of("b/{partition}", item("x", std::string("a\0\n\x7f", 4))), "b/a%00%0A%7F");
}

TEST(KeyTemplate, FoldersStayFolders) {
  EXPECT_EQ(key_of("x/{key}", item("a/b/")), "x/a/b/");
  EXPECT_EQ(key_of("x/{dir}/{name}", item("a/b/")), "x/a/b/");
  EXPECT_NE(key_of("x{mtime|default:/}", item("a")).find("refused"), std::string::npos);
}

TEST(KeyTemplate, ErrorsNameThePlaceAndTheNearestWord) {
  const struct {
    const char* text;
    const char* place;
    const char* what;
  } table[] = {
      {"a/{partion}", "character 4", "did you mean \"partition\""},
      {"a/{name|slgu}", "character 9", "did you mean \"slug\""},
      {"a/{zzzzzzzz}", "character 4", "partition_name"},
      {"a/{name", "character 3", "no end"},
      {"a/{na{me}", "character 3", "no end"},
      {"a/name}", "character 7", "}}"},
      {"a/{}", "character 4", "there is no field \"\""},
      {"a/{names.}", "character 4", "no field"},
      {"a/{name|first:0}", "character 15", "1 to 1024"},
      {"a/{name|first:x}", "character 15", "1 to 1024"},
      {"a/{name|first}", "character 14", "first:100"},
      {"a/{name|slug:x}", "character 13", "nothing after"},
      {"a/{name|date:%Y}", "character 9", "mtime"},
      {"a/{mtime|date:%Q}", "character 15", "%Y"},
      {"a/{mtime|date:%}", "character 15", "%Y"},
      {"a/{destination_key}", "character 4", "URL templates"},
      {"/a/{name}", "character 1", "begin"},
      {"a/{name}/", "character 9", "folder"},
      {"a/b", "character 4", "no field"},
      {"", "character 1", "no field"},
      {"a//{name}", "character 1", "empty component"},
      {"a/../{name}", "character 1", "\"..\""},
      {"a\n{name}", "character 2", "control"},
  };
  for (const auto& [text, place, what] : table) {
    const std::string message = error_of(text);
    EXPECT_NE(message.find(place), std::string::npos) << text << ": " << message;
    EXPECT_NE(message.find(what), std::string::npos) << text << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_NE(error_of(std::string(5000, 'a')).find("4096"), std::string::npos);
}

TEST(KeyTemplate, OnlyAWholeIdIsUnique) {
  EXPECT_TRUE(KeyTemplate("{id}-{name}").is_unique());
  EXPECT_TRUE(KeyTemplate("{id|upper}").is_unique());
  EXPECT_FALSE(KeyTemplate("{id|first:4}").is_unique());
  EXPECT_FALSE(KeyTemplate("{partition}/{name}").is_unique());
}

TEST(KeyTemplate, SuffixesAreOfTheItemAndStandBeforeTheExtension) {
  const ItemId id{"p", "k", ""};
  const std::string own = "~" + short_id(id);
  for (const auto& [key, wanted] : std::map<Key, Key>{{"a/report.pdf", "a/report" + own + ".pdf"},
                                                      {"a.b/report", "a.b/report" + own},
                                                      {"a/.hidden", "a/.hidden" + own},
                                                      {"a/v1.2 final", "a/v1.2 final" + own},
                                                      {"a/folder.d/", "a/folder.d" + own + "/"},
                                                      {"x.tar.gz", "x.tar" + own + ".gz"}}) {
    EXPECT_EQ(with_own_suffix(key, id), wanted);
    EXPECT_TRUE(has_own_suffix(wanted, id)) << wanted;
    EXPECT_FALSE(has_own_suffix(wanted, {"p", "other", ""}));
    EXPECT_FALSE(has_own_suffix(key, id));
  }
  EXPECT_EQ(with_own_suffix(std::string(1008, 'x'), id), "");
}

// Whatever items are called, a key is one that a store can hold and that leads nowhere else.
TEST(KeyTemplate, AnythingBecomesAGoodKeyOrIsRefused) {
  std::mt19937 random(5);
  const KeyTemplate templates[] = {KeyTemplate("u/{partition}/{partition_name|slug|default:-}/{name}"), KeyTemplate("{key}"),
                                   KeyTemplate("{dir|default:d}/{stem|first:20}.{ext|default:bin}"), KeyTemplate("{names.a}{version}/{name|slug}")};
  const std::string alphabet("./~%\\ \0\n\x7f\xc3\xa9" "aZ9-_{}", 18);
  const auto text = [&](size_t most) {
    std::string out;
    for (size_t i = random() % most; i > 0; --i) out += alphabet[random() % alphabet.size()];
    return out;
  };
  int made = 0;
  for (int round = 0; round < 20'000; ++round) {
    TemplateFields fields = item(text(30), text(8), text(3));
    fields.partition_name = text(8);
    fields.names["a"] = text(5);
    for (const KeyTemplate& one : templates) {
      const Made answer = one.key_of(fields);
      ASSERT_NE(answer.text.empty(), answer.refusal.empty());
      if (answer.text.empty()) continue;
      ++made;
      ASSERT_LE(answer.text.size(), 1025u);
      ASSERT_EQ(("/" + answer.text).find("//"), std::string::npos) << printable(answer.text);
      for (const char* wrong : {"/./", "/../"}) ASSERT_EQ(("/" + answer.text + "/").find(wrong), std::string::npos) << printable(answer.text);
      ASSERT_EQ(std::count_if(answer.text.begin(), answer.text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }), 0);
      ASSERT_EQ(answer.text, one.key_of(fields).text);
    }
  }
  EXPECT_GT(made, 10'000);
}

TEST(UrlTemplate, FieldsArePercentEncodedAndTextIsNot) {
  TemplateFields fields = item("k", "A/B");
  fields.destination_key = "uploads/001A/Rés umé+100%.pdf";
  const UrlTemplate plain("https://files.example.com/{destination_key}");
  EXPECT_EQ(plain.url_of(fields).text, "https://files.example.com/uploads/001A/R%C3%A9s%20um%C3%A9%2B100%25.pdf");
  EXPECT_EQ(plain.url_of(fields).text, "https://files.example.com/" + encode_path(fields.destination_key));
  EXPECT_EQ(plain.prefix(), "https://files.example.com/");
  EXPECT_EQ(UrlTemplate("https://h/get?k={destination_key}&p={partition}&v=1").url_of(fields).text,
            "https://h/get?k=uploads/001A/R%C3%A9s%20um%C3%A9%2B100%25.pdf&p=A%2FB&v=1");
  fields.destination_key.clear();
  EXPECT_NE(plain.url_of(fields).refusal.find("{destination_key}"), std::string::npos);
}

TEST(UrlTemplate, OnlyUrlsWithAWholeHostAreTemplates) {
  for (const char* wrong : {"", "files.example.com/{key}", "://h/{key}", "/h/{key}", "https://{partition}.example.com/{key}", "https:///{key}", "https://h/x",
                            "https://h/a b/{key}", "https://h/{key}#x", "https://u:p@h/{key}", "https://h/{key|urlencode}", "https://h/{kye}"}) {
    EXPECT_NE(error_of(wrong, true), "") << wrong;
  }
  EXPECT_NE(error_of("https://h/{destinaton_key}", true).find("did you mean \"destination_key\""), std::string::npos);
  EXPECT_EQ(error_of("http://127.0.0.1:9000/{key|lower}", true), "");
}

TEST(UrlTemplate, AFolderOfThisMachineHasNoHost) {
  TemplateFields fields = item("k", "A");
  fields.destination_key = "photos/a b#1?.jpg";
  const UrlTemplate folder("file:///srv/new/{destination_key}");
  const std::string made = folder.url_of(fields).text;
  EXPECT_EQ(made, "file:///srv/new/photos/a%20b%231%3F.jpg");
  EXPECT_EQ(folder.prefix(), "file:///srv/new/");
  const auto id = open_source("/srv/new")->item_at(made);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->key, fields.destination_key) << "a folder knows the URL as its item";
  EXPECT_EQ(UrlTemplate("file://localhost/srv/{key}").prefix(), "file://localhost/srv/");
  for (const char* wrong : {"file://{key}", "file:/srv/{key}", "file:///srv/new", "File//srv/{key}"}) EXPECT_NE(error_of(wrong, true), "") << wrong;
}

}  // namespace
}  // namespace waybill::internal
