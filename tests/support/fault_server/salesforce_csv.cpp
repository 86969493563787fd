// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_csv.hpp"

#include <utility>

namespace waybill::testing::fault {

void append_csv(std::string& out, const CsvRow& row, char delimiter, std::string_view ending) {
  for (size_t at = 0; at < row.size(); ++at) {
    if (at > 0) out += delimiter;
    out += '"';
    for (const char letter : row[at]) {
      if (letter == '"') out += '"';
      out += letter;
    }
    out += '"';
  }
  out += ending;
}

std::optional<std::vector<CsvRow>> parse_csv(std::string_view text, char delimiter, std::string_view ending) {
  std::vector<CsvRow> rows;
  size_t at = 0;
  while (at < text.size()) {
    CsvRow row;
    while (true) {
      std::string field;
      if (at < text.size() && text[at] == '"') {
        for (++at;; ++at) {
          if (at >= text.size()) return std::nullopt;
          if (text[at] == '"' && (at + 1 >= text.size() || text[at + 1] != '"')) break;
          if (text[at] == '"') ++at;
          field += text[at];
        }
        ++at;
      } else {
        while (at < text.size() && text[at] != delimiter && text[at] != '\n' && text[at] != '\r') field += text[at++];
      }
      row.push_back(std::move(field));
      if (at >= text.size() || text[at] != delimiter) break;
      ++at;
    }
    rows.push_back(std::move(row));
    if (at >= text.size()) break;
    if (!text.substr(at).starts_with(ending)) return std::nullopt;
    at += ending.size();
  }
  return rows;
}

std::optional<char> csv_delimiter(std::string_view name) {
  constexpr std::pair<std::string_view, char> known[] = {{"BACKQUOTE", '`'}, {"CARET", '^'},     {"COMMA", ','},
                                                         {"PIPE", '|'},      {"SEMICOLON", ';'}, {"TAB", '\t'}};
  for (const auto& [word, letter] : known) {
    if (word == name) return letter;
  }
  return std::nullopt;
}

}  // namespace waybill::testing::fault
