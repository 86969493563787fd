// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/place.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/hash.hpp"
#include "connectors/filesystem/tree.hpp"

namespace waybill::filesystem {
namespace {

constexpr size_t window = 1 << 20;       // of a body that is not contiguous
constexpr size_t write_piece = 4 << 20;  // between two looks at the cancellation

/// pwrite until all of it is written; 0 or the error.
int write_full(int fd, uint64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t count = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) return errno;
    if (count <= 0) continue;
    data = data.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return 0;
}

/// The first folder on the way to `key` that is none, for the message; empty if they all are.
Error blocked_error(const Root& root, std::string_view key, int error_number) {
  const std::string to = "cannot write " + root.name(key) + ": ";
  for (size_t slash = key.find('/'); slash != std::string_view::npos; slash = key.find('/', slash + 1)) {
    const std::string_view folder = key.substr(0, slash);
    struct stat status {};
    const Fd fd = root.open_beneath(folder, O_PATH);
    if (!fd || fstat(fd.get(), &status) != 0 || S_ISDIR(status.st_mode)) continue;
    if (S_ISLNK(status.st_mode)) {
      return Error(ErrorCode::failed_precondition, ErrorClass::unsupported,
                   to + root.name(folder) + " is a symbolic link, and nothing is written through one");
    }
    return Error(ErrorCode::failed_precondition, ErrorClass::collision,
                 to + root.name(folder) + " is a file, but has to be a folder for this key");
  }
  // Whoever was in the way is gone again.
  return system_error(error_number, "cannot write " + root.name(key)).set_retryable();
}

Error folder_in_the_way(const Root& root, std::string_view key) {
  return Error(ErrorCode::failed_precondition, ErrorClass::collision,
               "cannot write the file " + root.name(key) + ": there is a folder of that name");
}

Fd make_folders(const Root& root, std::string_view path) {
  const Resolve resolve = root.resolve();
  Fd at = root.open_beneath("", O_PATH | O_DIRECTORY);
  while (at && !path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string name(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    Fd next = open_beneath(at.get(), name, O_PATH | O_DIRECTORY, resolve);
    if (!next && errno == ENOENT) {
      if (mkdirat(at.get(), name.c_str(), 0777) != 0 && errno != EEXIST) return Fd();
      next = open_beneath(at.get(), name, O_PATH | O_DIRECTORY, resolve);
    }
    at = std::move(next);
  }
  return at;
}

/// linkat + unlink, for filesystems without RENAME_NOREPLACE; 0 or the error.
int link_into(int from, const char* name, int folder, const char* leaf) {
  if (linkat(from, name, folder, leaf, 0) == 0) {
    unlinkat(from, name, 0);
    return 0;
  }
  const int error = errno;
  if (error == EEXIST || error == ENOENT || error == EXDEV) return error;
  // No links either (vfat): look, then rename. Nothing better exists there.
  struct stat status {};
  if (fstatat(folder, leaf, &status, AT_SYMLINK_NOFOLLOW) == 0) return EEXIST;
  return renameat(from, name, folder, leaf) == 0 ? 0 : errno;
}

/// One step from the staged name to the final one; 0 or the error.
int rename_into(int from, const char* name, int folder, const char* leaf, Condition::Kind kind) {
  if (kind != Condition::Kind::absent) return renameat(from, name, folder, leaf) == 0 ? 0 : errno;
  if (renameat2(from, name, folder, leaf, RENAME_NOREPLACE) == 0) return 0;
  const int error = errno;
  return error == EINVAL || error == ENOSYS ? link_into(from, name, folder, leaf) : error;
}

void check_unchanged(const Root& root, std::string_view key, int folder, const char* leaf,
                     const Condition& condition) {
  struct stat status {};
  if (fstatat(folder, leaf, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) throw conflict_error(root, key, "is gone");
    throw write_error(root, key, errno);
  }
  if (!S_ISREG(status.st_mode) || !is_unchanged(condition, status)) {
    throw conflict_error(root, key, "was changed by somebody else");
  }
}

/// The same bytes and attributes once more, in `folder`, which is on another filesystem than the staging folder.
/// If the process is killed in between, a file beginning with staging_prefix stays behind; no listing shows it.
StagedFile copy_across(const Root& root, const StagedFile& file, std::string_view key, const std::shared_ptr<Fd>& folder,
                       const WriteOptions& options, Context& context) {
  const std::string name = std::string(staging_prefix) + file.name();
  unlinkat(folder->get(), name.c_str(), 0);  // of an earlier try: the name is this migration's own
  Fd fd(openat(folder->get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!fd) throw write_error(root, key, errno);
  StagedFile copy(folder, name, std::move(fd));
  std::vector<std::byte> buffer(window);
  for (uint64_t offset = 0;;) {
    context.check();
    const ssize_t count = pread(file.fd(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) throw write_error(root, key, errno);
    if (count == 0) break;
    if (count < 0) continue;
    const auto piece = std::span<const std::byte>(buffer).first(static_cast<size_t>(count));
    if (const int error = write_full(copy.fd(), offset, piece); error != 0) throw write_error(root, key, error);
    offset += piece.size();
  }
  apply_attributes(root, key, copy.fd(), options.attributes, context);
  return copy;
}

/// What a rename said, as an Error.
Error rename_error(const Root& root, std::string_view key, int folder, const char* leaf, int error) {
  struct stat status {};
  const bool is_there = fstatat(folder, leaf, &status, AT_SYMLINK_NOFOLLOW) == 0;
  if ((error == EEXIST || error == EISDIR || error == ENOTEMPTY) && is_there && S_ISDIR(status.st_mode)) {
    return folder_in_the_way(root, key);
  }
  if (error == EEXIST) return conflict_error(root, key, "is there already");
  return write_error(root, key, error);
}

}  // namespace

void check_writable_key(const Root& root, std::string_view key) {
  std::string problem(key_problem(key));
  if (problem.empty() && is_staging_key(key)) {
    problem = "names that begin with \"" + std::string(staging_folder) + "\" are kept for files on their way";
  }
  if (problem.empty()) return;
  throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
              "the key \"" + printable(key) + "\" cannot be held beneath " + root.name("") + ": " + problem);
}

Error write_error(const Root& root, std::string_view key, int error_number) {
  const std::string what = "cannot write " + root.name(key);
  switch (error_number) {
    case ENOTDIR:
    case ELOOP:
      return blocked_error(root, key, error_number);
    case EISDIR:
      return folder_in_the_way(root, key);
    case ENAMETOOLONG:
    case EILSEQ:
    case EINVAL:
      return Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                   what + ": the filesystem cannot hold this name");
    case EFBIG:
      return Error(ErrorCode::out_of_range, ErrorClass::too_large, what + ": too large for the filesystem")
          .set_provider_code("EFBIG");
    default:
      return system_error(error_number, what);
  }
}

Error conflict_error(const Root& root, std::string_view key, std::string_view what) {
  return Error(ErrorCode::failed_precondition, ErrorClass::conflict, root.name(key) + " " + std::string(what));
}

Crc64 write_body(const Root& root, std::string_view key, int fd, uint64_t offset, const Body& body, Context& context) {
  Crc64 crc = 0;
  const auto write = [&](uint64_t at, std::span<const std::byte> piece) {
    context.check();
    if (const int error = write_full(fd, offset + at, piece); error != 0) throw write_error(root, key, error);
    crc = internal::crc64nvme(piece, crc);
  };
  if (body.is_contiguous()) {
    const std::span<const std::byte> data = body.data();
    for (size_t at = 0; at < data.size(); at += write_piece) {
      write(at, data.subspan(at, std::min(write_piece, data.size() - at)));
    }
  } else {
    std::vector<std::byte> buffer(window);
    for (uint64_t at = 0; at < body.size();) {
      const size_t wanted = static_cast<size_t>(std::min<uint64_t>(window, body.size() - at));
      const size_t count = body.read(at, std::span(buffer).first(wanted));
      if (count != wanted) {
        throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                    "the body of " + root.name(key) + " ended after " + std::to_string(at + count) + " of " +
                        std::to_string(body.size()) + " bytes")
            .set_retryable();
      }
      write(at, std::span(buffer).first(count));
      at += count;
    }
  }
  if (body.digest().crc64nvme && *body.digest().crc64nvme != crc) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum,
                "the bytes written to " + root.name(key) + " are not those that were read: their checksums differ")
        .set_retryable();
  }
  return crc;
}

