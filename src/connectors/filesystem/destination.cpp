// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/destination.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "connectors/filesystem/tree.hpp"
#include "connectors/filesystem/upload.hpp"
#include "connectors/filesystem/walk.hpp"

namespace waybill::filesystem {
namespace {

bool is_empty_folder(int fd) {
  const int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = own < 0 ? nullptr : fdopendir(own);
  if (dir == nullptr) {
    if (own >= 0) close(own);
    return false;
  }
  int count = 0;
  while (count <= 2 && readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count <= 2;
}

}  // namespace

FilesystemDestination::~FilesystemDestination() { staging_.remove_if_empty(); }

Destination::Capabilities FilesystemDestination::capabilities() const {
  Capabilities capabilities;
  capabilities.order = Order::byte_key;
  capabilities.start_after = true;
  capabilities.conditional = true;
  capabilities.parts = true;
  capabilities.listing_has_mtime = true;
  capabilities.max_put_bytes = INT64_MAX;
  capabilities.max_part_bytes = INT64_MAX;
  capabilities.max_object_bytes = INT64_MAX;
  capabilities.needs_flush = true;
  return capabilities;
}

void FilesystemDestination::check(Context& context) {
  context.check();
  root_.reopen();
  if (const std::shared_ptr<const Fd> root = root_.open_if_exists(); root != nullptr) {
    if (faccessat(root->get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
      throw folder_error(errno, "cannot write into the folder " + root_.name(""));
    }
    return;
  }
  // The nearest folder above that is there has to let us make the others.
  std::string above = root_.path();
  do {
    above.erase(std::max<size_t>(above.rfind('/'), 1));
    if (faccessat(AT_FDCWD, above.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return;
  } while (errno == ENOENT && above != "/");
  const int error = errno;
  throw folder_error(error, "cannot create the folder " + root_.name("") + " in \"" + printable(above) + "\"");
}

std::unique_ptr<Lister> FilesystemDestination::list(const ListRequest& request, Context& context) {
  context.check();
  return std::make_unique<Walk>(root_, request, View::destination);
}

std::optional<Item> FilesystemDestination::stat(const Key& key, Context& context) {
  if (root_.open_if_exists() == nullptr) return std::nullopt;
  return stat_item(root_, key, context);
}

Stored FilesystemDestination::put(const Key& key, const Body& body, const WriteOptions& options, Context& context) {
  context.check();
  check_writable_key(root_, key);
  if (key.ends_with('/')) return put_folder(key, body, options, context);

  StagedFile file = staging_.create(context);
  Stored stored;
  stored.digest.crc64nvme = write_body(root_, key, file.fd(), 0, body, context);
  apply_attributes(root_, key, file.fd(), options.attributes, context);
  const struct stat status = placer_.place(file, key, options, context);
  stored.size = static_cast<uint64_t>(status.st_size);
  stored.mtime_ns = mtime_ns(status);
  if (stored.size != body.size()) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum,
                root_.name(key) + " has " + std::to_string(stored.size) + " bytes after " +
                    std::to_string(body.size()) + " were written")
        .set_retryable();
  }
  return stored;
}

Stored FilesystemDestination::put_folder(const Key& key, const Body& body, const WriteOptions& options,
                                         Context& context) {
  if (body.size() != 0) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                "the key \"" + printable(key) + "\" names a folder, and a folder cannot hold the item's " +
                    std::to_string(body.size()) + " bytes");
  }
  root_.create();
  const Fd parent = make_parent(root_, key);
  const std::string leaf = split_key(key).leaf;
  const Condition& condition = options.condition;
  const bool is_new = mkdirat(parent.get(), leaf.c_str(), 0777) == 0;
  if (!is_new && errno != EEXIST) throw write_error(root_, key, errno);
  const Fd fd(openat(parent.get(), leaf.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) throw write_error(root_, key, errno);

  // A folder that holds something is not an item of its own, and is what an empty one would be to its reader: a folder.
  const bool is_foreign = !is_new && condition.kind == Condition::Kind::absent;
  if (is_foreign && is_empty_folder(fd.get())) throw conflict_error(root_, key, "is there already");
  if (condition.kind == Condition::Kind::unchanged && (is_new || !is_unchanged(condition, status))) {
    if (is_new) unlinkat(parent.get(), leaf.c_str(), AT_REMOVEDIR);
    throw conflict_error(root_, key, is_new ? "is gone" : "was changed by somebody else");
  }
  if (!is_foreign) status = apply_attributes(root_, key, fd.get(), options.attributes, context);
  dirty_.add(key);
  Stored stored;
  stored.mtime_ns = mtime_ns(status);
  stored.digest.crc64nvme = 0;  // of no bytes
  return stored;
}

std::unique_ptr<PartUpload> FilesystemDestination::begin_parts(const Key& key, const PartPlan& plan,
                                                               const WriteOptions& options, Context& context) {
  context.check();
  check_writable_key(root_, key);
  if (key.ends_with('/')) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                "the key \"" + printable(key) + "\" names a folder, and a folder has no parts");
  }
  return std::make_unique<FileUpload>(root_, staging_, placer_, dirty_, key, plan, options, context);
}

ReadResult FilesystemDestination::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  return read_item(root_, item, offset, out, context);
}

void FilesystemDestination::flush(Context& context) {
  context.check();
  dirty_.flush(context);
  staging_.remove_if_empty();
}

void FilesystemDestination::remove(const Key& key, Context& context) {
  context.check();
  check_writable_key(root_, key);
  if (root_.open_if_exists() == nullptr) return;
  bool is_folder = key.ends_with('/');
  for (std::string path = is_folder ? key.substr(0, key.size() - 1) : key; !path.empty();) {
    const Split split = split_key(path);
    const Fd parent = root_.open_beneath(split.parent, O_PATH | O_DIRECTORY);
    if (!parent || unlinkat(parent.get(), split.leaf.c_str(), is_folder ? AT_REMOVEDIR : 0) != 0) {
      // Gone, another kind of thing than the key names, or a folder that holds something: no such item.
      const bool is_no_item = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EISDIR ||
                              errno == ENOTEMPTY || errno == EEXIST;
      const bool is_above = path.size() + 1 < key.size();
      if (is_no_item || is_above) return;
      throw system_error(errno, "cannot remove " + root_.name(key));
    }
    dirty_.add(split.parent);
    path = std::string(split.parent);
    is_folder = true;
  }
}

void FilesystemDestination::sweep(std::span<const OpenUpload> known, Context& context) {
  context.check();
  staging_.sweep(known, context);
}

}  // namespace waybill::filesystem
