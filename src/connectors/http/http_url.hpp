// SPDX-License-Identifier: Apache-2.0
//
// URLs as they go out: what a server was given a link for, it is asked for byte by byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace waybill::http {

/// An http or https URL in two pieces. `origin` is in lower case and without the scheme's own port; `target` begins
/// with
/// '/' and has no fragment, and is as it was given but for bytes that cannot stand in a URL (spaces, controls,
/// non-ASCII and "<>\^`{|}): these are percent-encoded.
struct HttpUrl {
  std::string origin;  ///< "https://host:8443"
  std::string target;  ///< "/path?query"

  /// Nothing for anything else than http(s)://host[:port]…; also for one with credentials in it.
  static std::optional<HttpUrl> parse(std::string_view text);
  /// What a Location header means that came with the answer of this URL; nothing where it leads to no http(s) URL.
  std::optional<HttpUrl> resolve(std::string_view location) const;

  std::string text() const { return origin + target; }
  /// For messages: without the values of its query.
  std::string shown() const;
  /// The path of the target up to its last '/'.
  std::string_view folder() const;
  bool is_https() const { return origin.starts_with("https:"); }
  /// Whether its host is this machine by its name: localhost, 127.0.0.0/8, ::1.
  bool is_loopback() const;

  bool operator==(const HttpUrl&) const = default;
};

/// Whether `text` begins as an absolute URL does, or as one of another host ("//host/…").
bool is_absolute(std::string_view text);

/// Whether the path of a relative reference leads above the folder that it is relative to.
bool leads_out(std::string_view reference);

}  // namespace waybill::http
