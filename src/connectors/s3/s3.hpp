// SPDX-License-Identifier: Apache-2.0
//
// The S3 connector: s3://bucket/prefix as a Source and a Destination, for AWS and for any store that speaks the same
// protocol. What a URL may say is in config.hpp.
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::s3 {

/// Opens Sources and Destinations for the scheme "s3".
Connector s3_connector();

}  // namespace waybill::s3
