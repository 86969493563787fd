// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/csv.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"

namespace waybill::salesforce {
namespace {

// A long text area has up to 131,072 characters, and a row a few of them.
constexpr size_t longest_row = 16 << 20;

std::string without_nuls(std::string text) {
  std::erase(text, '\0');
  return text;
}

}  // namespace

CsvAnswer::CsvAnswer(std::string text, std::string subject)
    : text_(without_nuls(std::move(text))), subject_(std::move(subject)), parser_(longest_row) {
  if (!next()) throw broken("there is nothing in it, not even names of columns");
  columns_ = std::move(parser_.fields());
}

std::optional<size_t> CsvAnswer::column(std::string_view name) const noexcept {
  const auto found = std::find_if(columns_.begin(), columns_.end(),
                                  [&](const std::string& each) { return internal::equals_ignoring_case(each, name); });
  if (found == columns_.end()) return std::nullopt;
  return static_cast<size_t>(found - columns_.begin());
}

size_t CsvAnswer::require(std::string_view name) const {
  const auto place = column(name);
  if (!place) throw broken("it has no column " + std::string(name));
  return *place;
}

bool CsvAnswer::next() {
  using State = internal::CsvParser::State;
  State state = State::more;
  while (state == State::more && !is_at_end()) {
    std::string_view rest = std::string_view(text_).substr(at_);
    state = parser_.take(rest);
    at_ = text_.size() - rest.size();
  }
  if (state == State::more) state = parser_.finish();
  if (state == State::more) return false;
  ++row_;
  if (state == State::broken) throw broken("row " + std::to_string(row_) + ": " + parser_.why());
  const size_t n_fields = fields().size();
  if (row_ > 1 && n_fields != columns_.size()) {
    throw broken("row " + std::to_string(row_) + " has " + std::to_string(n_fields) + " fields, and there are " +
                 std::to_string(columns_.size()) + " columns");
  }
  return true;
}

Error CsvAnswer::broken(const std::string& why) const {
  return Error(ErrorCode::data_loss, ErrorClass::server, subject_ + ": the CSV is broken: " + why).set_retryable();
}

}  // namespace waybill::salesforce
