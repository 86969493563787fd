// SPDX-License-Identifier: Apache-2.0
#include "support/nginx.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "support/certificate.hpp"

namespace waybill::testing {
namespace {

namespace fs = std::filesystem;

int socket_at(uint16_t port, bool binds, uint16_t* bound) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const int result = binds ? ::bind(fd, generic, size) : ::connect(fd, generic, size);
  if (bound != nullptr && ::getsockname(fd, generic, &size) == 0) *bound = ntohs(address.sin_port);
  ::close(fd);
  return result;
}

}  // namespace

Nginx::Nginx() {
  std::string pattern = (fs::temp_directory_path() / "waybill-nginx-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
  fs::create_directories(folder());
  socket_at(0, true, &port_);
  do socket_at(0, true, &secure_port_);
  while (secure_port_ == port_);
  write_certificate(folder_ / "key.pem", certificate());
  std::ofstream(folder_ / "nginx.conf")
      << "daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
      << "events { worker_connections 512; }\n"
      << "http { access_log access.log; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; "
         "uwsgi_temp_path t4;"
      << " scgi_temp_path t5; types { text/plain txt; } default_type application/octet-stream; merge_slashes off;\n"
      << "ssl_certificate certificate.pem; ssl_certificate_key key.pem;\n"
      << "server { listen 127.0.0.1:" << port_ << "; listen 127.0.0.1:" << secure_port_
      << " ssl; root files; add_header Cache-Control max-age=60;\n"
      << "location ~ ^/to-http/(.*)$ { return 302 " << url("/$1") << "; }\n"
      << "location ~ ^/to-https/(.*)$ { return 302 " << secure_url("/$1") << "; } } }\n";
  const std::string root = folder_.string();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int log = ::open((root + "/out.log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ::dup2(log, 1);
    ::dup2(log, 2);
    for (const char* program : {"/usr/sbin/nginx", "nginx"}) {
      ::execlp(program, "nginx", "-p", root.c_str(), "-c", "nginx.conf", "-e", "error.log", nullptr);
    }
    ::_exit(127);
  }
  for (int tries = 0; tries < 600; ++tries) {
    if (socket_at(port_, false, nullptr) == 0) return;
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ::kill(pid_, SIGKILL);
  throw std::runtime_error("nginx does not answer; scripts/setup installs it; see " + root + "/error.log");
}

Nginx::~Nginx() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void Nginx::put(const std::string& name, std::string_view content, int age_s) {
  const fs::path path = folder() / name;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(age_s));
}

size_t Nginx::requests() const {
  std::ifstream log(folder_ / "access.log");
  return static_cast<size_t>(std::count(std::istreambuf_iterator<char>(log), std::istreambuf_iterator<char>(), '\n'));
}

void Nginx::stop_answering() { ::kill(pid_, SIGSTOP); }
void Nginx::answer_again() { ::kill(pid_, SIGCONT); }

}  // namespace waybill::testing
