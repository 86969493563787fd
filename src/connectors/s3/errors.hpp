// SPDX-License-Identifier: Apache-2.0
//
// The one table that says what an answer of S3 means: from its code or, where there is none (HEAD, proxies), from the
// HTTP status, to ErrorCode, ErrorClass, whether trying again helps, and what the user can do.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "connectors/s3/xml.hpp"
#include "waybill/error.hpp"

namespace waybill::s3 {

/// What is known of an answer that is no success.
struct Refusal {
  int status = 0;  ///< 200 for an error that came inside a success
  ServiceError service;
  std::optional<std::chrono::milliseconds> retry_after;
  std::string_view right = {};  ///< what the request needs, from right_for(); "" if that is not known
  bool is_anonymous = false;
};

/// The IAM action that allows a request ("s3:GetObject"). Static storage.
std::string_view right_for(std::string_view method, bool is_object, std::string_view query);

/// `what` names the thing, for example "s3://bucket/key"; `operation` what was asked, for example "PUT". The message is
/// "what: operation answered 403 AccessDenied: text of the store; hint", on one line. For class permission the hint
/// names the right that is missing.
Error to_error(std::string_view what, std::string_view operation, const Refusal& refusal);

}  // namespace waybill::s3
