// SPDX-License-Identifier: Apache-2.0
//
// The file of a ledger before SQLite touches it: that it is there or is made (0600, never through a symbolic link),
// that nobody else could write it, and that it is not on a network filesystem, whose locks and shared memory SQLite's
// WAL cannot rely on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "waybill/connectors.hpp"

namespace waybill::internal {

/// The path in the name of a ledger, a path or sqlite:///path. Errors: configuration (any other URL, memory:).
std::string ledger_path(std::string_view ledger);

/// Checks the file at `path`, and makes an empty one where `mode` is create and there is none.
/// Errors: missing, permission, tracker; each names the path and the remedy.
void prepare_ledger_file(const std::string& path, OpenMode mode);

/// The name of the network filesystem that statfs's f_type stands for; nullptr for any other.
const char* network_filesystem(int64_t type) noexcept;

}  // namespace waybill::internal
