// SPDX-License-Identifier: Apache-2.0
//
// The environment and the shared profile files. The files are read whole (they are small), and only the section that is
// asked for is kept, so that other profiles' secrets never enter this process's long-lived memory.
#include "aws/credentials.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

constexpr size_t max_file_bytes = 1 << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string home_directory() {
  if (std::string home = environment("HOME"); !home.empty()) return home;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> buffer{};
  if (getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_dir;
  return "";
}

std::string file_path(const char* variable, const char* below_home) {
  std::string path = environment(variable);
  if (path.empty()) return home_directory() + below_home;
  if (path == "~" || path.starts_with("~/")) path.replace(0, 1, home_directory());
  return path;
}

std::string credentials_path() { return file_path("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"); }
std::string config_path() { return file_path("AWS_CONFIG_FILE", "/.aws/config"); }

Error auth_error(std::string message) {
  return Error(ErrorCode::unauthenticated, ErrorClass::auth, std::move(message));
}

// The whole file; empty if there is none.
Secret read_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    throw system_error(errno, printable(path));
  }
  std::vector<char> text;
  std::array<char, 8192> chunk{};
  ssize_t count = 0;
  while (text.size() <= max_file_bytes && (count = read(fd, chunk.data(), chunk.size())) > 0) {
    text.insert(text.end(), chunk.begin(), chunk.begin() + count);
  }
  const int error_number = count < 0 ? errno : 0;
  close(fd);
  Secret content(std::string_view(text.data(), text.size()));
  OPENSSL_cleanse(text.data(), text.size());
  OPENSSL_cleanse(chunk.data(), chunk.size());
  if (error_number != 0) throw system_error(error_number, printable(path));
  if (content.reveal().size() > max_file_bytes) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                printable(path) + " is too long to be a profile file");
  }
  return content;
}

using Section = std::map<std::string, Secret, std::less<>>;

// The name in "[name]"; in the config file every profile but the default one is written "[profile name]".
std::string_view section_name(std::string_view line, bool is_config) {
  std::string_view name = internal::trim(line.substr(1, std::min(line.find(']'), line.size()) - 1));
  if (is_config && name.starts_with("profile") && name.size() > 7 && (name[7] == ' ' || name[7] == '\t')) {
    name = internal::trim(name.substr(7));
  } else if (is_config && name != "default") {
    return {};
  }
  if (name.size() >= 2 && name.front() == '"' && name.back() == '"') name = name.substr(1, name.size() - 2);
  return name;
}

// A '#' or ';' after a blank begins a comment.
std::string_view without_comment(std::string_view value) {
  for (size_t i = 1; i < value.size(); ++i) {
    const bool after_blank = value[i - 1] == ' ' || value[i - 1] == '\t';
    if (after_blank && (value[i] == '#' || value[i] == ';')) return internal::trim(value.substr(0, i));
  }
  return value;
}

// Adds the settings of `profile` that are not in `section` yet. Whether the file has that profile.
bool read_section(const std::string& path, std::string_view profile, bool is_config, Section& section) {
  const Secret content = read_file(path);
  std::string_view text = content.reveal();
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Section found;
  bool is_inside = false;
  bool is_present = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view line = internal::trim(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      is_inside = section_name(line, is_config) == profile;
      is_present = is_present || is_inside;
      continue;
    }
    // An indented line belongs to the setting above it ("s3 =" has some).
    if (!is_inside || raw.front() == ' ' || raw.front() == '\t') continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    found.insert_or_assign(internal::to_lower(internal::trim(line.substr(0, equals))),
                           Secret(without_comment(internal::trim(line.substr(equals + 1)))));
  }
  section.merge(found);
  return is_present;
}

std::string chosen_profile(std::string_view profile) {
  if (!profile.empty()) return std::string(profile);
  std::string name = environment("AWS_PROFILE");
  return name.empty() ? "default" : name;
}

std::string_view value_of(const Section& section, std::string_view name) {
  const auto found = section.find(name);
  return found == section.end() ? std::string_view{} : found->second.reveal();
}

