// SPDX-License-Identifier: Apache-2.0
//
// The CSV of bulk jobs: every field in quotes on the way out, any form of RFC 4180 on the way in.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace waybill::testing::fault {

using CsvRow = std::vector<std::string>;

/// Appends a row; `ending` is "\n" or "\r\n".
void append_csv(std::string& out, const CsvRow& row, char delimiter, std::string_view ending);
/// The rows; nothing where the text is no CSV with these line endings.
std::optional<std::vector<CsvRow>> parse_csv(std::string_view text, char delimiter, std::string_view ending);
/// "COMMA", "TAB", …; nothing where it is none.
std::optional<char> csv_delimiter(std::string_view name);

}  // namespace waybill::testing::fault
