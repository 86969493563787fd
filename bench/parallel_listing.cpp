// SPDX-License-Identifier: Apache-2.0
//
// Listing of a flat bucket of a million keys, 1,000 to a page, from a store that is 20 ms away: by one lister, and by
// waybill as it plans a migration from there (which lists both sides, decides about each item and moves none). The
// store is the fault server of the tests, a process of its own, which makes its keys up and counts its requests.
//
// Serial and parallel take turns, shape by shape: names in hexadecimal, numbers behind a long prefix, and one day that
// holds 95 % of all keys. The serial side only reads pages, as fast as a client can: it neither decides nor counts.
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <iostream>
#include <memory>

#include "measure.hpp"
#include "waybill/waybill.hpp"

namespace {

constexpr double page_keys = 1000;
constexpr double most_times_the_requests = 1.2;

struct Shape {
  const char* name;
  const char* prefix;
  double least_times_as_fast;
};

constexpr Shape shapes[] = {
    {"hex", "", 5},
    {"padded", "backups/production/eu-central/customer-records/2026/segment-", 3},
    {"skewed", "logs/", 3},
};

struct Settings {
  uint64_t keys = 1'000'000;
  int latency_ms = 20;
  int rounds = 1;
  std::string only;
};

/// The fault server in a process that ends with us.
class Store {
 public:
  Store() {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    process_ = fork();
    if (process_ < 0) throw std::runtime_error("fork failed");
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      execl(WAYBILL_BENCH_FAULT_SERVER, WAYBILL_BENCH_FAULT_SERVER, static_cast<char*>(nullptr));
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    lifeline_ = to[1];
    char line[64] = "";
    const ssize_t got = read(from[0], line, sizeof line - 1);
    close(from[0]);
    const char* port = got > 0 ? std::strchr(line, ':') : nullptr;
    if (port == nullptr) throw std::runtime_error("the fault server did not start");
    endpoint_ = "http://127.0.0.1:" + std::to_string(std::atoi(port + 1));
  }
  ~Store() {
    close(lifeline_);
    waitpid(process_, nullptr, 0);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  std::string url(const std::string& bucket) const { return "s3://" + bucket + "/?endpoint=" + endpoint_; }

  std::string control(const std::string& name, const std::string& json) const {
    std::string answer;
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
    const auto append = +[](char* data, size_t, size_t size, void* to) {
      static_cast<std::string*>(to)->append(data, size);
      return size;
    };
    curl_easy_setopt(easy.get(), CURLOPT_URL, (endpoint_ + "/_control/" + name).c_str());
    curl_easy_setopt(easy.get(), CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, json.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer);
    long status = 0;
    if (curl_easy_perform(easy.get()) != CURLE_OK) throw std::runtime_error("the fault server does not answer");
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) throw std::runtime_error(name + ": " + answer);
    return answer;
  }

  /// Listings of the source's bucket since the log was cleared.
  uint64_t listings() const {
    const std::string counts = control("counts", "{}");
    const size_t op = counts.find("\"ListObjectsV2\"");
    const size_t at = op == std::string::npos ? op : counts.find("\"requests\":", op);
    return at == std::string::npos ? 0 : std::strtoull(counts.c_str() + at + std::strlen("\"requests\":"), nullptr, 10);
  }

