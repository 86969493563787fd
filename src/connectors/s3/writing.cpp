// SPDX-License-Identifier: Apache-2.0
//
// See writing.hpp.
#include "connectors/s3/writing.hpp"

#include <algorithm>
#include <array>
#include <memory>

#include "base/hash.hpp"
#include "connectors/s3/attributes.hpp"
#include "connectors/s3/checksums.hpp"
#include "connectors/s3/guard.hpp"
#include "connectors/s3/tags.hpp"

namespace waybill::s3 {
namespace {

constexpr size_t window_bytes = 256 * 1024;
constexpr std::string_view storage_class_header = "x-amz-storage-class";
constexpr std::string_view tagging_header = "x-amz-tagging";

bool is_signed(const Client& client) {
  return client.signs_bodies() || (client.learnt().proof == Learnt::Proof::sha256 && !client.config().anonymous);
}

bool has(const Client::Request& request, std::string_view header) {
  return std::any_of(request.headers.begin(), request.headers.end(),
                     [&](const internal::HttpHeader& one) { return one.first == header; });
}

ChecksumKind kind_of(Learnt::Proof proof) {
  switch (proof) {
    case Learnt::Proof::crc64nvme:
      return ChecksumKind::crc64nvme;
    case Learnt::Proof::crc32c:
      return ChecksumKind::crc32c;
    case Learnt::Proof::sha256:
      return ChecksumKind::sha256;
    case Learnt::Proof::md5:
      break;
  }
  return ChecksumKind::md5;
}

std::optional<Learnt::Proof> next_proof(Learnt::Proof proof, bool is_anonymous) {
  switch (proof) {
    case Learnt::Proof::crc64nvme:
      return Learnt::Proof::crc32c;
    case Learnt::Proof::crc32c:
      return Learnt::Proof::sha256;
    case Learnt::Proof::sha256:
      if (is_anonymous) return Learnt::Proof::md5;
      break;  // a signature is no header that could be refused
    case Learnt::Proof::md5:
      break;
  }
  return std::nullopt;
}

// Reads a windowed body once: `take` is given its bytes in order.
template <typename Take>
void read_through(const Body& body, Take&& take, Context& context) {
  const auto window = std::make_unique<std::byte[]>(window_bytes);
  for (uint64_t offset = 0; offset < body.size();) {
    context.check();
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(window_bytes, body.size() - offset));
    const size_t count = body.read(offset, {window.get(), wanted});
    if (count != wanted) {
      throw Error(ErrorCode::data_loss, ErrorClass::source_changed,
                  "a body of " + std::to_string(body.size()) + " bytes ended after " + std::to_string(offset + count))
          .set_retryable();
    }
    take(std::span<const std::byte>{window.get(), count});
    offset += count;
  }
}

void compute(const Body& body, bool needs_crc, bool needs_sha256, BodyDigest& digest, Context& context) {
  if (!needs_crc && !needs_sha256) return;
  if (!body.is_contiguous()) {
    internal::Sha256Hasher hasher;
    const auto take = [&](std::span<const std::byte> data) {
      if (needs_crc) digest.crc64nvme = internal::crc64nvme(data, digest.crc64nvme);
      if (needs_sha256) hasher.update(data);
    };
    read_through(body, take, context);
    if (needs_sha256) digest.sha256 = hasher.finish();
    return;
  }
  if (needs_crc) digest.crc64nvme = internal::crc64nvme(body.data());
  if (needs_sha256) digest.sha256 = internal::sha256(body.data());
}

Checksum checksum_of(const Body& body, ChecksumKind kind, Context& context) {
  Checksum checksum(kind);
  if (body.is_contiguous()) {
    checksum.update(body.data());
  } else {
    read_through(
        body, [&](std::span<const std::byte> data) { checksum.update(data); }, context);
  }
  return checksum;
}

// One body on its way, with whatever proof the store takes.
class Sending {
 public:
  Sending(Client& client, Client::Request& request, const Body& body, BodyDigest& digest, Context& context)
      : client_(client),
        request_(request),
        body_(body),
        digest_(digest),
        context_(context),
        plain_headers_(request.headers.size()) {
    request_.body = &body;
  }

