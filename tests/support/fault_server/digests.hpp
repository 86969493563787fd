// SPDX-License-Identifier: Apache-2.0
//
// The checksums of S3, taken while a body streams by. CRC-32 and CRC-32C are computed here, CRC-64/NVME in src/base,
// the others by OpenSSL.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "waybill/item.hpp"

namespace waybill::testing::fault {

/// "crc32", "crc32c", "crc64nvme", "sha1" or "sha256": what x-amz-checksum-… may name.
bool is_checksum(std::string_view algorithm);

class Digester {
 public:
  Digester();
  ~Digester();
  Digester(const Digester&) = delete;
  Digester& operator=(const Digester&) = delete;

  /// "md5" or a checksum; before the first update. CRC-64 is always taken.
  void want(const std::string& algorithm);
  void update(std::string_view data);
  /// The bytes of a digest that was wanted, most significant first. Ends it.
  std::string finish(const std::string& algorithm);
  bool has(const std::string& algorithm) const;
  uint64_t size() const noexcept { return size_; }
  Crc64 crc64() const noexcept { return crc64_; }

 private:
  struct Hash;
  uint64_t size_ = 0;
  Crc64 crc64_ = 0;
  std::map<std::string, uint32_t> crcs_;
  std::map<std::string, std::unique_ptr<Hash>> hashes_;
  std::map<std::string, std::string> finished_;
};

/// The digest of bytes at once.
std::string digest(const std::string& algorithm, std::string_view data);

std::string to_base64(std::string_view bytes);
std::string to_hex(std::string_view bytes);

}  // namespace waybill::testing::fault
