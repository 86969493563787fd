// SPDX-License-Identifier: Apache-2.0
//
// CRC-32 by eight bytes at a time (slicing), for the two polynomials: 0xedb88320 (ISO-HDLC) and 0x82f63b78 (iSCSI),
// both reflected.
#include "support/fault_server/digests.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstring>
#include <stdexcept>

#include "base/hash.hpp"

namespace waybill::testing::fault {

namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables(uint32_t polynomial) {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? polynomial : 0);
    tables[0][i] = value;
  }
  for (size_t slice = 1; slice < 8; ++slice) {
    for (size_t i = 0; i < 256; ++i) {
      tables[slice][i] = (tables[slice - 1][i] >> 8) ^ tables[0][tables[slice - 1][i] & 0xff];
    }
  }
  return tables;
}

constexpr Tables crc32_tables = make_tables(0xedb88320);
constexpr Tables crc32c_tables = make_tables(0x82f63b78);

uint32_t extend_crc(const Tables& tables, uint32_t crc, std::string_view data) {
  crc = ~crc;
  while (data.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, data.data(), 8);
    word ^= crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= tables[7 - i][(word >> (8 * i)) & 0xff];
    data.remove_prefix(8);
  }
  for (const char c : data) crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

const Tables& tables_of(const std::string& algorithm) { return algorithm == "crc32" ? crc32_tables : crc32c_tables; }

// Fetched once: a fetch costs more than hashing a small body.
const EVP_MD* method_of(const std::string& algorithm) {
  static const EVP_MD* const md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  static const EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (algorithm == "md5") return md5;
  if (algorithm == "sha1") return sha1;
  if (algorithm == "sha256") return sha256;
  throw std::invalid_argument("no such digest: " + algorithm);
}

template <class Number>
std::string big_endian(Number number) {
  std::string bytes(sizeof number, '\0');
  for (size_t i = 0; i < sizeof number; ++i) bytes[i] = static_cast<char>(number >> (8 * (sizeof number - 1 - i)));
  return bytes;
}

}  // namespace

struct Digester::Hash {
  explicit Hash(const EVP_MD* method) : context(EVP_MD_CTX_new()) { EVP_DigestInit_ex2(context, method, nullptr); }
  ~Hash() { EVP_MD_CTX_free(context); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
  EVP_MD_CTX* context;
};

bool is_checksum(std::string_view algorithm) {
  for (const std::string_view known : {"crc32", "crc32c", "crc64nvme", "sha1", "sha256"}) {
    if (algorithm == known) return true;
  }
  return false;
}

Digester::Digester() = default;
Digester::~Digester() = default;

void Digester::want(const std::string& algorithm) {
  if (algorithm == "crc64nvme" || has(algorithm)) return;
  if (algorithm == "crc32" || algorithm == "crc32c") {
    crcs_[algorithm] = 0;
  } else {
    hashes_[algorithm] = std::make_unique<Hash>(method_of(algorithm));
  }
}

void Digester::update(std::string_view data) {
  size_ += data.size();
  crc64_ = internal::crc64nvme(internal::as_bytes(data), crc64_);
  for (auto& [algorithm, crc] : crcs_) crc = extend_crc(tables_of(algorithm), crc, data);
  for (auto& [algorithm, hash] : hashes_) EVP_DigestUpdate(hash->context, data.data(), data.size());
}

bool Digester::has(const std::string& algorithm) const {
  return algorithm == "crc64nvme" || crcs_.contains(algorithm) || hashes_.contains(algorithm) ||
         finished_.contains(algorithm);
}

std::string Digester::finish(const std::string& algorithm) {
  if (algorithm == "crc64nvme") return big_endian(crc64_);
  if (const auto crc = crcs_.find(algorithm); crc != crcs_.end()) return big_endian(crc->second);
  if (const auto done = finished_.find(algorithm); done != finished_.end()) return done->second;
  const auto hash = hashes_.find(algorithm);
  if (hash == hashes_.end()) throw std::logic_error("a digest that nobody wanted: " + algorithm);
  std::string bytes(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  EVP_DigestFinal_ex(hash->second->context, reinterpret_cast<unsigned char*>(bytes.data()), &size);
  bytes.resize(size);
  hashes_.erase(hash);
  return finished_[algorithm] = bytes;
}

std::string digest(const std::string& algorithm, std::string_view data) {
  Digester digester;
  digester.want(algorithm);
  digester.update(data);
  return digester.finish(algorithm);
}

std::string to_base64(std::string_view bytes) { return internal::base64_encode(internal::as_bytes(bytes)); }
std::string to_hex(std::string_view bytes) { return internal::hex_encode(internal::as_bytes(bytes)); }

}  // namespace waybill::testing::fault