 private:
  pid_t process_ = -1;
  int lifeline_ = -1;
  std::string endpoint_;
};

struct Measured {
  double seconds = 0;
  double cpu_seconds = 0;
  uint64_t requests = 0;
};

template <typename Work>
Measured measure(const Store& store, uint64_t keys, const Work& work) {
  store.control("clear_log", "{}");
  const double cpu = bench::own_cpu_seconds();
  const auto start = bench::Clock::now();
  const uint64_t listed = work();
  Measured result;
  result.seconds = bench::seconds_since(start);
  result.cpu_seconds = bench::own_cpu_seconds() - cpu;
  result.requests = store.listings();
  if (listed != keys)
    throw std::runtime_error(std::to_string(listed) + " keys were listed, not " + std::to_string(keys));
  return result;
}

uint64_t list_serially(const std::string& url) {
  const auto source = waybill::open_source(url);
  const auto lister = source->list({}, waybill::Context::background());
  uint64_t keys = 0;
  for (bool is_last = false; !is_last;) {
    const waybill::Page page = lister->next(waybill::Context::background());
    keys += page.items.size();
    is_last = page.is_last;
  }
  return keys;
}

// The destination is empty, and in memory: every request is one to the source, of which one is the plan's check.
uint64_t plan(const std::string& url) {
  waybill::Migration migration(waybill::open_source(url), waybill::open_destination("memory://nothing"),
                               waybill::open_tracker("memory:"));
  return migration.plan().to_create;
}

void print(const char* what, const Measured& run, uint64_t keys) {
  std::printf("  %-9s %7.2f s, %5llu requests, %.2f us CPU a key\n", what, run.seconds,
              static_cast<unsigned long long>(run.requests), run.cpu_seconds / static_cast<double>(keys) * 1e6);
}

void compare(const Store& store, const Shape& shape, const Settings& settings, bench::Gates& gates) {
  store.control("reset", "{}");
  store.control("bucket", R"({"name": "many"})");
  store.control("generate", R"({"bucket": "many", "keys": {"shape": ")" + std::string(shape.name) +
                                R"(", "prefix": ")" + shape.prefix + R"(", "count": )" + std::to_string(settings.keys) +
                                "}}");
  store.control("configure_log", R"({"limit": 0})");
  store.control("latency", R"({"ms": )" + std::to_string(settings.latency_ms) + "}");
  std::printf("%s: %llu keys\n", shape.name, static_cast<unsigned long long>(settings.keys));
  const std::string url = store.url("many");
  std::vector<double> times_as_fast;
  std::vector<double> times_the_requests;
  for (int round = 0; round < settings.rounds; ++round) {
    const Measured serial = measure(store, settings.keys, [&] { return list_serially(url); });
    print("serial", serial, settings.keys);
    const Measured parallel = measure(store, settings.keys, [&] { return plan(url); });
    print("parallel", parallel, settings.keys);
    times_as_fast.push_back(serial.seconds / parallel.seconds);
    times_the_requests.push_back(static_cast<double>(parallel.requests) / static_cast<double>(serial.requests));
  }
  gates.at_least("times as fast", bench::median(times_as_fast), shape.least_times_as_fast, "");
  gates.at_most("times the requests", bench::median(times_the_requests), most_times_the_requests, "");
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const char* value = i + 1 < argc ? argv[++i] : "";
    if (option == "--keys")
      settings.keys = std::strtoull(value, nullptr, 10);
    else if (option == "--latency-ms")
      settings.latency_ms = std::atoi(value);
    else if (option == "--rounds")
      settings.rounds = std::atoi(value);
    else if (option == "--shape")
      settings.only = value;
    else
      throw std::runtime_error("usage: parallel_listing [--keys N] [--latency-ms N] [--rounds N] [--shape NAME]");
  }
  if (static_cast<double>(settings.keys) < page_keys || settings.latency_ms < 0 || settings.rounds < 1) {
    throw std::runtime_error("a thousand keys and one round at least");
  }
  return settings;
}

int run(const Settings& settings) {
  std::printf("parallel_listing: S3, %d ms a request, 1,000 keys a page\n", settings.latency_ms);
  bench::print_setup(waybill::version());
  setenv("AWS_ACCESS_KEY_ID", "bench", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "bench", 1);
  const Store store;
  bench::Gates gates;
  for (const Shape& shape : shapes) {
    if (settings.only.empty() || settings.only == shape.name) compare(store, shape, settings, gates);
  }
  std::printf("resident: %.1f MiB at most (VmHWM)\n", bench::mib(bench::own_memory("VmHWM")));
  return gates.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "parallel_listing: " << error.what() << '\n';
    return 2;
  }
}
