// SPDX-License-Identifier: Apache-2.0
//
// Large objects that were interrupted half way: what an earlier run left at the destination is believed only while it is
// what was recorded.

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "engine/support.hpp"

namespace waybill::testing {
namespace {

using std::chrono::milliseconds;

constexpr size_t part_size = size_t{5} << 20;

/// A large object from a store in memory, interrupted when two of its three parts are recorded.
class Resume : public Stores {
 protected:
  std::string content = std::string(part_size, 'a') + std::string(part_size, 'b') + std::string(part_size / 2, 'c');

  static Options in_parts() {
    Options options = quick();
    options.concurrency = 1;
    options.part_threshold_bytes = part_size;
    options.part_size_bytes = part_size;
    options.drain_ms = 0;
    return options;
  }
  Migration migration_to(const std::string& url) {
    return Migration(open_source(from), std::make_shared<ScriptedDestination>(open_destination(url), destination_hook),
                     open_tracker(ledger));
  }
  /// The upload that the interrupted run has left.
  UploadRecord interrupt_half_way(const std::string& url) {
    put(from, "large", content);
    std::atomic<int> parts{0};
    destination_hook = [&](const std::string& operation, const Key&, Context& context) {
      if (operation != "write_part" || ++parts <= 2) return;
      while (context.sleep(milliseconds(100))) {
      }
      context.check();
    };
    const std::unique_ptr<waybill::Run> run = migration_to(url).start(in_parts());
    const auto recorded = [&] { return open_tracker(ledger, OpenMode::read_only)->uploads(); };
    while (recorded().empty() || recorded().front().parts.size() < 2) std::this_thread::sleep_for(milliseconds(10));
    run->interrupt();
    EXPECT_EQ(run->wait().exit_code, 130);
    written_ = 0;
    destination_hook = [this](const std::string& operation, const Key&, Context&) { written_ += operation == "write_part"; };
    return recorded().front();
  }
  Report go_on(const std::string& url) { return migration_to(url).run(in_parts()); }

  std::atomic<int> written_{0};
};

TEST_F(Resume, APartThatTheStoreHoldsOtherwiseIsWrittenAgain) {
  const UploadRecord left = interrupt_half_way(to);
  const std::string other(part_size, 'x');
  open_destination(to)
      ->begin_parts("large", PartPlan{content.size(), part_size, left.upload_id}, {}, Context::background())
      ->write(2, part_size, Body(internal::as_bytes(other), Digest{}), Context::background());
  const Report report = go_on(to);
  EXPECT_EQ(report.exit_code, 0) << report.message;
  EXPECT_EQ(written_, 2) << "the third part, and the one that is no longer what was recorded";
  EXPECT_TRUE(get(to, "large") == content);
}

TEST_F(Resume, AChangedPartOfAFileIsNeverDone) {
  TemporaryFolder target;
  const std::string url = "file://" + target.path();
  const UploadRecord left = interrupt_half_way(url);
  const std::string staged = target.path(".waybill-tmp/" + left.upload_id);
  {
    std::fstream file(staged, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(file) << staged;
    file.seekp(7);
    file.put('x');
  }
  const Report report = go_on(url);
  EXPECT_EQ(report.exit_code, 3) << report.message;
  const std::optional<Failure> why = failure("large");
  ASSERT_TRUE(why);
  EXPECT_EQ(why->error_class, ErrorClass::checksum);
  EXPECT_NE(why->message.find("part 1"), std::string::npos) << why->message;
  EXPECT_FALSE(std::filesystem::exists(target.path("large")));
  EXPECT_FALSE(std::filesystem::exists(staged));

  EXPECT_EQ(go_on(url).exit_code, 0) << "what was found wrong is copied anew";
  EXPECT_TRUE(get(url, "large") == content);
}

TEST_F(Resume, PartsOfAFileThatNobodyTouchedAreNotWrittenAgain) {
  TemporaryFolder target;
  const std::string url = "file://" + target.path();
  interrupt_half_way(url);
  EXPECT_EQ(go_on(url).exit_code, 0);
  EXPECT_EQ(written_, 1);
  EXPECT_TRUE(get(url, "large") == content);
}

}  // namespace
}  // namespace waybill::testing
