// SPDX-License-Identifier: Apache-2.0
//
// What of a key may be shown.
#pragma once

#include <string>
#include <string_view>

namespace waybill {

/// A key as logs, errors and reports show it: printable(); of a key that is a URL without user information and fragment, and
/// without what may be a secret in its query (a token, a signature), which is `***`. Two keys may look the same.
std::string shown_key(std::string_view key);

}  // namespace waybill
