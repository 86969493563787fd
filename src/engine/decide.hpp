// SPDX-License-Identifier: Apache-2.0
//
// What becomes of an item when it is listed: one pure function of the three things known then, the source's item, the
// ledger's row and the destination's item. Most items that need no transfer are settled here, without a request.
#pragma once

#include <optional>

#include "waybill/options.hpp"
#include "waybill/tracker.hpp"

namespace waybill::internal {

/// What the destination's listing says about a key.
struct AtDestination {
  bool is_listed = false;       ///< false: the destination was not listed in step with the source
  std::optional<Item> item;     ///< nothing: there is nothing at the key
};

/// Whether what is at the destination is still what `stored` says this ledger wrote there.
bool is_still_stored(const Stored& stored, const Item& there);

/// What is at the destination, as a row keeps it.
Stored stored_from(const Item& there);

/// Whether what is at the destination was made from the revision `stamp`: same size, and the time or the ETag with it.
bool looks_like(const SourceStamp& stamp, const Item& there);

/// How far what is known of both, by listings or by asking, proves that they are the same; `none` where it does not.
Basis matching_basis(const Item& source, const Item& there);

/// The reason of an `occupied` failure: what is there, beside what would have been put there.
std::string occupied_reason(const Item& there);

/// The failure of an item that `error` ended, after `attempts` tries.
Failure failure_of(const Error& error, uint32_t attempts);

/// A failure that is found without trying.
Failure refusal(ErrorClass error_class, std::string reason);

/// Whether a source's error says that an item of it is gone for good: somebody else's link that is refused or not there,
/// which says nothing of the others.
bool is_dead_link(const Source& source, const Error& error);

/// Whether both tell of something that differs: then they are two revisions.
bool contradicts(const SourceStamp& a, const SourceStamp& b);

/// Whether a stamp has more than a size, which two revisions may share.
bool tells_revision(const SourceStamp& stamp);

/// Whether the source has now what another program has copied, as far as a digest, or size and time, tell: of a row that was
/// taken over, and that no run has met.
bool is_as_imported(const ItemRecord& record, const Item& now);

/// Whether both are known to be one revision, though one may tell more than the other.
bool proves_same(const SourceStamp& a, const SourceStamp& b);

/// Whether a pending row is of an item that was copied before, and of which the transfer only asks whether it is still the same.
bool is_look(const ItemRecord& record) noexcept;

struct DecideRules {
  bool lists_stamps = true;     ///< Source::Capabilities::lists_stamps
  Overwrite overwrite = Overwrite::own;
  bool is_transformed = false;  ///< sizes and digests of both sides cannot be compared
  std::optional<std::string> excluded_by;
};

/// The row of `listed` in run `run`, and the failure if it is settled as failed.
ItemChange decide(const Item& listed, const std::optional<ItemRecord>& known, const AtDestination& there,
                  const DecideRules& rules, uint64_t run);

}  // namespace waybill::internal
