// SPDX-License-Identifier: Apache-2.0
//
// Whole runs over S3 that depend on what is around the store: the name of its host, and the rights that it gives.
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "connectors/s3_fault_fixture.hpp"
#include "engine/support.hpp"
#include "support/name_service.hpp"
#include "waybill/waybill.hpp"

namespace waybill::s3 {
namespace {

using testing::NameService;

constexpr uint64_t mib = 1 << 20;

class S3Network : public S3Fault {
 protected:
  void SetUp() override {
    for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
    S3Fault::SetUp();
    folder_.emplace();
  }

  /// `host` names the server; under another name it is another store, and nothing is copied inside it.
  std::string place(const std::string& bucket, const std::string& host, const std::string& prefix = "") const {
    return "s3://" + bucket + "/" + prefix + "?allow_http=true&endpoint=http://" + host + ":" +
           std::to_string(server_.port());
  }
  Report run(const std::string& from, const std::string& to, const Options& options = {}) {
    folder_.emplace();
    Migration migration(from, to, folder_->path("ledger.db"));
    return migration.run(options);
  }

  std::optional<testing::TemporaryFolder> folder_;
};

// F57: a name server that fails now and then costs a few look-ups, and no run.
TEST_F(S3Network, ANameThatFlapsCostsNoRun) {
  for (int n = 0; n < 20; ++n) server_.put("from", "k" + std::to_string(n), "content");
  std::atomic<int> asked{0};
  const NameService names([&](const std::string&) { return ++asked % 3 == 0 ? "127.0.0.1" : ""; });
  const Report report = run(place("from", "from.waybill.invalid"), place("to", "to.waybill.invalid"));
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(server_.keys("to"), server_.keys("from"));
  EXPECT_EQ(asked, 6) << "two failures and a success for each host";
}

// F57: one that does not know the name at all is asked a few times, and then named.
TEST_F(S3Network, ANameThatIsNotThereIsOneClearError) {
  std::atomic<int> asked{0};
  const NameService names([&](const std::string&) {
    ++asked;
    return "";
  });
  const auto error = error_of([&] { run(place("from", "nowhere.waybill.invalid"), place("to", "127.0.0.1")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::network);
  EXPECT_NE(error->message().find("cannot reach s3://from at http://nowhere.waybill.invalid"), std::string::npos)
      << error->message();
  EXPECT_NE(error->message().find("Could not resolve host"), std::string::npos) << error->message();
  EXPECT_EQ(asked, 3);
}

// D21: streamed, in parts, and copied inside the store: nothing is asked for beyond the two prefixes, and no
// right that the job does not need.
TEST_F(S3Network, RightsBelowThePrefixSuffice) {
  const std::set<std::string> unneeded = {
      "ListBuckets",  "HeadBucket",          "GetBucketLocation",   "GetBucketVersioning", "GetBucketAcl",
      "CreateBucket", "PutBucketVersioning", "ListObjectVersions",  "GetObjectAcl",        "GetObjectAttributes",
      "PutObjectAcl", "DeleteObject",        "DeleteObjects",       "ListParts",           "ListMultipartUploads",
      "Unsupported",  "PutObjectTagging",    "DeleteObjectTagging", "RestoreObject"};
  for (const char* bucket : {"from", "to"}) {
    change(bucket, [&](auto& settings) {
      settings.only_below = "p/";
      settings.denied = unneeded;
    });
  }
  // Of a source nothing is written, of a destination nothing is tagged or copied from.
  change("from", [](auto& settings) {
    for (const char* op : {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload",
                           "AbortMultipartUpload", "CopyObject", "UploadPartCopy"}) {
      settings.denied.insert(op);
    }
  });
  server_.put("from", "p/small", "content");
  server_.put("from", "p/folder/", "");
  server_.put("from", "p/large", std::string(11 * mib, 'x'));
  server_.put("from", "private", "not ours");
  Options options;
  options.part_size_bytes = options.part_threshold_bytes = 5 * mib;
  for (const char* host : {"127.0.0.1", "localhost"}) {
    server_.clear_log();
    const Report report = run(place("from", host, "p"), place("to", "127.0.0.1", std::string("p/") + host), options);
    EXPECT_EQ(report.exit_code, 0) << host << ": " << report.message;
    EXPECT_EQ(report.snapshot.items.created, 3) << host;
    Migration again(place("from", host, "p"), place("to", "127.0.0.1", std::string("p/") + host),
                    folder_->path("ledger.db"));
    EXPECT_EQ(again.verify().exit_code, 0) << host;
    for (const auto& record : server_.requests()) {
      if (record.op == "GetBucketWebsite") continue;  // a right that saves requests, and may lack
      EXPECT_NE(record.status, 403) << record.op << " of " << record.scope << "/" << record.key << "?" << record.query;
    }
  }
}

}  // namespace
}  // namespace waybill::s3