struct stat apply_attributes(const Root& root, std::string_view key, int fd, const Attributes& attributes,
                             Context& context) {
  if (attributes.mode && fchmod(fd, *attributes.mode & kept_mode_bits) != 0) {
    // The file is ours, so this is not about rights: the filesystem has no modes (vfat, some network filesystems).
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) throw write_error(root, key, errno);
    context.count("modes_not_kept", 1);
  }
  if (attributes.mtime_ns) {
    constexpr int64_t second = 1'000'000'000;
    int64_t seconds = *attributes.mtime_ns / second;
    int64_t rest = *attributes.mtime_ns % second;
    if (rest < 0) {
      rest += second;
      --seconds;
    }
    const timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(seconds), static_cast<long>(rest)}};
    if (futimens(fd, times) != 0) throw system_error(errno, "cannot set the time of " + root.name(key));
  }
  struct stat status {};
  if (fstat(fd, &status) != 0) throw system_error(errno, "cannot look at " + root.name(key));
  return status;
}

Fd make_parent(const Root& root, std::string_view key) {
  const std::string_view parent = split_key(key).parent;
  Fd fd = root.open_beneath(parent, O_PATH | O_DIRECTORY);
  if (!fd && errno == ENOENT) fd = make_folders(root, parent);
  if (!fd) throw write_error(root, key, errno);
  return fd;
}

