// SPDX-License-Identifier: Apache-2.0
//
// Digests of content, and the text forms they travel in. CRC-64/NVME is computed here (carry-less multiplication where
// the processor has it, tables elsewhere); SHA-256, MD5 and HMAC come from OpenSSL, with every algorithm fetched once
// per process because a fetch costs more than hashing a small object.
//
// CRC-64/NVME: width 64, polynomial 0xad93d23594c93659, initial value and final xor all ones, reflected in and out;
// the check value of "123456789" is 0xae8b14860a799888. It is the checksum that S3 keeps by default, sent as the
// base64 of its eight bytes, most significant first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/item.hpp"

namespace waybill::internal {

using Md5 = std::array<std::byte, 16>;

/// The bytes of a text, for the functions below.
inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// CRC-64/NVME of `data`. To go on from an earlier run of bytes, pass its result as `previous`: the CRC of "ab" is
/// crc64nvme("b", crc64nvme("a")). The CRC of nothing is 0. Any thread; never blocks.
Crc64 crc64nvme(std::span<const std::byte> data, Crc64 previous = 0) noexcept;

/// The CRC of A followed by B, from the CRC of each and the length of B in bytes. Takes a microsecond or two.
Crc64 crc64nvme_combine(Crc64 a, Crc64 b, uint64_t size_of_b) noexcept;

/// The two implementations behind crc64nvme(), so that tests and benches can compare them.
Crc64 crc64nvme_portable(std::span<const std::byte> data, Crc64 previous = 0) noexcept;
/// Only where crc64nvme_has_clmul().
Crc64 crc64nvme_clmul(std::span<const std::byte> data, Crc64 previous = 0) noexcept;
bool crc64nvme_has_clmul() noexcept;

/// An incremental SHA-256. One thread at a time; may be used again after finish(). Move-only.
class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(Sha256Hasher&& other) noexcept;
  Sha256Hasher& operator=(Sha256Hasher&& other) noexcept;

  void update(std::span<const std::byte> data);
  /// The digest of everything since construction or the last finish(); the hasher is empty again afterwards.
  Sha256 finish();

 private:
  void* state_ = nullptr;  // EVP_MD_CTX
};

/// As Sha256Hasher, of MD5.
class Md5Hasher {
 public:
  Md5Hasher();
  ~Md5Hasher();
  Md5Hasher(Md5Hasher&& other) noexcept;
  Md5Hasher& operator=(Md5Hasher&& other) noexcept;

  void update(std::span<const std::byte> data);
  Md5 finish();

 private:
  void* state_ = nullptr;  // EVP_MD_CTX
};

Sha256 sha256(std::span<const std::byte> data);
Md5 md5(std::span<const std::byte> data);

/// HMAC-SHA-256 with the work on the key done once. A key may be used by many threads at once. Keys are wiped when
/// destroyed. Movable.
class HmacSha256 {
 public:
  explicit HmacSha256(std::span<const std::byte> key);
  ~HmacSha256();
  HmacSha256(HmacSha256&& other) noexcept;
  HmacSha256& operator=(HmacSha256&& other) noexcept;

  Sha256 sign(std::span<const std::byte> message) const;

 private:
  void* inner_ = nullptr;  // EVP_MD_CTX that has taken in the key xor ipad
  void* outer_ = nullptr;  // EVP_MD_CTX that has taken in the key xor opad
};

Sha256 hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message);

/// Lower-case hexadecimal.
std::string hex_encode(std::span<const std::byte> data);
/// Appends lower-case hexadecimal to `out`.
void hex_append(std::span<const std::byte> data, std::string& out);
/// Nothing if `text` is not an even number of hexadecimal digits (either case).
std::optional<std::vector<std::byte>> hex_decode(std::string_view text);

/// Standard alphabet, with padding.
std::string base64_encode(std::span<const std::byte> data);
/// Nothing if `text` is not padded base64 of the standard alphabet.
std::optional<std::vector<std::byte>> base64_decode(std::string_view text);

/// A CRC as S3 writes it: base64 of eight bytes, most significant first.
std::string crc64_to_base64(Crc64 crc);
/// Nothing if `text` is not that.
std::optional<Crc64> crc64_from_base64(std::string_view text);

/// Of the OpenSSL in use: "3.0.11". Any thread.
std::string openssl_version_number();

}  // namespace waybill::internal
