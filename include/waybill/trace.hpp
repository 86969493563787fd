// SPDX-License-Identifier: Apache-2.0
//
// Watching the HTTP requests of the built-in connectors, without what is secret in them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace waybill {

/// One request and its answer. Bodies and headers are not in it.
struct HttpExchange {
  int64_t at_ms = 0;       ///< when it began, UTC
  std::string method;
  std::string url;         ///< values of query parameters are shown only where they are known to be harmless, else "***"
  int status = 0;          ///< 0: there was no answer
  std::string request_id;  ///< the store's; printable
  std::string failure;     ///< why there was no answer, in a few words; else ""
  double seconds = 0;      ///< until the answer was whole
  uint64_t bytes = 0;      ///< of the answer's body
};

/// The exchange in one line: time, method, status, duration, size, URL, request id.
std::string to_line(const HttpExchange& exchange);

/// Calls `watch` after every HTTP request of this process from now on, also those for credentials; an empty function ends
/// it. It is called on the thread that made the request, on several at once: it has to be quick, and must not throw. What
/// began before the change may be told to either function. Costs nothing where nobody watches. Any thread.
void watch_http(std::function<void(const HttpExchange&)> watch);

}  // namespace waybill
