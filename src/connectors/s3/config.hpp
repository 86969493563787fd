// SPDX-License-Identifier: Apache-2.0
//
// What an s3:// URL says: s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&profile=NAME.
//
//   endpoint        another store than AWS, or another door to it (dual-stack, FIPS): http(s)://host[:port]
//   region          default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1; corrected by what the store says
//   profile         credentials and region from this profile of the shared files, and from nowhere else
//   addressing      "virtual" (bucket in the host) or "path". Default: virtual for AWS, path for an endpoint; path also
//                   where no certificate could cover the host (dots, upper case, underscores in the bucket's name)
//   anonymous       "true": requests are not signed
//   requester_pays  "true": whoever asks pays, as buckets so configured demand
//   expected_bucket_owner   an account of twelve digits: a bucket that belongs to another one is refused, by the store
//   ordered         "false": the listing is not relied on to be in byte order. Default: found out by its first page
//   tags            "false": tags of objects are not read from here, or not written here
//   versions        of a source, "true": every version of every object is an item, with the store's version id. Default:
//                   the latest one of each. Delete markers have no content and are no items; they are counted
//   storage_class   of a destination: the class of what is written. Default: that of the source, where the store takes it
//   acl             of a destination: a canned ACL ("bucket-owner-full-control", …). Default: none is sent
//   sse             of a destination: what is written is encrypted by the store, with "AES256" (SSE-S3), "aws:kms" or
//                   "aws:kms:dsse". Default: as the bucket says
//   sse_kms_key_id  with aws:kms: the key's id, ARN or alias. Default: the account's own
//   bucket_key      "true": with aws:kms, one data key for many objects
//   sse_c_key       env:NAME: objects are written, and have been, with a key of one's own (SSE-C), which is in this
//                   variable, 32 bytes in base64. Not over plain http, as it is sent with the requests
//   allow_http      "true": plain http to an endpoint that is not this machine; bodies are then signed, but not secret
//
// The prefix is "" or ends in '/': s3://b/p and s3://b/p/ are both the prefix "p/". An object's key is the prefix and
// the item's key, byte for byte; nothing is ever normalised.
//
// Refused: access point ARNs (name the access point's alias instead), directory buckets, multi-region access points.
#pragma once

#include <string>
#include <string_view>

#include "base/secret.hpp"
#include "waybill/connectors.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {

/// A key of the user's own for the encryption of objects; the text of headers.
struct CustomerKey {
  internal::Secret key;  ///< base64; empty where there is none
  std::string md5;  ///< of the key's bytes, base64

  bool empty() const noexcept { return key.empty(); }
};

struct Config {
  std::string bucket;
  std::string prefix;  ///< "" or ending in '/'
  std::string region;
  std::string profile;       ///< "" is the environment, then the default profile
  std::string scheme;        ///< "http" or "https"
  std::string service_host;  ///< without the bucket; with the port where it is not the scheme's own
  std::string port;          ///< always set
  bool is_aws = false;       ///< no endpoint was given: the host follows from the region
  bool path_style = false;
  bool anonymous = false;
  bool requester_pays = false;
  bool ordered = true;
  bool tags = true;
  bool versions = false;
  std::string storage_class;  ///< "" keeps the source's
  std::string acl;            ///< "" is none
  std::string expected_bucket_owner;  ///< "" is not checked
  std::string sse;                    ///< "" as the bucket says
  std::string sse_kms_key_id;
  bool bucket_key = false;
  CustomerKey sse_c;

  /// What requests are sent to: with the bucket in front unless path_style.
  std::string host() const { return path_style ? service_host : bucket + "." + service_host; }
  /// Takes another region, with its host where that follows from it.
  void set_region(std::string name);
  /// "s3://bucket/prefix"
  std::string identity() const { return "s3://" + bucket + "/" + prefix; }
  /// The same for messages.
  std::string shown() const { return printable(identity()); }
  /// Scheme, host and port of the service.
  std::string endpoint() const;
};

/// Errors: configuration (a bucket's name that none can have, an unknown parameter or a wrong value, each named).
Config parse_config(const Url& url);

/// Whether `name` has the form of a region's name.
bool is_region_name(std::string_view name) noexcept;

/// Whether `host` (without a port) is this machine by its name: localhost, 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host) noexcept;

}  // namespace waybill::s3
