// SPDX-License-Identifier: Apache-2.0
//
// One thing that was looked at before anything is moved, and what to do about it.
#pragma once

#include <string>

namespace waybill {

enum class Verdict : int { ok = 0, warn = 1, fail = 2 };

/// "ok", "warn", "fail". Static storage.
const char* to_string(Verdict verdict) noexcept;

/// One thing that was looked at.
struct Diagnosis {
  Verdict verdict = Verdict::ok;
  std::string subject;  ///< "reachable", "credentials", "list", "read", "write", "delete", "parts", "clock", "update", "window"
  std::string text;     ///< one line: what was found; printable, without secrets
  std::string fix;      ///< one line: what to do; "" where there is nothing to do
};

}  // namespace waybill
