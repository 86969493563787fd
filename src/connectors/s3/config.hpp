// SPDX-License-Identifier: Apache-2.0
//
// What an s3:// URL says: s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&profile=NAME.
//
//   endpoint    another store than AWS: http(s)://host[:port]; path-style addressing
//   region      default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1
//   profile     credentials and region from this profile of the shared files, and from nowhere else
//   anonymous   "true": requests are not signed
//   allow_http  "true": plain http to an endpoint that is not this machine; bodies are then signed, but not secret
//
// The prefix is "" or ends in '/': s3://b/p and s3://b/p/ are both the prefix "p/". An object's key is the prefix and
// the item's key, byte for byte; nothing is ever normalised.
#pragma once

#include <string>
#include <string_view>

#include "waybill/connectors.hpp"

namespace waybill::s3 {

struct Config {
  std::string bucket;
  std::string prefix;  ///< "" or ending in '/'
  std::string region;
  std::string profile;       ///< "" is the environment, then the default profile
  std::string scheme;        ///< "http" or "https"
  std::string service_host;  ///< without the bucket; with the port where it is not the scheme's own
  std::string port;          ///< always set
  bool path_style = false;
  bool anonymous = false;

  /// What requests are sent to: with the bucket in front unless path_style.
  std::string host() const { return path_style ? service_host : bucket + "." + service_host; }
  /// "s3://bucket/prefix"
  std::string identity() const { return "s3://" + bucket + "/" + prefix; }
  /// Scheme, host and port of the service.
  std::string endpoint() const;
};

/// Errors: configuration (no bucket, an unknown parameter or a wrong value, each named).
Config parse_config(const Url& url);

/// Whether `host` (without a port) is this machine by its name: localhost, 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host) noexcept;

}  // namespace waybill::s3
