// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <thread>

#include "connectors/filesystem/destination.hpp"
#include "connectors/filesystem_support.hpp"

namespace waybill::filesystem {
namespace {

using testing::body_of;
using testing::keys_of;
using testing::list_items;
using testing::ScratchFolder;
using testing::TestContext;
using testing::thrown;

WriteOptions when_absent() {
  WriteOptions options;
  options.condition.kind = Condition::Kind::absent;
  return options;
}

WriteOptions when_unchanged(const Item& item) {
  WriteOptions options;
  options.condition.kind = Condition::Kind::unchanged;
  options.condition.size = item.stamp.size;
  options.condition.mtime_ns = item.stamp.mtime_ns;
  return options;
}

class FilesystemDestinationTest : public ::testing::Test {
 protected:
  Stored put(const Key& key, std::string_view content, const WriteOptions& options = {}) {
    return destination_.put(key, body_of(content), options, context_);
  }
  std::vector<Key> list() { return keys_of(list_items(destination_, {}, context_)); }
  bool is_staging_gone() {
    destination_.flush(context_);
    return !folder_.exists("root/.waybill-tmp");
  }
  std::optional<std::string> content(std::string_view key) { return folder_.content("root/" + std::string(key)); }
  struct stat status(std::string_view key) { return folder_.status("root/" + std::string(key)); }

  ScratchFolder folder_;
  FilesystemDestination destination_{folder_.at("root")};
  TestContext context_;
};

TEST_F(FilesystemDestinationTest, NothingIsMadeBeforeTheFirstPut) {
  destination_.check(context_);
  EXPECT_TRUE(list().empty());
  EXPECT_FALSE(destination_.stat("a", context_));
  destination_.sweep({}, context_);
  destination_.flush(context_);
  destination_.remove("a", context_);
  EXPECT_FALSE(folder_.exists("root"));
  FilesystemDestination deep(folder_.at("x/y/z"));
  deep.check(context_);
  deep.put("a/b", body_of("x"), {}, context_);
  EXPECT_EQ(folder_.content("x/y/z/a/b"), "x");
}

TEST_F(FilesystemDestinationTest, KeepsContentTimeAndMode) {
  WriteOptions options;
  options.attributes.mode = 06741;
  options.attributes.mtime_ns = 1'600'000'000'123'456'789;
  const Stored stored = put("a/b/file", "content", options);
  EXPECT_EQ(content("a/b/file"), "content");
  EXPECT_EQ(stored.size, 7U);
  EXPECT_EQ(stored.mtime_ns, 1'600'000'000'123'456'789);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes("content")));
  EXPECT_EQ(status("a/b/file").st_mode & 07777U, 0741U) << "setuid and setgid never arrive";
  EXPECT_EQ(status("a/b/file").st_mtim.tv_nsec, 123'456'789);
  options.attributes.mtime_ns = -1;
  EXPECT_EQ(put("old", "", options).mtime_ns, -1);
  EXPECT_EQ(destination_.stat("old", context_)->stamp.mtime_ns, -1);
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, WithoutAModeTheUmaskDecides) {
  const mode_t before = umask(027);
  put("file", "x");
  umask(before);
  EXPECT_EQ(status("file").st_mode & 0777U, 0640U);
}