[[noreturn]] void throw_without_keys(const std::string& profile, const Section& section, bool is_present,
                                     bool looked_in_environment) {
  const std::string files = printable(credentials_path()) + " and " + printable(config_path());
  for (const char* name :
       {"credential_process", "sso_session", "sso_start_url", "role_arn", "web_identity_token_file"}) {
    if (value_of(section, name).empty()) continue;
    throw auth_error(
        "profile '" + printable(profile) + "' gets its credentials through " + name +
        ", which waybill does not do; put keys from `aws configure export-credentials` into the environment");
  }
  if (is_present) {
    throw auth_error("profile '" + printable(profile) +
                     "' has no complete aws_access_key_id and aws_secret_access_key in " + files);
  }
  throw auth_error("no AWS credentials: looked " +
                   std::string(looked_in_environment ? "for AWS_ACCESS_KEY_ID in the environment and " : "") +
                   "for profile '" + printable(profile) + "' in " + files +
                   "; set the keys in the environment, or name a profile that has them");
}

std::optional<Credentials> from_environment() {
  Credentials credentials;
  credentials.access_key_id = environment("AWS_ACCESS_KEY_ID");
  const char* secret = std::getenv("AWS_SECRET_ACCESS_KEY");
  const bool has_secret = secret != nullptr && *secret != '\0';
  if (credentials.access_key_id.empty() && !has_secret) return {};
  if (credentials.access_key_id.empty() || !has_secret) {
    throw auth_error(
        "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set; set both, or neither to use a profile");
  }
  credentials.secret_access_key = Secret(secret);
  const char* token = std::getenv("AWS_SESSION_TOKEN");
  if (token != nullptr) credentials.session_token = Secret(token);
  credentials.expires_ms = internal::parse_rfc3339(environment("AWS_CREDENTIAL_EXPIRATION"));
  credentials.origin = "the environment";
  return credentials;
}

}  // namespace

Secret::Secret(std::string_view text) : data_(std::make_unique<char[]>(text.size())), size_(text.size()) {
  std::copy(text.begin(), text.end(), data_.get());
}

Secret::Secret(const Secret& other) : Secret(other.reveal()) {}

Secret::Secret(Secret&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Secret::~Secret() {
  if (data_ != nullptr) OPENSSL_cleanse(data_.get(), size_);
}

bool Secret::operator==(const Secret& other) const noexcept {
  return size_ == other.size_ && (size_ == 0 || CRYPTO_memcmp(data_.get(), other.data_.get(), size_) == 0);
}

Credentials load_credentials(std::string_view profile) {
  if (profile.empty()) {
    if (auto credentials = from_environment()) return *std::move(credentials);
  }
  const std::string name = chosen_profile(profile);
  std::string path = credentials_path();
  Section section;
  bool is_present = read_section(path, name, false, section);
  // Keys and token come from one place, or an old token would meet new keys.
  if (value_of(section, "aws_access_key_id").empty()) {
    path = config_path();
    is_present = read_section(path, name, true, section) || is_present;
  }
  Credentials credentials;
  credentials.access_key_id = value_of(section, "aws_access_key_id");
  credentials.secret_access_key = Secret(value_of(section, "aws_secret_access_key"));
  credentials.session_token = Secret(value_of(section, "aws_session_token"));
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    throw_without_keys(name, section, is_present, profile.empty());
  }
  credentials.origin = "profile '" + printable(name) + "' in " + printable(path);
  return credentials;
}

std::string load_region(std::string_view profile) {
  std::string from_variables = environment("AWS_REGION");
  if (from_variables.empty()) from_variables = environment("AWS_DEFAULT_REGION");
  if (profile.empty() && !from_variables.empty()) return from_variables;
  Section section;
  const std::string name = chosen_profile(profile);
  read_section(config_path(), name, true, section);
  read_section(credentials_path(), name, false, section);
  const std::string_view region = value_of(section, "region");
  return region.empty() ? from_variables : std::string(region);
}

CredentialsProvider::CredentialsProvider(std::string profile)
    : profile_(std::move(profile)), current_(std::make_shared<const Credentials>(load_credentials(*profile_))) {}

CredentialsProvider::CredentialsProvider(Credentials credentials)
    : current_(std::make_shared<const Credentials>(std::move(credentials))) {}

std::shared_ptr<const Credentials> CredentialsProvider::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

bool CredentialsProvider::refresh(const std::shared_ptr<const Credentials>& stale) {
  const std::lock_guard lock(mutex_);
  if (current_ != stale) return true;
  if (!profile_) return false;
  auto fresh = std::make_shared<const Credentials>(load_credentials(*profile_));
  if (fresh->access_key_id == stale->access_key_id && fresh->secret_access_key == stale->secret_access_key &&
      fresh->session_token == stale->session_token) {
    return false;
  }
  current_ = std::move(fresh);
  return true;
}

}  // namespace waybill::aws
