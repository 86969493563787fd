// SPDX-License-Identifier: Apache-2.0
//
// Connectors and trackers by URL. Built in: file:///path (or a plain path), s3://bucket/prefix?endpoint=…&region=…&
// profile=…, memory://name; sources alone: https://host/base/, manifest:///path/list.csv?base=URL; catalogs: sqlite:///path?table=…,
// salesforce://acme.my.salesforce.com/Object.Field?…; ledgers: a path, sqlite:///path, memory:.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"
#include "waybill/tracker.hpp"

namespace waybill {

/// A URL taken apart. A text without "scheme://" is a path: scheme "file".
struct Url {
  std::string scheme;                         ///< lower case
  std::string host;                           ///< percent-decoded; bucket, for s3
  std::string path;                           ///< percent-decoded bytes after the host, with their leading '/'
  std::map<std::string, std::string> query;   ///< percent-decoded; connectors take out what they know

  /// Errors: configuration (not a URL, a userinfo part: credentials never belong in a URL, a repeated parameter).
  static Url parse(std::string_view text);
  /// Without the values of query parameters that are not known to be harmless. Safe for logs.
  std::string redacted() const;
};

/// What a scheme can open; a null function means that it cannot. Connectors refuse query parameters they do not know,
/// by name, with class configuration.
struct Connector {
  std::function<std::shared_ptr<Source>(const Url&)> open_source;  ///< null for a URL that is a catalog's
  std::function<std::shared_ptr<Destination>(const Url&)> open_destination;
  std::function<std::shared_ptr<Catalog>(const Url&)> open_catalog;
};

/// Makes `scheme` (lower case) known to the open functions, in this process, replacing what was there. Any thread.
void register_connector(std::string_view scheme, Connector connector);

/// Opens a source. No I/O beyond what reading a credentials file needs: Source::check() does that. The URL of a catalog opens
/// open_catalog_source(): its `contents` are URLs of sources with spaces between them, percent-encoded like every parameter.
/// Errors: configuration (unknown scheme, named with those that are known; unknown or wrong parameter).
std::shared_ptr<Source> open_source(std::string_view url);
std::shared_ptr<Destination> open_destination(std::string_view url);
std::shared_ptr<Catalog> open_catalog(std::string_view url);

/// A source of what the references of a catalog point at: its items are the distinct values of the references, each in
/// the partition of its record, with the value itself as key. A value is read through the first of `contents` that knows
/// it (Source::item_at), else as https://, http:// or s3:// (default credentials); every other value is listed as refused.
/// Neither null. Capabilities::links holds.
std::shared_ptr<Source> open_catalog_source(std::shared_ptr<Catalog> catalog, std::vector<std::shared_ptr<Source>> contents = {});

/// How a ledger is opened.
enum class OpenMode : int {
  create = 0,     ///< open it, or make it where there is none
  existing = 1,   ///< it must be there
  read_only = 2,  ///< it must be there; nothing is ever written
};

/// Opens a ledger: a path or sqlite:///path, or "memory:" for one that dies with the process.
/// Errors: missing, permission, tracker (corrupt, of a newer schema, not a ledger, on a network filesystem).
std::shared_ptr<Tracker> open_tracker(std::string_view url, OpenMode mode = OpenMode::create);

}  // namespace waybill
