// SPDX-License-Identifier: Apache-2.0
//
// A token that an identity provider wrote into a file (EKS does), exchanged for credentials of a role.
#include "aws/profiles.hpp"
#include "aws/providers.hpp"
#include "base/text.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {

Credentials exchange_web_identity(const WebIdentity& identity, Context& context) {
  // Read each time: the file is replaced when its token comes to its end.
  const Secret file = read_small_file(identity.token_file);
  const std::string_view token = internal::trim(file.reveal());
  if (token.empty()) {
    throw auth_error(identity.origin + ": there is no token in " + printable(identity.token_file));
  }
  std::vector<std::pair<std::string, std::string>> parameters = {
      {"RoleArn", identity.role_arn},
      {"RoleSessionName", identity.session_name.empty() ? made_up_session_name() : identity.session_name},
      {"WebIdentityToken", std::string(token)},
  };
  return call_sts("AssumeRoleWithWebIdentity", std::move(parameters), nullptr, identity.region, identity.origin,
                  context);
}

Found from_web_identity(Context& context) {
  WebIdentity identity;
  identity.token_file = environment("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (identity.token_file.empty()) return {std::nullopt, "AWS_WEB_IDENTITY_TOKEN_FILE is not set"};
  identity.role_arn = environment("AWS_ROLE_ARN");
  if (identity.role_arn.empty()) {
    throw auth_error("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not; set both, or neither");
  }
  identity.session_name = environment("AWS_ROLE_SESSION_NAME");
  identity.region = load_region();
  identity.origin = "web identity of the environment";
  return {exchange_web_identity(identity, context), {}};
}

}  // namespace waybill::aws
