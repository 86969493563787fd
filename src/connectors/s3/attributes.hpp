// SPDX-License-Identifier: Apache-2.0
//
// Attributes in the headers of S3.
//
// User metadata: names in lower case. A value that is printable ASCII travels as it is; one with other characters (it
// must be UTF-8), with a space at an end, or that looks like an encoded word, travels as one encoded word of RFC 2047,
// "=?UTF-8?B?…?=", which is also how S3 itself gives such values back; reading undoes it. Control characters cannot
// travel in a header and are refused, as are non-ASCII characters in the other headers: nothing is dropped.
//
// Two names hold file attributes, in the form that rclone writes: "mtime" is decimal seconds since 1970 with up to nine
// fractional digits, "mode" is octal (100644, or 0644). Values that are neither stay user metadata. A third,
// "waybill-crc64nvme", is ours: 16 hexadecimal digits of the content's CRC, written in the same request as the content.
// It belongs to an object, not to what travels: it is never part of Attributes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_client.hpp"
#include "waybill/item.hpp"

namespace waybill::s3 {

/// Tags are not in headers: see tags.hpp. A Content-Encoding "aws-chunked", which some stores keep though it was that of
/// a request, is left out.
Attributes read_attributes(const internal::HttpResponse& response);

/// The CRC in our metadata of an object; nothing where there is none or where it is not one.
std::optional<Crc64> stored_crc64(const internal::HttpResponse& response);

/// Appends the headers of `attributes`, and of `crc64nvme` where it is known; storage class and tags excepted, which a
/// store may refuse and a user forgo (writing.hpp). `is_folder` decides which kind of file "mode" names. Errors:
/// unsupported (a name or value that no header can hold; named).
void write_attributes(const Attributes& attributes, const std::optional<Crc64>& crc64nvme, bool is_folder,
                      std::vector<internal::HttpHeader>& headers);

/// Tags as x-amz-tagging takes them.
std::string encode_tags(const std::map<std::string, std::string>& tags);

/// Both directions of user metadata, and of the reading of "mode"; for tests.
std::string encode_metadata_value(std::string_view name, std::string_view value);
std::string decode_metadata_value(std::string_view value);
std::optional<uint32_t> parse_mode(std::string_view text) noexcept;

}  // namespace waybill::s3
