// SPDX-License-Identifier: Apache-2.0
//
// Assertions of the JWT bearer flow, verified for real.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::testing::fault {

/// The claims of a compact JWT, not verified. Nothing where it is none, or not of RS256.
std::optional<nlohmann::json> jwt_claims(std::string_view token);
/// Whether the signature is that of the certificate's (PEM) key.
bool jwt_is_signed(std::string_view token, const std::string& certificate);
std::optional<std::string> from_base64(std::string_view text, bool is_url);

}  // namespace waybill::testing::fault
