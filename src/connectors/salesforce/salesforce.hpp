// SPDX-License-Identifier: Apache-2.0
//
// Salesforce: records whose field holds a URL as a Catalog, and the files that it holds itself as a Source.
//
//   config            what a URL says                    session, jwt    logging in, once for all threads
//   client, errors    calls and what their errors mean   budget          how many of the day's, and how many at once
//   describe, soql    objects and fields, texts          organization_probe   for doctor
//
//   salesforce_catalog ─► record_reader: rest_reader, bulk_reader; read_records chooses, record_place is where it stopped
//                      ─► record_writer: collection_writer (safe, fast), bulk_writer (frozen)
//   files_source ─► files_object (what a file is), files_stream (its bytes)
//
// Jobs of the Bulk API are bulk_job, their results csv, the next page of them call_ahead.
#pragma once

#include "waybill/connectors.hpp"

namespace waybill::salesforce {

/// salesforce://acme.my.salesforce.com/Object.Field is a Catalog, /ContentVersion, /Attachment and /Document are Sources; see
/// config.hpp.
Connector salesforce_connector();

}  // namespace waybill::salesforce
