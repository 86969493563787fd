// SPDX-License-Identifier: Apache-2.0
//
// A field of URLs of a Salesforce object as a Catalog. References are named by record ids of 18 characters; stamps are
// SystemModstamp, in whole seconds.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "connectors/salesforce/client.hpp"
#include "connectors/salesforce/describe.hpp"
#include "connectors/salesforce/record_writer.hpp"
#include "waybill/catalog.hpp"

namespace waybill::salesforce {

class SalesforceCatalog final : public Catalog {
 public:
  explicit SalesforceCatalog(FieldConfig config);

  /// The organization is asked how long a value may be, for a few seconds at most; where that fails, no bound is known.
  Capabilities capabilities() const override;
  std::string identity() const override { return config_.identity(); }
  std::string endpoint() const override { return config_.organization.identity(); }
  void check(CatalogAccess access, Context& context) override;
  std::vector<Diagnosis> diagnose(Context& context) override;
  std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) override;
  /// In mode safe the records are read first, as the engine does as well: it costs a call for 2,000 of them.
  std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) override;
  /// Without what lies behind a relationship (Account__r.Name): that is in a listing.
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) override;

 private:
  Object described(Context& context) const;
  /// Those of the record itself, and the stamp's.
  std::vector<std::string> own_paths() const;
  ReferenceValue reference_of(const ReferenceId& id, const nlohmann::json& record) const;
  /// An update that is to be made, and its place among those that were asked for.
  struct Candidate {
    size_t place = 0;
    FieldUpdate field;
  };
  /// Reads the records of `candidates`, which are the unchanged ones then, with their stamps. Of the others the result is known.
  void look(std::span<const ReferenceUpdate> updates, std::vector<Candidate>& candidates, std::vector<UpdateResult>& results,
            Context& context);
  /// Of an id that this catalog gave out, or that an older system knows; nothing where it is none of Salesforce. Errors:
  /// configuration (of another catalog).
  std::optional<std::string> record_of(const ReferenceId& id) const;

  const FieldConfig config_;
  mutable Client client_;
  const std::unique_ptr<RecordWriter> writer_;
  mutable std::mutex mutex_;
  mutable std::optional<uint64_t> length_;  // of the field; guarded by mutex_
};

}  // namespace waybill::salesforce
