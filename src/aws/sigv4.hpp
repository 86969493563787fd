// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 4, in headers and in the query. The time is given by the caller, who knows the skew of the
// server's clock. Proven by AWS's published vectors (tests/aws/sigv4_vectors.hpp).
//
// The path is signed as it is sent for S3 (no normalisation, no second encoding); for other services it is normalised
// and encoded once more, as the specification says.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aws/credentials.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {

/// Payload hash of a body that is not signed (S3 over https).
inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";
/// Payload hash of no bytes.
inline constexpr std::string_view empty_payload_hash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Encodes names and values, sorts by them, joins with '=' and '&': the one query string to send and to sign. A
/// parameter without a value gets its '=' too.
std::string canonical_query(std::span<const std::pair<std::string, std::string>> parameters);

/// What is signed of a request.
struct SigningInput {
  std::string_view method;
  std::string_view path;   ///< as sent, encoded; "" is "/"
  std::string_view query;  ///< from canonical_query(); also what is sent
  /// To be signed, in any order and case; "host" has to be among them. All are signed but authorization, connection,
  /// expect and user-agent, which intermediaries may change.
  std::span<const std::pair<std::string, std::string>> headers;
  std::string_view payload_hash;  ///< lower-case hexadecimal SHA-256 of the body, or unsigned_payload
};

/// Signs for one region and service.
///
/// *Thread safety:* any thread; the signing key of the day is computed once and shared. *Blocking:* never.
class Signer {
 public:
  struct Options {
    bool path_as_sent = false;           ///< sign the path verbatim
    bool content_sha256_header = false;  ///< add x-amz-content-sha256 and sign it
  };

  /// Both options of S3 are on if `service` is "s3".
  Signer(std::string region, std::string service);
  Signer(std::string region, std::string service, Options options);
  ~Signer();

  const std::string& region() const noexcept { return region_; }

  /// Appends x-amz-date, x-amz-content-sha256 (S3), x-amz-security-token (where there is one) and authorization to
  /// `headers`. `input.headers` may refer to the same vector. `seconds` since 1970.
  /// Errors: internal (no host among the headers).
  void sign(const SigningInput& input, const Credentials& credentials, int64_t seconds,
            std::vector<std::pair<std::string, std::string>>& headers) const;

  /// The whole query string of a presigned URL that is valid for `expires_s` seconds (1 to 604,800). For S3 the payload
  /// hash is unsigned_payload.
  std::string presign(const SigningInput& input, const Credentials& credentials, int64_t seconds,
                      int64_t expires_s) const;

  /// What sign() and presign() compute on their way; also tells a user why a store disagrees. The canonical request
  /// holds the session token.
  struct Steps {
    std::string time;            ///< the value of x-amz-date
    std::string query;           ///< of the request: as given, or with the parameters of a presigned URL
    std::string signed_headers;  ///< names, joined by ';'
    std::string canonical_request;
    std::string string_to_sign;
    std::string signature;
  };
  Steps explain(const SigningInput& input, const Credentials& credentials, int64_t seconds) const;
  Steps explain_presign(const SigningInput& input, const Credentials& credentials, int64_t seconds,
                        int64_t expires_s) const;

 private:
  struct Key;
  struct Line;
  struct Signed;

  std::shared_ptr<const Key> key(const Credentials& credentials, std::string_view day) const;
  void append_scope(std::string_view day, std::string& out) const;
  Signed compute(const SigningInput& input, const Credentials& credentials, std::string_view time,
                 std::string_view query, std::vector<Line> lines) const;
  Signed compute(const SigningInput& input, const Credentials& credentials, std::string_view time) const;
  static Steps to_steps(std::string time, std::string query, Signed result);

  std::string region_;
  std::string service_;
  Options options_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Key> key_;  // guarded by mutex_
};

}  // namespace waybill::aws
