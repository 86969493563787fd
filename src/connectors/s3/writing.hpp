// SPDX-License-Identifier: Apache-2.0
//
// What a single PUT and the parts of a large object have in common: the proof of the content that goes with a body, and
// the conditions of a write, each with its fallback for stores that do not know the header.
//
// Proof: over plain http the body's SHA-256 is signed; over https a CRC-64/NVME header goes with it, or, where the
// store refuses that header, the signed SHA-256 again. Either way the store itself compares.
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

/// Whether an answer may mean that a store does not know a header of ours.
bool refuses_header(const internal::HttpResponse& response);

/// The condition of a write, as a header where the store knows it, and otherwise as a look just before the write.
class Guard {
 public:
  Guard(Client& client, const std::string& key, const Condition& condition)
      : client_(client), key_(key), condition_(condition) {}

  /// Calls `send(headers)` with the headers to add, at most twice. Errors: conflict (the look before the write finds
  /// something else); what `send` throws.
  template <typename Send>
  internal::HttpResponse run(Send&& send, Context& context) const {
    std::vector<internal::HttpHeader> headers = this->headers();
    if (headers.empty()) {
      look(context);
      return send(headers);
    }
    internal::HttpResponse response = send(headers);
    if (!refuses_header(response)) return response;
    look(context);
    response = send({});
    if (response.status < 300) client_.learnt().refuses_conditions = true;
    return response;
  }

  /// Whether the answer says that the condition does not hold.
  bool is_failed(const internal::HttpResponse& response) const;
  Error conflict() const;

 private:
  std::vector<internal::HttpHeader> headers() const;
  void look(Context& context) const;

  Client& client_;
  const std::string& key_;
  const Condition& condition_;
};

}  // namespace waybill::s3
