// SPDX-License-Identifier: Apache-2.0
//
// See writing.hpp.
#include "connectors/s3/writing.hpp"

#include <algorithm>
#include <array>
#include <memory>

#include "base/hash.hpp"
#include "connectors/s3/reading.hpp"

namespace waybill::s3 {
namespace {

constexpr size_t window_bytes = 256 * 1024;

bool is_signed(const Client& client) {
  return client.signs_bodies() || (client.learnt().refuses_checksum_headers && !client.config().anonymous);
}

// Reads a windowed body once, for what is missing in `digest`.
void read_through(const Body& body, bool needs_crc, bool needs_sha256, BodyDigest& digest, Context& context) {
  const auto window = std::make_unique<std::byte[]>(window_bytes);
  internal::Sha256Hasher hasher;
  for (uint64_t offset = 0; offset < body.size();) {
    context.check();
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(window_bytes, body.size() - offset));
    const size_t count = body.read(offset, {window.get(), wanted});
    if (count != wanted) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                  "a body of " + std::to_string(body.size()) + " bytes ended after " + std::to_string(offset + count))
          .set_retryable();
    }
    const std::span<const std::byte> data{window.get(), count};
    if (needs_crc) digest.crc64nvme = internal::crc64nvme(data, digest.crc64nvme);
    if (needs_sha256) hasher.update(data);
    offset += count;
  }
  if (needs_sha256) digest.sha256 = hasher.finish();
}

void compute(const Body& body, bool needs_crc, bool needs_sha256, BodyDigest& digest, Context& context) {
  if (!needs_crc && !needs_sha256) return;
  if (!body.is_contiguous()) return read_through(body, needs_crc, needs_sha256, digest, context);
  if (needs_crc) digest.crc64nvme = internal::crc64nvme(body.data());
  if (needs_sha256) digest.sha256 = internal::sha256(body.data());
}

}  // namespace

BodyDigest digest_of(const Body& body, const Client& client, Context& context) {
  BodyDigest digest{body.digest().crc64nvme.value_or(0), body.digest().sha256};
  const bool needs_sha256 = is_signed(client) && body.size() > 0 && !digest.sha256;
  compute(body, !body.digest().crc64nvme, needs_sha256, digest, context);
  // A signature taken here vouches for the bytes as they are here. That these are the ones that were announced has to
  // be seen before.
  if (needs_sha256 && body.digest().crc64nvme && body.is_contiguous() &&
      internal::crc64nvme(body.data()) != *body.digest().crc64nvme) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the bytes to write are not those that were announced")
        .set_retryable();
  }
  return digest;
}

internal::HttpResponse send_body(Client& client, Client::Request& request, const Body& body, BodyDigest& digest,
                                 bool with_checksum, Context& context) {
  request.body = &body;
  const size_t plain_headers = request.headers.size();
  const auto send_signed = [&](bool adds_checksum) {
    std::string hash(aws::empty_payload_hash);
    if (body.size() > 0) {
      if (!digest.sha256) compute(body, false, true, digest, context);
      hash = internal::hex_encode(*digest.sha256);
    }
    request.payload_hash = hash;
    request.headers.resize(plain_headers);
    if (adds_checksum)
      request.headers.emplace_back("x-amz-checksum-crc64nvme", internal::crc64_to_base64(digest.crc64nvme));
    return client.send(request, context);
  };
  if (is_signed(client)) return send_signed(with_checksum);

  request.payload_hash = aws::unsigned_payload;
  request.headers.emplace_back("x-amz-checksum-crc64nvme", internal::crc64_to_base64(digest.crc64nvme));
  internal::HttpResponse response = client.send(request, context);
  if (!refuses_header(response) || client.config().anonymous) return response;
  response = send_signed(false);
  if (response.status < 300) client.learnt().refuses_checksum_headers = true;
  return response;
}

std::string check_written(const Client& client, std::string_view key, const internal::HttpResponse& response,
                          Crc64 crc64nvme) {
  std::string etag(unquote_etag(response.header("etag")));
  if (etag.empty()) {
    throw Error(ErrorCode::data_loss, ErrorClass::server,
                client.name(key) + ": the store took the content but gave no ETag; is this an S3 endpoint?")
        .set_http_status(response.status);
  }
  const auto theirs = internal::crc64_from_base64(response.header("x-amz-checksum-crc64nvme"));
  if (theirs && *theirs != crc64nvme) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum,
                client.name(key) + ": the store's checksum of what it took is not ours of what was sent")
        .set_retryable()
        .set_http_status(response.status);
  }
  return etag;
}

bool refuses_header(const internal::HttpResponse& response) {
  if (response.status == 501) return true;
  if (response.status != 400) return false;
  const std::string code = parse_error(response.text).code;
  return code.empty() || code == "NotImplemented" || code == "InvalidRequest" || code == "InvalidArgument";
}

std::vector<internal::HttpHeader> Guard::headers() const {
  std::vector<internal::HttpHeader> headers;
  if (client_.learnt().refuses_conditions) return headers;
  if (condition_.kind == Condition::Kind::absent) {
    headers.emplace_back("If-None-Match", "*");
  } else if (condition_.kind == Condition::Kind::unchanged && !condition_.etag.empty()) {
    headers.emplace_back("If-Match", "\"" + condition_.etag + "\"");
  }
  return headers;
}

void Guard::look(Context& context) const {
  if (condition_.kind == Condition::Kind::none) return;
  const std::optional<ObjectHead> head = head_object(client_, key_, context);
  if (condition_.kind == Condition::Kind::absent) {
    if (head) throw conflict();
    return;
  }
  if (!head || (!condition_.etag.empty() && head->etag != condition_.etag) ||
      (condition_.size && head->size != *condition_.size)) {
    throw conflict();
  }
}

bool Guard::is_failed(const internal::HttpResponse& response) const {
  if (response.status == 412) return true;
  // If-Match on an object that is gone.
  return response.status == 404 && condition_.kind == Condition::Kind::unchanged &&
         parse_error(response.text).code == "NoSuchKey";
}

Error Guard::conflict() const {
  const char* why = condition_.kind == Condition::Kind::absent ? ": there is an object now, and there was to be none"
                                                               : ": the object is not the one that was to be replaced";
  return Error(ErrorCode::failed_precondition, ErrorClass::conflict, client_.name(key_) + why);
}

}  // namespace waybill::s3
