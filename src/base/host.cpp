// SPDX-License-Identifier: Apache-2.0

#include "base/host.hpp"

#include <unistd.h>

namespace waybill::internal {

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? std::string(name) : std::string();
}

}  // namespace waybill::internal
