// SPDX-License-Identifier: Apache-2.0
#include "connectors/manifest/lines.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::manifest {
namespace {

constexpr unsigned buffer_bytes = 256 << 10;

}  // namespace

struct Bytes::File {
  gzFile handle = nullptr;  // reads plain files as well
  ~File() {
    if (handle != nullptr) gzclose_r(handle);
  }
};

Bytes::Bytes(std::string path) : path_(std::move(path)), file_(std::make_unique<File>()), buffer_(buffer_bytes, '\0') {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw system_error(errno, "cannot read the manifest " + printable(path_));
  file_->handle = gzdopen(fd, "rb");
  if (file_->handle == nullptr) {
    ::close(fd);
    throw Error(ErrorCode::resource_exhausted, ErrorClass::local_io, "out of memory for " + printable(path_));
  }
}

Bytes::~Bytes() = default;

bool Bytes::fill(Context& context) {
  context.check();
  errno = 0;
  const int count = gzread(file_->handle, buffer_.data(), buffer_bytes);
  int state = Z_OK;
  gzerror(file_->handle, &state);
  if (count < 0 || (count == 0 && state != Z_OK)) {
    if (state == Z_ERRNO && errno != 0) throw system_error(errno, "cannot read " + printable(path_));
    throw Error(ErrorCode::data_loss, ErrorClass::local_io,
                printable(path_) + " is a gzip'd file that is damaged, or ends before its end; behind line " +
                    std::to_string(line_) + " nothing can be read");
  }
  at_ = 0;
  filled_ = static_cast<size_t>(count);
  return count > 0;
}

int Bytes::refill(Context& context) {
  const bool is_first = offset_ == 0;
  if (!fill(context)) return end;
  if (is_first && filled_ >= 3 && buffer_.compare(0, 3, "\xef\xbb\xbf") == 0) {
    at_ = 3;
    offset_ = 3;
    if (at_ == filled_) return next(context);
  }
  return take();
}

std::string_view Bytes::ahead(Context& context) {
  if (at_ == filled_) {
    const int byte = refill(context);
    if (byte == end) return {};
    --at_;
    --offset_;
    if (byte == '\n') --line_;
  }
  return std::string_view(buffer_).substr(at_, filled_ - at_);
}

void Bytes::skip(size_t count) {
  const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(at_);
  line_ += static_cast<uint64_t>(std::count(from, from + static_cast<std::ptrdiff_t>(count), '\n'));
  at_ += count;
  offset_ += count;
}

void Bytes::go_to(uint64_t offset, uint64_t line) {
  if (gzseek(file_->handle, static_cast<z_off_t>(offset), SEEK_SET) < 0) {
    throw Error(ErrorCode::data_loss, ErrorClass::local_io,
                printable(path_) + " cannot be read from byte " + std::to_string(offset) + " on");
  }
  at_ = filled_ = 0;
  offset_ = offset;
  line_ = line;
}

}  // namespace waybill::manifest
