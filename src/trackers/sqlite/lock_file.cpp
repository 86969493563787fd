// SPDX-License-Identifier: Apache-2.0
//
// See lock_file.hpp.
#include "trackers/sqlite/lock_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

struct flock whole_file() noexcept {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

std::optional<LockFile> LockFile::try_lock(const std::string& path) {
  // A takeover may replace the file between the opening and the locking; then the new one is tried.
  for (int round = 0; round < 10; ++round) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) throw system_error(errno, "opening " + path);
    LockFile file(fd);
    struct flock lock = whole_file();
    if (::fcntl(fd, F_OFD_SETLK, &lock) != 0) {
      if (errno == EAGAIN || errno == EACCES) return std::nullopt;
      throw system_error(errno, "locking " + path);
    }
    if (file.is_current(path)) return file;
  }
  return std::nullopt;
}

std::optional<LockFile> LockFile::replace(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw system_error(errno, "removing " + path);
  return try_lock(path);
}

bool LockFile::is_held(const std::string& path) noexcept {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  // A lock that cannot be looked at is taken to be held: a live owner must never be declared dead.
  if (fd < 0) return errno != ENOENT;
  struct flock lock = whole_file();
  const bool is_free = ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
  ::close(fd);
  return !is_free;
}

LockFile::LockFile(LockFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

LockFile& LockFile::operator=(LockFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

LockFile::~LockFile() {
  if (fd_ >= 0) ::close(fd_);
}

bool LockFile::is_current(const std::string& path) const noexcept {
  struct stat mine {};
  struct stat there {};
  return ::fstat(fd_, &mine) == 0 && ::lstat(path.c_str(), &there) == 0 && mine.st_dev == there.st_dev &&
         mine.st_ino == there.st_ino;
}

}  // namespace waybill::internal
