// SPDX-License-Identifier: Apache-2.0
//
// The manifest scheme of the registry: manifest:///path/list.csv?base=URL. Parameters:
//
//   base       the source that content is read from, by keys; without it, links are read by their origin (http, https,
//   s3) format     csv, jsonl or s3-inventory. Default: told by the file's name (.csv, .jsonl, .ndjson, manifest.json;
//   .gz) parts      of an S3 Inventory: the folder of its data files. Default: beside manifest.json, or ../data key,
//   url, size, etag, mtime, partition, version   other names of these columns
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::manifest {

Connector manifest_connector();

}  // namespace waybill::manifest
