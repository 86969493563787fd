// SPDX-License-Identifier: Apache-2.0
//
// See rows.hpp.
#include "trackers/sqlite/rows.hpp"

#include <cstring>
#include <utility>

#include "base/hash.hpp"

namespace waybill::internal {
namespace {

// The bits of `status`. Frozen: they are in ledgers.
constexpr int basis_shift = 3, change_shift = 5, seen_shift = 7, run_shift = 24;
constexpr int64_t gone_bit = 1 << 9, waived_bit = 1 << 10, left_bit = 1 << 11, has_crc_bit = 1 << 12,
                  has_copied_bit = 1 << 13, has_verified_bit = 1 << 14, has_stored_bit = 1 << 15,
                  stored_without_mtime_bit = 1 << 16, stored_same_crc_bit = 1 << 17, stored_same_sha_bit = 1 << 18;

// A row is inserted with room for what its outcome will add, so that outcomes do not split the pages of the tree.
constexpr int64_t crc_room = INT64_MIN;
// What the column `more` holds. Frozen.
enum class More : char {
  source_version = 1,
  stored_mtime_ns = 2,
  stored_version = 3,
  stored_crc64 = 4,
  stored_sha256 = 5,
  destination_key = 6
};

void append(std::string& more, More tag, std::string_view bytes) {
  more += static_cast<char>(tag);
  more += static_cast<char>(bytes.size() & 0xff);
  more += static_cast<char>(bytes.size() >> 8 & 0xff);
  more += bytes.substr(0, 0xffff);
}

void append(std::string& more, More tag, uint64_t number) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (8 * i) & 0xff);
  append(more, tag, std::string_view(bytes, sizeof bytes));
}

uint64_t number_in(std::string_view bytes) noexcept {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes.size() && i < 8; ++i)
    number |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return number;
}

int64_t floor_seconds(int64_t ms) noexcept { return ms / 1000 - (ms % 1000 < 0 ? 1 : 0); }

