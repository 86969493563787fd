// SPDX-License-Identifier: Apache-2.0
#include "connectors/filesystem/filesystem.hpp"

#include "connectors/filesystem/destination.hpp"
#include "connectors/filesystem/source.hpp"

namespace waybill::filesystem {
namespace {

Error wrong_url(const Url& url, const std::string& problem) {
  return Error(ErrorCode::invalid_argument, ErrorClass::configuration, url.redacted() + ": " + problem);
}

/// The path of a URL. Errors: configuration.
const std::string& path_of(const Url& url) {
  if (!url.query.empty()) {
    throw wrong_url(url,
                    "unknown parameter \"" + printable(url.query.begin()->first) + "\"; a folder has none, remove it");
  }
  if (!url.host.empty() && url.host != "localhost") {
    throw wrong_url(url, "names the host \"" + printable(url.host) + "\"; a path has three slashes: file:///path");
  }
  if (url.path.empty()) throw wrong_url(url, "has no path; give a folder, for example file:///data");
  if (url.path.find('\0') != std::string::npos) throw wrong_url(url, "the path has a NUL byte");
  return url.path;
}

}  // namespace

Connector filesystem_connector() {
  Connector connector;
  connector.open_source = [](const Url& url) { return std::make_shared<FilesystemSource>(path_of(url)); };
  connector.open_destination = [](const Url& url) { return std::make_shared<FilesystemDestination>(path_of(url)); };
  return connector;
}

}  // namespace waybill::filesystem
