// SPDX-License-Identifier: Apache-2.0
//
// What a catalog's URL says, and what the table that it names turns out to be.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/sql_catalog/connection.hpp"
#include "waybill/connectors.hpp"

namespace waybill::sql_catalog {

/// sqlite:///path?table=…&id=…&url=…, taken apart.
struct Config {
  std::string path;            ///< absolute; links are followed
  std::string table;
  std::string id;              ///< columns from here on
  std::string url;
  std::string partition;       ///< "" where there is none, as the next two
  std::string partition_name;
  std::string stamp;
  std::vector<std::string> names;

  /// Errors: configuration, naming the parameter.
  static Config parse(const Url& url);
  /// "sqlite:/path/crm.db?table=documents&id=id&url=url": names of tables and columns have no case.
  std::string identity() const;
};

/// The table, as it is now.
struct Table {
  bool is_view = false;
  /// Of the id: whether it keeps numbers and text apart that look the same, as a column without a type does.
  bool is_id_untyped = false;
  bool is_stamp_untyped = false;
  /// ` COLLATE "x"` where the id has to be compared otherwise than by its column, as the index that makes it unique is.
  std::string id_collation;
  uint64_t max_value_length = 0;
  /// Why values cannot be written; "" where they can.
  std::string read_only_because;
};

/// Errors: configuration (no such table or column, with the nearest name; an id that is not unique).
Table inspect(Connection& connection, const Config& config);

}  // namespace waybill::sql_catalog
