// SPDX-License-Identifier: Apache-2.0
//
// AWS credentials: the chain of places that they come from, and the provider that many threads share. Values never
// appear in messages; places do.
//
//   environment      AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//   web identity     AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, through STS
//   profile          of the shared files: roles, keys, credential_process, web identity; not SSO
//   container        AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS)
//   instance         the metadata service of EC2 (IMDSv2 only)
//
// A place that is not set up is passed over; one that is and fails ends the search, so that nobody works under an
// identity that was not meant. The order is that of the AWS SDKs:
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.hpp"
#include "base/secret.hpp"
#include "waybill/context.hpp"
#include "waybill/error.hpp"

namespace waybill::aws {

using internal::read_small_file;
using internal::Secret;
using internal::wipe;

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;               ///< empty for long-lived keys
  std::optional<int64_t> expires_ms;  ///< since 1970, where the place says so
  std::string origin;                 ///< "the environment", "profile 'x' in /path"; for messages
};

/// Looks for credentials: with `profile` "" along the chain, in which AWS_PROFILE may name the profile ("default"
/// otherwise); with a profile only there. Files are those of AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials) and
/// AWS_CONFIG_FILE (~/.aws/config).
/// *Blocking:* on files, on a credential_process (at most a minute), on HTTP; under two seconds where there is no
/// metadata service.
/// Errors: auth (nothing found: provider_code "NoCredentials", with each place and why it gave nothing; a place that is
/// set up and refuses, or needs what waybill has not), configuration, local_io, permission, network, timeout, server,
/// cancelled.
Credentials load_credentials(std::string_view profile, Context& context);

/// Credentials that many threads use. They are loaded with the first use and renewed ahead of their end, at a time
/// that is not the same in every process: by one thread, while the others go on with those that are still good. A
/// renewal that fails while they are good is logged and tried again.
///
/// *Thread safety:* any thread. *Blocking:* as load_credentials, for the thread that loads, and for all where there are
/// no good ones; all return within a second of their Context's cancellation.
class CredentialsProvider {
 public:
  using Load = std::function<Credentials(Context&)>;

  /// Does no I/O yet.
  explicit CredentialsProvider(std::string profile = {});
  explicit CredentialsProvider(Load load);
  /// Fixed credentials; refresh() never changes them.
  explicit CredentialsProvider(Credentials credentials);

  /// Errors: as load_credentials. Where credentials were found before and are not any more, they are expected back:
  /// class network, retryable.
  std::shared_ptr<const Credentials> current(Context& context);
  /// Loads again because a store refused `stale`, unless another thread already replaced it. Whether current() now
  /// differs from `stale`. Errors: as current().
  bool refresh(const std::shared_ptr<const Credentials>& stale, Context& context);

 private:
  using Clock = std::chrono::steady_clock;
  using Lock = std::unique_lock<std::mutex>;

  bool is_due() const;
  bool is_expired() const;
  void wait_for_loader(Lock& lock, Context& context);
  void load(Lock& lock, Context& context);
  void plan_renewal();

  const Load load_;  // none: fixed
  mutable std::mutex mutex_;
  std::condition_variable loaded_;
  internal::Random random_;  // guarded by mutex_, as is everything below
  std::shared_ptr<const Credentials> current_;
  bool is_loading_ = false;
  int64_t renew_at_ms_ = 0;         // on the wall clock, as expires_ms
  Clock::time_point not_before_{};  // of the next renewal
  std::optional<Error> failure_;    // of the last load
  Clock::time_point failed_at_{};
  std::shared_ptr<const Credentials> confirmed_;  // a load after the store's refusal brought the same again
};

}  // namespace waybill::aws
