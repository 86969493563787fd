// SPDX-License-Identifier: Apache-2.0
#include "engine/relations.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"

namespace waybill::internal {

std::optional<std::string> relations_of(const Item& item) {
  std::vector<std::pair<std::string_view, std::string>> kept;
  for (const char* const name : {"linked", "links_left_out", "owner_id", "parent_id"}) {
    if (const auto found = item.names.find(name); found != item.names.end()) kept.emplace_back(name, found->second);
  }
  return kept.empty() ? std::nullopt : std::optional(json_object(kept));
}

}  // namespace waybill::internal
