// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/walk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "connectors/filesystem/tree.hpp"

namespace waybill::filesystem {
namespace {

constexpr size_t max_key_size = 65'535;
constexpr size_t names_between_checks = 4096;

struct CloseDir {
  void operator()(DIR* dir) const noexcept { closedir(dir); }
};

/// A name as a system call wants it: without the '/' that marks a folder, ended by NUL.
std::string plain(std::string_view name) {
  if (name.ends_with('/')) name.remove_suffix(1);
  return std::string(name);
}

bool is_gone(int error_number) noexcept {
  return error_number == ENOENT || error_number == ENOTDIR || error_number == ELOOP;
}
bool is_denied(int error_number) noexcept { return error_number == EACCES || error_number == EPERM; }

}  // namespace

void Names::add(std::string_view name, bool is_folder) {
  starts_.push_back(bytes_.size());
  bytes_ += name;
  if (is_folder) bytes_ += '/';
  bytes_ += '\0';
}

void Names::sort() {
  const char* bytes = bytes_.c_str();
  std::sort(starts_.begin(), starts_.end(), [bytes](size_t a, size_t b) {
    return std::string_view(bytes + a) < std::string_view(bytes + b);
  });
}

void Names::insert_folder(size_t index, std::string_view name) {
  add(name, true);
  const size_t start = starts_.back();
  starts_.pop_back();
  const char* bytes = bytes_.c_str();
  const auto place = std::partition_point(starts_.begin() + static_cast<ptrdiff_t>(index) + 1, starts_.end(),
                                          [&](size_t a) { return std::string_view(bytes + a) < bytes + start; });
  starts_.insert(place, start);
}

void Names::skip_through(std::string_view bound) {
  const char* bytes = bytes_.c_str();
  // A folder that `bound` lies in stays: what comes after `bound` may be in it.
  const auto first = std::partition_point(starts_.begin(), starts_.end(), [&](size_t start) {
    const std::string_view name(bytes + start);
    return name <= bound && !(name.ends_with('/') && bound.starts_with(name));
  });
  starts_.erase(starts_.begin(), first);
}

bool Names::drop_longer_than(size_t size) {
  const char* bytes = bytes_.c_str();
  return std::erase_if(starts_, [&](size_t start) { return std::string_view(bytes + start).size() > size; }) > 0;
}

Walk::Walk(const Root& root, const ListRequest& request, View view)
    : root_(root),
      view_(view),
      after_(std::max(request.after, request.resume)),
      before_(request.before),
      last_key_(request.resume) {
  if (!request.scope.empty()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::internal,
                "the scope \"" + printable(request.scope) + "\" is unknown: a folder is listed whole");
  }
}

Page Walk::next(Context& context) {
  context.check();
  if (!is_started_) start(context);
  while (!levels_.empty() && pending_.size() < page_items) step(context);
  Page page;
  page.items = std::exchange(pending_, {});
  if (!page.items.empty()) last_key_ = page.items.back().key();
  page.resume = last_key_;
  page.is_last = levels_.empty();
  return page;
}

