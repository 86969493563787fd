// SPDX-License-Identifier: Apache-2.0
//
// The operations of S3, each a function from what was asked to the answer; failures are thrown as S3Error. They run
// under S3Service's lock, after access has been checked.
#pragma once

#include <string>
#include <string_view>

#include "support/fault_server/s3_body.hpp"
#include "support/fault_server/s3_request.hpp"
#include "support/fault_server/s3_store.hpp"

namespace waybill::testing::fault {

struct S3Context {
  S3Store& store;
  const S3Request& request;
  S3Body& body;
  Bucket* bucket;   ///< null only for ListBuckets and CreateBucket
  bool is_swapped;  ///< what is read has become another revision
};

using Operation = Answer (*)(S3Context&);
/// Null where there is none of this name.
Operation find_operation(std::string_view name);

Answer list_buckets(S3Context& context);
Answer create_bucket(S3Context& context);
Answer head_bucket(S3Context& context);
Answer delete_bucket(S3Context& context);
Answer get_bucket_location(S3Context& context);
Answer get_bucket_versioning(S3Context& context);
Answer put_bucket_versioning(S3Context& context);
Answer get_bucket_website(S3Context& context);
Answer delete_objects(S3Context& context);

Answer list_objects(S3Context& context);
Answer list_objects_v2(S3Context& context);
Answer list_object_versions(S3Context& context);

Answer get_object(S3Context& context);
Answer put_object(S3Context& context);
Answer delete_object(S3Context& context);
Answer get_object_attributes(S3Context& context);
Answer restore_object(S3Context& context);

Answer get_object_tagging(S3Context& context);
Answer put_object_tagging(S3Context& context);
Answer delete_object_tagging(S3Context& context);
Answer get_acl(S3Context& context);
Answer put_object_acl(S3Context& context);

Answer copy_object(S3Context& context);
Answer upload_part_copy(S3Context& context);

Answer create_multipart_upload(S3Context& context);
Answer upload_part(S3Context& context);
Answer list_parts(S3Context& context);
Answer complete_multipart_upload(S3Context& context);
Answer abort_multipart_upload(S3Context& context);
Answer list_multipart_uploads(S3Context& context);

// Shared by them.
Answer xml_answer(std::string document);
std::string quoted(const std::string& etag);
/// The version that the request names, or the current one; throws NoSuchKey, NoSuchVersion, MethodNotAllowed.
ObjectPtr require_object(Bucket& bucket, const std::string& key, std::string_view version_id);
/// Metadata, content headers, storage class, tags and ACL as the request gives them, and the time.
Object object_of_headers(S3Context& context);
Tags parse_tagging_header(std::string_view text);
/// What a request that writes asks for; throws where its key is none, or the bucket demands something else.
Encryption encryption_of_headers(const S3Context& context);
/// Whether a request has the customer's key that the content needs; `prefix` is "x-amz-" or "x-amz-copy-source-".
void check_customer_key(const S3Request& request, const std::string& prefix, const Encryption& encryption);
/// The ETag of content with that MD5.
std::string encrypted_etag(const Encryption& encryption, const std::string& etag);
void add_encryption_headers(const Encryption& encryption, Answer& answer);
/// If-Match and the like of a request that reads (`prefix` "") or copies ("x-amz-copy-source-").
void check_read_conditions(const S3Request& request, const std::string& prefix, const Object& object);
/// If-Match and If-None-Match of a request that writes.
void check_write_conditions(S3Context& context);
void check_key_length(S3Context& context);
void add_version_header(const Bucket& bucket, const Object& object, Answer& answer);
void add_checksum_headers(const Object& object, Answer& answer);
/// "ChecksumCRC64NVME", the element's name.
std::string checksum_element(const std::string& algorithm);
std::string iso_time(int64_t ms);
Upload& require_upload(S3Context& context);
uint32_t part_number(const S3Request& request);

}  // namespace waybill::testing::fault
