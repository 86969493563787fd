// SPDX-License-Identifier: Apache-2.0
//
// Random numbers for jitter and names; not for keys. Seeded from the kernel, or from a given seed so that a simulation
// can be repeated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace waybill::internal {

/// xoshiro256** seeded through splitmix64. One thread at a time.
class Random {
 public:
  using result_type = uint64_t;

  /// Seeded from the kernel's random source.
  Random();
  /// The same seed gives the same numbers on every machine.
  explicit Random(uint64_t seed) noexcept;

  uint64_t next() noexcept;
  /// Uniform in [0, bound); 0 if bound is 0.
  uint64_t below(uint64_t bound) noexcept;
  /// Uniform in [0, 1).
  double unit() noexcept;

  // UniformRandomBitGenerator, for std::shuffle and the distributions.
  static constexpr uint64_t min() noexcept { return 0; }
  static constexpr uint64_t max() noexcept { return UINT64_MAX; }
  uint64_t operator()() noexcept { return next(); }

 private:
  uint64_t state_[4];
};

/// `n_bytes` from the kernel's random source as lower-case hexadecimal: an id that no other process will draw (8 bytes
/// or more). Any thread.
std::string hex_id(size_t n_bytes);

}  // namespace waybill::internal
