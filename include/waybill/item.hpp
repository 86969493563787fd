// SPDX-License-Identifier: Apache-2.0
//
// The unit that moves and what is known of it: Item, its identity, its stamp, its attributes, its bytes (Body).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "waybill/error.hpp"

namespace waybill {

/// Bytes that name an item within its partition: not necessarily UTF-8, at most 65,535 of them, compared bytewise. A
/// key that ends in '/' and has no bytes of its own names an empty folder.
using Key = std::string;

/// Who an item is. Two items are the same item exactly if all three are equal.
struct ItemId {
  std::string partition;  ///< a named set of items (an account, a space); "" where there is only one
  Key key;
  std::string version;  ///< "" unless versions move (Source::Capabilities::versions)

  auto operator<=>(const ItemId&) const = default;
};

/// What tells one revision of an item from the next. A source fills what it has and leaves the rest empty; two stamps
/// are the same revision exactly if all fields are equal.
struct SourceStamp {
  std::optional<uint64_t> size;      ///< bytes; empty where the source does not know before reading
  std::string etag;                  ///< as the source gives it, without quotes
  std::optional<int64_t> mtime_ns;   ///< nanoseconds since 1970-01-01T00:00:00Z
  std::string version;               ///< the source's version id, if it keeps versions
  std::string opaque;                ///< anything else that changes when the content does; at most 255 bytes

  bool operator==(const SourceStamp&) const = default;
};

/// CRC-64/NVME of a run of bytes (the checksum S3 keeps by default; parameters in src/base/hash.hpp).
using Crc64 = uint64_t;
using Sha256 = std::array<std::byte, 32>;

/// Digests of content. Empty means not computed, never "zero".
struct Digest {
  std::optional<Crc64> crc64nvme;
  std::optional<Sha256> sha256;

  bool operator==(const Digest&) const = default;
};

/// What travels with the bytes. Empty means the source has none. Sources that fill it and destinations that keep it
/// say so in their Capabilities.
struct Attributes {
  std::string content_type;
  std::string content_encoding;
  std::string content_language;
  std::string content_disposition;
  std::string cache_control;
  std::string expires;
  std::string storage_class;
  std::string website_redirect;  ///< where a bucket that is a website sends whoever asks for the object
  std::map<std::string, std::string> metadata;  ///< user metadata; names in lower case, without "x-amz-meta-"
  std::map<std::string, std::string> tags;
  std::optional<uint32_t> mode;       ///< POSIX permission bits, 07777 at most
  std::optional<int64_t> mtime_ns;    ///< nanoseconds since 1970-01-01T00:00:00Z

  bool operator==(const Attributes&) const = default;
};

/// One entry of a listing.
struct Item {
  ItemId id;
  SourceStamp stamp;
  Digest digest;              ///< of the content, where the store's listing gives one
  std::string partition_name; ///< a human name of the partition; "" if it has none
  /// Further words that the source has of it, for key and URL templates: by their names. Empty where it has none.
  std::map<std::string, std::string> names;
  /// When the store says that the item last changed, in ms since 1970 UTC. For filters by age only: no part of the
  /// revision. Empty where the stamp has a time, or the store tells none.
  std::optional<int64_t> modified_at_ms;
  /// Set where the lister already knows that this item cannot move: `unsupported` for a FIFO, `permission` for a
  /// folder that cannot be read, … The item is then recorded as failed with `reason`, and never read.
  ErrorClass refused = ErrorClass::none;
  std::string reason;

  const Key& key() const noexcept { return id.key; }
};

/// The bytes of one write: a whole small object, or one part of a large one. Length and digest are known before the
/// write begins, unless the body is windowed.
///
/// Up to 64 MiB a body is contiguous memory. Larger ones are windowed: data() is empty, and the destination pulls the
/// bytes in order through read(), in windows of at most 1 MiB; a retry of the write starts at offset 0 again.
///
/// *Thread safety:* used by one thread. *Lifetime:* valid until the call that received it returns.
class Body {
 public:
  /// Fills `out` from byte `offset` of the body and returns how many bytes it filled: all of `out`, less only at the
  /// end of the body.
  using Reader = std::function<size_t(uint64_t offset, std::span<std::byte> out)>;

  /// A contiguous body over memory that the caller keeps alive.
  Body(std::span<const std::byte> data, Digest digest) : data_(data), size_(data.size()), digest_(digest) {}
  /// A windowed body of `size` bytes; its digest is not known before it has been read.
  Body(uint64_t size, Reader reader) : size_(size), reader_(std::move(reader)) {}

  uint64_t size() const noexcept { return size_; }
  bool is_contiguous() const noexcept { return !reader_; }
  /// The bytes of a contiguous body; empty for a windowed one.
  std::span<const std::byte> data() const noexcept { return data_; }
  const Digest& digest() const noexcept { return digest_; }
  /// Copies bytes out, for both kinds. Errors: whatever the source's read throws.
  size_t read(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::span<const std::byte> data_;
  uint64_t size_ = 0;
  Digest digest_;
  Reader reader_;
};

/// State of an item in the ledger. Stored: numbers never change.
enum class ItemState : int { pending = 0, copied = 1, verified = 2, failed = 3, excluded = 4, vanished = 5 };

/// Why an item counts as copied. Stored: numbers never change.
enum class Basis : int {
  none = 0,
  written = 1,           ///< this ledger wrote it
  matched_checksum = 2,  ///< it was there already, and a digest of the content says it is the same
  matched_weak = 3,      ///< it was there already, and size and time say it is the same
};

/// What a run did to a done item. Stored: numbers never change.
enum class Change : int { created = 0, updated = 1, unchanged = 2 };

const char* to_string(ItemState state) noexcept;
const char* to_string(Basis basis) noexcept;
std::optional<ItemState> item_state_from(std::string_view word) noexcept;

/// A key as text for people: UTF-8, with control characters, invalid bytes and the backslash written as `\xNN` or
/// `\\`. Unambiguous, one line.
std::string printable(std::string_view key);

}  // namespace waybill
