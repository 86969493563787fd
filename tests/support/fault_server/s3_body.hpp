// SPDX-License-Identifier: Apache-2.0
//
// The body of an S3 request as it streams in: aws-chunked framing taken off, digests taken, bytes kept unless the
// bucket is a digest sink; at its end everything that the client said about it is checked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/fault_server/chunk_decoder.hpp"
#include "support/fault_server/digests.hpp"
#include "support/fault_server/s3_request.hpp"
#include "support/fault_server/s3_store.hpp"

namespace waybill::testing::fault {

class S3Body {
 public:
  /// `is_content`: it is an object's or a part's, not a document. `settings` may be null.
  S3Body(const S3Request& request, bool is_content, const BucketSettings* settings);

  void receive(std::string_view data);

  /// Throws S3Error where the body is not what its headers and trailers say. Gives the checksums that came with it.
  std::vector<Checksum> verify();
  /// The bytes; once, after verify().
  ContentPtr take_content();
  const std::string& text() const noexcept { return text_; }
  /// Sixteen bytes; where the bucket's ETags are opaque, a digest of another kind.
  std::string md5();
  Crc64 crc64() const noexcept { return digester_.crc64(); }
  uint64_t size() const noexcept { return digester_.size(); }
  std::string checksum(const std::string& algorithm) { return to_base64(digester_.finish(algorithm)); }

 private:
  void take(std::string_view run);
  std::vector<Checksum> announced() const;
  void check_framing() const;

  const S3Request& request_;
  bool keeps_bytes_;
  bool takes_md5_;
  bool heeds_checksums_;
  std::string refused_;  // the header that the store refuses
  std::optional<ChunkDecoder> chunks_;
  std::vector<std::string> algorithms_;
  Digester digester_;
  std::string text_;
};

}  // namespace waybill::testing::fault
