// SPDX-License-Identifier: Apache-2.0
//
// Digests. CRC-64/NVME works in the reflected domain throughout: bit i of a 64-bit word is the coefficient of x^(63-i).
// The folding constants are derived below from the polynomial, at compile time; the check value and the comparison of
// both implementations are in tests/base/hash_test.cpp.
#include "base/hash.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

constexpr uint64_t polynomial = 0x9a6c9329ac4bc9b5u;  // 0xad93d23594c93659, reflected
constexpr uint64_t x_to_the_0 = uint64_t{1} << 63;

constexpr uint64_t times_x(uint64_t value) { return (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0); }

constexpr uint64_t x_to_the(unsigned power) {
  uint64_t value = x_to_the_0;
  for (unsigned i = 0; i < power; ++i) value = times_x(value);
  return value;
}

constexpr uint64_t multiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  for (; a != 0; a <<= 1) {
    if ((a & x_to_the_0) != 0) product ^= b;
    b = times_x(b);
  }
  return product;
}

// tables[k][b]: the CRC register after byte b and k zero bytes.
using Tables = std::array<std::array<uint64_t, 256>, 16>;
constexpr Tables make_tables() {
  Tables tables{};
  for (size_t byte = 0; byte < 256; ++byte) {
    uint64_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = times_x(value);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint64_t value = tables[k - 1][byte];
      tables[k][byte] = (value >> 8) ^ tables[0][value & 255];
    }
  }
  return tables;
}
constexpr Tables tables = make_tables();

// x to the 8 times 2^k: what combining needs for lengths in bytes.
constexpr auto byte_shifts = [] {
  std::array<uint64_t, 64> shifts{};
  shifts[0] = x_to_the(8);
  for (size_t k = 1; k < shifts.size(); ++k) shifts[k] = multiply(shifts[k - 1], shifts[k - 1]);
  return shifts;
}();

uint64_t load_word(const std::byte* at) noexcept {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

uint64_t take_word_pair(uint64_t low, uint64_t high) noexcept {
  uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) {
    value ^= tables[15 - i][(low >> (8 * i)) & 255];
    value ^= tables[7 - i][(high >> (8 * i)) & 255];
  }
  return value;
}

// The CRC register after `size` more bytes, without the inversions at both ends.
uint64_t take_bytes(uint64_t state, const std::byte* at, size_t size) noexcept {
  for (; size >= 16; at += 16, size -= 16) state = take_word_pair(state ^ load_word(at), load_word(at + 8));
  for (; size > 0; ++at, --size) state = (state >> 8) ^ tables[0][(state ^ static_cast<uint64_t>(*at)) & 255];
  return state;
}

#if defined(__x86_64__)

#define WAYBILL_CLMUL __attribute__((target("pclmul,sse2"))) inline

// Moving a 128-bit remainder L·x^64 + H ahead by n bits is L·x^(n+64) + H·x^n. The product of two reflected words comes
// out multiplied by x, so the constants are one power lower.
template <unsigned bits>
WAYBILL_CLMUL __m128i move_ahead(__m128i value) {
  constexpr uint64_t for_low = x_to_the(bits + 63);
  constexpr uint64_t for_high = x_to_the(bits - 1);
  const __m128i factors = _mm_set_epi64x(static_cast<int64_t>(for_high), static_cast<int64_t>(for_low));
  return _mm_xor_si128(_mm_clmulepi64_si128(value, factors, 0x00), _mm_clmulepi64_si128(value, factors, 0x11));
}

