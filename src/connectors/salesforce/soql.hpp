// SPDX-License-Identifier: Apache-2.0
//
// Texts of SOQL and ids of records.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace waybill::salesforce {

/// 'text' with what would end or change it escaped.
std::string soql_text(std::string_view text);

/// An id of 18 characters: one of 15 gets its suffix, which keeps apart what differs by case alone. Nothing where it is no
/// id. https://help.salesforce.com/s/articleView?id=000385585 tells how the suffix is made.
std::optional<std::string> long_id(std::string_view id);

/// Whether `name` can be a field or a path of fields: "Name", "Account__r.Owner.Name".
bool is_field_path(std::string_view name) noexcept;

}  // namespace waybill::salesforce
