// SPDX-License-Identifier: Apache-2.0
//
// See waybill/trace.hpp.
#include "net/trace.hpp"

#include <atomic>
#include <cstdio>
#include <mutex>
#include <utility>

#include "base/text.hpp"
#include "base/uri.hpp"

namespace waybill {
namespace internal {
namespace {

struct Watcher {
  std::atomic<bool> is_there = false;
  std::mutex mutex;
  std::shared_ptr<const HttpWatch> watch;  // guarded by mutex
};

Watcher& watcher() {
  static Watcher instance;
  return instance;
}

}  // namespace

std::shared_ptr<const HttpWatch> http_watch() noexcept {
  Watcher& present = watcher();
  if (!present.is_there.load(std::memory_order_acquire)) return nullptr;
  const std::lock_guard lock(present.mutex);
  return present.watch;
}

std::string traced_url(std::string_view url) {
  std::string shown = redact_url(url);
  // Of a container: whoever knows the path is given the credentials.
  constexpr std::string_view marker = "/credentials/";
  const size_t at = shown.find(marker);
  if (at != std::string::npos) shown.replace(at + marker.size(), std::string::npos, "***");
  return shown;
}

}  // namespace internal

std::string to_line(const HttpExchange& exchange) {
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, " %d %.1f ms %llu B ", exchange.status, exchange.seconds * 1000,
                static_cast<unsigned long long>(exchange.bytes));
  std::string line = internal::format_rfc3339(exchange.at_ms) + " " + exchange.method + numbers + exchange.url;
  if (!exchange.request_id.empty()) line += " request-id=" + exchange.request_id;
  if (!exchange.failure.empty()) line += " failed: " + exchange.failure;
  return line;
}

void watch_http(std::function<void(const HttpExchange&)> watch) {
  internal::Watcher& present = internal::watcher();
  const bool is_there = static_cast<bool>(watch);
  auto made = is_there ? std::make_shared<const internal::HttpWatch>(std::move(watch)) : nullptr;
  const std::lock_guard lock(present.mutex);
  present.watch = std::move(made);
  present.is_there.store(is_there, std::memory_order_release);
}

}  // namespace waybill
