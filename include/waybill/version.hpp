// SPDX-License-Identifier: Apache-2.0
//
// The version of waybill. This file is the only place where it is written; CMake and the Python build read it.
#pragma once

#include <map>
#include <string>

#define WAYBILL_VERSION_MAJOR 0
#define WAYBILL_VERSION_MINOR 1
#define WAYBILL_VERSION_PATCH 0
#define WAYBILL_VERSION "0.1.0"

namespace waybill {

/// The version of the linked library, for example "0.1.0". Static storage. Any thread; never blocks.
const char* version() noexcept;

/// The libraries in use, by name ("libcurl", "OpenSSL", "SQLite"), and their versions. Any thread.
std::map<std::string, std::string> library_versions();

}  // namespace waybill
