// SPDX-License-Identifier: Apache-2.0
//
// The one percent encoder, and what may be shown of a URL. Keys are bytes: whatever is signed, sent, or written into a
// listing request goes through here once, so that the three can never differ. uri.cpp also holds the members of
// waybill::Url (waybill/connectors.hpp).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace waybill::internal {

/// Keeps RFC 3986 unreserved characters and '/', writes every other byte as %XX with upper-case digits.
std::string encode_path(std::string_view key);
/// As encode_path, appended to `out`.
void encode_path_append(std::string_view key, std::string& out);
/// Keeps RFC 3986 unreserved characters only: '/' becomes %2F and a space %20.
std::string encode_query(std::string_view value);
void encode_query_append(std::string_view value, std::string& out);

/// Undoes both: %XX becomes its byte, everything else stays ('+' is a plus). Nothing if a '%' is not followed by two
/// hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text);

/// An HTTP URL as it may be logged: userinfo and fragment removed, query values shown only for names that are known to
/// be harmless or that refer to a secret, others as "***"; control characters escaped. Repeating it changes nothing. Text that is no URL comes
/// back without anything after a '?'.
std::string redact_url(std::string_view url);

/// The same of the URL of a store or catalog, which has to open it again: the names of tables and columns are shown, that of a
/// database's user without the password, the files that the secrets of Salesforce are in, and the URLs of stores within it, themselves redacted.
std::string redact_store_url(std::string_view url);

/// Whether `value` says where a secret is, and is none: "env:NAME".
bool is_reference(std::string_view value) noexcept;

/// Whether the value of the query parameter `name` may be shown: an allow-list.
bool is_harmless_parameter(std::string_view name) noexcept;

}  // namespace waybill::internal
