// SPDX-License-Identifier: Apache-2.0
//
// What the programs of bench/ have in common: where they run, what the kernel says of a process, order statistics, and
// gates. Knows nothing of waybill.
#pragma once

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A "name: value" line of a file of /proc; the value without its leading space.
inline std::string proc_line(const char* file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

/// VmRSS, VmHWM, … of this process, in bytes.
inline uint64_t own_memory(std::string_view name) {
  return std::strtoull(proc_line("/proc/self/status", name).c_str(), nullptr, 10) * 1024;
}

inline double cpu_seconds(const rusage& usage) {
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

inline double own_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return cpu_seconds(usage);
}

/// Nearest rank; `share` in (0, 1]. 0 of nothing.
inline double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(share * static_cast<double>(values.size()) + 0.999999);
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

inline double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

/// The lines that every result needs beside it.
inline void print_setup(const std::string& version) {
  utsname system{};
  uname(&system);
  char date[32] = "";
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
  double load = 0;
  if (getloadavg(&load, 1) != 1) load = 0;
  std::printf("on:       %s, %ld cores, %.1f GiB, Linux %s\n", proc_line("/proc/cpuinfo", "model name").c_str(),
              sysconf(_SC_NPROCESSORS_ONLN),
              static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1u << 30),
              system.release);
  std::printf("with:     waybill %s, %s, GCC %s, %s\n", version.c_str(), WAYBILL_BENCH_BUILD_TYPE, __VERSION__,
              WAYBILL_BENCH_LIBRARIES);
  std::printf("when:     %s, load average %.1f at the start\n", date, load);
}

/// Bounds that decide the exit code.
class Gates {
 public:
  void at_most(const char* what, double value, double bound, const char* unit) {
    const bool holds = value <= bound;
    std::printf("gate:     %-34s %10.2f %-6s <= %8.2f  %s\n", what, value, unit, bound, holds ? "ok" : "FAILED");
    all_hold_ = all_hold_ && holds;
  }
  void at_least(const char* what, double value, double bound, const char* unit) {
    const bool holds = value >= bound;
    std::printf("gate:     %-34s %10.2f %-6s >= %8.2f  %s\n", what, value, unit, bound, holds ? "ok" : "FAILED");
    all_hold_ = all_hold_ && holds;
  }
  int exit_code() const { return all_hold_ ? 0 : 1; }

 private:
  bool all_hold_ = true;
};

/// A new folder in `parent`, removed with all that is in it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent) {
    std::string pattern = (parent / "waybill-bench-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder can be made in " + parent.string());
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace bench
