// SPDX-License-Identifier: Apache-2.0
//
// A real web server (nginx) for one test: on a free port of 127.0.0.1, over a folder of its own. It has ranges, ETags
// and Last-Modified. The same files are there over https, with a certificate that only certificate() vouches for. Stopped
// by its process id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace waybill::testing {

class Nginx {
 public:
  /// Starts it and waits until it answers. Throws std::runtime_error: it is not there (scripts/setup installs it), or
  /// does not answer.
  Nginx();
  ~Nginx();
  Nginx(const Nginx&) = delete;
  Nginx& operator=(const Nginx&) = delete;

  std::string url(std::string_view path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }
  std::string secure_url(std::string_view path = "/") const {
    return "https://127.0.0.1:" + std::to_string(secure_port_) + std::string(path);
  }
  std::filesystem::path certificate() const { return folder_ / "certificate.pem"; }
  /// The folder that is served; /to-http/PATH and /to-https/PATH are redirected to PATH there.
  std::filesystem::path folder() const { return folder_ / "files"; }
  /// Writes a file, replacing what is there; `age_s` ago. nginx tells revisions by size and whole seconds.
  void put(const std::string& name, std::string_view content, int age_s = 100);
  /// How many requests it has written into its log.
  size_t requests() const;
  void stop_answering();
  void answer_again();

 private:
  std::filesystem::path folder_;
  uint16_t port_ = 0;
  uint16_t secure_port_ = 0;
  int pid_ = -1;
};

}  // namespace waybill::testing
