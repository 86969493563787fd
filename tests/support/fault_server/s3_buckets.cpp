// SPDX-License-Identifier: Apache-2.0
//
// Operations on buckets, deletion in bulk, tags and ACLs; and the table of all operations.
#include <map>

#include "support/fault_server/s3_operations.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

S3Error malformed_xml() { return {400, "MalformedXML", "The XML you provided was not well-formed", {}, {}}; }

void replace_tags(S3Context& context, Tags tags, Answer& answer) {
  const ObjectPtr object = require_object(*context.bucket, context.request.key, context.request.parameter("versionId"));
  auto changed = std::make_shared<Object>(*object);
  changed->tags = std::move(tags);
  add_version_header(*context.bucket, *changed, answer);
  context.bucket->change(context.request.key, std::move(changed));
}

void delete_one(S3Context& context, const XmlNode& node, bool is_quiet, XmlWriter& xml) {
  const std::string key(node.child_text("Key"));
  const std::string version_id(node.child_text("VersionId"));
  if (key.empty()) throw malformed_xml();
  ObjectPtr marker;
  if (version_id.empty()) {
    marker = context.bucket->remove(key);
  } else {
    context.bucket->remove_version(key, version_id);
  }
  if (is_quiet) return;
  xml.open("Deleted").element("Key", key);
  if (!version_id.empty()) xml.element("VersionId", version_id);
  if (marker) xml.element("DeleteMarker", "true").element("DeleteMarkerVersionId", marker->version_id);
  xml.close("Deleted");
}

Answer head_object(S3Context& context) { return get_object(context); }

}  // namespace

Answer xml_answer(std::string document) {
  Answer answer;
  answer.headers.emplace_back("Content-Type", "application/xml");
  answer.text = std::move(document);
  return answer;
}

Answer list_buckets(S3Context& context) {
  XmlWriter xml("ListAllMyBucketsResult");
  xml.open("Owner").element("ID", "waybill-test").close("Owner").open("Buckets");
  for (const auto& [name, bucket] : context.store.buckets()) {
    xml.open("Bucket").element("Name", name).element("CreationDate", "2026-01-01T00:00:00.000Z").close("Bucket");
  }
  xml.close("Buckets");
  return xml_answer(xml.finish());
}

Answer create_bucket(S3Context& context) {
  const std::string& name = context.request.bucket;
  if (context.bucket) {
    throw S3Error{
        409, "BucketAlreadyOwnedByYou", "The bucket exists already and is yours.", {{"BucketName", name}}, {}};
  }
  if (name.size() < 3 || name.size() > 63)
    throw S3Error{400, "InvalidBucketName", "The bucket name is not valid.", {}, {}};
  Bucket& bucket = context.store.make(name);
  if (const auto document = parse_xml(context.body.text())) {
    bucket.settings.region = document->child_text("LocationConstraint");
  }
  Answer answer;
  answer.headers.emplace_back("Location", "/" + name);
  return answer;
}

Answer head_bucket(S3Context& context) {
  const std::string& region = context.bucket->settings.region;
  Answer answer;
  answer.headers.emplace_back("x-amz-bucket-region", region.empty() ? context.store.settings.region : region);
  return answer;
}

Answer delete_bucket(S3Context& context) {
  if (!context.bucket->is_empty()) throw S3Error{409, "BucketNotEmpty", "The bucket is not empty", {}, {}};
  context.store.remove(context.request.bucket);
  Answer answer;
  answer.status = 204;
  return answer;
}

Answer get_bucket_location(S3Context& context) {
  const std::string& own = context.bucket->settings.region;
  const std::string& region = own.empty() ? context.store.settings.region : own;
  // us-east-1 is written as nothing.
  return xml_answer(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" +
      (region == "us-east-1" ? std::string() : xml_escape(region)) + "</LocationConstraint>");
}

Answer get_bucket_versioning(S3Context& context) {
  XmlWriter xml("VersioningConfiguration");
  const std::string& state = context.bucket->settings.versioning;
  if (state != "off") xml.element("Status", state == "enabled" ? "Enabled" : "Suspended");
  return xml_answer(xml.finish());
}

Answer get_bucket_website(S3Context& context) {
  if (!context.bucket->settings.website) {
    throw S3Error{
        404, "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", {}, {}};
  }
  XmlWriter xml("WebsiteConfiguration");
  xml.open("IndexDocument").element("Suffix", "index.html").close("IndexDocument");
  return xml_answer(xml.finish());
}

Answer put_bucket_versioning(S3Context& context) {
  const auto document = parse_xml(context.body.text());
  if (!document) throw malformed_xml();
  context.bucket->settings.versioning = document->child_text("Status") == "Enabled" ? "enabled" : "suspended";
  return {};
}

Answer delete_objects(S3Context& context) {
  const S3Request& request = context.request;
  const std::vector<Checksum> said = context.body.verify();
  if (said.empty() && !request.http->has_header("content-md5")) {
    throw S3Error{400, "InvalidRequest", "Missing required header for this request: Content-MD5", {}, {}};
  }
  const auto document = parse_xml(context.body.text());
  if (!document || document->name != "Delete") throw malformed_xml();
  if (document->children.size() > 1001) throw malformed_xml();
  const bool is_quiet = document->child_text("Quiet") == "true";
  XmlWriter xml("DeleteResult");
  for (const XmlNode& node : document->children) {
    if (node.name == "Object") delete_one(context, node, is_quiet, xml);
  }
  return xml_answer(xml.finish());
}

