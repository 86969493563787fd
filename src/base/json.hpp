// SPDX-License-Identifier: Apache-2.0
//
// JSON for those who write a few fields: the data of events.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace waybill::internal {

/// An object of strings, on one line, in this order. Text that is not UTF-8 gets replacement characters.
std::string json_object(std::span<const std::pair<std::string_view, std::string>> fields);
std::string json_object(std::initializer_list<std::pair<std::string_view, std::string>> fields);

/// `text` on one line, without what a terminal would obey, if it is a JSON object; nothing if it is not.
std::optional<std::string> normal_json_object(std::string_view text);

}  // namespace waybill::internal
