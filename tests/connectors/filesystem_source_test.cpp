// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "connectors/filesystem/filesystem.hpp"
#include "connectors/filesystem/source.hpp"
#include "connectors/filesystem_support.hpp"

namespace waybill::filesystem {
namespace {

using testing::body_of;
using testing::keys_of;
using testing::list_items;
using testing::ScratchFolder;
using testing::TestContext;
using testing::thrown;

class FilesystemSourceTest : public ::testing::Test {
 protected:
  std::vector<Key> list(const ListRequest& request = {}) { return keys_of(list_items(source_, request, context_)); }
  Item item(const Key& key) {
    for (Item& found : list_items(source_, {}, context_)) {
      if (found.key() == key) return found;
    }
    ADD_FAILURE() << "not listed: " << printable(key);
    return {};
  }
  std::string read(const Item& item, uint64_t offset, size_t size) {
    std::string out(size, '\0');
    out.resize(source_.read(item, offset, std::as_writable_bytes(std::span(out)), context_).count);
    return out;
  }

  ScratchFolder folder_;
  FilesystemSource source_{folder_.path()};
  TestContext context_;
};

std::vector<Key> awkward_tree() {
  std::vector<Key> keys = {
      "a",      "a!",         "a-b",    "a.d/x",     "a0",       "ab/c/d",   "ab.c",    "ab/c.d",   "ab/c0",
      "b/",     "b!/",        "b0/",    "c/d/e/",    "c/d!",     "c/d0",     "sp ace",  "plus+",    "per%20cent",
      "q\"u'o", "new\nline",  "tab\tx", "\xff\xfe",  "\x01low",  "caf\xc3\xa9", "cafe\xcc\x81", "\xf0\x9f\x9a\x9a/\xe2\x9c\x93",
      "-dash",  "..dots/...", ".hid",   "back\\slash", std::string(255, 'n'), "z/" + std::string(255, '\xc3') + "/end",
  };
  std::sort(keys.begin(), keys.end());
  return keys;
}

TEST_F(FilesystemSourceTest, ListsInByteOrderOfTheFullKeys) {
  const std::vector<Key> keys = awkward_tree();
  for (const Key& key : keys) folder_.make(key, key);
  EXPECT_EQ(list(), keys);
  for (const Item& found : list_items(source_, {}, context_)) {
    EXPECT_EQ(found.stamp.size, found.key().ends_with('/') ? 0 : found.key().size()) << printable(found.key());
    EXPECT_TRUE(found.stamp.mtime_ns);
    EXPECT_EQ(found.refused, ErrorClass::none);
    EXPECT_EQ(source_.stat(found.id, context_)->stamp, found.stamp);
    EXPECT_EQ(read(found, 0, 5000), found.key().ends_with('/') ? "" : found.key());
  }
}

TEST_F(FilesystemSourceTest, BoundsGiveTheKeysBetweenThem) {
  const std::vector<Key> keys = awkward_tree();
  for (const Key& key : keys) folder_.make(key, "x");
  std::vector<Key> bounds = keys;
  for (const char* other : {"a/", "a.d", "a.d/", "ab", "ab/", "ab/c/zzz", "ab0", "c/d", "c/d/e", "c/d/e/f", "zz", "\xff\xff", "!"}) {
    bounds.emplace_back(other);
  }
  for (const Key& after : bounds) {
    std::vector<Key> expected;
    std::copy_if(keys.begin(), keys.end(), std::back_inserter(expected), [&](const Key& key) { return key > after; });
    EXPECT_EQ(list({"", after, "", ""}), expected) << "after " << printable(after);
    EXPECT_EQ(list({"", "", "", after}), expected) << "resume " << printable(after);
    for (const Key& before : {Key("ab/c0"), Key("c/"), after}) {
      std::vector<Key> between;
      std::copy_if(expected.begin(), expected.end(), std::back_inserter(between),
                   [&](const Key& key) { return key < before; });
      EXPECT_EQ(list({"", after, before, ""}), between) << printable(after) << " to " << printable(before);
    }
  }
}

TEST_F(FilesystemSourceTest, PagesAreBoundedAndEachCanBeResumedFrom) {
  std::vector<Key> keys;
  for (int i = 0; i < 2'345; ++i) keys.push_back("d" + std::to_string(i % 7) + "/f" + std::to_string(i));
  for (const Key& key : keys) folder_.make(key);
  std::sort(keys.begin(), keys.end());
  const auto lister = source_.list({}, context_);
  std::vector<Key> seen;
  for (bool is_last = false; !is_last;) {
    const Page page = lister->next(context_);
    is_last = page.is_last;
    for (const Item& found : page.items) seen.push_back(found.key());
    EXPECT_LE(page.items.size(), 1000U);
    EXPECT_EQ(list({"", "", "", page.resume}), std::vector<Key>(keys.begin() + static_cast<ptrdiff_t>(seen.size()), keys.end()));
  }
  EXPECT_EQ(seen, keys);
}

TEST_F(FilesystemSourceTest, SkippedFoldersAreNotOpened) {
  folder_.make("a/x");
  folder_.make("b/x");
  folder_.make("c/x");
  const std::string answer = testing::unprivileged([&]() -> std::string {
    TestContext context;
    std::string keys;
    for (const Key& key : keys_of(list_items(source_, {"", "a/zzz", "c/", ""}, context))) keys += key + " ";
    return keys;
  });
  EXPECT_EQ(answer, "b/x ");
  // A folder that cannot be read shows as refused exactly if it is opened.
  chmod(folder_.at("a").c_str(), 0);
  chmod(folder_.at("c").c_str(), 0);
  const std::string again = testing::unprivileged([&]() -> std::string {
    TestContext context;
    std::string keys;
    for (const Key& key : keys_of(list_items(source_, {"", "a0", "c/", ""}, context))) keys += key + " ";
    return keys;
  });
  EXPECT_EQ(again, "b/x ");
}

TEST_F(FilesystemSourceTest, DeepTreesNeedFewDescriptors) {
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d" + std::to_string(i) + "/";
  folder_.make(deep + "end", "found");
  folder_.make("d0/z", "after");
  folder_.make("d0/d1/z", "after");
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit low = limit;
  low.rlim_cur = 56;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<Key> keys;
  const auto error = thrown([&] { keys = list(); });
  setrlimit(RLIMIT_NOFILE, &limit);
  ASSERT_FALSE(error) << error->message();
  EXPECT_EQ(keys, (std::vector<Key>{deep + "end", "d0/d1/z", "d0/z"}));
  EXPECT_EQ(read(item(deep + "end"), 0, 10), "found");
}

TEST_F(FilesystemSourceTest, PathsLongerThanPathMaxWork) {
  // Made and removed step by step: no path of this length can be given to the system.
  const std::string name(200, 'p');
  constexpr int depth = 40;
  int at = open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY);
  Key key;
  for (int i = 0; i < depth; ++i) {
    ASSERT_EQ(mkdirat(at, name.c_str(), 0755), 0);
    const int next = openat(at, name.c_str(), O_RDONLY | O_DIRECTORY);
    close(at);
    at = next;
    key += name + "/";
  }
  const int file = openat(at, "file", O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(write(file, "content", 7), 7);
  close(file);
  close(at);
  key += "file";
  ASSERT_GT(key.size(), 8'000U);
  EXPECT_EQ(list(), std::vector<Key>{key});
  EXPECT_EQ(list({"", key.substr(0, 5'000), "", ""}), std::vector<Key>{key});
  EXPECT_EQ(read(item(key), 0, 10), "content");
  ASSERT_TRUE(source_.stat({"", key, ""}, context_));
}

TEST_F(FilesystemSourceTest, BothWaysToResolveRefuseLinks) {
  folder_.make("real/file", "x");
  ASSERT_EQ(symlink("real", folder_.at("link").c_str()), 0);
  ASSERT_EQ(symlink("file", folder_.at("real/link").c_str()), 0);
  ASSERT_EQ(symlink("/etc", folder_.at("out").c_str()), 0);
  const Fd root(open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY));
  for (const Resolve resolve : {Resolve::kernel, Resolve::by_component}) {
    EXPECT_TRUE(open_beneath(root.get(), "real/file", O_RDONLY, resolve));
    EXPECT_TRUE(open_beneath(root.get(), "", O_RDONLY, resolve));
    for (const char* path : {"link/file", "real/link", "out/passwd"}) {
      EXPECT_FALSE(open_beneath(root.get(), path, O_RDONLY, resolve)) << path;
      EXPECT_TRUE(errno == ELOOP || errno == ENOTDIR) << errno;
    }
    EXPECT_FALSE(open_beneath(root.get(), "not/there", O_RDONLY, resolve));
    EXPECT_EQ(errno, ENOENT);
  }
}

TEST_F(FilesystemSourceTest, WhatIsNoFileIsRefusedWithItsKind) {
  folder_.make("file", "x");
  ASSERT_EQ(symlink("file", folder_.at("link").c_str()), 0);
  ASSERT_EQ(symlink(".", folder_.at("loop").c_str()), 0);
  ASSERT_EQ(symlink("nowhere", folder_.at("broken").c_str()), 0);
  ASSERT_EQ(mkfifo(folder_.at("fifo").c_str(), 0644), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string socket_path = folder_.at("sock");
  ASSERT_LT(socket_path.size(), sizeof address.sun_path);
  std::copy(socket_path.begin(), socket_path.end(), address.sun_path);
  const Fd sock(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(bind(sock.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

  const std::map<Key, std::string> expected = {{"broken", "symbolic link"}, {"fifo", "FIFO"}, {"file", ""},
                                               {"link", "symbolic link"},   {"loop", "symbolic link"}, {"sock", "socket"}};
  const std::vector<Item> items = list_items(source_, {}, context_);
  ASSERT_EQ(items.size(), expected.size());
  for (const Item& found : items) {
    const std::string& kind = expected.at(found.key());
    EXPECT_EQ(found.refused, kind.empty() ? ErrorClass::none : ErrorClass::unsupported) << found.key();
    EXPECT_NE(found.reason.find(kind), std::string::npos) << found.reason;
    if (kind.empty()) continue;
    EXPECT_EQ(source_.stat(found.id, context_)->refused, ErrorClass::unsupported);
    EXPECT_ERROR_CLASS(read(found, 0, 10), ErrorClass::unsupported);
  }
}

TEST_F(FilesystemSourceTest, NothingIsReadThroughALink) {
  ScratchFolder outside;
  outside.make("secret", "secret");
  ASSERT_EQ(symlink(outside.path().c_str(), folder_.at("out").c_str()), 0);
  Item hostile;
  for (const Key& key : {Key("out/secret"), Key("../" + outside.path().substr(outside.path().rfind('/') + 1) + "/secret"),
                         Key("/etc/passwd"), Key("a//b"), Key("."), Key(""), Key("a\0b", 3)}) {
    hostile.id.key = key;
    EXPECT_ERROR_CLASS(read(hostile, 0, 10), ErrorClass::unsupported);
  }
}

TEST_F(FilesystemSourceTest, PermissionsAreReportedItemByItem) {
  folder_.make("closed/x", "x");
  folder_.make("nosearch/y", "y");
  folder_.make("nosearch/sub/z", "y");
  folder_.make("open", "open");
  folder_.make("unreadable", "secret");
  chmod(folder_.at("closed").c_str(), 0300);
  chmod(folder_.at("nosearch").c_str(), 0444);
  chmod(folder_.at("unreadable").c_str(), 0);
  const std::string answer = testing::unprivileged([&]() -> std::string {
    if (open(folder_.at("unreadable").c_str(), O_RDONLY) >= 0) return "a plain open works: nothing is tested";
    TestContext context;
    std::string text;
    for (const Item& found : list_items(source_, {}, context)) {
      text += found.key() + "=" + to_string(found.refused) + " ";
      if (found.refused != ErrorClass::none) continue;
      std::byte buffer[10];
      const auto error = thrown([&] { source_.read(found, 0, buffer, context); });
      text += error ? std::string("(") + to_string(error->error_class()) + ") " : "(read) ";
    }
    return text;
  });
  chmod(folder_.at("closed").c_str(), 0755);
  chmod(folder_.at("nosearch").c_str(), 0755);
  EXPECT_EQ(answer,
            "closed/=permission nosearch/sub/=permission nosearch/y=permission open=none (read) "
            "unreadable=none (permission) ");
}

TEST_F(FilesystemSourceTest, CheckNamesThePathAndWhatIsWrong) {
  source_.check(context_);
  folder_.make("file");
  FilesystemSource missing(folder_.at("not there"));
  FilesystemSource file(folder_.at("file"));
  EXPECT_ERROR_CLASS(missing.check(context_), ErrorClass::missing);
  EXPECT_NE(thrown([&] { missing.check(context_); })->message().find(folder_.at("not there")), std::string::npos);
  EXPECT_ERROR_CLASS(list_items(missing, {}, context_), ErrorClass::missing);
  EXPECT_ERROR_CLASS(file.check(context_), ErrorClass::configuration);
  folder_.make("closed/");
  chmod(folder_.at("closed").c_str(), 0);
  const std::string answer = testing::unprivileged([&]() -> std::string {
    FilesystemSource closed(folder_.at("closed"));
    const auto error = thrown([&] { closed.check(Context::background()); });
    return error ? to_string(error->error_class()) : "no error";
  });
  EXPECT_EQ(answer, "permission");
}

TEST_F(FilesystemSourceTest, ReadsRangesAndAttributes) {
  folder_.make("file", "0123456789");
  folder_.make("empty/");
  chmod(folder_.at("file").c_str(), 06754);
  chmod(folder_.at("empty").c_str(), 02750);
  const timespec times[2] = {{1, 0}, {-5, 123'456'789}};
  utimensat(AT_FDCWD, folder_.at("file").c_str(), times, 0);
  const Item file = item("file");
  EXPECT_EQ(read(file, 0, 100), "0123456789");
  EXPECT_EQ(read(file, 3, 4), "3456");
  EXPECT_EQ(read(file, 9, 4), "9");
  EXPECT_EQ(read(file, 10, 4), "");
  EXPECT_EQ(read(file, UINT64_MAX, 4), "");
  const ReadResult result = source_.read(file, 0, {}, context_);
  EXPECT_EQ(result.attributes.mode, 0754U) << "setuid and setgid do not travel";
  EXPECT_EQ(result.attributes.mtime_ns, -4'876'543'211);
  EXPECT_EQ(result.total_size, 10U);
  EXPECT_EQ(result.stamp, file.stamp);
  const ReadResult empty = source_.read(item("empty/"), 0, {}, context_);
  EXPECT_EQ(empty.attributes.mode, 0750U);
  EXPECT_EQ(empty.total_size, 0U);
  EXPECT_EQ(empty.stamp, item("empty/").stamp);
}

TEST_F(FilesystemSourceTest, EveryChangeShowsInTheStampAndReadingDoesNot) {
  folder_.make("file", "same size");
  const SourceStamp first = item("file").stamp;
  EXPECT_EQ(read(item("file"), 0, 100), "same size");
  EXPECT_EQ(item("file").stamp, first);
  const struct stat before = folder_.status("file");
  folder_.make("file", "Same Size");
  const timespec times[2] = {before.st_atim, before.st_mtim};
  utimensat(AT_FDCWD, folder_.at("file").c_str(), times, 0);  // what an editor that hides its work would do
  EXPECT_EQ(item("file").stamp.mtime_ns, first.mtime_ns);
  EXPECT_NE(item("file").stamp, first);
  EXPECT_LE(item("file").stamp.opaque.size(), 13U);
  folder_.make("other", "SAME SIZE");
  const SourceStamp second = item("file").stamp;
  utimensat(AT_FDCWD, folder_.at("other").c_str(), times, 0);
  ASSERT_EQ(rename(folder_.at("other").c_str(), folder_.at("file").c_str()), 0);
  EXPECT_NE(item("file").stamp, second);
}

TEST_F(FilesystemSourceTest, AFileJustWrittenIsLookedAtAgain) {
  // Rewritten in place at once after each read: no two contents may carry one stamp, however coarse the clock ticks.
  const Fd fd(open(folder_.at("file").c_str(), O_RDWR | O_CREAT, 0644));
  Item file;
  file.id.key = "file";
  SourceStamp last;
  for (int i = 0; i < 20; ++i) {
    const std::string content(100, static_cast<char>('a' + i));
    ASSERT_EQ(pwrite(fd.get(), content.data(), content.size(), 0), 100);
    std::string out(100, '\0');
    const ReadResult result = source_.read(file, 0, std::as_writable_bytes(std::span(out)), context_);
    EXPECT_EQ(out, content);
    EXPECT_NE(result.stamp, last);
    last = result.stamp;
  }
}

TEST_F(FilesystemSourceTest, AFileThatChangesIsNeverReadTorn) {
  constexpr size_t size = 1 << 20;
  const Fd fd(open(folder_.at("file").c_str(), O_RDWR | O_CREAT, 0644));
  std::atomic<bool> is_over{false};
  std::thread writer([&] {
    for (int i = 0; !is_over; ++i) {
      const std::string content(size, static_cast<char>('a' + i % 26));
      if (pwrite(fd.get(), content.data(), size, 0) != static_cast<ssize_t>(size)) break;
      if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(i % 50));
    }
  });
  Item file;
  file.id.key = "file";
  int whole = 0;
  int refused = 0;
  std::string out(size, '\0');
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
       std::chrono::steady_clock::now() < end;) {
    const auto error = thrown([&] {
      const ReadResult result = source_.read(file, 0, std::as_writable_bytes(std::span(out)), context_);
      EXPECT_EQ(std::string_view(out).substr(0, result.count).find_first_not_of(out[0]), std::string::npos) << "torn";
      ++whole;
    });
    if (!error) continue;
    EXPECT_EQ(error->error_class(), ErrorClass::source_changed) << error->message();
    EXPECT_TRUE(error->retryable());
    ++refused;
  }
  is_over = true;
  writer.join();
  EXPECT_GT(whole + refused, 5);
  EXPECT_GT(refused, 0);
}

TEST_F(FilesystemSourceTest, WhatVanishesWhileItIsListedIsSkipped) {
  for (int i = 0; i < 1'500; ++i) folder_.make("f" + std::to_string(10'000 + i));
  folder_.make("g/x");
  folder_.make("h/x");
  folder_.make("i");
  const auto lister = source_.list({}, context_);
  EXPECT_EQ(lister->next(context_).items.size(), 1000U);
  for (int i = 1'200; i < 1'500; ++i) unlink(folder_.at("f" + std::to_string(10'000 + i)).c_str());
  std::filesystem::remove_all(folder_.at("g"));
  std::filesystem::remove_all(folder_.at("h"));
  folder_.make("h", "a file now");  // its place in the order is gone
  unlink(folder_.at("i").c_str());
  folder_.make("i/now", "a folder now");
  const Page page = lister->next(context_);
  EXPECT_TRUE(page.is_last);
  ASSERT_EQ(page.items.size(), 201U);
  EXPECT_EQ(page.items.back().key(), "i/now");
}

TEST_F(FilesystemSourceTest, MissingThingsAreMissing) {
  folder_.make("file", "x");
  Item gone;
  for (const char* key : {"not there", "not/there", "file/below", "gone/"}) {
    gone.id.key = key;
    EXPECT_FALSE(source_.stat(gone.id, context_)) << key;
    EXPECT_ERROR_CLASS(read(gone, 0, 1), ErrorClass::missing);
  }
  folder_.make("folder/x");
  EXPECT_FALSE(source_.stat({"", "folder", ""}, context_));
  EXPECT_FALSE(source_.stat({"", "file/", ""}, context_));
}

TEST_F(FilesystemSourceTest, MountPointsAreCrossed) {
  folder_.make("m/");
  folder_.make("z", "x");
  const std::string answer = testing::with_tmpfs(folder_.at("m"), "size=1m", [&]() -> std::string {
    folder_.make("m/in/side", "x");
    std::string keys;
    for (const Key& key : keys_of(list_items(source_, {}, context_))) keys += key + " ";
    return keys + read(item("m/in/side"), 0, 10);
  });
  if (answer == "cannot mount") GTEST_SKIP() << "NOT TESTED: mounting needs root";
  EXPECT_EQ(answer, "m/in/side z x");
}

TEST_F(FilesystemSourceTest, ACancelledContextEndsEveryCall) {
  folder_.make("file", "x");
  const Item file = item("file");
  const auto lister = source_.list({}, context_);
  context_.cancel();
  EXPECT_ERROR_CLASS(source_.check(context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(source_.list({}, context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(lister->next(context_), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(read(file, 0, 1), ErrorClass::cancelled);
  EXPECT_ERROR_CLASS(source_.stat(file.id, context_), ErrorClass::cancelled);
}

TEST(FilesystemConnectorTest, IdentityIsTheAbsolutePath) {
  EXPECT_EQ(FilesystemSource("/a/./b//../c d/").identity(), "file:///a/c%20d/");
  EXPECT_EQ(FilesystemSource("/").identity(), "file:///");
  EXPECT_EQ(FilesystemSource("/..").identity(), "file:///");
  EXPECT_EQ(FilesystemSource("x").identity(), FilesystemSource("./y/../x/").identity());
  EXPECT_TRUE(FilesystemSource("x").identity().ends_with("/x/"));
}

TEST(FilesystemConnectorTest, RefusesWhatItDoesNotKnow) {
  const Connector connector = filesystem_connector();
  Url url;
  url.scheme = "file";
  url.path = "/tmp";
  EXPECT_EQ(connector.open_source(url)->identity(), "file:///tmp/");
  EXPECT_EQ(connector.open_destination(url)->identity(), "file:///tmp/");
  url.query["colour"] = "blue";
  EXPECT_ERROR_CLASS(connector.open_source(url), ErrorClass::configuration);
  EXPECT_NE(thrown([&] { connector.open_source(url); })->message().find("colour"), std::string::npos);
  url.query.clear();
  url.host = "elsewhere";
  EXPECT_ERROR_CLASS(connector.open_destination(url), ErrorClass::configuration);
  url.host.clear();
  url.path.clear();
  EXPECT_ERROR_CLASS(connector.open_source(url), ErrorClass::configuration);
}

}  // namespace
}  // namespace waybill::filesystem
