// SPDX-License-Identifier: Apache-2.0
//
// CPU that an object of 4 KiB costs through waybill, ledger included, beside a program over bare libcurl that makes the
// same requests and nothing else (bare_client.cpp), for two jobs: S3 to S3, and a folder to S3.
//
// The two take turns within one run, each turn in a process of its own whose CPU time (user and system) the kernel
// tells when it ends; so a machine that others use as well slows both alike. The store is null_s3_server, in a process
// that is not counted. waybill runs at a fixed number of transfers, and the other program has as many threads.
//
// Then a larger folder goes to S3 with the options as they come, for the memory that takes.
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>

#include "measure.hpp"
#include "waybill/waybill.hpp"

namespace {

constexpr double most_times_the_floor = 2.0;
constexpr double most_resident_mib = 64;
constexpr size_t object_bytes = 4096;
constexpr uint64_t files_in_folder = 256;

struct Settings {
  uint64_t objects = 40'000;
  uint64_t objects_for_memory = 100'000;
  int rounds = 5;
  int concurrency = 16;
  std::filesystem::path folder = std::filesystem::temp_directory_path();
};

// --- Processes ---

std::filesystem::path beside_us(const char* program) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / program;
}

/// Starts a program that ends with us. `in` and `out` become its standard input and output; -1 keeps ours.
pid_t spawn(const std::vector<std::string>& command, int in = -1, int out = -1) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (in >= 0) dup2(in, STDIN_FILENO);
  if (out >= 0) dup2(out, STDOUT_FILENO);
  execv(arguments[0], arguments.data());
  _exit(127);
}

struct Cost {
  double cpu_seconds = 0;
  double seconds = 0;
  uint64_t resident_bytes = 0;
};

/// Runs a program to its end. Errors: it did not end with 0.
Cost run_counted(const std::vector<std::string>& command) {
  const auto start = bench::Clock::now();
  const pid_t child = spawn(command);
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) throw std::runtime_error("wait4 failed");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error(command[0] + " failed");
  return {bench::cpu_seconds(usage), bench::seconds_since(start), static_cast<uint64_t>(usage.ru_maxrss) * 1024};
}

class NullServer {
 public:
  explicit NullServer(uint64_t objects) {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    process_ = spawn({beside_us("null_s3_server").string(), std::to_string(objects)}, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    lifeline_ = to[1];
    char port[16] = "";
    const ssize_t got = read(from[0], port, sizeof port - 1);
    close(from[0]);
    if (got <= 0) throw std::runtime_error("null_s3_server did not start");
    endpoint_ = "http://127.0.0.1:" + std::to_string(std::atoi(port));
  }
  ~NullServer() {
    close(lifeline_);
    waitpid(process_, nullptr, 0);
  }
  NullServer(const NullServer&) = delete;
  NullServer& operator=(const NullServer&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  /// The same server under another name: two stores, between which nothing can be copied but through us.
  std::string other_endpoint() const { return "http://localhost" + endpoint_.substr(endpoint_.rfind(':')); }

  /// How often each kind of request has come since the last call.
  std::map<std::string, uint64_t> take_stats() const {
    std::istringstream text(ask("/-/stats"));
    std::map<std::string, uint64_t> stats;
    std::string name;
    for (uint64_t number; text >> name >> number;) stats[name] = number;
    return stats;
  }
  std::string sample(const std::string& kind) const { return ask("/-/sample/" + kind); }

 private:
  std::string ask(const std::string& path) const {
    std::string answer;
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
    curl_easy_setopt(easy.get(), CURLOPT_URL, (endpoint_ + path).c_str());
    curl_easy_setopt(easy.get(), CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(
        easy.get(), CURLOPT_WRITEFUNCTION, +[](char* data, size_t size, size_t count, void* to) {
          static_cast<std::string*>(to)->append(data, size * count);
          return size * count;
        });
    if (curl_easy_perform(easy.get()) != CURLE_OK) throw std::runtime_error("null_s3_server does not answer");
    return answer;
  }

  pid_t process_ = 0;
  int lifeline_ = -1;
  std::string endpoint_;
};

// --- The side of waybill ---

/// A whole migration in this process, through the public API.
int migrate(const std::string& from, const std::string& to, const std::string& ledger, int concurrency,
            int64_t expected) {
  waybill::Options options;
  options.concurrency = concurrency;
  const waybill::Report report = waybill::Migration(from, to, ledger).run(options);
  if (report.exit_code == 0 && report.snapshot.items.created == expected) return 0;
  std::cerr << report.message << '\n';
  return 1;
}

// --- Jobs ---

void make_files(const std::filesystem::path& root, uint64_t files) {
  const std::string content(object_bytes, 'x');
  for (uint64_t n = 0; n < files; ++n) {
    char folder[32];
    char name[64];
    std::snprintf(folder, sizeof folder, "documents-%06llu", static_cast<unsigned long long>(n / files_in_folder));
    std::snprintf(name, sizeof name, "%011llu-attachment-original-file.bin", static_cast<unsigned long long>(n));
    if (n % files_in_folder == 0) std::filesystem::create_directories(root / folder);
    std::ofstream out(root / folder / name, std::ios::binary);
    out << content;
    if (!out.flush()) throw std::runtime_error("no file can be written in " + root.string());
  }
  // A file that changed a moment ago is read twice, to be safe; these are to be as files usually are, older.
  const auto day = std::filesystem::file_time_type::clock::now() - std::chrono::hours(24);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) std::filesystem::last_write_time(entry.path(), day);
  }
}

struct Job {
  std::string name;
  std::string waybill_source;
  std::string bare_kind;
  std::string bare_source;
};

struct Rounds {
  std::vector<double> waybill_us;
  std::vector<double> bare_us;
  double waybill_rate = 0;
  double bare_rate = 0;
};

class Comparison {
 public:
  Comparison(const Settings& settings, const std::filesystem::path& folder, const NullServer& server)
      : settings_(settings), folder_(folder), server_(server), headers_(folder / "headers") {
    std::filesystem::create_directories(headers_);
  }

