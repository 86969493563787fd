// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/root.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <optional>
#include <vector>

#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::filesystem {
namespace {

constexpr size_t max_component = 255;
constexpr size_t max_path_at_once = 4000;  // PATH_MAX is 4,096 with its NUL

int openat2_beneath(int base, const char* path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  // EAGAIN: something was renamed during the look-up, so the kernel could not prove that the path stays beneath.
  for (int tries = 0;; ++tries) {
    const long fd = syscall(SYS_openat2, base, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || tries == 100) return static_cast<int>(fd);
  }
}

std::string absolute(std::string_view path) {
  std::string joined;
  if (!path.starts_with('/')) {
    std::string cwd(PATH_MAX, '\0');
    while (getcwd(cwd.data(), cwd.size()) == nullptr) {
      if (errno != ERANGE) throw system_error(errno, "cannot resolve a relative path: the working directory");
      cwd.resize(cwd.size() * 2);
    }
    joined = cwd.c_str();
    joined += '/';
  }
  joined += path;

  std::vector<std::string_view> parts;
  for (size_t at = 0; at < joined.size();) {
    const size_t end = std::min(joined.find('/', at), joined.size());
    const std::string_view part = std::string_view(joined).substr(at, end - at);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    at = end + 1;
  }
  std::string result;
  for (const std::string_view part : parts) result.append("/").append(part);
  return result.empty() ? "/" : result;
}

Error root_error(int error_number, const std::string& name) {
  if (error_number == ENOENT) {
    return Error(ErrorCode::not_found, ErrorClass::missing,
                 "the folder " + name + " does not exist; create it, or correct the path")
        .set_provider_code("ENOENT");
  }
  if (error_number == ENOTDIR) {
    return Error(ErrorCode::invalid_argument, ErrorClass::configuration, name + " is not a folder; give a folder")
        .set_provider_code("ENOTDIR");
  }
  return folder_error(error_number, "cannot open the folder " + name);
}

}  // namespace

Error folder_error(int error_number, const std::string& what) {
  Error plain = system_error(error_number, what);
  if (plain.error_class() != ErrorClass::permission) return plain;
  return Error(plain.code(), plain.error_class(),
               plain.message() + "; check the permissions of the folder and of those above it")
      .set_provider_code(plain.provider_code());
}

void Fd::reset() noexcept {
  if (fd_ < 0) return;
  const int saved = errno;
  close(fd_);
  errno = saved;
  fd_ = -1;
}

Fd open_beneath(int base, std::string_view path, int flags, Resolve resolve) {
  if (path.empty()) return Fd(openat(base, ".", flags | O_CLOEXEC));
  Fd folder;
  int at = base;
  while (true) {
    size_t cut = path.size();
    if (resolve == Resolve::by_component) {
      cut = std::min(path.find('/'), path.size());
    } else if (path.size() > max_path_at_once) {
      cut = path.rfind('/', max_path_at_once);
    }
    if (cut > max_path_at_once) {
      errno = ENAMETOOLONG;
      return Fd();
    }
    const bool is_last = cut == path.size();
    char piece[max_path_at_once + 1];
    piece[path.copy(piece, cut)] = '\0';
    const int how = (is_last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC;
    Fd next(resolve == Resolve::kernel ? openat2_beneath(at, piece, how) : openat(at, piece, how));
    if (!next || is_last) return next;
    folder = std::move(next);
    at = folder.get();
    path.remove_prefix(cut + 1);
  }
}

std::string_view key_problem(std::string_view key) noexcept {
  if (key.empty()) return "it is empty";
  if (key.find('\0') != std::string_view::npos) return "it has a NUL byte";
  if (key.front() == '/') return "it begins with \"/\"";
  if (key.back() == '/') key.remove_suffix(1);
  while (true) {
    const size_t end = std::min(key.find('/'), key.size());
    const std::string_view part = key.substr(0, end);
    if (part.empty()) return "it has an empty component (\"//\")";
    if (part == ".") return "it has the component \".\"";
    if (part == "..") return "it has the component \"..\"";
    if (part.size() > max_component) return "it has a component longer than 255 bytes";
    if (end == key.size()) return {};
    key.remove_prefix(end + 1);
  }
}

bool is_staging_key(std::string_view key) noexcept {
  if (key == staging_folder || (key.starts_with(staging_folder) && key[staging_folder.size()] == '/')) return true;
  for (size_t at = key.find(staging_prefix); at != std::string_view::npos; at = key.find(staging_prefix, at + 1)) {
    if (at == 0 || key[at - 1] == '/') return true;
  }
  return false;
}

Split split_key(std::string_view key) {
  if (key.ends_with('/')) key.remove_suffix(1);
  const size_t slash = key.rfind('/');
  if (slash == std::string_view::npos) return {{}, std::string(key)};
  return {key.substr(0, slash), std::string(key.substr(slash + 1))};
}

Root::Root(std::string_view path) : path_(absolute(path)) {}

std::string Root::identity() const {
  std::string text = "file://";
  internal::encode_path_append(path_, text);
  if (!text.ends_with('/')) text += '/';
  return text;
}

std::string Root::name(std::string_view key) const {
  std::string path = path_;
  if (!key.empty() && !path.ends_with('/')) path += '/';
  path += key;
  return "\"" + printable(path) + "\"";
}

std::shared_ptr<const Fd> Root::open_if_exists() const {
  const std::lock_guard lock(mutex_);
  if (fd_ != nullptr) return fd_;
  Fd fd = Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return nullptr;
    throw root_error(errno, name(""));
  }
  const Fd probe(openat2_beneath(fd.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  resolve_ = probe ? Resolve::kernel : Resolve::by_component;
  fd_ = std::make_shared<const Fd>(std::move(fd));
  return fd_;
}

std::shared_ptr<const Fd> Root::open() const {
  std::shared_ptr<const Fd> fd = open_if_exists();
  if (fd == nullptr) throw root_error(ENOENT, name(""));
  return fd;
}

std::shared_ptr<const Fd> Root::create() const {
  if (std::shared_ptr<const Fd> fd = open_if_exists(); fd != nullptr) return fd;
  for (size_t end = path_.find('/', 1);; end = path_.find('/', end + 1)) {
    const std::string folder = path_.substr(0, end);
    if (mkdir(folder.c_str(), 0777) == 0) {
      // The new name lives in the folder above; nobody else makes that durable, it is outside of the root.
      const size_t slash = folder.rfind('/');
      const Fd above(::open(slash == 0 ? "/" : folder.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (above) fsync(above.get());
    } else if (const int error = errno; error != EEXIST && access(folder.c_str(), F_OK) != 0) {
      // A folder that is there may also answer with EACCES or EROFS; only a missing one cannot be helped.
      throw folder_error(error, "cannot create the folder \"" + printable(folder) + "\"");
    }
    if (end == std::string::npos) break;
  }
  return open();
}

void Root::reopen() const {
  const std::lock_guard lock(mutex_);
  fd_.reset();
}

Fd Root::open_beneath(std::string_view path, int flags) const {
  const std::shared_ptr<const Fd> root = open();
  return filesystem::open_beneath(root->get(), path, flags, resolve());
}

Resolve Root::resolve() const {
  const std::lock_guard lock(mutex_);
  return resolve_;
}

}  // namespace waybill::filesystem
