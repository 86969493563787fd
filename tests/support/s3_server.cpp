// SPDX-License-Identifier: Apache-2.0
//
// See s3_server.hpp.
#include "support/s3_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "support/certificate.hpp"

namespace waybill::testing {

namespace {

namespace fs = std::filesystem;

std::string program() {
  if (const char* from_environment = std::getenv("WAYBILL_TEST_S3_SERVER")) return from_environment;
  return std::string(WAYBILL_SOURCE_DIR) + "/build/tools/bin/versitygw";
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  const bool is_bound = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  ::close(fd);
  if (!is_bound) throw std::system_error(error, std::generic_category(), "a free port");
  return ntohs(address.sin_port);
}

bool answers(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const bool is_connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return is_connected;
}

// The server keeps metadata in extended attributes; where the folder has none, in files beside it.
bool has_extended_attributes(const fs::path& folder) {
  return ::setxattr(folder.c_str(), "user.waybill", "1", 1, 0) == 0;
}

int start(const std::vector<std::string>& command, const fs::path& log) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid > 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

S3Server::S3Server(bool with_tls) : with_tls_(with_tls) {
  if (::access(program().c_str(), X_OK) != 0) {
    throw std::runtime_error("the S3 server of the tests is not there (" + program() + "): run scripts/setup");
  }
  std::string pattern = (fs::temp_directory_path() / "waybill-s3-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), pattern);
  folder_ = pattern;
  fs::create_directory(folder());
  port_ = free_port();
  std::vector<std::string> command = {program(),  "--port",      "127.0.0.1:" + std::to_string(port_),
                                      "--access", access_key,    "--secret",
                                      secret_key, "--region",    "us-east-1",
                                      "--quiet",  "--keep-alive"};
  if (with_tls) {
    write_certificate(folder_ / "key.pem", certificate());
    command.insert(command.end(), {"--cert", certificate().string(), "--key", (folder_ / "key.pem").string()});
  }
  command.emplace_back("posix");
  if (!has_extended_attributes(folder())) {
    fs::create_directory(folder_ / "metadata");
    command.insert(command.end(), {"--sidecar", (folder_ / "metadata").string()});
  }
  command.push_back(folder().string());
  pid_ = start(command, folder_ / "log");
  for (int tries = 0; tries < 600; ++tries) {
    if (answers(port_)) return;
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ::kill(pid_, SIGKILL);
  throw std::runtime_error("the S3 server of the tests does not answer; see " + (folder_ / "log").string());
}

S3Server::~S3Server() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

S3Server& S3Server::shared() {
  static const auto prepared = [] {
    for (const char* name : {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"}) ::unsetenv(name);
    ::setenv("AWS_ACCESS_KEY_ID", access_key, 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", secret_key, 1);
    ::setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    ::setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    return std::make_unique<S3Server>();
  }();
  return *prepared;
}

std::string S3Server::make_bucket(const std::string& stem) {
  const std::string name = stem + "-" + std::to_string(++buckets_);
  fs::create_directory(folder() / name);
  return name;
}

Url S3Server::url(const std::string& bucket, const std::string& prefix, uint16_t port,
                  const std::map<std::string, std::string>& parameters) const {
  Url url;
  url.scheme = "s3";
  url.host = bucket;
  url.path = prefix.empty() ? "" : "/" + prefix;
  url.query = parameters;
  url.query.emplace("endpoint", endpoint(port == 0 ? port_ : port));
  return url;
}

}  // namespace waybill::testing
