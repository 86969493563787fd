// SPDX-License-Identifier: Apache-2.0
//
// Fields of answers in JSON, whose types nobody vouches for: one of another type, or of what is no object, is not there.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/text.hpp"

namespace waybill::salesforce {

/// Null where there is none. *Lifetime:* of `object`.
inline const nlohmann::json* field_of(const nlohmann::json& object, const std::string& name) {
  if (!object.is_object()) return nullptr;
  if (const auto found = object.find(name); found != object.end()) return &*found;
  // Fields are spelled as the organization does, and not as they were asked for.
  for (const auto& [spelled, value] : object.items()) {
    if (internal::equals_ignoring_case(spelled, name)) return &value;
  }
  return nullptr;
}

inline std::string text_of(const nlohmann::json& object, const std::string& name) {
  const nlohmann::json* const field = field_of(object, name);
  return field != nullptr && field->is_string() ? field->get<std::string>() : std::string();
}

inline bool flag_of(const nlohmann::json& object, const std::string& name, bool otherwise = false) {
  const nlohmann::json* const field = field_of(object, name);
  return field != nullptr && field->is_boolean() ? field->get<bool>() : otherwise;
}

inline uint64_t number_of(const nlohmann::json& object, const std::string& name) {
  const nlohmann::json* const field = field_of(object, name);
  return field != nullptr && field->is_number_unsigned() ? field->get<uint64_t>() : 0;
}

/// A record's value as text: numbers and flags as JSON writes them. Nothing for null. A NUL, which texts of old records hold
/// now and then, is no character of a text.
inline std::optional<std::string> value_of(const nlohmann::json* field) {
  if (field == nullptr || field->is_null()) return std::nullopt;
  std::string text = field->is_string() ? field->get<std::string>() : field->dump();
  std::erase(text, '\0');
  return text;
}

}  // namespace waybill::salesforce
