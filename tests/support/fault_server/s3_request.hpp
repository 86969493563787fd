// SPDX-License-Identifier: Apache-2.0
//
// A request as S3 reads it: bucket and key, byte for byte, the parameters, and which operation it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/fault_server/http.hpp"
#include "support/fault_server/s3_settings.hpp"

namespace waybill::testing::fault {

/// Thrown by operations; becomes the answer.
struct S3Error {
  int status;
  std::string code;
  std::string message;
  std::vector<std::pair<std::string, std::string>> elements;  ///< of the XML body, beside code and message
  Headers headers;
};

struct S3Request {
  const Request* http = nullptr;
  std::string bucket;
  std::string key;
  std::string op;  ///< "PutObject", …; "Unsupported" for what S3 knows and this server does not
  std::vector<std::pair<std::string, std::string>> parameters;

  S3Request(const Request& request, const ServerSettings& settings);

  bool has(std::string_view name) const noexcept;
  /// "" where it is not there.
  std::string_view parameter(std::string_view name) const noexcept;
  std::string_view header(std::string_view name) const noexcept { return http->header(name); }
  /// Throws S3Error where it is no number.
  uint64_t number(std::string_view name, uint64_t otherwise) const;
};

/// The range of "bytes=…" in an object of that size. Nothing where the header is none that S3 heeds; throws S3Error
/// (InvalidRange) where no byte of it is there.
std::optional<std::pair<uint64_t, uint64_t>> parse_range(std::string_view text, uint64_t size);

/// "/bucket/key?versionId=…" of x-amz-copy-source.
struct CopySource {
  std::string bucket;
  std::string key;
  std::string version_id;
};
CopySource parse_copy_source(std::string_view text);

}  // namespace waybill::testing::fault
