// SPDX-License-Identifier: Apache-2.0
//
// The fault server as a program, for tests in Python and for benches. Prints {"port": …} on a line and serves until its
// standard input ends.
//
// Usage: fault_server [PORT]
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

#include "base/text.hpp"
#include "support/fault_server/fault_server.hpp"

int main(int argc, char** argv) {
  try {
    const auto port = waybill::internal::parse_uint(argc > 1 ? argv[1] : "0");
    if (!port || *port > 65535 || argc > 2) {
      std::fprintf(stderr, "usage: fault_server [PORT]\n");
      return 2;
    }
    const waybill::testing::FaultServer server(static_cast<uint16_t>(*port));
    std::printf("{\"port\": %d}\n", server.port());
    std::fflush(stdout);
    char ignored[64];
    while (::read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fault_server: %s\n", error.what());
    return 1;
  }
}
