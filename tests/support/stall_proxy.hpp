// SPDX-License-Identifier: Apache-2.0
//
// A TCP proxy on loopback that can freeze: while frozen it still accepts connections but moves no byte in either
// direction, as a network does that swallows packets. Thawed, everything goes on where it was. Connections that the
// proxy holds can also be reset.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace waybill::testing {

/// *Thread safety:* every method from any thread. *Threads:* one of its own, joined by the destructor.
class StallProxy {
 public:
  /// Listens on a free port of 127.0.0.1 and forwards to `host` (a dotted address), `port`.
  StallProxy(const std::string& host, uint16_t port);
  ~StallProxy();
  StallProxy(const StallProxy&) = delete;
  StallProxy& operator=(const StallProxy&) = delete;

  uint16_t port() const noexcept;
  /// On return no byte moves any more.
  void freeze();
  void thaw();
  /// Resets (RST) every connection that is open now.
  void reset_connections();
  /// Connections accepted so far.
  uint64_t accepted() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace waybill::testing
