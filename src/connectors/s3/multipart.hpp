// SPDX-License-Identifier: Apache-2.0
//
// Multipart uploads. Where the store takes it, an upload is begun with a CRC-64/NVME of the whole object: the store
// then composes it from the parts' and it is compared at the end.
#pragma once

#include <memory>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/destination.hpp"

namespace waybill::s3 {

/// Begins an upload of the object with the full key `key`, or goes on with plan.upload_id.
/// Errors: as Destination::begin_parts.
std::unique_ptr<PartUpload> open_upload(std::shared_ptr<Client> client, std::string key, const PartPlan& plan,
                                        const WriteOptions& options, Context& context);

/// Aborts what is open at the keys of `known` that have no id and is not known by its id: uploads that a process of ours
/// began and died before it learnt their names.
void sweep_uploads(const std::shared_ptr<Client>& client, std::span<const OpenUpload> known, Context& context);

/// The ETag that S3 gives to an object made of these parts: the MD5 of the parts' MD5s, and their number. "" where the
/// ETag of a part is no MD5.
std::string composed_etag(std::span<const PartInfo> parts);

/// The CRC of the whole object; nothing where a part has none.
std::optional<Crc64> composed_crc64(std::span<const PartInfo> parts);

}  // namespace waybill::s3
