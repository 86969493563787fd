// SPDX-License-Identifier: Apache-2.0
//
// Where AWS credentials and regions come from: the environment, then the shared profile files. Values never appear in
// messages; places do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace waybill::aws {

/// A text that must not be shown. No output operator and no conversion; reveal() is the one way to it. Its memory is
/// wiped when it dies or is replaced.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);
  Secret(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret other) noexcept;
  ~Secret();

  std::string_view reveal() const noexcept { return {data_.get(), size_}; }
  bool empty() const noexcept { return size_ == 0; }
  bool operator==(const Secret& other) const noexcept;

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;               ///< empty for long-lived keys
  std::optional<int64_t> expires_ms;  ///< since 1970, where the place says so
  std::string origin;                 ///< "the environment", "profile 'x' in /path"; for messages
};

/// Looks for credentials: with `profile` "" in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN),
/// then in the profile that AWS_PROFILE names ("default" otherwise); with a profile only there. Profiles are read from
/// AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials) and then AWS_CONFIG_FILE (~/.aws/config).
/// Errors: auth (nothing found, or a profile that needs a way that waybill has not; names where it looked),
/// local_io, permission.
Credentials load_credentials(std::string_view profile = {});

/// The region: with `profile` "" from AWS_REGION or AWS_DEFAULT_REGION, then of the profile; with a profile the other
/// way round. "" if none is set. Errors: local_io, permission.
std::string load_region(std::string_view profile = {});

/// Credentials that many threads use and that can be read again when the store calls them expired.
///
/// *Thread safety:* any thread. *Blocking:* on reading two small files, in the constructor and in refresh().
class CredentialsProvider {
 public:
  /// Reads them. Errors: as load_credentials.
  explicit CredentialsProvider(std::string profile = {});
  /// Fixed credentials; refresh() never changes them.
  explicit CredentialsProvider(Credentials credentials);

  std::shared_ptr<const Credentials> current() const;
  /// Reads again, unless another thread already replaced `stale`. Whether current() now differs from `stale`.
  bool refresh(const std::shared_ptr<const Credentials>& stale);

 private:
  std::optional<std::string> profile_;  // nothing: fixed
  mutable std::mutex mutex_;
  std::shared_ptr<const Credentials> current_;  // guarded by mutex_
};

}  // namespace waybill::aws
