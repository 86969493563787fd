// SPDX-License-Identifier: Apache-2.0
//
// The packed form of an item row: how an ItemRecord becomes the columns of the table `items`, and back. The layout is
// described in schema.cpp.
//
// Invariant: decode(encode(record)) == record, except that times keep whole seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "trackers/sqlite/database.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// Columns of `items` in the order in which encode() binds and decode() reads them, after partition, key and version.
#define WAYBILL_ITEM_COLUMNS                                                                             \
  "status, revision, error_class, size, etag, mtime_ns, opaque, crc64, sha256, copied_at, verified_at, " \
  "stored_size, stored_etag, more"
inline constexpr int n_item_columns = 14;

/// Times in rows are whole seconds from here. It lies before the ledger's creation, so that all of them take the same
/// room for the first weeks.
struct TimeBase {
  int64_t seconds = 0;
};

/// `status` of a row: its enumerations and flags in 24 bits, and the run above them.
int64_t status_of(const ItemRecord& record) noexcept;
ItemState state_in(int64_t status) noexcept;

/// An etag as it is stored: a blob if it was an even number, at least 16, of lower-case hexadecimal digits (half the
/// size), else text.
class PackedEtag {
 public:
  explicit PackedEtag(std::string_view etag);
  void bind(Statement& statement, int index) const noexcept;

 private:
  bool is_packed_ = false;
  std::string packed_;
  std::string_view etag_;
};
std::string unpack_etag(const Statement& statement, int column);

/// Binds a record to n_item_columns parameters from `first` on and runs the statement. `now_s` is the present time from
/// the base: it holds the room of the times that are not there yet.
void run_with_row(Statement& statement, int first, const ItemRecord& record, TimeBase base, int64_t now_s);

/// Reads n_item_columns columns from `first` on into everything of `record` but its id. Errors: tracker (damaged).
void decode_row(Database& database, const Statement& statement, int first, TimeBase base, ItemRecord& record);

/// The destination key that the column `more` of a row holds; "" where it holds none. Errors: tracker (damaged).
Key destination_key_in(Database& database, std::string_view more);

/// What accounts need of a row.
struct Brief {
  int64_t status = 0;
  int64_t error_class = 0;
  std::optional<int64_t> size;
};

/// From the columns status, error_class and size, which are `first` and the two after it.
Brief read_brief(const Statement& statement, int first) noexcept;
/// The fields of a record that a brief tells; the others are as they were.
void decode_brief(const Brief& brief, ItemRecord& record) noexcept;

}  // namespace waybill::internal
