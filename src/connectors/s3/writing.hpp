// SPDX-License-Identifier: Apache-2.0
//
// What a single PUT and the parts of a large object have in common: the proof of the content that goes with a body, and
// the headers that a store may not know; each with its fallback.
//
// Proof: over plain http the body's SHA-256 is signed. Over https, and without credentials, it is a header: of
// CRC-64/NVME, or where the store refuses that, of CRC-32C, then the signed SHA-256 (a header of it where nothing can
// be signed), then Content-MD5. What works is remembered. A store that takes such a header without a word of it in its
// answer may have ignored it: its ETag is compared if it is an MD5, and from then on bodies are signed; where that ETag
// is none, this one body is sent a second time so. Either way the store itself has compared.
#pragma once

#include <optional>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/destination.hpp"

namespace waybill::s3 {

/// What was computed of a body before it is sent.
struct BodyDigest {
  Crc64 crc64nvme = 0;
  std::optional<Sha256> sha256;  ///< where the body is going to be signed
};

/// Takes what `body` knows and computes the rest. A windowed body is read through for it, and a second time when it is
/// sent: its digest has to go ahead of it.
/// Errors: checksum (the bytes are not those of the announced CRC), source_changed (a windowed body ended early).
BodyDigest digest_of(const Body& body, const Client& client, Context& context);

/// Sends `body` with its proof. `with_checksum` adds the CRC header also to a signed body. The answer may have any
/// status. `request` is used up: its headers and body are changed. Errors: as Client::send.
internal::HttpResponse send_body(Client& client, Client::Request& request, const Body& body, BodyDigest& digest,
                                 bool with_checksum, Context& context);

/// The ETag of a successful write. Errors: checksum (the store says that it holds other content), server (no ETag).
std::string check_written(const Client& client, std::string_view key, const internal::HttpResponse& response,
                          Crc64 crc64nvme);

/// After a write that gave the object `version`: where it has replaced another one in a bucket that keeps versions, says so
/// once, and counts it ("noncurrent_versions"): the old one stays, and is paid for.
void note_replaced(Client& client, const Condition& condition, std::string_view version, Context& context);

/// The encryption of what is written, as the URL wants it; a key of the user's own is not among it (Client sends that).
void add_encryption(const Config& config, std::vector<internal::HttpHeader>& headers);

/// The headers of an object that is to be written: attributes, storage class, tags, ACL and encryption, as the URL wants
/// them and as far as the store takes them. Errors: as write_attributes.
std::vector<internal::HttpHeader> object_headers(const Client& client, const std::string& key,
                                                 const Attributes& attributes, const std::optional<Crc64>& crc64nvme);

/// Whether a write was refused because of the storage class that the source's object had: from then on none is sent,
/// and the same write is worth another try with new headers.
bool forgoes_storage_class(Client& client, const Client::Request& request, const internal::HttpResponse& response,
                           Context& context);

/// The Error for a write that was refused, which says so if the object's tags may be why.
Error refused_write(const Client& client, const Client::Request& request, const internal::HttpResponse& response);

}  // namespace waybill::s3
