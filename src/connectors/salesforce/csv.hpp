// SPDX-License-Identifier: Apache-2.0
//
// Results of the Bulk API: CSV whose first row has the names of the columns.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/csv.hpp"
#include "waybill/error.hpp"

namespace waybill::salesforce {

/// The rows of one answer, parsed as they are asked for. NUL bytes, which texts of Salesforce may hold, are left out.
class CsvAnswer {
 public:
  /// `subject` is of messages: "the results of job 750…". Errors: as next().
  CsvAnswer(std::string text, std::string subject);

  /// By its name, whose case makes no difference; nothing where there is none.
  std::optional<size_t> column(std::string_view name) const noexcept;
  /// As column(). Errors: server (there is none).
  size_t require(std::string_view name) const;
  /// Whether there was another row. Errors: server, retryable (no CSV, or a row of more than 16 MiB).
  bool next();
  bool is_at_end() const noexcept { return at_ == text_.size(); }
  /// Of the row, as many as there are columns; may be moved from.
  std::vector<std::string>& fields() noexcept { return parser_.fields(); }

 private:
  Error broken(const std::string& why) const;

  std::string text_;
  std::string subject_;
  size_t at_ = 0;
  size_t row_ = 0;  // from 1, the names'
  internal::CsvParser parser_;
  std::vector<std::string> columns_;
};

}  // namespace waybill::salesforce
