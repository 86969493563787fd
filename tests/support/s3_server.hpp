// SPDX-License-Identifier: Apache-2.0
//
// A real S3 server (versitygw) for one test process: on a free port of 127.0.0.1, over a folder of its own, with fixed
// keys. It checks signatures and checksums. Stopped by its process id, also when the test process is killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "waybill/connectors.hpp"

namespace waybill::testing {

class S3Server {
 public:
  static constexpr const char* access_key = "waybill-test";
  static constexpr const char* secret_key = "waybill-test-secret";

  /// Starts the server and waits until it answers. The program is the one in WAYBILL_TEST_S3_SERVER, or else
  /// build/tools/bin/versitygw. Throws std::runtime_error: it is not there, or does not answer. With `with_tls` it
  /// speaks https, with a certificate that only certificate() vouches for.
  explicit S3Server(bool with_tls = false);
  ~S3Server();
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  /// The server of this process, started at the first call. Puts its keys into the environment of the process, and
  /// takes everything else out that says something about credentials or regions.
  static S3Server& shared();

  uint16_t port() const noexcept { return port_; }
  std::string endpoint() const { return endpoint(port_); }
  std::filesystem::path certificate() const { return folder_ / "certificate.pem"; }
  /// Makes an empty bucket with a name of its own that begins with `stem`, and gives the name.
  std::string make_bucket(const std::string& stem);
  /// The folder that holds the buckets.
  std::filesystem::path folder() const { return folder_ / "data"; }
  /// s3://bucket/prefix at this server, or at another port (a proxy's), with more parameters.
  Url url(const std::string& bucket, const std::string& prefix = "", uint16_t port = 0,
          const std::map<std::string, std::string>& parameters = {}) const;

 private:
  std::string endpoint(uint16_t port) const {
    return (with_tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port);
  }

  bool with_tls_;
  std::filesystem::path folder_;
  uint16_t port_ = 0;
  int pid_ = -1;
  int buckets_ = 0;
};

}  // namespace waybill::testing
