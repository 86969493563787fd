// SPDX-License-Identifier: Apache-2.0
//
// The manifest.json of an S3 Inventory: which files hold its rows, and what their columns are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace waybill::manifest {

struct InventoryPart {
  std::string path;
  uint64_t size = 0;  ///< bytes of the file
};

struct Inventory {
  std::string bucket;
  std::vector<std::string> columns;  ///< in lower case: "bucket", "key", "versionid", "islatest", …
  std::vector<InventoryPart> parts;
};

/// Reads manifest.json; its data files are looked for in `folder`, or, where that is "", beside it and in ../data.
/// Errors: missing, permission; configuration (no such manifest, another format than CSV, a part that is not there or
/// has another size than the manifest says).
Inventory read_inventory(const std::string& path, const std::string& folder);

/// A key as the rows have it: percent-encoded, with '+' for a space. Nothing if it is not properly so.
std::string decode_inventory_key(const std::string& text, bool& is_sound);

}  // namespace waybill::manifest
