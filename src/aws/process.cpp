// SPDX-License-Identifier: Apache-2.0
//
// credential_process: another program that knows the credentials.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "aws/providers.hpp"
#include "base/text.hpp"
#include "waybill/item.hpp"

extern char** environ;

namespace waybill::aws {
namespace {

using std::chrono::milliseconds;

constexpr size_t most_output_bytes = 64 << 10;
constexpr milliseconds poll_slice{50};

class Pipe {
 public:
  Pipe() {
    if (pipe2(fds_.data(), O_CLOEXEC) != 0) throw system_error(errno, "a pipe for a credential_process");
    fcntl(fds_[0], F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    close(fds_[0]);
    close_writer();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int reader() const noexcept { return fds_[0]; }
  int writer() const noexcept { return fds_[1]; }
  void close_writer() noexcept {
    if (fds_[1] >= 0) close(std::exchange(fds_[1], -1));
  }

 private:
  std::array<int, 2> fds_{-1, -1};
};

/// A running program, in a process group of its own, which is killed, and waited for, if it still runs when this dies.
class Child {
 public:
  Child(const std::vector<std::string>& words, int output, const std::string& what) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    // The threads of a run block all signals, and a host may ignore some: neither is to be passed on.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    const int error = posix_spawnp(&pid_, words.front().c_str(), &files, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) {
      pid_ = -1;
      throw auth_error(what + ": '" + printable(words.front()) + "' cannot be run: " + std::strerror(error));
    }
  }
  ~Child() {
    if (pid_ < 0 || is_over_) return;
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool is_over() {
    if (!is_over_) {
      pid_t ended = 0;
      do ended = waitpid(pid_, &status_, WNOHANG);
      while (ended < 0 && errno == EINTR);
      is_over_ = ended != 0;
      // Where the host waits for all children, how this one ended is not known; what it wrote decides.
      if (ended < 0) status_ = 0;
    }
    return is_over_;
  }
  /// "" if it ended well.
  std::string how_it_failed() const {
    if (WIFSIGNALED(status_)) return "was killed by signal " + std::to_string(WTERMSIG(status_));
    return WEXITSTATUS(status_) == 0 ? "" : "ended with exit status " + std::to_string(WEXITSTATUS(status_));
  }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool is_over_ = false;
};

// Takes what is there. False at the end of the output.
bool drain(int fd, std::vector<char>& output) {
  std::array<char, 4096> chunk;
  for (;;) {
    const ssize_t count = read(fd, chunk.data(), chunk.size());
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0 || output.size() > most_output_bytes) return false;
    output.insert(output.end(), chunk.begin(), chunk.begin() + count);
  }
}

// All that the program writes until it ends; what it may have left running behind is not waited for.
std::string output_of(const std::vector<std::string>& words, const std::string& what, milliseconds limit,
                      Context& context) {
  Pipe pipe;
  Child child(words, pipe.writer(), what);
  pipe.close_writer();
  const auto end = Context::Clock::now() + limit;
  std::vector<char> output;
  output.reserve(2 * most_output_bytes);  // so that no copy of a secret is left behind
  bool is_open = true;
  for (;;) {
    const bool was_over = child.is_over();
    if (is_open) is_open = drain(pipe.reader(), output);
    if (was_over || output.size() > most_output_bytes) break;
    context.check();
    if (Context::Clock::now() >= end) {
      throw Error(ErrorCode::deadline_exceeded, ErrorClass::timeout,
                  what + ": '" + printable(words.front()) + "' gave no answer within " + std::to_string(limit.count()) +
                      " ms and was stopped");
    }
    if (is_open) {
      pollfd wait{pipe.reader(), POLLIN, 0};
      poll(&wait, 1, static_cast<int>(poll_slice.count()));
    } else {
      context.sleep(milliseconds(5));
    }
  }
  std::string text(output.begin(), output.end());
  std::fill(output.begin(), output.end(), '\0');
  if (const std::string failure = child.how_it_failed(); !failure.empty()) {
    wipe(text);
    throw auth_error(what + ": '" + printable(words.front()) + "' " + failure + "; run it by hand to see why");
  }
  return text;
}

}  // namespace

std::optional<std::vector<std::string>> split_command(std::string_view line) {
  std::vector<std::string> words;
  bool is_inside = false;  // of a word, which may be empty
  char quote = '\0';
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool is_blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (quote == '\0' && is_blank) {
      is_inside = false;
      continue;
    }
    if (!is_inside) words.emplace_back();
    is_inside = true;
    if (c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      if (i + 1 == line.size()) return std::nullopt;
      const char next = line[++i];
      // Between double quotes only a quote and another backslash lose their backslash.
      if (quote == '"' && next != '"' && next != '\\') words.back() += c;
      words.back() += next;
    } else {
      words.back() += c;
    }
  }
  if (quote != '\0') return std::nullopt;
  return words;
}

Credentials run_credential_process(const std::string& command, const std::string& what, milliseconds limit,
                                   Context& context) {
  const auto words = split_command(command);
  if (!words || words->empty() || words->front().empty()) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                what + ": the command has a quote or a backslash that is left open, or no words");
  }
  std::string text = output_of(*words, what, limit, context);
  return credentials_from_json(text, "SessionToken", what);
}

}  // namespace waybill::aws