TEST_F(FilesystemDestinationTest, EmptyFoldersAreItems) {
  WriteOptions options;
  options.attributes.mode = 0750;
  options.attributes.mtime_ns = 5'000'000'007;
  put("a/empty/", "", options);
  put("a/empty/", "", options);
  EXPECT_EQ(list(), std::vector<Key>{"a/empty/"});
  EXPECT_EQ(status("a/empty").st_mode & 07777U, 0750U);
  EXPECT_EQ(destination_.stat("a/empty/", context_)->stamp.mtime_ns, 5'000'000'007);
  EXPECT_ERROR_CLASS(put("a/empty/", "", when_absent()), ErrorClass::conflict);
  put("a/empty/", "", when_unchanged(*destination_.stat("a/empty/", context_)));
  EXPECT_ERROR_CLASS(put("a/other/", "", when_unchanged(*destination_.stat("a/empty/", context_))), ErrorClass::conflict);
  EXPECT_FALSE(folder_.exists("root/a/other"));
  EXPECT_ERROR_CLASS(put("a/bytes/", "x"), ErrorClass::unsupported);
  put("a/empty/file", "x");
  chmod(folder_.at("root/a/empty").c_str(), 0700);
  put("a/empty/", "", when_absent());  // a folder that holds something is no item, and is not touched
  EXPECT_EQ(status("a/empty").st_mode & 07777U, 0700U);
  EXPECT_EQ(list(), std::vector<Key>{"a/empty/file"});
}

TEST_F(FilesystemDestinationTest, ConditionsHold) {
  put("file", "first", when_absent());
  EXPECT_ERROR_CLASS(put("file", "second", when_absent()), ErrorClass::conflict);
  EXPECT_EQ(thrown([&] { put("file", "second", when_absent()); })->code(), ErrorCode::failed_precondition);
  const Item first = *destination_.stat("file", context_);
  put("file", "second", when_unchanged(first));
  EXPECT_EQ(content("file"), "second");
  EXPECT_ERROR_CLASS(put("file", "third", when_unchanged(first)), ErrorClass::conflict);
  destination_.remove("file", context_);
  EXPECT_ERROR_CLASS(put("file", "third", when_unchanged(first)), ErrorClass::conflict);
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, OneOfManyWritersWins) {
  put("seed", "x");
  for (int round = 0; round < 20; ++round) {
    const Key key = "race" + std::to_string(round);
    WriteOptions options = when_absent();
    if (round % 2 == 1) {
      put(key, "before");
      options = when_unchanged(*destination_.stat(key, context_));
    }
    std::barrier start(6);
    std::atomic<int> winners{0};
    std::atomic<int> conflicts{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        const auto error = thrown([&] { put(key, std::string(100 + static_cast<size_t>(t), 'x'), options); });
        if (!error) ++winners;
        if (error && error->error_class() == ErrorClass::conflict) ++conflicts;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(winners, 1) << key;
    EXPECT_EQ(conflicts, 5) << key;
  }
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, KeysThatCannotBeHeldAreRefused) {
  for (const Key& key :
       {Key(""), Key("/"), Key("/abs"), Key("."), Key(".."), Key("../up"), Key("a/../b"), Key("a/./b"), Key("a//b"),
        Key("a/.."), Key("a//"), Key("n\0ul", 4), std::string(256, 'n'), "a/" + std::string(256, 'n') + "/b",
        Key(".waybill-tmp"), Key(".waybill-tmp/"), Key(".waybill-tmp/x"), Key("a/.waybill-tmp-1")}) {
    EXPECT_ERROR_CLASS(put(key, "hostile"), ErrorClass::unsupported);
    EXPECT_ERROR_CLASS(destination_.begin_parts(key, {}, {}, context_), ErrorClass::unsupported);
  }
  EXPECT_FALSE(folder_.exists("root"));
  EXPECT_FALSE(folder_.exists("up"));
  for (const Key& key : {std::string(255, 'n'), Key("..."), Key("..a/.b"), Key("new\nline"), Key("\xff\xfe"),
                         Key("back\\slash"), Key("%2e%2e"), Key("C:x"), Key("a/.waybill-tmp")}) {
    put(key, key);
    EXPECT_EQ(content(key), key);
  }
  EXPECT_EQ(list().size(), 9U);
}

TEST_F(FilesystemDestinationTest, FilesAndFoldersOfOneNameCollide) {
  put("a", "a file");
  put("d/x", "x");
  for (const char* key : {"a/b", "a/b/c", "a/b/"}) {
    const auto error = thrown([&] { put(key, ""); });
    ASSERT_TRUE(error) << key;
    EXPECT_EQ(error->error_class(), ErrorClass::collision) << error->message();
    EXPECT_NE(error->message().find("root/a\" is a file"), std::string::npos) << error->message();
    EXPECT_NE(error->message().find(folder_.at(std::string("root/") + key)), std::string::npos) << error->message();
    EXPECT_FALSE(error->retryable());
  }
  EXPECT_ERROR_CLASS(put("a/", ""), ErrorClass::collision);
  EXPECT_ERROR_CLASS(put("d", "a file"), ErrorClass::collision);
  EXPECT_ERROR_CLASS(put("d", "a file", when_absent()), ErrorClass::collision);
  EXPECT_ERROR_CLASS(destination_.begin_parts("a/b", {}, {}, context_), ErrorClass::collision);
  EXPECT_EQ(content("a"), "a file");
  EXPECT_EQ(content("d/x"), "x");
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, NothingIsWrittenThroughALink) {
  folder_.make("root/");
  folder_.make("outside/target", "mine");
  ASSERT_EQ(symlink(folder_.at("outside").c_str(), folder_.at("root/out").c_str()), 0);
  ASSERT_EQ(symlink("../outside/target", folder_.at("root/link").c_str()), 0);
  for (const char* key : {"out/new", "out/target", "out/deep/new", "out/new/"}) {
    const auto error = thrown([&] { put(key, ""); });
    ASSERT_TRUE(error) << key;
    EXPECT_EQ(error->error_class(), ErrorClass::unsupported) << error->message();
    EXPECT_NE(error->message().find("root/out\" is a symbolic link"), std::string::npos) << error->message();
  }
  EXPECT_ERROR_CLASS(put("link", "x", when_absent()), ErrorClass::conflict);
  EXPECT_ERROR_CLASS(put("link/", ""), ErrorClass::unsupported);
  put("link", "replaced");  // the link itself, as anything else that is in the way
  EXPECT_EQ(content("link"), "replaced");
  EXPECT_EQ(folder_.content("outside/target"), "mine");
  EXPECT_FALSE(folder_.exists("outside/new"));
  destination_.remove("out/target", context_);
  EXPECT_TRUE(folder_.exists("outside/target"));
  const std::vector<Item> items = list_items(destination_, {}, context_);
  ASSERT_EQ(keys_of(items), (std::vector<Key>{"link", "out"}));
  EXPECT_EQ(items[1].refused, ErrorClass::unsupported);
}

TEST_F(FilesystemDestinationTest, ALinkPlantedMeanwhileNeverLeadsOut) {
  folder_.make("root/a/");
  folder_.make("outside/");
  std::atomic<bool> is_over{false};
  std::thread attacker([&] {
    const std::string real = folder_.at("root/a");
    const std::string aside = folder_.at("root/aside");
    const std::string link = folder_.at("outside");
    while (!is_over) {
      if (rename(real.c_str(), aside.c_str()) == 0 && symlink(link.c_str(), real.c_str()) == 0) unlink(real.c_str());
      std::error_code ignored;
      if (rename(aside.c_str(), real.c_str()) != 0) std::filesystem::remove_all(aside, ignored);
    }
  });
  for (int i = 0; i < 2'000; ++i) thrown([&] { put("a/d" + std::to_string(i % 5) + "/f" + std::to_string(i), "x"); });
  is_over = true;
  attacker.join();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.at("outside")));
}

TEST_F(FilesystemDestinationTest, AStagingFolderThatIsALinkIsNotUsed) {
  folder_.make("root/");
  folder_.make("outside/");
  ASSERT_EQ(symlink("../outside", folder_.at("root/.waybill-tmp").c_str()), 0);
  EXPECT_ERROR_CLASS(put("a", "x"), ErrorClass::unsupported);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.at("outside")));
}

