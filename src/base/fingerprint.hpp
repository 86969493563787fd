// SPDX-License-Identifier: Apache-2.0
//
// What tells two migrations apart, for people. Fingerprints are lines of "name=value".
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "waybill/tracker.hpp"

namespace waybill::internal {

/// "a -> b"; of tracked work, which has no places, its name.
inline std::string places_of(const MigrationInfo& info) {
  constexpr std::string_view track = "track:";
  if (info.source == info.destination && info.source.starts_with(track)) return "tracked work \"" + info.source.substr(track.size()) + "\"";
  return info.source + " -> " + info.destination;
}

/// The key template of a migration; "" where each item goes to its own key.
inline std::string key_template_of(std::string_view fingerprint) {
  constexpr std::string_view name = "\nkeys=";
  const size_t at = fingerprint.find(name);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = fingerprint.substr(at + name.size());
  const std::string_view text = rest.substr(0, rest.find('\n'));
  return text == "same" ? std::string() : std::string(text);
}

/// On one line: the places of both, "a -> b, wanted: a -> c"; where these are the same, what else differs,
/// "a -> b with versions=latest, wanted: versions=all".
inline std::string difference(const MigrationInfo& known, const MigrationInfo& wanted) {
  const std::string places = places_of(known);
  const std::string wanted_places = places_of(wanted);
  if (places != wanted_places) return places + ", wanted: " + wanted_places;
  std::string text;
  std::string_view ours = known.fingerprint;
  std::string_view theirs = wanted.fingerprint;
  while (!ours.empty() || !theirs.empty()) {
    const std::string_view one = ours.substr(0, ours.find('\n'));
    const std::string_view other = theirs.substr(0, theirs.find('\n'));
    if (one != other) text += " with " + std::string(one) + ", wanted: " + std::string(other);
    ours.remove_prefix(std::min(one.size() + 1, ours.size()));
    theirs.remove_prefix(std::min(other.size() + 1, theirs.size()));
  }
  return places + text;
}

}  // namespace waybill::internal
