// SPDX-License-Identifier: Apache-2.0
#include "connectors/manifest/manifest.hpp"

#include "base/text.hpp"
#include "connectors/manifest/manifest_source.hpp"

namespace waybill::manifest {
namespace {

Error wrong(const Url& url, const std::string& problem) {
  return Error(ErrorCode::invalid_argument, ErrorClass::configuration, url.redacted() + ": " + problem);
}

Format format_of(const Url& url) {
  const auto named = url.query.find("format");
  if (named != url.query.end()) {
    if (named->second == "csv") return Format::csv;
    if (named->second == "jsonl") return Format::jsonl;
    if (named->second == "s3-inventory") return Format::s3_inventory;
    throw wrong(url, "format is csv, jsonl or s3-inventory, not \"" + printable(named->second) + "\"");
  }
  std::string path = internal::to_lower(url.path);
  if (path.ends_with("/manifest.json")) return Format::s3_inventory;
  if (path.ends_with(".gz")) path.resize(path.size() - 3);
  if (path.ends_with(".csv")) return Format::csv;
  if (path.ends_with(".jsonl") || path.ends_with(".ndjson")) return Format::jsonl;
  throw wrong(url, "its name does not tell what it is; add format=csv, format=jsonl or format=s3-inventory");
}

std::shared_ptr<Source> open(const Url& url) {
  if (!url.host.empty())
    throw wrong(url, "a manifest is a file of this machine, with three slashes: manifest:///path/list.csv");
  if (url.path.size() < 2 || url.path.find('\0') != std::string::npos) throw wrong(url, "names no file");
  Config config;
  config.path = url.path;
  config.format = format_of(url);
  for (const auto& [name, value] : url.query) {
    if (value.empty()) throw wrong(url, "the parameter " + printable(name) + " is empty");
    if (name == "base") {
      config.base = open_source(value);
    } else if (name == "parts") {
      config.parts = value;
    } else if (name == "key" || name == "url" || name == "size" || name == "etag" || name == "mtime" ||
               name == "partition" || name == "version") {
      config.columns[name] = internal::to_lower(value);
    } else if (name != "format") {
      throw wrong(url, "unknown parameter \"" + printable(name) +
                           "\"; known are base, format, parts, key, url, size, etag, mtime, partition, version");
    }
  }
  const bool is_inventory = config.format == Format::s3_inventory;
  if (is_inventory && !config.columns.empty())
    throw wrong(url, "an S3 Inventory names its columns itself; leave " + config.columns.begin()->first + " out");
  if (!is_inventory && !config.parts.empty()) throw wrong(url, "parts is for an S3 Inventory alone");
  return make_manifest_source(std::move(config));
}

}  // namespace

Connector manifest_connector() {
  Connector connector;
  connector.open_source = open;
  return connector;
}

}  // namespace waybill::manifest
