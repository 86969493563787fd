// SPDX-License-Identifier: Apache-2.0
//
// What a server of the tests needs to speak https.
#pragma once

#include <filesystem>

namespace waybill::testing {

enum class KeyKind { ec, rsa };

/// Writes a key and a certificate for 127.0.0.1, signed by itself, as PEM.
void write_certificate(const std::filesystem::path& key_file, const std::filesystem::path& certificate_file,
                       KeyKind kind = KeyKind::ec);

}  // namespace waybill::testing
