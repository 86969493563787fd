// SPDX-License-Identifier: Apache-2.0
//
// The words of item states, and reading from a Body of either kind.
#include "waybill/item.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace waybill {
namespace {

// Indexed by the enumerators' numbers, which are frozen.
constexpr std::array state_words = {"pending", "copied", "verified", "failed", "excluded", "vanished"};
constexpr std::array basis_words = {"none", "written", "matched_checksum", "matched_weak"};

}  // namespace

const char* to_string(ItemState state) noexcept {
  const auto index = static_cast<size_t>(state);
  return index < state_words.size() ? state_words[index] : "unknown";
}

const char* to_string(Basis basis) noexcept {
  const auto index = static_cast<size_t>(basis);
  return index < basis_words.size() ? basis_words[index] : "unknown";
}

std::optional<ItemState> item_state_from(std::string_view word) noexcept {
  for (size_t index = 0; index < state_words.size(); ++index) {
    if (word == state_words[index]) return static_cast<ItemState>(index);
  }
  return std::nullopt;
}

size_t Body::read(uint64_t offset, std::span<std::byte> out) const {
  if (offset >= size_) return 0;
  const auto count = static_cast<size_t>(std::min<uint64_t>(out.size(), size_ - offset));
  if (count == 0) return 0;
  if (reader_) {
    const size_t filled = reader_(offset, out.first(count));
    if (filled > count) {
      throw Error(ErrorCode::internal, ErrorClass::internal, "a body's reader filled more bytes than it was given");
    }
    return filled;
  }
  std::memcpy(out.data(), data_.data() + offset, count);
  return count;
}

}  // namespace waybill
