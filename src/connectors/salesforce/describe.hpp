// SPDX-License-Identifier: Apache-2.0
//
// What an object and its fields are, as the organization describes them to this user.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/salesforce/client.hpp"

namespace waybill::salesforce {

struct Field {
  std::string name;
  std::string type;                     ///< "url", "string", "textarea", "reference", "base64", …
  uint64_t length = 0;                  ///< characters; 0 where texts have none
  bool is_filterable = false;
  bool is_updateable = false;           ///< by this user
  std::string relationship;             ///< "Account__r" of a reference; "" of others
  std::vector<std::string> refers_to;   ///< objects
};

struct Object {
  std::string name;                     ///< as the organization spells it
  bool is_queryable = false;
  bool is_updateable = false;           ///< by this user
  std::vector<Field> fields;

  /// By its name, whose case makes no difference; null where there is none.
  const Field* find(std::string_view field) const noexcept;
};

/// Errors: configuration (no such object that this user may see, with the nearest name); those of Client::call.
Object describe(Client& client, const std::string& object, Context& context);

/// The field that a path leads to. Errors: configuration, naming the part of `path` that is not there, with the nearest name.
Field resolve(Client& client, const Object& object, const std::string& path, Context& context);

}  // namespace waybill::salesforce