WAYBILL_CLMUL __m128i load_lane(const std::byte* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// `size` is at least 16. Eight lanes hide the latency of the multiplier.
__attribute__((target("pclmul,sse2"))) uint64_t take_bytes_clmul(uint64_t state, const std::byte* at,
                                                                 size_t size) noexcept {
  constexpr size_t lane = 16;
  constexpr size_t lanes = 8;
  const __m128i start = _mm_set_epi64x(0, static_cast<int64_t>(state));
  __m128i remainder = _mm_xor_si128(load_lane(at), start);
  if (size >= lanes * lane) {
    __m128i lane_values[lanes] = {remainder};
    for (size_t i = 1; i < lanes; ++i) lane_values[i] = load_lane(at + i * lane);
    at += lanes * lane;
    size -= lanes * lane;
    for (; size >= lanes * lane; at += lanes * lane, size -= lanes * lane) {
#pragma GCC unroll 8
      for (size_t i = 0; i < lanes; ++i) {
        lane_values[i] = _mm_xor_si128(move_ahead<lanes * lane * 8>(lane_values[i]), load_lane(at + i * lane));
      }
    }
    remainder = lane_values[0];
    for (size_t i = 1; i < lanes; ++i) remainder = _mm_xor_si128(move_ahead<lane * 8>(remainder), lane_values[i]);
  } else {
    at += lane;
    size -= lane;
  }
  for (; size >= lane; at += lane, size -= lane) {
    remainder = _mm_xor_si128(move_ahead<lane * 8>(remainder), load_lane(at));
  }
  // The remainder as sixteen bytes of message has the same CRC as everything that was folded into it.
  alignas(16) std::byte last[lane];
  _mm_store_si128(reinterpret_cast<__m128i*>(last), remainder);
  return take_bytes(take_bytes(0, last, lane), at, size);
}

#undef WAYBILL_CLMUL

#endif

[[noreturn]] void throw_openssl(const char* what) {
  throw Error(ErrorCode::internal, ErrorClass::internal, std::string("OpenSSL has no working ") + what);
}

// Never freed: fetched once per process, and safe to use until its very end.
const EVP_MD* fetched(const char* name) {
  const EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  if (md == nullptr) throw_openssl(name);
  return md;
}
const EVP_MD* sha256_md() {
  static const EVP_MD* const md = fetched("SHA256");
  return md;
}
const EVP_MD* md5_md() {
  static const EVP_MD* const md = fetched("MD5");
  return md;
}

template <typename Digest>
Digest digest_once(const EVP_MD* md, std::span<const std::byte> data) {
  Digest digest;
  if (EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, md, nullptr) !=
      1) {
    throw_openssl("digest");
  }
  return digest;
}

EVP_MD_CTX* new_context() {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  if (context == nullptr) throw std::bad_alloc();
  return context;
}

EVP_MD_CTX* as_context(void* state) { return static_cast<EVP_MD_CTX*>(state); }

constexpr char hex_digits[] = "0123456789abcdef";
constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The value of each base64 digit, 255 for other bytes.
constexpr auto base64_values = [] {
  std::array<uint8_t, 256> values{};
  values.fill(255);
  for (size_t i = 0; i < base64_digits.size(); ++i) {
    values[static_cast<unsigned char>(base64_digits[i])] = static_cast<uint8_t>(i);
  }
  return values;
}();

}  // namespace

Crc64 crc64nvme_portable(std::span<const std::byte> data, Crc64 previous) noexcept {
  return ~take_bytes(~previous, data.data(), data.size());
}

#if defined(__x86_64__)

bool crc64nvme_has_clmul() noexcept {
  static const bool has = __builtin_cpu_supports("pclmul") != 0;
  return has;
}

Crc64 crc64nvme_clmul(std::span<const std::byte> data, Crc64 previous) noexcept {
  if (data.size() < 16) return crc64nvme_portable(data, previous);
  return ~take_bytes_clmul(~previous, data.data(), data.size());
}

#else

bool crc64nvme_has_clmul() noexcept { return false; }

Crc64 crc64nvme_clmul(std::span<const std::byte> data, Crc64 previous) noexcept {
  return crc64nvme_portable(data, previous);
}

#endif

