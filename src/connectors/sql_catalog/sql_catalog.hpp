// SPDX-License-Identifier: Apache-2.0
//
// A table with a column of URLs in SQLite as a Catalog: sqlite:///path/crm.db?table=documents&id=id&url=url, and as far as
// there are such columns &partition=account_id&partition_name=account_name&stamp=updated_at&names=file_name,created.
//
// What lists and reads opens the file without the right to write. Each call has a connection of its own, so that nothing
// is held open between calls; a listing has one that reads a page at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connectors/sql_catalog/table.hpp"
#include "waybill/catalog.hpp"
#include "waybill/connectors.hpp"

namespace waybill::sql_catalog {

class SqlCatalog final : public Catalog {
 public:
  explicit SqlCatalog(Config config);

  /// The file is looked at for how long a value may be; where that fails, no bound is known.
  Capabilities capabilities() const override;
  std::string identity() const override { return identity_; }
  std::string endpoint() const override { return "sqlite:" + config_.path; }
  void check(CatalogAccess access, Context& context) override;
  std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) override;
  std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) override;
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) override;

 private:
  void check_id(const ReferenceId& id) const;

  const Config config_;
  const std::string identity_;
};

Connector sql_catalog_connector();

}  // namespace waybill::sql_catalog
