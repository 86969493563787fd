// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/tree.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "base/text.hpp"

namespace waybill::filesystem {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t fine_granule_ns = 20'000'000;       // above the clock tick of any kernel
constexpr int64_t coarse_granule_ns = 2 * second_ns;  // vfat
constexpr int64_t hundredth_ns = 10'000'000;
constexpr size_t read_piece = 4 << 20;  // between two looks at the cancellation
constexpr int max_waits = 3;

int64_t to_ns(const timespec& time) noexcept {
  return static_cast<int64_t>(time.tv_sec) * second_ns + time.tv_nsec;
}

/// How long until a change would be sure to leave another time than the one in `status`.
int64_t wait_ns(const struct stat& status, int64_t now) noexcept {
  const int64_t changed = to_ns(status.st_ctim);
  const int64_t granule = changed % hundredth_ns == 0 ? coarse_granule_ns : fine_granule_ns;
  int64_t wait = 0;
  for (const int64_t time : {changed, mtime_ns(status)}) {
    // A time far ahead is not from this clock: it was set, and the next change brings it back.
    if (time > now - granule && time < now + granule) wait = std::max(wait, time + granule - now);
  }
  return wait;
}

/// A file beneath the root, for messages.
struct Named {
  const Root& root;
  const Key& key;
  std::string name() const { return root.name(key); }
};

struct stat status_of(int fd, const Named& file) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw system_error(errno, "cannot read " + file.name());
  return status;
}

/// fstat, once the file has not been changed within the last granule of its timestamps.
struct stat settled_status(int fd, const Named& file, Context& context) {
  for (int waits = 0;; ++waits) {
    const struct stat status = status_of(fd, file);
    const int64_t wait = S_ISREG(status.st_mode) ? wait_ns(status, internal::now_ns()) : 0;
    if (wait <= 0) return status;
    if (waits == max_waits) {
      throw Error(ErrorCode::aborted, ErrorClass::source_changed, file.name() + " keeps changing").set_retryable();
    }
    if (!context.sleep(std::chrono::milliseconds(wait / 1'000'000 + 1))) context.check();
  }
}

/// pread until `out` is full or the file ends.
size_t read_full(int fd, uint64_t offset, std::span<std::byte> out, const Named& file, Context& context) {
  size_t done = 0;
  while (done < out.size()) {
    const size_t wanted = std::min(out.size() - done, read_piece);
    const ssize_t count = pread(fd, out.data() + done, wanted, static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count < 0 && errno != EINTR) throw system_error(errno, "cannot read " + file.name());
    if (count > 0) done += static_cast<size_t>(count);
    if (done < out.size()) context.check();
  }
  return done;
}

bool is_same_revision(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && to_ns(a.st_mtim) == to_ns(b.st_mtim) && to_ns(a.st_ctim) == to_ns(b.st_ctim);
}

Attributes attributes_of(const struct stat& status) {
  Attributes attributes;
  attributes.mode = status.st_mode & kept_mode_bits;
  attributes.mtime_ns = mtime_ns(status);
  return attributes;
}

void check_readable_key(const Root& root, const Key& key) {
  if (const std::string_view problem = key_problem(key); !problem.empty()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                "the key \"" + printable(key) + "\" cannot name a file beneath " + root.name("") + ": " +
                    std::string(problem));
  }
}

ReadResult read_folder(const Root& root, const Key& key) {
  const Fd fd = root.open_beneath(std::string_view(key).substr(0, key.size() - 1), O_PATH | O_DIRECTORY);
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) throw system_error(errno, "cannot read " + root.name(key));
  ReadResult result;
  result.total_size = 0;
  result.stamp = stamp_of(status);
  result.attributes = attributes_of(status);
  return result;
}

}  // namespace

int64_t mtime_ns(const struct stat& status) noexcept { return to_ns(status.st_mtim); }

SourceStamp stamp_of(const struct stat& status) {
  SourceStamp stamp;
  stamp.size = S_ISDIR(status.st_mode) ? 0 : static_cast<uint64_t>(status.st_size);
  stamp.mtime_ns = mtime_ns(status);
  // Empty where it says nothing new, which is most files: ledgers keep this word for every item. Base 36 for the same
  // reason: 12 bytes.
  const int64_t changed = to_ns(status.st_ctim);
  if (changed != *stamp.mtime_ns) {
    char text[24];
    stamp.opaque.assign(text, std::to_chars(text, text + sizeof text, changed, 36).ptr);
  }
  return stamp;
}

Item describe(Key key, const struct stat& status) {
  Item item;
  item.id.key = std::move(key);
  item.stamp = stamp_of(status);
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) return item;
  item.refused = ErrorClass::unsupported;
  if (S_ISLNK(status.st_mode)) {
    item.reason = "a symbolic link; not followed";
  } else if (S_ISFIFO(status.st_mode)) {
    item.reason = "a FIFO (named pipe)";
  } else if (S_ISSOCK(status.st_mode)) {
    item.reason = "a socket";
  } else if (S_ISCHR(status.st_mode)) {
    item.reason = "a character device";
  } else if (S_ISBLK(status.st_mode)) {
    item.reason = "a block device";
  } else {
    item.reason = "neither a file nor a folder";
  }
  return item;
}

ReadResult read_item(const Root& root, const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  context.check();
  const Key& key = item.key();
  check_readable_key(root, key);
  if (key.ends_with('/')) return read_folder(root, key);

  const Named file{root, key};
  // O_NONBLOCK: a FIFO that took the file's place must not hold us up.
  const Fd fd = root.open_beneath(key, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd) {
    const int error = errno;
    if (error == ELOOP || error == ENXIO) {
      throw Error(
          ErrorCode::failed_precondition, ErrorClass::unsupported,
          file.name() + (error == ELOOP ? " is, or leads through, a symbolic link; not followed" : " is a socket"));
    }
    // A folder above it has become a file: the item is gone.
    throw system_error(error == ENOTDIR ? ENOENT : error, "cannot read " + file.name());
  }
  const struct stat before = settled_status(fd.get(), file, context);
  if (!S_ISREG(before.st_mode)) {
    const Item found = describe(key, before);
    throw Error(ErrorCode::failed_precondition, ErrorClass::unsupported,
                file.name() + " is " + (found.reason.empty() ? "a folder now" : found.reason));
  }

  const uint64_t size = static_cast<uint64_t>(before.st_size);
  const uint64_t available = size - std::min(offset, size);
  const std::span<std::byte> wanted = out.first(static_cast<size_t>(std::min<uint64_t>(available, out.size())));
  ReadResult result;
  result.count = read_full(fd.get(), offset, wanted, file, context);
  const struct stat after = status_of(fd.get(), file);
  if (!is_same_revision(before, after) || result.count != wanted.size()) {
    throw Error(ErrorCode::aborted, ErrorClass::source_changed, file.name() + " changed while it was read")
        .set_retryable();
  }
  result.stamp = stamp_of(after);
  result.total_size = size;
  result.attributes = attributes_of(after);
  return result;
}

std::optional<Item> stat_item(const Root& root, const Key& key, Context& context) {
  context.check();
  check_readable_key(root, key);
  std::string_view path = key;
  const bool wants_folder = path.ends_with('/');
  if (wants_folder) path.remove_suffix(1);
  // O_PATH needs no right on the file itself and does not follow a last component that is a link.
  const Fd fd = root.open_beneath(path, O_PATH);
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return std::nullopt;
    throw system_error(errno, "cannot look at " + root.name(key));
  }
  if (S_ISDIR(status.st_mode) != wants_folder) return std::nullopt;
  return describe(key, status);
}

}  // namespace waybill::filesystem