TEST_F(FilesystemDestinationTest, AFailedPutLeavesTheOldFileAndNothingElse) {
  put("file", "old");
  const std::string large(6 << 20, 'x');
  for (const bool cancels : {false, true}) {
    TestContext context;
    const Body body(large.size(), [&](uint64_t offset, std::span<std::byte> out) {
      if (offset >= 3 << 20) {
        if (!cancels) throw Error(ErrorCode::unavailable, ErrorClass::network, "broke off");
        context.cancel();
      }
      std::memset(out.data(), 'x', out.size());
      return out.size();
    });
    EXPECT_ERROR_CLASS(destination_.put("file", body, {}, context), cancels ? ErrorClass::cancelled : ErrorClass::network);
    EXPECT_ERROR_CLASS(destination_.put("new", body, {}, context), cancels ? ErrorClass::cancelled : ErrorClass::network);
  }
  Digest wrong;
  wrong.crc64nvme = 1;
  EXPECT_ERROR_CLASS(destination_.put("file", Body(internal::as_bytes("new"), wrong), {}, context_), ErrorClass::checksum);
  EXPECT_EQ(content("file"), "old");
  EXPECT_EQ(list(), std::vector<Key>{"file"});
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, WindowedBodiesAreWrittenWhole) {
  std::string large(3'000'001, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 >> 7);
  const Body body(large.size(), [&](uint64_t offset, std::span<std::byte> out) {
    std::memcpy(out.data(), large.data() + offset, out.size());
    return out.size();
  });
  const Stored stored = destination_.put("large", body, {}, context_);
  EXPECT_TRUE(content("large") == large);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes(large)));
  std::string out(large.size(), '\0');
  const ReadResult result = destination_.read(*destination_.stat("large", context_), 0,
                                              std::as_writable_bytes(std::span(out)), context_);
  EXPECT_EQ(result.count, large.size());
  EXPECT_TRUE(out == large);
}

