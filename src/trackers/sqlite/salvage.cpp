// SPDX-License-Identifier: Apache-2.0
//
// A table is read from its beginning until a page cannot be read, then from its end backwards, and what lies between is
// looked into at points that halve it: each seek goes down the tree anew, and so around the damaged page.
#include "trackers/sqlite/salvage.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace waybill::internal {
namespace {

constexpr int max_probes = 20'000;  ///< looks into the damaged parts of one table
constexpr int max_barren = 6;       ///< halvings in a row that find nothing: up to 128 looks for each damaged page

using Value = std::variant<int64_t, std::string>;
using Place = std::vector<Value>;  ///< a primary key

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// The bytes that keys are made of. Halving counts in them: keys of digits are then as close as digits are.
class Alphabet {
 public:
  void add(const std::string& text) {
    for (const char c : text) is_in_[static_cast<unsigned char>(c)] = true;
  }

  /// Halfway between two strings of these bytes, read as fractions; `b` where there is nothing before it.
  std::string middle(const std::string& a, const std::string& b) const {
    std::string letters;
    std::array<unsigned, 256> rank{};
    for (size_t c = 0; c < is_in_.size(); ++c) {
      if (!is_in_[c]) continue;
      letters += static_cast<char>(c);
      rank[c] = static_cast<unsigned>(letters.size());  // 0: the string has ended
    }
    const auto base = static_cast<unsigned>(letters.size() + 1);
    const size_t size = std::max(a.size(), b.size()) + 1;
    const auto digit = [&](const std::string& text, size_t i) {
      return i < text.size() ? rank[static_cast<unsigned char>(text[i])] : 0U;
    };
    std::vector<unsigned> sum(size + 1);
    for (size_t i = size; i-- > 0;) {
      const unsigned added = digit(a, i) + digit(b, i) + sum[i + 1];
      sum[i + 1] = added % base;
      sum[i] = added / base;
    }
    std::string half;
    unsigned rest = sum[0];
    for (size_t i = 0; i < size; ++i) {
      const unsigned value = rest * base + sum[i + 1];
      if (value / 2 == 0) break;
      half += letters[value / 2 - 1];
      rest = value % 2;
    }
    return half > a && half < b ? half : b;
  }

 private:
  std::array<bool, 256> is_in_{};
};

/// A place between two others; the later one where there is nothing between.
Place middle(const Place& a, const Place& b, const Alphabet& alphabet) {
  Place half;
  bool is_split = false;
  for (size_t i = 0; i < b.size(); ++i) {
    const bool is_number = std::holds_alternative<int64_t>(b[i]);
    if (is_split) {
      half.push_back(is_number ? Value(INT64_MIN) : Value(std::string()));
    } else if (a[i] == b[i]) {
      half.push_back(b[i]);
    } else if (is_number) {
      const int64_t low = std::get<int64_t>(a[i]);
      const int64_t high = std::get<int64_t>(b[i]);
      half.emplace_back(high - low > 1 ? low + (high - low) / 2 : high);
      is_split = true;
    } else {
      half.emplace_back(alphabet.middle(std::get<std::string>(a[i]), std::get<std::string>(b[i])));
      is_split = true;
    }
  }
  return half > a && half < b ? half : b;
}

/// Copies one table from a damaged ledger into a new one.
class TableCopy {
 public:
  TableCopy(Database& from, Database& to, const std::string& name) : from_(from), to_(to) {
    table_.name = name;
    std::vector<std::string> known;
    Statement there(from_, ("SELECT name FROM pragma_table_info('" + name + "')").c_str());
    while (there.step()) known.push_back(there.text(0));
    std::vector<std::pair<int64_t, std::string>> keys;
    Statement columns(to_, ("SELECT name, pk FROM pragma_table_info('" + name + "') ORDER BY cid").c_str());
    while (columns.step()) {
      if (std::find(known.begin(), known.end(), columns.bytes(0)) == known.end()) continue;
      columns_.push_back(columns.text(0));
      if (columns.integer(1) > 0) keys.emplace_back(columns.integer(1), columns.text(0));
    }
    std::sort(keys.begin(), keys.end());
    for (auto& [position, column] : keys) keys_.push_back(column);
  }

  Recovery::Table run() {
    if (keys_.empty()) {  // an earlier version had no such table
      return table_;
    }
    const std::optional<Place> last = read(std::nullopt, std::nullopt, true);
    if (!is_broken_) return table_;
    table_.is_whole = false;
    const std::optional<Place> first = read(std::nullopt, last, false);
    if (last && first && *last < *first) probe(*last, *first, 0);
    return table_;
  }

