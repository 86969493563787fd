// SPDX-License-Identifier: Apache-2.0
//
// Links as a Source: read by their URLs, never listed. A key is a URL reference as it stands on the wire, with its
// query: relative to the base ("photos/a%20b.jpg?v=2"), from the root of the host ("/photos/a.jpg"), or absolute and of
// the same origin. The catalog and the manifest source list such keys.
//
// Servers differ, and a server may differ from URL to URL. What comes in ranges, with a validator that tells one
// revision from the next, can be read at any position; everything else has to be streamed, and read() says so
// (unimplemented).
#pragma once

#include <optional>
#include <string>

#include "connectors/http/http_url.hpp"
#include "connectors/http/http_web.hpp"
#include "waybill/source.hpp"

namespace waybill::http {

class HttpSource final : public Source {
 public:
  /// `credential` goes with every request to the origin of `base`.
  explicit HttpSource(HttpUrl base, std::optional<internal::HttpHeader> credential = {});

  Capabilities capabilities() const override;
  std::string identity() const override { return base_.text(); }
  std::string endpoint() const override;
  void check(Context& context) override { web_.check(base_, context); }
  /// Errors: unimplemented, always: a web server has no listing.
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override;
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override;
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override;
  /// One GET of the first byte: links that are signed for GET refuse HEAD.
  std::optional<Item> stat(const ItemId& id, Context& context) override;
  /// The URL itself, where it lies beneath the base.
  std::optional<ItemId> item_at(std::string_view url) const override;

 private:
  struct Look {
    SourceStamp stamp;
    Attributes attributes;
  };
  HttpUrl url_of(const Key& key) const;
  Look look(const HttpUrl& url, Context& context);

  HttpUrl base_;  // its target ends in '/'
  Web web_;
};

}  // namespace waybill::http
