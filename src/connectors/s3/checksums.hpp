// SPDX-License-Identifier: Apache-2.0
//
// The checksums that S3 keeps with objects and that go with bodies, in the text that headers hold. CRC-64/NVME and
// SHA-256 are those of base/hash.hpp; CRC-32 and CRC-32C are needed here only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/hash.hpp"
#include "net/http_client.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {

enum class ChecksumKind : int { crc64nvme, crc32c, crc32, sha256, md5 };

/// Of content that comes in pieces, in order. One thread at a time; not to be used after text() or hex().
class Checksum {
 public:
  explicit Checksum(ChecksumKind kind);

  void update(std::span<const std::byte> data);
  /// Base64 of its bytes, most significant first: the value of a checksum header, and of Content-MD5.
  std::string text();
  /// Lower-case hexadecimal: the form of an ETag.
  std::string hex();

 private:
  std::string bytes();

  ChecksumKind kind_;
  uint64_t crc_ = 0;
  std::optional<internal::Sha256Hasher> sha256_;
  std::optional<internal::Md5Hasher> md5_;
};

/// "x-amz-checksum-crc32c", …; "content-md5".
std::string_view header_of(ChecksumKind kind) noexcept;

/// Compares `content` with what an answer says of the whole object: the first checksum in it that is of the whole (not
/// one of parts' checksums) and of a kind that is known here. Its kind, if it is another one; nothing if all is well.
std::optional<ChecksumKind> wrong_checksum(const internal::HttpResponse& response, std::span<const std::byte> content);

/// Whether an ETag is the MD5 of what was written in one piece: 32 hexadecimal digits, and not encrypted with a key
/// that makes it something else (SSE-KMS, SSE-C).
bool has_md5_etag(const internal::HttpResponse& response);

/// Whether two ETags without quotes are one: hexadecimal digits may be in either case.
bool is_same_etag(std::string_view a, std::string_view b) noexcept;

}  // namespace waybill::s3
