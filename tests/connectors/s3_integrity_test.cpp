// SPDX-License-Identifier: Apache-2.0
//
// That what arrives is what was there (peers.md, lines I1 to I6 and H7), against stores that know different proofs, and
// with faults on the way.
#include "connectors/s3/checksums.hpp"
#include "connectors/s3_fault_fixture.hpp"
#include "connectors/s3_scripted_server.hpp"

namespace waybill::s3 {
namespace {

using testing::ScriptedAnswer;
using testing::ScriptedRequest;
using testing::ScriptedServer;
using testing::fault::Action;
using testing::fault::Place;

internal::HttpResponse response_with(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string text;
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  ScriptedServer server([&](const ScriptedRequest&) { return ScriptedAnswer{200, text, ""}; });
  internal::HttpClient client;
  internal::HttpRequest request;
  request.url = "http://127.0.0.1:" + std::to_string(server.port()) + "/";
  return client.perform(request, Context::background());
}

std::string checksum(ChecksumKind kind, std::string_view first, std::string_view second = "") {
  Checksum made(kind);
  made.update(internal::as_bytes(first));
  made.update(internal::as_bytes(second));
  return made.text();
}

// The check values that the catalogue of CRCs publishes for "123456789", and those of RFC 1321 and FIPS 180.
TEST(S3Checksums, I2HaveTheirPublishedValues) {
  const auto base64 = [](std::string_view hex) { return internal::base64_encode(*internal::hex_decode(hex)); };
  EXPECT_EQ(checksum(ChecksumKind::crc32, "123456789"), base64("cbf43926"));
  EXPECT_EQ(checksum(ChecksumKind::crc32c, "123456789"), base64("e3069283"));
  EXPECT_EQ(checksum(ChecksumKind::crc32c, std::string(32, '\0')), base64("8a9136aa"));  // RFC 3720, B.4
  EXPECT_EQ(checksum(ChecksumKind::crc64nvme, "123456789"), base64("ae8b14860a799888"));
  EXPECT_EQ(checksum(ChecksumKind::md5, "abc"), base64("900150983cd24fb0d6963f7d28e17f72"));
  EXPECT_EQ(checksum(ChecksumKind::sha256, "abc"),
            base64("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  for (const ChecksumKind kind :
       {ChecksumKind::crc32, ChecksumKind::crc32c, ChecksumKind::crc64nvme, ChecksumKind::md5}) {
    for (size_t cut = 0; cut < 40; ++cut) {
      const std::string text = "forty bytes, of which some come first ..";
      EXPECT_EQ(checksum(kind, text.substr(0, cut), text.substr(cut)), checksum(kind, text)) << cut;
    }
  }
}

// I1: an ETag is an MD5 only where it can be one.
TEST(S3Checksums, I1AnETagIsTakenForNothingElse) {
  const std::string md5 = "900150983cd24fb0d6963f7d28e17f72";
  const auto is_md5 = [](const std::vector<std::pair<std::string, std::string>>& headers) {
    return has_md5_etag(response_with(headers));
  };
  EXPECT_TRUE(is_md5({{"ETag", "\"" + md5 + "\""}}));
  EXPECT_TRUE(is_md5({{"ETag", "W/\"" + md5 + "\""}}));
  EXPECT_TRUE(is_md5({{"ETag", md5}}));
  EXPECT_TRUE(is_md5({{"ETag", "\"900150983CD24FB0D6963F7D28E17F72\""}, {"x-amz-server-side-encryption", "AES256"}}));
  EXPECT_FALSE(is_md5({{"ETag", "\"" + md5 + "-2\""}}));
  EXPECT_FALSE(is_md5({{"ETag", "\"opaque\""}}));
  EXPECT_FALSE(is_md5({}));
  for (const char* name : {"aws:kms", "aws:kms:dsse"}) {
    EXPECT_FALSE(is_md5({{"ETag", "\"" + md5 + "\""}, {"x-amz-server-side-encryption", name}}));
  }
  EXPECT_FALSE(is_md5({{"ETag", "\"" + md5 + "\""}, {"x-amz-server-side-encryption-customer-algorithm", "AES256"}}));

  EXPECT_TRUE(is_same_etag(md5, "900150983CD24FB0D6963F7D28E17F72"));
  EXPECT_TRUE(is_same_etag(md5 + "-10", "900150983CD24FB0D6963F7D28E17F72-10"));
  EXPECT_FALSE(is_same_etag(md5 + "-10", md5 + "-11"));
  EXPECT_FALSE(is_same_etag(md5, md5 + "-1"));
  EXPECT_FALSE(is_same_etag("opaque", "OPAQUE")) << "only digits have two cases";
}

// I2: what the store has a checksum of is compared; one of parts' checksums, or of an unknown kind, says nothing.
TEST(S3Checksums, I2OnlyChecksumsOfTheWholeAreCompared) {
  const auto wrong = [](const std::vector<std::pair<std::string, std::string>>& headers) {
    return wrong_checksum(response_with(headers), internal::as_bytes("123456789"));
  };
  EXPECT_EQ(wrong({}), std::nullopt);
  EXPECT_EQ(wrong({{"x-amz-checksum-crc32c", "4waSgw=="}}), std::nullopt);
  EXPECT_EQ(wrong({{"x-amz-checksum-crc32c", "AAAAAA=="}}), ChecksumKind::crc32c);
  EXPECT_EQ(wrong({{"x-amz-checksum-crc32", "AAAAAA=="}}), ChecksumKind::crc32);
  EXPECT_EQ(wrong({{"x-amz-checksum-sha256", "AAAAAA=="}}), ChecksumKind::sha256);
  EXPECT_EQ(wrong({{"x-amz-checksum-crc32c", "AAAAAA==-2"}}), std::nullopt);
  EXPECT_EQ(wrong({{"x-amz-checksum-crc32c", "AAAAAA=="}, {"x-amz-checksum-type", "COMPOSITE"}}), std::nullopt);
  EXPECT_EQ(wrong({{"x-amz-checksum-sha1", "AAAAAA=="}}), std::nullopt);
}

class S3Integrity : public S3Fault {};

// I2: a byte that was turned on the way is seen against the store's own checksum, of whichever kind.
TEST_F(S3Integrity, I2AWrongByteOfAWholeReadIsSeen) {
  for (const char* kind : {"crc64nvme", "crc32c", "crc32", "sha256"}) {
    testing::fault::Object made;
    made.content = testing::fault::held_content("123456789");
    const std::string name = kind;
    const ChecksumKind of = name == "crc64nvme" ? ChecksumKind::crc64nvme
                            : name == "crc32c"  ? ChecksumKind::crc32c
                            : name == "crc32"   ? ChecksumKind::crc32
                                                : ChecksumKind::sha256;
    made.checksums = {{name, checksum(of, "123456789"), false}};
    server_.put("from", name, made);
    const Item listed = item(name);
    EXPECT_FALSE(error_of([&] { copy(listed); })) << name << ": a false alarm";
    server_.add_rule({.op = "GetObject", .key = name, .times = 1, .action = Action::flip, .after = 4});
    const auto error = error_of([&] { copy(listed); });
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->error_class(), ErrorClass::checksum) << error->message();
    EXPECT_TRUE(error->retryable());
    EXPECT_NE(error->message().find(name), std::string::npos) << error->message();
    EXPECT_FALSE(error_of([&] { copy(listed); })) << name;
  }
  // Of an object in parts, some stores have a checksum of checksums.
  testing::fault::Object composite;
  composite.content = testing::fault::held_content("123456789");
  composite.checksums = {{"sha256", "AAAA-2", true}};
  server_.put("from", "composite", composite);
  EXPECT_FALSE(error_of([&] { copy(item("composite")); }));
}

// I3: every rung of the ladder, found out by refusals; then no request is refused any more.
TEST(S3Proofs, I3TheProofIsTheBestOneThatTheStoreTakes) {
  struct Case {
    std::vector<std::string> known;
    std::string expected;
    size_t first_requests;
  };
  const std::vector<Case> cases = {
      {{"x-amz-checksum-crc64nvme", "x-amz-checksum-crc32c"}, "x-amz-checksum-crc64nvme", 1},
      {{"x-amz-checksum-crc32c", "x-amz-checksum-sha256"}, "x-amz-checksum-crc32c", 2},
      {{"x-amz-checksum-sha256"}, "x-amz-checksum-sha256", 3},
      {{}, "content-md5", 4},
  };
  const std::map<std::string, ChecksumKind> kinds = {{"x-amz-checksum-crc64nvme", ChecksumKind::crc64nvme},
                                                     {"x-amz-checksum-crc32c", ChecksumKind::crc32c},
                                                     {"x-amz-checksum-sha256", ChecksumKind::sha256},
                                                     {"content-md5", ChecksumKind::md5}};
  for (const Case& one : cases) {
    ScriptedServer server([&](const ScriptedRequest& request) {
      std::string echo;
      for (const auto& [name, kind] : kinds) {
        const std::string said = request.header(name);
        if (said.empty()) continue;
        const bool is_known = name == "content-md5" || std::count(one.known.begin(), one.known.end(), name) > 0;
        if (!is_known) return ScriptedAnswer{400, "", "<Error><Code>InvalidRequest</Code></Error>"};
        EXPECT_EQ(said, checksum(kind, request.body)) << name;
        if (name != "content-md5") echo = name + ": " + said + "\r\n";
      }
      return ScriptedAnswer{200, "ETag: \"e\"\r\n" + echo, ""};
    });
    testing::TestContext context;
    const auto destination = s3_connector().open_destination(
        Url::parse("s3://bucket?anonymous=true&endpoint=http://127.0.0.1:" + std::to_string(server.port())));
    for (size_t n = 0; n < 3; ++n) {
      destination->put("k", Body(internal::as_bytes("123456789"), {}), {}, context);
      ASSERT_EQ(server.requests().size(), one.first_requests + n) << one.expected;
      EXPECT_NE(server.requests().back().header(one.expected), "") << one.expected;
    }
  }
}

// I3: a store that ignores the header says nothing of it. Its ETag tells, or the body is sent once more with another
// proof.
TEST(S3Proofs, I3AProofThatIsIgnoredIsNoProof) {
  for (const bool has_md5 : {true, false}) {
    ScriptedServer server([&](const ScriptedRequest& request) {
      const std::string etag =
          has_md5 ? internal::hex_encode(internal::md5(internal::as_bytes(request.body))) : "opaque";
      return ScriptedAnswer{200, "ETag: \"" + etag + "\"\r\n", ""};
    });
    testing::TestContext context;
    const auto destination = s3_connector().open_destination(
        Url::parse("s3://bucket?anonymous=true&endpoint=http://127.0.0.1:" + std::to_string(server.port())));
    destination->put("k", Body(internal::as_bytes("123456789"), {}), {}, context);
    ASSERT_EQ(server.requests().size(), has_md5 ? 1U : 2U);
    if (!has_md5) {
      EXPECT_NE(server.requests().back().header("content-md5"), "");
      EXPECT_EQ(server.requests().back().header("if-match"), "\"opaque\"") << "nobody else's object is replaced by it";
    }
    destination->put("k", Body(internal::as_bytes("123456789"), {}), {}, context);
    EXPECT_EQ(server.requests().size(), has_md5 ? 2U : 3U);
    EXPECT_NE(server.requests().back().header("content-md5"), "");
  }
  // It has taken something else than was sent: sent again.
  int n = 0;
  ScriptedServer server([&](const ScriptedRequest&) {
    return ScriptedAnswer{
        200, "ETag: \"" + internal::hex_encode(internal::md5(internal::as_bytes(++n == 1 ? "x" : "y"))) + "\"\r\n", ""};
  });
  testing::TestContext context;
  const auto destination = s3_connector().open_destination(
      Url::parse("s3://bucket?anonymous=true&endpoint=http://127.0.0.1:" + std::to_string(server.port())));
  destination->put("k", Body(internal::as_bytes("123456789"), {}), {}, context);
  EXPECT_EQ(server.requests().size(), 2U);
}

// I3: whatever the store does with checksums, objects and parts arrive, and no header is refused twice.
TEST_F(S3Integrity, I3StoresThatRefuseOrIgnoreChecksumsGetWholeObjects) {
  for (const char* mode : {"yes", "ignored", "refused"}) {
    for (const char* etag : {"md5", "opaque"}) {
      change("to", [&](auto& settings) {
        settings.checksums = mode;
        settings.etag = etag;
        settings.min_part_bytes = 1;
      });
      for (const char* who : {"", "&anonymous=true"}) {
        const std::string what = std::string(mode) + " " + etag + who;
        open("", who);
        server_.clear_log();
        put("small", "123456789");
        EXPECT_EQ(content_at("to", "small"), "123456789") << what;
        const auto upload = destination_->begin_parts("large", PartPlan{12, 6, ""}, {}, context_);
        std::vector<PartInfo> parts;
        for (const std::string text : {"hello ", "world!"}) {
          parts.push_back(
              upload->write(static_cast<uint32_t>(parts.size() + 1), 0, Body(internal::as_bytes(text), {}), context_));
        }
        upload->complete(parts, context_);
        EXPECT_EQ(content_at("to", "large"), "hello world!") << what;
        server_.clear_log();
        put("small", "again");
        EXPECT_EQ(requests("PutObject"), 1U) << what;
      }
    }
  }
}

// I4: an error inside a 200 is an error, after white space too; what can pass is worth another try.
TEST_F(S3Integrity, I4AnErrorInsideASuccessIsNoSuccess) {
  const auto upload = destination_->begin_parts("large", PartPlan{5, 5, ""}, {}, context_);
  const std::vector<PartInfo> parts = {upload->write(1, 0, Body(internal::as_bytes("hello"), {}), context_)};
  for (const bool whitespace : {false, true}) {
    server_.clear_rules();
    server_.add_rule({.op = "CompleteMultipartUpload", .action = Action::error_in_200, .code = "InternalError"});
    if (whitespace) server_.add_rule({.op = "CompleteMultipartUpload", .action = Action::whitespace, .bytes = 3000});
    const auto error = error_of([&] { upload->complete(parts, context_); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::server) << error->message();
    EXPECT_TRUE(error->retryable());
    EXPECT_FALSE(server_.get("to", "large"));
  }
  server_.clear_rules();
  server_.add_rule({.op = "CompleteMultipartUpload", .action = Action::whitespace, .bytes = 3000});
  EXPECT_EQ(upload->complete(parts, context_).size, 5U);
}

// I5: the answer to Complete is lost, though it was carried out; the same call again finds its own work.
TEST_F(S3Integrity, I5ALostAnswerToCompleteIsFoundOut) {
  for (const char* etag : {"md5", "opaque"}) {
    change("to", [&](auto& settings) { settings.etag = etag; });
    for (const bool conditional : {false, true}) {
      const std::string key = std::string(etag) + (conditional ? "/new" : "/any");
      const auto upload =
          destination_->begin_parts(key, PartPlan{5, 5, ""}, conditional ? absent() : WriteOptions{}, context_);
      const std::vector<PartInfo> parts = {upload->write(1, 0, Body(internal::as_bytes("hello"), {}), context_)};
      server_.add_rule(
          {.op = "CompleteMultipartUpload", .times = 1, .action = Action::cut, .place = Place::answer, .after = 30});
      const auto lost = error_of([&] { upload->complete(parts, context_); });
      ASSERT_TRUE(lost) << key;
      EXPECT_TRUE(lost->retryable());
      EXPECT_EQ(upload->complete(parts, context_).size, 5U) << key;
      EXPECT_EQ(content_at("to", key), "hello");
      server_.clear_rules();
    }
  }
  // Somebody else's object of the same size is not taken for ours.
  const auto upload = destination_->begin_parts("other", PartPlan{5, 5, ""}, {}, context_);
  const std::vector<PartInfo> parts = {upload->write(1, 0, Body(internal::as_bytes("hello"), {}), context_)};
  upload->abort(context_);
  server_.put("to", "other", "olleh");
  const auto error = error_of([&] { upload->complete(parts, context_); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::missing);
}

// I6: ranges carry If-Match; a body that ends early, another revision, and other bytes than asked for are never taken.
TEST_F(S3Integrity, I6EachRangeIsHeldToItsObject) {
  server_.put("from", "a", std::string(1000, 'a'));
  const Item listed = item("a");
  std::string out(100, '\0');
  for (const uint64_t offset : {0, 500}) {
    server_.clear_log();
    EXPECT_FALSE(error_of([&] { read(listed, out, offset); }));
    EXPECT_NE(server_.requests().at(0).head.find("If-Match: \"" + listed.stamp.etag + "\""), std::string::npos);
    for (const auto& [action, expected] : std::vector<std::pair<Action, ErrorClass>>{
             {Action::cut, ErrorClass::network},
             {Action::reset, ErrorClass::network},
             {Action::swap, ErrorClass::source_changed},
         }) {
      server_.add_rule({.op = "GetObject", .times = 1, .action = action, .after = 50});
      const auto error = error_of([&] { read(listed, out, offset); });
      ASSERT_TRUE(error) << static_cast<int>(action);
      EXPECT_EQ(error->error_class(), expected) << error->message();
      EXPECT_TRUE(error->retryable());
    }
    server_.add_rule({.op = "GetObject", .times = 1, .action = Action::wrong_length, .length_delta = 5});
    EXPECT_TRUE(error_of([&] { read(listed, out, offset); }));
  }
}

// H7: a store that heeds the condition is seen to, once; what is there stays.
TEST_F(S3Integrity, H7ConditionsAreProbedOnce) {
  put("a", "one", absent());
  EXPECT_EQ(requests("PutObject"), 2U) << "the second one was refused, which is what was asked";
  EXPECT_EQ(content_at("to", "a"), "one");
  put("b", "two", absent());
  EXPECT_EQ(requests("PutObject"), 3U);
  EXPECT_EQ(requests("HeadObject"), 0U);
  EXPECT_EQ(error_of([&] { put("a", "other", absent()); })->error_class(), ErrorClass::conflict);
}

// H7: a store that ignores it, or does not know it: somebody else's object is still not replaced.
TEST_F(S3Integrity, H7AnIgnoredConditionIsReplacedByALook) {
  for (const char* mode : {"ignored", "not_implemented"}) {
    change("to", [&](auto& settings) { settings.conditional_writes = mode; });
    open();
    const std::string folder = std::string(mode) + "/";
    const Stored stored = put(folder + "first", "one", absent());
    EXPECT_EQ(stored.etag, server_.get("to", folder + "first")->etag);
    server_.put("to", folder + "theirs", "theirs");
    const auto error = error_of([&] { put(folder + "theirs", "ours", absent()); });
    ASSERT_TRUE(error) << mode;
    EXPECT_EQ(error->error_class(), ErrorClass::conflict);
    EXPECT_EQ(content_at("to", folder + "theirs"), "theirs");
    server_.clear_log();
    put(folder + "second", "two", absent());
    EXPECT_EQ(requests("PutObject"), 1U) << mode;
    EXPECT_EQ(requests("HeadObject"), 1U) << mode;
  }
  EXPECT_EQ(logged("ignores If-None-Match"), 1U);
}

// H7: copies and the completion of uploads have conditions of their own, which a store may ignore though it heeds those
// of PUT. What appeared since the listing stays.
TEST_F(S3Integrity, H7ConditionsThatOnlyCopiesIgnoreAreFoundOut) {
  for (const bool is_ignored : {true, false}) {
    change("to", [&](auto& settings) {
      settings.unconditional = is_ignored ? std::set<std::string>{"CopyObject"} : std::set<std::string>{};
    });
    open();
    const std::string folder = is_ignored ? "ignored/" : "heeded/";
    const auto copy = [&](const Key& key) {
      server_.put("from", folder + key, "content of " + key);
      const Item from = item(folder + key);
      std::optional<Locator> locator = source_->locator(from);
      locator->attributes = source_->read(from, 0, {}, context_).attributes;
      locator->storage_class = "";
      return destination_->copy(folder + key, *locator, absent(), context_);
    };
    server_.put("to", folder + "first", "theirs");
    EXPECT_FALSE(copy("first")) << "nothing is known yet";
    ASSERT_TRUE(copy("second"));
    server_.put("to", folder + "third", "theirs");
    server_.clear_log();
    EXPECT_FALSE(copy("third"));
    EXPECT_EQ(requests("CopyObject"), is_ignored ? 0U : 1U);
    ASSERT_TRUE(copy("fourth"));
    for (const char* key : {"first", "third"}) EXPECT_EQ(content_at("to", folder + key), "theirs");
    for (const char* key : {"second", "fourth"}) EXPECT_EQ(content_at("to", folder + key), "content of " + std::string(key));
  }
  EXPECT_EQ(logged("ignores If-None-Match of copies"), 1U);
}

// H7: the same of If-Match, which a store may ignore though it heeds If-None-Match.
TEST_F(S3Integrity, H7AnIgnoredIfMatchIsReplacedByALook) {
  for (const bool is_ignored : {true, false}) {
    const std::string folder = is_ignored ? "ignored/" : "heeded/";
    open();
    change("to", [&](auto& settings) { settings.unconditional.clear(); });
    put(folder + "new", "heeded", absent());
    WriteOptions options;
    options.condition.kind = Condition::Kind::unchanged;
    const auto replace = [&](const std::string& key) {
      options.condition.etag = put(folder + key, "old").etag;
      if (is_ignored) change("to", [&](auto& settings) { settings.unconditional = {"PutObject"}; });
    };
    replace("first");
    put(folder + "first", "ours", options);
    EXPECT_EQ(content_at("to", folder + "first"), "ours");
    replace("second");
    server_.put("to", folder + "second", "theirs");
    const auto error = error_of([&] { put(folder + "second", "ours", options); });
    ASSERT_TRUE(error) << folder;
    EXPECT_EQ(error->error_class(), ErrorClass::conflict);
    EXPECT_EQ(content_at("to", folder + "second"), "theirs");
  }
  EXPECT_EQ(logged("ignores If-Match"), 1U);
}

TEST_F(S3Integrity, H7TheCompletionOfAnUploadIsLookedAtFirst) {
  for (const bool is_ignored : {true, false}) {
    change("to", [&](auto& settings) {
      settings.unconditional = is_ignored ? std::set<std::string>{"CompleteMultipartUpload"} : std::set<std::string>{};
    });
    open();
    put("small" + std::to_string(is_ignored), "heeded", absent());
    const auto upload = destination_->begin_parts("large", PartPlan{5, 5, ""}, absent(), context_);
    const std::vector<PartInfo> parts = {upload->write(1, 0, Body(internal::as_bytes("hello"), {}), context_)};
    server_.put("to", "large", "theirs");
    const auto error = error_of([&] { upload->complete(parts, context_); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->error_class(), ErrorClass::conflict) << error->message();
    EXPECT_EQ(content_at("to", "large"), "theirs");
    upload->abort(context_);
  }
}

// H7: a body that is not cheap to repeat waits for a look, until looks have cost more than one repetition.
TEST_F(S3Integrity, H7LargeBodiesAreLookedAtUntilOneIsRepeated) {
  for (const char* mode : {"ignored", "yes"}) {
    change("to", [&](auto& settings) { settings.conditional_writes = mode; });
    open();
    const std::string folder = std::string(mode) + "/";
    const std::string body(100'000, 'x');
    server_.put("to", folder + "theirs", "theirs");
    EXPECT_EQ(error_of([&] { put(folder + "theirs", body, absent()); })->error_class(), ErrorClass::conflict);
    server_.clear_log();
    for (int n = 0; n < 20; ++n) put(folder + std::to_string(n), body, absent());
    EXPECT_EQ(requests("PutObject"), 21U) << mode;
    EXPECT_EQ(requests("HeadObject"), mode == std::string("yes") ? 7U : 19U) << mode;
    EXPECT_EQ(error_of([&] { put(folder + "theirs", body, absent()); })->error_class(), ErrorClass::conflict);
    EXPECT_EQ(content_at("to", folder + "theirs"), "theirs");
  }
}

// H6, H7: a conflict of two writes at once is worth another try, which then succeeds.
TEST_F(S3Integrity, H7AConflictInFlightCanBeTriedAgain) {
  server_.add_rule({.op = "PutObject", .times = 1, .status = 409, .code = "ConditionalRequestConflict"});
  const auto error = error_of([&] { put("a", "one", absent()); });
  ASSERT_TRUE(error);
  EXPECT_TRUE(error->retryable());
  context_.set_attempt(2);
  put("a", "one", absent());
  EXPECT_EQ(content_at("to", "a"), "one");
}

// U1: what a process of ours began without learning its name is found also where listings write a space as '+'.
TEST_F(S3Integrity, U1UploadsAreFoundUnderEncodedKeys) {
  change("to", [](auto& settings) { settings.plus_for_space = true; });
  for (const Key key : {"a b+%20", "a b"}) {
    destination_->begin_parts(key, PartPlan{5, 5, ""}, {}, context_);
  }
  ASSERT_EQ(server_.open_uploads("to").size(), 2U);
  const std::vector<OpenUpload> known = {{"a b+%20", ""}};
  destination_->sweep(known, context_);
  const auto left = server_.open_uploads("to");
  ASSERT_EQ(left.size(), 1U) << "and nobody else's";
  EXPECT_EQ(left.begin()->second, "a b");
}

}  // namespace
}  // namespace waybill::s3
