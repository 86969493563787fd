// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/upload.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <map>
#include <string_view>

#include "base/hash.hpp"
#include "connectors/filesystem/tree.hpp"

namespace waybill::filesystem {
namespace {

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
  return staging.open(id, O_RDWR);
}

/// "<number> <size> <crc>" or "<number> -"; false for anything else: a line that was cut off.
bool parse_line(std::string_view line, PartInfo& part, bool& is_whole) {
  const char* end = line.data() + line.size();
  auto [at, error] = std::from_chars(line.data(), end, part.number);
  if (error != std::errc() || at == end || *at++ != ' ') return false;
  is_whole = std::string_view(at, end) != "-";
  if (!is_whole) return true;
  const auto size = std::from_chars(at, end, part.size);
  if (size.ec != std::errc() || size.ptr == end || *size.ptr != ' ') return false;
  Crc64 crc = 0;
  if (end - size.ptr != 17 || std::from_chars(size.ptr + 1, end, crc, 16).ptr != end) return false;
  part.digest.crc64nvme = crc;
  return true;
}

std::string crc_text(Crc64 crc) {
  char digits[16];
  const char* end = std::to_chars(digits, digits + sizeof digits, crc, 16).ptr;
  const auto size = static_cast<size_t>(end - digits);
  return std::string(16 - size, '0') + std::string(digits, size);
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
      file_(open_upload(root, staging, plan, context)),
      parts_(staging.open(parts_name(file_.name()), O_RDWR | O_CREAT | O_APPEND)) {
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

void FileUpload::note(const std::string& line) {
  // Framed on both sides, so that what a crash cut off cannot swallow the next line. Small appends are atomic.
  const std::string framed = "\n" + line + "\n";
  if (::write(parts_.fd(), framed.data(), framed.size()) != static_cast<ssize_t>(framed.size())) {
    throw system_error(errno, "cannot write " + root_.name(StagingFolder::key_of(parts_.name())));
  }
}

std::vector<PartInfo> FileUpload::existing(Context& context) {
  context.check();
  check_present();
  std::string text;
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = pread(parts_.fd(), buffer, sizeof buffer, static_cast<off_t>(text.size()));
    if (count < 0) throw system_error(errno, "cannot read " + root_.name(StagingFolder::key_of(parts_.name())));
    if (count == 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  std::map<uint32_t, PartInfo> found;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    PartInfo part;
    bool is_whole = false;
    if (parse_line(std::string_view(text).substr(at, end - at), part, is_whole)) {
      if (is_whole) {
        found[part.number] = part;
      } else {
        found.erase(part.number);
      }
    }
    at = end + 1;
  }
  std::vector<PartInfo> parts;
  for (auto& [number, part] : found) parts.push_back(part);
  return parts;
}

PartInfo FileUpload::write(uint32_t number, uint64_t offset, const Body& body, Context& context) {
  context.check();
  check_present();
  note(std::to_string(number) + " -");
  PartInfo part;
  part.number = number;
  part.size = body.size();
  part.digest.crc64nvme = write_body(root_, key_, file_.fd(), offset, body, context);
  note(std::to_string(number) + " " + std::to_string(part.size) + " " + crc_text(*part.digest.crc64nvme));
  dirty_.add(StagingFolder::key_of(file_.name()));
  dirty_.add(StagingFolder::key_of(parts_.name()));
  return part;
}

Stored FileUpload::complete(std::span<const PartInfo> parts, Context& context) {
  context.check();
  if (stored_) return *stored_;
  check_present();
  uint64_t size = 0;
  std::optional<Crc64> crc = 0;
  for (const PartInfo& part : parts) {
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
  parts_.remove();
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
  parts_.remove();
}

}  // namespace waybill::filesystem
