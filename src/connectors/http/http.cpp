// SPDX-License-Identifier: Apache-2.0
#include "connectors/http/http.hpp"

#include "base/uri.hpp"
#include "connectors/http/http_source.hpp"

namespace waybill::http {
namespace {

std::shared_ptr<Source> open(const Url& url) {
  const auto fail = [&](const std::string& problem) {
    return Error(ErrorCode::invalid_argument, ErrorClass::configuration, url.redacted() + ": " + problem);
  };
  if (!url.query.empty()) {
    throw fail("unknown parameter \"" + printable(url.query.begin()->first) +
               "\"; the base of an http source has no query: a key brings its own");
  }
  const auto base = HttpUrl::parse(url.scheme + "://" + url.host + internal::encode_path(url.path));
  if (!base) throw fail("names no host; an http source is https://host/base/");
  return std::make_shared<HttpSource>(*base);
}

}  // namespace

Connector http_connector() {
  Connector connector;
  connector.open_source = open;
  return connector;
}

}  // namespace waybill::http
