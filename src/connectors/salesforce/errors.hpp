// SPDX-License-Identifier: Apache-2.0
//
// What the errors of Salesforce mean: those of a call, and those of one record in it.
#pragma once

#include <string>

#include "connectors/salesforce/config.hpp"
#include "net/http_client.hpp"
#include "waybill/catalog.hpp"
#include "waybill/error.hpp"

namespace waybill::salesforce {

/// Of an answer that is no 2xx; provider_code() is its errorCode. `subject` says what was asked for.
Error error_of(const std::string& subject, const Organization& organization, const internal::HttpResponse& response);

/// Whether a new session may help: not where the session is refused for what it is, or every new one would be as well.
bool ends_by_login(const Error& error);
/// REQUEST_LIMIT_EXCEEDED has two meanings: the calls of a day, and those under way.
bool is_day_used_up(const Error& error);
bool is_too_many_at_once(const Error& error);

/// What an errorCode, a message and the names of fields of one record mean. `value` is what was to be written: it may hold a
/// secret, and so nothing is shown from where the message repeats it.
UpdateResult failed_record(const std::string& code, std::string message, const std::string& fields, const std::string& value);

}  // namespace waybill::salesforce
