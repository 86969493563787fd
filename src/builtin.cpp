// SPDX-License-Identifier: Apache-2.0
//
// The one file that knows all connectors and trackers: the registry by scheme, and what is in it from the start.

#include <map>
#include <mutex>

#include "base/hash.hpp"
#include "connectors/catalog/catalog_source.hpp"
#include "connectors/filesystem/filesystem.hpp"
#include "connectors/http/http.hpp"
#include "connectors/manifest/manifest.hpp"
#include "connectors/memory/memory.hpp"
#include "connectors/s3/s3.hpp"
#include "connectors/salesforce/salesforce.hpp"
#include "connectors/sql_catalog/sql_catalog.hpp"
#include "net/http_client.hpp"
#include "trackers/memory/memory_tracker.hpp"
#include "trackers/sqlite/sqlite_tracker.hpp"
#include "waybill/connectors.hpp"
#include "waybill/version.hpp"

namespace waybill {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, Connector, std::less<>> connectors;  // guarded by mutex

  Registry() {
    connectors.emplace("file", filesystem::filesystem_connector());
    connectors.emplace("http", http::http_connector());
    connectors.emplace("https", http::http_connector());
    connectors.emplace("manifest", manifest::manifest_connector());
    connectors.emplace("memory", memory::memory_connector());
    connectors.emplace("s3", s3::s3_connector());
    connectors.emplace("salesforce", salesforce::salesforce_connector());
    connectors.emplace("sqlite", sql_catalog::sql_catalog_connector());
  }
};

Registry& registry() {
  static Registry instance;
  return instance;
}

Connector find_connector(const Url& url) {
  Registry& known = registry();
  std::scoped_lock lock(known.mutex);
  const auto found = known.connectors.find(url.scheme);
  if (found != known.connectors.end()) return found->second;
  std::string names;
  for (const auto& [scheme, connector] : known.connectors) names += (names.empty() ? "" : ", ") + scheme;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "unknown scheme " + url.scheme + "://; known are " + names + " (a text without \"://\" is a path)");
}

Error cannot(const Url& url, const char* what) {
  return Error(ErrorCode::unimplemented, ErrorClass::configuration, url.scheme + ":// cannot be a " + what);
}

}  // namespace

void register_connector(std::string_view scheme, Connector connector) {
  Registry& known = registry();
  std::scoped_lock lock(known.mutex);
  known.connectors.insert_or_assign(std::string(scheme), std::move(connector));
}

std::shared_ptr<Source> open_source(std::string_view url) {
  const Url parsed = Url::parse(url);
  const Connector connector = find_connector(parsed);
  if (connector.open_source) {
    if (auto source = connector.open_source(parsed)) return source;
  }
  if (connector.open_catalog) return catalog_source::open(parsed, connector.open_catalog);
  throw cannot(parsed, "source");
}

std::shared_ptr<Destination> open_destination(std::string_view url) {
  const Url parsed = Url::parse(url);
  const Connector connector = find_connector(parsed);
  if (!connector.open_destination) throw cannot(parsed, "destination");
  return connector.open_destination(parsed);
}

std::shared_ptr<Catalog> open_catalog(std::string_view url) {
  const Url parsed = Url::parse(url);
  const Connector connector = find_connector(parsed);
  if (!connector.open_catalog) throw cannot(parsed, "catalog");
  return connector.open_catalog(parsed);
}

std::shared_ptr<Source> open_catalog_source(std::shared_ptr<Catalog> catalog, std::vector<std::shared_ptr<Source>> contents) {
  return catalog_source::make_catalog_source(std::move(catalog), std::move(contents));
}

std::map<std::string, std::string> library_versions() {
  return {{"libcurl", internal::curl_version_number()},
          {"OpenSSL", internal::openssl_version_number()},
          {"SQLite", internal::sqlite_version_number()}};
}

std::shared_ptr<Tracker> open_tracker(std::string_view url, OpenMode mode) {
  if (url == "memory:") return internal::make_memory_tracker();
  const bool is_url = url.find("://") != std::string_view::npos;
  if (is_url && !url.starts_with("sqlite://")) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "unknown ledger " + printable(url.substr(0, url.find("://"))) + "://; a path, sqlite:///path or memory: is known");
  }
  return internal::open_sqlite_tracker(std::string(is_url ? Url::parse(url).path : std::string(url)), mode);
}

}  // namespace waybill