TEST_F(FilesystemDestinationTest, AFullDiskLeavesNoPart) {
  folder_.make("root/");
  const std::string answer = testing::with_tmpfs(folder_.at("root"), "size=1m", [&]() -> std::string {
    put("small", "fits");
    const auto error = thrown([&] { put("a/large", std::string(2 << 20, 'x')); });
    if (!error || error->provider_code() != "ENOSPC") return "no ENOSPC";
    if (!error->retryable() || error->error_class() != ErrorClass::local_io) return "wrong class";
    if (error->message().find("a/large") == std::string::npos) return "no name: " + error->message();
    PartPlan plan;
    plan.size = 2 << 20;
    const auto upload = destination_.begin_parts("parts", plan, {}, context_);
    const auto part_error = thrown([&] { upload->write(1, 0, body_of(std::string(2 << 20, 'x')), context_); });
    if (!part_error || part_error->provider_code() != "ENOSPC") return "no ENOSPC for a part";
    upload->abort(context_);
    put("b/small", std::string(900'000, 'x'));  // the space was given back
    std::string keys;
    for (const Key& key : list()) keys += key + " ";
    return keys + (is_staging_gone() ? "" : "(staged files are left)");
  });
  if (answer == "cannot mount") GTEST_SKIP() << "NOT TESTED: mounting needs root";
  EXPECT_EQ(answer, "b/small small ");
}

TEST_F(FilesystemDestinationTest, AFolderOnAnotherFilesystemIsWrittenTo) {
  folder_.make("root/m/");
  const std::string answer = testing::with_tmpfs(folder_.at("root/m"), "size=8m", [&]() -> std::string {
    WriteOptions options = when_absent();
    options.attributes.mode = 0640;
    options.attributes.mtime_ns = 7'000'000'001;
    const std::string large(3'000'000, 'x');
    const Stored stored = put("m/in/file", large, options);
    if (stored.size != large.size() || stored.mtime_ns != 7'000'000'001) return "wrong answer";
    if (content("m/in/file") != large || (status("m/in/file").st_mode & 0777U) != 0640U) return "wrong file";
    if (!thrown([&] { put("m/in/file", "x", when_absent()); })) return "no conflict";
    put("m/in/file", "short", when_unchanged(*destination_.stat("m/in/file", context_)));
    const auto upload = destination_.begin_parts("m/parts", {}, {}, context_);
    const std::vector<PartInfo> parts = {upload->write(1, 0, body_of("one"), context_)};
    upload->complete(parts, context_);
    if (content("m/parts") != "one") return "wrong parts";
    for (int i = 0; i < 40; ++i) put("m/many/" + std::to_string(i), "x");
    if (!is_staging_gone()) return "staged files are left";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.at("root"))) {
      if (entry.path().string().find(".waybill-tmp") != std::string::npos) return entry.path().string();
    }
    return "good";
  });
  if (answer == "cannot mount") GTEST_SKIP() << "NOT TESTED: mounting needs root";
  EXPECT_EQ(answer, "good");
}

TEST_F(FilesystemDestinationTest, PermissionErrorsNameThePath) {
  folder_.make("root/closed/");
  folder_.make("root/open/");
  chmod(folder_.at("root").c_str(), 0777);
  chmod(folder_.at("root/open").c_str(), 0777);
  folder_.make("locked/");
  const std::string answer = testing::unprivileged([&]() -> std::string {
    if (open(folder_.at("root/closed/x").c_str(), O_WRONLY | O_CREAT, 0644) >= 0) return "a plain open works: nothing is tested";
    put("open/x", "x");
    const auto closed = thrown([&] { put("closed/x", "x"); });
    if (!closed || closed->error_class() != ErrorClass::permission) return "no permission error";
    if (closed->message().find("root/closed/x") == std::string::npos) return closed->message();
    FilesystemDestination locked(folder_.at("locked"));
    const auto check = thrown([&] { locked.check(context_); });
    if (!check || check->error_class() != ErrorClass::permission) return "check passes";
    if (check->message().find(folder_.at("locked")) == std::string::npos) return check->message();
    FilesystemDestination below(folder_.at("locked/new"));
    const auto create = thrown([&] { below.check(context_); });
    if (!create || create->error_class() != ErrorClass::permission) return "check of a folder to make passes";
    put("open/unreadable", "x", [] { WriteOptions options; options.attributes.mode = 0; return options; }());
    destination_.flush(context_);  // cannot open it again, and so syncs everything
    return is_staging_gone() ? "good" : "staged files are left";
  });
  EXPECT_EQ(answer, "good");
  EXPECT_FALSE(folder_.exists("root/closed/x"));
  folder_.make("file");
  FilesystemDestination file(folder_.at("file"));
  EXPECT_ERROR_CLASS(file.check(context_), ErrorClass::configuration);
  FilesystemDestination under_file(folder_.at("file/below"));
  EXPECT_ERROR_CLASS(under_file.check(context_), ErrorClass::configuration);
}

TEST_F(FilesystemDestinationTest, ThreadsMakeTheSameFoldersWhileFlushesRun) {
  std::atomic<bool> is_over{false};
  std::thread flusher([&] {
    while (!is_over) destination_.flush(context_);
  });
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const Key key = "n" + std::to_string(i) + "/deep/er/" + std::to_string(t);
        const auto error = thrown([&] { put(key, key); });
        if (error) ADD_FAILURE() << error->message();
        if (error) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  is_over = true;
  flusher.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(list().size(), 200U);
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, RemoveTakesEmptyFoldersWithIt) {
  put("a/b/c", "x");
  put("a/d", "x");
  put("e/", "");
  destination_.remove("a/b/c", context_);
  destination_.remove("a/b/c", context_);
  destination_.remove("not/there", context_);
  destination_.remove("a", context_);  // a folder, but the key names a file
  EXPECT_EQ(list(), (std::vector<Key>{"a/d", "e/"}));
  destination_.remove("a/", context_);
  EXPECT_EQ(content("a/d"), "x");
  destination_.remove("e/", context_);
  destination_.remove("a/d", context_);
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(folder_.exists("root"));
}

TEST_F(FilesystemDestinationTest, SweepRemovesThisMigrationsLeftoversOnly) {
  context_.set_migration("00000000000000aa");
  folder_.make("root/.waybill-tmp/00000000000000aa-1-1", "x");
  folder_.make("root/.waybill-tmp/00000000000000aa-up-01", "x");
  folder_.make("root/.waybill-tmp/00000000000000aa-up-02", "x");
  folder_.make("root/.waybill-tmp/00000000000000bb-1-1", "x");
  EXPECT_TRUE(list().empty());
  const std::vector<OpenUpload> keep = {{"a", "00000000000000aa-up-01"}};
  destination_.sweep(keep, context_);
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.at("root/.waybill-tmp"))) {
    left.push_back(entry.path().filename());
  }
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"00000000000000aa-up-01", "00000000000000bb-1-1"}));
  destination_.sweep({}, Context::background());
  EXPECT_TRUE(folder_.exists("root/.waybill-tmp/00000000000000bb-1-1"));
  unlink(folder_.at("root/.waybill-tmp/00000000000000bb-1-1").c_str());
  destination_.sweep({}, context_);
  EXPECT_FALSE(folder_.exists("root/.waybill-tmp"));
}

