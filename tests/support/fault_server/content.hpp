// SPDX-License-Identifier: Apache-2.0
//
// Bytes that an object or an answer consists of: held, generated, joined of parts, changed in one place, or known by
// their digest only. Immutable, so that answers can refer to them while the store goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace waybill::testing::fault {

class Content {
 public:
  virtual ~Content() = default;
  virtual uint64_t size() const noexcept = 0;
  /// Fills `out` with the bytes from `offset` on; they have to be there.
  virtual void read(uint64_t offset, char* out, size_t count) const = 0;
  /// Whether read() gives what was written; zeros come out of a digest sink.
  virtual bool is_held() const noexcept { return true; }
};

using ContentPtr = std::shared_ptr<const Content>;

ContentPtr held_content(std::string bytes);
/// Pseudo-random bytes that depend on the seed and the offset alone.
ContentPtr generated_content(uint64_t seed, uint64_t size);
ContentPtr joined_content(std::vector<ContentPtr> parts);
ContentPtr part_of_content(ContentPtr whole, uint64_t begin, uint64_t end);
/// A size without bytes.
ContentPtr sunk_content(uint64_t size);
/// `whole` with the byte at `offset` inverted, or with all of them.
ContentPtr flipped_content(ContentPtr whole, uint64_t offset);
ContentPtr inverted_content(ContentPtr whole);

std::string read_all(const Content& content);
/// A good mixer of 64 bits; also the source of every "random" decision here.
uint64_t mix(uint64_t value) noexcept;

}  // namespace waybill::testing::fault
