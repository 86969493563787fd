// SPDX-License-Identifier: Apache-2.0
//
// The places of the chain, one file each, and what they share. Only src/aws includes this header.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/credentials.hpp"
#include "base/timebox.hpp"
#include "net/http_client.hpp"

namespace waybill::aws {

/// What a place has: credentials, or why it has none ("AWS_ACCESS_KEY_ID is not set"; no secrets). A place that is set
/// up and fails throws.
struct Found {
  std::optional<Credentials> credentials;
  std::string reason;
};

Found from_environment();                                        // environment.cpp
Found from_web_identity(Context& context);                       // web_identity.cpp
Found from_profile(std::string_view profile, Context& context);  // profile_provider.cpp; "" is the chosen one
Found from_container(Context& context);                          // container.cpp
Found from_instance(Context& context);                           // instance_metadata.cpp

/// The role and the token that are exchanged for credentials.
struct WebIdentity {
  std::string token_file;
  std::string role_arn;
  std::string session_name;  ///< "" makes one up
  std::string region;        ///< of STS; "" is the global endpoint
  std::string origin;
};
/// AssumeRoleWithWebIdentity with what the token's file holds now. Errors: auth, local_io, permission; of STS.
Credentials exchange_web_identity(const WebIdentity& identity, Context& context);

/// The words of a command line: blanks part them, quotes and backslashes are those of a POSIX shell, and nothing else
/// is special. Nothing if a quote or a backslash is left open.
std::optional<std::vector<std::string>> split_command(std::string_view line);
/// Runs `command` without a shell and takes credentials from its standard output (JSON, Version 1). Its standard input
/// and standard error are /dev/null. It and what it started are killed after `limit` or when cancelled. `what` names it
/// in messages. Errors: auth (cannot be run, fails, answers nothing of use), timeout, cancelled.
Credentials run_credential_process(const std::string& command, const std::string& what, std::chrono::milliseconds limit,
                                   Context& context);

/// Credentials from JSON: AccessKeyId, SecretAccessKey, `token_name`, Expiration. `text` is wiped. Errors: auth.
Credentials credentials_from_json(std::string& text, std::string_view token_name, const std::string& origin);

/// Of STS, signed with `signer` or, where that is null, not. `parameters` without Action and Version.
/// Errors: auth, server, throttled, network, timeout, cancelled.
Credentials call_sts(const std::string& action, std::vector<std::pair<std::string, std::string>> parameters,
                     const Credentials* signer, const std::string& region, const std::string& origin, Context& context);
/// A name for a session that was given none.
std::string made_up_session_name();

/// The value of a variable, "" if it is not set.
std::string environment(const char* name);
Error auth_error(std::string message);

/// Where an HTTP URL leads: whether it is https, and its host in lower case without port and brackets. Nothing if it is
/// no http(s) URL, or holds a user, a blank or a control character.
struct UrlHost {
  bool is_https = false;
  std::string host;
};
std::optional<UrlHost> host_of(std::string_view url);
/// localhost, 127.0.0.0/8, ::1.
bool is_loopback_host(std::string_view host) noexcept;

using internal::Timebox;

}  // namespace waybill::aws
