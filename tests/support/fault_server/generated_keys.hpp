// SPDX-License-Identifier: Apache-2.0
//
// Objects by rule instead of by storage: the n-th key of a set, in the order of bytes, and its size and content follow
// from n and a seed. Any number of them costs no memory, and the first key from a given one on is found in O(log n).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::testing::fault {

enum class KeyShape {
  hex,     ///< <prefix> and 16 hexadecimal digits, spread evenly
  padded,  ///< <prefix> and the number with twelve digits
  skewed,  ///< <prefix>2026-01-DD/<eight digits>.bin: 95 % on the 15th, the rest on the other days
  nested,  ///< <prefix>XXX/YYY/<n>.bin: a hundred in each folder, a thousand folders in each above
};

struct GeneratedKeys {
  KeyShape shape = KeyShape::hex;
  std::string prefix{};  ///< may be long
  uint64_t count = 0;
  uint64_t size = 4096;    ///< bytes of each object
  uint64_t size_most = 0;  ///< where larger than `size`: sizes lie between the two
  uint64_t seed = 1;
  bool md5_etags = false;  ///< ETags of 32 digits, as of an MD5, so that listings alone tell that two objects are the same

  /// From {"shape": …}; `prefix` percent-encoded. Throws std::invalid_argument.
  static GeneratedKeys from_json(const nlohmann::json& json);

  std::string key(uint64_t n) const;
  /// The first n whose key is not less; `count` where there is none.
  uint64_t lower_bound(std::string_view wanted) const;
  std::optional<uint64_t> find(std::string_view wanted) const;
  uint64_t size_of(uint64_t n) const noexcept;
  uint64_t seed_of(uint64_t n) const noexcept;
  std::string etag_of(uint64_t n) const;
};

}  // namespace waybill::testing::fault
