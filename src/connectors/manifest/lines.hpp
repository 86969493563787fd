// SPDX-License-Identifier: Apache-2.0
//
// The file behind a manifest, plain or gzip'd, byte by byte with its line numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "waybill/context.hpp"

namespace waybill::manifest {

/// *Threads:* one at a time.
class Bytes {
 public:
  static constexpr int end = -1;

  /// Errors: missing, permission, local_io.
  explicit Bytes(std::string path);
  ~Bytes();
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  /// The next byte, or `end`. A byte order mark in front of the first is left out. Errors: local_io, data_loss (a
  /// gzip'd file that is damaged or ends early).
  int next(Context& context) { return at_ < filled_ ? take() : refill(context); }
  /// What is in memory from the next byte on; empty at the end alone. Errors: as next().
  std::string_view ahead(Context& context);
  /// Goes by that many bytes of ahead(), which stays as it is.
  void skip(size_t count);

  uint64_t line() const noexcept { return line_; }      ///< of the next byte, from 1
  uint64_t offset() const noexcept { return offset_; }  ///< of the next byte, uncompressed
  /// Goes on at a place that another reading of the same file was at.
  void go_to(uint64_t offset, uint64_t line);
  const std::string& path() const noexcept { return path_; }

 private:
  struct File;
  int take() {
    const auto byte = static_cast<unsigned char>(buffer_[at_++]);
    ++offset_;
    if (byte == '\n') ++line_;
    return byte;
  }
  int refill(Context& context);
  bool fill(Context& context);

  const std::string path_;
  std::unique_ptr<File> file_;
  std::string buffer_;
  size_t at_ = 0;
  size_t filled_ = 0;
  uint64_t line_ = 1;
  uint64_t offset_ = 0;
};

}  // namespace waybill::manifest
