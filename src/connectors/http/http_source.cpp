// SPDX-License-Identifier: Apache-2.0
#include "connectors/http/http_source.hpp"

#include <algorithm>

#include "base/uri.hpp"
#include "connectors/http/http_stream.hpp"
#include "net/content_range.hpp"
#include "waybill/error.hpp"

namespace waybill::http {
namespace {

using internal::HttpResponse;

constexpr size_t longest_key = 65'535;

HttpUrl with_slash(HttpUrl base) {
  if (!base.target.ends_with('/')) base.target += '/';
  return base;
}

Error changed(const HttpUrl& url) {
  return Error(ErrorCode::aborted, ErrorClass::source_changed,
               url.shown() + " is another revision than the one that was listed")
      .set_retryable();
}

Error cut(const HttpUrl& url, const std::string& why) {
  return Error(ErrorCode::data_loss, ErrorClass::network, url.shown() + ": " + why).set_retryable();
}

Error only_streams(const HttpUrl& url) {
  return Error(ErrorCode::unimplemented, ErrorClass::unsupported,
               url.shown() + " cannot be read in parts: the server gives no ranges, or nothing to tell revisions by");
}

// The size of what was asked for by its first byte.
std::optional<uint64_t> total_of(const HttpUrl& url, const HttpResponse& response) {
  if (response.status == 206) {
    const auto range = internal::parse_content_range(response.header("content-range"));
    if (!range || range->first != 0) throw cut(url, "the answer to a range is of another one");
    return range->total;
  }
  if (response.content_length) return response.content_length;
  if (!response.overflow && response.length_verified) return response.body_bytes;
  return std::nullopt;
}

}  // namespace

HttpSource::HttpSource(HttpUrl base, std::optional<internal::HttpHeader> credential)
    : base_(with_slash(std::move(base))), web_(base_.origin, std::move(credential)) {}

Source::Capabilities HttpSource::capabilities() const {
  Capabilities capabilities;
  capabilities.order = Order::none;
  capabilities.lists_stamps = false;
  capabilities.links = true;
  return capabilities;
}

std::string HttpSource::endpoint() const {
  const size_t host = base_.origin.find("//") + 2;
  const size_t address = base_.origin.find(']', host);
  const bool has_port = base_.origin.find(':', address == std::string::npos ? host : address) != std::string::npos;
  return has_port ? base_.origin : base_.origin + (base_.is_https() ? ":443" : ":80");
}

std::unique_ptr<Lister> HttpSource::list(const ListRequest&, Context&) {
  throw Error(ErrorCode::unimplemented, ErrorClass::configuration,
              base_.shown() +
                  " cannot be listed, as no web server can; list its keys in a manifest "
                  "(manifest:///path/list.csv?base=" +
                  base_.shown() + ") or in a catalog");
}

HttpUrl HttpSource::url_of(const Key& key) const {
  const auto fail = [&](const std::string& why) {
    return Error(ErrorCode::invalid_argument, ErrorClass::unsupported,
                 printable(internal::redact_url(key)) + " " + why);
  };
  if (key.size() > longest_key) throw fail("is too long for a key");
  if (is_absolute(key)) {
    const auto url = HttpUrl::parse(key);
    if (!url || url->origin != base_.origin) throw fail("is not at " + base_.origin + "; a source reads one origin");
    return *url;
  }
  if (!key.starts_with('/') && leads_out(key)) throw fail("leads out of " + base_.shown());
  const auto url = HttpUrl::parse(base_.origin + (key.starts_with('/') ? "" : base_.target) + key);
  if (!url) throw fail("is no URL reference");
  return *url;
}

std::optional<ItemId> HttpSource::item_at(std::string_view url) const {
  const auto parsed = HttpUrl::parse(url);
  if (!parsed || url.size() > longest_key || parsed->origin != base_.origin ||
      !parsed->target.starts_with(base_.target))
    return std::nullopt;
  if (leads_out(std::string_view(parsed->target).substr(base_.target.size()))) return std::nullopt;
  return ItemId{"", Key(url), ""};
}

HttpSource::Look HttpSource::look(const HttpUrl& url, Context& context) {
  std::byte first{};
  HttpResponse response = web_.get({url, 0, 0, ""}, {&first, 1}, context);
  // Nothing to take a first byte of.
  if (response.status == 416) response = web_.get({url, {}, {}, ""}, {&first, 1}, context);
  const Described described = describe(response);
  Look found{described.stamp, described.attributes};
  found.stamp.size = total_of(url, response);
  return found;
}

std::optional<Item> HttpSource::stat(const ItemId& id, Context& context) {
  try {
    const Look found = look(url_of(id.key), context);
    Item item;
    item.id = id;
    item.stamp = found.stamp;
    if (found.attributes.mtime_ns) item.modified_at_ms = *found.attributes.mtime_ns / 1'000'000;
    return item;
  } catch (const Error& error) {
    if (error.error_class() == ErrorClass::missing) return std::nullopt;
    throw;
  }
}

ReadResult HttpSource::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  context.check();
  const HttpUrl url = url_of(item.id.key);
  const std::optional<uint64_t> size = item.stamp.size;
  if (offset > 0 && size && offset >= *size) return ReadResult{0, size, item.stamp, {}};
  if (out.empty()) {
    const Look found = look(url, context);
    if (!may_be_same(item.stamp, found.stamp)) throw changed(url);
    return ReadResult{0, found.stamp.size, found.stamp, found.attributes};
  }
  const bool is_whole = offset == 0 && size && out.size() >= *size;
  Ask ask{url, {}, {}, ""};
  if (!is_whole) ask = Ask{url, offset, offset + out.size() - 1, validator_of(item.stamp)};
  HttpResponse response = web_.get(ask, out, context);
  if (response.status == 416) {
    const auto total = internal::parse_unsatisfied_range(response.header("content-range"));
    if (offset > 0) {
      const Look found = look(url, context);
      if (!may_be_same(item.stamp, found.stamp)) throw changed(url);
      const auto end = found.stamp.size ? found.stamp.size : total;
      if (!end || *end > offset) throw cut(url, "refuses a range that it has");
      return ReadResult{0, end, found.stamp, {}};
    }
    response = web_.get({url, {}, {}, ""}, out, context);
  }
  const Described described = describe(response);
  ReadResult result;
  result.stamp = described.stamp;
  result.attributes = described.attributes;
  result.count = static_cast<size_t>(response.body_bytes);
  if (response.status == 206) {
    const auto range = internal::parse_content_range(response.header("content-range"));
    if (!range || range->first != offset) throw cut(url, "the answer to a range is of another one");
    result.total_size = result.stamp.size = range->total;
    if (!may_be_same(item.stamp, result.stamp)) throw changed(url);
    if (!range->total || described.validator.empty()) throw only_streams(url);
    const uint64_t wanted = std::min<uint64_t>(out.size(), *range->total - offset);
    if (range->last - offset + 1 != wanted || result.count != wanted || response.overflow) {
      throw cut(url, "a range of " + std::to_string(wanted) + " bytes came with " + std::to_string(result.count));
    }
    return result;
  }
  result.total_size = result.stamp.size = total_of(url, response);
  if (!may_be_same(item.stamp, result.stamp)) throw changed(url);
  if (is_whole && response.overflow) throw changed(url);
  if (offset > 0 || response.overflow) throw only_streams(url);
  if (!response.length_verified && size != result.count) throw end_unknown(url);
  if (!result.total_size) result.total_size = result.stamp.size = result.count;
  return result;
}

std::unique_ptr<Stream> HttpSource::stream(const Item& item, Context& context) {
  return std::make_unique<HttpStream>(web_, url_of(item.id.key), item.stamp, context);
}

}  // namespace waybill::http
