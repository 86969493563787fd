// SPDX-License-Identifier: Apache-2.0
//
// Credentials as a profile says: by a role that another profile or place may assume, by keys, by a credential_process,
// by a web identity. Of several in one profile the first of these wins: role, web identity, keys of the credentials
// file, credential_process, keys of the config file; for a profile that is the source of a role, its keys go before its
// own role.
#include <algorithm>

#include "aws/profiles.hpp"
#include "aws/providers.hpp"
#include "base/text.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

constexpr std::chrono::minutes process_patience{1};

std::string files() { return printable(credentials_path()) + " and " + printable(config_path()); }

std::string named(const Profile& profile) { return "profile '" + printable(profile.name) + "'"; }

bool has_keys(const Section& section) {
  return !value_of(section, "aws_access_key_id").empty() || !value_of(section, "aws_secret_access_key").empty();
}

// Keys and token come from one place, or an old token would meet new keys.
Credentials keys_of(const Profile& profile, const Section& section, const std::string& path) {
  Credentials credentials;
  credentials.access_key_id = value_of(section, "aws_access_key_id");
  credentials.secret_access_key = Secret(value_of(section, "aws_secret_access_key"));
  credentials.session_token = Secret(value_of(section, "aws_session_token"));
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    throw auth_error(named(profile) + " has no complete aws_access_key_id and aws_secret_access_key in " +
                     printable(path) + "; put both there");
  }
  credentials.origin = named(profile) + " in " + printable(path);
  return credentials;
}

class Resolver {
 public:
  Resolver(std::string region, Context& context) : region_(std::move(region)), context_(context) {}

  /// Nothing if the profile says nothing of credentials.
  std::optional<Credentials> resolve(const Profile& profile, bool is_source) {
    const bool has_any_keys = has_keys(profile.credentials) || has_keys(profile.config);
    const bool has_token_file = !profile.value("web_identity_token_file").empty();
    if (!profile.value("role_arn").empty() && !has_token_file && !(is_source && has_any_keys)) {
      return assume_role(profile);
    }
    if (has_token_file && !(is_source && has_any_keys)) return web_identity(profile);
    if (has_keys(profile.credentials)) return keys_of(profile, profile.credentials, credentials_path());
    if (const std::string_view command = profile.value("credential_process"); !command.empty()) {
      return run_credential_process(std::string(command), named(profile) + ": credential_process", process_patience,
                                    context_);
    }
    if (has_keys(profile.config)) return keys_of(profile, profile.config, config_path());
    for (const char* name : {"sso_session", "sso_start_url", "login_session"}) {
      if (profile.value(name).empty()) continue;
      throw auth_error(named(profile) + " gets its credentials through " + name +
                       ", which waybill does not do; put keys from `aws configure export-credentials` into the "
                       "environment, or name that command as the profile's credential_process");
    }
    return std::nullopt;
  }

 private:
  Credentials web_identity(const Profile& profile) {
    WebIdentity identity;
    identity.token_file = profile.value("web_identity_token_file");
    identity.role_arn = profile.value("role_arn");
    identity.session_name = profile.value("role_session_name");
    identity.region = region_;
    identity.origin = named(profile) + ": web identity";
    if (identity.role_arn.empty()) {
      throw auth_error(named(profile) + " has web_identity_token_file and no role_arn; add it");
    }
    return exchange_web_identity(identity, context_);
  }

  Credentials assume_role(const Profile& profile) {
    const std::string role(profile.value("role_arn"));
    const std::string what = named(profile) + ": role " + printable(role);
    if (!profile.value("mfa_serial").empty()) {
      throw auth_error(what +
                       " asks for a one-time code (mfa_serial), which waybill cannot ask for; put keys from "
                       "`aws configure export-credentials` into the environment");
    }
    const Credentials signer = source_of(profile, what);
    std::vector<std::pair<std::string, std::string>> parameters = {{"RoleArn", role}};
    const std::string_view session = profile.value("role_session_name");
    parameters.emplace_back("RoleSessionName", session.empty() ? made_up_session_name() : std::string(session));
    for (const auto& [setting, parameter] :
         {std::pair("external_id", "ExternalId"), std::pair("duration_seconds", "DurationSeconds")}) {
      const std::string_view value = profile.value(setting);
      if (!value.empty()) parameters.emplace_back(parameter, value);
    }
    return call_sts("AssumeRole", std::move(parameters), &signer, region_, what, context_);
  }

  // Whose credentials sign for the role.
  Credentials source_of(const Profile& profile, const std::string& what) {
    const std::string source(profile.value("source_profile"));
    const std::string_view place = profile.value("credential_source");
    if (source.empty() == place.empty()) {
      throw auth_error(what + " needs one of source_profile and credential_source, and has " +
                       (source.empty() ? "neither" : "both"));
    }
    if (source.empty()) return from_place(place, what);
    // A profile may be its own source: its keys then assume its role.
    const bool is_itself = source == profile.name;
    if (std::find(visited_.begin(), visited_.end(), source) != visited_.end()) {
      throw auth_error(what + ": the source_profile settings go round in a circle");
    }
    visited_.push_back(profile.name);
    const Profile next = read_profile(source);
    if (!next.is_present)
      throw auth_error(what + ": its source_profile '" + printable(source) + "' is not in " + files());
    const bool has_any_keys = has_keys(next.credentials) || has_keys(next.config);
    std::optional<Credentials> found;
    if (!is_itself || has_any_keys) found = resolve(next, true);
    if (!found) throw auth_error(what + ": its source_profile '" + printable(source) + "' has no credentials");
    return std::move(*found);
  }

  Credentials from_place(std::string_view place, const std::string& what) {
    Found found;
    if (place == "Environment") {
      found = from_environment();
    } else if (place == "Ec2InstanceMetadata") {
      found = from_instance(context_);
    } else if (place == "EcsContainer") {
      found = from_container(context_);
    } else {
      throw auth_error(what + ": credential_source is Environment, Ec2InstanceMetadata or EcsContainer, not '" +
                       printable(place) + "'");
    }
    if (!found.credentials) throw auth_error(what + ": nothing from credential_source: " + found.reason);
    return std::move(*found.credentials);
  }

  const std::string region_;
  Context& context_;
  std::vector<std::string> visited_;
};

}  // namespace

Found from_profile(std::string_view profile, Context& context) {
  const Profile chosen = read_profile(chosen_profile(profile));
  const bool is_asked_for = !profile.empty() || !environment("AWS_PROFILE").empty();
  if (!chosen.is_present) {
    const std::string reason = named(chosen) + " is not in " + files();
    if (is_asked_for) throw auth_error(reason + "; name a profile that is there").set_provider_code("NoCredentials");
    return {std::nullopt, reason};
  }
  std::optional<Credentials> found = Resolver(load_region(profile), context).resolve(chosen, false);
  if (!found) return {std::nullopt, named(chosen) + " has no credentials in " + files()};
  return {std::move(found), {}};
}

}  // namespace waybill::aws