bool is_unchanged(const Condition& condition, const struct stat& status) {
  const SourceStamp stamp = stamp_of(status);
  return condition.etag.empty() && (!condition.size || condition.size == stamp.size) &&
         (!condition.mtime_ns || condition.mtime_ns == stamp.mtime_ns);
}

int Placer::rename(const StagedFile& file, std::string_view key, int folder, const char* leaf,
                   const Condition& condition) {
  std::unique_lock<std::mutex> lock;
  if (condition.kind == Condition::Kind::unchanged) {
    lock = std::unique_lock(replacing_);  // against the other writers here: they look after this one has renamed
    check_unchanged(root_, key, folder, leaf, condition);
  }
  return rename_into(file.folder(), file.name().c_str(), folder, leaf, condition.kind);
}

struct stat Placer::place(StagedFile& file, std::string_view key, const WriteOptions& options, Context& context) {
  const Split split = split_key(key);
  const char* leaf = split.leaf.c_str();
  struct stat status {};
  if (fstat(file.fd(), &status) != 0) throw write_error(root_, key, errno);
  for (int tries = 0;; ++tries) {
    const auto folder = std::make_shared<Fd>(make_parent(root_, key));
    int error = rename(file, key, folder->get(), leaf, options.condition);
    if (error == EXDEV) {
      StagedFile copy = copy_across(root_, file, key, folder, options, context);
      error = rename(copy, key, folder->get(), leaf, options.condition);
      if (error == 0) {
        copy.release();
        if (fstat(copy.fd(), &status) != 0) throw write_error(root_, key, errno);
        dirty_.add_mount(status.st_dev, split.parent);
        file.remove();
      }
    }
    if (error == 0) {
      file.release();
      dirty_.add(key);
      return status;
    }
    // ENOENT: the parent was removed after it was opened, unless the staged file itself is gone.
    struct stat staged {};
    const bool is_staged = fstat(file.fd(), &staged) == 0 && staged.st_nlink > 0;
    if (error != ENOENT || !is_staged || tries == 3) throw rename_error(root_, key, folder->get(), leaf, error);
  }
}

}  // namespace waybill::filesystem
