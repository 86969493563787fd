// SPDX-License-Identifier: Apache-2.0
//
// How a staged file gets its bytes, its attributes and its name. A file appears at its key whole or not at all: the
// last step is one rename.
#pragma once

#include <sys/stat.h>

#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "connectors/filesystem/dirty.hpp"
#include "connectors/filesystem/root.hpp"
#include "connectors/filesystem/staging.hpp"
#include "waybill/destination.hpp"

namespace waybill::filesystem {

/// Throws unsupported for a key that cannot be a file or folder beneath a destination's root.
void check_writable_key(const Root& root, std::string_view key);

/// An Error for a system call that failed on the way to `key`: what the filesystem cannot hold is unsupported, a file
/// where a folder has to be (or the other way round) a collision that names both, the rest as system_error.
Error write_error(const Root& root, std::string_view key, int error_number);

/// Writes `body` at `offset` and says what its CRC is. Errors: of the body; checksum (it is not the body's digest);
/// write_error.
Crc64 write_body(const Root& root, std::string_view key, int fd, uint64_t offset, const Body& body, Context& context);

/// Sets mode (without setuid and setgid) and mtime where they are given, and returns what the filesystem keeps of
/// them. One that keeps no modes is no error: counter "modes_not_kept".
struct stat apply_attributes(const Root& root, std::string_view key, int fd, const Attributes& attributes,
                             Context& context);

/// The folder that `key` lives in, made where it is missing. Errors: collision, unsupported (a symbolic link on the
/// way), permission, local_io.
Fd make_parent(const Root& root, std::string_view key);

/// Whether `condition` allows to replace what has this status.
bool is_unchanged(const Condition& condition, const struct stat& status);
Error conflict_error(const Root& root, std::string_view key, std::string_view what);

/// Gives staged files their names, in one destination. Any thread.
class Placer {
 public:
  Placer(const Root& root, Dirty& dirty) : root_(root), dirty_(dirty) {}

  /// Moves `file`, written and with its attributes, to `key`, and returns its status there. "absent" is one atomic step
  /// with the rename. "unchanged" looks first: one of many writers here wins, but an unrelated process can still write
  /// between the look and the rename. Errors: conflict, collision, unsupported, permission, local_io; missing (the
  /// staged file is gone).
  struct stat place(StagedFile& file, std::string_view key, const WriteOptions& options, Context& context);

 private:
  int rename(const StagedFile& file, std::string_view key, int folder, const char* leaf, const Condition& condition);

  const Root& root_;
  Dirty& dirty_;
  std::mutex replacing_;
};

}  // namespace waybill::filesystem
