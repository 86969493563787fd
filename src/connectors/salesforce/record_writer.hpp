// SPDX-License-Identifier: Apache-2.0
//
// One field of many records set to new values.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "connectors/salesforce/client.hpp"
#include "waybill/catalog.hpp"

namespace waybill::salesforce {

struct FieldUpdate {
  std::string id;                       ///< 18 characters
  std::optional<std::string> expected;  ///< what it should hold before; nothing: null
  std::optional<std::string> value;     ///< nothing: null
  std::string stamp;                    ///< SystemModstamp, as the record was last read
};

/// *Thread safety:* any thread.
class RecordWriter {
 public:
  virtual ~RecordWriter() = default;
  /// Updates of one call.
  virtual size_t most() const noexcept = 0;
  /// One result for each, in order. Errors: as Client::call; then none is known.
  virtual std::vector<UpdateResult> write(std::span<const FieldUpdate> updates, Context& context) = 0;
};

/// Collections of 200, in composites. Behind a guard none is written in which a record changed since it was read, and each takes
/// a call. Without, there are two in a call, each behind a reading of what was there: what somebody changed since it was read is
/// put back. Records whose parent another call had locked are tried again with nobody beside them.
std::unique_ptr<RecordWriter> write_collections(Client& client, std::string object, std::string field, bool is_guarded);

/// A job of the Bulk API for each call, whose results are fetched at once and joined by id; the job is deleted then.
std::unique_ptr<RecordWriter> write_by_bulk(Client& client, std::string object, std::string field);

}  // namespace waybill::salesforce
