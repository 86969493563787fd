// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/record_place.hpp"

#include <array>
#include <optional>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/item.hpp"

namespace waybill::salesforce {
namespace {

bool is_id_or_none(const std::string& text) { return text.empty() || long_id(text).has_value(); }

// "b<job>/<locator>/<done>/<id>"
std::optional<RecordPlace> parse_bulk(std::string_view text) {
  std::array<std::string, 4> parts;
  for (size_t part = 0; part < parts.size(); ++part) {
    const size_t end = part + 1 < parts.size() ? text.find('/') : text.size();
    if (end == std::string_view::npos) return std::nullopt;
    parts.at(part) = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto locator = internal::percent_decode(parts[1]);
  const auto done = internal::parse_uint(parts[2]);
  if (!locator || !done || !is_id_or_none(parts[0]) || !is_id_or_none(parts[3])) return std::nullopt;
  return RecordPlace{.last_id = parts[3], .job = parts[0], .locator = *locator, .done = *done};
}

}  // namespace

RecordPlace RecordPlace::parse(const std::string& resume) {
  if (resume.empty()) return {};
  if (resume.front() == 'r' && long_id(std::string_view(resume).substr(1))) return {.last_id = resume.substr(1)};
  if (resume.front() == 'b') {
    if (const auto place = parse_bulk(std::string_view(resume).substr(1))) return *place;
  }
  throw Error(
      ErrorCode::invalid_argument, ErrorClass::configuration,
      "\"" + printable(resume.substr(0, 200)) + "\" is no place in a listing of records; list them from the beginning");
}

std::string RecordPlace::to_bulk() const {
  return "b" + job + "/" + internal::encode_query(locator) + "/" + std::to_string(done) + "/" + last_id;
}

std::string condition_behind(const Selection& selection, const std::string& last_id) {
  const std::string behind = last_id.empty() ? "" : selection.order + " > " + soql_text(last_id);
  if (selection.where.empty()) return behind.empty() ? "" : " WHERE " + behind;
  return " WHERE (" + selection.where + ")" + (behind.empty() ? "" : " AND " + behind);
}

}  // namespace waybill::salesforce
