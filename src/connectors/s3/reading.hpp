// SPDX-License-Identifier: Apache-2.0
//
// GET and HEAD of objects, for both ends.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "connectors/s3/client.hpp"
#include "waybill/item.hpp"
#include "waybill/source.hpp"

namespace waybill::s3 {

/// What is read.
struct ObjectToRead {
  std::string key;            ///< in full
  std::string version = {};   ///< "" is the latest
  SourceStamp stamp = {};     ///< an ETag in it is required of the store (If-Match) and of its answer
  bool with_tags = false;     ///< the attributes at offset 0 have the object's tags (tags.hpp), unless no bytes are asked for
};

/// As Source::read. A read of the whole object at its known size is a plain GET, and compared with the checksum that the
/// store has of it; everything else is ranged. A version that is named has the time at which it was written as its
/// modification time, where none was stored with it. Errors further: checksum; unsupported (metadata that no header can
/// hold).
ReadResult read_object(Client& client, const ObjectToRead& object, uint64_t offset, std::span<std::byte> out, Context& context);

/// What a HEAD says of an object.
struct ObjectHead {
  uint64_t size = 0;
  std::string etag;
  std::string version;
  Attributes attributes;
  std::optional<Crc64> crc64nvme;  ///< of the whole content: the store's own, or else the one written with it
};

/// Nothing if there is no such object, or no such version of it. A missing bucket looks the same: a HEAD has no body to
/// tell. `version` "" is the latest.
std::optional<ObjectHead> head_object(Client& client, const std::string& key, Context& context,
                                      const std::string& version = {});

}  // namespace waybill::s3
