// SPDX-License-Identifier: Apache-2.0
//
// Content by URL: which source reads a link. Shared by the sources that list links (catalog, manifest); over public
// headers only.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waybill/source.hpp"

namespace waybill::links {

/// An item of one of the sources.
struct Content {
  std::shared_ptr<Source> source;
  ItemId id;
};

/// *Thread safety:* any number of threads.
class Contents {
 public:
  /// `named` are asked first, in their order. Every other link is read by its origin (http, https; s3 with the default
  /// credentials); of these origins 64 are kept open, and those used last stay.
  explicit Contents(std::vector<std::shared_ptr<Source>> named) : named_(std::move(named)) {}

  /// Errors: unsupported (nothing reads such a link; the message shows it without its query, cut after 200 bytes).
  Content find(const std::string& link) const;
  /// As Source::check, of the named ones.
  void check(Context& context) const;
  bool has_named() const noexcept { return !named_.empty(); }

  /// Source::read, Source::stream and Source::stat of what `item`'s link points at.
  ReadResult read(const std::string& link, const Item& item, uint64_t offset, std::span<std::byte> out,
                  Context& context) const;
  std::unique_ptr<Stream> stream(const std::string& link, const Item& item, Context& context) const;
  std::optional<Item> stat(const std::string& link, const ItemId& id, Context& context) const;

 private:
  std::shared_ptr<Source> origin(const std::string& url) const;

  const std::vector<std::shared_ptr<Source>> named_;
  mutable std::mutex mutex_;
  mutable std::list<std::pair<std::string, std::shared_ptr<Source>>> origins_;  // used last in front; guarded by mutex_
};

/// A link as messages and refusals show it: one line without query and credentials, cut after 200 bytes.
std::string shown(std::string_view link);

}  // namespace waybill::links
