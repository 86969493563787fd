// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "waybill/item.hpp"

namespace waybill::internal {
namespace {

constexpr size_t longest = 64;  // of a word that is compared: the cost is its square

std::string form_of(std::string_view word) {
  std::string form = to_lower(word);
  std::replace(form.begin(), form.end(), '-', '_');
  return form;
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> above(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  std::iota(above.begin(), above.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string> known) {
  const std::string form = form_of(word);
  if (form.size() > longest) return "";
  const std::string* nearest = nullptr;
  size_t least = std::max<size_t>(1, form.size() / 3) + 1;
  for (const std::string& one : known) {
    if (one.size() > longest) continue;
    const size_t far = distance(form, form_of(one));
    if (far < least) {
      least = far;
      nearest = &one;
    }
  }
  return nearest == nullptr ? "" : "; did you mean \"" + printable(*nearest) + "\"?";
}

}  // namespace waybill::internal