Answer get_object_tagging(S3Context& context) {
  const ObjectPtr object = require_object(*context.bucket, context.request.key, context.request.parameter("versionId"));
  XmlWriter xml("Tagging");
  xml.open("TagSet");
  for (const auto& [name, value] : object->tags) {
    xml.open("Tag").element("Key", name).element("Value", value).close("Tag");
  }
  xml.close("TagSet");
  Answer answer = xml_answer(xml.finish());
  add_version_header(*context.bucket, *object, answer);
  return answer;
}

Answer put_object_tagging(S3Context& context) {
  const auto document = parse_xml(context.body.text());
  const XmlNode* set = document ? document->child("TagSet") : nullptr;
  if (!set) throw malformed_xml();
  if (set->children.size() > 10) throw S3Error{400, "BadRequest", "Object tags cannot be greater than 10", {}, {}};
  Tags tags;
  for (const XmlNode& tag : set->children) tags.emplace_back(tag.child_text("Key"), tag.child_text("Value"));
  Answer answer;
  replace_tags(context, std::move(tags), answer);
  return answer;
}

Answer delete_object_tagging(S3Context& context) {
  Answer answer;
  answer.status = 204;
  replace_tags(context, {}, answer);
  return answer;
}

// Canned ones as grants: everybody's READ or WRITE beside the owner's FULL_CONTROL.
Answer get_acl(S3Context& context) {
  std::string acl = "private";
  if (!context.request.key.empty()) {
    acl = require_object(*context.bucket, context.request.key, context.request.parameter("versionId"))->acl;
  }
  XmlWriter xml("AccessControlPolicy");
  xml.open("Owner").element("ID", "waybill-test").close("Owner").open("AccessControlList");
  xml.open("Grant").open("Grantee").element("ID", "waybill-test").close("Grantee");
  xml.element("Permission", "FULL_CONTROL").close("Grant");
  for (const char* const permission : {"READ", "WRITE"}) {
    const bool is_granted =
        acl == "public-read-write" || (acl == "public-read" && permission == std::string_view("READ"));
    if (!is_granted) continue;
    xml.open("Grant").open("Grantee").element("URI", "http://acs.amazonaws.com/groups/global/AllUsers");
    xml.close("Grantee").element("Permission", permission).close("Grant");
  }
  xml.close("AccessControlList");
  return xml_answer(xml.finish());
}

Answer put_object_acl(S3Context& context) {
  const ObjectPtr object = require_object(*context.bucket, context.request.key, context.request.parameter("versionId"));
  auto changed = std::make_shared<Object>(*object);
  const auto canned = context.request.header("x-amz-acl");
  changed->acl = canned.empty() ? "private" : std::string(canned);
  context.bucket->change(context.request.key, std::move(changed));
  return {};
}

Answer get_object_attributes(S3Context& context) {
  const ObjectPtr object = require_object(*context.bucket, context.request.key, context.request.parameter("versionId"));
  XmlWriter xml("GetObjectAttributesResponse");
  xml.element("ETag", object->etag);
  if (!object->checksums.empty()) {
    xml.open("Checksum");
    for (const Checksum& one : object->checksums) {
      xml.element(checksum_element(one.algorithm), one.value);
      xml.element("ChecksumType", one.is_composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    xml.close("Checksum");
  }
  if (!object->part_sizes.empty()) {
    xml.open("ObjectParts").element("TotalPartsCount", std::to_string(object->part_sizes.size())).close("ObjectParts");
  }
  xml.element("StorageClass", object->storage_class).element("ObjectSize", std::to_string(object->size()));
  return xml_answer(xml.finish());
}

Operation find_operation(std::string_view name) {
  static const std::map<std::string_view, Operation> operations = {
      {"ListBuckets", list_buckets},
      {"CreateBucket", create_bucket},
      {"HeadBucket", head_bucket},
      {"DeleteBucket", delete_bucket},
      {"GetBucketLocation", get_bucket_location},
      {"GetBucketVersioning", get_bucket_versioning},
      {"PutBucketVersioning", put_bucket_versioning},
      {"GetBucketAcl", get_acl},
      {"GetBucketWebsite", get_bucket_website},
      {"ListObjects", list_objects},
      {"ListObjectsV2", list_objects_v2},
      {"ListObjectVersions", list_object_versions},
      {"ListMultipartUploads", list_multipart_uploads},
      {"DeleteObjects", delete_objects},
      {"GetObject", get_object},
      {"HeadObject", head_object},
      {"PutObject", put_object},
      {"DeleteObject", delete_object},
      {"CopyObject", copy_object},
      {"GetObjectAttributes", get_object_attributes},
      {"RestoreObject", restore_object},
      {"GetObjectTagging", get_object_tagging},
      {"PutObjectTagging", put_object_tagging},
      {"DeleteObjectTagging", delete_object_tagging},
      {"GetObjectAcl", get_acl},
      {"PutObjectAcl", put_object_acl},
      {"CreateMultipartUpload", create_multipart_upload},
      {"UploadPart", upload_part},
      {"UploadPartCopy", upload_part_copy},
      {"ListParts", list_parts},
      {"CompleteMultipartUpload", complete_multipart_upload},
      {"AbortMultipartUpload", abort_multipart_upload},
  };
  const auto found = operations.find(name);
  return found == operations.end() ? nullptr : found->second;
}

}  // namespace waybill::testing::fault
