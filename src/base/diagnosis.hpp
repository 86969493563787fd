// SPDX-License-Identifier: Apache-2.0
//
// What an error says to one who looks before anything is moved.
#pragma once

#include <string>

#include "waybill/diagnosis.hpp"
#include "waybill/error.hpp"

namespace waybill::internal {

/// The failure of what was looked at, with what is to be done about errors of its class. Throws an error that is cancelled.
Diagnosis failed(std::string subject, const Error& error);

/// As failed(), of the first request to something: by what the error means, that it is not "reachable", or its "credentials", or
/// what they lack, `right`. `is_reachable` says whether it answered at all.
struct FirstFailure {
  bool is_reachable = false;
  Diagnosis diagnosis;
};
FirstFailure first_failure(const char* right, const Error& error);

}  // namespace waybill::internal
