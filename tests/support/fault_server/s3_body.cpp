// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/s3_body.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"

namespace waybill::testing::fault {

namespace {

constexpr std::string_view checksum_prefix = "x-amz-checksum-";
constexpr uint64_t most_reserved = 64 << 20;

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

S3Body::S3Body(const S3Request& request, bool is_content, const BucketSettings* settings)
    : request_(request),
      keeps_bytes_(!is_content || !settings || !settings->digest_only),
      takes_md5_(is_content && (!settings || settings->etag == "md5")),
      heeds_checksums_(!settings || settings->checksums == "yes") {
  const std::string_view payload = request.header("x-amz-content-sha256");
  if (payload.starts_with("STREAMING-") || request.header("content-encoding").starts_with("aws-chunked")) {
    chunks_.emplace();
  }
  for (const auto& [name, value] : request.http->headers) {
    const std::string lower = internal::to_lower(name);
    const bool is_trailer = lower == "x-amz-trailer";
    if (!is_trailer && !lower.starts_with(checksum_prefix)) continue;
    const std::string algorithm = (is_trailer ? internal::to_lower(value) : lower).substr(checksum_prefix.size());
    if (!is_checksum(algorithm)) continue;
    algorithms_.push_back(algorithm);
    digester_.want(algorithm);
    if (is_content && settings && settings->checksums == "refused") refused_ = lower;
  }
  if (takes_md5_ || request.http->has_header("content-md5")) digester_.want("md5");
  if (is_sha256(payload)) digester_.want("sha256");
  if (keeps_bytes_) text_.reserve(static_cast<size_t>(std::min(request.http->content_length, most_reserved)));
}

void S3Body::receive(std::string_view data) {
  if (!chunks_) return take(data);
  while (!data.empty() && !chunks_->is_complete() && !chunks_->is_broken()) {
    const std::string_view run = chunks_->next(data);
    if (!run.empty()) take(run);
  }
}

void S3Body::take(std::string_view run) {
  digester_.update(run);
  if (keeps_bytes_) text_ += run;
}

// What headers and trailers say about the body.
std::vector<Checksum> S3Body::announced() const {
  std::vector<Checksum> all;
  for (const std::string& algorithm : algorithms_) {
    std::string value(request_.header(std::string(checksum_prefix) + algorithm));
    if (chunks_ && value.empty()) {
      for (const auto& [name, text] : chunks_->trailers()) {
        if (internal::equals_ignoring_case(name, std::string(checksum_prefix) + algorithm)) value = text;
      }
    }
    if (value.empty())
      throw S3Error{400, "MalformedTrailerError", "A checksum that was announced did not come", {}, {}};
    all.push_back({algorithm, value, false});
  }
  return all;
}

void S3Body::check_framing() const {
  if (!chunks_) return;
  if (!chunks_->is_complete() || chunks_->is_broken()) {
    throw S3Error{400, "IncompleteBody", "The body is not aws-chunked as announced", {}, {}};
  }
  const auto length = internal::parse_uint(request_.header("x-amz-decoded-content-length"));
  if (!length) throw S3Error{411, "MissingContentLength", "x-amz-decoded-content-length is missing", {}, {}};
  if (*length != digester_.size()) {
    throw S3Error{400, "IncompleteBody", "The body has another length than x-amz-decoded-content-length", {}, {}};
  }
}

std::vector<Checksum> S3Body::verify() {
  if (!refused_.empty()) {
    throw S3Error{400, "InvalidRequest", "This store does not know the header " + refused_, {}, {}};
  }
  check_framing();
  if (request_.http->has_header("content-md5")) {
    const std::string_view said = request_.header("content-md5");
    if (said.size() != 24) throw S3Error{400, "InvalidDigest", "The Content-MD5 you specified is not valid.", {}, {}};
    if (said != to_base64(digester_.finish("md5"))) {
      throw S3Error{400, "BadDigest", "The Content-MD5 you specified did not match what we received.", {}, {}};
    }
  }
  const std::string_view payload = request_.header("x-amz-content-sha256");
  if (is_sha256(payload) && payload != to_hex(digester_.finish("sha256"))) {
    throw S3Error{400,
                  "XAmzContentSHA256Mismatch",
                  "The provided 'x-amz-content-sha256' header does not match what was computed.",
                  {},
                  {}};
  }
  if (!heeds_checksums_) return {};
  std::vector<Checksum> checksums = announced();
  for (const Checksum& one : checksums) {
    if (one.value == to_base64(digester_.finish(one.algorithm))) continue;
    throw S3Error{400, "BadDigest", "The " + one.algorithm + " you specified did not match what we received.", {}, {}};
  }
  return checksums;
}

ContentPtr S3Body::take_content() {
  return keeps_bytes_ ? held_content(std::exchange(text_, {})) : sunk_content(digester_.size());
}

std::string S3Body::md5() {
  if (takes_md5_) return digester_.finish("md5");
  return digester_.finish("crc64nvme") + std::string(8, '\x5a');
}

}  // namespace waybill::testing::fault
