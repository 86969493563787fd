// SPDX-License-Identifier: Apache-2.0
//
// See s3.hpp.
#include "connectors/s3/s3.hpp"

#include "connectors/s3/client.hpp"
#include "connectors/s3/config.hpp"
#include "connectors/s3/s3_destination.hpp"
#include "connectors/s3/s3_source.hpp"

namespace waybill::s3 {

namespace {

Config source_config(const Url& url) {
  for (const char* name : {"storage_class", "acl", "sse", "sse_kms_key_id", "bucket_key"}) {
    if (!url.query.contains(name)) continue;
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                std::string("parameter '") + name + "' belongs into the URL of a destination, not of a source");
  }
  return parse_config(url);
}

Config destination_config(const Url& url) {
  Config config = parse_config(url);
  if (!config.versions) return config;
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "parameter 'versions' belongs into the URL of a source, not of a destination");
}

}  // namespace

Connector s3_connector() {
  Connector connector;
  connector.open_source = [](const Url& url) -> std::shared_ptr<Source> {
    return std::make_shared<S3Source>(std::make_shared<Client>(source_config(url)));
  };
  connector.open_destination = [](const Url& url) -> std::shared_ptr<Destination> {
    return std::make_shared<S3Destination>(std::make_shared<Client>(destination_config(url)));
  };
  return connector;
}

}  // namespace waybill::s3