  internal::HttpResponse send_signed(bool with_checksum) {
    hash_ = aws::empty_payload_hash;
    if (body_.size() > 0) {
      if (!digest_.sha256) compute(body_, false, true, digest_, context_);
      hash_ = internal::hex_encode(*digest_.sha256);
    }
    request_.payload_hash = hash_;
    request_.headers.resize(plain_headers_);
    if (with_checksum) add_header(ChecksumKind::crc64nvme);
    return client_.send(request_, context_);
  }

  internal::HttpResponse send_with(Learnt::Proof proof) {
    if (proof == Learnt::Proof::sha256 && !client_.config().anonymous) return send_signed(false);
    request_.payload_hash = aws::unsigned_payload;
    request_.headers.resize(plain_headers_);
    add_header(kind_of(proof));
    return client_.send(request_, context_);
  }

  /// After a success with a checksum header: whether the store has compared.
  bool is_proved(Learnt::Proof proof, const internal::HttpResponse& response) const {
    const ChecksumKind kind = kind_of(proof);
    if (kind == ChecksumKind::md5) return true;  // it is never answered
    if (kind == ChecksumKind::sha256 && !client_.config().anonymous) return true;
    return response.has_header(header_of(kind));
  }

  /// As far as the ETag tells: nothing where it does not.
  std::optional<bool> has_etag_of_body(const internal::HttpResponse& response) {
    if (!has_md5_etag(response)) return std::nullopt;
    const std::string ours = checksum_of(body_, ChecksumKind::md5, context_).hex();
    return is_same_etag(unquote_etag(response.header("etag")), ours);
  }

  /// The conditions of the first sending are about what was there before it.
  void expect(const std::string& etag) {
    std::erase_if(request_.headers, [&](const internal::HttpHeader& header) {
      return header.first == "If-None-Match" || header.first == "If-Match";
    });
    plain_headers_ = request_.headers.size();
    if (request_.query.empty() && !etag.empty() && client_.learnt().put_conditions.if_match != Learnt::Heeded::no) {
      request_.headers.emplace_back("If-Match", "\"" + etag + "\"");
      ++plain_headers_;
    }
  }

  void drop_proof() { request_.headers.resize(plain_headers_); }

 private:
  void add_header(ChecksumKind kind) {
    std::string value = kind == ChecksumKind::crc64nvme ? internal::crc64_to_base64(digest_.crc64nvme)
                                                        : checksum_of(body_, kind, context_).text();
    request_.headers.emplace_back(header_of(kind), std::move(value));
  }

  Client& client_;
  Client::Request& request_;
  const Body& body_;
  BodyDigest& digest_;
  Context& context_;
  size_t plain_headers_;
  std::string hash_;
};

}  // namespace

BodyDigest digest_of(const Body& body, const Client& client, Context& context) {
  BodyDigest digest{body.digest().crc64nvme.value_or(0), body.digest().sha256};
  const bool needs_sha256 = is_signed(client) && body.size() > 0 && !digest.sha256;
  compute(body, !body.digest().crc64nvme, needs_sha256, digest, context);
  // A signature or another checksum taken here vouches for the bytes as they are here. That these are the ones that
  // were announced has to be seen before.
  const bool vouches_anew =
      needs_sha256 || (!client.signs_bodies() && client.learnt().proof != Learnt::Proof::crc64nvme);
  if (vouches_anew && body.digest().crc64nvme && body.is_contiguous() &&
      internal::crc64nvme(body.data()) != *body.digest().crc64nvme) {
    throw Error(ErrorCode::data_loss, ErrorClass::checksum, "the bytes to write are not those that were announced")
        .set_retryable();
  }
  return digest;
}

