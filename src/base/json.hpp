// SPDX-License-Identifier: Apache-2.0
//
// JSON for those who write a few fields: the data of events.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace waybill::internal {

/// An object of strings, on one line, in this order. Text that is not UTF-8 gets replacement characters.
std::string json_object(std::initializer_list<std::pair<std::string_view, std::string>> fields);

}  // namespace waybill::internal