  Cost run_waybill(const std::string& source, int concurrency, uint64_t objects) {
    const std::string ledger = (folder_ / ("ledger-" + std::to_string(++ledgers_) + ".db")).string();
    const std::string to = "s3://destination/?endpoint=" + server_.other_endpoint();
    return run_counted({beside_us("cpu_per_object").string(), "--migrate", source, to, ledger,
                        std::to_string(concurrency), std::to_string(objects)});
  }

  /// Rounds of both in turn, after one of each that does not count.
  Rounds run(const Job& job) {
    std::printf("\n%s, %llu objects of 4 KiB, %d at once; CPU in us an object (user + system)\n", job.name.c_str(),
                static_cast<unsigned long long>(settings_.objects), settings_.concurrency);
    (void)server_.take_stats();
    (void)run_waybill(job.waybill_source, settings_.concurrency, settings_.objects);
    for (const char* kind : {"LIST", "GET", "PUT"}) std::ofstream(headers_ / kind) << server_.sample(kind);
    print_requests("waybill", server_.take_stats());
    (void)run_bare(job);
    print_requests("bare", server_.take_stats());

    Rounds rounds;
    const double n = static_cast<double>(settings_.objects);
    std::printf("          round   waybill      bare     ratio\n");
    for (int round = 1; round <= settings_.rounds; ++round) {
      const Cost ours = run_waybill(job.waybill_source, settings_.concurrency, settings_.objects);
      const Cost bare = run_bare(job);
      rounds.waybill_us.push_back(ours.cpu_seconds / n * 1e6);
      rounds.bare_us.push_back(bare.cpu_seconds / n * 1e6);
      rounds.waybill_rate = std::max(rounds.waybill_rate, n / ours.seconds);
      rounds.bare_rate = std::max(rounds.bare_rate, n / bare.seconds);
      std::printf("          %5d  %8.1f  %8.1f  %8.2f\n", round, rounds.waybill_us.back(), rounds.bare_us.back(),
                  rounds.waybill_us.back() / rounds.bare_us.back());
      std::fflush(stdout);
    }
    std::printf("         median  %8.1f  %8.1f  %8.2f\n", bench::median(rounds.waybill_us),
                bench::median(rounds.bare_us), ratio(rounds));
    std::printf("          best rate: waybill %.0f objects/s, bare %.0f\n", rounds.waybill_rate, rounds.bare_rate);
    return rounds;
  }