 private:
  /// Reads forwards from `low` to `high`, or backwards from there, both exclusively; copies what it meets, gives the
  /// last place that it has come to. is_broken_ says whether something ended it.
  std::optional<Place> read(const std::optional<Place>& high, const std::optional<Place>& low, bool is_forward);
  /// Looks between two places; the last `barren` looks that led here found nothing.
  void probe(const Place& low, const Place& high, int barren);
  void copy(const Statement& row);

  Database& from_;
  Database& to_;
  Recovery::Table table_;
  std::vector<std::string> columns_;
  std::vector<std::string> keys_;
  std::unique_ptr<Statement> insert_;
  Alphabet alphabet_;
  bool is_broken_ = false;
  int n_probes_ = 0;
};

void bind(Statement& statement, int first, const Place& place) {
  for (const Value& value : place) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
      statement.bind(first++, *number);
    } else {
      statement.bind_blob(first++, std::get<std::string>(value));
    }
  }
}

std::optional<Place> TableCopy::read(const std::optional<Place>& high, const std::optional<Place>& low,
                                     bool is_forward) {
  const std::string keys = joined(keys_);
  std::string marks;
  for (size_t i = 0; i < keys_.size(); ++i) marks += i == 0 ? "?" : ", ?";
  std::string sql = "SELECT " + joined(columns_) + ", " + keys + " FROM " + table_.name;
  if (low) sql += " WHERE (" + keys + ") > (" + marks + ")";
  if (high) sql += std::string(low ? " AND" : " WHERE") + " (" + keys + ") < (" + marks + ")";
  sql += " ORDER BY ";
  for (size_t i = 0; i < keys_.size(); ++i) sql += (i == 0 ? "" : ", ") + keys_[i] + (is_forward ? "" : " DESC");
  std::optional<Place> reached;
  is_broken_ = false;
  try {
    Statement rows(from_, sql.c_str());
    int next = 1;
    if (low) {
      bind(rows, next, *low);
      next += static_cast<int>(low->size());
    }
    if (high) bind(rows, next, *high);
    const int n_columns = static_cast<int>(columns_.size());
    while (rows.step()) {
      Place place;
      for (int i = 0; i < static_cast<int>(keys_.size()); ++i) {
        if (!rows.is_blob(n_columns + i)) {
          place.emplace_back(rows.integer(n_columns + i));
          continue;
        }
        alphabet_.add(std::get<std::string>(place.emplace_back(rows.text(n_columns + i))));
      }
      // A damaged tree may go in circles.
      if (reached && (is_forward ? place <= *reached : place >= *reached)) {
        is_broken_ = true;
        return reached;
      }
      copy(rows);
      reached = std::move(place);
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::resource_exhausted) throw;
    is_broken_ = true;
  }
  return reached;
}

void TableCopy::probe(const Place& low, const Place& high, int barren) {
  if (barren > max_barren || ++n_probes_ > max_probes) return;
  const Place half = middle(low, high, alphabet_);
  if (half == high) return;
  const std::optional<Place> above = read(high, half, true);
  const bool is_above_whole = !is_broken_;
  const std::optional<Place> below = read(half, low, false);
  const bool is_below_whole = !is_broken_;
  const int next = above || below ? 0 : barren + 1;
  if (!is_below_whole) probe(low, below.value_or(half), next);
  if (!is_above_whole) probe(above.value_or(half), high, next);
}

void TableCopy::copy(const Statement& row) {
  if (!insert_) {
    std::string marks;
    for (size_t i = 0; i < columns_.size(); ++i) marks += i == 0 ? "?" : ", ?";
    const std::string sql =
        "INSERT OR IGNORE INTO " + table_.name + " (" + joined(columns_) + ") VALUES (" + marks + ")";
    insert_ = std::make_unique<Statement>(to_, sql.c_str());
  }
  insert_->reset();
  for (int i = 0; i < static_cast<int>(columns_.size()); ++i) row.bind_to(*insert_, i + 1, i);
  try {
    insert_->run();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::internal) throw;
    table_.is_whole = false;  // of another type than its column
    return;
  }
  const int64_t n = to_.changes();
  if (n == 0) table_.is_whole = false;  // a value is missing that has to be there
  table_.rows += n;
}

}  // namespace

Recovery::Table salvage_table(Database& from, Database& to, const std::string& name) {
  return TableCopy(from, to, name).run();
}

}  // namespace waybill::internal
