// SPDX-License-Identifier: Apache-2.0
//
// What a reference is to hold: a URL made of the key that its item was copied to.
#pragma once

#include <string>

#include "base/uri.hpp"
#include "waybill/item.hpp"

namespace waybill::internal {

/// A template of new values. *Thread safety:* any thread.
class NewValue {
 public:
  explicit NewValue(std::string text) : text_(std::move(text)), at_(text_.find(field)) {
    if (at_ == std::string::npos) {
      throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                  "the URL template has no {destination_key}: every reference would hold the same");
    }
  }

  std::string operator()(const Item&, const Key& destination_key) const {
    return text_.substr(0, at_) + encode_path(destination_key) + text_.substr(at_ + field.size());
  }

  /// What every new value begins with.
  std::string beginning() const { return text_.substr(0, at_); }

 private:
  static constexpr std::string_view field = "{destination_key}";
  std::string text_;
  size_t at_;
};

}  // namespace waybill::internal
