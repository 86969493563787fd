// SPDX-License-Identifier: Apache-2.0
//
// The XML of S3's answers, and the one request that has a body of it. Parsers take the text over (they parse in place)
// and throw Error{data_loss, server} on anything that is not the document they expect: a listing that cannot be read
// whole is never taken for a shorter one. DTDs are skipped, and no entity but the five of XML and numeric ones means
// anything.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/destination.hpp"

namespace waybill::s3 {

/// The body of an answer that is no success. All empty where there is no such body.
struct ServiceError {
  std::string code;
  std::string message;
  std::string request_id;
  std::string region = {};    ///< where the bucket is, if the error is about that
  std::string endpoint = {};  ///< the host to ask instead, if the error is about that
};

/// Whatever can be read of `body`: never throws for its content.
ServiceError parse_error(std::string_view body);

struct ListedObject {
  std::string key;  ///< as sent, still encoded where ListedPage::is_url_encoded
  uint64_t size = 0;
  std::string etag;  ///< without quotes
  bool has_weak_etag = false;  ///< "W/": one revision may have several contents
  std::string storage_class;
  std::optional<int64_t> modified_at_ms;
  bool is_restoring = false;  ///< out of an archive, and not there yet
  bool is_restored = false;   ///< out of an archive, for a while
  // Of a listing of versions:
  std::string version_id;         ///< "null" for what was written while the bucket kept no versions
  bool is_latest = false;
  bool is_delete_marker = false;  ///< no content: says that the key was deleted
};

struct ListedPage {
  std::vector<ListedObject> objects;
  bool is_truncated = false;
  bool is_url_encoded = false;
  bool is_v1 = false;       ///< what only ListObjects (version 1) says is in it, and nothing that only version 2 says
  bool is_v2 = false;       ///< what only ListObjectsV2 says is in it
  std::string next_token;   ///< of version 2
  std::string next_marker;  ///< of version 1 and of versions; still encoded where is_url_encoded
  std::string next_version_marker;  ///< of versions: where within the versions of next_marker
};

ListedPage parse_list(std::string& body);
/// Of ListObjectVersions. Versions and delete markers come in the order of the document.
ListedPage parse_versions(std::string& body);

/// The UploadId of an InitiateMultipartUploadResult.
std::string parse_initiate(std::string& body);

struct ListedParts {
  std::vector<PartInfo> parts;
  bool is_truncated = false;
  std::string next_marker;
  std::string checksum_algorithm;  ///< "CRC64NVME", …; "" where the upload has none
};

ListedParts parse_parts(std::string& body);

struct ListedUpload {
  std::string key;  ///< as sent
  bool is_url_encoded = false;
  std::string id;
  std::optional<int64_t> initiated_ms;  ///< by the store's clock
};

/// <ListMultipartUploadsResult>. Errors: server (not one).
std::vector<ListedUpload> parse_uploads(std::string& body);

/// <Tagging>
std::map<std::string, std::string> parse_tagging(std::string& body);

/// The answer to CompleteMultipartUpload, CopyObject and UploadPartCopy, which can be an error in a 200.
struct Completed {
  std::string etag;                ///< without quotes; not empty unless `error` is set
  std::optional<Crc64> crc64nvme;  ///< of the whole object
  std::optional<ServiceError> error;
};

Completed parse_complete(std::string& body);
/// Of <CopyObjectResult> and <CopyPartResult>.
Completed parse_copied(std::string& body);

/// The body of CompleteMultipartUpload. With `with_checksums`, parts that have a CRC-64/NVME name it.
std::string complete_body(std::span<const PartInfo> parts, bool with_checksums);

/// An entity tag without its quotes and without the mark of a weak one.
std::string_view unquote_etag(std::string_view etag) noexcept;
bool is_weak_etag(std::string_view etag) noexcept;

}  // namespace waybill::s3
