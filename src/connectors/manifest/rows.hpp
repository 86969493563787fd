// SPDX-License-Identifier: Apache-2.0
//
// The rows of a manifest: CSV as RFC 4180 has it, JSON Lines, and the CSV parts of an S3 Inventory.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/manifest/lines.hpp"
#include "waybill/error.hpp"

namespace waybill::manifest {

/// A row by the names of its columns; a column that the row does not fill is absent. Names are in lower case.
using Row = std::map<std::string, std::string>;

/// An error at a line of a file: "list.csv, line 17: …". Class configuration.
Error broken(const Bytes& bytes, uint64_t line, const std::string& why);

/// One file's rows.
class Rows {
 public:
  virtual ~Rows() = default;
  /// Nothing at the end. `line` is the one that the row begins in. Errors: broken(); those of Bytes.
  virtual std::optional<Row> next(uint64_t& line, Context& context) = 0;
};

/// With `columns` empty the first row has their names. Refused: a quote that is not closed or does not stand at the
/// ends of a field, another count of fields than there are columns, a row of more than 1 MiB.
std::unique_ptr<Rows> csv_rows(Bytes& bytes, std::vector<std::string> columns, Context& context);

/// An object a line; strings and numbers count, null is absent.
std::unique_ptr<Rows> json_rows(Bytes& bytes);

}  // namespace waybill::manifest
