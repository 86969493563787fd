// SPDX-License-Identifier: Apache-2.0
//
// Who may ask, and whether here: what S3 checks before it looks at an operation. Signatures are computed again from
// what came over the wire, by code that shares nothing with the library's signer.
#pragma once

#include "support/fault_server/s3_request.hpp"
#include "support/fault_server/s3_store.hpp"

namespace waybill::testing::fault {

/// Throws S3Error: the clock (RequestTimeTooSkewed, RequestExpired), the signature (InvalidAccessKeyId,
/// SignatureDoesNotMatch, ExpiredToken, …), the region, the bucket (NoSuchBucket), what is denied there.
void check_access(S3Store& store, const S3Request& request);

}  // namespace waybill::testing::fault
