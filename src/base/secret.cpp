// SPDX-License-Identifier: Apache-2.0
//
// See secret.hpp.
#include "base/secret.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::internal {
namespace {

constexpr size_t max_file_bytes = 1 << 20;

}  // namespace

Secret::Secret(std::string_view text) : data_(std::make_unique<char[]>(text.size())), size_(text.size()) {
  std::copy(text.begin(), text.end(), data_.get());
}

Secret::Secret(const Secret& other) : Secret(other.reveal()) {}

Secret::Secret(Secret&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Secret::~Secret() {
  if (data_ != nullptr) OPENSSL_cleanse(data_.get(), size_);
}

bool Secret::operator==(const Secret& other) const noexcept {
  return size_ == other.size_ && (size_ == 0 || CRYPTO_memcmp(data_.get(), other.data_.get(), size_) == 0);
}

void wipe(std::string& text) noexcept {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

Secret read_small_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    throw system_error(errno, printable(path));
  }
  std::vector<char> text;
  std::array<char, 8192> chunk{};
  ssize_t count = 0;
  while (text.size() <= max_file_bytes && (count = read(fd, chunk.data(), chunk.size())) > 0) {
    text.insert(text.end(), chunk.begin(), chunk.begin() + count);
  }
  const int error_number = count < 0 ? errno : 0;
  close(fd);
  Secret content(std::string_view(text.data(), text.size()));
  OPENSSL_cleanse(text.data(), text.size());
  OPENSSL_cleanse(chunk.data(), chunk.size());
  if (error_number != 0) throw system_error(error_number, printable(path));
  if (content.reveal().size() > max_file_bytes) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                printable(path) + " is longer than a megabyte: no file of secrets or profiles");
  }
  return content;
}

}  // namespace waybill::internal
