// SPDX-License-Identifier: Apache-2.0
//
// CSV as RFC 4180 has it: rows out of bytes that come piece by piece, and fields for writing.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace waybill::internal {

/// Puts one row after another together. Fields are separated by commas and may be quoted, a quote within is written
/// twice; rows end with LF or CRLF, which a quoted field may hold. Rows of nothing are left out. Holds one row.
///
/// *Threads:* one at a time.
class CsvParser {
 public:
  enum class State {
    more,    ///< the row goes on
    row,     ///< fields() are one
    broken,  ///< why() tells; of use for nothing more
  };

  /// `longest_row` in bytes, quotes and separators excepted.
  explicit CsvParser(size_t longest_row) : longest_row_(longest_row) {}

  /// Takes bytes from the front of `bytes` until they are used up or a row has ended, be it one that is left out.
  State take(std::string_view& bytes);
  /// Nothing follows: a row that was begun and needs no end of line, or `more` where there is none.
  State finish();

  /// Of the row that ended last; may be moved from. Until the next take().
  std::vector<std::string>& fields() noexcept { return fields_; }
  /// "a quote is opened and not closed": of what the row is.
  const std::string& why() const noexcept { return why_; }
  /// No byte of the next row has been taken.
  bool is_between_rows() const noexcept { return place_ == Place::between; }

 private:
  enum class Place {
    between,  // rows
    field,    // begins here
    plain,
    plain_cr,  // behind a CR, which belongs to the field unless LF follows
    quoted,
    quote,     // behind a quote in a quoted field: the first of two, or the last
    quote_cr,  // behind a CR that follows the last
  };

  State step(char byte);
  State begin_field(char byte);
  State in_plain(char byte);
  State behind_quote(char byte);
  State append(std::string_view bytes);
  State end_row();
  State fail(std::string why);

  size_t longest_row_;
  Place place_ = Place::between;
  bool is_blank_ = true;  // not so much as a quote in the row
  size_t length_ = 0;
  std::vector<std::string> fields_;
  std::string why_;
};

/// Appends a field with quotes around it.
void append_csv_field(std::string& out, std::string_view text);

}  // namespace waybill::internal
