// SPDX-License-Identifier: Apache-2.0
#include "base/csv.hpp"

#include <algorithm>
#include <utility>

namespace waybill::internal {

CsvParser::State CsvParser::take(std::string_view& bytes) {
  while (!bytes.empty()) {
    // What is the same in every byte goes by all at once.
    if (place_ == Place::quoted || place_ == Place::plain) {
      const size_t run = std::min(bytes.find_first_of(place_ == Place::quoted ? "\"" : ",\"\r\n"), bytes.size());
      if (append(bytes.substr(0, run)) == State::broken) return State::broken;
      bytes.remove_prefix(run);
      if (bytes.empty()) break;
    }
    const State state = step(bytes.front());
    bytes.remove_prefix(1);
    if (place_ == Place::between || state == State::broken) return state;
  }
  return State::more;
}

CsvParser::State CsvParser::finish() {
  switch (place_) {
    case Place::between:
      return State::more;
    case Place::quoted:
      return fail("a quote is opened and not closed");
    case Place::plain_cr:
      if (append("\r") == State::broken) return State::broken;
      break;
    case Place::quote_cr:
      return fail("something stands behind a closing quote; a quote within a field is written twice");
    default:
      break;
  }
  return end_row();
}

CsvParser::State CsvParser::step(char byte) {
  switch (place_) {
    case Place::between:
      fields_.clear();
      fields_.emplace_back();
      length_ = 0;
      is_blank_ = true;
      return begin_field(byte);
    case Place::field:
      return begin_field(byte);
    case Place::plain_cr:
      if (byte == '\n') return end_row();
      if (append("\r") == State::broken) return State::broken;
      return in_plain(byte);
    case Place::plain:
      return in_plain(byte);
    case Place::quoted:
      place_ = Place::quote;
      return State::more;
    case Place::quote:
      return behind_quote(byte);
    case Place::quote_cr:
      if (byte == '\n') return end_row();
      break;
  }
  return fail("something stands behind a closing quote; a quote within a field is written twice");
}

CsvParser::State CsvParser::begin_field(char byte) {
  if (byte != '"') return in_plain(byte);
  place_ = Place::quoted;
  is_blank_ = false;
  return State::more;
}

CsvParser::State CsvParser::in_plain(char byte) {
  switch (byte) {
    case ',':
      fields_.emplace_back();
      place_ = Place::field;
      return State::more;
    case '\n':
      return end_row();
    case '\r':
      place_ = Place::plain_cr;
      return State::more;
    case '"':
      return fail("a quote stands in a field that does not begin with one");
    default:
      place_ = Place::plain;
      return append({&byte, 1});
  }
}

CsvParser::State CsvParser::behind_quote(char byte) {
  switch (byte) {
    case '"':
      place_ = Place::quoted;
      return append("\"");
    case ',':
      fields_.emplace_back();
      place_ = Place::field;
      return State::more;
    case '\n':
      return end_row();
    case '\r':
      place_ = Place::quote_cr;
      return State::more;
    default:
      return fail("something stands behind a closing quote; a quote within a field is written twice");
  }
}

CsvParser::State CsvParser::append(std::string_view bytes) {
  length_ += bytes.size();
  if (length_ > longest_row_) {
    return fail("the row is longer than " + std::to_string(longest_row_ >> 20) + " MiB; is a quote not closed?");
  }
  if (!bytes.empty()) is_blank_ = false;
  fields_.back() += bytes;
  return State::more;
}

CsvParser::State CsvParser::end_row() {
  place_ = Place::between;
  return is_blank_ && fields_.size() == 1 ? State::more : State::row;
}

CsvParser::State CsvParser::fail(std::string why) {
  why_ = std::move(why);
  return State::broken;
}

void append_csv_field(std::string& out, std::string_view text) {
  out += '"';
  for (size_t quote; (quote = text.find('"')) != std::string_view::npos; text.remove_prefix(quote + 1)) {
    out += text.substr(0, quote + 1);
    out += '"';
  }
  out += text;
  out += '"';
}

}  // namespace waybill::internal
