// SPDX-License-Identifier: Apache-2.0
//
// Catalog: a system of record whose fields point at items by their old places. Interface only in this version: the
// phases that use it (cutover, rollback) come later.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waybill/context.hpp"
#include "waybill/error.hpp"

namespace waybill {

/// A field in a system of record that points at an item's old place.
struct ReferenceId {
  std::string catalog;
  std::string record;
  std::string field;

  auto operator<=>(const ReferenceId&) const = default;
};

/// A reference as the catalog holds it now.
struct ReferenceValue {
  ReferenceId id;
  std::optional<std::string> value;  ///< nothing where the field is null or the record is gone
  std::string stamp;                 ///< the record's revision, where the catalog keeps one
  std::string partition;
  std::string partition_name;
};

/// Set `value` only where the field still holds `expected`.
struct ReferenceUpdate {
  ReferenceId id;
  std::optional<std::string> expected;
  std::optional<std::string> value;
  std::string expected_stamp;
};

struct UpdateResult {
  enum class Status : int { updated = 0, conflict = 1, failed = 2, unknown = 3 };
  Status status = Status::unknown;
  ErrorClass error_class = ErrorClass::none;
  std::string message;
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

/// A listing of references under way; one thread at a time, bounded memory.
class ReferenceLister {
 public:
  virtual ~ReferenceLister();
  virtual ReferencePage next(Context& context) = 0;
};

/// Catalog: any system of record with fields that point at items.
///
/// *Thread safety:* every method may be called from many threads at once. *Blocking:* all calls may block and obey the
/// Context's cancellation within one second.
class Catalog {
 public:
  /// How exactly the catalog honours ReferenceUpdate::expected.
  enum class Conditional : int { none = 0, weak = 1, exact = 2 };
  struct Capabilities {
    Conditional conditional = Conditional::none;
    uint32_t max_batch = 1;  ///< updates in one call
  };

  virtual ~Catalog();
  virtual Capabilities capabilities() const = 0;
  /// As Source::identity.
  virtual std::string identity() const = 0;
  virtual std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) = 0;
  /// One result for each update, in order. An Error means that none is known to have happened or not: read them.
  virtual std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) = 0;
  /// One value for each id, in order.
  virtual std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) = 0;
};

}  // namespace waybill
