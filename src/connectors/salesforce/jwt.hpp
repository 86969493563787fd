// SPDX-License-Identifier: Apache-2.0
//
// A signed assertion of the JWT bearer flow (RFC 7523, RS256 of RFC 7518).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/secret.hpp"

namespace waybill::salesforce {

/// What is claimed.
struct Claims {
  std::string issuer;
  std::string subject;
  std::string audience;
  int64_t expires_s = 0;  ///< since 1970
};

/// `key` is an RSA key in PEM, unencrypted. Errors: configuration (no such key). Any thread.
internal::Secret sign_assertion(const Claims& claims, const internal::Secret& key);

/// When the certificate ends that stands beside the key in `pem`, since 1970; nothing where there is none. Any thread.
std::optional<int64_t> certificate_end(const internal::Secret& pem);

}  // namespace waybill::salesforce
