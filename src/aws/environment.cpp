// SPDX-License-Identifier: Apache-2.0
//
// Credentials in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
#include <cstdlib>

#include "aws/providers.hpp"
#include "base/text.hpp"

namespace waybill::aws {

Found from_environment() {
  Credentials credentials;
  credentials.access_key_id = environment("AWS_ACCESS_KEY_ID");
  const char* secret = std::getenv("AWS_SECRET_ACCESS_KEY");
  const bool has_secret = secret != nullptr && *secret != '\0';
  if (credentials.access_key_id.empty() && !has_secret) return {std::nullopt, "AWS_ACCESS_KEY_ID is not set"};
  if (credentials.access_key_id.empty() || !has_secret) {
    throw auth_error(
        "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set; set both, or neither to use a profile");
  }
  credentials.secret_access_key = Secret(secret);
  const char* token = std::getenv("AWS_SESSION_TOKEN");
  if (token != nullptr) credentials.session_token = Secret(token);
  // Not AWS_CREDENTIAL_EXPIRATION: nothing newer is ever found in the environment of a process that runs.
  credentials.origin = "the environment";
  return {std::move(credentials), {}};
}

}  // namespace waybill::aws
