// SPDX-License-Identifier: Apache-2.0
//
// See profiles.hpp.
#include "aws/profiles.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "aws/providers.hpp"
#include "base/text.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"

namespace waybill::aws {
namespace {

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

// The settings of `profile` into `section`. Whether the file has that profile.
bool read_section(const std::string& path, std::string_view profile, bool is_config, Section& section) {
  const Secret content = read_small_file(path);
  std::string_view text = content.reveal();
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
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
    std::string name = internal::to_lower(internal::trim(line.substr(0, equals)));
    const std::string_view value = internal::trim(line.substr(equals + 1));
    // In a command both characters may be meant.
    const bool is_command = name == "credential_process";
    section.insert_or_assign(std::move(name), Secret(is_command ? value : without_comment(value)));
  }
  return is_present;
}

}  // namespace

std::string credentials_path() { return file_path("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"); }
std::string config_path() { return file_path("AWS_CONFIG_FILE", "/.aws/config"); }

std::string_view value_of(const Section& section, std::string_view name) {
  const auto found = section.find(name);
  return found == section.end() ? std::string_view{} : found->second.reveal();
}

std::string_view Profile::value(std::string_view setting) const {
  const std::string_view first = value_of(credentials, setting);
  return first.empty() ? value_of(config, setting) : first;
}

std::string chosen_profile(std::string_view profile) {
  if (!profile.empty()) return std::string(profile);
  std::string name = environment("AWS_PROFILE");
  return name.empty() ? "default" : name;
}

Profile read_profile(std::string_view name) {
  Profile profile;
  profile.name = name;
  const bool is_in_credentials = read_section(credentials_path(), name, false, profile.credentials);
  const bool is_in_config = read_section(config_path(), name, true, profile.config);
  profile.is_present = is_in_credentials || is_in_config;
  return profile;
}

std::string load_region(std::string_view profile) {
  std::string from_variables = environment("AWS_REGION");
  if (from_variables.empty()) from_variables = environment("AWS_DEFAULT_REGION");
  if (profile.empty() && !from_variables.empty()) return from_variables;
  const Profile settings = read_profile(chosen_profile(profile));
  // The region is the config file's business; older tools wrote it beside the keys.
  const std::string_view in_config = value_of(settings.config, "region");
  const std::string_view region = in_config.empty() ? value_of(settings.credentials, "region") : in_config;
  return region.empty() ? from_variables : std::string(region);
}

}  // namespace waybill::aws
