// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/s3_request.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "support/fault_server/text.hpp"

namespace waybill::testing::fault {

namespace {

// The bucket in a Host header, "" where the path holds it.
std::string_view bucket_of_host(std::string_view host, const std::string& domain) {
  if (const size_t colon = host.rfind(':'); colon != std::string_view::npos) host = host.substr(0, colon);
  for (const std::string& parent : {"." + domain, std::string(".localhost")}) {
    if (host.size() > parent.size() && host.ends_with(parent)) return host.substr(0, host.size() - parent.size());
  }
  if (!host.ends_with(".amazonaws.com")) return {};
  const size_t at = std::min(host.find(".s3."), host.find(".s3-"));
  return at == std::string_view::npos ? std::string_view() : host.substr(0, at);
}

struct Choice {
  std::string_view parameter;  // "" matches always
  std::string_view op;
};

std::string_view choose(const S3Request& request, std::initializer_list<Choice> choices) {
  for (const Choice& choice : choices) {
    if (choice.parameter.empty() || request.has(choice.parameter)) return choice.op;
  }
  return "Unsupported";
}

bool names_unsupported(const S3Request& request) {
  for (const std::string_view name : {"policy",
                                      "policyStatus",
                                      "lifecycle",
                                      "cors",
                                      "encryption",
                                      "object-lock",
                                      "logging",
                                      "notification",
                                      "replication",
                                      "requestPayment",
                                      "accelerate",
                                      "ownershipControls",
                                      "publicAccessBlock",
                                      "legal-hold",
                                      "retention",
                                      "torrent",
                                      "select",
                                      "inventory",
                                      "analytics",
                                      "metrics",
                                      "intelligent-tiering"}) {
    if (request.has(name)) return true;
  }
  return false;
}

std::string_view bucket_operation(const S3Request& request, std::string_view method) {
  if (method == "GET") {
    if (request.parameter("list-type") == "2") return "ListObjectsV2";
    return choose(request, {{"location", "GetBucketLocation"},
                            {"versioning", "GetBucketVersioning"},
                            {"versions", "ListObjectVersions"},
                            {"uploads", "ListMultipartUploads"},
                            {"acl", "GetBucketAcl"},
                            {"website", "GetBucketWebsite"},
                            {"tagging", "Unsupported"},
                            {"", "ListObjects"}});
  }
  if (method == "HEAD") return "HeadBucket";
  if (method == "DELETE") return "DeleteBucket";
  if (method == "POST") return choose(request, {{"delete", "DeleteObjects"}});
  if (method == "PUT") {
    return choose(request, {{"versioning", "PutBucketVersioning"},
                            {"acl", "Unsupported"},
                            {"tagging", "Unsupported"},
                            {"", "CreateBucket"}});
  }
  return "Unsupported";
}

std::string_view object_operation(const S3Request& request, std::string_view method) {
  if (method == "GET") {
    return choose(request, {{"uploadId", "ListParts"},
                            {"tagging", "GetObjectTagging"},
                            {"acl", "GetObjectAcl"},
                            {"attributes", "GetObjectAttributes"},
                            {"", "GetObject"}});
  }
  if (method == "HEAD") return "HeadObject";
  if (method == "DELETE") {
    return choose(request,
                  {{"uploadId", "AbortMultipartUpload"}, {"tagging", "DeleteObjectTagging"}, {"", "DeleteObject"}});
  }
  if (method == "POST") {
    return choose(
        request,
        {{"uploads", "CreateMultipartUpload"}, {"uploadId", "CompleteMultipartUpload"}, {"restore", "RestoreObject"}});
  }
  if (method != "PUT") return "Unsupported";
  const bool copies = request.http->has_header("x-amz-copy-source");
  if (request.has("uploadId")) return copies ? "UploadPartCopy" : "UploadPart";
  return choose(request,
                {{"tagging", "PutObjectTagging"}, {"acl", "PutObjectAcl"}, {"", copies ? "CopyObject" : "PutObject"}});
}

}  // namespace

S3Request::S3Request(const Request& request, const ServerSettings& settings)
    : http(&request), parameters(split_query(request.query)) {
  // An absolute target ("GET http://host/…"), as proxies get it, is read as well.
  std::string_view path = request.path;
  if (path.starts_with("http://")) path.remove_prefix(std::min(path.find('/', 7), path.size()));
  if (path.starts_with('/')) path.remove_prefix(1);
  bucket = bucket_of_host(request.header("host"), settings.domain);
  if (bucket.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    bucket = percent_decode(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  key = percent_decode(path);
  if (bucket.empty()) {
    op = request.method == "GET" ? "ListBuckets" : "Unsupported";
  } else if (names_unsupported(*this)) {
    op = "Unsupported";
  } else {
    op = key.empty() ? bucket_operation(*this, request.method) : object_operation(*this, request.method);
  }
}

bool S3Request::has(std::string_view name) const noexcept {
  return std::any_of(parameters.begin(), parameters.end(), [&](const auto& one) { return one.first == name; });
}

std::string_view S3Request::parameter(std::string_view name) const noexcept {
  for (const auto& [known, value] : parameters) {
    if (known == name) return value;
  }
  return {};
}

uint64_t S3Request::number(std::string_view name, uint64_t otherwise) const {
  if (!has(name)) return otherwise;
  const auto value = internal::parse_uint(parameter(name));
  if (!value) throw S3Error{400, "InvalidArgument", "Not a number: " + std::string(name), {}, {}};
  return *value;
}

std::optional<std::pair<uint64_t, uint64_t>> parse_range(std::string_view text, uint64_t size) {
  if (!text.starts_with("bytes=")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos || text.find(',') != std::string_view::npos) return std::nullopt;
  const auto first = internal::parse_uint(text.substr(0, dash));
  const auto last = internal::parse_uint(text.substr(dash + 1));
  const S3Error unsatisfiable{416,
                              "InvalidRange",
                              "The requested range is not satisfiable",
                              {{"ActualObjectSize", std::to_string(size)}},
                              {{"Content-Range", "bytes */" + std::to_string(size)}}};
  if (dash == 0) {
    if (!last) return std::nullopt;
    if (*last == 0 || size == 0) throw unsatisfiable;
    return std::pair(size - std::min(size, *last), size);
  }
  if (!first || (dash + 1 < text.size() && !last) || (last && *last < *first)) return std::nullopt;
  if (*first >= size) throw unsatisfiable;
  return std::pair(*first, last ? std::min(size, *last + 1) : size);
}

CopySource parse_copy_source(std::string_view text) {
  CopySource source;
  if (const size_t question = text.find("?versionId="); question != std::string_view::npos) {
    source.version_id = percent_decode(text.substr(question + 11));
    text = text.substr(0, question);
  }
  if (text.starts_with('/')) text.remove_prefix(1);
  // S3 decodes the header, '+' included.
  const std::string decoded = percent_decode(text, true);
  const size_t slash = decoded.find('/');
  if (slash == std::string::npos || slash + 1 == decoded.size()) {
    throw S3Error{400, "InvalidArgument", "The copy source names no bucket and key", {}, {}};
  }
  source.bucket = decoded.substr(0, slash);
  source.key = decoded.substr(slash + 1);
  return source;
}

}  // namespace waybill::testing::fault
