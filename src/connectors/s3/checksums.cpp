// SPDX-License-Identifier: Apache-2.0
//
// See checksums.hpp. The CRCs of 32 bits go through eight tables at once, eight bytes a step.
#include "connectors/s3/checksums.hpp"

#include <algorithm>
#include <array>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "connectors/s3/xml.hpp"

namespace waybill::s3 {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables(uint32_t reflected_polynomial) {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? reflected_polynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables crc32_tables = make_tables(0xEDB88320U);
constexpr Tables crc32c_tables = make_tables(0x82F63B78U);

uint32_t crc_of(const Tables& tables, std::span<const std::byte> data, uint32_t previous) noexcept {
  uint32_t crc = ~previous;
  const auto* at = reinterpret_cast<const unsigned char*>(data.data());
  size_t left = data.size();
  for (; left >= 8; left -= 8, at += 8) {
    const uint32_t low = crc ^ (at[0] | uint32_t{at[1]} << 8 | uint32_t{at[2]} << 16 | uint32_t{at[3]} << 24);
    crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
          tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

bool is_hex_digits(std::string_view text) noexcept {
  return text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

}  // namespace

Checksum::Checksum(ChecksumKind kind) : kind_(kind) {
  if (kind == ChecksumKind::sha256) sha256_.emplace();
  if (kind == ChecksumKind::md5) md5_.emplace();
}

void Checksum::update(std::span<const std::byte> data) {
  switch (kind_) {
    case ChecksumKind::crc64nvme:
      crc_ = internal::crc64nvme(data, crc_);
      break;
    case ChecksumKind::crc32c:
      crc_ = crc_of(crc32c_tables, data, static_cast<uint32_t>(crc_));
      break;
    case ChecksumKind::crc32:
      crc_ = crc_of(crc32_tables, data, static_cast<uint32_t>(crc_));
      break;
    case ChecksumKind::sha256:
      sha256_->update(data);
      break;
    case ChecksumKind::md5:
      md5_->update(data);
      break;
  }
}

std::string Checksum::bytes() {
  const auto text_of = [](const auto& digest) {
    return std::string(reinterpret_cast<const char*>(digest.data()), digest.size());
  };
  if (sha256_) return text_of(sha256_->finish());
  if (md5_) return text_of(md5_->finish());
  std::string text;
  for (int shift = kind_ == ChecksumKind::crc64nvme ? 56 : 24; shift >= 0; shift -= 8) {
    text += static_cast<char>(crc_ >> shift & 0xff);
  }
  return text;
}

std::string Checksum::text() { return internal::base64_encode(internal::as_bytes(bytes())); }

std::string Checksum::hex() { return internal::hex_encode(internal::as_bytes(bytes())); }

std::string_view header_of(ChecksumKind kind) noexcept {
  switch (kind) {
    case ChecksumKind::crc64nvme:
      return "x-amz-checksum-crc64nvme";
    case ChecksumKind::crc32c:
      return "x-amz-checksum-crc32c";
    case ChecksumKind::crc32:
      return "x-amz-checksum-crc32";
    case ChecksumKind::sha256:
      return "x-amz-checksum-sha256";
    case ChecksumKind::md5:
      break;
  }
  return "content-md5";
}

std::optional<ChecksumKind> wrong_checksum(const internal::HttpResponse& response, std::span<const std::byte> content) {
  if (response.header("x-amz-checksum-type") == "COMPOSITE") return std::nullopt;
  for (const ChecksumKind kind :
       {ChecksumKind::crc64nvme, ChecksumKind::crc32c, ChecksumKind::crc32, ChecksumKind::sha256}) {
    const std::string_view said = response.header(header_of(kind));
    // A checksum of checksums ends in the number of parts; '-' is no character of base64.
    if (said.empty() || said.find('-') != std::string_view::npos) continue;
    Checksum ours(kind);
    ours.update(content);
    return ours.text() == said ? std::nullopt : std::optional(kind);
  }
  return std::nullopt;
}

bool has_md5_etag(const internal::HttpResponse& response) {
  const std::string_view etag = unquote_etag(response.header("etag"));
  if (etag.size() != 32 || !is_hex_digits(etag)) return false;
  return !response.header("x-amz-server-side-encryption").starts_with("aws:kms") &&
         !response.has_header("x-amz-server-side-encryption-customer-algorithm");
}

bool is_same_etag(std::string_view a, std::string_view b) noexcept {
  if (a == b) return true;
  const size_t digits = std::min(a.find('-'), a.size());
  return digits == 32 && is_hex_digits(a.substr(0, digits)) && internal::equals_ignoring_case(a, b);
}

}  // namespace waybill::s3