internal::HttpResponse send_body(Client& client, Client::Request& request, const Body& body, BodyDigest& digest,
                                 bool with_checksum, Context& context) {
  Sending sending(client, request, body, digest, context);
  if (client.signs_bodies()) return sending.send_signed(with_checksum);

  Learnt& learnt = client.learnt();
  Learnt::Proof proof = learnt.proof;
  internal::HttpResponse response = sending.send_with(proof);
  while (refuses_header(response)) {
    std::optional<Learnt::Proof> next = next_proof(proof, client.config().anonymous);
    if (learnt.has_proved) next = learnt.proof;
    // A store that has taken this proof before refuses something else.
    if (!next || *next == proof) return response;
    proof = *next;
    response = sending.send_with(proof);
  }
  if (response.status >= 300) return response;
  if (sending.is_proved(proof, response)) {
    if (!learnt.has_proved) learnt.proof = proof;
    learnt.has_proved = true;
    return response;
  }
  // It ignored the header.
  learnt.proof = client.config().anonymous ? Learnt::Proof::md5 : Learnt::Proof::sha256;
  learnt.has_proved = true;
  const std::optional<bool> is_same = sending.has_etag_of_body(response);
  if (is_same == true) return response;
  sending.drop_proof();
  const std::string_view etag = response.header("etag");
  sending.expect(is_weak_etag(etag) ? "" : std::string(unquote_etag(etag)));
  return sending.send_with(learnt.proof);
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

void note_replaced(Client& client, const Condition& condition, std::string_view version, Context& context) {
  const bool may_replace = condition.kind != Condition::Kind::absent;
  if (!may_replace || version.empty() || version == "null") return;
  if (condition.kind == Condition::Kind::unchanged) context.count("noncurrent_versions", 1);
  if (client.learnt().has_told_of_versions.exchange(true)) return;
  context.log(LogLevel::warning,
              client.config().identity() +
                  ": the bucket keeps versions: an object that is replaced stays there as a noncurrent version and is paid "
                  "for, until a lifecycle rule of the bucket (NoncurrentVersionExpiration) removes it");
}

void add_encryption(const Config& config, std::vector<internal::HttpHeader>& headers) {
  constexpr const char* name = "x-amz-server-side-encryption";
  if (config.sse.empty()) return;
  headers.emplace_back(name, config.sse);
  if (!config.sse_kms_key_id.empty()) {
    headers.emplace_back(std::string(name) + "-aws-kms-key-id", config.sse_kms_key_id);
  }
  if (config.bucket_key) headers.emplace_back(std::string(name) + "-bucket-key-enabled", "true");
}

std::vector<internal::HttpHeader> object_headers(const Client& client, const std::string& key,
                                                 const Attributes& attributes, const std::optional<Crc64>& crc64nvme) {
  std::vector<internal::HttpHeader> headers;
  headers.reserve(8);
  write_attributes(attributes, crc64nvme, key.ends_with('/'), headers);
  const Config& config = client.config();
  const bool keeps_class = config.storage_class.empty() && !client.learnt().refuses_storage_classes;
  const std::string& storage_class = keeps_class ? attributes.storage_class : config.storage_class;
  if (!storage_class.empty() && storage_class != "STANDARD") headers.emplace_back(storage_class_header, storage_class);
  if (config.tags && !attributes.tags.empty()) headers.emplace_back(tagging_header, encode_tags(attributes.tags));
  if (!config.acl.empty()) headers.emplace_back("x-amz-acl", config.acl);
  add_encryption(config, headers);
  return headers;
}

bool forgoes_storage_class(Client& client, const Client::Request& request, const internal::HttpResponse& response,
                           Context& context) {
  if (response.status != 400 || !client.config().storage_class.empty() || !has(request, storage_class_header))
    return false;
  if (parse_error(response.text).code != "InvalidStorageClass") return false;
  if (client.learnt().refuses_storage_classes.exchange(true)) return true;
  context.log(LogLevel::warning, client.config().shown() +
                                     ": the store does not know a storage class of the source; all objects are written "
                                     "in its own default class. storage_class=… in the URL names another one");
  return true;
}

Error refused_write(const Client& client, const Client::Request& request, const internal::HttpResponse& response) {
  const Error error = client.error(request, response);
  const bool may_be_tags = response.status == 403 || response.status == 501 || error.provider_code() == "InvalidTag";
  if (!may_be_tags || !has(request, tagging_header)) return error;
  return with_hint(error,
                   "the object has tags, which need s3:PutObjectTagging and a store that keeps them; tags=false "
                   "in the destination's URL leaves them out");
}

}  // namespace waybill::s3