std::string_view view(const Sha256& digest) noexcept {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Error damaged(Database& database) {
  return Error(ErrorCode::data_loss, ErrorClass::tracker,
               database.path() +
                   " is damaged (an item row has an impossible value); restore it from a copy, or start " +
                   "with a new ledger");
}

Sha256 sha_in(Database& database, std::string_view bytes) {
  Sha256 digest;
  if (bytes.size() != digest.size()) throw damaged(database);
  std::memcpy(digest.data(), bytes.data(), digest.size());
  return digest;
}

bool same_crc(const ItemRecord& record) noexcept {
  return record.stored && record.stored->digest.crc64nvme && record.stored->digest.crc64nvme == record.digest.crc64nvme;
}

bool same_sha(const ItemRecord& record) noexcept {
  return record.stored && record.stored->digest.sha256 && record.stored->digest.sha256 == record.digest.sha256;
}

std::optional<uint64_t> as_unsigned(const std::optional<int64_t>& value) noexcept {
  if (!value) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::string more_of(const ItemRecord& record) {
  std::string more;
  if (!record.stamp.version.empty()) append(more, More::source_version, record.stamp.version);
  if (!record.destination_key.empty()) append(more, More::destination_key, record.destination_key);
  if (!record.stored) return more;
  const Stored& stored = *record.stored;
  if (stored.mtime_ns && stored.mtime_ns != record.stamp.mtime_ns) {
    append(more, More::stored_mtime_ns, static_cast<uint64_t>(*stored.mtime_ns));
  }
  if (!stored.version.empty()) append(more, More::stored_version, stored.version);
  if (stored.digest.crc64nvme && !same_crc(record)) append(more, More::stored_crc64, *stored.digest.crc64nvme);
  if (stored.digest.sha256 && !same_sha(record)) append(more, More::stored_sha256, view(*stored.digest.sha256));
  return more;
}

/// The next entry of `more`, which is not empty.
std::pair<More, std::string_view> take_more(Database& database, std::string_view& more) {
  if (more.size() < 3) throw damaged(database);
  const auto tag = static_cast<More>(more[0]);
  const size_t size = static_cast<unsigned char>(more[1]) | size_t{static_cast<unsigned char>(more[2])} << 8;
  if (more.size() < 3 + size) throw damaged(database);
  const std::string_view bytes = more.substr(3, size);
  more.remove_prefix(3 + size);
  return {tag, bytes};
}

void decode_more(Database& database, std::string_view more, ItemRecord& record) {
  while (!more.empty()) {
    const auto [tag, bytes] = take_more(database, more);
    const bool is_of_stored = tag != More::source_version && tag != More::destination_key;
    if (is_of_stored && !record.stored) throw damaged(database);
    switch (tag) {
      case More::source_version:
        record.stamp.version = bytes;
        break;
      case More::stored_mtime_ns:
        record.stored->mtime_ns = static_cast<int64_t>(number_in(bytes));
        break;
      case More::stored_version:
        record.stored->version = bytes;
        break;
      case More::stored_crc64:
        record.stored->digest.crc64nvme = number_in(bytes);
        break;
      case More::stored_sha256:
        record.stored->digest.sha256 = sha_in(database, bytes);
        break;
      case More::destination_key:
        record.destination_key = bytes;
        break;
      default:
        throw damaged(database);
    }
  }
}

/// Everything but what decode_more() adds.
Stored decode_stored(const Statement& statement, int first, int64_t status, const ItemRecord& record) {
  Stored stored;
  stored.size =
      statement.is_null(first) ? record.stamp.size.value_or(0) : static_cast<uint64_t>(statement.integer(first));
  stored.etag = statement.is_null(first + 1) ? record.stamp.etag : unpack_etag(statement, first + 1);
  if ((status & stored_without_mtime_bit) == 0) stored.mtime_ns = record.stamp.mtime_ns;
  if ((status & stored_same_crc_bit) != 0) stored.digest.crc64nvme = record.digest.crc64nvme;
  if ((status & stored_same_sha_bit) != 0) stored.digest.sha256 = record.digest.sha256;
  return stored;
}

}  // namespace

int64_t status_of(const ItemRecord& record) noexcept {
  int64_t status = static_cast<int64_t>(record.state) | static_cast<int64_t>(record.basis) << basis_shift |
                   static_cast<int64_t>(record.change) << change_shift |
                   static_cast<int64_t>(record.seen) << seen_shift | static_cast<int64_t>(record.run) << run_shift;
  if (record.gone_at_source) status |= gone_bit;
  if (record.waived) status |= waived_bit;
  if (record.left) status |= left_bit;
  if (record.digest.crc64nvme) status |= has_crc_bit;
  if (record.copied_at_ms) status |= has_copied_bit;
  if (record.verified_at_ms) status |= has_verified_bit;
  if (!record.stored) return status;
  status |= has_stored_bit;
  if (!record.stored->mtime_ns && record.stamp.mtime_ns) status |= stored_without_mtime_bit;
  if (same_crc(record)) status |= stored_same_crc_bit;
  if (same_sha(record)) status |= stored_same_sha_bit;
  return status;
}

ItemState state_in(int64_t status) noexcept { return static_cast<ItemState>(status & 7); }

PackedEtag::PackedEtag(std::string_view etag) : etag_(etag) {
  if (etag.size() < 16 || etag.size() % 2 != 0) return;
  packed_.resize(etag.size() / 2);
  for (size_t i = 0; i < etag.size(); ++i) {
    const char c = etag[i];
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else {
      return;
    }
    packed_[i / 2] = static_cast<char>(i % 2 == 0 ? digit << 4 : static_cast<unsigned char>(packed_[i / 2]) | digit);
  }
  is_packed_ = true;
}

void PackedEtag::bind(Statement& statement, int index) const noexcept {
  if (is_packed_) {
    statement.bind_blob(index, packed_);
  } else {
    statement.bind_text(index, etag_);
  }
}

std::string unpack_etag(const Statement& statement, int column) {
  const bool is_packed = statement.is_blob(column);
  const std::string_view bytes = statement.bytes(column);
  return is_packed ? hex_encode(as_bytes(bytes)) : std::string(bytes);
}

void run_with_row(Statement& statement, int first, const ItemRecord& record, TimeBase base, int64_t now_s) {
  const bool has_outcome_to_come = record.state != ItemState::excluded && !record.stored;
  const PackedEtag etag(record.stamp.etag);
  const PackedEtag stored_etag(record.stored ? std::string_view(record.stored->etag) : std::string_view());
  const std::string more = more_of(record);
  statement.bind(first, status_of(record));
  statement.bind(first + 1, record.revision);
  statement.bind(first + 2, static_cast<int64_t>(record.error_class));
  statement.bind_optional(first + 3, record.stamp.size);
  if (!record.stamp.etag.empty()) etag.bind(statement, first + 4);
  statement.bind_optional(first + 5, record.stamp.mtime_ns);
  if (!record.stamp.opaque.empty()) statement.bind_blob(first + 6, record.stamp.opaque);
  if (record.digest.crc64nvme) {
    statement.bind(first + 7, static_cast<int64_t>(*record.digest.crc64nvme));
  } else if (has_outcome_to_come) {
    statement.bind(first + 7, crc_room);
  }
  if (record.digest.sha256) statement.bind_blob(first + 8, view(*record.digest.sha256));
  if (record.copied_at_ms) {
    statement.bind(first + 9, floor_seconds(*record.copied_at_ms) - base.seconds);
  } else if (has_outcome_to_come) {
    statement.bind(first + 9, now_s);
  }
  if (record.verified_at_ms) statement.bind(first + 10, floor_seconds(*record.verified_at_ms) - base.seconds);
  if (record.stored && record.stamp.size != record.stored->size) {
    statement.bind(first + 11, static_cast<int64_t>(record.stored->size));
  }
  if (record.stored && record.stored->etag != record.stamp.etag) stored_etag.bind(statement, first + 12);
  if (!more.empty()) statement.bind_blob(first + 13, more);
  statement.run();
}

void decode_row(Database& database, const Statement& statement, int first, TimeBase base, ItemRecord& record) {
  const int64_t status = statement.integer(first);
  const int64_t change = status >> change_shift & 3;
  if ((status & 7) > static_cast<int64_t>(ItemState::vanished) || change > static_cast<int64_t>(Change::unchanged) ||
      status < 0) {
    throw damaged(database);
  }
  record.state = state_in(status);
  record.basis = static_cast<Basis>(status >> basis_shift & 3);
  record.change = static_cast<Change>(change);
  record.seen = static_cast<DestinationSeen>(status >> seen_shift & 3);
  record.gone_at_source = (status & gone_bit) != 0;
  record.waived = (status & waived_bit) != 0;
  record.left = (status & left_bit) != 0;
  record.run = static_cast<uint64_t>(status >> run_shift);
  record.revision = static_cast<uint32_t>(statement.integer(first + 1));
  record.error_class = static_cast<ErrorClass>(statement.integer(first + 2));
  record.stamp.size = as_unsigned(statement.optional_integer(first + 3));
  record.stamp.etag = statement.is_null(first + 4) ? std::string() : unpack_etag(statement, first + 4);
  record.stamp.mtime_ns = statement.optional_integer(first + 5);
  record.stamp.version.clear();
  record.stamp.opaque = statement.text(first + 6);
  record.destination_key.clear();
  record.digest = {};
  if ((status & has_crc_bit) != 0) record.digest.crc64nvme = static_cast<uint64_t>(statement.integer(first + 7));
  if (!statement.is_null(first + 8)) record.digest.sha256 = sha_in(database, statement.bytes(first + 8));
  record.copied_at_ms.reset();
  if ((status & has_copied_bit) != 0) record.copied_at_ms = (statement.integer(first + 9) + base.seconds) * 1000;
  record.verified_at_ms.reset();
  if ((status & has_verified_bit) != 0) record.verified_at_ms = (statement.integer(first + 10) + base.seconds) * 1000;
  record.stored.reset();
  if ((status & has_stored_bit) != 0) record.stored = decode_stored(statement, first + 11, status, record);
  if (!statement.is_null(first + 13)) decode_more(database, statement.bytes(first + 13), record);
}

Key destination_key_in(Database& database, std::string_view more) {
  while (!more.empty()) {
    const auto [tag, bytes] = take_more(database, more);
    if (tag == More::destination_key) return Key(bytes);
  }
  return {};
}

Brief read_brief(const Statement& statement, int first) noexcept {
  return {statement.integer(first), statement.integer(first + 1), statement.optional_integer(first + 2)};
}

void decode_brief(const Brief& brief, ItemRecord& record) noexcept {
  record.state = state_in(brief.status);
  record.change = static_cast<Change>(brief.status >> change_shift & 3);
  record.waived = (brief.status & waived_bit) != 0;
  record.left = (brief.status & left_bit) != 0;
  record.run = static_cast<uint64_t>(brief.status >> run_shift);
  record.error_class = static_cast<ErrorClass>(brief.error_class);
  record.stamp.size = as_unsigned(brief.size);
}

}  // namespace waybill::internal
