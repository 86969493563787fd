// SPDX-License-Identifier: Apache-2.0
//
// One page of a bucket's listing, whichever way the store can be asked: ListObjectsV2, or, of a store that refuses or
// ignores version 2, ListObjects. Keys come decoded, byte for byte. What a store means and knows is found out once:
//
//   version 1   learnt from a refusal of the first V2 listing (501, or 400 with a code that a header or parameter
//   gets), or
//               from an answer that only version 1 gives. What one listing began in a version goes on in it.
//   '+'         a space, as in forms, or itself. Where a page leaves it open (it has a '+' and neither %20 nor %2B),
//               the store is asked about one of the keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/s3/client.hpp"

namespace waybill::s3 {

/// Where a listing goes on: an opaque token of version 2, or a key of version 1 or of a listing of versions.
struct ListPosition {
  std::string text;
  bool is_marker = false;
  std::string version = {};  ///< of a listing of versions: behind this one of the key `text`

  bool operator==(const ListPosition&) const = default;
};

struct PageQuestion {
  std::string_view prefix;
  std::string_view after;                  ///< only keys behind this one; "" from the beginning
  const ListPosition* position = nullptr;  ///< where an earlier page said that it goes on; `after` is over then
  unsigned max_keys = 0;                   ///< 0: as many as the store gives
  bool of_versions = false;                ///< ListObjectVersions: every version, and delete markers
};

struct PageAnswer {
  std::vector<ListedObject> objects;  ///< with decoded keys
  bool is_url_encoded = false;        ///< otherwise a character that XML cannot say may have been replaced
  std::optional<ListPosition> next;   ///< nothing at the end
};

/// Errors: configuration (the store does not list versions), server (an answer that is no listing, or says that there is
/// more but not how to ask for it), and as Client::call. Retryable ones leave nothing behind: the same question may be
/// asked again.
PageAnswer ask_page(Client& client, const PageQuestion& question, Context& context);

/// The Error of a listing that breaks its contract.
Error broken_listing(const Client& client, const std::string& why);

/// A key in a message: in quotes, printable, and cut where it is long.
std::string quoted(std::string_view key);

/// Whether a listing's key has U+FFFD, which stores write into XML for what XML cannot say.
bool has_replacement(std::string_view key) noexcept;

}  // namespace waybill::s3