Crc64 crc64nvme(std::span<const std::byte> data, Crc64 previous) noexcept {
  return crc64nvme_has_clmul() ? crc64nvme_clmul(data, previous) : crc64nvme_portable(data, previous);
}

Crc64 crc64nvme_combine(Crc64 a, Crc64 b, uint64_t size_of_b) noexcept {
  for (size_t k = 0; size_of_b != 0; ++k, size_of_b >>= 1) {
    if ((size_of_b & 1) != 0) a = multiply(a, byte_shifts[k]);
  }
  return a ^ b;
}

Sha256Hasher::Sha256Hasher() : state_(new_context()) {
  if (EVP_DigestInit_ex2(as_context(state_), sha256_md(), nullptr) != 1) {
    EVP_MD_CTX_free(as_context(state_));
    throw_openssl("SHA-256");
  }
}

Sha256Hasher::~Sha256Hasher() { EVP_MD_CTX_free(as_context(state_)); }

Sha256Hasher::Sha256Hasher(Sha256Hasher&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

Sha256Hasher& Sha256Hasher::operator=(Sha256Hasher&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Sha256Hasher::update(std::span<const std::byte> data) {
  if (EVP_DigestUpdate(as_context(state_), data.data(), data.size()) != 1) throw_openssl("SHA-256");
}

Sha256 Sha256Hasher::finish() {
  Sha256 digest;
  if (EVP_DigestFinal_ex(as_context(state_), reinterpret_cast<unsigned char*>(digest.data()), nullptr) != 1 ||
      EVP_DigestInit_ex2(as_context(state_), sha256_md(), nullptr) != 1) {
    throw_openssl("SHA-256");
  }
  return digest;
}

Md5Hasher::Md5Hasher() : state_(new_context()) {
  if (EVP_DigestInit_ex2(as_context(state_), md5_md(), nullptr) != 1) {
    EVP_MD_CTX_free(as_context(state_));
    throw_openssl("MD5");
  }
}

Md5Hasher::~Md5Hasher() { EVP_MD_CTX_free(as_context(state_)); }

Md5Hasher::Md5Hasher(Md5Hasher&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

Md5Hasher& Md5Hasher::operator=(Md5Hasher&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Md5Hasher::update(std::span<const std::byte> data) {
  if (EVP_DigestUpdate(as_context(state_), data.data(), data.size()) != 1) throw_openssl("MD5");
}

Md5 Md5Hasher::finish() {
  Md5 digest;
  if (EVP_DigestFinal_ex(as_context(state_), reinterpret_cast<unsigned char*>(digest.data()), nullptr) != 1 ||
      EVP_DigestInit_ex2(as_context(state_), md5_md(), nullptr) != 1) {
    throw_openssl("MD5");
  }
  return digest;
}

Sha256 sha256(std::span<const std::byte> data) { return digest_once<Sha256>(sha256_md(), data); }

Md5 md5(std::span<const std::byte> data) { return digest_once<Md5>(md5_md(), data); }

HmacSha256::HmacSha256(std::span<const std::byte> key) {
  constexpr size_t block_size = 64;
  std::array<std::byte, block_size> block{};
  if (key.size() > block_size) {
    const Sha256 digest = sha256(key);
    std::copy(digest.begin(), digest.end(), block.begin());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  const auto absorb = [&block](std::byte pad) {
    for (std::byte& byte : block) byte ^= pad;
    EVP_MD_CTX* context = new_context();
    if (EVP_DigestInit_ex2(context, sha256_md(), nullptr) != 1 ||
        EVP_DigestUpdate(context, block.data(), block.size()) != 1) {
      EVP_MD_CTX_free(context);
      throw_openssl("SHA-256");
    }
    for (std::byte& byte : block) byte ^= pad;
    return context;
  };
  inner_ = absorb(std::byte{0x36});
  outer_ = absorb(std::byte{0x5c});
  OPENSSL_cleanse(block.data(), block.size());
}

HmacSha256::~HmacSha256() {
  EVP_MD_CTX_free(as_context(inner_));
  EVP_MD_CTX_free(as_context(outer_));
}

HmacSha256::HmacSha256(HmacSha256&& other) noexcept
    : inner_(std::exchange(other.inner_, nullptr)), outer_(std::exchange(other.outer_, nullptr)) {}

HmacSha256& HmacSha256::operator=(HmacSha256&& other) noexcept {
  std::swap(inner_, other.inner_);
  std::swap(outer_, other.outer_);
  return *this;
}

Sha256 HmacSha256::sign(std::span<const std::byte> message) const {
  Sha256 digest;
  auto* bytes = reinterpret_cast<unsigned char*>(digest.data());
  EVP_MD_CTX* context = new_context();
  const bool ok =
      EVP_MD_CTX_copy_ex(context, as_context(inner_)) == 1 &&
      EVP_DigestUpdate(context, message.data(), message.size()) == 1 &&
      EVP_DigestFinal_ex(context, bytes, nullptr) == 1 && EVP_MD_CTX_copy_ex(context, as_context(outer_)) == 1 &&
      EVP_DigestUpdate(context, bytes, digest.size()) == 1 && EVP_DigestFinal_ex(context, bytes, nullptr) == 1;
  EVP_MD_CTX_free(context);
  if (!ok) throw_openssl("SHA-256");
  return digest;
}

Sha256 hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message) {
  return HmacSha256(key).sign(message);
}

void hex_append(std::span<const std::byte> data, std::string& out) {
  const size_t start = out.size();
  out.resize(start + data.size() * 2);
  char* at = out.data() + start;
  for (const std::byte byte : data) {
    *at++ = hex_digits[static_cast<unsigned>(byte) >> 4];
    *at++ = hex_digits[static_cast<unsigned>(byte) & 15];
  }
}

std::string hex_encode(std::span<const std::byte> data) {
  std::string out;
  hex_append(data, out);
  return out;
}

std::optional<std::vector<std::byte>> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return {};
  const auto value_of = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::vector<std::byte> data;
  data.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = value_of(text[i]);
    const int low = value_of(text[i + 1]);
    if (high < 0 || low < 0) return {};
    data.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return data;
}

std::string base64_encode(std::span<const std::byte> data) {
  std::string text;
  text.reserve((data.size() + 2) / 3 * 4);
  for (size_t i = 0; i < data.size(); i += 3) {
    const size_t count = std::min<size_t>(3, data.size() - i);
    unsigned group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? static_cast<unsigned>(data[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) text += k <= count ? base64_digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::optional<std::vector<std::byte>> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return {};
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::vector<std::byte> data;
  data.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    unsigned group = 0;
    for (size_t k = 0; k < 4; ++k) {
      const uint8_t value = k < digits ? base64_values[static_cast<unsigned char>(text[i + k])] : 0;
      if (value == 255) return {};
      group = group << 6 | value;
    }
    // Bits that no byte takes must be zero, or two texts would mean the same bytes.
    if ((digits == 2 && (group & 0xffff) != 0) || (digits == 3 && (group & 0xff) != 0)) return {};
    for (size_t k = 0; k + 1 < digits; ++k) data.push_back(static_cast<std::byte>(group >> (16 - 8 * k) & 255));
  }
  return data;
}

std::string crc64_to_base64(Crc64 crc) {
  std::array<std::byte, 8> bytes;
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(crc >> (56 - 8 * i) & 255);
  return base64_encode(bytes);
}

std::optional<Crc64> crc64_from_base64(std::string_view text) {
  const auto bytes = base64_decode(text);
  if (!bytes || bytes->size() != 8) return {};
  Crc64 crc = 0;
  for (const std::byte byte : *bytes) crc = crc << 8 | static_cast<Crc64>(byte);
  return crc;
}

std::string openssl_version_number() { return OpenSSL_version(OPENSSL_VERSION_STRING); }

}  // namespace waybill::internal
