// SPDX-License-Identifier: Apache-2.0
//
// A file that lists items, as a Source. Rows name a key of a base store, or a link.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "waybill/source.hpp"

namespace waybill::manifest {

enum class Format : int { csv = 0, jsonl = 1, s3_inventory = 2 };

struct Config {
  std::string path;
  Format format = Format::csv;
  std::string parts;                           ///< folder; "" is found out
  std::map<std::string, std::string> columns;  ///< what is "key", "url", "size", … in the file
  std::shared_ptr<Source> base;                ///< or null: links
};

std::shared_ptr<Source> make_manifest_source(Config config);

}  // namespace waybill::manifest
