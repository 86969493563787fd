// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/staging.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/hash.hpp"
#include "waybill/item.hpp"

namespace waybill::filesystem {
namespace {

constexpr int max_tries = 1000;  // against others that make or remove the same names meanwhile

std::string migration_prefix(const Context& context) {
  const std::string_view migration = context.migration();
  return std::string(migration.empty() ? "local" : migration) + "-";
}

std::vector<std::string> names_in(int folder, const std::string& name) {
  const int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = own < 0 ? nullptr : fdopendir(own);
  if (dir == nullptr) {
    const int error = errno;
    if (own >= 0) close(own);
    throw system_error(error, "cannot list " + name);
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) names.emplace_back(entry->d_name);
  closedir(dir);
  return names;
}

}  // namespace

StagedFile::~StagedFile() {
  if (folder_ != nullptr && !is_released_) remove();
}

void StagedFile::remove() noexcept {
  // The space is given back at once, though somebody may hold the descriptor for longer; but never that of a file that
  // has moved on to its final name.
  if (unlinkat(folder_->get(), name_.c_str(), 0) == 0 && ftruncate(fd_.get(), 0) != 0) return;
}

std::string StagingFolder::key_of(std::string_view name) {
  return std::string(staging_folder) + "/" + std::string(name);
}

StagedFile StagingFolder::create(Context& context) {
  const std::string stem = migration_prefix(context) + std::to_string(context.epoch()) + "-";
  for (int tries = 0;; ++tries) {
    std::string name = stem + std::to_string(++counter_);
    const std::shared_ptr<const Fd> at = folder();
    Fd fd(openat(at->get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (fd) return StagedFile(at, std::move(name), std::move(fd));
    const int error = errno;
    if (error == ENOENT) forget(at);  // another flush removed the folder since it was opened
    if ((error != ENOENT && error != EEXIST) || tries == max_tries) {
      throw system_error(error, "cannot create a file in " + root_.name(staging_folder));
    }
  }
}

StagedFile StagingFolder::create_upload(Context& context) {
  for (int tries = 0;; ++tries) {
    std::byte random[8];
    if (getrandom(random, sizeof random, 0) != sizeof random) throw system_error(errno, "cannot get random bytes");
    try {
      return open(migration_prefix(context) + "up-" + internal::hex_encode(random), O_RDWR | O_CREAT | O_EXCL);
    } catch (const Error& error) {
      if (error.provider_code() != "EEXIST" || tries == max_tries) throw;
    }
  }
}

StagedFile StagingFolder::open(const std::string& name, int flags) {
  for (int tries = 0;; ++tries) {
    const std::shared_ptr<const Fd> at = folder();
    Fd fd(openat(at->get(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (fd) {
      StagedFile file(at, name, std::move(fd));
      file.release();
      return file;
    }
    const int error = errno;
    struct stat status {};
    const bool is_removed = error == ENOENT && fstat(at->get(), &status) == 0 && status.st_nlink == 0;
    if (is_removed) forget(at);
    if (!is_removed || tries == max_tries) throw system_error(error, "cannot open " + root_.name(key_of(name)));
  }
}

void StagingFolder::sweep(std::span<const OpenUpload> known, Context& context) {
  // Outside of a run nothing says whose a file is.
  if (context.migration().empty() || root_.open_if_exists() == nullptr) return;
  const std::string name = root_.name(staging_folder);
  const Fd at = root_.open_beneath(staging_folder, O_RDONLY | O_DIRECTORY);
  if (!at) {
    if (errno == ENOENT) return;
    throw system_error(errno, "cannot open " + name);
  }
  const std::string prefix = migration_prefix(context);
  for (const std::string& entry : names_in(at.get(), name)) {
    const bool is_kept = std::any_of(known.begin(), known.end(), [&](const OpenUpload& one) { return one.id == entry; });
    if (is_kept || !entry.starts_with(prefix)) continue;
    if (unlinkat(at.get(), entry.c_str(), 0) != 0 && errno != ENOENT) {
      throw system_error(errno, "cannot remove " + root_.name(key_of(entry)));
    }
  }
  remove_if_empty();
}

void StagingFolder::remove_if_empty() noexcept {
  const std::lock_guard lock(mutex_);
  try {
    const std::shared_ptr<const Fd> root = root_.open_if_exists();
    if (root == nullptr) return;
    if (unlinkat(root->get(), std::string(staging_folder).c_str(), AT_REMOVEDIR) == 0) folder_.reset();
  } catch (const std::exception&) {
    // The folder only stays where it is.
  }
}

std::shared_ptr<const Fd> StagingFolder::folder() {
  const std::lock_guard lock(mutex_);
  if (folder_ != nullptr) return folder_;
  const std::shared_ptr<const Fd> root = root_.create();
  const std::string path(staging_folder);
  for (int tries = 0;; ++tries) {
    if (mkdirat(root->get(), path.c_str(), 0700) != 0 && errno != EEXIST) {
      throw system_error(errno, "cannot create the folder " + root_.name(path));
    }
    Fd fd(openat(root->get(), path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd) {
      folder_ = std::make_shared<const Fd>(std::move(fd));
      return folder_;
    }
    const int error = errno;
    if (error == ENOTDIR || error == ELOOP) {
      throw Error(ErrorCode::failed_precondition, ErrorClass::unsupported,
                  root_.name(path) + " is not a folder, but files are staged there; remove it");
    }
    if (error != ENOENT || tries == max_tries) throw system_error(error, "cannot open " + root_.name(path));
  }
}

void StagingFolder::forget(const std::shared_ptr<const Fd>& folder) {
  const std::lock_guard lock(mutex_);
  if (folder_ == folder) folder_.reset();
}

}  // namespace waybill::filesystem
