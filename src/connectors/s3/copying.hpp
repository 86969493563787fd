// SPDX-License-Identifier: Apache-2.0
//
// Copies inside the store: CopyObject for objects up to 1 GiB, UploadPartCopy for the parts of larger ones. What is
// copied is the revision that was listed (x-amz-copy-source-if-match); metadata, content headers and tags go with it.
//
// CopyObject gives an object the bucket's default class, so that the source's has to be named, and so has the place that
// a website redirects to (website.hpp). MinIO's loses Expires, and others may lose whatever they do not know of: the
// first copy is compared with its source, and where something lacks, or the store is known for it, the source's
// attributes are read before each copy and sent with it.
//
// A refusal is no end: what a store cannot or may not copy is streamed, and there the reason shows. A store that refuses
// every copy is not asked for long.
#pragma once

#include <optional>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/destination.hpp"

namespace waybill::s3 {

/// S3 itself takes 5 GiB in one request; less keeps a request, and what is lost when one fails, short.
inline constexpr uint64_t max_copy_bytes = uint64_t{1} << 30;
/// Of a part that is copied: a request for each 16 MiB would be many without use.
inline constexpr uint64_t copy_part_bytes = uint64_t{64} << 20;

/// Whether the store is still asked for copies.
bool may_copy(const Client& client) noexcept;

/// As Destination::copy, to the full key `key`.
std::optional<Stored> copy_object(Client& client, const std::string& key, const Locator& from,
                                  const Condition& condition, Context& context);

/// As PartUpload::copy, into the upload that `query` names (partNumber and uploadId).
std::optional<PartInfo> copy_range(Client& client, const std::string& key, std::string query, const Locator& from,
                                   uint64_t offset, uint64_t length, Context& context);

}  // namespace waybill::s3