TEST_F(FilesystemDestinationTest, ADestinationThatGoesLeavesNoEmptyStagingFolder) {
  {
    FilesystemDestination other(folder_.at("root"));
    other.put("a", body_of("x"), {}, context_);
  }
  EXPECT_FALSE(folder_.exists("root/.waybill-tmp"));
}

// ---- objects in parts ----

class FilesystemPartsTest : public FilesystemDestinationTest {
 protected:
  static std::string part_content(uint32_t number, size_t size) {
    return std::string(size, static_cast<char>('a' + number % 26));
  }
};

TEST_F(FilesystemPartsTest, PartsComeInAnyOrderFromManyThreads) {
  constexpr uint32_t count = 12;
  constexpr size_t part_size = 100'000;
  constexpr size_t last_size = 777;
  PartPlan plan;
  plan.part_size = part_size;
  plan.size = (count - 1) * part_size + last_size;
  WriteOptions options = when_absent();
  options.attributes.mode = 0600;
  options.attributes.mtime_ns = 42;
  const auto upload = destination_.begin_parts("dir/large", plan, options, context_);
  std::vector<PartInfo> parts(count);
  std::atomic<uint32_t> next{count};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint32_t number = next--; number >= 1 && number <= count; number = next--) {
        const std::string bytes = part_content(number, number == count ? last_size : part_size);
        parts[number - 1] = upload->write(number, (number - 1) * part_size, body_of(bytes), context_);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(folder_.exists("root/dir/large"));
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(upload->existing(context_).empty()) << "the ledger knows";
  const Stored stored = upload->complete(parts, context_);
  EXPECT_EQ(upload->complete(parts, context_), stored) << "repeated after a lost answer";
  std::string whole;
  for (uint32_t number = 1; number <= count; ++number) {
    whole += part_content(number, number == count ? last_size : part_size);
  }
  EXPECT_TRUE(content("dir/large") == whole);
  EXPECT_EQ(stored.size, whole.size());
  EXPECT_EQ(stored.mtime_ns, 42);
  EXPECT_EQ(stored.digest.crc64nvme, internal::crc64nvme(internal::as_bytes(whole)));
  EXPECT_EQ(status("dir/large").st_mode & 07777U, 0600U);
  EXPECT_TRUE(is_staging_gone());
  upload->abort(context_);
  EXPECT_TRUE(folder_.exists("root/dir/large")) << "an abort after the end takes nothing back";
}

