// SPDX-License-Identifier: Apache-2.0
//
// Where a reader of records goes on: RecordPage::resume.
#pragma once

#include <cstdint>
#include <string>

#include "connectors/salesforce/record_reader.hpp"

namespace waybill::salesforce {

/// Behind a record, whichever way it was read; and in the results of a query job, where there is one.
struct RecordPlace {
  std::string last_id{};  ///< "": at the beginning
  std::string job{};      ///< "": none
  std::string locator{};  ///< of a page of its results; "" of the first
  uint64_t done = 0;      ///< records of that page and those behind it that were read; the last of them is `last_id`

  /// "", "r<id>" and "b<job>/<locator>/<done>/<id>". Errors: configuration (anything else).
  static RecordPlace parse(const std::string& resume);
  /// As a job's, also where there is none.
  std::string to_bulk() const;
  /// As a reader by REST's.
  std::string to_rest() const { return last_id.empty() ? "" : "r" + last_id; }
};

/// What of the selection lies behind a record, as the condition of a query: " WHERE … AND Id > '…'", or "".
std::string condition_behind(const Selection& selection, const std::string& last_id);

}  // namespace waybill::salesforce
