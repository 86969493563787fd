// SPDX-License-Identifier: Apache-2.0
//
// See base/diagnosis.hpp.
#include "base/diagnosis.hpp"

#include <utility>

#include "waybill/item.hpp"

namespace waybill {
namespace {

const char* fix_of(ErrorClass error_class) noexcept {
  switch (error_class) {
    case ErrorClass::auth:
      return "renew the credentials, or name others: profile=NAME in the URL, or the environment";
    case ErrorClass::permission:
      return "grant the right that is named, or name other credentials";
    case ErrorClass::missing:
      return "correct the URL, or make what it names";
    case ErrorClass::network:
    case ErrorClass::timeout:
      return "check the endpoint in the URL, the name server, proxies and firewalls between here and there";
    case ErrorClass::configuration:
      return "correct the URL";
    case ErrorClass::archived:
      return "restore it from the archive first";
    default:
      return "try again later; if it stays, ask whoever runs the store";
  }
}

}  // namespace

const char* to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "fail";
  }
  return "fail";
}

namespace internal {

Diagnosis failed(std::string subject, const Error& error) {
  if (error.error_class() == ErrorClass::cancelled) throw error;
  return {Verdict::fail, std::move(subject), printable(error.message()), fix_of(error.error_class())};
}

FirstFailure first_failure(const char* right, const Error& error) {
  switch (error.error_class()) {
    case ErrorClass::auth:
      return {true, failed("credentials", error)};
    case ErrorClass::permission:
      return {true, failed(right, error)};
    default:
      return {false, failed("reachable", error)};
  }
}

}  // namespace internal
}  // namespace waybill
