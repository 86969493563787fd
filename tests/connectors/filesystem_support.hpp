// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the filesystem connector share: a scratch folder, files made and read by plain system calls, and
// children that run as another user or with mounts of their own.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/hash.hpp"
#include "support/test_context.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"

namespace waybill::testing {

/// A folder that is removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "waybill-fs-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
    path_ = pattern;
    chmod(path_.c_str(), 0755);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string at(std::string_view key) const { return path_ + "/" + std::string(key); }

  /// A file, or a folder if `key` ends in '/'; with the folders above it.
  void make(std::string_view key, std::string_view content = "") const {
    const std::string path = at(key);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    if (!path.ends_with('/')) std::ofstream(path, std::ios::binary) << content;
  }
  std::optional<std::string> content(std::string_view key) const {
    std::ifstream in(at(key), std::ios::binary);
    if (!in) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  struct stat status(std::string_view key) const {
    struct stat status {};
    EXPECT_EQ(lstat(at(key).c_str(), &status), 0) << key;
    return status;
  }
  bool exists(std::string_view key) const {
    struct stat status {};
    return lstat(at(key).c_str(), &status) == 0;
  }

 private:
  std::string path_;
};

inline std::optional<Error> thrown(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

#define EXPECT_ERROR_CLASS(call, expected)                                               \
  do {                                                                                   \
    const auto thrown_error = ::waybill::testing::thrown([&] { call; });                 \
    EXPECT_TRUE(thrown_error) << "no error";                                             \
    if (thrown_error) {                                                                  \
      EXPECT_EQ(thrown_error->error_class(), expected) << thrown_error->message();       \
      EXPECT_EQ(thrown_error->message().find('\n'), std::string::npos);                  \
    }                                                                                    \
  } while (false)

template <typename Store>
std::vector<Item> list_items(Store& store, const ListRequest& request, Context& context) {
  std::vector<Item> items;
  const auto lister = store.list(request, context);
  for (bool is_last = false; !is_last;) {
    Page page = lister->next(context);
    EXPECT_LE(page.items.size(), 1000U);
    items.insert(items.end(), page.items.begin(), page.items.end());
    is_last = page.is_last;
  }
  return items;
}

inline std::vector<Key> keys_of(const std::vector<Item>& items) {
  std::vector<Key> keys;
  for (const Item& item : items) keys.push_back(item.key());
  return keys;
}

inline Body body_of(std::string_view content) { return Body(internal::as_bytes(content), {}); }

/// Runs `call` in a child and gives back the text that it returns, or what it threw.
inline std::string in_child(const std::function<std::string()>& call) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    std::string text;
    try {
      text = call();
    } catch (const std::exception& error) {
      text = std::string("threw: ") + error.what();
    }
    const ssize_t written = write(ends[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "the child died: " + text;
}

/// in_child() without root's rights: as "nobody" where the tests run as root, otherwise as who they run.
inline std::string unprivileged(const std::function<std::string()>& call) {
  return in_child([&]() -> std::string {
    constexpr uid_t nobody = 65534;
    if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(nobody) != 0 || setuid(nobody) != 0)) {
      return "cannot become nobody";
    }
    return call();
  });
}

/// in_child() with mounts of its own, and a tmpfs of `options` on `folder`; "cannot mount" without the right to.
inline std::string with_tmpfs(const std::string& folder, const char* options, const std::function<std::string()>& call) {
  return in_child([&]() -> std::string {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder.c_str(), "tmpfs", 0, options) != 0) {
      return "cannot mount";
    }
    return call();
  });
}

}  // namespace waybill::testing
