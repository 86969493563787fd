// SPDX-License-Identifier: Apache-2.0
//
// The lock beside a ledger: an exclusive OFD lock (of the open file, not of the process) on `<ledger>.lock`. The kernel
// drops it when its owner dies, so a free lock means a dead owner, at once. The file itself is never removed, except to
// take a ledger from a stopped owner: the new owner locks a new file, and the old one keeps a lock on nothing.
#pragma once

#include <optional>
#include <string>

namespace waybill::internal {

/// A held lock. Move-only; destroying it gives the lock up. Any thread, one at a time.
class LockFile {
 public:
  /// Takes the lock; nothing if somebody else has it. Makes the file (0600) where there is none. Errors: permission,
  /// local_io.
  static std::optional<LockFile> try_lock(const std::string& path);
  /// Takes the lock on a new file in place of the old one; nothing if somebody else was quicker. Errors: as try_lock.
  static std::optional<LockFile> replace(const std::string& path);
  /// Whether somebody, in this process or another, holds the lock. Never writes.
  static bool is_held(const std::string& path) noexcept;

  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&& other) noexcept;
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;
  ~LockFile();

  /// Whether the file at `path` is still the one that is locked.
  bool is_current(const std::string& path) const noexcept;

 private:
  explicit LockFile(int fd) noexcept : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace waybill::internal
