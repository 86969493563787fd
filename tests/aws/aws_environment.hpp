// SPDX-License-Identifier: Apache-2.0
//
// A test that begins without any AWS setting of the machine it runs on, and with a folder for its profile files. The
// metadata service is switched off, so that no test ever asks a real one.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

extern char** environ;

namespace waybill::testing {

class CleanAwsEnvironment : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/waybill-credentials-XXXXXX";
    directory_ = mkdtemp(pattern);
    std::vector<std::string> names;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text(*entry);
      if (text.starts_with("AWS_")) names.emplace_back(text.substr(0, text.find('=')));
    }
    for (const std::string& name : names) unsetenv(name.c_str());
    setenv("AWS_SHARED_CREDENTIALS_FILE", (directory_ + "/credentials").c_str(), 1);
    setenv("AWS_CONFIG_FILE", (directory_ + "/config").c_str(), 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const char* name, std::string_view text) const {
    std::ofstream(directory_ + "/" + name, std::ios::trunc) << text;
  }

  std::string directory_;
};

}  // namespace waybill::testing
