// SPDX-License-Identifier: Apache-2.0
//
// Everything the filesystem connector does with paths. A key is a path beneath a root, and every name is resolved
// beneath that root without following a symbolic link (openat2; a walk by component where the kernel has none), so
// that neither a hostile key nor a link planted meanwhile leads out of it. Paths may be longer than PATH_MAX.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "waybill/error.hpp"

namespace waybill::filesystem {

/// The folder in a destination's root where files are staged until they are whole.
inline constexpr std::string_view staging_folder = ".waybill-tmp";
/// Begins the names of files staged elsewhere: in a folder on another filesystem than the root.
inline constexpr std::string_view staging_prefix = ".waybill-tmp-";

/// An owned file descriptor. Move-only.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes it; errno stays what it was.
  void reset() noexcept;

 private:
  int fd_ = -1;
};

/// How names beneath a root are resolved.
enum class Resolve : int {
  kernel = 0,        ///< openat2
  by_component = 1,  ///< openat, one component at a time: kernels before 5.6, and sandboxes that refuse openat2
};

/// Opens `path` (no empty component, "." or "..") beneath `base`; "" is `base` itself. `flags` may not create. A
/// symbolic link anywhere in it fails with ELOOP or ENOTDIR; with O_PATH the last component may be one. On failure the
/// Fd is empty and errno says why.
Fd open_beneath(int base, std::string_view path, int flags, Resolve resolve);

/// What is wrong with `key` as a path beneath a root; "" if nothing is. One '/' at the end is fine.
std::string_view key_problem(std::string_view key) noexcept;
/// Whether a component of `key` is kept for staged files.
bool is_staging_key(std::string_view key) noexcept;

/// The folder that an item lives in, and its name there; the key's final '/' is in neither.
struct Split {
  std::string_view parent;  ///< "" is the root
  std::string leaf;
};
Split split_key(std::string_view key);

/// system_error() for a folder that the user named: where a right is missing it says what to look at.
Error folder_error(int error_number, const std::string& what);

/// The folder that all keys are relative to, opened when it is first needed. Any thread.
class Root {
 public:
  /// `path` is relative to the working directory of this moment, if it is relative at all. No I/O on it.
  explicit Root(std::string_view path);

  /// Absolute, without ".", "..", "//" or a final '/' (but "/" itself); symbolic links in it are followed.
  const std::string& path() const noexcept { return path_; }
  /// "file:///path/", percent-encoded.
  std::string identity() const;
  /// The path of `key` for people, in quotes; "" is the root.
  std::string name(std::string_view key) const;

  /// The open root. Errors: missing, permission, configuration (it is no folder).
  std::shared_ptr<const Fd> open() const;
  /// The open root, or null if there is none yet. Errors: as open(), without missing.
  std::shared_ptr<const Fd> open_if_exists() const;
  /// As open(), after making the root and the folders above it where they are missing.
  std::shared_ptr<const Fd> create() const;
  /// Forgets the open root: the next call looks at the path again.
  void reopen() const;

  /// open_beneath() this root. Errors: those of open(); beneath the root, errno.
  Fd open_beneath(std::string_view path, int flags) const;
  Resolve resolve() const;

 private:
  std::string path_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Fd> fd_;
  mutable Resolve resolve_ = Resolve::kernel;
};

}  // namespace waybill::filesystem
