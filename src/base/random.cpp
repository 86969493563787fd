// SPDX-License-Identifier: Apache-2.0
//
// xoshiro256** 1.0 (Blackman, Vigna; public domain algorithm) over a splitmix64 seed.
#include "base/random.hpp"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <vector>

#include "base/hash.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {
namespace {

void fill_random(void* out, size_t size) {
  auto* at = static_cast<unsigned char*>(out);
  while (size > 0) {
    const ssize_t count = getrandom(at, size, 0);
    if (count < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "getrandom");
    }
    at += count;
    size -= static_cast<size_t>(count);
  }
}

uint64_t kernel_seed() {
  uint64_t seed = 0;
  fill_random(&seed, sizeof seed);
  return seed;
}

}  // namespace

Random::Random() : Random(kernel_seed()) {}

Random::Random(uint64_t seed) noexcept {
  for (uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15u;
    uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    word = mixed ^ (mixed >> 31);
  }
}

uint64_t Random::next() noexcept {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::below(uint64_t bound) noexcept {
  if (bound == 0) return 0;
  // Values under the threshold would make some results more likely than others.
  const uint64_t threshold = (0 - bound) % bound;
  uint64_t value = next();
  while (value < threshold) value = next();
  return value % bound;
}

double Random::unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

std::string hex_id(size_t n_bytes) {
  std::vector<std::byte> bytes(n_bytes);
  fill_random(bytes.data(), bytes.size());
  return hex_encode(bytes);
}

}  // namespace waybill::internal