void Walk::start(Context& context) {
  const std::shared_ptr<const Fd> root = view_ == View::destination ? root_.open_if_exists() : root_.open();
  if (root != nullptr) {
    Fd fd(openat(root->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) throw system_error(errno, "cannot list " + root_.name(""));
    Names names = read_names(fd.get(), context);
    push(std::move(names), std::move(fd));
  }
  is_started_ = true;
}

void Walk::step(Context& context) {
  Level& level = levels_.back();
  if (level.index == level.names.size()) {
    levels_.pop_back();
    if (!levels_.empty()) prefix_.resize(levels_.back().prefix_size);
    return;
  }
  const std::string_view name = level.names.at(level.index);
  Key key = prefix_;
  key += name;
  if (!before_.empty() && key >= before_) {
    levels_.clear();
    return;
  }
  if (!level.fd && !reopen(level)) return;
  if (level.index % 64 == 0) context.check();
  if (name.ends_with('/')) {
    visit_folder(level, std::move(key), context);
  } else {
    visit_other(level, std::move(key), context);
  }
}

void Walk::visit_folder(Level& level, Key key, Context& context) {
  Fd fd(openat(level.fd.get(), plain(level.names.at(level.index)).c_str(),
               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    if (is_denied(error)) {
      ++level.index;
      refuse(std::move(key), ErrorClass::permission, "the folder cannot be opened: permission denied");
    } else if (is_gone(error)) {
      ++level.index;
    } else {
      level.fd.reset();  // it may be stale, on a network filesystem; the next call opens it again
      throw system_error(error, "cannot list " + root_.name(key));
    }
    return;
  }

  Names names = read_names(fd.get(), context);
  ++level.index;
  if (names.size() == 0) {
    // A folder that was removed meanwhile reads as empty, too.
    struct stat now {};
    const std::string name = plain(std::string_view(key).substr(prefix_.size()));
    const bool is_there = fstatat(level.fd.get(), name.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_there && S_ISDIR(now.st_mode)) emit(describe(std::move(key), now));
    return;
  }
  if (key.size() >= max_key_size || names.drop_longer_than(max_key_size - key.size())) {
    refuse(key, ErrorClass::unsupported, "a folder with keys longer than 65,535 bytes in it, which do not move");
    if (key.size() >= max_key_size) return;
  }
  prefix_ = std::move(key);
  push(std::move(names), std::move(fd));
}

void Walk::visit_other(Level& level, Key key, Context& context) {
  const std::string name(level.names.at(level.index));
  struct stat status {};
  if (fstatat(level.fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    const int error = errno;
    if (is_denied(error)) {
      ++level.index;
      refuse(std::move(key), ErrorClass::permission, "it cannot be looked at: permission denied");
    } else if (is_gone(error)) {
      ++level.index;
    } else {
      level.fd.reset();
      throw system_error(error, "cannot look at " + root_.name(key));
    }
    return;
  }
  if (S_ISDIR(status.st_mode)) {
    // A folder took the file's place after the names were read. It comes later in the order, so that it can still be
    // listed; the opposite case, a file in a folder's place, is left to the next listing.
    context.log(LogLevel::debug, root_.name(key) + " became a folder while it was listed");
    level.names.insert_folder(level.index, name);
    ++level.index;
    return;
  }
  ++level.index;
  emit(describe(std::move(key), status));
}

Names Walk::read_names(int folder, Context& context) const {
  // The stream takes over a descriptor of its own; opening "." instead would need the right to search the folder.
  const int own = fcntl(folder, F_DUPFD_CLOEXEC, 0);
  const std::unique_ptr<DIR, CloseDir> dir(own < 0 ? nullptr : fdopendir(own));
  if (dir == nullptr) {
    const int error = errno;
    if (own >= 0) close(own);
    throw system_error(error, "cannot list a folder in " + root_.name(prefix_));
  }
  Names names;
  for (size_t count = 1;; ++count) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) {
      if (errno == 0 || errno == ENOENT) break;
      throw system_error(errno, "cannot list a folder in " + root_.name(prefix_));
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (view_ == View::destination && (name.starts_with(staging_prefix) || (!is_started_ && name == staging_folder))) {
      continue;
    }
    bool is_folder = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat status {};
      is_folder = fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
    }
    names.add(name, is_folder);
    if (count % names_between_checks == 0) context.check();
  }
  names.sort();
  return names;
}

void Walk::push(Names names, Fd fd) {
  if (!after_.empty() && after_.starts_with(prefix_)) {
    names.skip_through(std::string_view(after_).substr(prefix_.size()));
  }
  Level level;
  level.names = std::move(names);
  level.prefix_size = prefix_.size();
  level.fd = std::move(fd);
  levels_.push_back(std::move(level));
  if (levels_.size() > max_open_folders) levels_[levels_.size() - max_open_folders - 1].fd.reset();
}

bool Walk::reopen(Level& level) {
  std::string_view path = prefix_;
  if (!path.empty()) path.remove_suffix(1);
  level.fd = root_.open_beneath(path, O_RDONLY | O_DIRECTORY);
  if (level.fd) return true;
  if (!is_gone(errno)) throw system_error(errno, "cannot list " + root_.name(prefix_));
  level.index = level.names.size();  // the folder is gone, and what was left of it
  return false;
}

void Walk::emit(Item item) {
  if (item.key() > after_) pending_.push_back(std::move(item));
}

void Walk::refuse(Key key, ErrorClass error_class, std::string reason) {
  Item item;
  item.id.key = std::move(key);
  item.refused = error_class;
  item.reason = std::move(reason);
  emit(std::move(item));
}

}  // namespace waybill::filesystem