TEST_F(FilesystemPartsTest, ALaterProcessGoesOn) {
  PartPlan plan;
  plan.size = 9;
  plan.part_size = 3;
  std::string id;
  std::vector<PartInfo> parts(3);
  {
    FilesystemDestination earlier(folder_.at("root"));
    const auto upload = earlier.begin_parts("file", plan, {}, context_);
    id = upload->id();
    parts[0] = upload->write(1, 0, body_of("abc"), context_);
    parts[2] = upload->write(3, 6, body_of("ghi"), context_);
    earlier.flush(context_);
  }
  plan.upload_id = id;
  const auto upload = destination_.begin_parts("file", plan, {}, context_);
  EXPECT_EQ(upload->id(), id);
  EXPECT_TRUE(upload->existing(context_).empty());
  parts[1] = upload->write(2, 3, body_of("def"), context_);
  upload->complete(parts, context_);
  EXPECT_EQ(content("file"), "abcdefghi");
  EXPECT_ERROR_CLASS(destination_.begin_parts("file", plan, {}, context_), ErrorClass::missing);
}

TEST_F(FilesystemPartsTest, AnUploadThatIsGoneIsMissing) {
  PartPlan plan;
  plan.size = 3;
  const auto upload = destination_.begin_parts("file", plan, {}, context_);
  const std::vector<PartInfo> parts = {upload->write(1, 0, body_of("abc"), context_)};
  destination_.begin_parts("other", plan, {}, context_)->abort(context_);
  destination_.sweep({}, context_);
  EXPECT_ERROR_CLASS(upload->existing(context_), ErrorClass::missing);
  EXPECT_ERROR_CLASS(upload->write(1, 0, body_of("abc"), context_), ErrorClass::missing);
  EXPECT_ERROR_CLASS(upload->complete(parts, context_), ErrorClass::missing);
  upload->abort(context_);
  upload->abort(context_);
  plan.upload_id = upload->id();
  EXPECT_ERROR_CLASS(destination_.begin_parts("file", plan, {}, context_), ErrorClass::missing);
  folder_.make("victim-up-1", "x");
  for (const char* id : {"../../victim-up-1", "../victim-up-1", "no upload", "."}) {
    plan.upload_id = id;
    EXPECT_ERROR_CLASS(destination_.begin_parts("file", plan, {}, context_), ErrorClass::missing);
  }
  EXPECT_TRUE(list().empty());
}

