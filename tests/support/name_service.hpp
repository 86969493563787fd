// SPDX-License-Identifier: Apache-2.0
//
// Names that tests make up. The executables of the tests have a getaddrinfo of their own, which libcurl uses: names
// below ".waybill.invalid" are asked of the test, all others of the system.
#pragma once

#include <functional>
#include <string>

namespace waybill::testing {

/// Answers look-ups as long as it lives; one at a time. `find(name)` gives IP addresses, with commas between, or "" for a name that the
/// name server cannot tell now (EAI_AGAIN); it may block, and is called on threads of libcurl.
///
/// The destructor waits for the look-ups under way: what blocks them has to be over by then.
class NameService {
 public:
  explicit NameService(std::function<std::string(const std::string& name)> find);
  ~NameService();
  NameService(const NameService&) = delete;
  NameService& operator=(const NameService&) = delete;
};

}  // namespace waybill::testing
