// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/upload.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "connectors/filesystem/tree.hpp"

namespace waybill::filesystem {
namespace {

constexpr uint64_t window_bytes = uint64_t{1} << 20;

/// Opens the file of `plan`. Ids come back from ledgers, which may be anybody's: only a plain name of this shape is
/// ever opened.
StagedFile open_upload(const Root& root, StagingFolder& staging, const PartPlan& plan, Context& context) {
  const std::string& id = plan.upload_id;
  if (id.empty()) return staging.create_upload(context);
  if (id.find("-up-") == std::string::npos || id.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    throw Error(ErrorCode::not_found, ErrorClass::missing,
                "there is no upload \"" + printable(id) + "\" in " + root.name(""));
  }
  if (root.open_if_exists() == nullptr) throw system_error(ENOENT, "cannot open " + root.name(staging.key_of(id)));
  return staging.open_upload(id);
}

}  // namespace

FileUpload::FileUpload(const Root& root, StagingFolder& staging, Placer& placer, Dirty& dirty, Key key,
                       const PartPlan& plan, const WriteOptions& options, Context& context)
    : root_(root),
      placer_(placer),
      dirty_(dirty),
      key_(std::move(key)),
      size_(plan.size),
      options_(options),
      file_(open_upload(root, staging, plan, context)) {
  try {
    // A key that cannot be held fails before its bytes are moved; folders are made when there is something to put in.
    const Fd parent = root.open_beneath(split_key(key_).parent, O_PATH | O_DIRECTORY);
    if (!parent && errno != ENOENT) throw write_error(root_, key_, errno);
    if (!plan.upload_id.empty() || !size_) return;
    if (*size_ > INT64_MAX) throw write_error(root_, key_, EFBIG);
    if (ftruncate(file_.fd(), static_cast<off_t>(*size_)) != 0) throw write_error(root_, key_, errno);
  } catch (...) {
    if (plan.upload_id.empty()) abort(context);
    throw;
  }
}

void FileUpload::check_present() const {
  struct stat status {};
  if (fstat(file_.fd(), &status) != 0 || status.st_nlink == 0) {
    throw Error(ErrorCode::not_found, ErrorClass::missing,
                "the upload " + root_.name(StagingFolder::key_of(file_.name())) + " is gone");
  }
}

std::vector<PartInfo> FileUpload::existing(Context& context) {
  context.check();
  check_present();
  return {};
}

PartInfo FileUpload::write(uint32_t number, uint64_t offset, const Body& body, Context& context) {
  context.check();
  check_present();
  PartInfo part;
  part.number = number;
  part.size = body.size();
  part.digest.crc64nvme = write_body(root_, key_, file_.fd(), offset, body, context);
  dirty_.add(StagingFolder::key_of(file_.name()));
  const std::lock_guard lock(mutex_);
  written_.insert(number);
  return part;
}

bool FileUpload::has_written(uint32_t number) {
  const std::lock_guard lock(mutex_);
  return written_.contains(number);
}

void FileUpload::check_content(const PartInfo& part, uint64_t offset, Context& context) const {
  std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(part.size, window_bytes)));
  Crc64 crc = 0;
  for (uint64_t at = 0; at < part.size;) {
    context.check();
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), part.size - at));
    const ssize_t count = pread(file_.fd(), buffer.data(), wanted, static_cast<off_t>(offset + at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error(errno, "cannot read " + root_.name(StagingFolder::key_of(file_.name())));
    if (count == 0) break;
    crc = internal::crc64nvme(std::span(buffer).first(static_cast<size_t>(count)), crc);
    at += static_cast<uint64_t>(count);
  }
  if (crc == *part.digest.crc64nvme) return;
  throw Error(ErrorCode::data_loss, ErrorClass::checksum,
              "part " + std::to_string(part.number) + " of " + root_.name(key_) + ", written by an earlier run, has been " +
                  "changed since in " + root_.name(StagingFolder::key_of(file_.name())) + "; run again to copy it anew");
}

Stored FileUpload::complete(std::span<const PartInfo> parts, Context& context) {
  context.check();
  if (stored_) return *stored_;
  check_present();
  uint64_t size = 0;
  std::optional<Crc64> crc = 0;
  for (const PartInfo& part : parts) {
    if (part.digest.crc64nvme && !has_written(part.number)) check_content(part, size, context);
    if (!part.digest.crc64nvme) crc.reset();
    if (crc) crc = internal::crc64nvme_combine(*crc, *part.digest.crc64nvme, part.size);
    size += part.size;
  }
  struct stat status {};
  if (fstat(file_.fd(), &status) != 0) throw write_error(root_, key_, errno);
  if ((size_ && size != *size_) || size > static_cast<uint64_t>(status.st_size)) {
    throw Error(ErrorCode::data_loss, ErrorClass::local_io,
                "the parts of " + root_.name(key_) + " add up to " + std::to_string(size) + " bytes, not to " +
                    std::to_string(size_.value_or(static_cast<uint64_t>(status.st_size))));
  }
  if (ftruncate(file_.fd(), static_cast<off_t>(size)) != 0) throw write_error(root_, key_, errno);
  apply_attributes(root_, key_, file_.fd(), options_.attributes, context);
  status = placer_.place(file_, key_, options_, context);
  Stored stored;
  stored.size = static_cast<uint64_t>(status.st_size);
  stored.mtime_ns = mtime_ns(status);
  stored.digest.crc64nvme = crc;
  stored_ = stored;
  return stored;
}

void FileUpload::abort(Context&) {
  if (stored_) return;
  file_.remove();
}

}  // namespace waybill::filesystem
