// SPDX-License-Identifier: Apache-2.0

#include "engine/decide.hpp"

#include <algorithm>

#include "base/accounts.hpp"
#include "base/text.hpp"

namespace waybill::internal {
namespace {

// An ETag that is the MD5 of the content: 32 hexadecimal digits. Two equal ones with equal sizes are equal contents;
// two different ones say nothing (encryption, parts).
bool looks_like_md5(const std::string& etag) {
  return etag.size() == 32 && std::all_of(etag.begin(), etag.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

ItemChange fail(ItemRecord record, ErrorClass error_class, std::string reason) {
  record.state = ItemState::failed;
  record.error_class = error_class;
  ItemChange change;
  change.record = std::move(record);
  change.failure = refusal(error_class, std::move(reason));
  return change;
}

// The row of an item that must be moved, or looked at more closely by the transfer.
ItemChange move(ItemRecord record, DestinationSeen seen) {
  record.state = ItemState::pending;
  record.seen = seen;
  record.error_class = ErrorClass::none;
  ItemChange change;
  change.record = std::move(record);
  return change;
}

// Something is at the key that is not what this ledger last wrote there.
ItemChange meet_foreign(ItemRecord record, const Item& source, const Item& there, const DecideRules& rules) {
  if (there.refused == ErrorClass::none && !rules.is_transformed) {
    const Basis basis = matching_basis(source, there);
    if (basis != Basis::none) {
      record.state = ItemState::copied;
      record.basis = basis;
      record.change = Change::unchanged;
      record.stored = stored_from(there);
      record.copied_at_ms = now_ms();
      ItemChange change;
      change.record = std::move(record);
      return change;
    }
  }
  if (rules.overwrite == Overwrite::always) return move(std::move(record), DestinationSeen::present);
  const bool sizes_differ = source.stamp.size && there.stamp.size && source.stamp.size != there.stamp.size;
  if (there.refused != ErrorClass::none || rules.is_transformed || sizes_differ) {
    return fail(std::move(record), ErrorClass::occupied, occupied_reason(there));
  }
  return move(std::move(record), DestinationSeen::present);
}

// Whether the source changed after `since`; nothing where it cannot be told.
std::optional<bool> is_changed_since(const Item& source, const std::optional<int64_t>& since) {
  const std::optional<int64_t> modified =
      source.stamp.mtime_ns ? std::optional(*source.stamp.mtime_ns / 1'000'000) : source.modified_at_ms;
  if (!modified || !since) return std::nullopt;
  return *modified >= *since;
}

// A row that was taken over from another program's ledger, and the destination had an object of that size. No run has met
// it yet: its stamp is a size alone. Here it gets the source's.
ItemChange meet_imported(ItemRecord record, const Item& source, const AtDestination& there, const DecideRules& rules) {
  const bool is_there = !there.is_listed || (there.item && is_still_stored(*record.stored, *there.item));
  // The listing tells nothing: the transfer asks the source what it has now.
  if (!rules.lists_stamps && !source.stamp.size && is_there) {
    record.change = Change::unchanged;
    return move(std::move(record), there.is_listed ? DestinationSeen::ours : DestinationSeen::unknown);
  }
  record.stamp = source.stamp;
  const std::optional<bool> is_changed = is_changed_since(source, record.copied_at_ms);
  const bool is_same_size = source.stamp.size == record.stored->size;
  if (is_there && is_same_size) {
    Basis basis = there.item ? matching_basis(source, *there.item) : Basis::none;
    if (basis == Basis::none && is_changed == false) basis = Basis::matched_weak;
    if (basis != Basis::none) {
      record.basis = basis;
      record.change = Change::unchanged;
      ItemChange change;
      change.record = std::move(record);
      return change;
    }
  }
  record.basis = Basis::none;
  if (there.is_listed && !there.item) {
    record.change = Change::created;
    record.stored.reset();
    record.copied_at_ms.reset();
    return move(std::move(record), DestinationSeen::absent);
  }
  record.change = Change::updated;
  // What the other program wrote is replaced as what this ledger wrote; where nothing says that it is of another revision,
  // it is looked at closer.
  const bool is_replaced = is_there && there.is_listed && (is_changed == true || !is_same_size);
  if (is_replaced && rules.overwrite == Overwrite::never) return fail(std::move(record), ErrorClass::occupied, occupied_reason(*there.item));
  if (!is_replaced) record.stored.reset();
  return move(std::move(record), is_replaced ? DestinationSeen::ours : there.is_listed ? DestinationSeen::present : DestinationSeen::unknown);
}

}  // namespace

Basis matching_basis(const Item& source, const Item& there) {
  if (!source.stamp.size || source.stamp.size != there.stamp.size) return Basis::none;
  if (source.digest.crc64nvme && source.digest.crc64nvme == there.digest.crc64nvme) return Basis::matched_checksum;
  if (looks_like_md5(source.stamp.etag) && source.stamp.etag == there.stamp.etag) return Basis::matched_checksum;
  const bool is_folder = !source.key().empty() && source.key().back() == '/';
  if (is_folder && *source.stamp.size == 0) return Basis::matched_weak;
  if (source.stamp.mtime_ns && source.stamp.mtime_ns == there.stamp.mtime_ns) return Basis::matched_weak;
  return Basis::none;
}

Stored stored_from(const Item& there) {
  Stored stored;
  stored.size = there.stamp.size.value_or(0);
  stored.etag = there.stamp.etag;
  stored.mtime_ns = there.stamp.mtime_ns;
  stored.digest = there.digest;
  return stored;
}

bool looks_like(const SourceStamp& stamp, const Item& there) {
  if (there.refused != ErrorClass::none || !stamp.size || stamp.size != there.stamp.size) return false;
  if (stamp.mtime_ns) return stamp.mtime_ns == there.stamp.mtime_ns;
  return !stamp.etag.empty() && stamp.etag == there.stamp.etag;
}

bool is_still_stored(const Stored& stored, const Item& there) {
  if (there.refused != ErrorClass::none) return false;
  if (there.stamp.size && *there.stamp.size != stored.size) return false;
  if (!stored.etag.empty() && !there.stamp.etag.empty()) return stored.etag == there.stamp.etag;
  if (stored.mtime_ns && there.stamp.mtime_ns) return stored.mtime_ns == there.stamp.mtime_ns;
  return true;
}

std::string occupied_reason(const Item& there) {
  std::string text = "the destination holds something else that this ledger did not write";
  if (there.refused != ErrorClass::none) return text + " (" + there.reason + ")";
  if (there.stamp.size) text += " (" + std::to_string(*there.stamp.size) + " bytes)";
  return text + "; --overwrite always would replace it";
}

Failure failure_of(const Error& error, uint32_t attempts) {
  Failure failure;
  failure.error_class = error.error_class();
  failure.code = error.code();
  failure.message = error.message();
  failure.retryable = error.retryable();
  failure.http_status = error.http_status();
  failure.provider_code = error.provider_code();
  failure.request_id = error.request_id();
  failure.attempts = attempts;
  failure.at_ms = now_ms();
  return failure;
}

Failure refusal(ErrorClass error_class, std::string reason) {
  Failure failure;
  failure.error_class = error_class;
  failure.code = ErrorCode::failed_precondition;
  failure.message = std::move(reason);
  failure.at_ms = now_ms();
  return failure;
}

bool is_dead_link(const Source& source, const Error& error) {
  const ErrorClass what = error.error_class();
  const bool is_refusal = what == ErrorClass::missing || what == ErrorClass::permission || what == ErrorClass::auth;
  return is_refusal && !error.retryable() && source.capabilities().links;
}

bool contradicts(const SourceStamp& a, const SourceStamp& b) {
  const bool sizes = a.size && b.size && a.size != b.size;
  const bool etags = !a.etag.empty() && !b.etag.empty() && a.etag != b.etag;
  const bool times = a.mtime_ns && b.mtime_ns && a.mtime_ns != b.mtime_ns;
  const bool versions = !a.version.empty() && !b.version.empty() && a.version != b.version;
  return sizes || etags || times || versions || a.opaque != b.opaque;
}

bool tells_revision(const SourceStamp& stamp) {
  return !stamp.etag.empty() || stamp.mtime_ns || !stamp.version.empty() || !stamp.opaque.empty();
}

bool proves_same(const SourceStamp& a, const SourceStamp& b) {
  const bool both_tell = (!a.etag.empty() && !b.etag.empty()) || (a.mtime_ns && b.mtime_ns) ||
                         (!a.version.empty() && !b.version.empty()) || (!a.opaque.empty() && !b.opaque.empty());
  return both_tell && !contradicts(a, b);
}

bool is_look(const ItemRecord& record) noexcept {
  const bool may_be_there = record.seen == DestinationSeen::ours || record.seen == DestinationSeen::unknown;
  return record.state == ItemState::pending && record.change == Change::unchanged && record.copied_at_ms && record.stored && may_be_there;
}

bool is_as_imported(const ItemRecord& record, const Item& now) {
  if (!record.stored || now.stamp.size != record.stored->size) return false;
  Item there;
  there.stamp.size = record.stored->size;
  there.stamp.etag = record.stored->etag;
  there.digest = record.stored->digest;
  return matching_basis(now, there) != Basis::none || is_changed_since(now, record.copied_at_ms) == false;
}

ItemChange decide(const Item& listed, const std::optional<ItemRecord>& known, const AtDestination& there,
                  const DecideRules& rules, uint64_t run) {
  ItemRecord record = known.value_or(ItemRecord{});
  const bool was_done = known && is_done(*known);
  const bool is_same_revision = known && (known->stamp == listed.stamp || (!rules.lists_stamps && proves_same(known->stamp, listed.stamp)));
  record.id = listed.id;
  record.run = run;
  record.gone_at_source = false;
  record.left = false;
  record.waived = known && known->waived && is_same_revision;

  if (listed.refused != ErrorClass::none) {
    record.stamp = listed.stamp;
    return fail(std::move(record), listed.refused, listed.reason);
  }
  // A filter leaves out what would have to be moved; it does not undo what was.
  if (rules.excluded_by && !was_done) {
    record.stamp = listed.stamp;
    record.state = ItemState::excluded;
    ItemChange change;
    change.record = std::move(record);
    change.failure = refusal(ErrorClass::none, *rules.excluded_by);
    return change;
  }

  if (was_done && known->run == 0 && known->stored && !rules.excluded_by && !rules.is_transformed) {
    return meet_imported(std::move(record), listed, there, rules);
  }
  const bool is_ours = was_done && known->stored && there.item && is_still_stored(*known->stored, *there.item);
  if (was_done && (rules.excluded_by || (is_same_revision && (is_ours || !there.is_listed)))) {
    record.change = Change::unchanged;
    ItemChange change;
    change.record = std::move(record);
    return change;
  }

  // The listing does not tell the revision, and what was copied is there: the transfer asks the source which it has now.
  const bool is_kept = known && known->copied_at_ms && known->stored &&
                       (!there.is_listed || (there.item && is_still_stored(*known->stored, *there.item)));
  if (!rules.lists_stamps && is_kept && !tells_revision(listed.stamp) && tells_revision(known->stamp)) {
    record.change = Change::unchanged;
    return move(std::move(record), there.is_listed ? DestinationSeen::ours : DestinationSeen::unknown);
  }

  if (was_done) {
    record.change = Change::updated;
    if (!is_same_revision) {
      ++record.revision;
      record.digest = {};
    }
  } else if (!known || known->state != ItemState::pending) {
    record.change = known && known->copied_at_ms ? Change::updated : Change::created;
  }
  record.stamp = listed.stamp;
  record.basis = Basis::none;
  record.verified_at_ms.reset();

  if (!there.is_listed) return move(std::move(record), DestinationSeen::unknown);
  if (!there.item) return move(std::move(record), DestinationSeen::absent);
  // Also a row that failed, or waits, may stand for an object that this ledger wrote in an earlier revision.
  const bool is_ours_still = record.stored && is_still_stored(*record.stored, *there.item);
  if (is_ours_still) {
    if (rules.overwrite == Overwrite::never) return fail(std::move(record), ErrorClass::occupied, "an earlier revision is there, and --overwrite never keeps it");
    return move(std::move(record), DestinationSeen::ours);
  }
  return meet_foreign(std::move(record), listed, *there.item, rules);
}

}  // namespace waybill::internal
