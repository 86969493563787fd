// SPDX-License-Identifier: Apache-2.0
//
// The shared profile files and the region. The files are read whole (they are small), and only the section that is
// asked for is kept, so that other profiles' secrets never enter this process's long-lived memory.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "aws/credentials.hpp"

namespace waybill::aws {

/// The settings of one profile in one file, by their names in lower case.
using Section = std::map<std::string, Secret, std::less<>>;

struct Profile {
  std::string name;
  bool is_present = false;  ///< in one of the files
  Section credentials;      ///< of the credentials file
  Section config;           ///< of the config file

  /// Of the credentials file, or else of the config file; "" in neither. *Lifetime:* of the profile.
  std::string_view value(std::string_view name) const;
};

/// The profile that is meant: `profile`, or where that is "" AWS_PROFILE, or "default".
std::string chosen_profile(std::string_view profile);

/// Errors: local_io, permission (a file that cannot be read), configuration (one that is too long). No file is no
/// error.
Profile read_profile(std::string_view name);

std::string_view value_of(const Section& section, std::string_view name);

/// The paths of the two files.
std::string credentials_path();
std::string config_path();

/// The region: with `profile` "" from AWS_REGION or AWS_DEFAULT_REGION, then of the profile; with a profile the other
/// way round. "" if none is set. Errors: as read_profile.
std::string load_region(std::string_view profile = {});

}  // namespace waybill::aws