TEST_F(FilesystemPartsTest, AnUnknownSizeIsCutToItsParts) {
  PartPlan plan;
  plan.part_size = 4;
  const auto upload = destination_.begin_parts("file", plan, {}, context_);
  std::vector<PartInfo> parts = {upload->write(1, 0, body_of("aaaa"), context_),
                                 upload->write(2, 4, body_of("bbbb"), context_),
                                 upload->write(3, 8, body_of("of a longer try"), context_)};
  parts.pop_back();
  EXPECT_EQ(upload->complete(parts, context_).size, 8U);
  EXPECT_EQ(content("file"), "aaaabbbb");
  plan.size = 100;
  const auto other = destination_.begin_parts("other", plan, {}, context_);
  const std::vector<PartInfo> few = {other->write(1, 0, body_of("aaaa"), context_)};
  EXPECT_TRUE(thrown([&] { other->complete(few, context_); })) << "most of it is missing";
  other->abort(context_);
  EXPECT_EQ(list(), std::vector<Key>{"file"});
}

TEST_F(FilesystemPartsTest, ConditionsHoldAtTheEnd) {
  const auto upload = destination_.begin_parts("file", {}, when_absent(), context_);
  const std::vector<PartInfo> parts = {upload->write(1, 0, body_of("abc"), context_)};
  put("file", "somebody else's");
  EXPECT_ERROR_CLASS(upload->complete(parts, context_), ErrorClass::conflict);
  EXPECT_EQ(content("file"), "somebody else's");
  upload->abort(context_);
  EXPECT_TRUE(is_staging_gone());
}

TEST_F(FilesystemDestinationTest, ACancelledContextEndsEveryCall) {
  put("file", "x");
  const Item file = *destination_.stat("file", context_);
  const auto lister = destination_.list({}, context_);
  const auto upload = destination_.begin_parts("parts", {}, {}, context_);
  context_.cancel();
  EXPECT_ERROR_CLASS(destination_.check(context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.list({}, context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(lister->next(context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.stat("file", context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(put("file", "y"), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.begin_parts("file", {}, {}, context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(upload->existing(context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(upload->write(1, 0, body_of("x"), context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(upload->complete({}, context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.read(file, 0, {}, context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.flush(context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.remove("file", context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(destination_.sweep({}, context_), ErrorClass::cancelled);
  upload->abort(context_);
  EXPECT_EQ(content("file"), "x");
}

}  // namespace
}  // namespace waybill::filesystem
