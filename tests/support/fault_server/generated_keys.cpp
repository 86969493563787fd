// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/generated_keys.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "support/fault_server/content.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr uint64_t days = 30;
constexpr uint64_t busy_day = 14;  // counted from 0

std::string padded(uint64_t number, int digits, const char* format = "%0*llu") {
  char text[32];
  std::snprintf(text, sizeof text, format, digits, static_cast<unsigned long long>(number));
  return text;
}

// The n-th of `count` objects in the order of days: one in forty before the busy day, one in forty after it.
std::string skewed_key(uint64_t n, uint64_t count) {
  const uint64_t side = count / 40;
  uint64_t day = busy_day;
  uint64_t within = n - side;
  if (n < side) {
    const uint64_t each = side / busy_day + 1;
    day = n / each;
    within = n % each;
  } else if (n >= count - side) {
    const uint64_t each = side / (days - busy_day - 1) + 1;
    const uint64_t after = n - (count - side);
    day = busy_day + 1 + after / each;
    within = after % each;
  }
  return "2026-01-" + padded(day + 1, 2) + "/" + padded(within, 8) + ".bin";
}

}  // namespace

GeneratedKeys GeneratedKeys::from_json(const nlohmann::json& json) {
  GeneratedKeys keys;
  for (const auto& [name, value] : json.items()) {
    if (name == "shape") {
      const std::string shape = value.get<std::string>();
      if (shape == "hex")
        keys.shape = KeyShape::hex;
      else if (shape == "padded")
        keys.shape = KeyShape::padded;
      else if (shape == "skewed")
        keys.shape = KeyShape::skewed;
      else if (shape == "nested")
        keys.shape = KeyShape::nested;
      else
        throw std::invalid_argument("no such shape: " + shape);
    } else if (name == "prefix") {
      keys.prefix = percent_decode(value.get<std::string>());
    } else if (name == "count") {
      keys.count = value;
    } else if (name == "size") {
      keys.size = value;
    } else if (name == "size_most") {
      keys.size_most = value;
    } else if (name == "md5_etags") {
      keys.md5_etags = value;
    } else if (name == "seed") {
      keys.seed = value;
    } else {
      throw std::invalid_argument("generated keys have no field " + name);
    }
  }
  return keys;
}

std::string GeneratedKeys::key(uint64_t n) const {
  switch (shape) {
    case KeyShape::hex: {
      const uint64_t step = UINT64_MAX / (count + 1) + 1;
      return prefix + padded(n * step + mix(seed + n) % step, 16, "%0*llx");
    }
    case KeyShape::padded:
      return prefix + padded(n, 12);
    case KeyShape::skewed:
      return prefix + skewed_key(n, count);
    case KeyShape::nested:
      return prefix + padded(n / 100'000, 3) + "/" + padded(n / 100 % 1000, 3) + "/" + padded(n % 100, 2) + ".bin";
  }
  return {};
}

uint64_t GeneratedKeys::lower_bound(std::string_view wanted) const {
  uint64_t low = 0;
  uint64_t high = count;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (key(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::optional<uint64_t> GeneratedKeys::find(std::string_view wanted) const {
  if (!wanted.starts_with(prefix)) return std::nullopt;
  const uint64_t n = lower_bound(wanted);
  return n < count && key(n) == wanted ? std::optional(n) : std::nullopt;
}

uint64_t GeneratedKeys::size_of(uint64_t n) const noexcept {
  return size_most > size ? size + mix(seed_of(n)) % (size_most - size + 1) : size;
}

uint64_t GeneratedKeys::seed_of(uint64_t n) const noexcept { return mix(seed) ^ mix(n); }

std::string GeneratedKeys::etag_of(uint64_t n) const {
  const std::string digits = padded(mix(seed_of(n)), 16, "%0*llx");
  if (md5_etags) return digits + digits;
  // Not of 32 digits, so that nobody takes it for an MD5.
  return "generated-" + digits;
}

}  // namespace waybill::testing::fault
