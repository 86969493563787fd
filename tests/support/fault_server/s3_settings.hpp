// SPDX-License-Identifier: Apache-2.0
//
// How a bucket and the S3 server behave where stores differ. The defaults are those of a sound store. JSON names are
// those of the fields.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

namespace waybill::testing::fault {

struct BucketSettings {
  /// Not empty: requests signed for another region are answered by `wrong_region`.
  std::string region;
  std::string wrong_region = "redirect";  ///< "redirect" (301), or "malformed" (400 with <Region>)
  std::string redirect_to;                ///< "http://host:port": 307 for requests to any other host
  std::string versioning = "off";         ///< "off", "enabled", "suspended"
  bool digest_only = false;               ///< bodies are hashed and thrown away
  bool requester_pays = false;            ///< 403 without x-amz-request-payer
  std::string owner = "111111111111";     ///< 403 for requests that expect another one
  std::string demands_encryption;         ///< not empty: 403 for writes that do not ask for it ("aws:kms")
  std::set<std::string> denied;           ///< operations that answer 403 AccessDenied
  std::string only_below;                 ///< 403 for keys, and for listings of prefixes, that do not begin so
  bool is_public = false;                 ///< anonymous requests are served where signatures are checked
  // Listing.
  uint64_t page_size = 1000;           ///< most keys of a page
  bool ignores_encoding_type = false;  ///< keys are written as they are
  bool plus_for_space = false;         ///< in url-encoded listings
  bool unordered = false;              ///< keys of a page come in the opposite order
  std::string unlisted;                ///< a pattern: these objects are there, and in no listing yet
  uint64_t repeats_token_after = 0;    ///< after so many pages every page has the token of that one, and its keys
  uint64_t empty_page_every = 0;       ///< every so many pages is empty, and truncated
  std::string list_v2 = "yes";         ///< "yes", "not_implemented" (501), "as_v1" (list-type is not looked at)
  // Writing.
  std::string conditional_writes = "yes";  ///< "yes", "ignored", "not_implemented"
  std::set<std::string> unconditional;     ///< operations that ignore conditions where others heed them
  std::string checksums = "yes";           ///< "yes", "ignored", "refused" (400)
  std::string etag = "md5";                ///< "md5", "opaque"
  bool copy = true;                        ///< CopyObject is there (else 501)
  bool part_copy = true;                   ///< UploadPartCopy is there
  std::set<std::string> copies_lose;       ///< headers ("expires") of the source that CopyObject does not keep
  bool website = false;                    ///< GetBucketWebsite says that the bucket is one
  uint64_t min_part_bytes = 5 << 20;       ///< of all parts but the last, at completion
  uint64_t longest_key = 1024;

  /// Takes over the fields that are there. Throws std::invalid_argument.
  void merge(const nlohmann::json& json);
};

struct AccessKey {
  std::string id;
  std::string secret;
  std::string session_token;  ///< has to be sent if not empty
  bool is_expired = false;    ///< answers ExpiredToken
};

struct ServerSettings {
  std::string region = "us-east-1";
  int64_t clock_offset_s = 0;  ///< of the server's clock from the machine's
  bool checks_signatures = false;
  std::vector<AccessKey> keys;     ///< accepted where signatures are checked
  std::string domain = "s3.test";  ///< bucket.domain names a bucket, as bucket.localhost and …s3….amazonaws.com do
  bool creates_buckets = false;    ///< a bucket that is written to comes into being
  std::string name = "fault_server";  ///< in the header Server
  std::string id_2;                   ///< in the header x-amz-id-2; "" is none

  void merge(const nlohmann::json& json);
};

}  // namespace waybill::testing::fault