  static double ratio(const Rounds& rounds) { return bench::median(rounds.waybill_us) / bench::median(rounds.bare_us); }

 private:
  Cost run_bare(const Job& job) {
    return run_counted({beside_us("bare_client").string(), job.bare_kind, server_.endpoint(), job.bare_source,
                        "destination", std::to_string(settings_.concurrency), headers_.string()});
  }

  void print_requests(const char* who, const std::map<std::string, uint64_t>& stats) const {
    uint64_t requests = 0;
    std::string text;
    for (const auto& [name, number] : stats) {
      if (name != "connections") requests += number;
      text += " " + name + " " + std::to_string(number);
    }
    std::printf("          %-8s%.4f requests an object:%s\n", who,
                static_cast<double>(requests) / static_cast<double>(settings_.objects), text.c_str());
  }

  const Settings& settings_;
  std::filesystem::path folder_;
  const NullServer& server_;
  std::filesystem::path headers_;
  int ledgers_ = 0;
};

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--objects" && has_value)
      settings.objects = std::stoull(argv[++i]);
    else if (argument == "--memory-objects" && has_value)
      settings.objects_for_memory = std::stoull(argv[++i]);
    else if (argument == "--rounds" && has_value)
      settings.rounds = std::stoi(argv[++i]);
    else if (argument == "--concurrency" && has_value)
      settings.concurrency = std::stoi(argv[++i]);
    else if (argument == "--dir" && has_value)
      settings.folder = argv[++i];
    else
      throw std::runtime_error(
          "usage: cpu_per_object [--objects N] [--memory-objects N] [--rounds N] [--concurrency N] [--dir FOLDER]");
  }
  if (settings.objects == 0 || settings.rounds < 1) throw std::runtime_error("nothing to measure");
  return settings;
}

int run(const Settings& settings) {
  std::printf("cpu_per_object: waybill (SQLite ledger, public API) beside bare libcurl, the same requests, in turns\n");
  bench::print_setup(waybill::version());
  curl_global_init(CURL_GLOBAL_DEFAULT);
  setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
  unsetenv("AWS_SESSION_TOKEN");

  const bench::TemporaryFolder folder(settings.folder);
  const NullServer server(settings.objects);
  Comparison comparison(settings, folder.path(), server);
  const std::filesystem::path files = folder.path() / "files";
  make_files(files, settings.objects);

  const Rounds stores = comparison.run({"S3 to S3", "s3://source/?endpoint=" + server.endpoint(), "s3", "source"});
  const Rounds folders = comparison.run({"folder to S3", files.string(), "files", files.string()});

  bench::Gates gates;
  double resident = 0;
  if (settings.objects_for_memory > 0) {
    const std::filesystem::path many = folder.path() / "many";
    make_files(many, settings.objects_for_memory);
    const Cost cost = comparison.run_waybill(many.string(), 0, settings.objects_for_memory);
    resident = bench::mib(cost.resident_bytes);
    std::printf(
        "\nfolder to S3, %llu objects, default options: %.1f MiB resident at most, %.1f us CPU an object, %.0f "
        "objects/s\n",
        static_cast<unsigned long long>(settings.objects_for_memory), resident,
        cost.cpu_seconds / static_cast<double>(settings.objects_for_memory) * 1e6,
        static_cast<double>(settings.objects_for_memory) / cost.seconds);
  }
  std::printf("\n");
  gates.at_most("S3 to S3, times bare libcurl", Comparison::ratio(stores), most_times_the_floor, "");
  gates.at_most("folder to S3, times bare libcurl", Comparison::ratio(folders), most_times_the_floor, "");
  if (settings.objects_for_memory > 0) gates.at_most("folder to S3, resident", resident, most_resident_mib, "MiB");
  return gates.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    // What run_waybill() starts.
    if (argc == 7 && std::string_view(argv[1]) == "--migrate") {
      return migrate(argv[2], argv[3], argv[4], std::atoi(argv[5]), std::atoll(argv[6]));
    }
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "cpu_per_object: " << error.what() << '\n';
    return 2;
  }
}
