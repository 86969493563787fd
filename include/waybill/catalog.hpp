// SPDX-License-Identifier: Apache-2.0
//
// Catalog: a system of record whose fields point at items by their old places. A cutover makes them point at the new ones,
// a rollback at the old ones again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/diagnosis.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill {

/// A field in a system of record that points at an item's old place.
struct ReferenceId {
  std::string catalog;  ///< Catalog::identity()
  std::string record;   ///< the record's own id, as text; at most 1,024 bytes
  std::string field;

  auto operator<=>(const ReferenceId&) const = default;
};

/// A reference as the catalog holds it now.
struct ReferenceValue {
  ReferenceId id;
  std::optional<std::string> value;  ///< nothing where the field is null or the record is gone
  std::string stamp;                 ///< the record's revision, where the catalog keeps one
  std::string partition;             ///< what the record belongs to (an account); "" if to nothing
  std::string partition_name;        ///< a human name of it
  std::map<std::string, std::string> names;  ///< further words of the record, for key and URL templates, by their names
  bool is_gone = false;              ///< of read(): there is no such record
};

/// Set `value` only where the field still holds `expected`.
struct ReferenceUpdate {
  ReferenceId id;
  std::optional<std::string> expected;
  std::optional<std::string> value;
  std::string expected_stamp;  ///< the record's, as it was last read; "" where it has none
};

struct UpdateResult {
  /// conflict: the field held something else, and was left as it was; unknown: it has to be read.
  enum class Status : int { updated = 0, conflict = 1, failed = 2, unknown = 3 };
  Status status = Status::unknown;
  ErrorClass error_class = ErrorClass::none;  ///< of a failed one, as the next two
  std::string message;
  bool retryable = false;
};

/// Which references to list. All empty: every one.
struct Since {
  std::string stamp;   ///< only records changed at or after this stamp
  std::string resume;  ///< ReferencePage::resume of an earlier listing
};

struct ReferencePage {
  std::vector<ReferenceValue> references;
  std::string resume;
  bool is_last = false;
};

/// What a ledger knows of the references that a cutover has switched.
class SwitchedReferences {
 public:
  virtual ~SwitchedReferences();
  /// For each, in order, the item that it was switched from, if it still holds what was written then; else nothing. May
  /// block on the ledger; not for more than one thread at a time.
  virtual std::vector<std::optional<ItemId>> items_of(std::span<const ReferenceValue> references) const = 0;
};

/// A listing of references under way; one thread at a time, bounded memory.
class ReferenceLister {
 public:
  virtual ~ReferenceLister();
  virtual ReferencePage next(Context& context) = 0;
};

/// What a catalog is opened for. A copy only reads it: it needs no right to write.
enum class CatalogAccess : int { read = 0, update = 1 };

/// Catalog: any system of record with fields that point at items.
///
/// *Thread safety:* every method may be called from many threads at once. *Blocking:* all calls may block and obey the
/// Context's cancellation within one second.
class Catalog {
 public:
  /// How exactly the catalog honours ReferenceUpdate::expected: exact in one step with the write; weak by something that
  /// may let an edit pass between (a revision of coarse time); none at all.
  enum class Conditional : int { none = 0, weak = 1, exact = 2 };
  struct Capabilities {
    Conditional conditional = Conditional::none;
    uint32_t max_batch = 1;         ///< updates, or ids to read, in one call
    uint64_t max_value_length = 0;  ///< characters that the field can hold; 0: no bound that is known
    bool locks_partitions = false;  ///< updates of one partition hinder each other: a run makes one at a time for each
  };

  virtual ~Catalog();
  virtual Capabilities capabilities() const = 0;
  /// As Source::identity.
  virtual std::string identity() const = 0;
  /// As Source::endpoint. Default: identity().
  virtual std::string endpoint() const;
  /// Whether it answers, has what it was opened for, and lets us do what `access` says; changes nothing. Errors: missing,
  /// configuration (no such table or column: with the nearest name), permission, auth, network. Default: nothing is asked.
  virtual void check(CatalogAccess access, Context& context);
  /// Everything that could keep it from being listed ("fail") or updated ("warn": a copy needs no right to), one by one;
  /// changes nothing. Throws nothing but cancelled. Default: what check() says of both.
  virtual std::vector<Diagnosis> diagnose(Context& context);
  virtual std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) = 0;
  /// One result for each update, in order; at most Capabilities::max_batch. An Error means that none is known to have
  /// happened or not: read them.
  virtual std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) = 0;
  /// One value for each id, in order, each with the id that a listing gives it; at most Capabilities::max_batch.
  virtual std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) = 0;
};

}  // namespace waybill
