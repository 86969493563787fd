// SPDX-License-Identifier: Apache-2.0
//
// Where to cut a range of keys that is being listed, so that somebody else can list its second half. What lies ahead is
// not known: it is guessed from the bytes that keys have shown at each position, from where the last page moved, and
// from what was found, or not found, at earlier cuts. A guess is never wrong, only better or worse: any key between two
// others is a correct cut.
//
// A page tells its scale by the position at which its first and last key differ. Between that position and the one at
// which the range's end differs lies what is unknown. Where this is much, a cut is made at an end of the part of the
// key that moves now (the folder, the run of digits), which fixes the scale whatever it finds; where it is little, keys
// are read as numbers and the cut is half way.
//
// Pure arithmetic; no locks, no I/O.
#pragma once

#include <bitset>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/item.hpp"

namespace waybill::internal {

/// A range of keys of which the beginning has been listed.
struct KeySpan {
  const Key& first;               ///< of the last page
  const Key& at;                  ///< the last key of the last page
  const std::optional<Key>& end;  ///< the range's last possible key; nothing: no bound
  int attempt = 0;                ///< how often the range has been cut before: ways of guessing take turns
};

/// *Thread safety:* none.
class KeySpace {
 public:
  /// A key that was seen.
  void learn(std::string_view key);

  /// The range has been listed to its end: what was last in its part is likely to be last in parts beside it.
  void learn_end(const KeySpan& span);

  /// How many pages like the last one may lie between `at` and `end`; a large number where there is no telling.
  double pages_left(const KeySpan& span) const;

  /// A key greater than `at`, less than `end`, and UTF-8 if those are, to cut at; nothing where there is no good one.
  std::optional<Key> cut(const KeySpan& span) const;

 private:
  using Bytes = std::bitset<256>;

  struct Scale;
  Scale scale(const KeySpan& span) const;
  std::string alphabet(std::string_view key, size_t position) const;
  double place(std::string_view key, size_t from, const std::vector<std::string>& alphabets) const;
  std::optional<Key> middle(const KeySpan& span, const Scale& scale) const;

  std::vector<Bytes> seen_;        // by position
  std::map<size_t, Key> last_of_;  // the greatest rest of a key that a part which begins at a position has ended with
};

/// The least key that is greater than every key that begins with `prefix`, as far as a UTF-8 text can be; nothing if
/// there is none.
std::optional<Key> above(std::string_view prefix);

}  // namespace waybill::internal
